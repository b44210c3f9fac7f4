//! From a workload to load threads: who produces and consumes what, at what pace, on which thread.

use super::ack_log::AckLog;
use super::colocated::Homes;
use super::consumers::ConsumerPlan;
use super::load_thread::{Idle, LoadPlan};
use super::partitioner::{Keys, Partitioner};
use super::pool::Pool;
use super::producers::{BatchLimits, Build, Pacing, ProducerPlan};
use super::seat::{ConsumerSeat, ProducerSeat, Seat};
use super::shared::Shared;
use crate::exit::UsageError;
use crate::measure::recorder::Channel;
use crate::num;
use crate::result::Granularity;
use crate::system;
use crate::system::{ConsumerSpec, ProducerSpec, System};
use crate::time::schedule::{Even, Schedule, Shape, Shaped, Spacing};
use crate::time::timeline::Timeline;
use crate::workload::{Arrival, Backlog, Load, LoadMode, Profile, Rate, Workload};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Above this many records a second an open load keeps the oldest intended time of a hand-over for all of its records.
const RECORD_GRANULARITY_RATE_MAX: f64 = 1e6;
/// Most bytes one fetch returns.
const FETCH_BYTES_MAX: u64 = 1 << 20;

/// Keys by the partitions that a producer keeps to.
type KeysOf = BTreeMap<Vec<u32>, Arc<Keys>>;

/// What the load threads of one trial are made from.
pub struct TrialLoad<'a> {
    /// The workload.
    pub workload: &'a Workload,
    /// The load of this pass, its rate resolved.
    pub load: Load,
    /// The schedule of each producer ([`schedules_of`]); empty unless the load is open.
    pub schedules: Vec<Schedule>,
    /// The values.
    pub pool: &'a Pool,
    /// The target, with the trial's topics in it.
    pub target: &'a dyn System,
    /// How many load threads, or shards that load is colocated with.
    pub threads: usize,
    /// What they do while nothing is due.
    pub idle: Idle,
    /// The trial's phases.
    pub timeline: Arc<Timeline>,
    /// Where intervals go.
    pub channel: Channel,
    /// `--ack-log`.
    pub ack_log: Option<&'a Path>,
    /// What is built before the window opens, and the consumers then start with.
    pub backlog: Option<Backlog>,
}

/// Name of a topic by number.
pub fn topic_name(topic: u32) -> String {
    format!("vnotch-{topic}")
}

/// How finely a load's intended times are kept, by its highest rate; `None` for a load that intends nothing.
pub fn granularity_of(mode: LoadMode) -> Option<Granularity> {
    match mode {
        LoadMode::Open { rate: Rate::Absolute(rate), profile, .. }
            if num::f64_of(rate) * profile.peak() > RECORD_GRANULARITY_RATE_MAX =>
        {
            Some(Granularity::BatchOldest)
        }
        LoadMode::Open { .. } => Some(Granularity::Record),
        LoadMode::Max | LoadMode::Closed { .. } => None,
    }
}

/// The same for what goes on while a backlog is consumed.
pub fn granularity_after(backlog: Backlog) -> Option<Granularity> {
    (backlog.drain_producer_rate != Rate::Absolute(0)).then_some(Granularity::Record)
}

