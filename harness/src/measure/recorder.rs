//! The histograms every latency goes into, and the recorder a load thread keeps.
//!
//! Values are nanoseconds, kept to three significant digits, never clamped: what exceeds [`LATENCY_NS_MAX`] is counted as
//! an overflow. A load thread records into one interval at a time and hands full intervals over whole; it never computes
//! a percentile and never waits.

use crate::result::latency::{LATENCY_NS_MAX, Measure, new_histogram};
use crate::time::timeline::Timeline;
use crossbeam::channel::{Receiver, Sender};
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;

/// A percentile needs this many distinct acks at or beyond it.
const DISTINCT_BEYOND_MIN: u64 = 10;

/// One histogram a measure.
#[derive(Debug, Clone)]
pub struct Histograms {
    by_measure: [Histogram<u64>; Measure::ALL.len()],
    overflows: [u64; Measure::ALL.len()],
}

impl Default for Histograms {
    fn default() -> Self {
        Self { by_measure: Measure::ALL.map(|_| new_histogram()), overflows: Default::default() }
    }
}

impl Histograms {
    /// Records `count` values of `ns`.
    pub fn record_n(&mut self, measure: Measure, ns: u64, count: u64) {
        if self.by_measure[measure as usize].record_n(ns, count).is_err() {
            self.overflows[measure as usize] += count;
        }
    }

    /// The histogram of one measure, ns.
    pub fn of(&self, measure: Measure) -> &Histogram<u64> {
        &self.by_measure[measure as usize]
    }

    /// Values beyond [`LATENCY_NS_MAX`], which the histogram does not hold.
    pub fn overflows(&self, measure: Measure) -> u64 {
        self.overflows[measure as usize]
    }

    /// Adds everything in `other`.
    pub fn add(&mut self, other: &Self) {
        Measure::ALL.into_iter().for_each(|measure| self.add_one(measure, other));
    }

    /// Adds what `other` has of one measure.
    pub fn add_one(&mut self, measure: Measure, other: &Self) {
        let theirs = other.of(measure);
        if !theirs.is_empty() {
            let mine = &mut self.by_measure[measure as usize];
            mine.add(theirs).expect("every histogram here has the same bounds");
        }
        self.overflows[measure as usize] += other.overflows(measure);
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        Measure::ALL.into_iter().for_each(|measure| self.clear_one(measure));
    }

    /// Empties what it has of one measure.
    pub fn clear_one(&mut self, measure: Measure) {
        // Most are empty most of the time, and clearing one touches 270 KiB.
        if !self.of(measure).is_empty() {
            self.by_measure[measure as usize].reset();
        }
        self.overflows[measure as usize] = 0;
    }
}

/// The latencies of a trial: every record, and every distinct ack, hand-over or fetch once at its largest value.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    /// By record.
    pub records: Histograms,
    /// By ack (`service`, `response`), hand-over (`pacing_lag`, `blocked`) or fetch (`end_to_end`).
    pub distinct: Histograms,
}

impl Latencies {
    /// The latency at `quantile` (0 to 1), ns; `None` unless ten distinct acks lie at it or beyond, by rank and by value:
    /// one slow batch of a thousand records is one observation, not a thousand.
    pub fn at_quantile(&self, measure: Measure, quantile: f64) -> Option<u64> {
        let (records, distinct) = (self.records.of(measure), self.distinct.of(measure));
        let beyond_by_rank = crate::num::f64_of(distinct.len()) * (1.0 - quantile);
        // Half an ack of slack: 1 - 0.99 is a hair below 0.01.
        if beyond_by_rank < crate::num::f64_of(DISTINCT_BEYOND_MIN) - 0.5 {
            return None;
        }
        let value = records.value_at_quantile(quantile);
        let from = distinct.lowest_equivalent(value);
        (distinct.count_between(from, LATENCY_NS_MAX) >= DISTINCT_BEYOND_MIN).then_some(value)
    }
}

/// What one load thread saw in one interval.
#[derive(Debug, Clone, Default)]
pub struct Interval {
    /// Counted from the start of the measured window: negative in the warm-up, past the window's last in the drain.
    pub index: i64,
    /// Latencies of the records that belong to the window, in the interval in which they were completed.
    pub latency: Histograms,
    /// Batches acked.
    pub acked_batches: u64,
    /// Records acked.
    pub acked_records: u64,
    /// Their keys and values, bytes.
    pub acked_bytes: u64,
    /// The same as encoded in batches; 0 where the target does not tell.
    pub acked_encoded_bytes: u64,
    /// Records consumed, over all subscriptions.
    pub consumed_records: u64,
    /// Their keys and values, bytes.
    pub consumed_bytes: u64,
    /// The same as encoded in batches.
    pub consumed_encoded_bytes: u64,
    /// Records whose batch failed.
    pub failed_records: u64,
    /// Time the load threads had nothing to do, ns: asleep, or spinning for lack of anything due.
    pub idle_ns: u64,
    /// CPU time of the load threads, ns.
    pub cpu_ns: u64,
}

