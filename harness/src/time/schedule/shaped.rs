//! Due times of a load whose rate changes or whose arrivals are random.
//!
//! Each record k has a mark, and is due when the integral of the rate reaches that mark. For even arrivals the mark is
//! k plus the producer's share of one record. For Poisson arrivals it is the sum of k + 1 exponential gaps of mean 1.
//! So the number of records due up to any time is the integral itself, or Poisson with that mean. The producers that
//! share a rate together make one such sequence.

use crate::num;
use crate::workload::Profile;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// Length of a slice in ns. The integral is exact at the edges of slices. Within a slice, the rate is taken to be its
/// mean.
const SLICE_NS: u64 = 1_000_000;

/// Error bound of the sums, in records. It holds for sums of less than 2⁵³ ÷ 10⁶ records.
const ROUNDING: f64 = 1e-6;

/// The parameters that determine the due times of one producer.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Records a second of this producer at the times at which the profile is 1.
    pub rate_per_s: f64,
    /// The change of the rate over the window.
    pub profile: Profile,
    /// Start of the window in ns. Before it, the rate is the profile's first.
    pub window_start_ns: u64,
    /// Length of the window in ns.
    pub window_ns: u64,
    /// The spacing of the due times.
    pub spacing: Spacing,
}

/// The spacing of due times.
#[derive(Debug, Clone, Copy)]
pub enum Spacing {
    /// Evenly. The value is this producer's share of one record, the mark of its first record.
    Even(f64),
    /// Like independent arrivals, from this seed.
    Poisson(u64),
}

/// The sequence of the due times of a [`Shape`].
#[derive(Debug, Clone)]
pub struct Shaped {
    shape: Shape,
    /// Generator of the gaps between Poisson arrivals; `None` for even ones.
    gaps: Option<SmallRng>,
    /// The mark of the next record: the integral of the rate, in records, at which it is due.
    mark: f64,
    slice: Slice,
    due_ns: u64,
}

/// A period in which the rate is taken to be constant.
#[derive(Debug, Clone, Copy)]
struct Slice {
    start_ns: u64,
    end_ns: u64,
    /// The integral of the rate at `start_ns` and at `end_ns`, in records.
    start: f64,
    end: f64,
}

impl Shaped {
    /// Makes the sequence of due times from 0 on.
    pub fn new(shape: Shape) -> Self {
        let (gaps, mark) = match shape.spacing {
            Spacing::Even(share) => (None, share),
            Spacing::Poisson(seed) => (Some(SmallRng::seed_from_u64(seed)), 0.0),
        };
        let mut shaped = Self { slice: shape.slice_from(0), shape, gaps, mark, due_ns: 0 };
        shaped.mark += shaped.gap().unwrap_or(0.0);
        shaped.seek();
        shaped
    }

    /// Returns the time at which the next record is due, in ns. After the end of the window it is `u64::MAX`: never.
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Moves on to the record after the next one. Called when the next one is sent.
    pub fn advance(&mut self) {
        self.mark += self.gap().unwrap_or(1.0);
        self.seek();
    }

    /// Skips the records that are due before `until_ns`, and returns their number. More than `walked_max` records are not walked
    /// through: their number is then the integral of the rate, which for Poisson arrivals is their mean.
    pub fn skip_until(&mut self, until_ns: u64, walked_max: u64) -> u64 {
        let mut skipped = 0;
        let until_ns = until_ns.min(self.shape.window_start_ns.saturating_add(self.shape.window_ns));
        if self.due_ns < until_ns {
            let many = num::u64_of(self.shape.integral(until_ns) - self.mark);
            if many > walked_max {
                // The last ones are walked through, so that the next mark is that of a record that is not due yet.
                skipped = many - walked_max;
                self.mark += num::f64_of(skipped);
                self.seek();
            }
        }
        while self.due_ns < until_ns {
            self.advance();
            skipped += 1;
        }
        skipped
    }

