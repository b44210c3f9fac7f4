//! The test-bed: load threads on the fake system, with a clock that the tests move.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]

use crate::judge::integrity::{Integrity, judge};
use crate::load::consumers::join::{Joined, join};
use crate::load::load_thread::{AfterTurn, Idle, LoadOutcome, LoadThread, Start};
use crate::load::plan::{TrialLoad, schedules_of, topic_name};
use crate::load::pool::Pool;
use crate::load::shared::Shared;
use crate::load::stamp::{Stamp, body_crc};
use crate::measure::finished::Harvest;
use crate::measure::group::{Group, GroupRecord};
use crate::measure::ledger::ConsumedPartition;
use crate::measure::recorder::{Channel, Interval};
use crate::result::latency::Measure;
use crate::system::System as _;
use crate::system::fake::{Behaviour, FakeClock, FakeSystem};
use crate::time::clock::Clock as _;
use crate::time::timeline::Timeline;
use crate::trial::harvest::harvest;
use crate::workload::limits::STAMP_BYTES;
use crate::workload::{Bytes, Load, LoadMode, MessageSize, Phases, Rate, TimeSpan, Verify, Workload};
use crossbeam::channel::unbounded;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const S: u64 = 1000 * MS;

/// Longest time in which the members of a group join.
const JOIN_MAX: Duration = Duration::from_secs(5);

/// The results of a trial, with the system that it ran on.
pub(crate) struct Ran {
    pub(crate) outcomes: Vec<LoadOutcome>,
    pub(crate) intervals: Vec<Interval>,
    pub(crate) timeline: Arc<Timeline>,
    pub(crate) system: FakeSystem,
    pub(crate) shared: Arc<Shared>,
    /// The groups of the members.
    pub(crate) groups: Vec<GroupRecord>,
    /// The partitions that the members have read.
    consumed: Vec<ConsumedPartition>,
}

impl Ran {
    /// The records of all load threads, as those of a real trial are put together.
    pub(crate) fn harvest(self) -> Harvest {
        let records = self.all().latency;
        harvest(self.outcomes, &self.shared, &self.timeline, &records, true)
    }

    /// The response time of each record of the window, in ns and in ascending order, as the system itself knows it. Only for
    /// one topic of one partition.
    pub(crate) fn true_responses(&self) -> Vec<u64> {
        let acked = self.system.acked(&topic_name(0), 0);
        let stamps = acked.iter().map(|(value, at_ns)| (Stamp::decode(value, body_crc_of(value)), *at_ns));
        let responses = stamps.filter_map(|(stamp, at_ns)| {
            let intended_ns = stamp.expect("every value has a stamp").intended_ns;
            self.timeline.in_window(intended_ns).then(|| at_ns - intended_ns)
        });
        let mut responses: Vec<u64> = responses.collect();
        responses.sort_unstable();
        responses
    }

    pub(crate) fn window(&self) -> Interval {
        let mut sum = Interval::default();
        let inside = 0..self.timeline.window_intervals();
        self.intervals.iter().filter(|i| inside.contains(&i.index)).for_each(|i| sum.add(i));
        sum
    }

    pub(crate) fn all(&self) -> Interval {
        let mut sum = Interval::default();
        self.intervals.iter().for_each(|i| sum.add(i));
        sum
    }

    pub(crate) fn max_ns(&self, measure: Measure) -> u64 {
        self.all().latency.of(measure).max()
    }

    pub(crate) fn integrity(&self) -> Integrity {
        let produced: Vec<_> =
            self.outcomes.iter().flat_map(|o| &o.producers).flat_map(|p| p.partitions.clone()).collect();
        let consumed: Vec<_> =
            self.outcomes.iter().flat_map(|o| &o.consumers).flat_map(|c| c.partitions.clone()).collect();
        judge(&produced, &[consumed, self.consumed.clone()].concat())
    }
}

fn body_crc_of(value: &[u8]) -> u32 {
    body_crc(&value[STAMP_BYTES..])
}

