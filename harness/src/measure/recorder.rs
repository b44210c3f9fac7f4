//! The recorder of a load thread. It records into one interval at a time, and sends each finished interval to the thread that
//! watches the trial. It never computes a percentile and never waits.

use super::errors::ErrorCounts;
use super::histograms::{Histograms, Times, clear_one};
use crate::result::ErrorKind;
use crate::result::latency::{Measure, new_histogram};
use crate::time::timeline::Timeline;
use crossbeam::channel::{Receiver, Sender};
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;

/// Tells whether latencies are recorded in an interval. A build with the feature `half-recorded` records one interval of each two,
/// so that one run shows what recording costs (`scripts/proofs/recorder-cost`). Which of the two it is follows the Thue-Morse sequence:
/// a speed that changes slowly favours neither.
fn records_latencies(interval: i64) -> bool {
    !cfg!(feature = "half-recorded") || interval.count_ones().is_multiple_of(2)
}

/// The measurements of one load thread in one interval.
#[derive(Debug, Clone)]
pub struct Interval {
    /// Number of the interval, from 0 at the start of the measured window. Negative in the warm-up; in the drain larger than
    /// that of the window's last interval.
    pub index: i64,
    /// Number of the load thread.
    pub thread: usize,
    /// Latencies of the window's records that were completed in this interval.
    pub latency: Histograms,
    /// The same acks, each once with the latency of its oldest record: `response`, or `service` where no time is intended.
    pub acks: Histogram<u64>,
    /// Batches acked.
    pub acked_batches: u64,
    /// Records acked.
    pub acked_records: u64,
    /// Bytes of the keys and values of the acked records.
    pub acked_bytes: u64,
    /// Bytes of the acked records as encoded in batches; 0 where the target does not report them.
    pub acked_encoded_bytes: u64,
    /// Records consumed, over all subscriptions.
    pub consumed_records: u64,
    /// Bytes of the keys and values of the consumed records.
    pub consumed_bytes: u64,
    /// Bytes of the consumed records as encoded in batches; 0 where the target does not report them.
    pub consumed_encoded_bytes: u64,
    /// Records whose batch failed.
    pub failed_records: u64,
    /// Time in which the load thread had nothing to do, ns: it slept, or it polled while no record was due.
    pub idle_ns: u64,
    /// CPU time of the load thread, ns.
    pub cpu_ns: u64,
}

impl Default for Interval {
    fn default() -> Self {
        Self {
            index: 0,
            thread: 0,
            latency: Histograms::default(),
            acks: new_histogram(),
            acked_batches: 0,
            acked_records: 0,
            acked_bytes: 0,
            acked_encoded_bytes: 0,
            consumed_records: 0,
            consumed_bytes: 0,
            consumed_encoded_bytes: 0,
            failed_records: 0,
            idle_ns: 0,
            cpu_ns: 0,
        }
    }
}

impl Interval {
    fn clear(&mut self, index: i64) {
        self.index = index;
        self.latency.clear();
        clear_one(&mut self.acks);
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

    /// Adds the measurements of another thread in the same interval.
    #[cfg(test)]
    pub(crate) fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        super::histograms::add_one(&mut self.acks, &other.acks);
        self.add_counts(other);
    }

    /// Adds the counts of `other`, and not its latencies.
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

/// The recorder of one load thread: its current interval, and the channel for finished ones.
#[derive(Debug)]
pub struct Recorder {
    timeline: Arc<Timeline>,
    interval: Box<Interval>,
    interval_end_ns: u64,
    cpu_start_ns: u64,
    window_idle_ns: u64,
    distinct: Histograms,
    batch_bytes: Histogram<u64>,
    errors: ErrorCounts,
    channel: Channel,
}

/// Counts of the records of one batch or fetch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Number of records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Bytes of the records as encoded in batches; 0 where the target does not report them.
    pub encoded_bytes: u64,
}

/// The values that a recorder returns when its thread ends. They cover the whole trial and are in no interval.
#[derive(Debug)]
pub struct Recorded {
    /// Latencies with one value for each ack, hand-over and fetch.
    pub distinct: Histograms,
    /// Encoded bytes of the batches acked inside the window.
    pub batch_bytes: Histogram<u64>,
    /// Time inside the window in which the thread had nothing to do, ns.
    pub window_idle_ns: u64,
    /// Records that failed.
    pub errors: ErrorCounts,
}

impl Default for Recorded {
    fn default() -> Self {
        Self {
            distinct: Histograms::default(),
            batch_bytes: new_histogram(),
            window_idle_ns: 0,
            errors: ErrorCounts::default(),
        }
    }
}

/// The channel from a load thread to the thread that watches the trial.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Sends finished intervals.
    pub finished: Sender<Box<Interval>>,
    /// Receives used intervals. Their memory was touched before, so using them again avoids page faults.
    pub spare: Receiver<Box<Interval>>,
    /// Number of the load thread, from 0.
    pub thread: usize,
}

impl Recorder {
    /// Creates a recorder whose first interval is the one that holds `now_ns`.
    pub fn new(timeline: Arc<Timeline>, now_ns: u64, channel: Channel) -> Self {
        let (index, thread) = (timeline.interval_of(now_ns), channel.thread);
        let interval = Box::new(Interval { index, thread, ..Interval::default() });
        let interval_end_ns = timeline.next_interval_ns(now_ns);
        Self {
            timeline,
            interval,
            interval_end_ns,
            cpu_start_ns: thread_cpu_ns(),
            window_idle_ns: 0,
            distinct: Histograms::default(),
            batch_bytes: new_histogram(),
            errors: ErrorCounts::default(),
            channel,
        }
    }

