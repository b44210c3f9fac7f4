//! Times at which a partition needs the shard although nothing has happened to it: one ordered set for all partitions.
//!
//! A partition that waits for nothing uses no CPU time, however many there are. The pump parks until the earliest
//! entry, if that is near. Otherwise the heartbeat wakes it shortly before, so that most parks need no alarm.

use super::{Partition, Shard};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

/// The kinds of work that a time is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerKind {
    /// Fetches that have waited long enough are answered.
    Fetches,
    /// Work that found the disk full is tried again.
    Retry,
    /// Records may have exceeded the age at which retention deletes them.
    Retention,
    /// The session of a member, a rebalance of a group or an offset may end.
    Groups,
}

/// Number of kinds.
const KINDS: usize = 4;

/// The times that are set for one partition, by kind.
#[derive(Debug, Default)]
pub(super) struct TimersOfPartition([Cell<Option<Instant>>; KINDS]);

/// The times of all partitions of a shard. Each kind of each partition has one entry at most.
#[derive(Debug, Default)]
pub(super) struct Timers(RefCell<BTreeSet<(Instant, usize, TimerKind)>>);

impl Timers {
    /// Sets a time for the partition in `slot`. If an earlier time of the same kind is set, that one stays instead:
    /// when it comes, the work sets the next time itself.
    pub(super) fn set(&self, slot: usize, known: &TimersOfPartition, kind: TimerKind, at: Instant) {
        let known = &known.0[kind as usize];
        if known.get().is_some_and(|known| known <= at) {
            return;
        }
        let mut due = self.0.borrow_mut();
        if let Some(later) = known.replace(Some(at)) {
            due.remove(&(later, slot, kind));
        }
        due.insert((at, slot, kind));
    }

    /// Removes the times of a partition that ends.
    pub(super) fn remove(&self, slot: usize, known: &TimersOfPartition) {
        let mut due = self.0.borrow_mut();
        for kind in [TimerKind::Fetches, TimerKind::Retry, TimerKind::Retention, TimerKind::Groups] {
            if let Some(at) = known.0[kind as usize].take() {
                due.remove(&(at, slot, kind));
            }
        }
    }

    /// Returns the earliest time.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.borrow().first().map(|(at, ..)| *at)
    }

    /// Removes and returns the earliest entry, if its time has come.
    fn pop(&self, now: Instant) -> Option<(usize, TimerKind)> {
        let mut due = self.0.borrow_mut();
        let (_, slot, kind) = due.first().filter(|(at, ..)| *at <= now).copied()?;
        due.pop_first();
        Some((slot, kind))
    }
}

impl Shard {
    /// Does the work whose time has come. Returns whether there was any.
    pub(super) fn fire_timers(self: &Rc<Self>, now: Instant) -> bool {
        let mut has_fired = false;
        while let Some((slot, kind)) = self.timers.pop(now) {
            has_fired = true;
            let Some(partition) = self.partition(slot) else { continue };
            partition.timers.0[kind as usize].set(None);
            match kind {
                TimerKind::Fetches => {
                    if let Some(next) = partition.expire_fetches(now) {
                        self.timers.set(slot, &partition.timers, TimerKind::Fetches, next);
                    }
                }
                TimerKind::Retry => {
                    partition.log.retry();
                    self.list(slot);
                }
                TimerKind::Retention => {
                    partition.log.look_at_age();
                    self.list(slot);
                }
                TimerKind::Groups => self.note_due_tick(slot, now),
            }
        }
        has_fired
    }

    /// Sets the times at which a log has to be looked at again.
    pub(super) fn set_log_timers(&self, slot: usize, partition: &Partition) {
        let log = &partition.log;
        for (kind, at) in [(TimerKind::Retry, log.retry_due()), (TimerKind::Retention, log.look_due())] {
            if let Some(at) = at {
                self.timers.set(slot, &partition.timers, kind, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_partition_has_one_time_of_a_kind_and_the_earliest_one_counts() {
        let (timers, start) = (Timers::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let (first, second) = (TimersOfPartition::default(), TimersOfPartition::default());
        for seconds in [50, 30, 40] {
            timers.set(1, &first, TimerKind::Fetches, at(seconds));
        }
        timers.set(1, &first, TimerKind::Retention, at(35));
        timers.set(2, &second, TimerKind::Fetches, at(20));
        assert!(timers.next_due() == Some(at(20)) && timers.pop(at(19)).is_none());
        timers.remove(2, &second);
        assert_eq!(timers.next_due(), Some(at(30)), "the partition in slot 2 has ended");
        assert_eq!(timers.pop(at(60)), Some((1, TimerKind::Fetches)));
        assert_eq!(timers.pop(at(60)), Some((1, TimerKind::Retention)));
        assert_eq!(timers.pop(at(60)), None, "50 s and 40 s were later than 30 s");
    }
}
