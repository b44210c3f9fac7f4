//! `summary.md`: the result for a pull request or a notebook.

use super::answer::{self, Answer};
use super::chart::{Chart, Charts};
use super::comparison::systems;
use super::facts::{self, Intervals, STATISTICS};
use super::groups;
use super::limit;
use super::sweep::notes::Place;
use super::sweep::table::Cells;
use super::sweep::{Sweep, price_table, table};
use crate::escape::visible;
use crate::result::{Recording, RunResult};
use std::fmt::Write as _;

/// Returns the whole file.
pub(super) fn markdown(recording: &Recording, charts: &Charts) -> String {
    let result = &recording.result;
    let mut out = format!("# {}\n\n", cell(&result.name));
    // Writing to a String cannot fail.
    if let Some(question) = &result.question {
        let _ = writeln!(out, "{}\n", cell(question));
    }
    let answer = answer::of(result);
    let shown = charts.first_of(answer.charts);
    top(&mut out, &answer, shown);
    let _ = writeln!(out, "**{}**\n\n{}\n", result.verdict, cell(&facts::settings(result)));
    reasons(&mut out, result);
    for limit in limit::sentences(result) {
        let _ = writeln!(out, "Limit: {}\n", cell(&limit));
    }
    let of_groups = groups::sentences(result);
    if !of_groups.is_empty() {
        let _ = writeln!(out, "Groups: {}\n", cell(&of_groups.join("; ")));
    }
    for sentence in systems::sentences(result) {
        let _ = writeln!(out, "- {}", cell(&sentence));
    }
    match Sweep::of(result) {
        Some(sweep) => of_sweep(&mut out, &sweep),
        None => of_points(&mut out, result),
    }
    let _ = writeln!(out, "\nIntegrity: {}\n", facts::integrity(result));
    figures(&mut out, charts, shown.map(|chart| chart.name));
    let build = &result.provenance.build;
    let _ = writeln!(
        out,
        "vnotch {} ({}, {}), {}, workload {}",
        build.version,
        build.git_revision,
        build.profile,
        result.provenance.started_at,
        result.provenance.workload_sha256
    );
    out
}

/// Writes the answer, its numbers, and the chart that shows it.
fn top(out: &mut String, answer: &Answer, chart: Option<&Chart>) {
    for sentence in &answer.sentences {
        let _ = writeln!(out, "**{}**\n", cell(sentence));
    }
    for (what, value) in &answer.numbers {
        let _ = writeln!(out, "- {}: {}", cell(what), cell(value));
    }
    let _ = writeln!(out);
    if let Some(chart) = chart {
        picture(out, chart);
    }
    for sentence in &answer.more {
        let _ = writeln!(out, "{}\n", cell(sentence));
    }
}

/// Writes the reasons for the verdict. Several are folded.
fn reasons(out: &mut String, result: &RunResult) {
    let list: String = result.verdict.reasons.iter().map(|reason| format!("- {}\n", cell(reason))).collect();
    match result.verdict.reasons.len() {
        0 => {}
        1 => {
            let _ = writeln!(out, "{list}");
        }
        count => {
            let _ = writeln!(out, "<details><summary>{count} reasons</summary>\n\n{list}\n</details>\n");
        }
    }
}

fn picture(out: &mut String, chart: &Chart) {
    let _ = writeln!(out, "![{}](charts/{}.svg)\n", chart.alt, chart.name);
}

/// Writes a picture for each chart except `shown`, and a line for each chart that is not drawn.
pub(super) fn figures(out: &mut String, charts: &Charts, shown: Option<&str>) {
    for chart in charts.drawn.iter().filter(|chart| Some(chart.name) != shown) {
        picture(out, chart);
    }
    for remark in charts.remarks() {
        let _ = writeln!(out, "{}\n", cell(&remark));
    }
}

/// Writes the prices of a sweep, if it asks for them, and its combinations.
fn of_sweep(out: &mut String, sweep: &Sweep<'_>) {
    if let Some(prices) = price_table::cells(sweep) {
        table_of(out, &prices);
    }
    table_of(out, &table::cells(sweep, Place::Page));
}

/// Writes a table of a sweep with its notes.
fn table_of(out: &mut String, cells: &Cells) {
    let _ =
        writeln!(out, "\n| {} |", cells.header.iter().map(|text| cell(text)).collect::<Vec<_>>().join(" | "));
    let last = cells.header.len() - 1;
    let align = |index| if (cells.settings..last).contains(&index) { "---:|" } else { "---|" };
    let _ = writeln!(out, "|{}", (0..=last).map(align).collect::<String>());
    for row in &cells.rows {
        let row: Vec<String> = row.iter().map(|text| cell(text)).collect();
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    for line in &cells.notes {
        let _ = writeln!(out, "\n{}", cell(line));
    }
}

/// Writes the throughput of all points side by side, then the latencies of each.
fn of_points(out: &mut String, result: &RunResult) {
    let header = result.points.iter().map(|point| cell(&facts::load(point))).collect::<Vec<_>>();
    let _ = writeln!(out, "\n| | {} |\n|---|{}", header.join(" | "), "---|".repeat(header.len()));
    for (name, cells) in groups::figure_rows(result) {
        let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
        let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
    }
    for point in &result.points {
        let columns = STATISTICS.map(|(title, _)| title).join(" | ");
        let _ =
            writeln!(out, "\n| {} | {columns} |\n|---|{}", facts::latency_title(point), "---:|".repeat(6));
        for (title, cells) in facts::latency_rows(point, &STATISTICS, Intervals::All) {
            let _ = writeln!(out, "| {title} | {} |", cells.join(" | "));
        }
        for note in facts::latency_notes(point) {
            let _ = writeln!(out, "\n{}", cell(&note));
        }
    }
}

/// Returns text that is escaped, so that it neither ends a table cell nor begins markup. Control characters are shown.
pub(super) fn cell(text: &str) -> String {
    visible(text).replace('|', "\\|").replace('<', "&lt;")
}
