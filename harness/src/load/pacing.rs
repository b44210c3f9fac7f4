//! Where the time between due and accepted went.

/// Whose fault a delay is. For every record `pacing_lag + blocked + service = response`, to the nanosecond.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blockage {
    /// When the target first refused, if the backlog of that refusal is not worked off yet.
    since_ns: Option<u64>,
    /// When it was last found to accept again.
    until_ns: u64,
    refused: bool,
}

/// What came between due and accepted, ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// The generator's share.
    pub pacing_lag_ns: u64,
    /// The target's share.
    pub blocked_ns: u64,
}

impl Delay {
    /// The longer of each share.
    #[must_use]
    pub fn longer_of_each(self, other: Self) -> Self {
        Self {
            pacing_lag_ns: self.pacing_lag_ns.max(other.pacing_lag_ns),
            blocked_ns: self.blocked_ns.max(other.blocked_ns),
        }
    }
}

impl Blockage {
    /// The target refused a record at `now_ns`.
    pub fn refuse(&mut self, now_ns: u64) {
        self.since_ns.get_or_insert(now_ns);
        self.refused = true;
    }

    /// Hand-over resumes at `now_ns`: the target has refused up to now, if it refused last time.
    pub fn resume(&mut self, now_ns: u64) {
        if std::mem::take(&mut self.refused) {
            self.until_ns = now_ns;
        }
    }

    /// Everything due has been handed over.
    pub fn clear(&mut self) {
        self.since_ns = None;
    }

    /// How long the record that was refused first has waited, up to when the target accepted again.
    pub fn waited_ns(&self) -> u64 {
        self.since_ns.map_or(0, |since_ns| self.until_ns.saturating_sub(since_ns))
    }

    /// Splits the time between `due_ns` and `accepted_ns`: what fell into the blockage is the target's, the rest the
    /// generator's.
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
        fn the_parts_of_a_delay_make_the_whole(
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
    fn what_became_due_while_the_target_refused_waited_for_the_target() {
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
