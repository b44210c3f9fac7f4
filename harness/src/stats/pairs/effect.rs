//! The conclusion from an interval and a band, the least difference that could be seen, and the pairs that are needed.

use super::interval::{self, Shift, of_ratio, student};
use crate::num;
use crate::result::comparison::{Calibration, Conclusion, Effect};
use crate::stats::{CONFIDENCE, INTERVAL_TRIALS_MIN, median};
use statrs::distribution::{ContinuousCDF as _, Normal};

/// Pairs that say how many pairs a precision needs. No series with a precision is shorter.
pub const PILOT_PAIRS: usize = 10;

/// The most pairs that are ever said to be needed.
const PAIRS_NEEDED_MAX: u32 = 1_000_000;

/// Returns the effect of the change from A to B, from pairs of positive values; `None` without a pair.
///
/// `band` is the least difference that matters, as a share. Values that are not positive numbers are left out with their pair.
pub fn effect(pairs: &[(f64, f64)], band: f64, more_is_better: bool) -> Option<Effect> {
    let counted: Vec<(f64, f64)> =
        pairs.iter().copied().filter(|(a, b)| is_usable(*a) && is_usable(*b)).collect();
    let logs: Vec<f64> = counted.iter().map(|(a, b)| (b / a).ln()).collect();
    let (a, b): (Vec<f64>, Vec<f64>) = counted.into_iter().unzip();
    let medians = (median(&a)?, median(&b)?);
    let judge = Judge { band: band.ln_1p(), more_is_better };
    Some(judge.effect(Shift::paired(&logs)?, medians, logs.len()))
}

/// Returns the effect of the change from A to B, from values that are not paired; `None` if a side has none.
pub fn unpaired(a: &[f64], b: &[f64], band: f64, more_is_better: bool) -> Option<Effect> {
    let usable = |values: &[f64]| values.iter().copied().filter(|it| is_usable(*it)).collect::<Vec<f64>>();
    let (a, b) = (usable(a), usable(b));
    let logs = |values: &[f64]| values.iter().map(|value| value.ln()).collect::<Vec<f64>>();
    let medians = (median(&a)?, median(&b)?);
    let judge = Judge { band: band.ln_1p(), more_is_better };
    Some(judge.effect(Shift::unpaired(&logs(&a), &logs(&b))?, medians, a.len().min(b.len())))
}

/// Returns the noise of pairs whose sides are the same; `None` without an interval.
pub fn calibrate(effect: &Effect) -> Option<Calibration> {
    let interval = effect.interval?;
    let pairs = f64::from(effect.pairs);
    let half = (interval.high / interval.low).ln() / 2.0;
    let spread = (half * pairs.sqrt() / student(pairs - 1.0)).exp_m1();
    let is_at_fault = interval.low > 1.0 || interval.high < 1.0;
    Some(Calibration { spread, pairs_needed: effect.pairs_needed, is_at_fault })
}

/// Returns how far the interval reaches from the ratio to either side at most, as a share; `None` without an interval.
pub fn half_width(effect: &Effect) -> Option<f64> {
    let interval = effect.interval?;
    Some((interval.high / effect.ratio).max(effect.ratio / interval.low) - 1.0)
}

/// Returns how many pairs a series to a precision has in all, from the values of its pairs so far.
///
/// It is [`PILOT_PAIRS`] at first. When they are made, it is the number that the width of their interval asks for. When those are
/// made, the width is looked at again, until the interval reaches no further than `precision` to either side. Between these looks
/// nothing is decided: each look that may end a series makes a false conclusion a little likelier. `pairs_max` pairs are the end.
pub fn next_pairs(pairs: &[(f64, f64)], precision: f64, pairs_max: usize) -> usize {
    let mut planned = PILOT_PAIRS.min(pairs_max);
    while let Some(made) = pairs.get(..planned) {
        let reached = effect(made, 0.0, true).and_then(|effect| half_width(&effect));
        if planned >= pairs_max || reached.is_some_and(|reached| reached <= precision) {
            break;
        }
        // The width falls with the square root of the number of pairs.
        let factor = reached.map_or(1.0, |reached| (reached.ln_1p() / precision.ln_1p()).powi(2));
        let needed = (num::f64_of(num::count(planned)) * factor).ceil().min(f64::from(PAIRS_NEEDED_MAX));
        planned = num::index_of_f64(needed).max(planned + 1).min(pairs_max);
    }
    planned
}