/// Runs a trial in which the load generator is held up once, at time `pause.0` for `pause.1`, both in ns.
pub(crate) fn run_with_pause(
    workload: &Workload,
    behaviour: Behaviour,
    threads: usize,
    pause: (u64, u64),
) -> Ran {
    let mut system = FakeSystem::new(behaviour);
    (0..workload.topics).for_each(|topic| {
        system.create_topic(&topic_name(topic), workload.partitions_per_topic).unwrap();
    });
    let phases = workload.phases;
    let interval = Duration::from_millis(100);
    let timeline = Arc::new(Timeline::new(phases.warmup.0, phases.measure.0, phases.drain.0, interval));
    let (finished, intervals) = unbounded();
    let (_give_back, spare) = unbounded();
    let load = TrialLoad {
        backlog: None,
        salt: None,
        workload,
        load: workload.load,
        machine: 5,
        pool: &Pool::of(workload).unwrap(),
        system: &system,
        threads,
        idle: Idle::Sleep,
        schedules: schedules_of(workload, workload.load.mode, &timeline).unwrap(),
        timeline: Arc::clone(&timeline),
        channel: Channel { finished, spare, thread: 0 },
        ack_log: None,
    };
    let (mut plans, shared) = load.plans().unwrap();
    drop(load);
    let mut members: Vec<_> = plans.iter_mut().flat_map(|plan| &mut plan.members).collect();
    assert_eq!(join(&mut members, &timeline, JOIN_MAX, &|| false).unwrap(), Joined::Settled);
    let here = std::thread::current();
    let mut threads: Vec<_> = plans
        .into_iter()
        .map(|plan| {
            Some(LoadThread::new(plan, Start { clock: system.clock.clone(), wall_ms: 0 }, &here).unwrap())
        })
        .collect();
    let mut outcomes = Vec::new();
    let mut pause = Some(pause);
    while threads.iter().any(Option::is_some) {
        let mut next_ns = u64::MAX;
        for slot in &mut threads {
            let Some(thread) = slot else { continue };
            match turn_until_idle(thread) {
                Ok(Some(until_ns)) => next_ns = next_ns.min(until_ns),
                Ok(None) => outcomes.push(slot.take().unwrap().finish(None)),
                Err(error) => outcomes.push(slot.take().unwrap().finish(Some(error))),
            }
        }
        next_ns = next_ns.min(system.next_ns().unwrap_or(u64::MAX));
        let now_ns = system.clock.now_ns();
        let held_up = pause.take_if(|(from_ns, _)| now_ns >= *from_ns).map_or(0, |(_, ns)| ns);
        system.advance_to(next_ns.max(now_ns + 1).min(now_ns + S) + held_up);
    }
    let intervals = intervals.try_iter().map(|i| *i).collect();
    let ended_ns = outcomes.iter().map(|outcome| outcome.ended_ns).max().unwrap_or(0);
    let finish = |group: &Arc<Group>| group.finish(ended_ns, shared.ends(group.spec().topic), &timeline);
    let (groups, consumed): (Vec<_>, Vec<_>) = shared.groups().iter().map(finish).unzip();
    let consumed = consumed.concat();
    Ran { outcomes, intervals, timeline, system, shared, groups, consumed }
}

fn turn_until_idle(thread: &mut LoadThread<FakeClock>) -> anyhow::Result<Option<u64>> {
    loop {
        match thread.turn()? {
            AfterTurn::Again => {}
            AfterTurn::Until(ns) => return Ok(Some(ns)),
            AfterTurn::Finished => return Ok(None),
        }
    }
}

pub(crate) fn run(workload: &Workload, behaviour: Behaviour) -> Ran {
    run_with_pause(workload, behaviour, 1, (u64::MAX, 0))
}

pub(crate) fn with_mode(mode: LoadMode) -> Workload {
    let load = Load { in_flight_bytes: Bytes::mib(32), mode };
    let s = TimeSpan::seconds;
    let phases = Phases { warmup: s(1), measure: s(10), drain: s(2) };
    let workload = Workload { load, phases, verify: Verify::SequenceCrc, ..Workload::default() };
    Workload { message_size: MessageSize::Fixed(Bytes(100)), ..workload }
}

pub(crate) fn open(rate: u64) -> Workload {
    with_mode(LoadMode::Open {
        rate: Rate::per_s(rate),
        arrival: Default::default(),
        profile: Default::default(),
    })
}

pub(crate) fn acks_after(ack_ns: u64) -> Behaviour {
    Behaviour { ack_ns, ..Behaviour::default() }
}
