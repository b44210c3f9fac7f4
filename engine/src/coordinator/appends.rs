//! The appends of a coordinator to its partition's own log. A step of the state machine is one batch. It takes effect when
//! the log has acked it.

use super::{Coordinator, Owner};
use crate::clock::Clock as _;
use crate::error::AppendError;
use crate::group::{self, AppendFailure, AppendId, EncodedRecord};
use crate::record::{BatchBuilder, RecordRef};
use crate::types::Durability;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// The appends of a coordinator.
#[derive(Default)]
pub(super) struct Appends {
    builder: RefCell<BatchBuilder>,
    /// Number of the next batch.
    next: Cell<u32>,
    /// Batches that are not acked, in the order of their offsets.
    in_flight: RefCell<VecDeque<(u32, Purpose)>>,
    /// Number of removals that are not acked.
    removals: Cell<usize>,
    /// Steps that wait for a compaction, or for a removal before them.
    held: RefCell<VecDeque<group::Append>>,
    /// Bytes of batches since the live state was last written.
    pub(super) bytes: Cell<u64>,
}

/// The purpose of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A step of the state machine.
    Step(AppendId),
    /// A step that removes what was stored. It is synced: if a power loss took it back, the offsets that it removes would be
    /// used again.
    Removal(AppendId),
    /// A part of the live state.
    Snapshot,
}

impl Appends {
    /// Whether all batches are acked.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.borrow().is_empty()
    }

    fn take_in_flight(&self, number: u32) -> Option<Purpose> {
        let mut in_flight = self.in_flight.borrow_mut();
        // Nearly always the first: only what is synced, as the end of a live state is, is acked later than others.
        let index = in_flight.iter().position(|(waiting, _)| *waiting == number)?;
        in_flight.remove(index).map(|(_, purpose)| purpose)
    }
}

impl<O: Owner> Coordinator<O> {
    /// Appends the batch of a step, or holds it back while the live state is being written. Steps are appended in their order.
    pub(super) fn append_step(&self, step: group::Append) {
        self.appends.held.borrow_mut().push_back(step);
        self.append_held();
    }

    /// Appends the steps that were held back, as far as they may be appended now. A step behind a removal waits until that is
    /// acked, unless it is a removal, too: its own ack could come first otherwise, and steps take effect in their order.
    pub(super) fn append_held(&self) {
        while !self.holds_steps() {
            let Some(step) = self.appends.held.borrow_mut().pop_front() else { break };
            let is_removal = step.records.iter().any(|record| record.value.is_none());
            if !is_removal && self.appends.removals.get() > 0 {
                self.appends.held.borrow_mut().push_front(step);
                break;
            }
            self.append_now(&step, is_removal);
        }
    }

    fn append_now(&self, step: &group::Append, is_removal: bool) {
        let now_ms = self.owner.clock().wall_ms();
        let batch = {
            let mut builder = self.appends.builder.borrow_mut();
            let is_whole = step.records.iter().all(|record| push(&mut builder, record, now_ms));
            if !is_whole || builder.is_empty() {
                builder.reset();
                None
            } else {
                Some(builder.finish_with(self.owner.buffer()).bytes)
            }
        };
        // A batch that the format cannot hold is refused by the log as too large, on the same way as any other.
        let (level, purpose) = if is_removal {
            self.appends.removals.set(self.appends.removals.get() + 1);
            (Some(Durability::Synced), Purpose::Removal(step.id))
        } else {
            (None, Purpose::Step(step.id))
        };
        self.append_batch(batch.unwrap_or_default(), level, purpose);
    }

    /// Appends a batch. Its ack arrives through [`Coordinator::acked`].
    pub(super) fn append_batch(&self, batch: Vec<u8>, level: Option<Durability>, purpose: Purpose) {
        let appends = &self.appends;
        let number = appends.next.get();
        appends.next.set(number.wrapping_add(1));
        appends.bytes.set(appends.bytes.get() + batch.len() as u64);
        appends.in_flight.borrow_mut().push_back((number, purpose));
        self.owner.append(batch, level, number);
    }

    /// Lets a batch take effect that the log has acked or refused. The owner calls [`Coordinator::compact`] after the last of
    /// some acks.
    pub fn acked(self: &Rc<Self>, number: u32, outcome: Result<i64, AppendError>) {
        match self.appends.take_in_flight(number) {
            Some(Purpose::Step(id)) => self.step_ended(id, outcome),
            Some(Purpose::Removal(id)) => {
                self.step_ended(id, outcome);
                self.appends.removals.set(self.appends.removals.get() - 1);
                self.append_held();
            }
            Some(Purpose::Snapshot) => self.part_acked(outcome),
            None => {}
        }
    }

    fn step_ended(&self, id: AppendId, outcome: Result<i64, AppendError>) {
        let outcome = outcome.map(drop).map_err(|error| failure(&error));
        let now = self.now();
        let output = self.groups.borrow_mut().appended(id, outcome, now);
        self.carry_out(output);
    }
}

/// Pushes a record. Returns `false` if the batch would be larger than the format allows.
pub(super) fn push(builder: &mut BatchBuilder, record: &EncodedRecord, timestamp_ms: i64) -> bool {
    let record =
        RecordRef { timestamp_ms, key: Some(&record.key), value: record.value.as_deref(), headers: &[] };
    builder.push(&record).is_ok()
}

/// Returns the state machine's word for the failure of an append.
fn failure(error: &AppendError) -> AppendFailure {
    match error {
        AppendError::NoSpace(_) | AppendError::TooManyOpenFiles(_) => AppendFailure::Unavailable,
        AppendError::TooLarge { .. } | AppendError::Invalid(_) | AppendError::InvalidTimestamp { .. } => {
            AppendFailure::TooLarge
        }
        AppendError::StorageFailed(_)
        | AppendError::Corrupt(_)
        | AppendError::UnknownPartition
        | AppendError::ShardStuck { .. }
        | AppendError::Closed => AppendFailure::Storage,
    }
}
