//! The trial that stands for a point in the charts over time, and its values as lines with gaps.

use super::value::{Band, BandKind, Colour};
use crate::num;
use crate::report::facts;
use crate::result::latency::Measure;
use crate::result::{Point, Recording, SeriesRow, Trial, TrialRecord};
use crate::stats;
use crate::workload::PassKind;

/// The trial that is drawn for a point: the one whose throughput is nearest to the median.
pub(super) struct Shown<'a> {
    pub(super) point: &'a Point,
    pub(super) trial: &'a Trial,
    pub(super) record: &'a TrialRecord,
    /// Rows of the series. The last one, if it was cut short, is added to the one before: the rate of a few milliseconds
    /// would be a spike of a few messages.
    pub(super) whole: Vec<SeriesRow>,
    number: usize,
    /// Letter of the run, if several runs are drawn.
    run: Option<char>,
}

impl<'a> Shown<'a> {
    /// Returns the trial of each point that has one.
    pub(super) fn of_all(recording: &'a Recording) -> Vec<Self> {
        let points = recording.result.points.iter().enumerate();
        points.filter_map(|(index, point)| Self::of(recording, index, point)).collect()
    }

    /// Returns the trial of a point; `None` if it has none with values over time.
    pub(super) fn of(recording: &'a Recording, index: usize, point: &'a Point) -> Option<Self> {
        let rates: Vec<f64> = point.trials.iter().map(|trial| rate_of(trial, point)).collect();
        let number = stats::nearest_to_median(&rates)?;
        let record = recording.trial(index, number).filter(|record| !record.series.is_empty())?;
        let whole = whole(&record.series);
        Some(Self { point, trial: &point.trials[number], record, whole, number, run: None })
    }

    /// Returns the trial as one of several runs.
    pub(super) fn of_run(self, letter: char) -> Self {
        Self { run: Some(letter), ..self }
    }

    /// Returns a title such as `max, trial 2 of 3`.
    pub(super) fn title(&self) -> String {
        let run = self.run.map_or_else(String::new, |run| format!("{run}: "));
        let load = format!("{run}{}", facts::point_name(self.point));
        match self.point.trials.len() {
            1 => load,
            count => format!("{load}, trial {} of {count}", self.number + 1),
        }
    }

    /// Returns the time from warm-up to drain, s; never empty.
    pub(super) fn span(&self) -> (f64, f64) {
        let rows = &self.record.series;
        let from = rows.first().map_or(0.0, |row| row.t_s).min(0.0);
        let to = rows.last().map_or(0.0, |row| row.t_s + row.interval_s);
        (from, to.max(self.trial.window_s).max(from + 0.1))
    }

    /// Returns the bands that shade the trial's time outside the measured window.
    pub(super) fn outside_window(&self) -> Vec<Band> {
        let span = self.span();
        let parts = [(span.0, 0.0), (self.trial.window_s, span.1)];
        let parts = parts.into_iter().filter(|(from, to)| to > from);
        parts.map(|x| Band { x, y: None, colour: Colour::Ink, kind: BandKind::OutsideWindow }).collect()
    }

    /// Returns the mean number of records that share an ack.
    pub(super) fn records_per_ack(&self) -> f64 {
        records_per_ack(self.trial)
    }
}

/// Returns the rows of a series. A last row that was cut short is added to the one before.
fn whole(rows: &[SeriesRow]) -> Vec<SeriesRow> {
    let mut whole = rows.to_vec();
    if let [.., before, last] = rows
        && last.interval_s < before.interval_s * 0.9
        && before.t_s >= 0.0
    {
        let at = whole.len() - 2;
        whole.truncate(at + 1);
        whole[at] = SeriesRow {
            interval_s: before.interval_s + last.interval_s,
            offered: before.offered.zip(last.offered).map(|(a, b)| a + b),
            achieved: before.achieved + last.achieved,
            consumed: before.consumed + last.consumed,
            ..*before
        };
    }
    whole
}

/// Returns the mean number of records of a trial that share an ack.
pub(super) fn records_per_ack(trial: &Trial) -> f64 {
    trial.batches.records_mean.unwrap_or(1.0).max(1.0)
}

/// Returns the throughput by which the trials of a point are ranked.
fn rate_of(trial: &Trial, point: &Point) -> f64 {
    let is_catch_up = point.trials.iter().any(|trial| trial.backlog.is_some());
    match trial.consume {
        Some(consume) if is_catch_up => consume.bytes_per_s,
        _ => trial.produce.bytes_per_s,
    }
}

/// Returns the latency that is drawn for a load.
pub(super) const fn headline(point: &Point) -> Measure {
    match point.pass {
        PassKind::Open => Measure::Response,
        PassKind::Max | PassKind::Closed => Measure::Service,
    }
}

/// Returns the name of a latency for people.
pub(super) fn name_of(measure: Measure) -> String {
    measure.name().replace('_', " ")
}

/// Returns the span from the earliest start to the latest end.
pub(super) fn widest(spans: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((0.0, 1.0))
}

/// The moment of its interval that a value belongs to.
#[derive(Clone, Copy)]
pub(super) enum Moment {
    /// For rates and percentiles, which are values of the whole interval.
    Middle,
    /// For levels, which are values at the interval's end.
    End,
}

