//! Watches a trial while load threads run it. The `Watcher` takes the intervals of the load threads. It samples the machine
//! and the system at the end of each interval, and at the start and the end of the window. It prints the progress, and ends the
//! trial early when the run is interrupted. Its measurements are [`Observations`].

use super::backlog::BacklogGate;
use super::bench::Bench;
use super::inject::InjectedStalls;
use super::progress::{Live, Progress, Slowest};
use super::require::{GateState, RetentionGate};

use super::wall_clock::{self, WallClock};
use crate::host::disk_use::DiskUse;
use crate::host::processes::GroupSample;
use crate::host::usage::{Glance, HostProbe, HostSample};
use crate::load::shared::Shared;
use crate::measure::events::{CLOCK_STEP, SystemEvent, event_of, gaps_without_acks};
use crate::measure::finished::Built;
use crate::measure::finished::Observations;
use crate::measure::recorder::Interval;
use crate::measure::sampled::Sampled;
use crate::measure::series::{HostInterval, SeriesBuilder, yield_core};
use crate::measure::shards::ShardStats;
use crate::num;
use crate::result::{Event, SeriesRow};
use crate::system::{Inside, System};
use crate::time::clock::{Clock as _, TrialClock};
use crate::time::timeline::Timeline;
use crossbeam::channel::{Receiver, RecvTimeoutError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// The time that an interrupted trial has to collect its acks.
const INTERRUPTED_DRAIN: Duration = Duration::from_millis(500);
/// Only for a backlog: the counters are sampled last before the consumers start, this long before the window.
const SAMPLE_BEFORE_WINDOW: Duration = Duration::from_millis(5);
/// The longest time between two looks at the clock and at the stop flag.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// Time between two lines of progress.
const PROGRESS_EVERY_NS: u64 = 1_000_000_000;
/// Time between two lists of the threads. The CPU time of a thread that ends between two lists is missed. The kernel's io_uring
/// workers end after some idle seconds.
const THREADS_EVERY_NS: u64 = 1_000_000_000;

/// The most events of the system that are kept of one trial. A system with tiny segments may have thousands a second.
const EVENTS_MAX: usize = 20_000;

/// The load threads, for the watcher: handles to wake them, and the channel of their intervals.
pub(crate) struct LoadThreads {
    threads: Vec<Thread>,
    intervals: Receiver<Box<Interval>>,
}

impl LoadThreads {
    pub(crate) fn new(threads: impl Iterator<Item = Thread>, intervals: Receiver<Box<Interval>>) -> Self {
        Self { threads: threads.collect(), intervals }
    }
}

/// The condition that the window waits for.
#[derive(Debug)]
pub(crate) enum Gate {
    /// `require: [retention_reached]`.
    Retention(RetentionGate),
    /// `backlog`.
    Backlog(BacklogGate),
}

/// Counters of the machine and of the shards at one moment.
struct Counters {
    host: HostSample,
    /// The processes that the harness has started for the system.
    processes: GroupSample,
    shards: Vec<ShardStats>,
}

/// The parts of a trial that a watcher needs.
pub(crate) struct WatcherParts<'a> {
    /// The system that is measured.
    pub(crate) system: &'a mut dyn System,
    /// Takes the intervals of the load threads.
    pub(crate) builder: SeriesBuilder,
    /// The load threads.
    pub(crate) load_threads: LoadThreads,
    /// The clock of the trial.
    pub(crate) clock: TrialClock,
    /// The phases of the trial.
    pub(crate) timeline: Arc<Timeline>,
    /// The condition that the window waits for.
    pub(crate) gate: Option<Gate>,
    /// The counters that the load threads share.
    pub(crate) shared: Arc<Shared>,
    /// The reason why the trial has ended before it began: a condition that was not met.
    pub(crate) missed: Option<String>,
}

