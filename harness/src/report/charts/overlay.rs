//! Charts of several runs: percentiles on one pair of axes; values over time in one panel per run, on equal axes.

use super::flow::Legend;
use super::{Chart, Head, Panels, Shown, latency, over_time, throughput};
use crate::report::overlay::{Overlay, Run};
use crate::result::Point;

/// Draws every chart for which the runs have data.
pub(in crate::report) fn draw(overlay: &Overlay<'_>) -> anyhow::Result<Vec<Chart>> {
    super::load_fonts();
    let head = Head { name: overlay.title(), settings: overlay.settings(), verdict: overlay.verdicts() };
    let legend = Legend::of_titles((0..overlay.runs.len()).map(|index| overlay.label(index)));
    let loaded = shown(overlay, Run::loaded);
    let over_time_of = |shown: &[Shown<'_>], draw: fn(&Panels<'_, '_>) -> anyhow::Result<String>| {
        draw(&Panels { head: &head, legend: Some(&legend), shown })
    };
    let mut charts = Vec::new();
    if overlay.has_open() {
        charts.push(("latency", "Latency by percentile, all runs", latency::overlay(&head, overlay)?));
    }
    let throughput = over_time_of(&loaded, throughput::overlay)?;
    charts.push(("throughput", "Throughput over time, run by run", throughput));
    if overlay.has_open() {
        let latency = over_time_of(&shown(overlay, Run::open), over_time::overlay)?;
        charts.push(("latency-over-time", "Latency over time, run by run", latency));
    }
    Ok(charts.into_iter().map(|(name, alt, svg)| Chart { name, alt, svg }).collect())
}

/// Returns the trial to draw for each run, of the point that `of` picks.
fn shown<'a>(overlay: &Overlay<'a>, of: fn(&Run<'a>) -> Option<(usize, &'a Point)>) -> Vec<Shown<'a>> {
    let one = |run: &Run<'a>| {
        let (index, point) = of(run)?;
        let shown = Shown::of(run.recording, index, point)?;
        Some(Shown { run: Some(run.letter), ..shown })
    };
    overlay.runs.iter().filter_map(one).collect()
}
