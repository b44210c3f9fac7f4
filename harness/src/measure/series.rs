//! Makes a trial's time series from the intervals of the load threads: a row and the histograms for each interval.
//!
//! The histograms are compressed as intervals arrive, so that a long run needs kilobytes for them and not gigabytes.
//!
//! The histograms of an interval are a megabyte. Reading through them takes as long as sending many records. This is done while
//! load is generated, on a core that the load may need. So one histogram is processed at a time, and the thread yields the
//! core in between.

use super::histograms::{Histograms, add_one, clear_one};
use super::recorder::Interval;
use crate::num;
use crate::result::SeriesRow;
use crate::result::latency::percentile::Values;
use crate::result::latency::{KeptInterval, Measure};
use crate::time::schedule::Offered;
use crate::time::timeline::Timeline;
use crossbeam::channel::Sender;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most intervals of histograms that are kept for a trial, that of the drain included.
const KEPT_MAX: i64 = 300;
/// The least number of intervals that are open at the same time.
const OPEN_INTERVALS: i64 = 3;
/// The most intervals that are open while a load thread is late with its part of them. A part that arrives even later is
/// counted in the oldest open interval. The histograms of so many intervals take about 80 MiB.
const OPEN_INTERVALS_MAX: i64 = 64;

/// The resources that were used in one interval.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostInterval {
    /// Bytes written to the device.
    pub device_bytes: Option<u64>,
    /// CPU time of the process ÷ length of the interval.
    pub cpu: Option<f64>,
    /// Resident memory of the process at the interval's end, bytes.
    pub rss_bytes: Option<u64>,
    /// Disk space of the target's files at the interval's end, bytes; `None` if it was not read.
    pub data_bytes: Option<u64>,
}

/// The measurements of a trial over time.
#[derive(Debug)]
pub struct Series {
    /// A row for each interval of warm-up and window.
    pub rows: Vec<SeriesRow>,
    /// Histograms of at most `KEPT_MAX` stretches of time.
    pub kept: Vec<KeptInterval>,
    /// Latencies of all records of the window, also of those that were completed after it.
    pub latency: Histograms,
    /// Counts inside the window; its histograms are empty.
    pub window: Interval,
    /// Records that were due inside the window; `None` unless the load is open.
    pub offered: Option<u64>,
    /// The lag of each consumer group at the end of each row, in the order of the groups; empty where it was not sampled.
    pub group_lags: Vec<Vec<u64>>,
}

/// Builds a [`Series`] from intervals as they arrive.
pub struct SeriesBuilder {
    timeline: Arc<Timeline>,
    offered: Offered,
    groups: u64,
    open: BTreeMap<i64, Box<Interval>>,
    newest: i64,
    /// The interval that each load thread sent last.
    sent: Vec<i64>,
    /// Number of the interval after the one that was closed last.
    next: Option<i64>,
    host: BTreeMap<i64, HostInterval>,
    /// The lag of each consumer group at the end of intervals.
    lags: BTreeMap<i64, Vec<u64>>,
    spare: Sender<Box<Interval>>,
    acked: u64,
    consumed: u64,
    stretch: Histograms,
    stretch_start: i64,
    /// Whether more intervals are waiting to be added, so that there is no time to yield the core.
    is_behind: bool,
    series: Series,
}

impl SeriesBuilder {
    /// Creates a builder for a trial of this timeline. Records are `offered` only if the load is open. Used intervals are sent to
    /// `spare`.
    pub fn new(timeline: Arc<Timeline>, offered: Offered, groups: u32, spare: Sender<Box<Interval>>) -> Self {
        let series = Series {
            rows: Vec::new(),
            kept: Vec::new(),
            latency: Histograms::default(),
            window: Interval::default(),
            offered: offered.is_open_load().then_some(0),
            group_lags: Vec::new(),
        };
        Self {
            timeline,
            offered,
            groups: u64::from(groups),
            open: BTreeMap::new(),
            newest: i64::MIN,
            sent: Vec::new(),
            next: None,
            host: BTreeMap::new(),
            lags: BTreeMap::new(),
            spare,
            acked: 0,
            consumed: 0,
            stretch: Histograms::default(),
            stretch_start: 0,
            is_behind: false,
            series,
        }
    }

