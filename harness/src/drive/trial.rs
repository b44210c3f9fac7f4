//! One trial: a fresh target, its load threads, and what came of them once the drain is over.

use super::backlog::BacklogGate;
use super::clock::TrialClock;
use super::colocated::ShardLoad;
use super::data_dir::DataDir;
use super::harvest::{Harvest, harvest};
use super::inject::Injection;
use super::load_thread::{Idle, LoadOutcome, LoadPlan, LoadThread};
use super::plan::{TrialLoad, granularity_after, granularity_of, schedules_of, topic_name};
use super::pool::Pool;
use super::producers::Granularity;
use super::progress::Progress;
use super::require::RetentionGate;
use super::schedule::Offered;
use super::shared::Shared;
use super::timeline::Timeline;
use super::watch::{Crew, Gate, Watch, Watched};
use crate::measure::provenance::CoresUsed;
use crate::measure::recorder::{Channel, Interval};
use crate::measure::series::SeriesBuilder;
use crate::num;
use crate::target::{Description, Target};
use crate::workload::{Backlog, Io, Load, Phases, Placement, Requirement, Workload};
use anyhow::Context as _;
use crossbeam::channel::{Receiver, unbounded};
use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Windows shorter than this are watched at [`INTERVAL_SHORT`], longer ones at [`INTERVAL_LONG`].
const SHORT_WINDOW_MAX: Duration = Duration::from_secs(60);
const INTERVAL_SHORT: Duration = Duration::from_millis(100);
const INTERVAL_LONG: Duration = Duration::from_secs(1);

/// Opens the target of a workload on the given cores and directory.
pub type Opener<'a> = dyn Fn(&Workload, &CoresUsed, &Path) -> anyhow::Result<Box<dyn Target>> + 'a;

/// What all trials of a run have in common.
pub struct Bench<'a> {
    /// The workload.
    pub workload: &'a Workload,
    /// Makes its target.
    pub open: &'a Opener<'a>,
    /// Where shards and load threads run.
    pub cores: &'a CoresUsed,
    /// What load threads do while nothing is due.
    pub idle: Idle,
    /// The values.
    pub pool: &'a Pool,
    /// Where the data goes.
    pub data_dir: &'a DataDir,
    /// Raised to end early.
    pub stop: &'a Arc<AtomicBool>,
    /// `--ack-log`.
    pub ack_log: Option<&'a Path>,
    /// `--inject`.
    pub injections: &'a [Injection],
    /// What must hold before the window opens.
    pub requirements: &'a [Requirement],
    /// What is built before the window opens.
    pub backlog: Option<Backlog>,
    /// Who is told how it goes.
    pub progress: &'a Progress,
    /// When the run started.
    pub started: Instant,
}

/// What came of a trial, before figures are made of it.
#[derive(Debug)]
pub struct TrialRun {
    /// When the window opened, s since the run started.
    pub window_start_s: f64,
    /// Its phases as they were.
    pub timeline: Arc<Timeline>,
    /// How finely intended times were kept; `None` if nothing was intended.
    pub granularity: Option<Granularity>,
    /// Records intended inside the window; `None` if nothing was.
    pub offered: Option<u64>,
    /// What was watched from outside.
    pub watched: Watched,
    /// What the load threads brought in.
    pub harvest: Harvest,
    /// Where load was generated.
    pub placement: Placement,
    /// How many load threads there were, or shards with load on them.
    pub load_threads: usize,
    /// What was measured.
    pub target: Description,
    /// Time that a sync took after the drain; buffered runs only.
    pub final_sync: Option<Duration>,
    /// What ended it early.
    pub error: Option<String>,
}

