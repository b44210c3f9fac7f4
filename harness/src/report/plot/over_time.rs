//! Chart 3: median, p99 and maximum over time, with the events inside the target.

use super::axis;
use super::events::{self, Shows};
use super::head::Head;
use super::shown::{BOUNDS, Certainty, Moment, Shown, headline, lines, name_of, ns, parts, widest};
use super::stack::stacked;
use super::value::{Axes, Axis, Colour, Key, Look, Panel, Part, Plot, Series, Size, Symbol, Weight};
use super::{NotDrawn, OverTime};
use crate::num;
use crate::result::latency::percentile::{Generator, Values, is_known_by_rank};
use crate::result::latency::{KeptInterval, Measure, new_histogram};
use crate::result::{Bound, Kind as ResultKind, Recording, SeriesRow};
use crate::workload::PassKind;
use hdrhistogram::Histogram;

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
    let kinds = events::kinds(&shown.record.events, Shows::All, span);
    let mut bands = shown.outside_window();
    bands.extend(kinds.iter().flat_map(|kind| kind.bands(span)));
    let notes = remarks(&lines);
    let axes = Axes {
        size: Size::Full,
        x: axis::time(span),
        y: y.clone(),
        bands,
        series: lines,
        marks: kinds.iter().flat_map(|kind| kind.marks(span)).collect(),
        labels: Vec::new(),
    };
    let key =
        |series: &Series| Key { name: series.name.clone(), colour: series.colour, symbol: Symbol::Line };
    // The legend has the order of the percentiles; the series are drawn from the back to the front.
    let mut keys: Vec<Key> =
        axes.series.iter().rev().filter(|series| !series.stretches.is_empty()).map(key).collect();
    // A line and its bounds have one entry.
    keys.dedup();
    let mut parts = vec![Part::Axes(axes)];
    parts.extend(events::rows(&kinds, span));
    let title = format!("{}: {}", shown.title(), name_of(headline(shown.point)));
    Panel { title, keys, notes, parts }
}

/// Says where the p99 is coarser than the other lines, or missing, and what faint lines are.
fn remarks(lines: &[Series]) -> Vec<String> {
    let inside = |name: &str| {
        let own = lines.iter().filter(|line| line.name == name).flat_map(Series::values);
        let mut times: Vec<f64> = own.map(|(t_s, _)| t_s).filter(|t_s| *t_s > 0.0).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        times.len()
    };
    let p99 = match (inside("max"), inside("p99")) {
        (max, 0) if max > 0 => Some("no p99: fewer than ten acks lie beyond it"),
        (max, p99) if p99 < max => {
            Some("p99: neighbouring intervals are added up until ten acks lie beyond it")
        }
        _ => None,
    };
    let is_bound = |line: &Series| line.look == Look::Line(Weight::Faint) && !line.stretches.is_empty();
    let bounds = lines.iter().any(is_bound).then_some(BOUNDS);
    p99.into_iter().chain(bounds).map(str::to_owned).collect()
}

/// A percentile or the maximum of a stretch of time.
#[derive(Clone, Copy)]
struct Value {
    start_s: f64,
    length_s: f64,
    ns: f64,
    is_bound: bool,
}

/// Values without a gap between them.
type Run = Vec<Value>;