/// Returns the values over time as one line for each stretch without a gap. Nothing is drawn where there was no value.
/// A single value is drawn over its whole interval, so that it can be seen.
pub(super) fn stretches(
    rows: &[SeriesRow],
    moment: Moment,
    value: impl Fn(&SeriesRow) -> Option<f64>,
) -> Vec<Vec<(f64, f64)>> {
    let value_of = |row: &SeriesRow| Some((row.t_s, row.interval_s, value(row)?));
    let values: Vec<_> = rows.iter().map(value_of).collect();
    lines(values.split(Option::is_none).map(|run| run.iter().flatten().copied().collect()), moment)
}

/// Returns a line for each run of intervals. An interval has a start, a length and a value.
pub(super) fn lines(
    runs: impl Iterator<Item = Vec<(f64, f64, f64)>>,
    moment: Moment,
) -> Vec<Vec<(f64, f64)>> {
    let line = |run: Vec<(f64, f64, f64)>| match (run.as_slice(), moment) {
        (&[(t_s, length_s, value)], _) => vec![(t_s, value), (t_s + length_s, value)],
        (run, Moment::Middle) => run.iter().map(|(t_s, length, v)| (t_s + length / 2.0, *v)).collect(),
        (run, Moment::End) => run.iter().map(|(t_s, length, v)| (t_s + length, *v)).collect(),
    };
    runs.filter(|run| !run.is_empty()).map(line).collect()
}

/// Said of a chart with faint lines.
pub(super) const BOUNDS: &str =
    "faint parts are bounds: the load generator was late (≤), or records were never acked (≥)";

/// The certainty of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    Exact,
    /// The true value is at most or at least this one.
    Bound,
}

/// Returns the stretches of a line whose values have this certainty. `bounds` says of each value whether it is a bound. A
/// stretch of bounds also has the values on both sides, so that the line has no gap.
pub(super) fn parts(line: &[(f64, f64)], bounds: &[bool], certainty: Certainty) -> Vec<Vec<(f64, f64)>> {
    let are_bounds = certainty == Certainty::Bound;
    let mut parts: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut before: Option<(&(f64, f64), bool)> = None;
    for (at, is_bound) in line.iter().zip(bounds) {
        let continues = before.is_some_and(|(_, was_bound)| was_bound == are_bounds);
        if *is_bound == are_bounds && !continues {
            parts.push(before.filter(|_| are_bounds).map(|(at, _)| *at).into_iter().collect());
        }
        if *is_bound == are_bounds || (continues && are_bounds) {
            parts.last_mut().into_iter().for_each(|part| part.push(*at));
        }
        before = Some((at, *is_bound));
    }
    // A lone value is no line; the bounds on both sides reach it.
    parts.retain(|part| part.len() > 1);
    parts
}

/// Returns a latency as a float, at least 1 ns.
pub(super) fn ns(ns: u64) -> f64 {
    num::f64_of(ns.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(t_s: f64, value: Option<u64>) -> SeriesRow {
        SeriesRow { t_s, interval_s: 1.0, p50_ns: value, ..SeriesRow::default() }
    }

    #[test]
    fn a_line_is_split_into_values_and_bounds_without_a_gap() {
        let line: Vec<(f64, f64)> = (0..6).map(|at| (f64::from(at), 1.0)).collect();
        let bounds = [false, false, true, true, false, true];
        let places = |certainty| -> Vec<Vec<u64>> {
            let parts = parts(&line, &bounds, certainty).into_iter();
            parts.map(|part| part.into_iter().map(|(at, _)| num::u64_of(at)).collect()).collect()
        };
        assert_eq!(places(Certainty::Bound), [vec![1, 2, 3, 4], vec![4, 5]]);
        assert_eq!(places(Certainty::Exact), [vec![0, 1]]);
    }

    #[test]
    fn a_last_row_that_was_cut_short_is_added_to_the_one_before() {
        let row =
            |t_s: f64, interval_s: f64| SeriesRow { t_s, interval_s, consumed: 10, ..SeriesRow::default() };
        let sum = whole(&[row(0.0, 0.1), row(0.1, 0.1), row(0.2, 0.01)]);
        assert_eq!((sum.len(), sum[1].consumed), (2, 20));
        assert!((sum[1].interval_s - 0.11).abs() < 1e-9);
        assert_eq!(whole(&[row(0.0, 0.1), row(0.1, 0.095)]).len(), 2);
        assert_eq!((whole(&[row(0.0, 0.1)]).len(), whole(&[]).len()), (1, 0));
    }

    #[test]
    fn a_gap_is_never_bridged_and_a_lone_value_is_seen() {
        let values = [Some(1), Some(2), None, None, Some(5)];
        let rows: Vec<SeriesRow> =
            values.into_iter().enumerate().map(|(i, value)| row(i as f64, value)).collect();
        let ns = |row: &SeriesRow| row.p50_ns.map(crate::num::f64_of);
        let lone = vec![(4.0, 5.0), (5.0, 5.0)];
        assert_eq!(stretches(&rows, Moment::Middle, ns), [vec![(0.5, 1.0), (1.5, 2.0)], lone.clone()]);
        assert_eq!(stretches(&rows, Moment::End, ns), [vec![(1.0, 1.0), (2.0, 2.0)], lone]);
        assert!(stretches(&rows[2..4], Moment::Middle, ns).is_empty());
    }
}
