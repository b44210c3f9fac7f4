//! One logical producer: what it sends when, what it is still owed, and where the time of each record went.

mod acks;
mod plan;

use super::pacing::{Blockage, Delay};
use super::partitioner::{Destination, Partitioner};
use super::pool::{Pool, StampPlace};
use super::shared::Shared;
use super::stamp::Stamp;
use super::turn::Turn;
use crate::num;
use crate::result::Granularity;
use crate::result::latency::Measure;
use crate::system::{OutRecord, SendError, SystemProducer};
use crate::time::schedule::{Even, Schedule};
use crate::time::timeline::Timeline;
use std::collections::VecDeque;
use std::ops::Range;

pub use acks::ProducerOutcome;
pub use plan::{BatchLimits, Build, Pacing, ProducerPlan};

/// Bytes an encoded record takes beside its value and key at most, and a batch beside its records (RecordBatch v2).
const RECORD_OVERHEAD_BYTES: u64 = 14;
const BATCH_OVERHEAD_BYTES: u64 = 61;
const STAMP_HEADER_OVERHEAD_BYTES: u64 = 34;

/// A producer at work.
pub(crate) struct Producer {
    plan: ProducerPlan,
    client: Box<dyn SystemProducer>,
    lanes: Vec<Lane>,
    blockage: Blockage,
    /// Not since it was last refused: only an ack or a wake lets it try again.
    may_send: bool,
    next_entry: usize,
    /// Records a hand-over takes at most: one batch of them, so that acks are looked at in between.
    burst_records: u64,
    open: OpenBatch,
    unacked_records: u64,
    unacked_bytes: u64,
    entries: usize,
    building: Building,
    /// Encoded bytes of its part of the backlog that are acked.
    built_bytes: u64,
    done: bool,
}

/// How far a producer's part of the backlog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Building {
    /// There is none, or the window is open and it goes on.
    No,
    /// So many encoded bytes are left to hand over.
    Left(u64),
    /// All of it is acked; nothing more until the window opens, or at all.
    Done,
}

/// One partition as a producer sees it.
#[derive(Default)]
struct Lane {
    next_sequence: u64,
    answered: u64,
    end_offset: u64,
    failed: Vec<Range<u64>>,
    unacked: VecDeque<Group>,
}

/// Records of one hand-over to one partition that are timed as one.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// Under `max` and `closed`, where nothing is intended, the same as `accepted_ns`.
    intended_ns: u64,
    accepted_ns: u64,
    records: u64,
    /// Keys and values.
    bytes: u64,
}

/// What was handed over since the last batch was closed, as far as that can be told from outside.
#[derive(Debug, Default)]
struct OpenBatch {
    records: u32,
    encoded_bytes: u64,
    since_ns: u64,
}

/// A hand-over under way.
#[derive(Default)]
struct Burst {
    partition: u32,
    run: Option<Group>,
    sent: u64,
    /// The longest of its delays: a hand-over counts once.
    worst: Option<Delay>,
}

/// How a hand-over ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandOver {
    /// Everything due is sent.
    CaughtUp,
    /// There is more, and the target would take it.
    More,
    /// The target is full.
    Refused,
}

impl Producer {
    pub(crate) fn new(plan: ProducerPlan, client: Box<dyn SystemProducer>, pool: &Pool) -> Self {
        let record_bytes = encoded_bytes(pool, &plan.partitioner, pool.mean_value_bytes());
        let fitting = plan.limits.bytes_max.saturating_sub(BATCH_OVERHEAD_BYTES) / record_bytes;
        Self {
            lanes: (0..plan.partitions).map(|_| Lane::default()).collect(),
            blockage: Blockage::default(),
            may_send: true,
            // Producers begin apart in the pool, so that their batches differ.
            next_entry: num::index(plan.id).wrapping_mul(37) % pool.len(),
            burst_records: fitting.clamp(1, u64::from(plan.limits.records_max.max(1))),
            open: OpenBatch::default(),
            unacked_records: 0,
            unacked_bytes: 0,
            entries: pool.len(),
            building: plan.build.map_or(Building::No, |build| Building::Left(build.bytes)),
            built_bytes: 0,
            done: false,
            plan,
            client,
        }
    }

