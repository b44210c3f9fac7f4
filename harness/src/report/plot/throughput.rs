//! Chart 2: offered, acked and consumed rates over time, with the speed of the bare disk as a band and the backlog below.

use super::axis::{self, Extent};
use super::events::{self, Shows};
use super::head::Head;
use super::shown::{Moment, Shown, stretches, widest};
use super::stack::stacked;
use super::value::{
    Axes, Axis, Band, BandKind, Colour, Key, Look, Panel, Part, Plot, Series, Size, Symbol, Weight,
};
use super::{NotDrawn, OverTime};
use crate::num;
use crate::quantity;
use crate::result::{Flow, Recording, SeriesRow, Trial};
use crate::stats;

const NAME: &str = "throughput";
const TITLE: &str = "throughput over time";
/// Bytes written for each byte of the log from which on a chart names them.
const WRITTEN_SHOWN_MIN: f64 = 1.05;
/// A ceiling that is more than 1 / this share above everything else is named instead of drawn. Drawing it would flatten
/// the lines.
const CEILING_SHARE_MIN: f64 = 0.15;
/// With more intervals than this, wide lines would merge into a block.
const WIDE_ROWS_MAX: usize = 400;
/// A backlog is drawn if it holds at least the records of this many intervals. A smaller one is on its way.
const BACKLOG_INTERVALS_MIN: f64 = 1.0;

/// Returns the chart of one result.
pub(super) fn plot(recording: &Recording) -> Result<Plot, NotDrawn> {
    let shown = Shown::of_all(recording);
    of(
        &Head::of(&recording.result),
        OverTime { alt: "Throughput over time", keys: Vec::new(), shown: &shown },
    )
}

/// Returns the chart of several trials on equal axes.
pub(super) fn of(head: &Head, it: OverTime<'_, '_>) -> Result<Plot, NotDrawn> {
    let shown: Vec<&Shown<'_>> = it.shown.iter().filter(|shown| has_flow(shown)).collect();
    if shown.is_empty() {
        return Err(NotDrawn::because("nothing was measured over time"));
    }
    let common = Common::of(&shown);
    let panels = shown.iter().map(|shown| panel(shown, &common)).collect();
    Ok(stacked(Plot { keys: it.keys, ..head.plot(NAME, it.alt, TITLE) }, panels))
}

/// A rate over time: its name, and its records in each interval.
struct Rate<'a> {
    name: &'static str,
    colour: Colour,
    look: Look,
    /// Log bytes per record.
    record_bytes: f64,
    rows: &'a [SeriesRow],
    /// Start of the line, s since the window opened; at most 0.
    from_s: f64,
    records: fn(&SeriesRow) -> Option<u64>,
}

impl Rate<'_> {
    /// Returns bytes per second in an interval. Nothing is a rate before the first record of the warm-up.
    fn of(&self, row: &SeriesRow) -> Option<f64> {
        let records = num::f64_of((self.records)(row).filter(|_| row.t_s >= self.from_s)?);
        (row.interval_s > 0.0).then(|| records * self.record_bytes / row.interval_s)
    }

    fn each(&self) -> impl Iterator<Item = f64> + '_ {
        self.rows.iter().filter_map(|row| self.of(row))
    }

    /// Returns the median rate.
    fn level(&self) -> Option<f64> {
        stats::median(&self.each().collect::<Vec<_>>())
    }

    fn series(&self, unit: f64) -> Series {
        let values = stretches(self.rows, Moment::Middle, |row| Some(self.of(row)? / unit));
        Series::new(self.name, self.colour, self.look).with(values)
    }

    fn key(&self) -> Key {
        let is_wide = self.look == Look::Line(Weight::Wide);
        let symbol = if is_wide { Symbol::WideLine } else { Symbol::Line };
        Key { name: self.name.to_owned(), colour: self.colour, symbol }
    }
}

/// Returns the log bytes per record. They are encoded bytes if the target reports them, because the ceiling's are, too.
fn record_bytes(flow: &Flow) -> Option<f64> {
    let bytes = flow.encoded_bytes.unwrap_or(flow.bytes);
    (flow.records > 0).then(|| num::f64_of(bytes) / num::f64_of(flow.records))
}

fn has_flow(shown: &Shown<'_>) -> bool {
    shown.record.series.iter().any(|row| row.achieved > 0 || row.consumed > 0 || row.offered > Some(0))
}

