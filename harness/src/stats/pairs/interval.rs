//! Estimates and intervals on logarithms of ratios.

use super::ranks;
use crate::result::Interval;
use crate::stats::student::{count, exceeded_with, mean, variance};
use crate::stats::{CONFIDENCE, median};

/// An estimate with its intervals, on logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shift {
    /// Hodges–Lehmann estimate.
    pub(super) centre: f64,
    /// Interval by ranks, which decides; `None` with too few values.
    pub(super) by_ranks: Option<(f64, f64)>,
    /// Interval by Student's t; `None` with too few values for the one by ranks.
    pub(super) by_student: Option<(f64, f64)>,
    /// Samples: 1 for pairs, and 2 for values that are not paired.
    pub(super) samples: f64,
    /// Values of each sample; the harmonic mean of two sizes.
    pub(super) size: f64,
}

impl Shift {
    /// Returns the shift of paired logarithms; `None` if there is none.
    pub(super) fn paired(logs: &[f64]) -> Option<Self> {
        let mut walsh: Vec<f64> =
            (0..logs.len()).flat_map(|i| logs[i..].iter().map(move |b| (logs[i] + b) / 2.0)).collect();
        walsh.sort_unstable_by(f64::total_cmp);
        let n = count(logs);
        let by_ranks = ends(&walsh, ranks::signed_rank(logs.len()));
        let half = student(n - 1.0) * (variance(logs) / n).sqrt();
        Some(Self {
            centre: median(&walsh)?,
            by_ranks,
            by_student: by_ranks.map(|_| (mean(logs) - half, mean(logs) + half)),
            samples: 1.0,
            size: n,
        })
    }

    /// Returns the shift from the logarithms `a` to the logarithms `b`, which are not paired; `None` if either is empty.
    pub(super) fn unpaired(a: &[f64], b: &[f64]) -> Option<Self> {
        let mut differences: Vec<f64> = a.iter().flat_map(|a| b.iter().map(move |b| b - a)).collect();
        differences.sort_unstable_by(f64::total_cmp);
        let by_ranks = ends(&differences, ranks::rank_sum(a.len(), b.len()));
        Some(Self {
            centre: median(&differences)?,
            by_ranks,
            by_student: by_ranks.map(|_| welch(a, b)),
            samples: 2.0,
            size: 2.0 / (1.0 / count(a) + 1.0 / count(b)),
        })
    }

    /// Degrees of freedom of Student's t for samples of `size` values each.
    pub(super) fn freedom(&self, size: f64) -> f64 {
        self.samples * (size - 1.0)
    }

    /// Half of the width of the interval by ranks.
    pub(super) fn half_width(&self) -> Option<f64> {
        self.by_ranks.map(|(low, high)| (high - low) / 2.0)
    }
}

/// Returns the interval of the ratio from the ends of the interval of its logarithm.
pub(super) fn of_ratio((low, high): (f64, f64)) -> Interval {
    Interval { low: low.exp(), high: high.exp(), confidence: CONFIDENCE }
}

/// The quantile of Student's t at which two-sided intervals end.
pub(super) fn student(freedom: f64) -> f64 {
    exceeded_with((1.0 - CONFIDENCE) / 2.0, freedom)
}

/// Returns Welch's interval of the difference of two means.
fn welch(a: &[f64], b: &[f64]) -> (f64, f64) {
    let (of_a, of_b) = (variance(a) / count(a), variance(b) / count(b));
    let part = |variance: f64, values: &[f64]| variance.powi(2) / (count(values) - 1.0);
    let freedom = (of_a + of_b).powi(2) / (part(of_a, a) + part(of_b, b));
    let shift = mean(b) - mean(a);
    // Without any spread there are no degrees of freedom, and no width.
    let half = if freedom.is_finite() { student(freedom) * (of_a + of_b).sqrt() } else { 0.0 };
    (shift - half, shift + half)
}

/// Returns the k-th least and the k-th greatest of sorted values.
fn ends(sorted: &[f64], rank: Option<usize>) -> Option<(f64, f64)> {
    let rank = rank?;
    Some((*sorted.get(rank - 1)?, *sorted.get(sorted.len().checked_sub(rank)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: (f64, f64), expected: (f64, f64)) {
        assert!(
            (found.0 - expected.0).abs() < 1e-3 && (found.1 - expected.1).abs() < 1e-3,
            "{found:?} {expected:?}"
        );
    }

    #[test]
    fn the_signed_rank_interval_is_the_textbook_one() {
        // Hollander, Wolfe and Chicken, example 3.1 (depression scores): the differences, the estimate −0.46, and from 9 values
        // the 6th least and greatest Walsh average at 96.1 %: −0.786 to −0.010.
        let logs = [-0.952, 0.147, -1.022, -0.430, -0.620, -0.590, -0.490, 0.080, -0.010];
        let shift = Shift::paired(&logs).unwrap();
        assert!((shift.centre + 0.46).abs() < 1e-9, "{}", shift.centre);
        close(shift.by_ranks.unwrap(), (-0.786, -0.010));
    }

    #[test]
    fn the_rank_sum_interval_is_the_textbook_one() {
        // The same, example 4.1 (water transfer): the estimate of the shift from X to Y is −0.305; U from 10 and 5 values.
        let x = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let y = [1.15, 0.88, 0.90, 0.74, 1.21];
        let shift = Shift::unpaired(&x, &y).unwrap();
        assert!((shift.centre + 0.305).abs() < 1e-9, "{}", shift.centre);
        // R: wilcox.test(y, x, conf.int = TRUE) gives −0.76 to 0.15.
        close(shift.by_ranks.unwrap(), (-0.76, 0.15));
    }

    #[test]
    fn student_intervals_are_the_textbook_ones() {
        // Logs 1…6: t(5) at 97.5 % is 2.5706, s = 1.8708.
        close(Shift::paired(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap().by_student.unwrap(), (1.5367, 5.4633));
        // Welch: equal variances 2.5, five each, so 8 degrees of freedom: 3 ± 2.306.
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0], [4.0, 5.0, 6.0, 7.0, 8.0]);
        close(Shift::unpaired(&a, &b).unwrap().by_student.unwrap(), (3.0 - 2.306, 3.0 + 2.306));
    }

    #[test]
    fn too_few_values_have_an_estimate_and_no_interval() {
        let shift = Shift::paired(&[0.5]).unwrap();
        assert_eq!((shift.centre, shift.by_ranks, shift.by_student), (0.5, None, None));
        assert_eq!(Shift::paired(&[]), None);
        assert_eq!(Shift::unpaired(&[], &[1.0]), None);
        let equal = Shift::paired(&[0.0; 6]).unwrap();
        assert_eq!((equal.by_ranks, equal.by_student), (Some((0.0, 0.0)), Some((0.0, 0.0))));
        let equal = Shift::unpaired(&[0.0; 4], &[1.0; 4]).unwrap();
        assert_eq!((equal.by_ranks, equal.by_student), (Some((1.0, 1.0)), Some((1.0, 1.0))));
    }
}