impl Interval {
    fn clear(&mut self, index: i64) {
        self.index = index;
        self.latency.clear();
        for count in [
            &mut self.acked_batches,
            &mut self.acked_records,
            &mut self.acked_bytes,
            &mut self.acked_encoded_bytes,
            &mut self.consumed_records,
            &mut self.consumed_bytes,
            &mut self.consumed_encoded_bytes,
            &mut self.failed_records,
            &mut self.idle_ns,
            &mut self.cpu_ns,
        ] {
            *count = 0;
        }
    }

    /// Adds what another thread saw in the same interval.
    #[cfg(test)]
    pub(crate) fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        self.add_counts(other);
    }

    /// Adds everything but the latencies.
    pub fn add_counts(&mut self, other: &Self) {
        self.acked_batches += other.acked_batches;
        self.acked_records += other.acked_records;
        self.acked_bytes += other.acked_bytes;
        self.acked_encoded_bytes += other.acked_encoded_bytes;
        self.consumed_records += other.consumed_records;
        self.consumed_bytes += other.consumed_bytes;
        self.consumed_encoded_bytes += other.consumed_encoded_bytes;
        self.failed_records += other.failed_records;
        self.idle_ns += other.idle_ns;
        self.cpu_ns += other.cpu_ns;
    }
}

/// One load thread's recorder: the interval under way, and where finished ones go.
#[derive(Debug)]
pub struct Recorder {
    timeline: Arc<Timeline>,
    interval: Box<Interval>,
    interval_end_ns: u64,
    cpu_start_ns: u64,
    distinct: Histograms,
    batch_bytes: Histogram<u64>,
    channel: Channel,
}

/// Records that passed together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many.
    pub records: u64,
    /// Their keys and values.
    pub bytes: u64,
    /// The same as encoded in batches; 0 where the target does not tell.
    pub encoded_bytes: u64,
}

/// What a recorder holds when its thread ends, beside the intervals it has handed over.
#[derive(Debug)]
pub struct Recorded {
    /// Each ack, hand-over and fetch once.
    pub distinct: Histograms,
    /// Encoded bytes of the batches acked inside the window.
    pub batch_bytes: Histogram<u64>,
}

impl Default for Recorded {
    fn default() -> Self {
        Self { distinct: Histograms::default(), batch_bytes: new_histogram() }
    }
}

/// How a recorder hands intervals over.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Where finished intervals go.
    pub finished: Sender<Box<Interval>>,
    /// Where used ones may come back, to save the memory's first touch.
    pub spare: Receiver<Box<Interval>>,
}

impl Recorder {
    /// Begins in the interval that holds `now_ns`.
    pub fn new(timeline: Arc<Timeline>, now_ns: u64, channel: Channel) -> Self {
        let interval = Box::new(Interval { index: timeline.interval_of(now_ns), ..Interval::default() });
        let interval_end_ns = timeline.next_interval_ns(now_ns);
        Self {
            timeline,
            interval,
            interval_end_ns,
            cpu_start_ns: thread_cpu_ns(),
            distinct: Histograms::default(),
            batch_bytes: new_histogram(),
            channel,
        }
    }

    /// When the interval under way ends.
    pub fn interval_end_ns(&self) -> u64 {
        self.interval_end_ns
    }

    /// What is recorded from here on happened at `now_ns`: hands the interval under way over if it has ended.
    pub fn at(&mut self, now_ns: u64) {
        if now_ns >= self.interval_end_ns {
            self.enter(now_ns);
        }
    }

    #[cold]
    fn enter(&mut self, now_ns: u64) {
        let mut next = self.channel.spare.try_recv().unwrap_or_default();
        next.clear(self.timeline.interval_of(now_ns));
        self.interval_end_ns = self.timeline.next_interval_ns(now_ns);
        let mut full = std::mem::replace(&mut self.interval, next);
        let cpu_ns = thread_cpu_ns();
        full.cpu_ns = cpu_ns.saturating_sub(self.cpu_start_ns);
        self.cpu_start_ns = cpu_ns;
        // The receiver outlives the load threads unless the run is being torn down; then nobody wants the interval.
        let _ = self.channel.finished.send(full);
    }

    /// Records `count` values of `ns`.
    pub fn latency(&mut self, measure: Measure, ns: u64, count: u64) {
        self.interval.latency.record_n(measure, ns, count);
    }

    /// Records one distinct ack, hand-over or fetch at the largest of its values.
    pub fn distinct(&mut self, measure: Measure, ns: u64) {
        self.distinct.record_n(measure, ns, 1);
    }