/// The thread that watches a trial under way.
pub(crate) struct Watcher<'a> {
    system: &'a mut dyn System,
    stop: &'a AtomicBool,
    measured: &'a AtomicBool,
    progress: &'a Progress,
    record_bytes: u64,
    is_open_load: bool,
    builder: SeriesBuilder,
    load_threads: LoadThreads,
    clock: TrialClock,
    timeline: Arc<Timeline>,
    probe: HostProbe,
    disk_use: DiskUse,
    before: Glance,
    next_threads_ns: u64,
    /// With a backlog: the latest counters from the time in which its consumers wait for the window.
    before_window: Option<Counters>,
    /// Counters when the window opened.
    window_start: Option<Counters>,
    /// Counters when the window closed.
    window_end: Option<Counters>,
    next_interval_ns: u64,
    next_progress_ns: u64,
    rows_shown: usize,
    /// Events of the system. Their times are converted at the end, because the start of the window may not be known yet.
    system_events: Sampled<SystemEvent>,
    /// Events that the watcher caused, such as injected stalls, or noticed itself.
    events: Vec<Event>,
    rss_max_bytes: Option<u64>,
    data_max_bytes: Option<u64>,
    interrupted: bool,
    injected_stalls: InjectedStalls,
    error: Option<String>,
    gate: Option<Gate>,
    data_dir: &'a Path,
    built: Option<Built>,
    missed: Option<String>,
    shared: Arc<Shared>,
    retention_reached_ns: Option<u64>,
    wall_clock: WallClock,
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(bench: &'a Bench<'_>, parts: WatcherParts<'a>) -> Self {
        let WatcherParts { system, builder, load_threads, clock, timeline, gate, shared, missed } = parts;
        let context = bench.context;
        let cores = &bench.place.cores;
        let used = cores.shards.iter().chain(&cores.load).copied();
        let probe = HostProbe::new(context.data_dir.path()).on_cores(used);
        let before = probe.glance();
        let own = context.system_dir(bench.workload);
        let disk_use = DiskUse::of(system.data_dir().unwrap_or(&own));
        Self {
            system,
            stop: context.stop,
            measured: context.measured,
            progress: context.progress,
            record_bytes: bench.pool.mean_value_bytes(),
            is_open_load: builder.is_open_load(),
            builder,
            load_threads,
            next_interval_ns: timeline.next_interval_ns(0),
            next_progress_ns: PROGRESS_EVERY_NS,
            clock,
            timeline,
            probe,
            disk_use,
            before,
            next_threads_ns: 0,
            before_window: None,
            window_start: None,
            window_end: None,
            rows_shown: 0,
            system_events: Sampled::new(EVENTS_MAX),
            events: Vec::new(),
            rss_max_bytes: None,
            data_max_bytes: None,
            interrupted: false,
            injected_stalls: InjectedStalls::new(bench.extras.injections),
            error: None,
            gate,
            data_dir: context.data_dir.path(),
            built: None,
            missed,
            shared,
            retention_reached_ns: None,
            wall_clock: WallClock::now(),
        }
    }

    /// Watches until every load thread has handed in its last interval.
    pub(crate) fn until_done(mut self) -> Observations {
        loop {
            let now_ns = self.clock.now_ns();
            if !self.interrupted && self.stop.load(Ordering::SeqCst) {
                self.interrupted = true;
                self.timeline.cut(now_ns, INTERRUPTED_DRAIN);
                self.load_threads.threads.iter().for_each(Thread::unpark);
            }
            self.advance(now_ns);
            let next_ns = self
                .next_interval_ns
                .min(self.injected_stalls.next_ns(&self.timeline))
                .min(self.next_sample_ns());
            let wait_ns = next_ns.saturating_sub(self.clock.now_ns());
            match self.load_threads.intervals.recv_timeout(POLL_EVERY.min(Duration::from_nanos(wait_ns))) {
                Ok(interval) => self.builder.add(interval, !self.load_threads.intervals.is_empty()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // The drain may end before the watcher has sampled the counters at the end of the window.
        if self.window_start.is_some() && self.window_end.is_none() {
            self.window_end = Some(self.counters());
        }
        self.finish()
    }

    fn advance(&mut self, now_ns: u64) {
        if self.awaits_window(now_ns) {
            let edge = self.counters();
            // The sample counts only if it was complete before the consumers began.
            if self.awaits_window(self.clock.now_ns()) {
                self.before_window = Some(edge);
            }
        }
        if self.window_start.is_none()
            && now_ns >= self.timeline.window_start_ns()
            && self.timeline.window_ns() > 0
        {
            self.window_start = self.before_window.take().or_else(|| Some(self.counters()));
            self.measured.store(true, Ordering::SeqCst);
        }
        if self.window_start.is_some() && self.window_end.is_none() && now_ns >= self.timeline.window_end_ns()
        {
            self.window_end = Some(self.counters());
        }
        let is_window = self.window_start.is_some() && self.window_end.is_none();
        if is_window && now_ns >= self.injected_stalls.next_ns(&self.timeline) {
            match self.injected_stalls.make_next(self.system, &self.timeline, now_ns) {
                Ok(event) => self.events.extend(event),
                Err(error) => self.error = Some(format!("{error:#}")),
            }
        }
        if self.timeline.is_held() {
            self.check_gate(now_ns);
        }
        if now_ns >= self.next_interval_ns {
            self.end_interval(now_ns);
        }
        if now_ns >= self.next_progress_ns {
            self.next_progress_ns = now_ns + PROGRESS_EVERY_NS;
            self.show_progress(now_ns);
        }
    }

    /// Returns whether a backlog is complete and its consumers have not started yet. The counters are sampled in this time. A
    /// sample after the window's start would miss the bytes that consumers have fetched until then. A short window could even
    /// be over.
    fn awaits_window(&self, now_ns: u64) -> bool {
        matches!(self.gate, Some(Gate::Backlog(_)))
            && !self.timeline.is_held()
            && now_ns < self.timeline.window_start_ns()
    }

    /// Returns the time of the last sample before the consumers of a backlog start, in ns; `u64::MAX` if none is due.
    fn next_sample_ns(&self) -> u64 {
        let now_ns = self.clock.now_ns();
        let sample_ns = self.timeline.window_start_ns().saturating_sub(num::ns_of(SAMPLE_BEFORE_WINDOW));
        if self.awaits_window(now_ns) && now_ns < sample_ns { sample_ns } else { u64::MAX }
    }

    fn counters(&mut self) -> Counters {
        Counters {
            host: self.probe.sample(),
            processes: self.system.process_group().map(GroupSample::of).unwrap_or_default(),
            shards: self.system.inside().map_or_else(Vec::new, Inside::shard_stats),
        }
    }

    fn end_interval(&mut self, now_ns: u64) {
        let glance = self.probe.glance();
        let data_bytes = self.disk_use.sample();
        let host = HostInterval {
            device_bytes: glance.written_since(&self.before),
            cpu: glance.cpu_since(&self.before),
            rss_bytes: glance.rss_bytes,
            data_bytes,
        };
        self.before = glance;
        if now_ns >= self.next_threads_ns {
            self.next_threads_ns = now_ns + THREADS_EVERY_NS;
            yield_core();
            self.probe.update_threads();
            yield_core();
        }
        let index = self.timeline.interval_of(self.next_interval_ns.saturating_sub(1));
        self.builder.add_host(index, host);
        let groups = self.shared.groups();
        if !groups.is_empty() {
            self.builder.add_lags(index, groups.iter().map(|group| self.shared.lag_of(group)).collect());
        }
        self.rss_max_bytes = self.rss_max_bytes.max(host.rss_bytes);
        self.data_max_bytes = self.data_max_bytes.max(data_bytes);
        self.next_interval_ns = self.timeline.next_interval_ns(now_ns);
        if let Some(step_s) = self.wall_clock.step_s() {
            let detail = wall_clock::sentence(step_s);
            self.events.push(event(CLOCK_STEP, self.timeline.seconds_of(now_ns), detail));
        }
        if self.injected_stalls.is_under_way(now_ns) {
            // A stopped shard does not answer, and this thread must not wait for it.
            return;
        }
        let events = self.system.inside().map_or_else(Vec::new, Inside::drain_events);
        if let Some(Gate::Retention(gate)) = &mut self.gate {
            events.iter().for_each(|event| gate.note(event));
        }
        self.system_events.extend(events);
    }

    /// Opens the window once its condition holds.
    fn check_gate(&mut self, now_ns: u64) {
        let state = match &self.gate {
            Some(Gate::Retention(gate)) => gate.state(now_ns),
            Some(Gate::Backlog(gate)) => {
                self.built = gate.built(now_ns);
                if self.built.is_some() { GateState::Open } else { GateState::Shut }
            }
            None => GateState::Open,
        };
        match state {
            GateState::Shut => {}
            GateState::Open => self.open_window(now_ns),
            GateState::Missed(why) => {
                self.missed = Some(why);
                self.timeline.cut(now_ns, INTERRUPTED_DRAIN);
            }
        }
    }

    fn open_window(&mut self, now_ns: u64) {
        let mut warmup_ns = 0;
        match &self.gate {
            Some(Gate::Retention(gate)) => {
                self.retention_reached_ns = Some(now_ns);
                warmup_ns = gate.warmup_left_ns();
            }
            Some(Gate::Backlog(gate)) => {
                if let Err(error) = gate.prepare(self.system, self.data_dir, self.stop) {
                    self.error = Some(format!("{error:#}"));
                }
            }
            None => {}
        }
        // The load threads end the interval they are in before the window opens.
        let now_ns = self.clock.now_ns();
        self.timeline.open(now_ns + warmup_ns.max(2 * self.timeline.interval_ns()));
        self.next_interval_ns = self.timeline.next_interval_ns(now_ns);
        // Threads that sleep until the window opens do not know its time yet.
        self.load_threads.threads.iter().for_each(Thread::unpark);
    }

    fn show_progress(&mut self, now_ns: u64) {
        if let Some(gate) = self.gate.as_ref().filter(|_| self.timeline.is_held()) {
            return self.progress.step(&match gate {
                Gate::Retention(gate) => gate.progress(),
                Gate::Backlog(gate) => gate.progress(),
            });
        }
        let rows = self.builder.rows();
        let fresh = &rows[self.rows_shown.min(rows.len())..];
        if fresh.is_empty() {
            // No interval has ended since the last line, so there is no rate.
            return;
        }
        self.rows_shown = rows.len();
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
            lags: self.shared.groups().iter().map(|group| self.shared.lag_of(group)).collect(),
            latency: if self.is_open_load { "response" } else { "service" },
            slowest: Slowest::of(fresh),
        });
    }

    fn finish(mut self) -> Observations {
        self.end_interval(self.clock.now_ns());
        let series = self.builder.finish();
        let (seen, stride) = (self.system_events.seen(), self.system_events.stride());
        let system_events =
            std::mem::replace(&mut self.system_events, Sampled::new(0)).into_kept().into_iter();
        self.events.extend(system_events.map(|event| event_of(event, &self.clock, &self.timeline)));
        if stride > 1 {
            let detail = format!("of {seen} events of the system, one in {stride} is kept");
            self.events.push(event("remark", 0.0, detail));
        }
        let backlog = match &self.gate {
            Some(Gate::Backlog(gate)) => Some(gate),
            _ => None,
        };
        if backlog.is_none() {
            // Producers may rest while a backlog is consumed, so a time without acks is no stall.
            self.events.extend(gaps_without_acks(&series.rows));
        }
        self.events.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        let window = self.window_start.zip(self.window_end);
        let shards = window.as_ref().map(|(start, end)| {
            end.shards.iter().map(|after| {
                let before = start.shards.iter().find(|before| before.shard == after.shard);
                before.map_or_else(|| after.clone(), |before| after.since(before))
            })
        });
        let processes = window.as_ref().map(|(start, end)| end.processes.since(&start.processes));
        let processes = processes.unwrap_or_default();
        let has_lost_process =
            window.as_ref().is_some_and(|(start, end)| end.processes.lacks_any_of(&start.processes));
        let own_s: f64 = processes.iter().map(|process| process.cpu.total_s).sum();
        let host = window.as_ref().map(|(start, end)| end.host.since(&start.host).without_others_s(own_s));
        Observations {
            series,
            events: self.events,
            shards: shards.into_iter().flatten().collect(),
            host,
            processes,
            has_lost_process,
            rss_max_bytes: self.rss_max_bytes,
            data_max_bytes: self.data_max_bytes,
            interrupted: self.interrupted,
            stalls: self.injected_stalls.into_made(),
            error: self.error,
            retention_reached_s: self.retention_reached_ns.map(|ns| self.timeline.seconds_of(ns)),
            missed: self.missed,
            built: self.built,
            is_drained: backlog.is_some_and(BacklogGate::is_drained),
        }
    }
}

/// An event that the watcher itself has noticed, `t_s` seconds after the window opened.
fn event(kind: &str, t_s: f64, detail: String) -> Event {
    Event { t_s, kind: kind.to_owned(), detail: Some(detail), ..Event::default() }
}