/// Returns the rates of a trial. A rate that was 0 all the time is left out.
fn rates<'a>(shown: &'a Shown<'_>) -> Vec<Rate<'a>> {
    let (trial, rows) = (shown.trial, &shown.whole[..]);
    let produced = record_bytes(&trial.produce);
    let consumed = trial.consume.as_ref().and_then(record_bytes);
    // Records in the warm-up alone have no flow of their own.
    let of_produced = produced.or(consumed).unwrap_or(0.0);
    let of_consumed = consumed.or(produced).unwrap_or(0.0);
    // The line of the acks is wide and pale, because the consumed line is mostly on top.
    let weight = if rows.len() > WIDE_ROWS_MAX { Weight::Thin } else { Weight::Wide };
    let rate = |name, colour, look, record_bytes, records: fn(&SeriesRow) -> Option<u64>| {
        let first = rows.iter().find(|row| records(row) > Some(0));
        let from_s = first.map_or(0.0, |row| row.t_s).min(0.0);
        Rate { name, colour, look, record_bytes, rows, from_s, records }
    };
    let thin = Look::Line(Weight::Thin);
    let mut rates = vec![
        rate("offered", Colour::Ink, thin, of_produced, |row| row.offered),
        rate("acked", Colour::Blue, Look::Line(weight), of_produced, |row| Some(row.achieved)),
    ];
    if trial.consume.is_some() {
        rates.push(rate("consumed", Colour::Vermilion, thin, of_consumed, |row| Some(row.consumed)));
    }
    rates.retain(|rate| rate.each().any(|rate| rate > 0.0));
    rates
}

/// The speed of the bare disk around a trial, bytes per second.
struct Ceiling {
    low: f64,
    high: f64,
    name: &'static str,
}

/// Returns the least and the greatest of the like-for-like slices around the trial, as bytes of the log. They are of reads if
/// the trial only read.
fn ceiling(shown: &Shown<'_>) -> Option<Ceiling> {
    let figures = &shown.trial.ceiling;
    if shown.trial.produce.records == 0 {
        let read = figures.read_bytes_per_s?;
        return Some(Ceiling { low: read, high: read, name: "the bare disk with the same reads" });
    }
    let slices = Extent::of(figures.write_slices_bytes_per_s.iter().copied())?;
    let written = written_per_log_byte(shown.trial).unwrap_or(1.0);
    let (low, high) = (slices.low / written, slices.high / written);
    Some(Ceiling { low, high, name: "the bare disk with the same writes" })
}

/// Returns the bytes that the device took for each byte of the log. A synced log writes a block again when more records come into
/// it. So the lines of records and the ceiling of a chart are compared as `of_ceiling` compares them.
fn written_per_log_byte(trial: &Trial) -> Option<f64> {
    let written = trial.of_ceiling.write? * trial.ceiling.write_bytes_per_s?;
    let log = record_bytes(&trial.produce)? * trial.produce.records_per_s;
    (log > 0.0 && written > 0.0).then(|| written / log)
}

/// Describes the writes of a trial, because the bare disk's rate depends on them.
fn writes(shown: &Shown<'_>) -> Option<String> {
    let writes = &shown.trial.writes;
    let (size, depth) = (quantity::bytes(writes.bytes_p50?), writes.depth_mean?);
    let again = written_per_log_byte(shown.trial).filter(|written| *written >= WRITTEN_SHOWN_MIN);
    let again =
        again.map_or_else(String::new, |written| format!(", {written:.2} B for each byte of the log"));
    let flushed = shown.trial.ceiling.write_shape.as_ref().and_then(|shape| shape.flush_every_bytes);
    let flushed =
        flushed.map_or_else(String::new, |every| format!(", a flush every {}", quantity::bytes(every)));
    Some(format!("the trial's writes: {size} (median), {depth:.1} in flight{flushed}{again}"))
}

/// The axes that all panels share.
struct Common {
    span: (f64, f64),
    /// Rate axis, in units.
    y: Axis,
    /// Bytes per second of a unit.
    unit: f64,
    /// Top of the backlog axis, records; `None` if no panel has a backlog.
    backlog_top: Option<f64>,
}

