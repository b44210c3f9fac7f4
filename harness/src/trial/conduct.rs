//! Conducts one trial: opens a fresh system, runs the load threads, and collects their records after the drain.

mod read_back;

use super::backlog::BacklogGate;
use super::bench::{Bench, Extras};
use super::harvest::harvest;
use super::require::RetentionGate;
use super::watch::{Gate, LoadThreads, Watcher, WatcherParts};
use crate::host::machine_id::machine_number;
use crate::host::usage::{Glance, HostProbe};
use crate::load::colocated::ShardLoad;
use crate::load::load_thread::{LoadOutcome, LoadPlan, LoadThread, Start};
use crate::load::plan::{TrialLoad, granularity_after, granularity_of, schedules_of, topic_name};
use crate::load::shared::Shared;
use crate::measure::finished::{FinalSync, TrialRun};
use crate::measure::recorder::{Channel, Interval};
use crate::measure::series::SeriesBuilder;
use crate::num;
use crate::system::System;
use crate::time::clock::TrialClock;
use crate::time::schedule::Offered;
use crate::time::timeline::Timeline;
use crate::workload::{Load, Phases};
use anyhow::Context as _;
use crossbeam::channel::{Receiver, unbounded};
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Windows shorter than this are watched at [`INTERVAL_SHORT`], longer ones at [`INTERVAL_LONG`].
const SHORT_WINDOW_MAX: Duration = Duration::from_secs(60);
const INTERVAL_SHORT: Duration = Duration::from_millis(100);
const INTERVAL_LONG: Duration = Duration::from_secs(1);

impl Bench<'_> {
    /// Runs one trial and leaves its data behind.
    ///
    /// # Errors
    /// The system cannot be opened or given its topics, or a thread cannot be started. A later failure is part of the
    /// trial's record.
    pub fn trial(&self, load: Load, phases: Phases) -> anyhow::Result<TrialRun> {
        let Extras { requirements, backlog, ack_log, .. } = self.extras;
        let workload = self.workload;
        let disk_before = HostProbe::new(self.context.data_dir.path()).glance();
        let mut system = self.open_with_topics()?;
        let description = system.describe();
        let timeline = timeline_of(phases, !requirements.is_empty() || backlog.is_some());
        let schedules = schedules_of(workload, load.mode, &timeline)?;
        let offered = Offered::new(schedules.clone());
        let ((give_back, spare), (finished, intervals)) = (unbounded(), unbounded());
        let groups = workload.subscriptions_per_topic;
        let builder = SeriesBuilder::new(Arc::clone(&timeline), offered, groups, give_back);
        let builder = builder.with_threads(self.load_threads());
        let request = TrialLoad {
            workload,
            load,
            schedules,
            machine: machine_number(),
            pool: &self.pool,
            system: &*system,
            threads: self.load_threads(),
            idle: self.place.idle,
            timeline: Arc::clone(&timeline),
            channel: Channel { finished, spare, thread: 0 },
            ack_log,
            backlog,
        };
        let (plans, shared) = request.plans()?;
        // It holds the sending end of the channel, which the watcher waits to be closed.
        drop(request);
        let start = Start { clock: TrialClock::start(), wall_ms: wall_ms() };
        let began_s = self.context.started.elapsed().as_secs_f64();
        let mut begun = Begun::default();
        for (number, plan) in (0..).zip(plans) {
            if let Err(error) = self.begin(number, plan, start, &mut *system, &mut begun) {
                shared.give_up();
                return Err(error);
            }
        }
        let watcher = Watcher::new(
            self,
            WatcherParts {
                system: &mut *system,
                builder,
                load_threads: begun.load_threads(intervals),
                clock: start.clock,
                timeline: Arc::clone(&timeline),
                gate: self.gate(load, phases, &shared),
            },
        );
        let observed = watcher.until_done();
        let granularity = granularity_of(load.mode).or(backlog.and_then(granularity_after));
        let mut harvest = harvest(begun.end(), &timeline, observed.latency(), granularity.is_some());
        let error = harvest.error.take().or_else(|| observed.error.clone());
        let final_sync = if error.is_none() { self.final_sync(&disk_before)? } else { None };
        let closed = self.close(system).err().map(|error| format!("{error:#}"));
        Ok(TrialRun {
            window_start_s: began_s + num::f64_of(timeline.window_start_ns()) * 1e-9,
            clock_zero_unix_ms: start.wall_ms,
            granularity,
            offered: observed.series.offered,
            observed,
            harvest,
            placement: workload.deployment().placement,
            load_threads: self.load_threads(),
            target: description.into(),
            final_sync,
            error: error.or(closed),
            defects: None,
            closed: None,
            timeline,
        })
    }

    /// Closes the system. A system that is interrupted is not closed but dropped, if its data is removed anyway: to close
    /// thousands of partitions takes long.
    fn close(&self, system: Box<dyn System>) -> anyhow::Result<()> {
        if self.context.is_stopped() && !self.context.data_dir.is_kept() {
            drop(system);
            return Ok(());
        }
        system.close()
    }

    /// The condition that the window waits for.
    fn gate(&self, load: Load, phases: Phases, shared: &Arc<Shared>) -> Option<Gate> {
        let Extras { requirements, backlog, .. } = self.extras;
        let fills_first = load.mode.rate().is_some();
        let retention = || Gate::Retention(RetentionGate::new(self.workload, phases, fills_first));
        match backlog {
            Some(backlog) => {
                let gate = BacklogGate::new(backlog, self.workload.deployment().io, Arc::clone(shared));
                Some(Gate::Backlog(gate))
            }
            None => (!requirements.is_empty()).then(retention),
        }
    }

    fn load_threads(&self) -> usize {
        if let Some(threads) = self.workload.deployment().load_threads {
            return num::index(threads).max(1);
        }
        let cores = &self.place.cores;
        let threads = if self.is_colocated() { cores.shards.len() } else { cores.load.len() };
        threads.max(1)
    }

    /// Opens a fresh system with the workload's topics.
    fn open_with_topics(&self) -> anyhow::Result<Box<dyn System>> {
        let workload = self.workload;
        let data_dir = self.context.system_dir(workload);
        let mut system = (self.context.open)(workload, &self.place.cores, &data_dir)?;
        for topic in 0..workload.topics {
            system.create_topic(&topic_name(topic), workload.partitions_per_topic)?;
        }
        Ok(system)
    }

    /// Writes everything to the device, if writes go through the page cache. `before` was read before the trial began.
    fn final_sync(&self, before: &Glance) -> anyhow::Result<Option<FinalSync>> {
        if !self.workload.deployment().is_page_cached() || self.context.is_stopped() {
            return Ok(None);
        }
        let begun = Instant::now();
        self.context.data_dir.sync()?;
        let took = begun.elapsed();
        let after = HostProbe::new(self.context.data_dir.path()).glance();
        Ok(Some(FinalSync { took, device_write_bytes: after.written_since(before) }))
    }

    /// Starts load thread `number`, or the load of shard `number`.
    fn begin(
        &self,
        number: u32,
        plan: LoadPlan,
        start: Start<TrialClock>,
        system: &mut dyn System,
        begun: &mut Begun,
    ) -> anyhow::Result<()> {
        if self.is_colocated() {
            begun.shards.push(ShardLoad::begin(system, number, plan, start)?);
        } else {
            let cores = &self.place.cores;
            let nice = cores.load_nice.filter(|_| plan.is_paced);
            let scheduling = Scheduling { core: cores.load.get(num::index(number)).copied(), nice };
            begun.threads.push(spawn(number, scheduling, plan, start)?);
        }
        Ok(())
    }
}

