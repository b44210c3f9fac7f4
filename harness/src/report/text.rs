//! The first screen: the outcome of a run in at most 24 lines of a terminal.

use super::facts::{
    FIGURES, STATISTICS, integrity, latency_notes, latency_rows, latency_title, load, settings,
};
use super::lines::lines;
use super::next::next;
use super::sweep::{Sweep, table, words};
use super::{backlog, stall};
use crate::escape::{visible, visible_lines};
use crate::result::verdict::AS_MEANT;
use crate::result::{Point, RunResult};
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;
use std::path::Path;

/// Number of reasons shown; the report has all of them.
const REASONS_MAX: usize = 2;
/// The most columns of a line, so that a terminal does not wrap it. Longer sentences are cut at a word.
const WIDTH: usize = 118;
/// The most columns of a cause at the end of a sentence that is cut.
const CAUSE_MAX: usize = WIDTH / 2;

/// Returns what was measured, how far to trust it, the results, and what to do next. `arguments` are the workload that the
/// command line named, and the flags that were typed for it.
pub fn first_screen(result: &RunResult, dir: &Path, arguments: &[String]) -> String {
    visible_lines(&screen(result, dir, arguments))
}

fn screen(result: &RunResult, dir: &Path, arguments: &[String]) -> String {
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
        for note in latency_notes(point) {
            let _ = writeln!(out, "  {}", cut(&note));
        }
        let _ = writeln!(out, "integrity  {}", integrity(result));
    }
    for paragraph in stall::paragraphs(result).into_iter().chain(backlog::paragraphs(result)) {
        let _ = writeln!(out, "{}", cut(&paragraph));
    }
    let _ = writeln!(out, "report     {}", dir.join("report.html").display());
    let _ = writeln!(out, "next       {}", next(result, arguments));
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

/// Shortens a sentence to [`WIDTH`] columns. An error names its cause last, so the end behind the last colon is kept.
fn cut(text: &str) -> String {
    if columns(text) <= WIDTH {
        return text.to_owned();
    }
    let cause = text.rsplit_once(": ").map_or("", |(_, cause)| cause);
    if cause.is_empty() || columns(cause) > CAUSE_MAX {
        return cut_at_word(text, WIDTH);
    }
    let room = WIDTH - columns(cause) - 1;
    format!("{} {cause}", cut_at_word(&text[..text.len() - cause.len()], room))
}

/// Shortens a text to this many columns, at a space.
fn cut_at_word(text: &str, most: usize) -> String {
    let short: String = text.chars().take(most - 1).collect();
    let at = short.rfind(' ').unwrap_or(short.len());
    format!("{}…", &short[..at])
}

fn columns(text: &str) -> usize {
    text.chars().count()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_keeps_its_beginning_and_its_cause() {
        let reason =
            format!("the log failed: {}: Too many open files (os error 24)", "cannot write here ".repeat(9));
        let short = cut(&reason);
        assert!(short.starts_with("the log failed: cannot write here cannot"), "{short}");
        assert!(short.ends_with("… Too many open files (os error 24)"), "{short}");
        assert!(columns(&short) <= WIDTH, "{short}");
        let plain = format!("question: {}", "words and more ".repeat(20));
        assert!(cut(&plain).ends_with('…') && columns(&cut(&plain)) <= WIDTH);
        let unbroken = "ä".repeat(300);
        assert_eq!(columns(&cut(&unbroken)), WIDTH);
        assert_eq!(cut("short: enough"), "short: enough");
    }
}