impl Common {
    fn of(shown: &[&Shown<'_>]) -> Self {
        let achieved =
            shown.iter().flat_map(|shown| rates(shown)).flat_map(|rate| rate.each().collect::<Vec<_>>());
        let achieved = Extent::of(achieved).unwrap_or(Extent { low: 0.0, high: 1.0 });
        let ceilings =
            shown.iter().filter_map(|shown| ceiling(shown)).filter(|it| is_near(it, achieved.high));
        let top = ceilings.map(|it| it.high).fold(achieved.high, f64::max);
        let levels = Extent::of(shown.iter().flat_map(|shown| rates(shown)).filter_map(|rate| rate.level()));
        let (unit, name) = axis::throughput_unit(top);
        // Panels of very different levels need a log axis, which has no place for 0.
        let is_log = achieved.low > 0.0 && levels.is_some_and(Extent::is_wide);
        let y = if is_log {
            axis::log(name, Extent { low: achieved.low / unit, high: top / unit }, axis::number)
        } else {
            axis::from_zero(name, top / unit, axis::number)
        };
        Self {
            span: widest(shown.iter().map(|shown| shown.span())),
            y,
            unit,
            backlog_top: shown.iter().filter_map(|shown| backlog_top(shown)).reduce(f64::max),
        }
    }
}

/// Tells whether a ceiling can be drawn without flattening the lines below it.
fn is_near(ceiling: &Ceiling, achieved: f64) -> bool {
    achieved >= ceiling.low * CEILING_SHARE_MIN
}

/// Returns the greatest backlog of a trial, if there was more than what is always on its way.
fn backlog_top(shown: &Shown<'_>) -> Option<f64> {
    let rows = &shown.record.series;
    let top = num::f64_of(rows.iter().filter_map(|row| row.backlog_records).max()?);
    let flow = shown.whole.iter().map(|row| num::f64_of(row.achieved.max(row.consumed)));
    let interval = stats::median(&flow.collect::<Vec<_>>()).unwrap_or(0.0);
    (top > 0.0 && top >= interval * BACKLOG_INTERVALS_MIN).then_some(top)
}

fn panel(shown: &Shown<'_>, common: &Common) -> Panel {
    let rates = rates(shown);
    let mut panel =
        Panel { title: shown.title(), keys: rates.iter().map(Rate::key).collect(), ..Panel::default() };
    let x = axis::time(common.span);
    let mut bands = shown.outside_window();
    let kinds = events::kinds(&shown.record.events, Shows::Rebalances, common.span);
    bands.extend(kinds.iter().flat_map(|kind| kind.bands(common.span)));
    if let Some(it) = ceiling(shown) {
        let (low, high) = (it.low / common.unit, it.high / common.unit);
        if common.y.holds(low) && common.y.holds(high) {
            bands.push(Band {
                x: common.span,
                y: Some((low, high)),
                colour: Colour::Orange,
                kind: BandKind::Ceiling,
            });
            panel.keys.push(Key { name: it.name.to_owned(), colour: Colour::Orange, symbol: Symbol::Fill });
        } else {
            panel.notes.push(format!("{}: {}", it.name, quantity::bytes_per_s(it.low)));
        }
    }
    panel.notes.extend(writes(shown));
    let has_backlog = shown.record.series.iter().any(|row| row.backlog_records.is_some());
    let strip = common.backlog_top.filter(|_| has_backlog).map(|top| backlog(shown, &x, top));
    if has_backlog && strip.is_none() {
        panel.notes.push("the consumers kept up: the backlog was never as large as one interval".to_owned());
    }
    panel.parts.push(Part::Axes(Axes {
        size: Size::Full,
        x: if strip.is_some() { axis::bare(&x) } else { x },
        y: common.y.clone(),
        bands,
        series: rates.iter().map(|rate| rate.series(common.unit)).collect(),
        marks: kinds.iter().flat_map(|kind| kind.marks(common.span)).collect(),
        labels: Vec::new(),
    }));
    panel.parts.extend(strip.map(Part::Axes));
    panel.parts.extend(events::rows(&kinds, common.span));
    panel
}

/// Returns the strip of the records that are acked but not yet consumed.
fn backlog(shown: &Shown<'_>, x: &Axis, top: f64) -> Axes {
    let level = |row: &SeriesRow| row.backlog_records.map(num::f64_of);
    let levels = stretches(&shown.record.series, Moment::End, level);
    let within = |(t_s, level): &(f64, f64)| (t_s.clamp(x.low, x.high), *level);
    let levels = levels.iter().map(|stretch| stretch.iter().map(within).collect()).collect();
    let y = axis::from_zero("backlog: records acked but not yet consumed", top, axis::count);
    let ends = [y.ticks.first(), y.ticks.last()].into_iter().flatten().cloned().collect();
    Axes {
        size: Size::Strip,
        x: x.clone(),
        y: Axis { ticks: ends, ..y },
        bands: shown.outside_window(),
        series: vec![Series::new("backlog", Colour::Purple, Look::Area).with(levels)],
        marks: Vec::new(),
        labels: Vec::new(),
    }
}
