//! Splits the time from when a record was due until it was accepted into the generator's part and the system's part.

/// The period in which the system refused records. It decides how much of a record's delay counts as the system's. For
/// every record `pacing_lag + blocked + service = response`, to the nanosecond.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blockage {
    /// Time of the first refusal, in ns, until every record that became due in the meantime has been sent.
    since_ns: Option<u64>,
    /// Time of the last hand-over after a refusal, in ns: the system refused records until then.
    until_ns: u64,
    /// Whether the last hand-over was refused.
    refused: bool,
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
    /// Notes that the system refused a record at `now_ns`.
    pub fn refuse(&mut self, now_ns: u64) {
        self.since_ns.get_or_insert(now_ns);
        self.refused = true;
    }

    /// Notes that a hand-over begins at `now_ns`. If the last one was refused, the system has refused records until
    /// now.
    pub fn resume(&mut self, now_ns: u64) {
        if std::mem::take(&mut self.refused) {
            self.until_ns = now_ns;
        }
    }

    /// Notes that every due record has been handed over.
    pub fn clear(&mut self) {
        self.since_ns = None;
    }

    /// Returns how long the record that was refused first has waited until the system accepted records again, in ns.
    pub fn waited_ns(&self) -> u64 {
        self.since_ns.map_or(0, |since_ns| self.until_ns.saturating_sub(since_ns))
    }

    /// Splits the time between `due_ns` and `accepted_ns`. The part within the blockage is the system's, and the rest
    /// is the generator's.
    pub fn split(&self, due_ns: u64, accepted_ns: u64) -> Delay {
        let late_ns = accepted_ns.saturating_sub(due_ns);
        let blocked_ns =
            self.since_ns.map_or(0, |since| self.until_ns.saturating_sub(since.max(due_ns))).min(late_ns);
        Delay { pacing_lag_ns: late_ns - blocked_ns, blocked_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_parts_of_a_delay_add_up(
            due in 0u64..1000, refused in 0u64..1000, resumed in 0u64..1000, late in 0u64..1000,
        ) {
            let mut blockage = Blockage::default();
            blockage.refuse(refused);
            blockage.resume(refused + resumed);
            let accepted = (refused + resumed).max(due) + late;
            let delay = blockage.split(due, accepted);
            prop_assert_eq!(delay.pacing_lag_ns + delay.blocked_ns, accepted - due);
        }
    }

    #[test]
    fn a_record_due_while_the_system_refused_waited_for_the_system() {
        let mut blockage = Blockage::default();
        blockage.refuse(100);
        blockage.resume(500);
        assert_eq!(blockage.split(90, 500), Delay { pacing_lag_ns: 10, blocked_ns: 400 });
        assert_eq!(blockage.split(300, 500), Delay { pacing_lag_ns: 0, blocked_ns: 200 });
        assert_eq!(blockage.split(300, 520), Delay { pacing_lag_ns: 20, blocked_ns: 200 });
        assert_eq!(blockage.split(510, 520), Delay { pacing_lag_ns: 10, blocked_ns: 0 });
        blockage.clear();
        assert_eq!(blockage.split(300, 520), Delay { pacing_lag_ns: 220, blocked_ns: 0 });
    }
}
