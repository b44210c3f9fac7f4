//! Makes the plans of the load threads from a workload: the producers and consumers, their pace, and their threads.

use super::ack_log::AckLog;
use super::colocated::PartitionShards;
use super::consumers::member::{Member, MemberPlan};
use super::consumers::{Check, ConsumerPlan};
use super::load_thread::{Idle, LoadPlan};
use super::partitioner::{Keys, Partitioner};
use super::pool::Pool;
use super::producers::{BacklogPart, BatchLimits, Pacing, ProducerPlan, ShareOfRate};
use super::seat::{ConsumerSeat, ProducerSeat, Seat};
use super::shared::Shared;
use super::stamp::sender;
use crate::exit::UsageError;
use crate::measure::group::{Group, GroupSpec};
use crate::measure::recorder::Channel;
use crate::num;
use crate::result::Granularity;
use crate::system;
use crate::system::{ConsumerSpec, MemberSpec, ProducerSpec, System};
use crate::time::schedule::{Even, Schedule, Shape, Shaped, Spacing};
use crate::time::timeline::Timeline;
use crate::workload::{Arrival, Backlog, CommitMode, Load, LoadMode, Profile, Rate, RecordRate, Workload};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Highest rate of an open load, in records a second, at which each record keeps its own intended time. Above it, all
/// records of a hand-over share the oldest intended time of the hand-over.
const RECORD_GRANULARITY_RATE_MAX: f64 = 1e6;
/// Largest number of bytes that one fetch returns.
const FETCH_BYTES_MAX: u64 = 1 << 20;

/// The keys for each set of partitions that a producer sends to.
type KeysOf = BTreeMap<Vec<u32>, Arc<Keys>>;

/// The request for the load threads of one trial.
pub struct TrialLoad<'a> {
    /// The workload.
    pub workload: &'a Workload,
    /// The load of this pass. Its rate is an absolute one.
    pub load: Load,
    /// The schedule of each producer ([`schedules_of`]). Empty unless the load is open.
    pub schedules: Vec<Schedule>,
    /// Number of this machine in the stamps of records, below 2¹² ([`sender`]).
    pub machine: u32,
    /// The values to send.
    pub pool: &'a Pool,
    /// The system, which already has the trial's topics.
    pub system: &'a dyn System,
    /// Number of load threads, or of shards that load is colocated with.
    pub threads: usize,
    /// The behaviour of the threads while no record is due.
    pub idle: Idle,
    /// The trial's phases.
    pub timeline: Arc<Timeline>,
    /// The channel that intervals are sent to.
    pub channel: Channel,
    /// The path that `--ack-log` gives.
    pub ack_log: Option<&'a Path>,
    /// The backlog that is produced before the window opens and that the consumers then read.
    pub backlog: Option<Backlog>,
    /// The salt of the trial's stamps; `None` if nobody else writes to its topics.
    pub salt: Option<u32>,
}

/// Returns the name of topic number `topic`.
pub fn topic_name(topic: u32) -> String {
    format!("vnotch-{topic}")
}

/// Returns the precision with which a load's intended times are kept. It depends on the highest rate. `None` for a load
/// without intended times.
pub fn granularity_of(mode: LoadMode) -> Option<Granularity> {
    match mode {
        LoadMode::Open { rate: Rate::Absolute(rate), profile, .. }
            if rate.records_per_s() * profile.peak() > RECORD_GRANULARITY_RATE_MAX =>
        {
            Some(Granularity::BatchOldest)
        }
        LoadMode::Open { .. } => Some(Granularity::Record),
        LoadMode::Max | LoadMode::Closed { .. } => None,
    }
}

/// Returns this precision for the load that is produced while a backlog is consumed. `None` if there is no such load.
pub fn granularity_after(backlog: Backlog) -> Option<Granularity> {
    (backlog.drain_producer_rate != Rate::Absolute(RecordRate::ZERO)).then_some(Granularity::Record)
}

/// Returns the schedules of a trial's producers, by producer number. Empty unless the load is open. The producers share
/// the rate. Evenly spaced ones send one after the other. Poisson ones are independent, with seeds made from the
/// workload's seed and the producer's number.
///
/// # Errors
/// The rate is still a share of a maximum that is not known.
pub fn schedules_of(
    workload: &Workload,
    mode: LoadMode,
    timeline: &Timeline,
) -> anyhow::Result<Vec<Schedule>> {
    let LoadMode::Open { rate, arrival, profile } = mode else { return Ok(Vec::new()) };
    let Rate::Absolute(rate) = rate else {
        return Err(UsageError::error(
            "load.rate: a share of the maximum needs a pass at max before this pass",
        ));
    };
    let producers = num::low_u32(workload.producers());
    let schedule_of = |id: u32| {
        let spacing = match (arrival, profile) {
            (Arrival::Constant, Profile::Constant) => {
                return Schedule::Even(Even::new(rate, 0, id, producers));
            }
            (Arrival::Constant, _) => Spacing::Even(f64::from(id) / f64::from(producers)),
            (Arrival::Poisson, _) => Spacing::Poisson(arrival_seed(workload.payload.seed, id)),
        };
        Schedule::Shaped(Box::new(Shaped::new(Shape {
            rate_per_s: rate.records_per_s() / f64::from(producers),
            profile,
            window_start_ns: timeline.window_start_ns(),
            window_ns: timeline.window_ns(),
            spacing,
        })))
    };
    Ok((0..producers).map(schedule_of).collect())
}