    /// Sets the number of load threads. An interval stays open until each of them has sent a later one.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.sent = vec![i64::MIN; threads];
        self
    }

    /// Adds an interval of a load thread. `is_behind` says that more are waiting; then the thread does not yield the core.
    pub fn add(&mut self, interval: Box<Interval>, is_behind: bool) {
        self.is_behind = is_behind;
        if let Some(sent) = self.sent.get_mut(interval.thread) {
            *sent = interval.index;
        }
        if Timeline::was_held(interval.index) {
            self.acked += interval.acked_records;
            self.consumed += interval.consumed_records;
            self.give_back(interval);
            return;
        }
        let index = interval.index.max(self.next.unwrap_or(i64::MIN));
        self.newest = self.newest.max(index);
        match self.open.get_mut(&index) {
            Some(sum) => {
                add(&mut sum.latency, &interval.latency, self.is_behind);
                add_one(&mut sum.acks, &interval.acks);
                sum.add_counts(&interval);
                self.give_back(interval);
            }
            None => {
                self.open.insert(index, interval);
            }
        }
        while let Some(entry) = self.open.first_entry() {
            let index = *entry.key();
            let is_sent = self.sent.iter().all(|sent| *sent > index);
            let opened = self.newest - index;
            if opened < OPEN_INTERVALS || (!is_sent && opened < OPEN_INTERVALS_MAX) {
                break;
            }
            let (index, interval) = entry.remove_entry();
            self.close_up_to(index, interval);
        }
    }

    /// Stores the resources that were used in interval `index`.
    pub fn add_host(&mut self, index: i64, host: HostInterval) {
        if !Timeline::was_held(index) {
            self.host.insert(index, host);
        }
    }

    /// Stores the lag of each consumer group at the end of interval `index`.
    pub fn add_lags(&mut self, index: i64, lags: Vec<u64>) {
        if !Timeline::was_held(index) {
            self.lags.insert(index, lags);
        }
    }

    /// The rows that are complete.
    pub fn rows(&self) -> &[SeriesRow] {
        &self.series.rows
    }

    /// Whether the load is open, so that records have an intended time.
    pub fn is_open_load(&self) -> bool {
        self.offered.is_open_load()
    }

    /// Closes all open intervals and returns the series.
    pub fn finish(mut self) -> Series {
        for (index, interval) in std::mem::take(&mut self.open) {
            self.close_up_to(index, interval);
        }
        self.keep_stretch(self.timeline.window_intervals().max(self.stretch_start + 1));
        self.offered.set_window_start(self.timeline.window_start_ns());
        // Count the records that were due after the last row, in case the load threads ended before the window did.
        let from_ns = self.offered.until_ns().max(self.timeline.window_start_ns());
        let rest = self.offered.between(from_ns, self.timeline.window_end_ns());
        self.series.offered = self.series.offered.map(|offered| offered + rest);
        self.series
    }

    /// Closes an interval. Earlier intervals that no load thread sent are closed first, as empty ones.
    fn close_up_to(&mut self, index: i64, interval: Box<Interval>) {
        let intervals = self.timeline.window_intervals();
        for empty in self.next.unwrap_or(index)..index.min(intervals) {
            let row = self.row(empty, &Interval::default());
            self.series.rows.push(row);
        }
        self.next = Some(index + 1);
        self.close(index, interval);
    }

    fn close(&mut self, index: i64, interval: Box<Interval>) {
        self.acked += interval.acked_records;
        self.consumed += interval.consumed_records;
        let intervals = self.timeline.window_intervals();
        if index < intervals {
            let row = self.row(index, &interval);
            self.series.rows.push(row);
        }
        if index >= 0 {
            self.keep(index.min(intervals), &interval.latency);
            add(&mut self.series.latency, &interval.latency, self.is_behind);
        }
        if (0..intervals).contains(&index) {
            self.series.window.add_counts(&interval);
        }
        self.give_back(interval);
    }

    /// Clears an interval and returns it to the load threads. They then need not spend time on clearing it.
    fn give_back(&self, mut interval: Box<Interval>) {
        clear(&mut interval.latency, self.is_behind);
        clear_one(&mut interval.acks);
        // The load threads may have ended. Then the interval is not needed.
        let _ = self.spare.send(interval);
    }

    fn row(&mut self, index: i64, interval: &Interval) -> SeriesRow {
        let (start_ns, end_ns) = self.timeline.bounds_of(index);
        let headline = if self.is_open_load() { Measure::Response } else { Measure::Service };
        let values = Values { distinct: &interval.acks, ..interval.latency.values(headline) };
        let (p50, p99, max) = (values.at_quantile(0.5), values.at_quantile(0.99), values.max());
        let host = self.host.get(&index).copied().unwrap_or_default();
        self.offered.set_window_start(self.timeline.window_start_ns());
        let offered = self.is_open_load().then(|| self.offered.between(start_ns, end_ns));
        if index >= 0 {
            self.series.offered = self.series.offered.zip(offered).map(|(sum, own)| sum + own);
        }
        let owed = (self.acked * self.groups).saturating_sub(self.consumed);
        let lags = self.lags.get(&index).cloned().unwrap_or_default();
        let lag = (!lags.is_empty()).then(|| lags.iter().sum());
        self.series.group_lags.push(lags);
        SeriesRow {
            t_s: self.timeline.seconds_of(start_ns),
            interval_s: seconds(end_ns - start_ns),
            offered,
            achieved: interval.acked_records,
            consumed: interval.consumed_records,
            // Members of groups also consume records that were consumed before.
            backlog_records: lag.or((self.groups > 0).then_some(owed)),
            p50_ns: p50.map(|it| it.ns),
            p99_ns: p99.map(|it| it.ns),
            max_ns: max.map(|it| it.ns),
            p50_bound: p50.and_then(|it| it.bound),
            p99_bound: p99.and_then(|it| it.bound),
            max_bound: max.and_then(|it| it.bound),
            device_bytes: host.device_bytes,
            cpu: host.cpu,
            rss_bytes: host.rss_bytes,
            data_bytes: host.data_bytes,
            lag,
        }
    }

    /// Adds the histograms of an interval to its stretch. A stretch is several intervals where there are many. The whole drain
    /// is one stretch.
    fn keep(&mut self, index: i64, latency: &Histograms) {
        let intervals = self.timeline.window_intervals();
        let of = |index: i64| {
            if index >= intervals { intervals } else { index - index % stretch_intervals(intervals) }
        };
        if of(index) != self.stretch_start {
            self.keep_stretch(of(index));
        }
        add(&mut self.stretch, latency, self.is_behind);
    }

    fn keep_stretch(&mut self, next_start: i64) {
        let intervals = self.timeline.window_intervals();
        let start_ns = self.timeline.bounds_of(self.stretch_start).0;
        let whole = self.stretch_start + stretch_intervals(intervals);
        let end_ns = if self.stretch_start >= intervals {
            self.timeline.bounds_of(self.stretch_start).1
        } else {
            self.timeline.bounds_of(whole.min(intervals) - 1).1
        };
        let start_s = self.timeline.seconds_of(start_ns);
        let mut kept = KeptInterval::empty(start_s, seconds(end_ns - start_ns));
        for measure in Measure::ALL {
            let histogram = self.stretch.of(measure);
            yield_core_before(histogram, self.is_behind);
            kept.set(measure, histogram);
        }
        if !kept.is_empty() {
            self.series.kept.push(kept);
        }
        clear(&mut self.stretch, self.is_behind);
        self.stretch_start = next_start;
    }
}

