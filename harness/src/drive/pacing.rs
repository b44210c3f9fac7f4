//! When records are due, and where the time between due and accepted went.
//!
//! A schedule never looks at the clock: what is late stays due at its own time, is sent as soon as it can be, and is
//! measured from when it was intended. Nothing is skipped, so a stall shows in every record it delayed.

/// Due times at a constant rate: an unbounded, evenly spaced sequence, exact to the nanosecond however long it runs.
#[derive(Debug, Clone)]
pub struct Schedule {
    due_ns: u64,
    step_ns: u64,
    /// What the whole nanoseconds leave out: `step_rest / rate_milli` of one each step, summed in `rest`.
    step_rest: u64,
    rest: u64,
    rate_milli: u64,
}

const NS_MILLI: u64 = 1_000_000_000_000;

impl Schedule {
    /// `rate_milli` thousandths of a record a second from `start_ns` on, shifted by `part / parts` of a period, so that the
    /// producers which share a rate take turns instead of coming all at once.
    ///
    /// # Panics
    /// If the rate or `parts` is 0.
    pub fn constant(rate_milli: u64, start_ns: u64, part: u32, parts: u32) -> Self {
        assert!(rate_milli > 0 && parts > 0, "a schedule needs a rate and at least one producer");
        let period = NS_MILLI / rate_milli;
        let shift = u128::from(period) * u128::from(part) / u128::from(parts);
        let due_ns = start_ns + u64::try_from(shift).expect("a share of a period that is a u64");
        Self { due_ns, step_ns: period, step_rest: NS_MILLI % rate_milli, rest: 0, rate_milli }
    }

    /// When the next record is due, ns.
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// The next record is on its way.
    pub fn advance(&mut self) {
        self.due_ns += self.step_ns;
        self.rest += self.step_rest;
        if self.rest >= self.rate_milli {
            self.rest -= self.rate_milli;
            self.due_ns += 1;
        }
    }

    /// How many records are due in `[now, until_ns)` from the next one on.
    pub fn count_until(&self, until_ns: u64) -> u64 {
        let Some(span) = until_ns.checked_sub(self.due_ns).filter(|span| *span > 0) else { return 0 };
        // The k-th from here is due floor((rest + k × NS_MILLI) / rate) ns later: count the k below `span`.
        let reach = u128::from(span) * u128::from(self.rate_milli) - u128::from(self.rest);
        u64::try_from(reach.div_ceil(u128::from(NS_MILLI))).unwrap_or(u64::MAX)
    }
}

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
        fn the_schedule_never_drifts(rate_milli in 1u64..10_000_000_000_000, start in 0u64..1_000_000, steps in 0u64..3000) {
            let mut schedule = Schedule::constant(rate_milli, start, 0, 1);
            for _ in 0..steps {
                schedule.advance();
            }
            let exact = u128::from(start) + u128::from(steps) * u128::from(NS_MILLI) / u128::from(rate_milli);
            prop_assert_eq!(u128::from(schedule.due_ns()), exact);
        }

        #[test]
        fn counting_is_the_same_as_walking(rate_milli in 1_000_000u64..1_000_000_000_000, steps in 0u64..50, span in 0u64..20_000) {
            let mut schedule = Schedule::constant(rate_milli, 0, 0, 1);
            for _ in 0..steps {
                schedule.advance();
            }
            let until = schedule.due_ns() + span;
            let counted = schedule.count_until(until);
            let mut walked = 0;
            while schedule.due_ns() < until {
                schedule.advance();
                walked += 1;
            }
            prop_assert_eq!(counted, walked);
        }

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

    #[test]
    fn producers_that_share_a_rate_take_turns() {
        let due = |part| Schedule::constant(1_000_000, 0, part, 4).due_ns();
        assert_eq!([0, 1, 2, 3].map(due), [0, 250_000, 500_000, 750_000]);
    }
}