    /// Counts a batch acked now.
    pub fn acked(&mut self, batch: Counted) {
        self.interval.acked_batches += 1;
        self.interval.acked_records += batch.records;
        self.interval.acked_bytes += batch.bytes;
        self.interval.acked_encoded_bytes += batch.encoded_bytes;
        if batch.encoded_bytes > 0 && (0..self.timeline.window_intervals()).contains(&self.interval.index) {
            // 1 B to an hour of them: no batch is that large.
            self.batch_bytes.saturating_record(batch.encoded_bytes);
        }
    }

    /// Counts a fetch consumed now.
    pub fn consumed(&mut self, fetch: Counted) {
        self.interval.consumed_records += fetch.records;
        self.interval.consumed_bytes += fetch.bytes;
        self.interval.consumed_encoded_bytes += fetch.encoded_bytes;
    }

    /// Counts records whose batch failed.
    pub fn failed(&mut self, records: u64) {
        self.interval.failed_records += records;
    }

    /// Counts time with nothing to do.
    pub fn idle(&mut self, ns: u64) {
        self.interval.idle_ns += ns;
    }

    /// Hands the last interval over.
    pub fn finish(mut self) -> Recorded {
        self.enter(self.interval_end_ns);
        Recorded { distinct: self.distinct, batch_bytes: self.batch_bytes }
    }
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel::unbounded;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        #[test]
        fn a_value_is_kept_to_three_digits_or_counted_as_an_overflow(ns in 0..2 * LATENCY_NS_MAX, count in 1u64..1000) {
            let mut histograms = Histograms::default();
            histograms.record_n(Measure::Service, ns, count);
            let held = histograms.of(Measure::Service).len();
            prop_assert_eq!(held + histograms.overflows(Measure::Service), count);
            if held > 0 {
                let max = histograms.of(Measure::Service).max();
                prop_assert!(max >= ns && max - ns <= ns / 1000 + 1);
            }
        }

        #[test]
        fn adding_is_recording_everything_into_one(values in prop::collection::vec((0u64..10_000_000, 1u64..9), 0..50)) {
            let (mut one, mut parts, mut whole) = (Histograms::default(), Histograms::default(), Histograms::default());
            for (i, (ns, count)) in values.into_iter().enumerate() {
                whole.record_n(Measure::Response, ns, count);
                (if i % 2 == 0 { &mut one } else { &mut parts }).record_n(Measure::Response, ns, count);
            }
            parts.add(&one);
            prop_assert_eq!(parts.of(Measure::Response), whole.of(Measure::Response));
        }
    }

    #[test]
    fn a_percentile_without_ten_distinct_acks_beyond_it_is_unknown() {
        let mut latencies = Latencies::default();
        for ack in 1..=1000u64 {
            latencies.records.record_n(Measure::Service, ack * 1000, 500);
            latencies.distinct.record_n(Measure::Service, ack * 1000, 1);
        }
        assert!(latencies.at_quantile(Measure::Service, 0.99).is_some());
        assert_eq!(latencies.at_quantile(Measure::Service, 0.999), None);
    }

    #[test]
    fn one_slow_batch_of_many_records_is_one_observation() {
        let mut latencies = Latencies::default();
        for _ in 0..1000 {
            latencies.records.record_n(Measure::Service, 1000, 1);
            latencies.distinct.record_n(Measure::Service, 1000, 1);
        }
        latencies.records.record_n(Measure::Service, 9_000_000, 1000);
        latencies.distinct.record_n(Measure::Service, 9_000_000, 1);
        assert_eq!(latencies.at_quantile(Measure::Service, 0.9), None);
        assert_eq!(latencies.at_quantile(Measure::Service, 0.4), Some(1000));
    }

    #[test]
    fn an_interval_is_handed_over_once_and_the_next_begins_empty() {
        let (finished, intervals) = unbounded();
        let (give_back, spare) = unbounded();
        let ns = Duration::from_nanos;
        let timeline = Arc::new(Timeline::new(ns(10), ns(100), ns(10), ns(10)));
        let mut recorder = Recorder::new(timeline, 0, Channel { finished, spare });
        recorder.acked(Counted { records: 3, bytes: 300, encoded_bytes: 370 });
        recorder.latency(Measure::Service, 7, 3);
        recorder.at(9);
        recorder.at(10);
        let first = intervals.try_recv().unwrap();
        assert_eq!((first.index, first.acked_records, first.acked_bytes), (-1, 3, 300));
        assert_eq!(first.latency.of(Measure::Service).len(), 3);
        give_back.send(first).unwrap();
        recorder.at(35);
        recorder.finish();
        let rest: Vec<_> = intervals
            .try_iter()
            .map(|i| (i.index, i.acked_records, i.latency.of(Measure::Service).len()))
            .collect();
        assert_eq!(rest, [(0, 0, 0), (2, 0, 0)], "an interval in which nothing was looked at is left out");
    }
}
