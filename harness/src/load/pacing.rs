//! Splits the time from when a record was due until it was accepted into the generator's part and the system's part.

use std::collections::VecDeque;

/// The most refusals that are kept apart. Beyond that, neighbours are merged, so that a load far above what the system can do
/// needs no more memory.
const ENDED_MAX: usize = 8192;

/// The periods in which the system refused records. They decide how much of a record's delay counts as the system's. For
/// every record `pacing_lag + blocked + service = response`, to the nanosecond.
///
/// A refusal begins when the system refuses a record. It ends when the system has room again, which is when it acks earlier
/// records. The time from then until the producer's next turn is the generator's.
#[derive(Debug, Clone, Default)]
pub struct Blockage {
    /// Refusals that are over, the oldest first. Those that no later record can have waited for are dropped.
    ended: VecDeque<EndedRefusal>,
    /// Length of all refusals that have ever ended, ns.
    total_ns: u64,
    /// The refusal that is not over; `None` if the last record was accepted.
    refusal: Option<Refusal>,
    /// Whether the last refusal has ended in this hand-over.
    has_just_ended: bool,
}

#[derive(Debug, Clone, Copy)]
struct Refusal {
    /// Time at which the system refused a record, ns.
    since_ns: u64,
    /// Time at which the system first had room again, ns; `None` while it has none.
    room_ns: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct EndedRefusal {
    since_ns: u64,
    until_ns: u64,
    /// Length of all refusals before this one, ns.
    before_ns: u64,
    /// Time in this one in which the system refused records, ns. Less than from `since_ns` to `until_ns` if several were
    /// merged.
    refused_ns: u64,
}

impl EndedRefusal {
    /// Refused time before `at_ns`. Where several refusals were merged, their time is spread evenly.
    fn refused_before(&self, at_ns: u64) -> u64 {
        let (inside_ns, length_ns) =
            (at_ns.min(self.until_ns).saturating_sub(self.since_ns), self.until_ns - self.since_ns);
        if self.refused_ns == length_ns {
            return inside_ns;
        }
        let share = u128::from(inside_ns) * u128::from(self.refused_ns) / u128::from(length_ns);
        u64::try_from(share).unwrap_or(self.refused_ns)
    }

    fn merged(&self, next: &Self) -> Self {
        let refused_ns = next.before_ns + next.refused_ns - self.before_ns;
        Self { until_ns: next.until_ns, refused_ns, ..*self }
    }
}

/// The parts of the time between due and accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// The generator's part in ns: the record was not offered, although the system would have accepted it.
    pub pacing_lag_ns: u64,
    /// The system's part in ns: it refused records.
    pub blocked_ns: u64,
}

impl Delay {
    /// Returns the longer generator's part and the longer system's part of two delays.
    #[must_use]
    pub fn longer_of_each(self, other: Self) -> Self {
        Self {
            pacing_lag_ns: self.pacing_lag_ns.max(other.pacing_lag_ns),
            blocked_ns: self.blocked_ns.max(other.blocked_ns),
        }
    }
}

impl Blockage {
    /// Notes that the system refused a record at `now_ns`, after it had accepted `accepted` records in the same hand-over. If
    /// it has accepted none, it had no room for a record, and the last refusal continues.
    pub fn refuse(&mut self, now_ns: u64, accepted: u64) {
        let continued = if accepted == 0 && self.has_just_ended { self.ended.pop_back() } else { None };
        let since_ns = continued.map_or(now_ns, |last| last.since_ns);
        self.total_ns = continued.map_or(self.total_ns, |last| last.before_ns);
        if self.ended.len() >= ENDED_MAX {
            let pairs = self.ended.make_contiguous().chunks(2);
            self.ended = pairs.map(|pair| pair[0].merged(&pair[pair.len() - 1])).collect();
        }
        self.refusal = Some(Refusal { since_ns, room_ns: None });
    }

    /// Notes that the system acked records at `at_ns`, and so has room.
    pub fn room(&mut self, at_ns: u64) {
        if let Some(refusal) = &mut self.refusal {
            refusal.room_ns = Some(refusal.room_ns.map_or(at_ns, |room_ns| room_ns.min(at_ns)));
        }
    }

    /// Notes that a hand-over begins at `now_ns`. If the last one was refused, the refusal has ended when room came. If
    /// nothing told of room, it ends now.
    pub fn resume(&mut self, now_ns: u64) {
        let refusal = self.refusal.take();
        self.has_just_ended = refusal.is_some();
        if let Some(Refusal { since_ns, room_ns }) = refusal {
            let until_ns = room_ns.unwrap_or(now_ns).min(now_ns).max(since_ns);
            let (before_ns, refused_ns) = (self.total_ns, until_ns - since_ns);
            self.ended.push_back(EndedRefusal { since_ns, until_ns, before_ns, refused_ns });
            self.total_ns += refused_ns;
        }
    }

    /// Notes that every due record has been handed over. Later records have waited for no refusal.
    pub fn clear(&mut self) {
        self.ended.clear();
    }

