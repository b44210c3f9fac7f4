//! One logical producer: it sends records at its pace, waits for their acks, and records where each record's time went.

mod acks;
mod errors;
mod never_acked;
mod plan;

use super::pacing::{Blockage, Delay};
use super::partitioner::{Destination, Partitioner};
use super::pool::{Pool, StampPlace};
use super::shared::Shared;
use super::stamp::Stamp;
use super::turn::ThreadTurn;
use crate::num;
use crate::result::Granularity;
use crate::result::latency::Measure;
use crate::system::{OutRecord, SendError, SystemProducer};
use crate::time::schedule::{Even, Schedule};
use crate::time::timeline::Timeline;
use std::collections::VecDeque;
use std::ops::Range;

use never_acked::GivenUp;

pub use acks::ProducerOutcome;
pub use plan::{BacklogPart, BatchLimits, Pacing, ProducerPlan, ShareOfRate};

/// Most bytes that an encoded record takes besides its value and key (RecordBatch v2).
const RECORD_OVERHEAD_BYTES: u64 = 14;
/// Bytes that a batch takes besides its records.
const BATCH_OVERHEAD_BYTES: u64 = 61;
/// Most bytes that the header with the stamp takes in a record.
const STAMP_HEADER_OVERHEAD_BYTES: u64 = 34;

/// A running producer.
pub(crate) struct Producer {
    plan: ProducerPlan,
    client: Box<dyn SystemProducer>,
    partitions: Vec<PartitionState>,
    blockage: Blockage,
    /// Whether the producer may offer records. Cleared by a refusal; an ack or a wake sets it again.
    may_send: bool,
    /// The pool entry that the next record takes its value from.
    next_entry: usize,
    /// Most records that one hand-over sends: one batch, so that acks are processed in between.
    burst_records: u64,
    open: OpenBatch,
    unacked_records: u64,
    unacked_bytes: u64,
    /// Number of entries in the pool.
    entries: usize,
    backlog: BacklogState,
    /// Encoded bytes of the producer's part of the backlog that are acked; bytes of keys and values if the system does not report
    /// encoded ones.
    backlog_acked_bytes: u64,
    /// Records of the window that failed or were refused for good.
    given_up: GivenUp,
    /// Whether all records are sent and acked.
    is_done: bool,
}

/// The state of a producer's part of the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BacklogState {
    /// The producer has no part, or the window is open and the producer sends its load.
    None,
    /// Encoded bytes that are left to hand over.
    Left(u64),
    /// The whole part is acked. The producer sends nothing until the window opens, and perhaps nothing after that.
    Done,
}

/// The state of one partition that a producer sends to.
#[derive(Default)]
struct PartitionState {
    /// Sequence number of the next record, which is also the number of records sent.
    next_sequence: u64,
    /// Number of records that were acked or have failed.
    answered: u64,
    /// Offset after the last acked record.
    end_offset: u64,
    /// Sequence numbers of the records that have failed.
    failed: Vec<Range<u64>>,
    /// Records without an ack, the oldest first.
    unacked: VecDeque<Run>,
}

/// A run of records of one hand-over that went to one partition and are timed as one.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The time at which the records were intended to be sent, in ns. Under `max` and `closed`, where no time is
    /// intended, it equals `accepted_ns`.
    intended_ns: u64,
    /// The time at which the system accepted the records, in ns.
    accepted_ns: u64,
    /// The generator's part of the time between both, in ns.
    pacing_lag_ns: u64,
    records: u64,
    /// Bytes of keys and values.
    bytes: u64,
}

/// The batch that the client has open, as estimated from the records that were handed over.
#[derive(Debug, Default)]
struct OpenBatch {
    records: u32,
    encoded_bytes: u64,
    since_ns: u64,
}

/// A hand-over in progress.
#[derive(Default)]
struct Burst {
    /// The partition of `run`.
    partition: u32,
    /// The last run, which still grows; `None` before the first record.
    run: Option<Run>,
    /// Records that the system has accepted in this hand-over.
    sent: u64,
    /// The longest delays in this hand-over. Each hand-over adds one value to the distinct delays.
    worst: Option<Delay>,
}

/// The reason why a hand-over ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandOver {
    /// Every due record is sent.
    CaughtUp,
    /// More records are due, and the system may accept them.
    More,
    /// The system refused a record.
    Refused,
}

impl Producer {
    pub(crate) fn new(plan: ProducerPlan, client: Box<dyn SystemProducer>, pool: &Pool) -> Self {
        let record_bytes = encoded_bytes(pool, &plan.partitioner, pool.mean_value_bytes());
        let fitting = plan.limits.bytes_max.saturating_sub(BATCH_OVERHEAD_BYTES) / record_bytes;
        Self {
            partitions: (0..plan.partitions).map(|_| PartitionState::default()).collect(),
            blockage: Blockage::default(),
            may_send: true,
            // Each producer begins at another entry of the pool, so that their batches differ.
            next_entry: num::index(plan.id).wrapping_mul(37) % pool.len(),
            burst_records: fitting.clamp(1, u64::from(plan.limits.records_max.max(1))),
            open: OpenBatch::default(),
            unacked_records: 0,
            unacked_bytes: 0,
            entries: pool.len(),
            backlog: plan.backlog_part.map_or(BacklogState::None, |part| BacklogState::Left(part.bytes)),
            backlog_acked_bytes: 0,
            given_up: GivenUp::default(),
            is_done: false,
            plan,
            client,
        }
    }