/// Returns maximum, p99 and median over time, each with its bounds apart. During a stall nothing has a latency. A line across
/// it would claim that all was well.
fn lines_of(shown: &Shown<'_>) -> Vec<Series> {
    let rows = &shown.record.series[..];
    let is_known = |row: &SeriesRow| is_known_by_rank(acks(shown, row.achieved), 0.5);
    let max = runs(rows, |row| Some((row.max_ns?, row.max_bound)));
    let median = runs(rows, |row| Some((row.p50_ns.filter(|_| is_known(row))?, row.p50_bound)));
    [
        line("max", (Colour::Orange, Weight::Thin), &max),
        line("p99", (Colour::Vermilion, Weight::Normal), &p99(shown)),
        line("p50", (Colour::Blue, Weight::Normal), &median),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the values of the rows, in runs without a gap.
fn runs(rows: &[SeriesRow], value: impl Fn(&SeriesRow) -> Option<(u64, Option<Bound>)>) -> Vec<Run> {
    let value_of = |row: &SeriesRow| {
        let (value, bound) = value(row)?;
        let (start_s, length_s) = (row.t_s, row.interval_s);
        Some(Value { start_s, length_s, ns: ns(value), is_bound: bound.is_some() })
    };
    let values: Vec<Option<Value>> = rows.iter().map(value_of).collect();
    values.split(Option::is_none).map(|run| run.iter().flatten().copied().collect()).collect()
}

/// The points of a line, and for each of them whether it is only a bound.
type Drawn = (Vec<(f64, f64)>, Vec<bool>);

/// Returns the series of bounds, and the series of exact values.
fn line(name: &str, (colour, weight): (Colour, Weight), runs: &[Run]) -> [Series; 2] {
    let bounds = |run: &Run| run.iter().map(|value| value.is_bound).collect::<Vec<_>>();
    let drawn: Vec<Drawn> = runs
        .iter()
        .filter(|run| !run.is_empty())
        .map(|run| {
            let points = run.iter().map(|value| (value.start_s, value.length_s, value.ns)).collect();
            let line = lines(std::iter::once(points), Moment::Middle).remove(0);
            // A lone value is drawn as the two ends of its interval.
            let bounds = bounds(run);
            let bounds = if run.len() == 1 { vec![bounds[0]; line.len()] } else { bounds };
            (line, bounds)
        })
        .collect();
    let of = |look, certainty| {
        let stretches = drawn.iter().flat_map(|(line, bounds)| parts(line, bounds, certainty));
        Series::new(name, colour, Look::Line(look)).with(stretches.collect())
    };
    [of(Weight::Faint, Certainty::Bound), of(weight, Certainty::Exact)]
}

/// Returns how many acks some records had, by the mean batch of the trial.
fn acks(shown: &Shown<'_>, records: u64) -> f64 {
    num::f64_of(records) / shown.records_per_ack()
}

/// Returns the p99 over time. Neighbouring intervals are added up until ten acks lie beyond it. In the warm-up no
/// histograms are kept, so intervals with fewer acks have none.
fn p99(shown: &Shown<'_>) -> Vec<Run> {
    let is_known = |row: &SeriesRow| is_known_by_rank(acks(shown, row.achieved), 0.99);
    let kept: Vec<&KeptInterval> =
        shown.record.latency.iter().filter(|kept| kept.start_s < shown.trial.window_s - 1e-9).collect();
    let value = |row: &SeriesRow| Some((row.p99_ns.filter(|_| is_known(row))?, row.p99_bound));
    let Some(first) = kept.first() else { return runs(&shown.record.series, value) };
    let before = shown.record.series.partition_point(|row| row.t_s < first.start_s - 1e-9);
    let mut found = runs(&shown.record.series[..before], value);
    found.extend(sums(shown, &kept));
    found
}

/// The histograms of neighbouring intervals, added up.
struct Sum {
    start_s: f64,
    end_s: f64,
    records: Histogram<u64>,
    own: Histogram<u64>,
}

impl Sum {
    fn new(start_s: f64) -> Self {
        Self { start_s, end_s: start_s, records: new_histogram(), own: new_histogram() }
    }

    fn add(&mut self, interval: &KeptInterval, records: &Histogram<u64>) {
        // All were made by the same recorder with the same bounds, so adding cannot fail.
        let _ = self.records.add(records);
        let _ = interval.histogram(Measure::Own).map(|own| self.own.add(&own));
        self.end_s = interval.start_s + interval.length_s;
    }

    /// Returns the p99. It is a bound where the load generator was late in these intervals, or where records were never acked.
    fn p99(&self, shown: &Shown<'_>) -> Value {
        let figures = shown.trial.latency_ns.of(headline(shown.point));
        let is_response = headline(shown.point) == Measure::Response && !self.own.is_empty();
        let sums_ns = new_histogram();
        let values = Values {
            records: &self.records,
            known_by: &self.records,
            // That ten acks lie beyond is known by their estimated number.
            distinct: &self.records,
            censored_from_ns: figures.and_then(|figures| figures.censored_from),
            generator: is_response.then_some(Generator { own: &self.own, sums_ns: &sums_ns }),
        };
        let is_bound = values.at_quantile(0.99).is_some_and(|p99| p99.bound.is_some());
        // An interval has the generator's part of each value, which histograms of intervals lack.
        let inside = |row: &&SeriesRow| row.t_s > self.start_s - 1e-9 && row.t_s < self.end_s - 1e-9;
        let is_bound =
            is_bound || shown.record.series.iter().filter(inside).any(|row| row.p99_bound.is_some());
        let (start_s, length_s) = (self.start_s, self.end_s - self.start_s);
        Value { start_s, length_s, ns: ns(self.records.value_at_quantile(0.99)), is_bound }
    }
}

/// Returns the p99 of each group of intervals, in runs without a gap.
fn sums(shown: &Shown<'_>, kept: &[&KeptInterval]) -> Vec<Run> {
    let mut runs: Vec<Run> = vec![Run::new()];
    let mut sum: Option<Sum> = None;
    let mut end_s = f64::NEG_INFINITY;
    for interval in kept {
        let records = interval.histogram(headline(shown.point));
        if interval.start_s > end_s + interval.length_s * 0.5 || records.is_none() {
            sum = None;
            runs.push(Run::new());
        }
        end_s = interval.start_s + interval.length_s;
        let Some(records) = records else { continue };
        let mut total = sum.take().unwrap_or_else(|| Sum::new(interval.start_s));
        total.add(interval, &records);
        if is_known_by_rank(acks(shown, total.records.len()), 0.99) {
            runs.last_mut().into_iter().for_each(|run| run.push(total.p99(shown)));
        } else {
            sum = Some(total);
        }
    }
    runs
}
