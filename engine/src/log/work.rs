//! Background work that has to wait, and the state of a log whose disk is full. Data alone: `space.rs` acts on it.

use crate::error::DiskError;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long work that found the disk full waits before it tries again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What is known and owed while the disk is full.
pub(super) struct Full<A> {
    /// What said so.
    pub(super) error: DiskError,
    pub(super) stage: Stage,
    /// Appends that were cut off; they are told once nothing can bring them back.
    pub(super) refused: Vec<A>,
}

/// How far the log has come with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// A write found no space; those beside it are still on their way.
    Draining,
    /// The log in memory ends with the last whole batch written, its files do not yet.
    Cutting(Excess),
    /// The files do too; a new segment is all that is missing.
    Waiting,
}

/// What files hold beyond the end of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excess {
    /// Base offset of the last segment, if its file goes on beyond its last batch.
    pub(super) torn: Option<i64>,
    /// Base offsets of the segments behind it.
    pub(super) discarded: Vec<i64>,
}

/// Background work that a full disk, or a lack of descriptors, can hold up. Retention is also held up by a file that it cannot
/// read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Roll,
    Seal,
    Retain,
    Cut,
    Reopen,
}

/// Work that found no space or no descriptor, or could not read a file, and until when it waits.
#[derive(Default)]
pub(super) struct Postponed([Cell<Option<Instant>>; 5]);

impl Postponed {
    /// Whether nothing is known against doing it now.
    pub(super) const fn allows(&self, work: Work) -> bool {
        self.0[work as usize].get().is_none()
    }

    pub(super) fn postpone(&self, work: Work, now: Instant) {
        self.postpone_to(work, now + RETRY_AFTER);
    }

    pub(super) fn postpone_to(&self, work: Work, until: Instant) {
        self.0[work as usize].set(Some(until));
    }

    /// Space may have come back.
    pub(super) fn end_all(&self) {
        self.0.iter().for_each(|until| until.set(None));
    }

    /// The time at which the next one ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.0.iter().filter_map(Cell::get).min()
    }

    /// Ends those whose time is up; whether there were any.
    pub(super) fn end_due(&self, now: impl FnOnce() -> Instant) -> bool {
        if self.0.iter().all(|until| until.get().is_none()) {
            return false;
        }
        let now = now();
        let due = self.0.iter().filter(|until| until.get().is_some_and(|until| until <= now));
        due.map(|until| until.set(None)).count() > 0
    }
}