    /// Starts the schedule. It is called at `now_ns`, as soon as the window's start is known. No record is due before.
    pub(crate) fn start_schedule_at(&mut self, window_start_ns: u64, now_ns: u64) {
        if let Some(pacing) = self.plan.later_pacing.take() {
            self.plan.pacing = pacing;
            if let Pacing::Open { schedule, .. } = &mut self.plan.pacing {
                schedule.set_window_start(window_start_ns);
                schedule.skip_until(now_ns);
            }
            return;
        }
        if let Some(share) = self.plan.backlog_part.and_then(|part| part.rate_in_window) {
            let even = Even::new(share.rate, window_start_ns, share.index, share.of);
            let schedule = Schedule::Even(even);
            self.plan.pacing = Pacing::Open { schedule, granularity: Granularity::Record };
            self.backlog = BacklogState::None;
        } else if let Pacing::Open { schedule, .. } = &mut self.plan.pacing {
            schedule.set_window_start(window_start_ns);
        }
    }

    /// Returns whether a hand-over at `now_ns` would have a record to send.
    pub(crate) fn is_due(&self, timeline: &Timeline, now_ns: u64) -> bool {
        self.may_send && self.next_intended(timeline, now_ns).is_some()
    }

    /// Returns the time in ns at which the thread must come back to this producer even if no client wakes it.
    pub(crate) fn next_due_ns(&self, timeline: &Timeline) -> u64 {
        let window_end_ns = timeline.window_end_ns();
        let due_ns = match &self.plan.pacing {
            _ if self.is_done => return u64::MAX,
            _ if self.backlog == BacklogState::Done => return window_end_ns,
            Pacing::Open { schedule, .. } if self.may_send => schedule.due_ns().min(window_end_ns),
            Pacing::Open { .. } | Pacing::Max | Pacing::Closed { .. } => window_end_ns,
        };
        due_ns.min(self.linger_end_ns().unwrap_or(u64::MAX))
    }

