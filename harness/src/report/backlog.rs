//! Sentences about a backlog: how it was built and how fast it was consumed.

use crate::num;
use crate::quantity;
use crate::result::{BacklogFigures, Point, RunResult};
use crate::workload::{BacklogCache, Io};

/// Returns a paragraph for each point whose consumers started with a backlog.
pub(super) fn paragraphs(result: &RunResult) -> Vec<String> {
    result.points.iter().filter_map(paragraph).collect()
}

fn paragraph(point: &Point) -> Option<String> {
    let backlogs = || point.trials.iter().filter_map(|trial| trial.backlog.as_ref());
    let first: &BacklogFigures = backlogs().next()?;
    let median = |path: &str| point.figure(path).map_or(0.0, |figure| figure.median);
    let bytes = quantity::bytes(num::u64_of(median("backlog.built_bytes")));
    let cache = cache_words(first.cache, point);
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

/// Says which state the caches were in, and how much really came from the disk.
fn cache_words(cache: BacklogCache, point: &Point) -> String {
    let from_disk = point.figure("backlog.from_disk").map(|share| share.median);
    let share = from_disk.map_or_else(
        || "how much came from the disk is not known".to_owned(),
        |share| format!("{} of its bytes came from the disk", quantity::percent(share)),
    );
    match (cache, point.io) {
        (BacklogCache::Cold, _) => format!("cold: {share}"),
        (BacklogCache::Warm, Some(Io::Direct)) => {
            format!("warm, which makes no difference with io: direct: {share}")
        }
        (BacklogCache::Warm, _) => format!("warm: {share}"),
    }
}

fn median_window_s(point: &Point) -> f64 {
    let windows: Vec<f64> = point.trials.iter().map(|trial| trial.window_s).collect();
    crate::stats::median(&windows).unwrap_or(0.0)
}