/// Yields the core to other threads that wait for it, above all to load threads. Without this call the kernel lets a thread
/// that woke up wait until this thread's time slice ends, which is mostly 3 ms.
pub fn yield_core() {
    std::thread::yield_now();
}

/// Yields the core before `histogram` is processed, unless it is empty or the thread is behind.
fn yield_core_before(histogram: &Histogram<u64>, is_behind: bool) {
    if !histogram.is_empty() && !is_behind {
        yield_core();
    }
}

fn add(sum: &mut Histograms, part: &Histograms, is_behind: bool) {
    for measure in Measure::ALL {
        yield_core_before(part.of(measure), is_behind);
        sum.add_one(measure, part);
    }
}

fn clear(latency: &mut Histograms, is_behind: bool) {
    for measure in Measure::ALL {
        yield_core_before(latency.of(measure), is_behind);
        latency.clear_one(measure);
    }
}

/// Number of intervals that share a kept histogram.
fn stretch_intervals(intervals: i64) -> i64 {
    // One of the kept histograms is that of the drain.
    (intervals + KEPT_MAX - 2) / (KEPT_MAX - 1)
}

fn seconds(ns: u64) -> f64 {
    num::f64_of(ns) * 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::histograms::Times;
    use crate::result::Bound;
    use crate::time::schedule::{Even, Schedule};
    use crossbeam::channel::unbounded;
    use proptest::prelude::*;
    use std::time::Duration;

    const WARMUP: i64 = 5;

    fn timeline(intervals: u64) -> Arc<Timeline> {
        let ms = Duration::from_millis;
        Arc::new(Timeline::new(ms(500), ms(intervals * 100), ms(1000), ms(100)))
    }

    fn interval(index: i64, records: u64, ns: u64) -> Box<Interval> {
        let mut interval = Interval { index, acked_records: records, ..Interval::default() };
        interval.latency.record_n(Measure::Service, ns, records);
        interval.acks.record_n(ns, records).unwrap();
        Box::new(interval)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn nothing_handed_in_is_lost(
            intervals in 1u64..700,
            parts in prop::collection::vec((-WARMUP..800i64, 1u64..9, 1u64..1_000_000), 0..40),
        ) {
            let (spare, _keep) = unbounded();
            let mut builder = SeriesBuilder::new(timeline(intervals), Offered::default(), 0, spare);
            for (index, records, ns) in &parts {
                builder.add(interval(*index, *records, *ns), index % 2 == 0);
            }
            let series = builder.finish();
            let mut kept = Histograms::default();
            for stretch in &series.kept {
                stretch.histogram(Measure::Service).unwrap().iter_recorded().for_each(|value| {
                    kept.record_n(Measure::Service, value.value_iterated_to(), value.count_at_value());
                });
            }
            prop_assert_eq!(kept.of(Measure::Service), series.latency.of(Measure::Service));
            prop_assert!(series.kept.len() <= 300);
            let in_rows: u64 = series.rows.iter().filter(|row| row.t_s > -1e-9).map(|row| row.achieved).sum();
            prop_assert_eq!(in_rows, series.window.acked_records);
            prop_assert!(series.rows.windows(2).all(|pair| {
                (pair[0].t_s + pair[0].interval_s - pair[1].t_s).abs() < 1e-6
            }), "rows touch");
        }
    }

    #[test]
    fn a_percentile_of_an_interval_has_ten_acks_beyond_it() {
        let (spare, _keep) = unbounded();
        let mut builder = SeriesBuilder::new(timeline(4), Offered::default(), 0, spare);
        for (index, acks) in (0..).zip([0, 19, 949, 1000]) {
            let mut interval = interval(index, 5000, 1000);
            interval.acks.reset();
            interval.acks.record_n(1000, acks).unwrap();
            builder.add(interval, false);
        }
        let known = |row: &SeriesRow| (row.p50_ns.is_some(), row.p99_ns.is_some(), row.max_ns.is_some());
        let rows: Vec<_> = builder.finish().rows.iter().map(known).collect();
        assert_eq!(
            rows,
            [(false, false, true), (true, false, true), (true, false, true), (true, true, true)]
        );
    }

    #[test]
    fn parts_of_several_threads_make_one_row() {
        let (spare, given_back) = unbounded();
        let mut builder = SeriesBuilder::new(timeline(10), Offered::default(), 0, spare);
        builder.add(interval(0, 3, 1000), false);
        builder.add(interval(1, 5, 1000), false);
        builder.add(interval(0, 4, 9000), false);
        let series = builder.finish();
        assert_eq!((series.rows[0].achieved, series.rows[1].achieved), (7, 5));
        assert!(series.rows[0].max_ns.unwrap() >= 9000);
        assert_eq!(given_back.len(), 3, "every interval's memory goes back");
    }

    #[test]
    fn a_late_thread_s_part_stays_in_its_interval_and_in_the_window() {
        let (spare, _keep) = unbounded();
        let mut builder = SeriesBuilder::new(timeline(10), Offered::default(), 0, spare).with_threads(2);
        let of_thread = |thread, index, records| {
            let mut part = interval(index, records, 1000);
            part.thread = thread;
            part
        };
        for index in 0..20 {
            builder.add(of_thread(0, index, 1), false);
        }
        assert!(builder.rows().is_empty(), "the other thread has sent nothing yet");
        for index in [0, 5, 9] {
            builder.add(of_thread(1, index, 100), false);
        }
        assert_eq!(builder.rows().len(), 9, "the last interval of the window is open");
        let series = builder.finish();
        let achieved: Vec<u64> = series.rows.iter().map(|row| row.achieved).collect();
        assert_eq!(achieved, [101, 1, 1, 1, 1, 101, 1, 1, 1, 101]);
        assert_eq!(series.window.acked_records, 310);
    }

    #[test]
    fn a_thread_that_sends_nothing_keeps_a_bounded_number_of_intervals_open() {
        let (spare, _keep) = unbounded();
        let mut builder = SeriesBuilder::new(timeline(300), Offered::default(), 0, spare).with_threads(2);
        for index in 0..200 {
            builder.add(interval(index, 1, 1000), false);
            assert!(builder.open.len() <= 64);
        }
        let late = Interval { thread: 1, ..*interval(3, 50, 1000) };
        builder.add(Box::new(late), false);
        let series = builder.finish();
        assert_eq!(series.window.acked_records, 250, "nothing is lost");
    }

    #[test]
    fn a_percentile_of_a_row_needs_ten_acks_beyond_it_and_is_a_bound_where_the_generator_was_late() {
        let (spare, _keep) = unbounded();
        let schedule = Schedule::Even(Even::new(crate::workload::RecordRate::per_s(1000), 0, 0, 1));
        let mut builder = SeriesBuilder::new(timeline(2), Offered::new(vec![schedule]), 0, spare);
        for (index, acks, generator_ns) in [(0, 900, 0), (1, 1000, 2_000_000)] {
            let mut interval = Interval { index, ..Interval::default() };
            let times = Times { intended_ns: Some(0), generator_ns, accepted_ns: 0, ended_ns: 3_000_000 };
            interval.latency.record_times(&times, 10 * acks);
            interval.acks.record_n(3_000_000, acks).unwrap();
            builder.add(Box::new(interval), false);
        }
        let rows = builder.finish().rows;
        assert!(rows[0].p50_ns.is_some() && rows[0].p99_ns.is_none() && rows[0].max_ns.is_some());
        assert_eq!((rows[0].p50_bound, rows[0].max_bound), (None, None));
        assert!(rows[1].p99_ns.is_some());
        let upper = Some(Bound::Upper);
        assert_eq!((rows[1].p50_bound, rows[1].p99_bound, rows[1].max_bound), (upper, upper, upper));
    }

    #[test]
    fn an_open_load_says_what_was_due() {
        let (spare, _keep) = unbounded();
        let schedule = Schedule::Even(Even::new(crate::workload::RecordRate::per_s(1000), 0, 0, 1));
        let mut builder = SeriesBuilder::new(timeline(3), Offered::new(vec![schedule]), 1, spare);
        (-5..3).for_each(|index| builder.add(interval(index, 100, 1000), false));
        let series = builder.finish();
        assert_eq!(series.rows.len(), 8);
        assert!(series.rows.iter().all(|row| row.offered == Some(100)));
        assert_eq!(series.rows[7].backlog_records, Some(800));
        assert_eq!(series.offered, Some(300), "the window's");
    }
}