    /// The end of the current interval, ns on the trial's clock.
    pub fn interval_end_ns(&self) -> u64 {
        self.interval_end_ns
    }

    /// Sets the time of the values that are recorded next. If the current interval has ended, it is sent and the interval that
    /// holds `now_ns` begins.
    pub fn at(&mut self, now_ns: u64) {
        if now_ns >= self.interval_end_ns {
            self.enter(now_ns);
        }
    }

    #[cold]
    fn enter(&mut self, now_ns: u64) {
        let mut next = self.channel.spare.try_recv().unwrap_or_default();
        next.clear(self.timeline.interval_of(now_ns));
        next.thread = self.channel.thread;
        self.interval_end_ns = self.timeline.next_interval_ns(now_ns);
        let mut full = std::mem::replace(&mut self.interval, next);
        let cpu_ns = thread_cpu_ns();
        full.cpu_ns = cpu_ns.saturating_sub(self.cpu_start_ns);
        self.cpu_start_ns = cpu_ns;
        if (0..self.timeline.window_intervals()).contains(&full.index) {
            self.window_idle_ns += full.idle_ns;
        }
        // The receiver is gone only if the run is being aborted. Then the interval is not needed.
        let _ = self.channel.finished.send(full);
    }

    /// Records `count` values of `ns`.
    pub fn latency(&mut self, measure: Measure, ns: u64, count: u64) {
        if !records_latencies(self.interval.index) {
            return;
        }
        self.interval.latency.record_n(measure, ns, count);
    }

    /// Records the latencies of `records` records that were acked or given up together.
    pub fn completed(&mut self, times: &Times, records: u64) {
        if !records_latencies(self.interval.index) {
            return;
        }
        self.interval.latency.record_times(times, records);
    }

    /// Records the response times of `records` records. `own_ns` is the part in which they did not wait for the generator.
    pub fn response(&mut self, response_ns: u64, own_ns: u64, records: u64) {
        if !records_latencies(self.interval.index) {
            return;
        }
        self.interval.latency.record_response(response_ns, own_ns, records);
    }

    /// Records one distinct ack. `times` are those of its oldest record.
    pub fn ack(&mut self, times: &Times) {
        if !records_latencies(self.interval.index) {
            return;
        }
        let (service_ns, response_ns) = (times.service_ns(), times.response_ns());
        self.distinct(Measure::Service, service_ns);
        if let Some(ns) = response_ns {
            self.distinct(Measure::Response, ns);
        }
        // A latency of over an hour is counted among the overflows of the records.
        let _ = self.interval.acks.record(response_ns.unwrap_or(service_ns));
    }

    /// Records one distinct ack, hand-over or fetch. `ns` is the largest of its values.
    pub fn distinct(&mut self, measure: Measure, ns: u64) {
        if !records_latencies(self.interval.index) {
            return;
        }
        self.distinct.record_n(measure, ns, 1);
    }

    /// Counts a batch that was acked in the current interval.
    pub fn acked(&mut self, batch: Counted) {
        self.interval.acked_batches += 1;
        self.interval.acked_records += batch.records;
        self.interval.acked_bytes += batch.bytes;
        self.interval.acked_encoded_bytes += batch.encoded_bytes;
        if batch.encoded_bytes > 0 && (0..self.timeline.window_intervals()).contains(&self.interval.index) {
            // The histogram's largest value is one hour in ns. As bytes that is larger than any batch.
            self.batch_bytes.saturating_record(batch.encoded_bytes);
        }
    }

    /// Counts a fetch that was consumed in the current interval.
    pub fn consumed(&mut self, fetch: Counted) {
        self.interval.consumed_records += fetch.records;
        self.interval.consumed_bytes += fetch.bytes;
        self.interval.consumed_encoded_bytes += fetch.encoded_bytes;
    }

    /// Counts records that failed at `now_ns`.
    pub fn failed(&mut self, kind: ErrorKind, records: u64, now_ns: u64, message: &str) {
        self.interval.failed_records += records;
        self.errors.add(kind, records, now_ns, message);
    }

    /// Counts time in which the thread had nothing to do.
    pub fn idle(&mut self, ns: u64) {
        self.interval.idle_ns += ns;
    }

    /// Sends the last interval, and returns the values of the whole trial.
    pub fn finish(mut self) -> Recorded {
        self.enter(self.interval_end_ns);
        let Self { distinct, batch_bytes, window_idle_ns, errors, .. } = self;
        Recorded { distinct, batch_bytes, window_idle_ns, errors }
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
    use std::time::Duration;

    #[test]
    fn an_interval_is_handed_over_once_and_the_next_begins_empty() {
        let (finished, intervals) = unbounded();
        let (give_back, spare) = unbounded();
        let ns = Duration::from_nanos;
        let timeline = Arc::new(Timeline::new(ns(10), ns(100), ns(10), ns(10)));
        let mut recorder = Recorder::new(timeline, 0, Channel { finished, spare, thread: 0 });
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
