//! Bounds the log of a coordinator. When the log has rolled, the whole live state is written to it, and the records before
//! it are deleted.
//!
//! ```text
//! Idle ─ the log has rolled ─► Draining ─ all steps acked ─► Building ─ all parts appended ─► Writing ─ synced ─► Deleting ─► Idle
//!                              └──── steps are held back ────┘           steps go on, behind the state; they are
//!                                                                        held back if the log rolls again
//! ```
//!
//! The state is written while no step is in flight, so that it holds every step before it, and every later step follows
//! it. It is written in small parts, one a turn of the owner, so that a large state does not keep others waiting. It is synced
//! before the log's start is raised to it. So after a crash at any point, the log replays to the same state: from its old start
//! through all steps and the written state, or from the written state on.

use super::appends::{Purpose, push};
use super::{Coordinator, Owner};
use crate::clock::Clock as _;
use crate::error::AppendError;
use crate::group::{EncodedRecord, SnapshotPlace};
use crate::record::{BatchBuilder, RecordRef};
use crate::types::Durability;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Bytes of records in a part of the live state. To encode them takes less than 1 ms.
const PART_BYTES: usize = 64 << 10;

/// Most batches of the live state that are not acked.
const BATCHES_IN_FLIGHT_MAX: usize = 8;

/// The state of the compaction of one log.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    phase: Phase,
    /// Base offset of the segment that was active when the live state was last begun. A larger one means that the log
    /// has rolled since.
    segment: i64,
    /// Size of the live state when it was last written, bytes. The log takes as many bytes of steps before it is
    /// compacted again, so that a large state is not written too often.
    state_bytes: u64,
    /// Wakes the future that builds the live state.
    builder: Option<Waker>,
}

#[derive(Debug, Default)]
enum Phase {
    /// Nothing is under way.
    #[default]
    Idle,
    /// Steps are held back until those in flight are acked.
    Draining,
    /// The live state is being appended, part by part.
    Building(Written),
    /// The last part of the live state is appended, and not all parts are acked.
    Writing(Written),
    /// The records before the live state are being deleted.
    Deleting,
}

/// The batches of the live state.
#[derive(Debug, Default, Clone, Copy)]
struct Written {
    /// Offset of the first batch, once it is acked.
    start: Option<i64>,
    /// Number of batches that are not acked.
    left: usize,
    /// Whether a batch was refused.
    has_failed: bool,
}

impl Compaction {
    const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    const fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining)
    }

    /// Whether no step may be appended, because the live state has to hold all steps before it.
    const fn holds_steps(&self) -> bool {
        matches!(self.phase, Phase::Draining | Phase::Building(_))
    }

    const fn written(&mut self) -> Option<&mut Written> {
        match &mut self.phase {
            Phase::Building(written) | Phase::Writing(written) => Some(written),
            Phase::Idle | Phase::Draining | Phase::Deleting => None,
        }
    }

    /// Sets the segment from which on the log was replayed.
    pub(super) const fn replayed_from(&mut self, log_start_offset: i64) {
        self.segment = log_start_offset;
    }
}

impl<O: Owner> Coordinator<O> {
    /// Whether a compaction has begun and not ended. An owner that closes waits for its end, so that the old segments do not
    /// stay.
    pub fn is_compacting(&self) -> bool {
        !self.compaction.borrow().is_idle()
    }

    /// Moves the compaction on, as far as it can go now. Before all records are read, the state is not whole and replaces
    /// nothing.
    pub fn compact(self: &Rc<Self>) {
        let is_serving = self.groups.borrow().is_serving();
        if !is_serving || self.damage.borrow().is_some() || !self.owner.takes_appends() {
            return;
        }
        if !self.is_compacting() && !self.owner.is_closing() && self.is_compaction_due() {
            self.compaction.borrow_mut().phase = Phase::Draining;
        }
        if self.compaction.borrow().is_draining() && self.appends.is_idle() {
            self.begin_live_state();
        }
    }

    /// Whether steps wait: until the live state is appended, or, if the log has rolled meanwhile, until the old segments are
    /// gone. So the log's size is bounded also if the disk removes segments slowly.
    pub(super) fn holds_steps(&self) -> bool {
        let compaction = self.compaction.borrow();
        compaction.holds_steps() || !compaction.is_idle() && self.has_rolled_since(compaction.segment)
    }

    fn has_rolled_since(&self, segment: i64) -> bool {
        let active = self.owner.log().and_then(|log| log.active_base_offset());
        active.is_some_and(|active| active > segment)
    }

    fn is_compaction_due(&self) -> bool {
        let compaction = self.compaction.borrow();
        self.appends.bytes.get() >= compaction.state_bytes && self.has_rolled_since(compaction.segment)
    }

    /// Begins to append the whole live state.
    fn begin_live_state(self: &Rc<Self>) {
        let Some(log) = self.owner.log() else { return };
        {
            let mut compaction = self.compaction.borrow_mut();
            compaction.phase = Phase::Building(Written::default());
            compaction.state_bytes = 0;
            compaction.segment = log.active_base_offset().unwrap_or(compaction.segment);
        }
        let build = Rc::clone(self).build_live_state(log.log_end_offset(), log.config().max_message_bytes);
        self.owner.spawn(Box::pin(build));
    }