/// Returns the seed of a producer's arrivals. It is far from the seeds of keys and values.
fn arrival_seed(seed: u64, producer: u32) -> u64 {
    seed.rotate_left(32) ^ (u64::from(producer) + 1).wrapping_mul(0xD1B5_4A32_D192_ED03)
}

impl TrialLoad<'_> {
    /// Returns the plan of every load thread, and the counters that the threads share.
    ///
    /// # Errors
    /// A client cannot be made, or none of the keys belongs to the partitions of a producer.
    pub fn plans(&self) -> anyhow::Result<(Vec<LoadPlan>, Arc<Shared>)> {
        let workload = self.workload;
        let producers = num::index(self.producers());
        let shared = Shared::new(workload.topics, workload.partitions_per_topic, producers);
        let shared = shared.with_backlog_for(num::index(self.consumers())).with_groups(self.groups());
        let shared = Arc::new(shared);
        let mut plans = Vec::new();
        for thread in 0..self.threads {
            plans.push(LoadPlan {
                timeline: Arc::clone(&self.timeline),
                shared: Arc::clone(&shared),
                channel: Channel { thread, ..self.channel.clone() },
                pool: self.pool.clone().with_salt(self.salt.unwrap_or(0)),
                producers: Vec::new(),
                consumers: Vec::new(),
                members: Vec::new(),
                ack_log: self.ack_log.map(AckLog::open).transpose()?,
                idle: self.idle,
                is_paced: self.load.mode.rate().is_some(),
                starts_late: self.backlog.is_some(),
            });
        }
        let shards_by_topic = self.shards_by_topic()?;
        let mut keys = KeysOf::new();
        let mut schedules = self.schedules.iter().cloned();
        for id in 0..self.producers() {
            let topic = &shards_by_topic[num::index(id / workload.producers_per_topic)];
            let shard = topic.shard_of(id % workload.producers_per_topic);
            let own = topic.partitions_of(shard);
            let plan = self.producer(id, own, &mut keys, schedules.next())?;
            plans[self.thread_of(id, shard)].producers.push(plan);
        }
        for id in 0..self.consumers() {
            let members = workload.consumers_per_subscription;
            if let Some(group) = shared.groups().get(num::index(id / members)) {
                plans[self.thread_of(id, 0)].members.push(self.member(id % members, Arc::clone(group))?);
                continue;
            }
            let topic = &shards_by_topic[num::index(id / members / workload.subscriptions_per_topic)];
            let (shard, partitions) = (topic.shard_of(id % members), topic.assigned(id % members, members));
            plans[self.thread_of(id, shard)].consumers.push(self.consumer(id, partitions)?);
        }
        Ok((plans, shared))
    }

    /// Returns the shard of each partition, by topic. Remote load reaches all partitions, so it gets shard 0 for each.
    fn shards_by_topic(&self) -> anyhow::Result<Vec<PartitionShards>> {
        let shards = (0..self.workload.topics).map(|topic| {
            Ok(PartitionShards::new(if self.is_colocated() {
                system::inside(self.system)?.shards_of(&topic_name(topic))?
            } else {
                vec![0; num::index(self.workload.partitions_per_topic)]
            }))
        });
        shards.collect()
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
        let paced = match (self.load.mode, schedule, granularity_of(self.load.mode)) {
            (_, Some(schedule), Some(granularity)) => Pacing::Open { schedule, granularity },
            (LoadMode::Closed { in_flight }, ..) => Pacing::Closed { in_flight },
            _ => Pacing::Max,
        };
        let (pacing, later_pacing) = match paced {
            paced @ Pacing::Open { .. } if self.fills_first() => (Pacing::Max, Some(paced)),
            paced => (paced, None),
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
            sender: sender(self.machine, id),
            topic,
            topic_name: spec.topic.clone(),
            number: id % workload.producers_per_topic,
            groups: workload.subscriptions_per_topic,
            partitions,
            pacing,
            later_pacing,
            backlog_part: self.backlog_part(id),
            on_error: workload.on_error,
            partitioner: Partitioner::new(distribution, &keys, own, id, workload.payload.seed),
            limits: BatchLimits {
                bytes_max: batch.max_bytes.0,
                records_max: batch.max_records,
                linger_ns: num::ns_of(batch.linger.0),
            },
        };
        let is_colocated = self.is_colocated();
        let seat =
            if is_colocated { Seat::Colocated(spec) } else { Seat::Remote(self.system.producer(&spec)?) };
        Ok((plan, seat))
    }

    /// Whether the log is filled as fast as acks allow until retention deletes, and only then records are due at their times.
    fn fills_first(&self) -> bool {
        self.timeline.is_held() && self.backlog.is_none()
    }

    /// Returns a producer's part of the backlog.
    fn backlog_part(&self, id: u32) -> Option<BacklogPart> {
        let backlog = self.backlog?;
        let producers = self.producers();
        let rate_in_window = match backlog.drain_producer_rate {
            Rate::Absolute(RecordRate::ZERO) | Rate::Share(_) => None,
            Rate::Absolute(rate) => Some(ShareOfRate { rate, index: id, of: producers }),
        };
        Some(BacklogPart { bytes: (backlog.build.0 / u64::from(producers)).max(1), rate_in_window })
    }

    /// Makes the plan of a consumer. Consumers are numbered by topic, then by group, then within the group.
    /// `partitions` are those that it reads.
    fn consumer(&self, id: u32, partitions: Vec<u32>) -> anyhow::Result<(ConsumerPlan, ConsumerSeat)> {
        let workload = self.workload;
        let group_id = id / workload.consumers_per_subscription;
        let topic = group_id / workload.subscriptions_per_topic;
        let group = group_id % workload.subscriptions_per_topic;
        let spec = ConsumerSpec {
            group: workload.group_id(&topic_name(topic), group),
            assignment: partitions.iter().map(|partition| (topic_name(topic), *partition)).collect(),
            fetch_bytes_max: FETCH_BYTES_MAX,
        };
        let plan = ConsumerPlan {
            topic,
            group,
            partitions,
            producers: workload.producers_per_topic,
            check: self.check(topic),
            has_backlog: self.backlog.is_some(),
        };
        let is_colocated = self.is_colocated();
        let seat =
            if is_colocated { Seat::Colocated(spec) } else { Seat::Remote(self.system.consumer(&spec)?) };
        Ok((plan, seat))
    }

    /// Returns the settings that records of a topic are checked against.
    fn check(&self, topic: u32) -> Check {
        let granularity = granularity_of(self.load.mode).or(self.backlog.and_then(granularity_after));
        Check {
            first_sender: sender(self.machine, topic * self.workload.producers_per_topic),
            verify: self.workload.verify,
            place: self.pool.place(),
            is_open_load: granularity.is_some(),
            salt: self.salt,
        }
    }

    /// Returns the groups of all topics, by topic and number. Empty if consumers read fixed partitions.
    fn groups(&self) -> Vec<Arc<Group>> {
        let workload = self.workload;
        let has_members = workload.consume.has_members();
        let per_topic = if has_members { workload.subscriptions_per_topic } else { 0 };
        let numbers = (0..workload.topics).flat_map(|topic| (0..per_topic).map(move |group| (topic, group)));
        let groups = numbers.map(|(topic, number)| {
            Arc::new(Group::new(GroupSpec {
                id: workload.group_id(&topic_name(topic), number),
                topic,
                number,
                members: workload.consumers_per_subscription,
                partitions: workload.partitions_per_topic,
                producers: workload.producers_per_topic,
                // An existing topic has a retention of its own.
                may_be_deleted: workload.topic.is_some()
                    || workload.log.retention_bytes.0.is_some()
                    || workload.log.retention_ms.0.is_some(),
            }))
        });
        groups.collect()
    }

    /// Makes member number `number` of a group.
    fn member(&self, number: u32, group: Arc<Group>) -> anyhow::Result<Member> {
        let consume = &self.workload.consume;
        let commit = consume.commit.unwrap_or_default();
        let every = |mode| (commit.mode == mode).then_some(commit.every.0);
        let topic = group.spec().topic;
        let spec = MemberSpec {
            group: group.spec().id.clone(),
            topic: topic_name(topic),
            assignor: consume.assignor,
            heartbeat_interval: consume.heartbeat_interval.0,
            auto_commit: every(CommitMode::Auto),
            fetch_bytes_max: FETCH_BYTES_MAX,
        };
        let plan = MemberPlan {
            number,
            check: self.check(topic),
            commits: commit.mode != CommitMode::None,
            sync_every: every(CommitMode::Sync),
            churn_every: consume.churn.map(|churn| churn.every.0),
            group,
        };
        Ok(Member::new(plan, self.system.member(&spec)?))
    }
}
