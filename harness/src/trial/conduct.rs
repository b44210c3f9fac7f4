//! Conducts one trial: opens a fresh system, runs the load threads, and collects their records after the drain.

mod read_back;
#[cfg(test)]
mod tests;

use super::backlog::BacklogGate;
use super::bench::{Bench, Extras};
use super::harvest::harvest;
use super::require::RetentionGate;
use super::watch::{Gate, LoadThreads, Watcher, WatcherParts};
use crate::host::core_messages;
use crate::host::machine_id::machine_number;
use crate::host::usage::{Glance, HostProbe};
use crate::load::colocated::ShardLoad;
use crate::load::consumers::join::{Joined, join};
use crate::load::consumers::member::Member;
use crate::load::load_thread::{LoadOutcome, LoadPlan, LoadThread, Start};
use crate::load::plan::{TrialLoad, granularity_after, granularity_of, schedules_of, topic_name};
use crate::load::shared::Shared;
use crate::load::stamp::salt;
use crate::measure::finished::{FinalSync, TrialRun};
use crate::measure::recorder::{Channel, Interval};
use crate::measure::series::SeriesBuilder;
use crate::num;
use crate::result::CoreRoundTrip;
use crate::result::provenance::CoresUsed;
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

/// The longest time in which the members of all groups join.
const JOIN_MAX: Duration = if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(30) };

impl Bench<'_> {
    /// Runs one trial and leaves its data behind.
    ///
    /// # Errors
    /// The system cannot be opened or given its topics, or a thread cannot be started. A later failure is part of the
    /// trial's record.
    pub fn trial(&self, load: Load, phases: Phases) -> anyhow::Result<TrialRun> {
        let before_ns = self.core_round_trip_ns();
        let mut run = self.conduct(load, phases)?;
        let after_ns = self.core_round_trip_ns();
        let both = before_ns.zip(after_ns);
        run.core_round_trip = both.map(|(before_ns, after_ns)| CoreRoundTrip { before_ns, after_ns });
        Ok(run)
    }

    fn conduct(&self, load: Load, phases: Phases) -> anyhow::Result<TrialRun> {
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
            salt: workload.topic.is_some().then(salt).transpose()?,
        };
        let (mut plans, shared) = request.plans()?;
        // It holds the sending end of the channel, which the watcher waits to be closed.
        drop(request);
        let missed = self.join_groups(&mut plans, &timeline, &shared)?;
        let start = Start { clock: TrialClock::start(), wall_ms: wall_ms() };
        let began_s = self.context.started.elapsed().as_secs_f64();
        let begun = self.begin_all(plans, start, &mut *system).inspect_err(|_| shared.give_up())?;
        let watcher = Watcher::new(
            self,
            WatcherParts {
                system: &mut *system,
                builder,
                load_threads: begun.load_threads(intervals),
                clock: start.clock,
                timeline: Arc::clone(&timeline),
                gate: self.gate(load, phases, &shared),
                shared: Arc::clone(&shared),
                missed,
            },
        );
        let mut observed = watcher.until_done();
        let granularity = granularity_of(load.mode).or(backlog.and_then(granularity_after));
        let mut harvest = harvest(begun.end(), &shared, &timeline, observed.latency(), granularity.is_some());
        observed.add_events(harvest.groups.iter().flat_map(|group| group.events(&timeline)));
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
            core_round_trip: None,
            final_sync,
            error: error.or(closed),
            defects: None,
            closed: None,
            timeline,
        })
    }

    /// Lets the members of all groups join before the load begins. Returns the reason if a group did not settle in time; then the
    /// trial ends at once, and no load begins.
    fn join_groups(
        &self,
        plans: &mut [LoadPlan],
        timeline: &Timeline,
        shared: &Shared,
    ) -> anyhow::Result<Option<String>> {
        let mut members: Vec<&mut Member> = plans.iter_mut().flat_map(|plan| &mut plan.members).collect();
        if members.is_empty() {
            return Ok(None);
        }
        let missed = match join(&mut members, timeline, JOIN_MAX, &|| self.context.is_stopped())? {
            Joined::Settled => return Ok(None),
            Joined::Stopped => None,
            Joined::Missed(why) => Some(why),
        };
        drop(members);
        plans.iter_mut().for_each(LoadPlan::clear);
        timeline.cut(0, Duration::ZERO);
        shared.give_up();
        Ok(missed)
    }

    /// Measures the time of a message between the first shard's core and the first load thread's core, and back, ns. `None` where
    /// these are not two cores.
    fn core_round_trip_ns(&self) -> Option<u64> {
        let CoresUsed { shards, load, .. } = &self.place.cores;
        core_messages::round_trip_ns(*shards.first()?, *load.first()?)
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

    /// Starts the load of all threads, or of all shards.
    fn begin_all(
        &self,
        plans: Vec<LoadPlan>,
        start: Start<TrialClock>,
        system: &mut dyn System,
    ) -> anyhow::Result<Begun> {
        let mut begun = Begun::default();
        for (number, plan) in (0..).zip(plans) {
            self.begin(number, plan, start, system, &mut begun)?;
        }
        Ok(begun)
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
