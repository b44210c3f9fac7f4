//! Events in the logs, with their times, for charts.

use std::collections::VecDeque;
use std::time::Instant;

/// An event in one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEvent {
    /// Time of the event.
    pub at: Instant,
    /// Kind of the event.
    pub kind: EventKind,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A new segment became the active one.
    Roll,
    /// A segment was trimmed, synced and indexed.
    Seal,
    /// Retention deleted a segment.
    Retention,
    /// A separate sync completed: of a full segment before it is sealed, of a spare file, or of a segment that was
    /// written without syncs and now needs one. Synced writes and shared flushes are only counted, as there are too
    /// many for events.
    Sync,
    /// A segment began in a file whose extents were not all written, because no recycled one was ready.
    NoSpare,
    /// A partition was recovered at open.
    Recovery,
}

impl EventKind {
    /// Returns the name in results: `roll`, `seal`, `retention`, `sync`, `no_spare`, `recovery`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Roll => "roll",
            Self::Seal => "seal",
            Self::Retention => "retention",
            Self::Sync => "sync",
            Self::NoSpare => "no_spare",
            Self::Recovery => "recovery",
        }
    }
}

/// The newest events of a sequence, up to a bound: a user that never takes them must not fill the memory.
#[derive(Debug)]
pub(crate) struct Newest<T> {
    kept: VecDeque<T>,
    kept_max: usize,
    dropped: u64,
}

impl<T> Newest<T> {
    /// Makes an empty sequence that keeps at most `kept_max` events.
    pub(crate) const fn new(kept_max: usize) -> Self {
        Self { kept: VecDeque::new(), kept_max, dropped: 0 }
    }

    /// Adds an event. The oldest one is dropped if there is no room.
    pub(crate) fn push(&mut self, event: T) {
        if self.kept.len() >= self.kept_max {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(event);
    }

    /// Removes and returns the events, oldest first.
    pub(crate) fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.kept).into()
    }

    /// Returns the number of events that were ever dropped.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_the_dropped_are_counted() {
        let mut newest = Newest::new(3);
        (0..5).for_each(|number| newest.push(number));
        assert_eq!((newest.take(), newest.dropped()), (vec![2, 3, 4], 2));
        newest.push(5);
        assert_eq!((newest.take(), newest.dropped()), (vec![5], 2));
    }
}