    /// Returns how long the system has refused records since the last [`Self::clear`], in ns.
    pub fn waited_ns(&self) -> u64 {
        self.ended.front().map_or(0, |first| self.total_ns - first.before_ns)
    }

    /// Splits the time between `due_ns` and `accepted_ns`. The part within refusals is the system's, and the rest is the
    /// generator's. A record must not be due before the one of the last call.
    pub fn split(&mut self, due_ns: u64, accepted_ns: u64) -> Delay {
        while self.ended.front().is_some_and(|first| first.until_ns <= due_ns) {
            self.ended.pop_front();
        }
        let late_ns = accepted_ns.saturating_sub(due_ns);
        let before_due_ns = self.ended.front().map_or(0, |first| first.refused_before(due_ns));
        let blocked_ns = (self.waited_ns() - before_due_ns).min(late_ns);
        Delay { pacing_lag_ns: late_ns - blocked_ns, blocked_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delay(pacing_lag_ns: u64, blocked_ns: u64) -> Delay {
        Delay { pacing_lag_ns, blocked_ns }
    }

    proptest! {
        #[test]
        fn the_parts_of_a_delay_add_up_and_the_systems_is_the_time_in_refusals(
            steps in prop::collection::vec((1u64..50, 0u64..50, 0u64..50, 0u64..3), 1..20),
            mut dues in prop::collection::vec(0u64..1500, 1..20),
        ) {
            let (mut blockage, mut now, mut refused) = (Blockage::default(), 0, vec![false; 4000]);
            for (wait, refusal, late, accepted) in steps {
                let since = now + wait;
                blockage.refuse(since, accepted + 1);
                blockage.room(since + refusal);
                now = since + refusal + late;
                blockage.resume(now);
                refused[usize::try_from(since).unwrap()..usize::try_from(since + refusal).unwrap()].fill(true);
            }
            dues.sort_unstable();
            for due in dues.into_iter().filter(|due| *due <= now) {
                let found = blockage.split(due, now);
                let counted = refused[usize::try_from(due).unwrap()..].iter().filter(|it| **it).count();
                prop_assert_eq!(found.blocked_ns, counted as u64);
                prop_assert_eq!(found.pacing_lag_ns + found.blocked_ns, now - due);
            }
        }
    }

    #[test]
    fn a_record_due_while_the_system_refused_waited_for_the_system() {
        let mut blockage = Blockage::default();
        blockage.refuse(100, 1);
        blockage.resume(500);
        assert_eq!(blockage.split(90, 500), delay(10, 400));
        assert_eq!(blockage.split(300, 500), delay(0, 200));
        assert_eq!(blockage.split(300, 520), delay(20, 200));
        assert_eq!(blockage.split(510, 520), delay(10, 0));
        blockage.clear();
        assert_eq!(blockage.split(510, 520), delay(10, 0));
    }

    #[test]
    fn a_refusal_ends_when_room_has_come_and_not_at_the_producers_next_turn() {
        let mut blockage = Blockage::default();
        blockage.refuse(100, 1);
        blockage.room(150);
        blockage.room(300);
        blockage.resume(500);
        assert_eq!(blockage.split(100, 500), delay(350, 50), "the first ack made room");
    }

    #[test]
    fn room_that_came_before_the_refusal_leaves_nothing_to_the_system() {
        let mut blockage = Blockage::default();
        blockage.refuse(100, 1);
        blockage.room(80);
        blockage.resume(500);
        assert_eq!(blockage.split(60, 500), delay(440, 0));
    }

    #[test]
    fn an_ack_that_makes_too_little_room_does_not_end_a_refusal() {
        let mut blockage = Blockage::default();
        blockage.refuse(100, 1);
        blockage.room(150);
        blockage.resume(200);
        blockage.refuse(200, 0);
        blockage.room(400);
        blockage.resume(450);
        assert_eq!(blockage.split(100, 450), delay(50, 300));
        assert_eq!(blockage.waited_ns(), 300);
    }

    #[test]
    fn refusals_beyond_number_are_merged_and_their_time_stays() {
        let (mut blockage, rounds) = (Blockage::default(), 100_000u64);
        for round in 0..rounds {
            blockage.refuse(100 * round, 1);
            blockage.room(100 * round + 60);
            blockage.resume(100 * round + 90);
        }
        assert!(blockage.ended.len() <= ENDED_MAX);
        assert_eq!(blockage.waited_ns(), 60 * rounds);
        let (due, now) = (100 * rounds / 2 + 7, 100 * rounds);
        let found = blockage.split(due, now);
        assert_eq!(found.pacing_lag_ns + found.blocked_ns, now - due);
        assert!(found.blocked_ns.abs_diff(60 * rounds / 2) < 2000, "{found:?}");
    }

    #[test]
    fn a_refusal_after_accepted_records_is_another_one() {
        let mut blockage = Blockage::default();
        blockage.refuse(100, 1);
        blockage.room(150);
        blockage.resume(200);
        blockage.refuse(210, 3);
        blockage.room(300);
        blockage.resume(330);
        assert_eq!(blockage.split(100, 330), delay(60 + 30, 50 + 90));
        assert_eq!(blockage.split(160, 330), delay(50 + 30, 90));
    }
}