    /// Appends the live state in parts. Its last batch is synced, and so is all before it.
    async fn build_live_state(self: Rc<Self>, log_end_offset: i64, bytes_max: usize) {
        let mut builder = BatchBuilder::new();
        let mut place = Some(SnapshotPlace::default());
        while let Some(from) = place {
            self.wait_for_acks().await;
            let has_failed = self.compaction.borrow_mut().written().is_none_or(|written| written.has_failed);
            let is_serving = self.groups.borrow().is_serving();
            if has_failed || !is_serving || !self.owner.takes_appends() {
                self.note_failure();
                break;
            }
            let (records, next) = self.groups.borrow().snapshot_part(&from, PART_BYTES.min(bytes_max));
            self.append_part(&mut builder, &records, bytes_max, next.is_none());
            if next.is_some() {
                self.owner.next_turn().await;
            }
            place = next;
        }
        self.appends.bytes.set(0);
        {
            let mut compaction = self.compaction.borrow_mut();
            if let Phase::Building(written) = compaction.phase {
                compaction.phase = Phase::Writing(written);
            }
        }
        self.append_held();
        // Nothing lives, so all that was stored can go.
        self.end_writing(log_end_offset);
    }

    /// Waits until a batch of the live state may be appended.
    async fn wait_for_acks(&self) {
        std::future::poll_fn(|context| {
            let mut compaction = self.compaction.borrow_mut();
            if compaction.written().is_none_or(|written| written.left < BATCHES_IN_FLIGHT_MAX) {
                return Poll::Ready(());
            }
            compaction.builder = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Appends some records of the live state, as batches of at most `bytes_max`, if no record alone is larger.
    fn append_part(
        &self,
        builder: &mut BatchBuilder,
        records: &[EncodedRecord],
        bytes_max: usize,
        is_last: bool,
    ) {
        let now_ms = self.owner.clock().wall_ms();
        for record in records {
            let borrowed =
                RecordRef { key: Some(&record.key), value: record.value.as_deref(), ..RecordRef::default() };
            if !builder.is_empty() && builder.would_exceed(&borrowed, bytes_max) {
                self.append_state(builder, None);
            }
            // The log has taken each of these records before, so each of them fits a batch.
            push(builder, record, now_ms);
        }
        if !builder.is_empty() {
            self.append_state(builder, is_last.then_some(Durability::Synced));
        }
    }

    /// Appends the batch in `builder`.
    fn append_state(&self, builder: &mut BatchBuilder, level: Option<Durability>) {
        let batch = builder.finish_with(self.owner.buffer()).bytes;
        {
            let mut compaction = self.compaction.borrow_mut();
            compaction.state_bytes += batch.len() as u64;
            if let Some(written) = compaction.written() {
                written.left += 1;
            }
        }
        self.append_batch(batch, level, Purpose::Snapshot);
    }

    fn note_failure(&self) {
        if let Some(written) = self.compaction.borrow_mut().written() {
            written.has_failed = true;
        }
    }

    /// Takes the ack of a batch of the live state.
    pub(super) fn part_acked(self: &Rc<Self>, outcome: Result<i64, AppendError>) {
        let builder = {
            let mut compaction = self.compaction.borrow_mut();
            let Some(written) = compaction.written() else { return };
            written.left -= 1;
            match outcome {
                // The batches are acked in any order, and the first has the lowest offset.
                Ok(offset) => written.start = Some(written.start.map_or(offset, |start| start.min(offset))),
                Err(_) => written.has_failed = true,
            }
            compaction.builder.take()
        };
        if let Some(builder) = builder {
            builder.wake();
        }
        // Only a live state without records has no start.
        self.end_writing(i64::MIN);
    }

    /// If all batches of the live state are acked, deletes the records before it, or before `end` if it has no batch.
    fn end_writing(self: &Rc<Self>, end: i64) {
        let Phase::Writing(written) = self.compaction.borrow().phase else { return };
        if written.left > 0 {
            return;
        }
        if written.has_failed {
            // The records before it stay, and the next roll tries again.
            self.end_compaction();
        } else {
            self.delete_before(written.start.unwrap_or(end));
        }
    }

    /// Raises the log's start to `offset`, and then removes the segments before it.
    fn delete_before(self: &Rc<Self>, offset: i64) {
        self.compaction.borrow_mut().phase = Phase::Deleting;
        let coordinator = Rc::clone(self);
        self.owner.spawn(Box::pin(async move {
            let owner = &coordinator.owner;
            match owner.delete_records(offset).await {
                Ok(_) => {
                    while !owner.is_closing() && owner.log().is_some_and(|log| log.is_deleting()) {
                        owner.next_turn().await;
                    }
                }
                Err(error) => {
                    tracing::warn!(partition = %coordinator.name, %error, "old records of groups cannot be deleted");
                }
            }
            coordinator.end_compaction();
        }));
    }

    fn end_compaction(self: &Rc<Self>) {
        self.compaction.borrow_mut().phase = Phase::Idle;
        self.compact();
        self.append_held();
    }
}
