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
        // The first intervals of the window may be missing, if a busy machine delayed the threads: they have rows too.
        for empty in self.next.unwrap_or(index.min(0))..index.min(intervals) {
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
mod tests;