/// The load that was started.
#[derive(Default)]
struct Begun {
    threads: Vec<JoinHandle<LoadOutcome>>,
    shards: Vec<ShardLoad>,
}

impl Begun {
    /// Returns the load threads, for the watcher. Load on shards is not among them: it looks up at each interval's end without
    /// being woken.
    fn load_threads(&self, intervals: Receiver<Box<Interval>>) -> LoadThreads {
        LoadThreads::new(self.threads.iter().map(|thread| thread.thread().clone()), intervals)
    }

    /// Waits for all load, and returns the outcome of each thread or shard.
    fn end(self) -> Vec<LoadOutcome> {
        let outcomes = self.threads.into_iter().map(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        outcomes.chain(self.shards.into_iter().map(ShardLoad::end)).collect()
    }
}

fn timeline_of(phases: Phases, is_held: bool) -> Arc<Timeline> {
    let is_short = phases.measure.0 < SHORT_WINDOW_MAX;
    let interval = if is_short { INTERVAL_SHORT } else { INTERVAL_LONG };
    let (measure, drain) = (phases.measure.0, phases.drain.0);
    Arc::new(if is_held {
        Timeline::held(measure, drain, interval)
    } else {
        Timeline::new(phases.warmup.0, measure, drain, interval)
    })
}

/// The scheduling of a load thread.
#[derive(Debug, Clone, Copy)]
struct Scheduling {
    core: Option<u32>,
    nice: Option<i32>,
}

/// Starts a load thread on its core, with the shortest timer slack that the kernel offers.
fn spawn(
    number: u32,
    scheduling: Scheduling,
    plan: LoadPlan,
    start: Start<TrialClock>,
) -> anyhow::Result<JoinHandle<LoadOutcome>> {
    let work = move || {
        if let Some(core) = scheduling.core {
            let mut set = CpuSet::new();
            set.set(num::index(core));
            // The core was checked before. If it is not allowed any more, the thread runs on any allowed core.
            let _ = sched_setaffinity(None, &set);
        }
        if let Some(nice) = scheduling.nice {
            // It was tried before. If it is refused now, the thread has the priority of the process.
            let _ = setpriority_process(None, nice);
        }
        // The default slack of 50 µs would delay each wake-up by 50 µs. If the kernel refuses, the delay stays.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let shared = Arc::clone(&plan.shared);
        match LoadThread::new(plan, start, &std::thread::current()) {
            Ok(thread) => thread.run(),
            Err(error) => {
                shared.give_up();
                LoadOutcome::failed(error)
            }
        }
    };
    std::thread::Builder::new()
        .name(format!("load-{number}"))
        .spawn(work)
        .context("cannot start a load thread")
}

fn wall_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::load_thread::Idle;
    use crate::result::provenance::CoresUsed;
    use crate::system::fake::{Behaviour, FakeSystem};
    use crate::trial::context::{Options, RunContext};
    use crate::trial::cores::Place;
    use crate::trial::data_dir::DataDir;
    use crate::trial::progress::Progress;
    use crate::workload::profile::Ramp;
    use crate::workload::{
        Backlog, Bytes, LoadMode, MessageSize, Profile, Rate, Requirement, Study, TimeSpan, Workload,
    };
    use std::sync::atomic::AtomicBool;