    /// It is known when the window opens.
    pub(crate) fn anchor(&mut self, window_start_ns: u64) {
        if let Some((rate_milli, part, parts)) = self.plan.build.and_then(|build| build.then) {
            let schedule = Schedule::Even(Even::new(rate_milli, window_start_ns, part, parts));
            self.plan.pacing = Pacing::Open { schedule, granularity: Granularity::Record };
            self.building = Building::No;
        } else if let Pacing::Open { schedule, .. } = &mut self.plan.pacing {
            schedule.set_window_start(window_start_ns);
        }
    }

    /// Whether a hand-over at `now_ns` would have something to hand over.
    pub(crate) fn is_due(&self, timeline: &Timeline, now_ns: u64) -> bool {
        self.may_send && self.next_intended(timeline, now_ns).is_some()
    }

    /// When it next needs to be looked at without a wake.
    pub(crate) fn next_due_ns(&self, timeline: &Timeline) -> u64 {
        let window_end_ns = timeline.window_end_ns();
        let due_ns = match &self.plan.pacing {
            _ if self.done => return u64::MAX,
            _ if self.building == Building::Done => return window_end_ns,
            Pacing::Open { schedule, .. } if self.may_send => schedule.due_ns().min(window_end_ns),
            Pacing::Open { .. } | Pacing::Max | Pacing::Closed { .. } => window_end_ns,
        };
        due_ns.min(self.linger_end_ns().unwrap_or(u64::MAX))
    }

    /// When the next record was meant to be sent, if it is due at `now_ns` and the load's mode allows it.
    fn next_intended(&self, timeline: &Timeline, now_ns: u64) -> Option<u64> {
        if matches!(self.building, Building::Done | Building::Left(0)) {
            return None;
        }
        let window_end_ns = timeline.window_end_ns();
        match &self.plan.pacing {
            Pacing::Open { schedule, .. } => {
                let due_ns = schedule.due_ns();
                (due_ns <= now_ns && due_ns < window_end_ns).then_some(due_ns)
            }
            Pacing::Max => (now_ns < window_end_ns).then_some(now_ns),
            Pacing::Closed { in_flight } => {
                let room = self.burst_records * u64::from(*in_flight);
                // A batch is begun only if all of it may be in flight; one that was begun is finished.
                let begun = u64::from(self.open.records);
                let allowed = begun > 0 || self.unacked_records + self.burst_records <= room;
                (now_ns < window_end_ns && allowed).then_some(now_ns)
            }
        }
    }

    /// Hands over what is due, a batch of records at most. Returns whether it could go on at once.
    pub(crate) fn hand_over(&mut self, turn: &mut Turn<'_>) -> anyhow::Result<bool> {
        let now_ns = turn.now();
        self.blockage.resume(now_ns);
        let mut burst = Burst::default();
        let end = loop {
            let Some(intended_ns) = self.next_intended(turn.timeline, now_ns) else {
                break HandOver::CaughtUp;
            };
            if burst.sent == self.burst_records {
                break HandOver::More;
            }
            if !self.send(turn, &mut burst, intended_ns, now_ns)? {
                break HandOver::Refused;
            }
        };
        self.close_run(turn, &mut burst, now_ns);
        if let Some(worst) = burst.worst {
            turn.recorder.distinct(Measure::PacingLag, worst.pacing_lag_ns);
            turn.recorder.distinct(Measure::Blocked, worst.blocked_ns);
        }
        if end == HandOver::CaughtUp || (burst.sent > 0 && !self.is_open_load()) {
            self.blockage.clear();
        }
        if end == HandOver::Refused {
            self.blockage.refuse(now_ns);
            self.may_send = false;
        }
        if self.must_flush(end) {
            self.flush();
        }
        Ok(end == HandOver::More)
    }