/// The schedules of a trial's producers, by number; empty unless the load is open. They share the rate: evenly spaced ones
/// take turns, Poisson ones are independent, with seeds made of the workload's and their number.
///
/// # Errors
/// The rate is still a share of an unknown maximum, or too little for so many producers.
pub fn schedules_of(
    workload: &Workload,
    mode: LoadMode,
    timeline: &Timeline,
) -> anyhow::Result<Vec<Schedule>> {
    let LoadMode::Open { rate, arrival, profile } = mode else { return Ok(Vec::new()) };
    let Rate::Absolute(rate) = rate else {
        return Err(UsageError::error("load.rate: a share needs a pass at max before it"));
    };
    let producers = num::low_u32(workload.producers());
    let rate_milli = rate.saturating_mul(1000) / u64::from(producers);
    if rate_milli == 0 {
        return Err(UsageError::error(format!(
            "load.rate: {rate}/s is too little for {producers} producers"
        )));
    }
    let of = |id: u32| {
        let spacing = match (arrival, profile) {
            (Arrival::Constant, Profile::Constant) => {
                return Schedule::Even(Even::new(rate_milli, 0, id, producers));
            }
            (Arrival::Constant, _) => Spacing::Even(f64::from(id) / f64::from(producers)),
            (Arrival::Poisson, _) => Spacing::Poisson(arrival_seed(workload.payload.seed, id)),
        };
        Schedule::Shaped(Box::new(Shaped::new(Shape {
            rate_per_s: num::f64_of(rate) / f64::from(producers),
            profile,
            window_start_ns: timeline.window_start_ns(),
            window_ns: timeline.window_ns(),
            spacing,
        })))
    };
    Ok((0..producers).map(of).collect())
}

/// Far from the seeds that keys and values are made from.
fn arrival_seed(seed: u64, producer: u32) -> u64 {
    seed.rotate_left(32) ^ (u64::from(producer) + 1).wrapping_mul(0xD1B5_4A32_D192_ED03)
}

