//! Chart 3: median, p99 and maximum over time, with the events inside the target.

use super::axis;
use super::events::{self, Kind};
use super::head::Head;
use super::shown::{Moment, Shown, headline, lines, name_of, ns, stretches, widest};
use super::stack::stacked;
use super::value::{Axes, Axis, Colour, Key, Look, Panel, Part, Plot, Rows, Series, Size, Symbol, Weight};
use super::{NotDrawn, OverTime};
use crate::num;
use crate::result::latency::{KeptInterval, is_known_by_rank, new_histogram};
use crate::result::{Kind as ResultKind, Recording, SeriesRow};
use crate::workload::PassKind;

const NAME: &str = "latency-over-time";

/// Returns the chart of one result.
pub(super) fn plot(recording: &Recording) -> Result<Plot, NotDrawn> {
    let is_sweep = recording.result.kind == ResultKind::Sweep;
    let mut shown = Shown::of_all(recording);
    if is_sweep {
        shown.retain(|shown| shown.point.pass == PassKind::Open);
        if shown.is_empty() {
            return Err(NotDrawn::because(super::latency::NOT_COMPARED));
        }
    }
    of(&Head::of(&recording.result), OverTime { alt: "Latency over time", keys: Vec::new(), shown: &shown })
}

/// Returns the chart of several trials on equal axes.
pub(super) fn of(head: &Head, it: OverTime<'_, '_>) -> Result<Plot, NotDrawn> {
    let shown: Vec<&Shown<'_>> = it.shown.iter().filter(|shown| has_latency(shown)).collect();
    let span = widest(shown.iter().map(|shown| shown.span()));
    let lines: Vec<Vec<Series>> = shown.iter().map(|shown| lines_of(shown)).collect();
    let values = lines.iter().flatten().flat_map(Series::values).map(|(_, ns)| ns);
    let Some(y) = axis::latency(values) else {
        return Err(NotDrawn::because("no latency was measured over time"));
    };
    let mut names: Vec<String> = shown.iter().map(|shown| name_of(headline(shown.point))).collect();
    names.dedup();
    let panels = shown.iter().zip(lines).map(|(shown, lines)| panel(shown, lines, (span, &y))).collect();
    let title = format!("{} time over time", names.join(" and "));
    Ok(stacked(Plot { keys: it.keys, ..head.plot(NAME, it.alt, &title) }, panels))
}

fn has_latency(shown: &Shown<'_>) -> bool {
    shown.record.series.iter().any(|row| row.max_ns.is_some() || row.p50_ns.is_some())
}

fn panel(shown: &Shown<'_>, lines: Vec<Series>, (span, y): ((f64, f64), &Axis)) -> Panel {
    let kinds = events::kinds(&shown.record.events, span);
    let mut bands = shown.outside_window();
    bands.extend(kinds.iter().flat_map(|kind| kind.bands(span)));
    let notes = remark(&lines).into_iter().collect();
    let axes = Axes {
        size: Size::Full,
        x: axis::time(span),
        y: y.clone(),
        bands,
        series: lines,
        marks: kinds.iter().flat_map(Kind::marks).collect(),
        labels: Vec::new(),
    };
    let key =
        |series: &Series| Key { name: series.name.clone(), colour: series.colour, symbol: Symbol::Line };
    // The legend has the order of the percentiles; the series are drawn from the back to the front.
    let keys = axes.series.iter().rev().filter(|series| !series.stretches.is_empty()).map(key).collect();
    let mut parts = vec![Part::Axes(axes)];
    if !kinds.is_empty() {
        parts.push(Part::Rows(Rows { x: span, rows: kinds.iter().map(|kind| kind.row(span)).collect() }));
    }
    let title = format!("{}: {}", shown.title(), name_of(headline(shown.point)));
    Panel { title, keys, notes, parts }
}

/// Says where the p99 is coarser than the other lines, or missing.
fn remark(lines: &[Series]) -> Option<String> {
    let inside = |name: &str| {
        let line = lines.iter().find(|line| line.name == name);
        line.map_or(0, |line| line.values().filter(|(t_s, _)| *t_s > 0.0).count())
    };
    match (inside("max"), inside("p99")) {
        (max, 0) if max > 0 => Some("no p99: fewer than ten acks lie beyond it".to_owned()),
        (max, p99) if p99 < max => {
            Some("p99: neighbouring intervals are added up until ten acks lie beyond it".to_owned())
        }
        _ => None,
    }
}

