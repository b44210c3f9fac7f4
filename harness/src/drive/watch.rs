//! Watches a trial from outside: takes in the load threads' intervals, samples the machine and the target at the edges of
//! intervals and window, tells how it goes, and cuts the trial short when it is interrupted.

use super::clock::{Clock as _, TrialClock};
use super::progress::{Live, Progress};
use super::timeline::Timeline;
use super::trial::Bench;
use crate::measure::disk_use::DiskUse;
use crate::measure::events::{event_of, stalls};
use crate::measure::host::{HostProbe, HostSample, HostUsage};
use crate::measure::recorder::{Histograms, Interval};
use crate::measure::series::{HostInterval, Series, SeriesBuilder};
use crate::num;
use crate::result::{Event, SeriesRow};
use crate::target::{ShardStats, Target};
use crossbeam::channel::{Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// What an interrupted trial is given to collect its acks.
const INTERRUPTED_DRAIN: Duration = Duration::from_secs(1);
/// An interrupt is noticed within this.
const LOOK: Duration = Duration::from_millis(50);
const LIVE_EVERY_NS: u64 = 1_000_000_000;

/// The load threads, as far as a watcher needs them.
pub(super) struct Crew {
    threads: Vec<Thread>,
    intervals: Receiver<Box<Interval>>,
}

impl Crew {
    pub(super) fn new(threads: impl Iterator<Item = Thread>, intervals: Receiver<Box<Interval>>) -> Self {
        Self { threads: threads.collect(), intervals }
    }
}

/// What was seen from outside.
#[derive(Debug)]
pub struct Watched {
    /// Rows, histograms over time and counts.
    pub series: Series,
    /// What happened inside, and the stalls that the acks gave away.
    pub events: Vec<Event>,
    /// Every shard's counters over the window.
    pub shards: Vec<ShardStats>,
    /// What the machine spent over the window; `None` if it never opened.
    pub host: Option<HostUsage>,
    /// The most that was resident at the end of any interval, bytes.
    pub rss_max_bytes: Option<u64>,
    /// The most that the target's files took of the disk when it was looked at, bytes.
    pub data_max_bytes: Option<u64>,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

impl Watched {
    /// The latencies of the window's records.
    pub fn latency(&self) -> &Histograms {
        &self.series.latency
    }
}

/// Counters at one moment.
struct Edge {
    host: HostSample,
    shards: Vec<ShardStats>,
}

/// A watch under way.
pub(super) struct Watch<'a> {
    target: &'a mut dyn Target,
    stop: &'a AtomicBool,
    progress: &'a Progress,
    record_bytes: u64,
    is_open_load: bool,
    builder: SeriesBuilder,
    crew: Crew,
    clock: TrialClock,
    timeline: Arc<Timeline>,
    probe: HostProbe,
    disk_use: DiskUse,
    before: HostSample,
    opened: Option<Edge>,
    closed: Option<Edge>,
    next_interval_ns: u64,
    next_live_ns: u64,
    rows_told: usize,
    events: Vec<Event>,
    rss_max_bytes: Option<u64>,
    data_max_bytes: Option<u64>,
    interrupted: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        bench: &'a Bench<'_>,
        target: &'a mut dyn Target,
        builder: SeriesBuilder,
        crew: Crew,
        (clock, timeline): (TrialClock, Arc<Timeline>),
    ) -> Self {
        let mut probe = HostProbe::new(bench.data_dir.path());
        let before = probe.sample();
        Self {
            target,
            stop: bench.stop,
            progress: bench.progress,
            record_bytes: bench.pool.mean_value_bytes(),
            is_open_load: builder.is_open_load(),
            builder,
            crew,
            next_interval_ns: timeline.next_interval_ns(0),
            next_live_ns: LIVE_EVERY_NS,
            clock,
            timeline,
            probe,
            disk_use: DiskUse::of(bench.data_dir.path()),
            before,
            opened: None,
            closed: None,
            rows_told: 0,
            events: Vec::new(),
            rss_max_bytes: None,
            data_max_bytes: None,
            interrupted: false,
        }
    }

    /// Watches until every load thread has handed in its last interval.
    pub(super) fn until_done(mut self) -> Watched {
        loop {
            let now_ns = self.clock.now_ns();
            if !self.interrupted && self.stop.load(Ordering::SeqCst) {
                self.interrupted = true;
                self.timeline.cut(now_ns, INTERRUPTED_DRAIN);
                self.crew.threads.iter().for_each(Thread::unpark);
            }
            self.look(now_ns);
            let wait_ns = self.next_interval_ns.saturating_sub(self.clock.now_ns());
            match self.crew.intervals.recv_timeout(LOOK.min(Duration::from_nanos(wait_ns))) {
                Ok(interval) => self.builder.add(interval),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // The drain may have ended before anyone looked at the window's end.
        if self.opened.is_some() && self.closed.is_none() {
            self.closed = Some(self.edge());
        }
        self.finish()
    }

    fn look(&mut self, now_ns: u64) {
        if self.opened.is_none() && now_ns >= self.timeline.window_start_ns() && self.timeline.window_ns() > 0
        {
            self.opened = Some(self.edge());
        }
        if self.opened.is_some() && self.closed.is_none() && now_ns >= self.timeline.window_end_ns() {
            self.closed = Some(self.edge());
        }
        if now_ns >= self.next_interval_ns {
            self.end_interval(now_ns);
        }
        if now_ns >= self.next_live_ns {
            self.next_live_ns = now_ns + LIVE_EVERY_NS;
            self.tell(now_ns);
        }
    }

    fn edge(&mut self) -> Edge {
        Edge { host: self.probe.sample(), shards: self.target.shard_stats() }
    }

    fn end_interval(&mut self, now_ns: u64) {
        let sample = self.probe.sample();
        let usage = sample.since(&self.before);
        self.before = sample;
        let elapsed_s = usage.elapsed.as_secs_f64();
        let data_bytes = self.disk_use.sample();
        let host = HostInterval {
            device_bytes: usage.disk.map(|disk| disk.written),
            cpu: (elapsed_s > 0.0).then(|| usage.process.total_s / elapsed_s),
            rss_bytes: usage.rss_bytes,
            data_bytes,
        };
        self.builder.add_host(self.timeline.interval_of(self.next_interval_ns.saturating_sub(1)), host);
        self.rss_max_bytes = self.rss_max_bytes.max(usage.rss_bytes);
        self.data_max_bytes = self.data_max_bytes.max(data_bytes);
        self.next_interval_ns = self.timeline.next_interval_ns(now_ns);
        let events = self.target.drain_events().into_iter();
        self.events.extend(events.map(|event| event_of(event, &self.clock, &self.timeline)));
    }

    fn tell(&mut self, now_ns: u64) {
        let rows = self.builder.rows();
        let fresh = &rows[self.rows_told.min(rows.len())..];
        self.rows_told = rows.len();
        let phase = if now_ns < self.timeline.window_start_ns() {
            "warm-up"
        } else if now_ns < self.timeline.window_end_ns() {
            "measuring"
        } else {
            "draining"
        };
        let length_s: f64 = fresh.iter().map(|row| row.interval_s).sum();
        let per_s = |of: fn(&SeriesRow) -> u64| {
            num::f64_of(fresh.iter().map(of).sum()) / length_s.max(f64::MIN_POSITIVE)
        };
        let achieved = per_s(|row| row.achieved);
        self.progress.live(&Live {
            phase,
            acked_per_s: achieved,
            acked_bytes_per_s: achieved * num::f64_of(self.record_bytes),
            consumed_per_s: fresh
                .last()
                .and_then(|row| row.backlog_records)
                .map(|_| per_s(|row| row.consumed)),
            backlog_records: fresh.last().and_then(|row| row.backlog_records),
            latency: if self.is_open_load { "response" } else { "service" },
            p99_ns: fresh.iter().filter_map(|row| row.p99_ns).max(),
        });
    }

    fn finish(mut self) -> Watched {
        self.end_interval(self.clock.now_ns());
        let series = self.builder.finish();
        self.events.extend(stalls(&series.rows));
        self.events.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        let edges = self.opened.zip(self.closed);
        let shards = edges.as_ref().map(|(opened, closed)| {
            closed.shards.iter().map(|after| {
                let before = opened.shards.iter().find(|before| before.shard == after.shard);
                before.map_or_else(|| after.clone(), |before| after.since(before))
            })
        });
        Watched {
            series,
            events: self.events,
            shards: shards.into_iter().flatten().collect(),
            host: edges.as_ref().map(|(opened, closed)| closed.host.since(&opened.host)),
            rss_max_bytes: self.rss_max_bytes,
            data_max_bytes: self.data_max_bytes,
            interrupted: self.interrupted,
        }
    }
}
