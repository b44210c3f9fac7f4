//! Charts of several runs: percentiles on one pair of axes; values over time in one panel per run, on equal axes.

use super::head::Head;
use super::shown::Shown;
use super::value::{Colour, Key, Symbol};
use super::{Chart, OverTime, attempt, lag, latency, over_time, throughput};
use crate::report::overlay::{Overlay, Run};
use crate::result::Point;

/// Returns every chart for which the runs have data.
pub(super) fn charts(overlay: &Overlay<'_>) -> Vec<Chart> {
    let head = Head::of_runs(overlay);
    let keys: Vec<Key> = (0..overlay.runs.len())
        .map(|run| Key { name: overlay.label(run), colour: Colour::Ink, symbol: Symbol::None })
        .collect();
    let mut charts = Vec::new();
    if overlay.has_open() {
        let alt = "Latency by percentile, all runs";
        charts.push(attempt(alt, || latency::overlay(&head, alt, overlay)));
    }
    let alt = "Throughput over time, run by run";
    let loaded = shown(overlay, Run::loaded);
    let of_loaded = |alt| OverTime { alt, keys: keys.clone(), shown: &loaded };
    charts.push(attempt(alt, || throughput::of(&head, of_loaded(alt))));
    if overlay.has_open() {
        let alt = "Latency over time, run by run";
        let open = shown(overlay, Run::open);
        let keys = keys.clone();
        charts.push(attempt(alt, || over_time::of(&head, OverTime { alt, keys, shown: &open })));
    }
    let alt = "Lag of consumer groups over time, run by run";
    charts.push(attempt(alt, || lag::of(&head, of_loaded(alt))));
    charts
}

/// Returns the trial to draw for each run, of the point that `of` picks.
fn shown<'a>(overlay: &Overlay<'a>, of: fn(&Run<'a>) -> Option<(usize, &'a Point)>) -> Vec<Shown<'a>> {
    let one = |run: &Run<'a>| {
        let (index, point) = of(run)?;
        Some(Shown::of(run.recording, index, point)?.of_run(run.letter))
    };
    overlay.runs.iter().filter_map(one).collect()
}