/// Returns maximum, p99 and median over time. During a stall nothing has a latency. A line across it would claim that
/// all was well.
fn lines_of(shown: &Shown<'_>) -> Vec<Series> {
    let rows = &shown.record.series[..];
    let line =
        |name, colour, weight, stretches| Series::new(name, colour, Look::Line(weight)).with(stretches);
    let of =
        |value: &dyn Fn(&SeriesRow) -> Option<u64>| stretches(rows, Moment::Middle, |row| value(row).map(ns));
    let is_known = |row: &SeriesRow| is_known_by_rank(acks(shown, row.achieved), 0.5);
    let median = of(&|row| row.p50_ns.filter(|_| is_known(row)));
    vec![
        line("max", Colour::Orange, Weight::Thin, of(&|row| row.max_ns)),
        line("p99", Colour::Vermilion, Weight::Normal, p99(shown)),
        line("p50", Colour::Blue, Weight::Normal, median),
    ]
}

/// Returns how many acks some records had, by the mean batch of the trial.
fn acks(shown: &Shown<'_>, records: u64) -> f64 {
    num::f64_of(records) / shown.records_per_ack()
}

/// Returns the p99 over time. Neighbouring intervals are added up until ten acks lie beyond it. In the warm-up no
/// histograms are kept, so intervals with fewer acks have none.
fn p99(shown: &Shown<'_>) -> Vec<Vec<(f64, f64)>> {
    let is_known = |row: &SeriesRow| is_known_by_rank(acks(shown, row.achieved), 0.99);
    let kept: Vec<&KeptInterval> =
        shown.record.latency.iter().filter(|kept| kept.start_s < shown.trial.window_s - 1e-9).collect();
    let value = |row: &SeriesRow| row.p99_ns.filter(|_| is_known(row)).map(ns);
    let Some(first) = kept.first() else { return stretches(&shown.record.series, Moment::Middle, value) };
    let before = shown.record.series.partition_point(|row| row.t_s < first.start_s - 1e-9);
    let mut found = stretches(&shown.record.series[..before], Moment::Middle, value);
    found.extend(lines(sums(shown, &kept).into_iter(), Moment::Middle));
    found
}

/// Returns start, length and p99 of each group of intervals, in runs without a gap.
fn sums(shown: &Shown<'_>, kept: &[&KeptInterval]) -> Vec<Vec<(f64, f64, f64)>> {
    let measure = headline(shown.point);
    let mut runs: Vec<Vec<(f64, f64, f64)>> = vec![Vec::new()];
    let mut sum: Option<(f64, f64, hdrhistogram::Histogram<u64>)> = None;
    for interval in kept {
        let (start_s, end_s) = (interval.start_s, interval.start_s + interval.length_s);
        let histogram = interval.histogram(measure);
        let is_gap = sum.as_ref().is_some_and(|(_, end, _)| start_s > end + interval.length_s * 0.5);
        let after_gap = runs.last().and_then(|run| run.last()).is_some_and(|(start, length, _)| {
            sum.is_none() && start_s > start + length + interval.length_s * 0.5
        });
        if is_gap || after_gap || histogram.is_none() {
            sum = None;
            runs.push(Vec::new());
        }
        let Some(histogram) = histogram else { continue };
        let (start_s, mut total) = match sum.take() {
            Some((start_s, _, total)) => (start_s, total),
            None => (start_s, new_histogram()),
        };
        // All were made by the same recorder with the same bounds, so adding cannot fail.
        let _ = total.add(&histogram);
        if is_known_by_rank(acks(shown, total.len()), 0.99) {
            let value = ns(total.value_at_quantile(0.99));
            runs.last_mut().into_iter().for_each(|run| run.push((start_s, end_s - start_s, value)));
        } else {
            sum = Some((start_s, end_s, total));
        }
    }
    runs
}
