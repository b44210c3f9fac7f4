//! The first screen: the outcome of a run in at most 24 lines of a terminal.

use super::facts::{FIGURES, STATISTICS, integrity, latency_rows, latency_title, load, settings};
use super::lines::lines;
use super::sweep::{Sweep, table, words};
use super::{backlog, stall};
use crate::escape::{visible, visible_lines};
use crate::result::verdict::AS_MEANT;
use crate::result::{Point, RunResult};
use crate::workload::PassKind;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;
use std::path::Path;

/// Number of reasons shown; the report has all of them.
const REASONS_MAX: usize = 2;
/// The most columns of a line, so that a terminal does not wrap it. Longer sentences are cut at a word.
const WIDTH: usize = 118;

/// Returns what was measured, how far to trust it, the results, and what to do next. `file` is the workload that the
/// command line named.
pub fn first_screen(result: &RunResult, dir: &Path, file: &str) -> String {
    visible_lines(&screen(result, dir, file))
}

fn screen(result: &RunResult, dir: &Path, file: &str) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", title(result));
    let _ = writeln!(out, "{}", settings(result));
    let _ = writeln!(out, "{}", result.verdict);
    for reason in reasons(result) {
        let _ = writeln!(out, "  {}", cut(&visible(&reason)));
    }
    if let Some(sweep) = Sweep::of(result) {
        of_sweep(&mut out, result, &sweep);
        let _ = writeln!(out, "report     {}", dir.join("report.html").display());
        return out;
    }
    let _ = writeln!(out, "\n{}", lines(&figures(result)));
    if let Some(point) = result.points.last() {
        let _ = writeln!(out, "\n{}", lines(&latencies(point)));
        let _ = writeln!(out, "integrity  {}", integrity(result));
    }
    for paragraph in stall::paragraphs(result).into_iter().chain(backlog::paragraphs(result)) {
        let _ = writeln!(out, "{}", cut(&paragraph));
    }
    let _ = writeln!(out, "report     {}", dir.join("report.html").display());
    let _ = writeln!(out, "next       {}", next(result, file));
    out
}

/// Writes the table of a sweep and its conclusions.
fn of_sweep(out: &mut String, result: &RunResult, sweep: &Sweep<'_>) {
    let _ = writeln!(out, "\n{}\n", table::text(sweep));
    for sentence in words::sentences(sweep) {
        let _ = writeln!(out, "{}", wrapped(&sentence));
    }
    let _ = writeln!(out, "\nintegrity  {}", integrity(result));
}

/// Breaks text at spaces into lines of at most as many columns as the table of a sweep has.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > usize::from(table::WIDTH) {
            lines.push("  ".to_owned());
        } else if line > 0 {
            lines.last_mut().into_iter().for_each(|line| line.push(' '));
        }
        lines.last_mut().into_iter().for_each(|line| line.push_str(word));
    }
    lines.join("\n")
}

fn title(result: &RunResult) -> String {
    match &result.question {
        Some(question) => cut(&format!("{}: {}", visible(&result.name), visible(question))),
        None => visible(&result.name).into_owned(),
    }
}

/// Returns the reasons for the verdict. Reasons that `max` causes on purpose are shown only if there are no others.
fn reasons(result: &RunResult) -> Vec<String> {
    let (meant, news): (Vec<String>, Vec<String>) =
        result.verdict.reasons.iter().cloned().partition(|reason| reason.ends_with(AS_MEANT));
    let mut shown = if news.is_empty() { meant } else { news };
    if shown.len() > REASONS_MAX {
        let left = shown.split_off(REASONS_MAX - 1).len();
        shown.push(format!("… and {left} more in the report"));
    }
    shown
}

fn cut(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    let short: String = text.chars().take(WIDTH - 1).collect();
    let at = short.rfind(' ').unwrap_or(short.len());
    format!("{}…", &short[..at])
}

/// Returns the table of figures, one column per pass.
fn figures(result: &RunResult) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(std::iter::once(String::new()).chain(result.points.iter().map(load)));
    for (name, of) in FIGURES {
        table.add_row(std::iter::once(name.to_owned()).chain(result.points.iter().map(of)));
    }
    table
}

/// Returns the latencies of a pass. Rows that mean nothing under its load are left out.
fn latencies(point: &Point) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let shown = STATISTICS.map(|(title, _)| title).map(str::to_owned);
    table.set_header(std::iter::once(latency_title(point)).chain(shown));
    for (title, cells) in latency_rows(point, &STATISTICS) {
        table.add_row(std::iter::once(title.to_owned()).chain(cells));
    }
    let columns = table.column_iter_mut().skip(1);
    columns.for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn next(result: &RunResult, file: &str) -> String {
    let open = result.points.iter().any(|point| point.pass == PassKind::Open);
    let trials = result.points.iter().map(|point| point.trials.len()).min().unwrap_or(0);
    if !open {
        format!("vnotch run {file} -r 50%   (latencies at half of this rate)")
    } else if trials < crate::stats::INTERVAL_TRIALS_MIN {
        format!(
            "vnotch run {file} --trials {}   (enough trials for intervals)",
            crate::stats::INTERVAL_TRIALS_MIN
        )
    } else {
        format!("vnotch run {file} --set durability=written   (to compare with another setting)")
    }
}