    /// Returns the intended time of the next record, if it is due at `now_ns` and the load's mode allows it to be sent.
    fn next_intended(&self, timeline: &Timeline, now_ns: u64) -> Option<u64> {
        if matches!(self.backlog, BacklogState::Done | BacklogState::Left(0)) {
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
                let records_max = self.burst_records * u64::from(*in_flight);
                // A batch is begun only if all of it may be in flight. Once begun, it is filled.
                let begun = u64::from(self.open.records);
                let allowed = begun > 0 || self.unacked_records + self.burst_records <= records_max;
                (now_ns < window_end_ns && allowed).then_some(now_ns)
            }
        }
    }

    /// Hands over the records that are due, at most one batch. Returns whether there is more to hand over at once.
    pub(crate) fn hand_over(&mut self, turn: &mut ThreadTurn<'_>) -> anyhow::Result<bool> {
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
            if self.is_open_load() {
                turn.recorder.distinct(Measure::PacingLag, worst.pacing_lag_ns);
            }
            turn.recorder.distinct(Measure::Blocked, worst.blocked_ns);
        }
        if end == HandOver::CaughtUp || (burst.sent > 0 && !self.is_open_load()) {
            self.blockage.clear();
        }
        if end == HandOver::Refused {
            self.blockage.refuse(now_ns, burst.sent);
            self.may_send = false;
        }
        if self.must_flush(end) {
            self.flush();
        }
        Ok(end == HandOver::More)
    }

    /// Offers one record to the system. Returns `false` if it was refused.
    fn send(
        &mut self,
        turn: &mut ThreadTurn<'_>,
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
        let sequence = self.partitions[num::index(partition)].next_sequence;
        let stamped =
            turn.pool.stamped(self.next_entry, Stamp { sequence, intended_ns, producer: self.plan.sender });
        let record = OutRecord {
            timestamp_ms: turn.wall_start_ms + i64::try_from(now_ns / 1_000_000).unwrap_or(0),
            key: key.as_ref().map(<[u8; 8]>::as_slice),
            value: stamped.value,
            headers: stamped.header.as_slice(),
        };
        match self.client.try_send(partition, &record) {
            Ok(()) => {}
            Err(SendError::Full) => return Ok(false),
            Err(SendError::Refused(error)) => {
                self.refused(turn, partition, intended_ns, now_ns, error)?;
                burst.sent += 1;
                return Ok(true);
            }
            Err(SendError::Failed(error)) => {
                return Err(error.context(format!("cannot produce to {}-{partition}", self.plan.topic_name)));
            }
        }
        let bytes = value_bytes + key.map_or(0, |key| num::count(key.len()));
        self.open.add(record_bytes, now_ns);
        if let BacklogState::Left(left) = &mut self.backlog {
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
                burst.run =
                    Some(Run { intended_ns, accepted_ns: now_ns, pacing_lag_ns: 0, records: 1, bytes });
            }
        }
        burst.sent += 1;
        Ok(true)
    }

    fn count_sent(&mut self, partition: u32, bytes: u64) {
        self.partitions[num::index(partition)].next_sequence += 1;
        self.unacked_records += 1;
        self.unacked_bytes += bytes;
        self.move_to_next_record();
    }

    /// Moves on after a record that was accepted, or that never will be.
    fn move_to_next_record(&mut self) {
        self.plan.partitioner.sent();
        if let Pacing::Open { schedule, .. } = &mut self.plan.pacing {
            schedule.advance();
        }
        self.next_entry += 1;
        if self.next_entry == self.entries {
            self.next_entry = 0;
        }
    }

    /// Ends a run of records with the same partition and intended time. The run then waits for its acks.
    fn close_run(&mut self, turn: &mut ThreadTurn<'_>, burst: &mut Burst, now_ns: u64) {
        let Some(mut run) = burst.run.take() else { return };
        let is_in_window = turn.timeline.in_window(run.intended_ns);
        let delay = if self.is_open_load() {
            let delay = self.blockage.split(run.intended_ns, now_ns);
            run.pacing_lag_ns = delay.pacing_lag_ns;
            Some(delay).filter(|_| is_in_window)
        } else {
            // No record is due at a time here. One record was refused and waited. The others were made when they were
            // accepted, so they waited for nothing.
            let waited_ns = if burst.worst.is_none() { self.blockage.waited_ns() } else { 0 };
            let delay = Delay { pacing_lag_ns: 0, blocked_ns: waited_ns };
            Some(delay).filter(|_| is_in_window && waited_ns > 0)
        };
        self.partitions[num::index(burst.partition)].unacked.push_back(run);
        let Some(delay) = delay else { return };
        if self.is_open_load() {
            turn.recorder.latency(Measure::PacingLag, delay.pacing_lag_ns, run.records);
            turn.recorder.latency(Measure::Blocked, delay.blocked_ns, run.records);
        } else {
            turn.recorder.latency(Measure::Blocked, delay.blocked_ns, 1);
        }
        burst.worst = Some(burst.worst.map_or(delay, |worst| worst.longer_of_each(delay)));
    }

    /// Closes the open batch if the next record does not fit. The client needs a flush only if the next batch goes to
    /// another partition. On one partition the client itself closes a full batch, and knows its size exactly.
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

    /// Returns whether the open batches must be sent now.
    fn must_flush(&self, end: HandOver) -> bool {
        let open_bytes_max = u64::from(self.plan.partitioner.open_batches_max()) * self.plan.limits.bytes_max;
        match (&self.plan.pacing, end) {
            _ if self.open.records == 0 => false,
            // If more is unacked than open batches can hold, an ack will arrive, and the batches may fill up in the
            // meantime.
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

    /// Sends a batch whose linger time is over. Then checks whether the producer's part of the backlog, and all its
    /// work, is done.
    pub(crate) fn flush_and_check_done(&mut self, timeline: &Timeline, shared: &Shared, now_ns: u64) {
        if self.linger_end_ns().is_some_and(|end_ns| now_ns >= end_ns) {
            self.flush();
        }
        if self.backlog == BacklogState::Left(0) {
            if self.open.records > 0 {
                self.flush();
            }
            if self.unacked_records == 0 {
                self.end_backlog_part(shared);
            }
        }
        if self.is_done || now_ns < timeline.window_end_ns() || !self.has_sent_all(timeline) {
            return;
        }
        if self.open.records > 0 {
            self.flush();
        }
        if self.unacked_records == 0 {
            self.is_done = true;
            shared.producer_done();
        }
    }

    /// Ends the part of the backlog, if its acked bytes are enough. Bytes are estimated before records are encoded. If
    /// the estimate was too high by more than 1 %, more records are sent.
    fn end_backlog_part(&mut self, shared: &Shared) {
        let wanted = self.plan.backlog_part.map_or(0, |part| part.bytes);
        let missing = wanted.saturating_sub(self.backlog_acked_bytes);
        if self.backlog_acked_bytes > 0 && missing > wanted / 100 {
            self.backlog = BacklogState::Left(missing);
        } else {
            self.backlog = BacklogState::Done;
            shared.backlog_part_acked();
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

    /// Returns whether every record is sent and answered.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
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

/// Returns the bytes that a record takes in a batch, rounded up.
fn encoded_bytes(pool: &Pool, partitioner: &Partitioner, value_bytes: u64) -> u64 {
    let stamp_bytes = match pool.place() {
        StampPlace::Value => 0,
        StampPlace::Header => STAMP_HEADER_OVERHEAD_BYTES,
    };
    value_bytes + stamp_bytes + partitioner.key_bytes() + RECORD_OVERHEAD_BYTES
}
