//! The page and the summary of several runs: the limits of their comparison, one row per run, and the charts.

use crate::num;
use crate::quantity;
use crate::report::chart::Charts;
use crate::report::facts::{self, NONE};
use crate::report::html::{self, escape, prose};
use crate::report::overlay::differences::Difference;
use crate::report::overlay::{Overlay, Run};
use crate::report::summary;
use crate::report::sweep::metric::throughput_of;
use crate::result::Point;
use crate::workload::Metric;
use std::fmt::Write as _;

const HEADER: [&str; 8] =
    ["", "run", "what differs", "verdict and load", "produced", "of ceiling", "response p50", "p99"];
/// Columns of numbers.
const NUMBERS: std::ops::Range<usize> = 4..8;

/// Returns `report.html`.
pub(in crate::report) fn html(overlay: &Overlay<'_>, charts: &Charts) -> String {
    let mut body = String::new();
    let _ = writeln!(body, "<h1>{}</h1>", escape(&overlay.title()));
    for warning in overlay.warnings() {
        let _ = writeln!(body, "<p class=\"said\">{}</p>", prose(&warning));
    }
    let _ = writeln!(body, "<div class=\"wide\">{}</div>", html::table(&HEADER, &rows(overlay), NUMBERS));
    if !overlay.differences.is_empty() {
        body.push_str("<h2>What differs</h2>\n");
        let header: Vec<String> = [String::new()]
            .into_iter()
            .chain(overlay.runs.iter().map(|run| run.letter.to_string()))
            .collect();
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let _ = writeln!(body, "<div class=\"wide\">{}</div>", html::table(&header, &keys(overlay), 0..0));
    }
    html::figures(&mut body, charts, None);
    html::document(&overlay.title(), &body)
}

/// Returns `summary.md`.
pub(in crate::report) fn markdown(overlay: &Overlay<'_>, charts: &Charts) -> String {
    let mut out = format!("# {}\n\n", summary::cell(&overlay.title()));
    for warning in overlay.warnings() {
        let _ = writeln!(out, "{}\n", summary::cell(&warning));
    }
    let _ = writeln!(out, "| {} |\n|{}", HEADER.join(" | "), "---|".repeat(HEADER.len()));
    for row in rows(overlay) {
        let row: Vec<String> = row.iter().map(|text| summary::cell(text)).collect();
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out.push('\n');
    summary::figures(&mut out, charts, None);
    out
}

/// Returns one row for each key that differs, with its value in each run.
fn keys(overlay: &Overlay<'_>) -> Vec<Vec<String>> {
    let row = |it: &Difference| [it.key.clone()].into_iter().chain(it.values.iter().cloned()).collect();
    overlay.differences.iter().map(row).collect()
}

fn rows(overlay: &Overlay<'_>) -> Vec<Vec<String>> {
    overlay.runs.iter().enumerate().map(|(index, run)| row(overlay, index, run)).collect()
}

fn row(overlay: &Overlay<'_>, index: usize, run: &Run<'_>) -> Vec<String> {
    let result = &run.recording.result;
    let (loaded, open) = (run.loaded().map(|(_, point)| point), run.open().map(|(_, point)| point));
    let loads: Vec<String> = result.points.iter().map(facts::load).collect();
    let differs = overlay.of_run(index);
    vec![
        run.letter.to_string(),
        format!("{}, {}", result.name, facts::started(result)),
        if differs.is_empty() { "nothing".to_owned() } else { differs },
        format!("{}; {}", result.verdict, loads.join(", then ")),
        of(loaded, throughput_of(loaded).path(), quantity::bytes_per_s),
        of(loaded, "of_ceiling.write", quantity::percent),
        of(open, "latency_ns.response.p50", ns),
        of(open, Metric::ResponseP99.path(), ns),
    ]
}

fn of(point: Option<&Point>, path: &str, text: fn(f64) -> String) -> String {
    point.map_or_else(|| NONE.to_owned(), |point| facts::figure_text(point, path, text))
}

fn ns(ns: f64) -> String {
    quantity::ns(num::u64_of(ns))
}