fn is_usable(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

/// The rule of the conclusion.
struct Judge {
    /// Logarithm of the band's upper end.
    band: f64,
    more_is_better: bool,
}

impl Judge {
    fn effect(&self, shift: Shift, (a_median, b_median): (f64, f64), pairs: usize) -> Effect {
        let conclusion = self.conclusion(shift.by_ranks);
        Effect {
            ratio: shift.centre.exp(),
            interval: shift.by_ranks.map(of_ratio),
            student_interval: shift.by_student.map(of_ratio),
            a_median,
            b_median,
            pairs: u32::try_from(pairs).unwrap_or(u32::MAX),
            conclusion,
            least_difference: self.least_difference(&shift),
            pairs_needed: self.pairs_needed(&shift),
            tests_disagree: self.conclusion(shift.by_student) != conclusion,
        }
    }

    fn conclusion(&self, interval: Option<(f64, f64)>) -> Conclusion {
        let Some((low, high)) = interval else { return Conclusion::CannotTell };
        let (better, worse) = if self.more_is_better {
            (Conclusion::Better, Conclusion::Worse)
        } else {
            (Conclusion::Worse, Conclusion::Better)
        };
        match () {
            () if low > self.band => better,
            () if high < -self.band => worse,
            () if low >= -self.band && high <= self.band => Conclusion::NoDifference,
            () => Conclusion::CannotTell,
        }
    }

    /// Returns the least difference that would be called better or worse with a probability of 95 % at this spread.
    ///
    /// The interval's end has to lie beyond the band. Its centre and its width vary: Student's t with a shift of
    /// t + z √(1 + t² ÷ 2ν) standard errors exceeds its quantile t with that probability, nearly. The half-width is t of them.
    fn least_difference(&self, shift: &Shift) -> Option<f64> {
        let freedom = shift.freedom(shift.size);
        let t = student(freedom);
        let beyond = t + one_sided() * (1.0 + t * t / (2.0 * freedom)).sqrt();
        shift.half_width().map(|half| (self.band + half * beyond / t).exp_m1())
    }

    /// Returns the pairs after which the interval of two equal sides lies wholly inside the band with a probability of 95 %.
    ///
    /// The half-width, and two standard errors for the centre, have to fit into the band. Both fall with √n.
    fn pairs_needed(&self, shift: &Shift) -> Option<u32> {
        let half = shift.half_width()?;
        if self.band <= 0.0 {
            return None;
        }
        // The standard error of one pair, or of one trial on each side.
        let error = half * shift.size.sqrt() / student(shift.freedom(shift.size));
        let fits = |pairs: u32| {
            let size = f64::from(pairs);
            error * (student(shift.freedom(size)) + two_sided()) / size.sqrt() <= self.band
        };
        let least = u32::try_from(INTERVAL_TRIALS_MIN).unwrap_or(u32::MAX);
        let (mut low, mut high) = (least, PAIRS_NEEDED_MAX);
        while low < high {
            let middle = low + (high - low) / 2;
            if fits(middle) { high = middle } else { low = middle + 1 }
        }
        Some(low)
    }
}

/// The quantile of the normal distribution that is exceeded with a probability of 5 %.
fn one_sided() -> f64 {
    Normal::standard().inverse_cdf(CONFIDENCE)
}

/// The quantile of the normal distribution that is exceeded to either side with a probability of 5 % in all.
fn two_sided() -> f64 {
    Normal::standard().inverse_cdf(0.5 + CONFIDENCE / 2.0)
}

/// Returns the estimate and the interval alone, for figures that decide nothing.
pub(super) fn estimate(pairs: &[(f64, f64)]) -> Option<(f64, Option<crate::result::Interval>)> {
    let logs: Vec<f64> = pairs.iter().map(|(a, b)| (b / a).ln()).collect();
    let shift = interval::Shift::paired(&logs)?;
    Some((shift.centre.exp(), shift.by_ranks.map(of_ratio)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pairs whose ratios are `ratio` times a spread of 0.2 % around 1.
    fn pairs(ratio: f64, count: i32) -> Vec<(f64, f64)> {
        (0..count).map(|pair| (1000.0, 1000.0 * ratio * (1.0 + 0.001 * f64::from(pair % 5 - 2)))).collect()
    }

    fn conclusion(ratio: f64, more_is_better: bool) -> Conclusion {
        effect(&pairs(ratio, 10), 0.02, more_is_better).unwrap().conclusion
    }

    #[test]
    fn the_whole_interval_decides_and_the_direction_of_the_metric_names_it() {
        assert_eq!(
            [0.9, 1.0, 1.1].map(|it| conclusion(it, true)),
            [Conclusion::Worse, Conclusion::NoDifference, Conclusion::Better]
        );
        assert_eq!(
            [0.9, 1.0, 1.1].map(|it| conclusion(it, false)),
            [Conclusion::Better, Conclusion::NoDifference, Conclusion::Worse]
        );
        assert_eq!(
            [1.02, 1.0 / 1.02].map(|it| conclusion(it, true)),
            [Conclusion::CannotTell; 2],
            "at the band's ends"
        );
    }

    #[test]
    fn fewer_than_six_pairs_cannot_tell_and_none_is_no_effect() {
        let found = effect(&pairs(0.5, 5), 0.02, true).unwrap();
        assert_eq!((found.conclusion, found.interval, found.pairs), (Conclusion::CannotTell, None, 5));
        assert_eq!((found.least_difference, found.pairs_needed, found.tests_disagree), (None, None, false));
        assert!((found.ratio - 0.5).abs() < 1e-2, "{}", found.ratio);
        assert_eq!(effect(&[], 0.02, true), None);
        assert_eq!(effect(&[(0.0, 1.0), (1.0, f64::NAN)], 0.02, true), None);
        assert_eq!(unpaired(&[], &[1.0], 0.02, true), None);
    }

    #[test]
    fn an_outlier_that_only_student_heeds_is_a_disagreement() {
        let mut with_outlier = pairs(1.05, 10);
        with_outlier[3].1 *= 3.0;
        let found = effect(&with_outlier, 0.02, true).unwrap();
        assert_eq!((found.conclusion, found.tests_disagree), (Conclusion::Better, true), "{found:?}");
        assert!(!effect(&pairs(1.05, 10), 0.02, true).unwrap().tests_disagree);
    }

    #[test]
    fn stored_values_are_compared_by_their_ranks() {
        let a = [100.0, 101.0, 99.0, 100.5, 99.5];
        let b = a.map(|value| value * 1.1);
        let found = unpaired(&a, &b, 0.02, true).unwrap();
        assert_eq!(
            (found.conclusion, found.pairs, found.a_median, found.b_median),
            (Conclusion::Better, 5, 100.0, 110.00000000000001)
        );
        assert!((found.ratio - 1.1).abs() < 1e-3);
        assert_eq!(unpaired(&a[..3], &b[..3], 0.02, true).unwrap().conclusion, Conclusion::CannotTell);
    }

    #[test]
    fn a_precision_ends_a_series_at_ten_pairs_or_at_its_maximum() {
        assert_eq!(next_pairs(&[], 0.01, 40), 10);
        assert_eq!(next_pairs(&pairs(1.0, 9), 0.5, 40), 10, "never before ten");
        assert_eq!(next_pairs(&pairs(1.0, 10), 0.01, 40), 10, "narrow enough");
        let wide: Vec<(f64, f64)> = (0..10).map(|pair| (1.0, 1.0 + 0.02 * f64::from(pair % 5))).collect();
        let asked = next_pairs(&wide, 0.01, 1000);
        assert!((30..60).contains(&asked), "{asked}");
        assert_eq!(next_pairs(&wide, 0.01, 20), 20);
        assert_eq!(next_pairs(&wide, 0.01, 10), 10);
        assert_eq!(next_pairs(&wide, 1e-9, 1000), 1000);
        assert_eq!(next_pairs(&pairs(1.0, 3), 0.01, 5), 5, "a maximum below ten is a maximum");
    }

    #[test]
    fn a_calibration_tells_noise_from_a_set_up_at_fault() {
        let calm = calibrate(&effect(&pairs(1.0, 20), 0.02, true).unwrap()).unwrap();
        assert!(!calm.is_at_fault && calm.spread > 0.0005 && calm.spread < 0.003, "{calm:?}");
        assert_eq!(calm.pairs_needed, Some(6));
        assert!(calibrate(&effect(&pairs(1.01, 20), 0.02, true).unwrap()).unwrap().is_at_fault);
        assert_eq!(calibrate(&effect(&pairs(1.0, 3), 0.02, true).unwrap()), None);
    }

    fn some_pairs() -> impl Strategy<Value = Vec<(f64, f64)>> {
        prop::collection::vec((1e-3f64..1e9, 1e-3f64..1e9), 1..20)
    }

    proptest! {
        #[test]
        fn seen_from_the_other_side_it_is_the_inverse(pairs in some_pairs(), band in 0.0f64..0.3) {
            let found = effect(&pairs, band, true).unwrap();
            let swapped: Vec<(f64, f64)> = pairs.iter().map(|(a, b)| (*b, *a)).collect();
            let back = effect(&swapped, band, false).unwrap();
            prop_assert!((found.ratio * back.ratio - 1.0).abs() < 1e-6);
            prop_assert_eq!(found.conclusion, back.conclusion);
            if let (Some(there), Some(back)) = (found.interval, back.interval) {
                prop_assert!((there.low * back.high - 1.0).abs() < 1e-6);
                prop_assert!(there.low <= found.ratio && found.ratio <= there.high);
            }
        }

        #[test]
        fn what_hits_both_sides_of_a_pair_changes_nothing(pairs in some_pairs(), factor in 0.1f64..10.0) {
            let drifted: Vec<(f64, f64)> = pairs.iter().zip(0i32..)
                .map(|((a, b), pair)| (a * factor.powi(pair % 3), b * factor.powi(pair % 3))).collect();
            let (before, after) = (effect(&pairs, 0.02, true).unwrap(), effect(&drifted, 0.02, true).unwrap());
            prop_assert!((before.ratio / after.ratio - 1.0).abs() < 1e-6);
        }

        #[test]
        fn a_series_to_a_precision_ends(pairs in some_pairs(), precision in 1e-6f64..0.5, pairs_max in 1usize..40) {
            let mut made = 0;
            while made < next_pairs(&pairs[..made], precision, pairs_max) {
                let before = next_pairs(&pairs[..made], precision, pairs_max);
                prop_assert!(before <= pairs_max);
                made += 1;
                if made == pairs.len() { break; }
                let after = next_pairs(&pairs[..made], precision, pairs_max);
                prop_assert!(after == before || made == before, "decided only when the planned pairs are made");
            }
        }
    }
}
