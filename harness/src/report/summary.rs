//! `summary.md`: the result for a pull request or a notebook.

use super::chart::Charts;
use super::facts::{self, FIGURES, STATISTICS};
use super::sweep::{Sweep, table, words};
use super::{backlog, stall};
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
    let _ = writeln!(out, "{}\n\n**{}**\n", cell(&facts::settings(result)), result.verdict);
    for reason in &result.verdict.reasons {
        let _ = writeln!(out, "- {}", cell(reason));
    }
    match Sweep::of(result) {
        Some(sweep) => of_sweep(&mut out, &sweep),
        None => of_points(&mut out, result),
    }
    for paragraph in stall::paragraphs(result).into_iter().chain(backlog::paragraphs(result)) {
        let _ = writeln!(out, "\n{}", cell(&paragraph));
    }
    let _ = writeln!(out, "\nIntegrity: {}\n", facts::integrity(result));
    figures(&mut out, charts);
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

/// Writes a picture for each chart, and a line for each chart that is not drawn.
pub(super) fn figures(out: &mut String, charts: &Charts) {
    for chart in &charts.drawn {
        let _ = writeln!(out, "![{}](charts/{}.svg)\n", chart.alt, chart.name);
    }
    for remark in charts.remarks() {
        let _ = writeln!(out, "{}\n", cell(&remark));
    }
}

/// Writes the table of a sweep and its conclusions.
fn of_sweep(out: &mut String, sweep: &Sweep<'_>) {
    let cells = table::cells(sweep, table::FlagStyle::Words);
    let _ =
        writeln!(out, "\n| {} |", cells.header.iter().map(|text| cell(text)).collect::<Vec<_>>().join(" | "));
    let last = cells.header.len() - 1;
    let align = |index| if (cells.settings..last).contains(&index) { "---:|" } else { "---|" };
    let _ = writeln!(out, "|{}", (0..=last).map(align).collect::<String>());
    for row in &cells.rows {
        let row: Vec<String> = row.iter().map(|text| cell(text)).collect();
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    for line in cells.notes.iter().chain(&words::sentences(sweep)) {
        let _ = writeln!(out, "\n{}", cell(line));
    }
}

/// Writes the throughput of all points side by side, then the latencies of each.
fn of_points(out: &mut String, result: &RunResult) {
    let header = result.points.iter().map(|point| cell(&facts::load(point))).collect::<Vec<_>>();
    let _ = writeln!(out, "\n| | {} |\n|---|{}", header.join(" | "), "---|".repeat(header.len()));
    for (name, of) in FIGURES {
        let cells: Vec<String> = result.points.iter().map(|point| cell(&of(point))).collect();
        let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
    }
    for point in &result.points {
        let columns = STATISTICS.map(|(title, _)| title).join(" | ");
        let _ =
            writeln!(out, "\n| {} | {columns} |\n|---|{}", facts::latency_title(point), "---:|".repeat(6));
        for (title, cells) in facts::latency_rows(point, &STATISTICS) {
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
