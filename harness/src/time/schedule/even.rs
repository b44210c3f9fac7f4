//! Due times at a constant rate, in whole numbers.

/// Due times at a constant rate: an unbounded, evenly spaced sequence, exact to the nanosecond however long it runs.
#[derive(Debug, Clone)]
pub struct Even {
    due_ns: u64,
    step_ns: u64,
    /// What the whole nanoseconds leave out: `step_rest / rate_milli` of one each step, summed in `rest`.
    step_rest: u64,
    rest: u64,
    rate_milli: u64,
}

const NS_MILLI: u64 = 1_000_000_000_000;

impl Even {
    /// `rate_milli` thousandths of a record a second from `start_ns` on, shifted by `part / parts` of a period, so that the
    /// producers which share a rate take turns instead of coming all at once.
    ///
    /// # Panics
    /// If the rate or `parts` is 0.
    pub fn new(rate_milli: u64, start_ns: u64, part: u32, parts: u32) -> Self {
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

    /// Passes over what is due before `until_ns`; how many that is.
    pub fn skip_until(&mut self, until_ns: u64) -> u64 {
        let count = self.count_until(until_ns);
        let step = u128::from(self.step_rest) * u128::from(count) + u128::from(self.rest);
        let whole = u64::try_from(step / u128::from(self.rate_milli)).unwrap_or(u64::MAX);
        self.due_ns = self.due_ns.saturating_add(self.step_ns.saturating_mul(count)).saturating_add(whole);
        self.rest =
            u64::try_from(step % u128::from(self.rate_milli)).expect("less than a rate that is a u64");
        count
    }

    /// How many records are due in `[now, until_ns)` from the next one on.
    fn count_until(&self, until_ns: u64) -> u64 {
        let Some(span) = until_ns.checked_sub(self.due_ns).filter(|span| *span > 0) else { return 0 };
        // The k-th from here is due floor((rest + k × NS_MILLI) / rate) ns later: count the k below `span`.
        let reach = u128::from(span) * u128::from(self.rate_milli) - u128::from(self.rest);
        u64::try_from(reach.div_ceil(u128::from(NS_MILLI))).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_schedule_never_drifts(rate_milli in 1u64..10_000_000_000_000, start in 0u64..1_000_000, steps in 0u64..3000) {
            let mut schedule = Even::new(rate_milli, start, 0, 1);
            for _ in 0..steps {
                schedule.advance();
            }
            let exact = u128::from(start) + u128::from(steps) * u128::from(NS_MILLI) / u128::from(rate_milli);
            prop_assert_eq!(u128::from(schedule.due_ns()), exact);
        }

        #[test]
        fn counting_is_the_same_as_walking(rate_milli in 1_000_000u64..1_000_000_000_000, steps in 0u64..50, span in 0u64..20_000) {
            let mut schedule = Even::new(rate_milli, 0, 0, 1);
            for _ in 0..steps {
                schedule.advance();
            }
            let until = schedule.due_ns() + span;
            let mut skipped = schedule.clone();
            let counted = skipped.skip_until(until);
            let mut walked = 0;
            while schedule.due_ns() < until {
                schedule.advance();
                walked += 1;
            }
            prop_assert_eq!(counted, walked);
            prop_assert_eq!((skipped.due_ns, skipped.rest), (schedule.due_ns, schedule.rest));
        }
    }

    #[test]
    fn producers_that_share_a_rate_take_turns() {
        let due = |part| Even::new(1_000_000, 0, part, 4).due_ns();
        assert_eq!([0, 1, 2, 3].map(due), [0, 250_000, 500_000, 750_000]);
    }
}
