//! Due times at a constant rate, computed in integers.

use crate::workload::RecordRate;

/// An endless sequence of evenly spaced due times. They stay exact to the nanosecond, however long the sequence runs.
#[derive(Debug, Clone)]
pub struct Even {
    due_ns: u64,
    step_ns: u64,
    /// Remainder of the producer's period in units of 1 / `rate_milli` ns. Each step adds it to `rest`.
    step_rest: u64,
    /// Sum of the remainders, less than `rate_milli`. When it reaches that, `due_ns` moves on by one more nanosecond.
    rest: u64,
    /// Rate of all producers together, in thousandths of a record a minute.
    rate_milli: u64,
    /// Number of producers that share the rate.
    parts: u32,
}

/// Nanoseconds in a minute, times 1,000: divided by `rate_milli`, it gives the period in ns.
const NS_MILLI: u64 = 60_000_000_000_000;

impl Even {
    /// Makes the schedule of producer `part` of `parts` that together send at `rate` from `start_ns` on. Record k of all of them belongs to producer k modulo `parts`. So they send one after the other instead of
    /// all at once, and together exactly at the rate.
    ///
    /// # Panics
    /// If the rate or `parts` is 0, or `part` is not below `parts`.
    pub fn new(rate: RecordRate, start_ns: u64, part: u32, parts: u32) -> Self {
        let rate_milli = rate.milli_per_min();
        assert!(
            rate_milli > 0 && part < parts,
            "a schedule needs a rate, and a producer that takes part in it"
        );
        let rate = u128::from(rate_milli);
        let (period, first) =
            (u128::from(NS_MILLI) * u128::from(parts), u128::from(NS_MILLI) * u128::from(part));
        // A time beyond the reach of a u64 is never reached. The remainders are below the rate, which is a u64.
        let low = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
        Self {
            due_ns: start_ns.saturating_add(low(first / rate)),
            step_ns: low(period / rate),
            step_rest: low(period % rate),
            rest: low(first % rate),
            rate_milli,
            parts,
        }
    }

    /// Returns the time at which the next record is due, in ns.
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Moves on to the record after the next one. Called when the next one is sent.
    pub fn advance(&mut self) {
        self.due_ns = self.due_ns.saturating_add(self.step_ns);
        self.rest += self.step_rest;
        if self.rest >= self.rate_milli {
            self.rest -= self.rate_milli;
            self.due_ns = self.due_ns.saturating_add(1);
        }
    }

    /// Skips the records that are due before `until_ns`, and returns their number.
    pub fn skip_until(&mut self, until_ns: u64) -> u64 {
        let count = self.count_until(until_ns);
        let step = u128::from(self.step_rest) * u128::from(count) + u128::from(self.rest);
        let whole = u64::try_from(step / u128::from(self.rate_milli)).unwrap_or(u64::MAX);
        self.due_ns = self.due_ns.saturating_add(self.step_ns.saturating_mul(count)).saturating_add(whole);
        self.rest =
            u64::try_from(step % u128::from(self.rate_milli)).expect("less than a rate that is a u64");
        count
    }

    /// Returns the number of records that are due before `until_ns`, from the next one on.
    fn count_until(&self, until_ns: u64) -> u64 {
        let Some(span) = until_ns.checked_sub(self.due_ns).filter(|span| *span > 0) else { return 0 };
        // Record k from here on is due floor((rest + k × period) / rate) ns after the next one, with a period of NS_MILLI ×
        // parts. This counts the k for which that is less than `span`.
        let reach = u128::from(span) * u128::from(self.rate_milli) - u128::from(self.rest);
        let period = u128::from(NS_MILLI) * u128::from(self.parts);
        u64::try_from(reach.div_ceil(period)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_schedule_never_drifts(rate_milli in 1u64..10_000_000_000_000, start in 0u64..1_000_000, steps in 0u64..3000) {
            let mut schedule = Even::new(RecordRate::new(rate_milli), start, 0, 1);
            for _ in 0..steps {
                schedule.advance();
            }
            let exact = u128::from(start) + u128::from(steps) * u128::from(NS_MILLI) / u128::from(rate_milli);
            prop_assert_eq!(u128::from(schedule.due_ns()), exact);
        }

        #[test]
        fn counting_is_the_same_as_walking(rate_milli in 60_000_000u64..60_000_000_000_000, part in 0u32..3, steps in 0u64..50, span in 0u64..20_000) {
            let mut schedule = Even::new(RecordRate::new(rate_milli), 0, part, 3);
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
        let due = |part| Even::new(RecordRate::per_s(4000), 0, part, 4).due_ns();
        assert_eq!([0, 1, 2, 3].map(due), [0, 250_000, 500_000, 750_000]);
    }

    #[test]
    fn producers_together_send_exactly_the_rate_however_many_they_are() {
        for (rate, producers, seconds) in
            [(1_u64, 600_u32, 1800_u64), (1, 2000, 4000), (7, 3, 100), (100_000, 7, 1)]
        {
            let until_ns = seconds * 1_000_000_000;
            let sent: u64 = (0..producers)
                .map(|part| Even::new(RecordRate::per_s(rate), 0, part, producers).skip_until(until_ns))
                .sum();
            assert_eq!(sent, rate * seconds, "{rate}/s of {producers} producers");
        }
    }

    #[test]
    fn a_record_that_is_never_due_ends_nothing() {
        let mut schedule = Even::new(RecordRate::new(1), u64::MAX - 5, u32::MAX - 1, u32::MAX);
        schedule.advance();
        assert_eq!((schedule.due_ns(), schedule.skip_until(u64::MAX)), (u64::MAX, 0));
    }
}