impl TrialLoad<'_> {
    /// The plan of every load thread, and what the threads share.
    ///
    /// # Errors
    /// A client cannot be made, or the rate cannot be shared out.
    pub fn plans(&self) -> anyhow::Result<(Vec<LoadPlan>, Arc<Shared>)> {
        let workload = self.workload;
        let producers = num::index(self.producers());
        let shared = Shared::new(workload.topics, workload.partitions_per_topic, producers);
        let shared = Arc::new(shared.with_backlog_for(num::index(self.consumers())));
        let mut plans = Vec::new();
        for _ in 0..self.threads {
            plans.push(LoadPlan {
                timeline: Arc::clone(&self.timeline),
                shared: Arc::clone(&shared),
                channel: self.channel.clone(),
                pool: self.pool.clone(),
                producers: Vec::new(),
                consumers: Vec::new(),
                ack_log: self.ack_log.map(AckLog::open).transpose()?,
                idle: self.idle,
                starts_late: self.backlog.is_some(),
            });
        }
        let homes = self.homes()?;
        let mut keys = KeysOf::new();
        let mut schedules = self.schedules.iter().cloned();
        for id in 0..self.producers() {
            let topic = &homes[num::index(id / workload.producers_per_topic)];
            let shard = topic.shard_of(id % workload.producers_per_topic);
            let own = topic.partitions_of(shard);
            let plan = self.producer(id, own, &mut keys, schedules.next())?;
            plans[self.thread_of(id, shard)].producers.push(plan);
        }
        for id in 0..self.consumers() {
            let members = workload.consumers_per_subscription;
            let topic = &homes[num::index(id / members / workload.subscriptions_per_topic)];
            let (shard, partitions) = (topic.shard_of(id % members), topic.assigned(id % members, members));
            plans[self.thread_of(id, shard)].consumers.push(self.consumer(id, partitions)?);
        }
        Ok((plans, shared))
    }

    /// Where each topic's partitions are; for remote load all in one place, which it reaches from anywhere.
    fn homes(&self) -> anyhow::Result<Vec<Homes>> {
        let homes = (0..self.workload.topics).map(|topic| {
            Ok(Homes::new(if self.is_colocated() {
                system::inside(self.target)?.shards_of(&topic_name(topic))?
            } else {
                vec![0; num::index(self.workload.partitions_per_topic)]
            }))
        });
        homes.collect()
    }

    fn is_colocated(&self) -> bool {
        self.workload.deployment().is_colocated()
    }

    fn thread_of(&self, id: u32, shard: u32) -> usize {
        num::index(if self.is_colocated() { shard } else { id }) % self.threads
    }

    fn producers(&self) -> u32 {
        self.workload.topics * self.workload.producers_per_topic
    }

    fn consumers(&self) -> u32 {
        let groups = self.workload.topics * self.workload.subscriptions_per_topic;
        groups * self.workload.consumers_per_subscription
    }

    fn producer(
        &self,
        id: u32,
        own: Vec<u32>,
        keys: &mut KeysOf,
        schedule: Option<Schedule>,
    ) -> anyhow::Result<(ProducerPlan, ProducerSeat)> {
        let workload = self.workload;
        let topic = id / workload.producers_per_topic;
        let batch = workload.batch;
        let pacing = match (self.load.mode, schedule, granularity_of(self.load.mode)) {
            (_, Some(schedule), Some(granularity)) => Pacing::Open { schedule, granularity },
            (LoadMode::Closed { in_flight }, ..) => Pacing::Closed { in_flight },
            _ => Pacing::Max,
        };
        let spec = ProducerSpec {
            topic: topic_name(topic),
            batch_bytes_max: batch.max_bytes.0,
            batch_records_max: batch.max_records,
            in_flight_bytes_max: self.load.in_flight_bytes.0 / u64::from(self.producers()),
        };
        let partitions = workload.partitions_per_topic;
        let distribution = workload.key_distribution;
        let keys = match keys.get(&own) {
            Some(keys) => Arc::clone(keys),
            None => {
                let made = Arc::new(Keys::new(distribution, partitions, &own)?);
                Arc::clone(keys.entry(own.clone()).or_insert(made))
            }
        };
        let plan = ProducerPlan {
            id,
            topic,
            topic_name: spec.topic.clone(),
            number: id % workload.producers_per_topic,
            groups: workload.subscriptions_per_topic,
            partitions,
            pacing,
            build: self.build(id),
            partitioner: Partitioner::new(distribution, &keys, own, id, workload.payload.seed),
            limits: BatchLimits {
                bytes_max: batch.max_bytes.0,
                records_max: batch.max_records,
                linger_ns: num::ns_of(batch.linger.0),
            },
        };
        let is_colocated = self.is_colocated();
        let seat =
            if is_colocated { Seat::Colocated(spec) } else { Seat::Remote(self.target.producer(&spec)?) };
        Ok((plan, seat))
    }

    /// A producer's part of the backlog.
    fn build(&self, id: u32) -> Option<Build> {
        let backlog = self.backlog?;
        let producers = self.producers();
        let rate = match backlog.drain_producer_rate {
            Rate::Absolute(rate) if rate > 0 => rate.saturating_mul(1000) / u64::from(producers),
            Rate::Absolute(_) | Rate::Share(_) => 0,
        };
        let then = (rate > 0).then_some((rate, id, producers));
        Some(Build { bytes: (backlog.build.0 / u64::from(producers)).max(1), then })
    }

    /// Consumers are numbered by topic, then group, then within the group; partitions are dealt out in turn.
    fn consumer(&self, id: u32, partitions: Vec<u32>) -> anyhow::Result<(ConsumerPlan, ConsumerSeat)> {
        let workload = self.workload;
        let group_id = id / workload.consumers_per_subscription;
        let topic = group_id / workload.subscriptions_per_topic;
        let spec = ConsumerSpec {
            assignment: partitions.iter().map(|partition| (topic_name(topic), *partition)).collect(),
            fetch_bytes_max: FETCH_BYTES_MAX,
        };
        let plan = ConsumerPlan {
            topic,
            group: group_id % workload.subscriptions_per_topic,
            partitions,
            first_producer: topic * workload.producers_per_topic,
            producers: workload.producers_per_topic,
            verify: workload.verify,
            place: self.pool.place(),
            has_backlog: self.backlog.is_some(),
            is_open_load: granularity_of(self.load.mode)
                .or(self.backlog.and_then(granularity_after))
                .is_some(),
        };
        let is_colocated = self.is_colocated();
        let seat =
            if is_colocated { Seat::Colocated(spec) } else { Seat::Remote(self.target.consumer(&spec)?) };
        Ok((plan, seat))
    }
}