    /// Sets the start of the window. Call it before the window starts, so that no due time that was read changes.
    pub fn set_window_start(&mut self, window_start_ns: u64) {
        if self.shape.window_start_ns != window_start_ns {
            self.shape.window_start_ns = window_start_ns;
            self.slice = self.shape.slice_from(0);
            self.seek();
        }
    }

    /// Returns an exponential gap of mean 1 for Poisson arrivals, and `None` for even ones.
    fn gap(&mut self) -> Option<f64> {
        let uniform: f64 = self.gaps.as_mut()?.random();
        Some(-(1.0 - uniform).ln())
    }

    /// Sets `due_ns` to the time of `mark`. Looks for it in the current slice and in later ones.
    fn seek(&mut self) {
        let end_ns = self.shape.window_start_ns.saturating_add(self.shape.window_ns);
        // A record due exactly on a boundary belongs to the next slice; ROUNDING absorbs the float error of the prefix
        // sums.
        while self.mark + ROUNDING >= self.slice.end {
            if self.slice.end_ns >= end_ns {
                self.due_ns = u64::MAX;
                return;
            }
            self.slice = self.shape.slice_from(self.slice.end_ns);
        }
        let Slice { start_ns, end_ns, start, end } = self.slice;
        let share = ((self.mark - start) / (end - start)).max(0.0);
        let after_ns = num::u64_of(share * num::f64_of(end_ns - start_ns));
        self.due_ns = start_ns + after_ns.min(end_ns - start_ns - 1);
    }
}

impl Shape {
    fn slice_from(&self, start_ns: u64) -> Slice {
        let window_end_ns = self.window_start_ns.saturating_add(self.window_ns);
        let end_ns = if start_ns < self.window_start_ns {
            self.window_start_ns
        } else if self.profile == Profile::Constant {
            window_end_ns
        } else {
            (start_ns + SLICE_NS).min(window_end_ns)
        };
        Slice { start_ns, end_ns, start: self.integral(start_ns), end: self.integral(end_ns) }
    }