    /// Runs a short trial in real time against a system that acks at once.
    fn trial(mode: LoadMode, stop: bool) -> TrialRun {
        trial_of(mode, Case { stop, ..Case::default() })
    }

    /// The settings in which trials differ.
    #[derive(Default)]
    struct Case {
        stop: bool,
        requirements: Vec<Requirement>,
        backlog: Option<Backlog>,
        behaviour: Behaviour,
    }

    fn trial_of(mode: LoadMode, case: Case) -> TrialRun {
        let Case { stop, requirements, backlog, behaviour } = case;
        let ms = |ms| TimeSpan(Duration::from_millis(ms));
        let phases = Phases { warmup: ms(200), measure: ms(400), drain: ms(2000) };
        let load = Load { mode, in_flight_bytes: Bytes::kib(64) };
        let workload = Workload {
            message_size: MessageSize::Fixed(Bytes(100)),
            partitions_per_topic: 2,
            phases,
            load,
            ..Workload::default()
        };
        let outer = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(Some(&outer.path().join("data"))).unwrap();
        let study = Study::alone(workload.clone());
        let context = RunContext {
            study: &study,
            options: &Options::default(),
            open: &|_, _, _| Ok(Box::new(FakeSystem::new(behaviour.clone()))),
            unwarmed: &|_| None,
            device: &crate::device::bare_device,
            data_dir: &data_dir,
            stop: &Arc::new(AtomicBool::new(stop)),
            measured: &AtomicBool::new(false),
            progress: &Progress::silent(),
            started: Instant::now(),
        };
        let place = Place { cores: CoresUsed::default(), idle: Idle::Sleep };
        let extras = Extras { requirements: &requirements, backlog, ..Extras::default() };
        let bench = Bench::new(&context, &workload, &place, extras).unwrap();
        let run = bench.trial(load, phases).unwrap();
        assert_eq!(context.is_stopped(), stop);
        run
    }

    #[test]
    fn a_trial_measures_its_window_and_drains() {
        let mode = LoadMode::Open {
            rate: Rate::per_s(1000),
            arrival: Default::default(),
            profile: Default::default(),
        };
        let run = trial(mode, false);
        assert_eq!(run.error, None);
        assert_eq!(run.offered, Some(400));
        assert_eq!(run.harvest.latencies.records.of(crate::result::latency::Measure::Response).len(), 400);
        let sent: u64 = run.harvest.produced.iter().map(|partition| partition.answered).sum();
        assert_eq!(sent, 600);
        let rows = &run.observed.series.rows;
        assert_eq!(rows.len(), 6);
        assert_eq!(rows.iter().map(|row| row.offered.unwrap()).sum::<u64>(), 600);
        assert!(run.observed.host.is_some() && !run.observed.interrupted);
        let integrity = crate::judge::integrity::judge(&run.harvest.produced, &run.harvest.consumed);
        assert_eq!((integrity.checked, integrity.is_violated(), integrity.undrained), (600, false, 0));
    }

