//! The deadlines of all groups, in one ordered set.

use std::collections::{BTreeMap, BTreeSet};

/// Identifies a deadline. A group has one of each kind, and one `Session` for each member. Deadlines of one time are due in
/// this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The session of a member, or of an id that was handed out, ends.
    Session { group: String, member: String },
    /// The join phase of a rebalance ends.
    Join { group: String },
    /// The wait for SyncGroups ends.
    Sync { group: String },
}

/// The meaning of a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// The session ends.
    Session,
    /// The join phase ends with the members that are there.
    Join,
    /// The initial rebalance of an empty group ends, or waits longer if members have joined meanwhile.
    InitialJoin {
        /// The wait that ends now, ms.
        delay_ms: u64,
        /// Time by which the wait can still be extended, ms.
        remaining_ms: u64,
    },
    /// Members of this generation that have not sent a SyncGroup are removed.
    Sync { generation: i32 },
}

/// The deadlines of all groups.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(u64, Timer)>,
    by_timer: BTreeMap<Timer, SetDeadline>,
    /// Number of the next deadline that is set.
    next_number: u64,
}

/// A deadline that is set.
#[derive(Debug, Clone, Copy)]
struct SetDeadline {
    at_ms: u64,
    /// Number in the order in which deadlines were set.
    number: u64,
    deadline: Deadline,
}

impl Timers {
    /// Sets a deadline, ms on the monotonic clock. An earlier one of this timer is dropped.
    pub(crate) fn set(&mut self, timer: Timer, at_ms: u64, deadline: Deadline) {
        let set = SetDeadline { at_ms, number: self.next_number, deadline };
        self.next_number += 1;
        if let Some(earlier) = self.by_timer.insert(timer.clone(), set) {
            self.by_time.remove(&(earlier.at_ms, timer.clone()));
        }
        self.by_time.insert((at_ms, timer));
    }

    /// Drops a deadline.
    pub(crate) fn cancel(&mut self, timer: &Timer) {
        if let Some(set) = self.by_timer.remove(timer) {
            self.by_time.remove(&(set.at_ms, timer.clone()));
        }
    }

    /// Returns the earliest deadline, ms on the monotonic clock.
    pub(crate) fn earliest_ms(&self) -> Option<u64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }

    /// Returns the number of the next deadline that is set.
    pub(crate) const fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Takes the earliest deadline that is due, and whose number is below `set_before`.
    pub(crate) fn take_due(&mut self, monotonic_ms: u64, set_before: u64) -> Option<(Timer, Deadline)> {
        let is_old = |timer: &Timer| self.by_timer.get(timer).is_some_and(|set| set.number < set_before);
        let mut due = self.by_time.iter().take_while(|(at_ms, _)| *at_ms <= monotonic_ms);
        let timer = due.find(|(_, timer)| is_old(timer))?.1.clone();
        let set = self.by_timer.remove(&timer)?;
        self.by_time.remove(&(set.at_ms, timer.clone()));
        Some((timer, set.deadline))
    }
}

impl Timer {
    /// Returns the timer of a member's session.
    pub(crate) fn session(group: &str, member: &str) -> Self {
        Self::Session { group: group.to_owned(), member: member.to_owned() }
    }

    /// Returns the timer of a group's join phase.
    pub(crate) fn join(group: &str) -> Self {
        Self::Join { group: group.to_owned() }
    }

    /// Returns the timer of a group's sync phase.
    pub(crate) fn sync(group: &str) -> Self {
        Self::Sync { group: group.to_owned() }
    }
}
