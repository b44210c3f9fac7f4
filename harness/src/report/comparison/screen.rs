//! The text of a comparison on a terminal, in at most 24 lines.

use super::{facts, words};
use crate::report::lines::lines;
use crate::result::comparison::Comparison;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;
use std::path::Path;

/// Reasons and notes that are shown; the page has all.
const REASONS_MAX: usize = 3;
/// Settings that differ and are shown; the page has all.
const DIFFERENCES_MAX: usize = 4;

pub(super) fn text(comparison: &Comparison, dir: Option<&Path>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", words::headline(comparison));
    for reason in comparison.verdict.reasons.iter().take(REASONS_MAX) {
        let _ = writeln!(out, "  {reason}");
    }
    let trust = words::trust(comparison);
    trust.iter().for_each(|sentence| {
        let _ = writeln!(out, "  {sentence}");
    });
    for note in comparison.notes.iter().take(REASONS_MAX) {
        let _ = writeln!(out, "  {note}");
    }
    out.push('\n');
    let rows = facts::figures(comparison);
    if !rows.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(facts::FIGURES);
        table.add_rows(rows);
        for column in table.column_iter_mut().skip(1).take(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let _ = writeln!(out, "{}\n", lines(&table));
    }
    let direction = if comparison.metric.more_is_better { "more" } else { "less" };
    let _ = writeln!(
        out,
        "metric     {} ({direction} is better), band {}",
        comparison.metric.path,
        words::share(comparison.band)
    );
    let _ = writeln!(out, "pairs      {}", facts::pairs(comparison));
    if let Some(student) = facts::student(comparison) {
        let _ = writeln!(out, "Student t  {student}");
    }
    let _ = writeln!(out, "A          {}", facts::side(&comparison.a));
    let _ = writeln!(out, "B          {}", facts::side(&comparison.b));
    for (letter, system) in facts::systems(comparison) {
        let _ = writeln!(out, "system {letter}   {system}");
    }
    differences(&mut out, comparison);
    if let Some(dir) = dir {
        let _ = writeln!(out, "report     {}", dir.join("report.html").display());
    }
    out
}

fn differences(out: &mut String, comparison: &Comparison) {
    let found = facts::differences(comparison);
    let shown: Vec<String> =
        found.iter().take(DIFFERENCES_MAX).map(|[key, a, b]| format!("{key}: A {a}, B {b}")).collect();
    if shown.is_empty() {
        return;
    }
    let more = found.len() - shown.len();
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let _ = writeln!(out, "differs    {}{more}", shown.join("; "));
}