    #[test]
    fn a_profile_shapes_what_is_offered() {
        let mode = LoadMode::Open {
            rate: Rate::per_s(1000),
            arrival: Default::default(),
            profile: Profile::Ramp(Ramp { from: 0.0, to: 2.0 }),
        };
        let run = trial(mode, false);
        assert_eq!(run.error, None);
        assert_eq!(run.offered, Some(400), "the mean over the window is the rate");
        let rows: Vec<u64> = run.observed.series.rows.iter().map(|row| row.offered.unwrap()).collect();
        assert_eq!(rows, [0, 0, 25, 75, 125, 175], "none before a ramp from 0, then ever more");
    }

    #[test]
    fn a_window_that_waits_for_retention_opens_after_it_and_shapes_what_comes_then() {
        let mode = LoadMode::Open {
            rate: Rate::per_s(1000),
            arrival: Default::default(),
            profile: Profile::Ramp(Ramp { from: 1.0, to: 3.0 }),
        };
        // The 500 records of each of two partitions, which would take a second at the rate, come as fast as acks allow.
        let behaviour = Behaviour { retains_at: Some(500), ..Behaviour::default() };
        let requirements = vec![Requirement::RetentionReached];
        let run = trial_of(mode, Case { requirements, behaviour, ..Case::default() });
        assert_eq!((run.error.as_deref(), run.observed.missed.as_deref()), (None, None));
        let reached_ns = num::u64_of((run.observed.retention_reached_s.unwrap() * 1e9).abs());
        assert!(
            reached_ns >= 200_000_000,
            "the warm-up at the rate follows: {reached_ns} ns before the window"
        );
        assert!(run.timeline.window_start_ns() >= reached_ns, "{:?}", run.timeline);
        let warm = |row: &&crate::result::SeriesRow| row.t_s < 0.0;
        let offered: u64 = run.observed.series.rows.iter().filter(warm).filter_map(|row| row.offered).sum();
        assert!((100..=400).contains(&offered), "about 200 in the warm-up, not {offered}");
        assert_eq!(run.timeline.window_ns(), 400_000_000);
        assert_eq!(run.offered, Some(800), "twice the rate in the mean");
        let integrity = crate::judge::integrity::judge(&run.harvest.produced, &run.harvest.consumed);
        assert!(integrity.checked >= 1800 && !integrity.is_violated(), "{integrity:?}");
        assert!(run.observed.retention_reached_s.unwrap() < 0.0);
        assert_eq!(run.observed.events.iter().filter(|event| event.kind == "retention").count(), 2);
        assert!(run.observed.events.iter().all(|event| event.t_s > -10.0), "{:?}", run.observed.events);
    }

    #[test]
    fn consumers_that_start_late_end_the_window_when_they_have_caught_up() {
        for rate in [0, 500] {
            let backlog = Backlog {
                build: Bytes::kib(256),
                cache: Default::default(),
                drain_producer_rate: Rate::per_s(rate),
            };
            let run = trial_of(LoadMode::Max, Case { backlog: Some(backlog), ..Case::default() });
            assert_eq!(run.error, None);
            let built = run.observed.built.unwrap();
            assert!((259_000..264_000).contains(&built.encoded_bytes), "{built:?}");
            assert!(run.observed.is_drained && run.timeline.window_ns() < 400_000_000, "{:?}", run.timeline);
            let window = &run.observed.series.window;
            assert!(window.consumed_records >= built.records, "{} of {built:?}", window.consumed_records);
            assert_eq!(run.granularity.is_some(), rate > 0);
            let integrity = crate::judge::integrity::judge(&run.harvest.produced, &run.harvest.consumed);
            assert!(integrity.checked >= built.records && !integrity.is_violated(), "{integrity:?}");
            assert_eq!(integrity.undrained, 0);
            assert!(
                run.observed.events.is_empty(),
                "resting producers are no stall: {:?}",
                run.observed.events
            );
        }
    }

    #[test]
    fn a_trial_that_never_gets_there_is_given_up() {
        let mode = LoadMode::Open {
            rate: Rate::per_s(100),
            arrival: Default::default(),
            profile: Default::default(),
        };
        let behaviour = Behaviour { retains_at: Some(usize::MAX), ..Behaviour::default() };
        let requirements = vec![Requirement::RetentionReached];
        let run = trial_of(mode, Case { requirements, behaviour, ..Case::default() });
        let missed = run.observed.missed.unwrap();
        assert!(missed.contains("in 2s of warm-up") && missed.contains("0 of 2 partitions"), "{missed}");
        assert_eq!((run.timeline.window_ns(), run.error), (0, None));
    }

    #[test]
    fn an_interrupted_trial_ends_at_once_with_what_it_has() {
        let run = trial(LoadMode::Max, true);
        assert!(run.observed.interrupted);
        assert_eq!(run.timeline.window_ns(), 0);
        assert_eq!(run.error, None);
    }
}