impl Bench<'_> {
    /// Runs one trial and leaves its data behind.
    ///
    /// # Errors
    /// The target cannot be opened or given its topics, or a thread cannot be started. What fails later is part of what
    /// came of the trial.
    pub fn trial(&self, load: Load, phases: Phases) -> anyhow::Result<TrialRun> {
        let mut target = (self.open)(self.workload, self.cores, self.data_dir.path())?;
        for topic in 0..self.workload.topics {
            target.create_topic(&topic_name(topic), self.workload.partitions_per_topic)?;
        }
        let description = target.describe();
        let timeline = timeline_of(phases, !self.requirements.is_empty() || self.backlog.is_some());
        let offered = Offered::new(schedules_of(self.workload, load.mode, &timeline)?);
        let (give_back, spare) = unbounded();
        let groups = self.workload.subscriptions_per_topic;
        let builder = SeriesBuilder::new(Arc::clone(&timeline), offered, groups, give_back);
        let (finished, intervals) = unbounded();
        let plans = self.plans(&*target, load, &timeline, Channel { finished, spare })?;
        let gate = self.gate(phases, &plans[0].shared);
        let clock = TrialClock::start();
        let began_s = self.started.elapsed().as_secs_f64();
        let (watched, outcomes) = self.drive(&mut *target, builder, plans, (clock, intervals), gate)?;
        let granularity = granularity_of(load.mode).or(self.backlog.and_then(granularity_after));
        let mut harvest = harvest(outcomes, &timeline, watched.latency(), granularity.is_some(), groups);
        let error = harvest.error.take().or_else(|| watched.error.clone());
        let final_sync = (self.workload.engine.io == Io::Buffered && error.is_none())
            .then(|| self.timed_sync())
            .transpose()?;
        let closed = target.close().err().map(|error| format!("{error:#}"));
        Ok(TrialRun {
            window_start_s: began_s + num::f64_of(timeline.window_start_ns()) * 1e-9,
            granularity,
            offered: watched.series.offered,
            watched,
            harvest,
            placement: self.workload.engine.placement,
            load_threads: self.load_threads(),
            target: description,
            final_sync,
            error: error.or(closed),
            timeline,
        })
    }

    /// What the window waits for.
    fn gate(&self, phases: Phases, shared: &Arc<Shared>) -> Option<Gate> {
        let retention = || Gate::Retention(RetentionGate::new(self.workload, phases));
        match self.backlog {
            Some(backlog) => {
                let gate = BacklogGate::new(backlog, self.workload.engine.io, Arc::clone(shared));
                Some(Gate::Backlog(gate))
            }
            None => (!self.requirements.is_empty()).then(retention),
        }
    }

    fn load_threads(&self) -> usize {
        let threads = if self.is_colocated() { self.cores.shards.len() } else { self.cores.load.len() };
        threads.max(1)
    }

    fn is_colocated(&self) -> bool {
        self.workload.engine.placement == Placement::Colocated
    }

    fn timed_sync(&self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.data_dir.sync()?;
        Ok(begun.elapsed())
    }

    fn plans(
        &self,
        target: &dyn Target,
        load: Load,
        timeline: &Arc<Timeline>,
        channel: Channel,
    ) -> anyhow::Result<Vec<LoadPlan<TrialClock>>> {
        let request = TrialLoad {
            workload: self.workload,
            load,
            pool: self.pool,
            target,
            threads: self.load_threads(),
            idle: self.idle,
            clock: TrialClock::start(),
            wall_start_ms: wall_ms(),
            timeline: Arc::clone(timeline),
            channel,
            ack_log: self.ack_log,
            backlog: self.backlog,
        };
        Ok(request.plans()?.0)
    }

    /// Starts the load threads, watches them, and collects them.
    fn drive(
        &self,
        target: &mut dyn Target,
        builder: SeriesBuilder,
        plans: Vec<LoadPlan<TrialClock>>,
        (clock, intervals): (TrialClock, Receiver<Box<Interval>>),
        gate: Option<Gate>,
    ) -> anyhow::Result<(Watched, Vec<LoadOutcome>)> {
        let timeline = Arc::clone(&plans[0].timeline);
        let shared = Arc::clone(&plans[0].shared);
        let (mut threads, mut shards) = (Vec::new(), Vec::new());
        for (number, mut plan) in (0..).zip(plans) {
            (plan.clock, plan.wall_start_ms) = (clock, wall_ms());
            let begun = if self.is_colocated() {
                ShardLoad::begin(target, number, plan).map(|load| shards.push(load))
            } else {
                spawn(number, self.cores.load.get(num::index(number)).copied(), plan)
                    .map(|thread| threads.push(thread))
            };
            if let Err(error) = begun {
                shared.give_up();
                return Err(error);
            }
        }
        // Load on shards looks up at each interval's end without being woken.
        let crew = Crew::new(threads.iter().map(|thread| thread.thread().clone()), intervals);
        let watch = Watch::new(self, target, builder, crew, (clock, timeline), gate);
        let watched = watch.until_done();
        let outcomes = threads.into_iter().map(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        Ok((watched, outcomes.chain(shards.into_iter().map(ShardLoad::end)).collect()))
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

/// A load thread on its core, woken as exactly as the kernel can.
fn spawn(
    number: u32,
    core: Option<u32>,
    plan: LoadPlan<TrialClock>,
) -> anyhow::Result<JoinHandle<LoadOutcome>> {
    let work = move || {
        if let Some(core) = core {
            let mut set = CpuSet::new();
            set.set(num::index(core));
            // Its core was checked to be one we may use; if that has changed since, it runs wherever it may.
            let _ = sched_setaffinity(None, &set);
        }
        // The default of 50 µs would make every wake late by as much (FACTS); a kernel that refuses stays late.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let shared = Arc::clone(&plan.shared);
        match LoadThread::new(plan, &std::thread::current()) {
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
    use crate::target::fake::{Behaviour, FakeTarget};
    use crate::workload::profile::Ramp;
    use crate::workload::{Bytes, LoadMode, MessageSize, Profile, Rate, TimeSpan};
    use std::sync::atomic::Ordering;

    /// Runs a short trial in real time against a target that acks at once.
    fn trial(mode: LoadMode, stop: bool) -> TrialRun {
        trial_of(mode, Case { stop, ..Case::default() })
    }

    /// What is particular about a trial.
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
        let bench = Bench {
            workload: &workload,
            open: &|_, _, _| Ok(Box::new(FakeTarget::new(behaviour.clone()))),
            cores: &CoresUsed::default(),
            idle: Idle::Sleep,
            pool: &Pool::of(&workload).unwrap(),
            data_dir: &data_dir,
            stop: &Arc::new(AtomicBool::new(stop)),
            ack_log: None,
            injections: &[],
            requirements: &requirements,
            backlog,
            progress: &Progress::silent(),
            started: Instant::now(),
        };
        let run = bench.trial(load, phases).unwrap();
        assert_eq!(bench.stop.load(Ordering::SeqCst), stop);
        run
    }

    #[test]
    fn a_trial_measures_its_window_and_drains() {
        let mode = LoadMode::Open {
            rate: Rate::Absolute(1000),
            arrival: Default::default(),
            profile: Default::default(),
        };
        let run = trial(mode, false);
        assert_eq!(run.error, None);
        assert_eq!(run.offered, Some(400));
        assert_eq!(run.harvest.latencies.records.of(crate::measure::recorder::Measure::Response).len(), 400);
        let sent: u64 = run.harvest.produced.iter().map(|partition| partition.answered).sum();
        assert_eq!(sent, 600);
        let rows = &run.watched.series.rows;
        assert_eq!(rows.len(), 6);
        assert_eq!(rows.iter().map(|row| row.offered.unwrap()).sum::<u64>(), 600);
        assert!(run.watched.host.is_some() && !run.watched.interrupted);
        let integrity = crate::drive::integrity::judge(&run.harvest.produced, &run.harvest.consumed);
        assert_eq!((integrity.checked, integrity.is_violated(), integrity.undrained), (600, false, 0));
    }

    #[test]
    fn a_profile_shapes_what_is_offered() {
        let mode = LoadMode::Open {
            rate: Rate::Absolute(1000),
            arrival: Default::default(),
            profile: Profile::Ramp(Ramp { from: 0.0, to: 2.0 }),
        };
        let run = trial(mode, false);
        assert_eq!(run.error, None);
        assert_eq!(run.offered, Some(400), "the mean over the window is the rate");
        let rows: Vec<u64> = run.watched.series.rows.iter().map(|row| row.offered.unwrap()).collect();
        assert_eq!(rows, [0, 0, 25, 75, 125, 175], "none before a ramp from 0, then ever more");
    }

    #[test]
    fn a_window_that_waits_for_retention_opens_after_it_and_shapes_what_comes_then() {
        let mode = LoadMode::Open {
            rate: Rate::Absolute(1000),
            arrival: Default::default(),
            profile: Profile::Ramp(Ramp { from: 1.0, to: 3.0 }),
        };
        // 500 records of each of two partitions take about a second: five times the warm-up.
        let behaviour = Behaviour { retains_at: Some(500), ..Behaviour::default() };
        let requirements = vec![Requirement::RetentionReached];
        let run = trial_of(mode, Case { requirements, behaviour, ..Case::default() });
        assert_eq!((run.error.as_deref(), run.watched.missed.as_deref()), (None, None));
        assert!(run.timeline.window_start_ns() >= 1_000_000_000, "{:?}", run.timeline);
        assert_eq!(run.timeline.window_ns(), 400_000_000);
        assert_eq!(run.offered, Some(800), "twice the rate in the mean");
        let integrity = crate::drive::integrity::judge(&run.harvest.produced, &run.harvest.consumed);
        assert!(integrity.checked >= 1800 && !integrity.is_violated(), "{integrity:?}");
        assert!(run.watched.held_s.unwrap() < 0.0);
        assert_eq!(run.watched.events.iter().filter(|event| event.kind == "retention").count(), 2);
        assert!(run.watched.events.iter().all(|event| event.t_s > -10.0), "{:?}", run.watched.events);
    }

    #[test]
    fn consumers_that_start_late_end_the_window_when_they_have_caught_up() {
        for rate in [0, 500] {
            let backlog = Backlog {
                build: Bytes::kib(256),
                cache: Default::default(),
                drain_producer_rate: Rate::Absolute(rate),
            };
            let run = trial_of(LoadMode::Max, Case { backlog: Some(backlog), ..Case::default() });
            assert_eq!(run.error, None);
            let built = run.watched.built.unwrap();
            assert!((259_000..264_000).contains(&built.encoded_bytes), "{built:?}");
            assert!(run.watched.is_drained && run.timeline.window_ns() < 400_000_000, "{:?}", run.timeline);
            let window = &run.watched.series.window;
            assert!(window.consumed_records >= built.records, "{} of {built:?}", window.consumed_records);
            assert_eq!(run.granularity.is_some(), rate > 0);
            let integrity = crate::drive::integrity::judge(&run.harvest.produced, &run.harvest.consumed);
            assert!(integrity.checked >= built.records && !integrity.is_violated(), "{integrity:?}");
            assert_eq!(integrity.undrained, 0);
            assert!(
                run.watched.events.is_empty(),
                "resting producers are no stall: {:?}",
                run.watched.events
            );
        }
    }

    #[test]
    fn a_trial_that_never_gets_there_is_given_up() {
        let mode = LoadMode::Open {
            rate: Rate::Absolute(100),
            arrival: Default::default(),
            profile: Default::default(),
        };
        let behaviour = Behaviour { retains_at: Some(100_000), ..Behaviour::default() };
        let requirements = vec![Requirement::RetentionReached];
        let run = trial_of(mode, Case { requirements, behaviour, ..Case::default() });
        let missed = run.watched.missed.unwrap();
        assert!(missed.contains("in 2s of warm-up") && missed.contains("0 of 2 partitions"), "{missed}");
        assert_eq!((run.timeline.window_ns(), run.error), (0, None));
    }

    #[test]
    fn an_interrupted_trial_ends_at_once_with_what_it_has() {
        let run = trial(LoadMode::Max, true);
        assert!(run.watched.interrupted);
        assert_eq!(run.timeline.window_ns(), 0);
        assert_eq!(run.error, None);
    }
}
