//! Ticks of coordinators that are due, and that wait for the calls that came before them.
//!
//! After a shard has stood still, sessions seem to have ended, and the heartbeats that were sent meanwhile wait in the
//! mailbox. A session must not end before such a heartbeat is handled. So a tick waits until the shard has taken all calls
//! that were in the mailbox when the tick came due. Later calls do not delay it. The mailbox holds a bounded number of
//! calls, so the wait is bounded too.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

/// A tick that is due.
#[derive(Debug, Clone, Copy)]
struct DueTick {
    /// The slot of the coordinator's partition.
    slot: usize,
    /// The time at which the shard noticed that the tick is due. Sessions that end later are left to the next tick.
    at: Instant,
    /// Number of calls that the shard takes before the tick, counted from the shard's start.
    after_calls: u64,
}

/// The ticks of a shard's coordinators that are due, the earliest one first. A coordinator has one at most.
#[derive(Debug, Default)]
pub(super) struct DueTicks {
    /// Number of calls that the shard has taken since its start.
    calls_taken: Cell<u64>,
    ticks: RefCell<VecDeque<DueTick>>,
}

impl DueTicks {
    /// Counts a call that the shard has taken out of its mailbox.
    pub(super) fn call_taken(&self) {
        self.calls_taken.set(self.calls_taken.get() + 1);
    }

    /// Adds a tick that is due at `at`, behind the calls that wait in the mailbox now. If the coordinator has one already,
    /// that one stays alone: it sets the time of the next.
    pub(super) fn add(&self, slot: usize, at: Instant, waiting_calls: usize) {
        let mut ticks = self.ticks.borrow_mut();
        if ticks.iter().all(|tick| tick.slot != slot) {
            let after_calls = self.calls_taken.get() + waiting_calls as u64;
            ticks.push_back(DueTick { slot, at, after_calls });
        }
    }

    /// Removes and returns the slot and the time of the first tick, if all calls before it are taken.
    pub(super) fn pop(&self) -> Option<(usize, Instant)> {
        let mut ticks = self.ticks.borrow_mut();
        let tick = *ticks.front().filter(|tick| tick.after_calls <= self.calls_taken.get())?;
        ticks.pop_front();
        Some((tick.slot, tick.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_waits_for_the_calls_before_it_and_not_for_later_ones() {
        let (ticks, at) = (DueTicks::default(), Instant::now());
        ticks.call_taken();
        ticks.add(1, at, 2);
        ticks.add(2, at, 3);
        ticks.add(1, at, 9);
        assert_eq!(ticks.pop(), None);
        ticks.call_taken();
        assert_eq!(ticks.pop(), None);
        ticks.call_taken();
        assert_eq!(ticks.pop(), Some((1, at)), "both calls before it are taken");
        assert_eq!(ticks.pop(), None);
        ticks.call_taken();
        assert_eq!(ticks.pop(), Some((2, at)));
        assert_eq!(ticks.pop(), None, "the coordinator of slot 1 had one tick");
        ticks.add(3, at, 0);
        assert_eq!(ticks.pop(), Some((3, at)), "no call is before it");
    }
}