    /// Returns the mean number of records due in [0, `ns`).
    fn integral(&self, ns: u64) -> f64 {
        let seconds = |ns: u64| num::f64_of(ns) * 1e-9;
        let before_s = seconds(ns.min(self.window_start_ns));
        let inside_s = seconds(ns.saturating_sub(self.window_start_ns));
        let shape = self.profile.integral(inside_s, seconds(self.window_ns));
        self.rate_per_s * (self.profile.first() * before_s + shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::profile::tests::any_profile;
    use proptest::prelude::*;

    const PRODUCERS: u32 = 3;
    const WARMUP_NS: u64 = 700_000_000;
    const WINDOW_NS: u64 = 4_000_000_000;

    fn shape(rate_per_s: f64, profile: Profile, spacing: Spacing) -> Shape {
        Shape { rate_per_s, profile, window_start_ns: WARMUP_NS, window_ns: WINDOW_NS, spacing }
    }

    /// Returns every due time up to the end of the window.
    fn dues(shape: Shape) -> Vec<u64> {
        let mut walk = Shaped::new(shape);
        let mut dues = Vec::new();
        while walk.due_ns() < u64::MAX {
            dues.push(walk.due_ns());
            walk.advance();
        }
        dues
    }

    /// Returns the due times of all the producers that share a rate, in order.
    fn merged(rate_per_s: f64, profile: Profile, spacing: impl Fn(u32) -> Spacing) -> Vec<u64> {
        let own = rate_per_s / f64::from(PRODUCERS);
        let mut all: Vec<u64> =
            (0..PRODUCERS).flat_map(|id| dues(shape(own, profile, spacing(id)))).collect();
        all.sort_unstable();
        all
    }

    proptest! {
        #[test]
        fn as_many_are_due_as_the_integral_of_the_rate(
            profile in any_profile(), rate in 1.0f64..3000.0, upto_ms in 0u64..=4700,
        ) {
            let even = |id| Spacing::Even(f64::from(id) / f64::from(PRODUCERS));
            let all = merged(rate, profile, even);
            let due = all.partition_point(|due| *due < upto_ms * 1_000_000);
            let expected = shape(rate, profile, Spacing::Even(0.0)).integral(upto_ms * 1_000_000);
            prop_assert!((due as f64 - expected).abs() <= 1.0 + 1e-6, "{due} due, {expected} expected");
        }

        #[test]
        fn poisson_arrivals_are_as_many_as_their_mean_and_never_go_back(
            profile in any_profile(), rate in 50.0f64..3000.0, seed in any::<u64>(),
        ) {
            let one = dues(shape(rate, profile, Spacing::Poisson(seed)));
            prop_assert!(one.is_sorted());
            let expected = shape(rate, profile, Spacing::Poisson(0)).integral(WARMUP_NS + WINDOW_NS);
            // A bound of six standard deviations. It is exceeded once in five hundred million times.
            let bound = 6.0 * expected.sqrt() + 6.0;
            prop_assert!((one.len() as f64 - expected).abs() <= bound, "{} due, {expected} expected", one.len());
        }

        #[test]
        fn a_window_that_opens_later_changes_nothing_before_it(
            profile in any_profile(), rate in 10.0f64..3000.0, seed in any::<u64>(), even in any::<bool>(),
            opens_ms in 200u64..3000,
        ) {
            let spacing = if even { Spacing::Even(0.5) } else { Spacing::Poisson(seed) };
            let opens_ns = opens_ms * 1_000_000;
            let known = Shape { window_start_ns: opens_ns, ..shape(rate, profile, spacing) };
            let mut walk = Shaped::new(Shape { window_start_ns: u64::MAX / 4, ..known });
            let mut found = Vec::new();
            while walk.due_ns() < opens_ns / 2 {
                found.push(walk.due_ns());
                walk.advance();
            }
            walk.set_window_start(opens_ns);
            while walk.due_ns() < u64::MAX {
                found.push(walk.due_ns());
                walk.advance();
            }
            let expected = dues(known);
            prop_assert_eq!(found.len(), expected.len());
            let apart = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
            prop_assert!(apart.unwrap_or(0) <= 1000, "{apart:?} ns");
        }
    }

    #[test]
    fn any_number_of_records_is_skipped_in_a_short_time() {
        let rate = 1e9;
        for spacing in [Spacing::Even(0.5), Spacing::Poisson(7)] {
            let expected = shape(rate, Profile::Constant, spacing).integral(WARMUP_NS + WINDOW_NS);
            let mut walk = Shaped::new(shape(rate, Profile::Constant, spacing));
            let skipped: u64 = (1..=50).map(|part| walk.skip_until(part * 100_000_000, 1000)).sum();
            let off = (num::f64_of(skipped) - expected).abs() / expected;
            assert!(off < 1e-4, "{skipped} of {expected}");
            assert_eq!(walk.due_ns(), u64::MAX);
            assert_eq!(walk.skip_until(u64::MAX, 1000), 0);
        }
    }

    #[test]
    fn skipping_is_the_same_as_walking_while_there_are_few() {
        for spacing in [Spacing::Even(0.25), Spacing::Poisson(3)] {
            let mut skipping = Shaped::new(shape(9000.0, Profile::Constant, spacing));
            let expected = dues(shape(9000.0, Profile::Constant, spacing));
            let counted = [500, 1000, 3000, 9000].map(|ms| skipping.skip_until(ms * 1_000_000, 100_000));
            let until = |ms: u64| expected.partition_point(|due| *due < ms * 1_000_000);
            assert_eq!(counted.iter().sum::<u64>(), num::count(expected.len()));
            assert_eq!(counted[0], num::count(until(500)));
            assert_eq!(counted[1], num::count(until(1000) - until(500)));
        }
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        let rate = 10_000.0;
        let dues = dues(shape(rate, Profile::Constant, Spacing::Poisson(42)));
        let gaps: Vec<f64> =
            dues.windows(2).map(|pair| num::f64_of(pair[1] - pair[0]) * 1e-9 * rate).collect();
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        let above_one = gaps.iter().filter(|gap| **gap > 1.0).count() as f64 / count;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.1, "{variance}");
        assert!((above_one - (-1.0f64).exp()).abs() < 0.02, "{above_one}");
    }
}
