//! Sentences about a backlog: how it was built and how fast it was consumed.

use crate::num;
use crate::quantity;
use crate::result::{BacklogFigures, Point, RunResult};
use crate::workload::BacklogCache;

/// Returns a paragraph for each point whose consumers started with a backlog.
pub(super) fn paragraphs(result: &RunResult) -> Vec<String> {
    result.points.iter().filter_map(paragraph).collect()
}

fn paragraph(point: &Point) -> Option<String> {
    let backlogs = || point.trials.iter().filter_map(|trial| trial.backlog.as_ref());
    let first: &BacklogFigures = backlogs().next()?;
    let median = |path: &str| point.figure(path).map_or(0.0, |figure| figure.median);
    let bytes = quantity::bytes(num::u64_of(median("backlog.built_bytes")));
    let cache = match first.cache {
        BacklogCache::Cold => "cold: none of its bytes were in memory",
        BacklogCache::Warm => "warm: the bytes that stay in memory were there",
    };
    let window_s = median_window_s(point);
    let how = if backlogs().all(|backlog| backlog.is_drained) {
        format!("consumed in {window_s:.2} s")
    } else {
        format!("NOT fully consumed when the window of {window_s:.2} s ended; use a longer `phases.measure`")
    };
    let read = point.figure("of_ceiling.read").map_or_else(String::new, |share| {
        format!(", {} of the bare disk's read rate", quantity::percent(share.median))
    });
    Some(format!(
        "Backlog: {bytes} in {} records, built in {:.2} s, {cache}; {how}, at {}{read}.",
        num::u64_of(median("backlog.built_records")),
        median("backlog.build_s"),
        quantity::bytes_per_s(median("consume.bytes_per_s")),
    ))
}

fn median_window_s(point: &Point) -> f64 {
    let windows: Vec<f64> = point.trials.iter().map(|trial| trial.window_s).collect();
    crate::stats::median(&windows).unwrap_or(0.0)
}