    /// Offers one record; `false` if it was refused.
    fn send(
        &mut self,
        turn: &mut Turn<'_>,
        burst: &mut Burst,
        intended_ns: u64,
        now_ns: u64,
    ) -> anyhow::Result<bool> {
        let value_bytes = num::count(turn.pool.value_bytes(self.next_entry));
        let record_bytes = encoded_bytes(turn.pool, &self.plan.partitioner, value_bytes);
        self.close_full_batch(record_bytes);
        let Destination { partition, key } = self.plan.partitioner.destination();
        let oldest = burst.run.filter(|_| burst.partition == partition && self.shares_intended_time());
        let intended_ns = oldest.map_or(intended_ns, |run| run.intended_ns);
        let sequence = self.lanes[num::index(partition)].next_sequence;
        let stamped =
            turn.pool.stamped(self.next_entry, Stamp { sequence, intended_ns, producer: self.plan.id });
        let record = OutRecord {
            timestamp_ms: turn.wall_start_ms + i64::try_from(now_ns / 1_000_000).unwrap_or(0),
            key: key.as_ref().map(<[u8; 8]>::as_slice),
            value: stamped.value,
            headers: stamped.header.as_slice(),
        };
        match self.client.try_send(partition, &record) {
            Ok(()) => {}
            Err(SendError::Full) => return Ok(false),
            Err(SendError::Failed(error)) => {
                return Err(error.context(format!("cannot produce to {}-{partition}", self.plan.topic_name)));
            }
        }
        let bytes = value_bytes + key.map_or(0, |key| num::count(key.len()));
        self.open.add(record_bytes, now_ns);
        if let Building::Left(left) = &mut self.building {
            *left = left.saturating_sub(record_bytes);
        }
        self.count_sent(partition, bytes);
        match &mut burst.run {
            Some(run) if burst.partition == partition && run.intended_ns == intended_ns => {
                run.records += 1;
                run.bytes += bytes;
            }
            _ => {
                self.close_run(turn, burst, now_ns);
                burst.partition = partition;
                burst.run = Some(Group { intended_ns, accepted_ns: now_ns, records: 1, bytes });
            }
        }
        burst.sent += 1;
        Ok(true)
    }

    fn count_sent(&mut self, partition: u32, bytes: u64) {
        self.lanes[num::index(partition)].next_sequence += 1;
        self.plan.partitioner.sent();
        if let Pacing::Open { schedule, .. } = &mut self.plan.pacing {
            schedule.advance();
        }
        self.unacked_records += 1;
        self.unacked_bytes += bytes;
        self.next_entry += 1;
        if self.next_entry == self.entries {
            self.next_entry = 0;
        }
    }

    /// Ends a stretch of equal partition and intended time: it now waits for its ack.
    fn close_run(&mut self, turn: &mut Turn<'_>, burst: &mut Burst, now_ns: u64) {
        let Some(group) = burst.run.take() else { return };
        self.lanes[num::index(burst.partition)].unacked.push_back(group);
        if !turn.timeline.in_window(group.intended_ns) {
            return;
        }
        let delay = if self.is_open_load() {
            let delay = self.blockage.split(group.intended_ns, now_ns);
            turn.recorder.latency(Measure::PacingLag, delay.pacing_lag_ns, group.records);
            turn.recorder.latency(Measure::Blocked, delay.blocked_ns, group.records);
            delay
        } else {
            // Nothing is due: one record was ready and waited, the others were made once there was room.
            let waited_ns = if burst.worst.is_none() { self.blockage.waited_ns() } else { 0 };
            turn.recorder.latency(Measure::Blocked, waited_ns, 1);
            turn.recorder.latency(Measure::Blocked, 0, group.records - 1);
            Delay { pacing_lag_ns: 0, blocked_ns: waited_ns }
        };
        burst.worst = Some(burst.worst.map_or(delay, |worst| worst.longer_of_each(delay)));
    }

    /// Closes the batch under way if the next record does not fit. Only where the next batch goes elsewhere must the
    /// client be told; on one partition it closes full batches by itself, to the byte.
    fn close_full_batch(&mut self, record_bytes: u64) {
        let limits = self.plan.limits;
        let is_full = self.open.records >= limits.records_max
            || self.open.encoded_bytes + record_bytes + BATCH_OVERHEAD_BYTES > limits.bytes_max;
        if self.open.records == 0 || !is_full {
            return;
        }
        if self.plan.partitioner.is_sticky() && self.plan.partitions > 1 {
            self.flush();
        } else {
            self.open = OpenBatch::default();
        }
    }

