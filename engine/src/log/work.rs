//! Background work that has to wait, and the state of a log whose disk is full. Data alone: `space.rs` acts on it.

use crate::error::DiskError;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Time that work which found the disk full waits before it tries again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The state of a log while its disk is full.
pub(super) struct Full<A> {
    /// The error that said so.
    pub(super) error: DiskError,
    pub(super) stage: Stage,
    /// Acks of appends that were cut off. They are answered once nothing can bring those appends back.
    pub(super) refused: Vec<A>,
}

/// The steps of cutting the log off behind its last written batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// A write found no space. Other writes are still in flight.
    Draining,
    /// The log in memory ends with the last whole batch that was written. Its files do not yet.
    Cutting(Excess),
    /// The files end there too. The log waits until a new segment can be made.
    Waiting,
}

/// The parts of files that lie beyond the end of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excess {
    /// Base offset of the last segment, if its file is longer than its batches.
    pub(super) torn: Option<i64>,
    /// Base offsets of the segments behind the end of the log.
    pub(super) discarded: Vec<i64>,
}

/// Background work that a full disk, or a lack of descriptors, can hold up. A file that cannot be read holds up
/// retention too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Roll,
    Seal,
    Retain,
    Cut,
    Reopen,
}

/// The end of the wait of each kind of work that found no space or no descriptor, or could not read a file.
#[derive(Default)]
pub(super) struct Postponed([Cell<Option<Instant>>; 5]);

impl Postponed {
    /// Whether the work need not wait.
    pub(super) const fn allows(&self, work: Work) -> bool {
        self.0[work as usize].get().is_none()
    }

    pub(super) fn postpone(&self, work: Work, now: Instant) {
        self.postpone_to(work, now + RETRY_AFTER);
    }

    pub(super) fn postpone_to(&self, work: Work, until: Instant) {
        self.0[work as usize].set(Some(until));
    }

    /// Ends all waits, because space may have come back.
    pub(super) fn end_all(&self) {
        self.0.iter().for_each(|until| until.set(None));
    }

    /// The time at which the next wait ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.0.iter().filter_map(Cell::get).min()
    }

    /// Ends the waits whose time has come. Returns whether there were any.
    pub(super) fn end_due(&self, now: impl FnOnce() -> Instant) -> bool {
        if self.0.iter().all(|until| until.get().is_none()) {
            return false;
        }
        let now = now();
        let due = self.0.iter().filter(|until| until.get().is_some_and(|until| until <= now));
        due.map(|until| until.set(None)).count() > 0
    }
}