    /// Whether what sits in open batches must travel now.
    fn must_flush(&self, end: HandOver) -> bool {
        let open_bytes_max = u64::from(self.plan.partitioner.open_batches_max()) * self.plan.limits.bytes_max;
        match (&self.plan.pacing, end) {
            _ if self.open.records == 0 => false,
            // With more unacked than open batches can hold, an ack is on its way, and batches may fill up meanwhile.
            (_, HandOver::Refused) => self.unacked_bytes <= open_bytes_max,
            (Pacing::Open { .. }, HandOver::CaughtUp) => self.plan.limits.linger_ns == 0,
            (Pacing::Closed { .. }, _) | (Pacing::Max, HandOver::CaughtUp) => true,
            (Pacing::Open { .. } | Pacing::Max, HandOver::More) => false,
        }
    }

    fn flush(&mut self) {
        self.client.flush();
        self.plan.partitioner.batch_closed();
        self.open = OpenBatch::default();
    }

    fn linger_end_ns(&self) -> Option<u64> {
        let lingers = self.open.records > 0 && self.plan.limits.linger_ns > 0 && self.is_open_load();
        lingers.then(|| self.open.since_ns.saturating_add(self.plan.limits.linger_ns))
    }

    /// Sends a batch that has waited long enough, and sees whether this producer's work is done.
    pub(crate) fn settle(&mut self, timeline: &Timeline, shared: &Shared, now_ns: u64) {
        if self.linger_end_ns().is_some_and(|end_ns| now_ns >= end_ns) {
            self.flush();
        }
        if self.building == Building::Left(0) {
            if self.open.records > 0 {
                self.flush();
            }
            if self.unacked_records == 0 {
                self.close_build(shared);
            }
        }
        if self.done || now_ns < timeline.window_end_ns() || !self.has_sent_all(timeline) {
            return;
        }
        if self.open.records > 0 {
            self.flush();
        }
        if self.unacked_records == 0 {
            self.done = true;
            shared.producer_done();
        }
    }

    /// What was handed over was counted before it was encoded: if that was too little by more than a little, there is more.
    fn close_build(&mut self, shared: &Shared) {
        let wanted = self.plan.build.map_or(0, |build| build.bytes);
        let missing = wanted.saturating_sub(self.built_bytes);
        if self.built_bytes > 0 && missing > wanted / 100 {
            self.building = Building::Left(missing);
        } else {
            self.building = Building::Done;
            shared.built();
        }
    }

    fn has_sent_all(&self, timeline: &Timeline) -> bool {
        match &self.plan.pacing {
            Pacing::Open { schedule, .. } => schedule.due_ns() >= timeline.window_end_ns(),
            Pacing::Max | Pacing::Closed { .. } => true,
        }
    }

    fn is_open_load(&self) -> bool {
        matches!(self.plan.pacing, Pacing::Open { .. })
    }

    fn shares_intended_time(&self) -> bool {
        !matches!(self.plan.pacing, Pacing::Open { granularity: Granularity::Record, .. })
    }

    /// Whether everything is sent and answered.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }
}

impl OpenBatch {
    fn add(&mut self, record_bytes: u64, now_ns: u64) {
        if self.records == 0 {
            self.since_ns = now_ns;
        }
        self.records += 1;
        self.encoded_bytes += record_bytes;
    }
}

/// Bytes a record takes in a batch, rounded up.
fn encoded_bytes(pool: &Pool, partitioner: &Partitioner, value_bytes: u64) -> u64 {
    let stamp_bytes = match pool.place() {
        StampPlace::Value => 0,
        StampPlace::Header => STAMP_HEADER_OVERHEAD_BYTES,
    };
    value_bytes + stamp_bytes + partitioner.key_bytes() + RECORD_OVERHEAD_BYTES
}
