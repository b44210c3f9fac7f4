//! Critical ranks: how many of the most extreme values an interval may leave out at each end.
//!
//! The counts are exact up to [`EXACT_MAX`] values. Above, the normal approximation is closer to them than any figure shows.

use crate::num;
use crate::stats::CONFIDENCE;
use statrs::distribution::{ContinuousCDF as _, Normal};

/// The most values for which the counts are exact.
const EXACT_MAX: usize = 60;

/// Returns the greatest k for which the k-th least and the k-th greatest of the n (n + 1) ÷ 2 Walsh averages of n values enclose
/// the centre with a confidence of 95 % or more. `None` if there is none, which is so below 6 values.
pub(super) fn signed_rank(n: usize) -> Option<usize> {
    if n > EXACT_MAX {
        let n = num::f64_of(num::count(n));
        let (mean, variance) = (n * (n + 1.0) / 4.0, n * (n + 1.0) * (2.0 * n + 1.0) / 24.0);
        return approximate(mean, variance);
    }
    // Each rank from 1 to n is positive or not. `probability[w]` is that of a sum of positive ranks of w.
    let sums = n * (n + 1) / 2;
    let mut probability = vec![0.0; sums + 1];
    probability[0] = 1.0;
    for rank in 1..=n {
        for sum in (0..=sums).rev() {
            let with = if sum >= rank { probability[sum - rank] } else { 0.0 };
            probability[sum] = (probability[sum] + with) / 2.0;
        }
    }
    critical(&probability)
}

/// Returns the greatest k for which the k-th least and the k-th greatest of the n · m differences of n and m values enclose the
/// shift with a confidence of 95 % or more. `None` if there is none.
pub(super) fn rank_sum(n: usize, m: usize) -> Option<usize> {
    if n == 0 || m == 0 {
        return None;
    }
    if n.max(m) > EXACT_MAX {
        let (n, m) = (num::f64_of(num::count(n)), num::f64_of(num::count(m)));
        return approximate(n * m / 2.0, n * m * (n + m + 1.0) / 12.0);
    }
    critical(&shares_of_rank_sums(n, m))
}

/// Returns the probability of each value of the statistic U: the number of pairs in which the second sample's value is less.
///
/// The greatest of all n + m values belongs to the first sample with probability n ÷ (n + m), and then it lies above all m values
/// of the second.
fn shares_of_rank_sums(n: usize, m: usize) -> Vec<f64> {
    let share = |part: usize, whole: usize| num::f64_of(num::count(part)) / num::f64_of(num::count(whole));
    // `row[j]` is the distribution for i values of the first sample and j of the second.
    let mut row: Vec<Vec<f64>> = vec![vec![1.0]; m + 1];
    for i in 1..=n {
        let mut next: Vec<Vec<f64>> = vec![vec![1.0]];
        for j in 1..=m {
            let (of_first, of_second) = (share(i, i + j), share(j, i + j));
            let mut distribution = vec![0.0; i * j + 1];
            for (u, probability) in row[j].iter().enumerate() {
                distribution[u + j] += of_first * probability;
            }
            for (u, probability) in next[j - 1].iter().enumerate() {
                distribution[u] += of_second * probability;
            }
            next.push(distribution);
        }
        row = next;
    }
    row.pop().unwrap_or_default()
}

/// Returns the greatest k with P(statistic < k) at most (1 − confidence) ÷ 2.
fn critical(probability: &[f64]) -> Option<usize> {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let below = probability.iter().scan(0.0, |sum, probability| {
        *sum += probability;
        Some(*sum)
    });
    // Rounding must not make an exact 2.5 % too much.
    let count = below.take_while(|below| *below <= tail * (1.0 + 1e-12)).count();
    (count > 0).then_some(count)
}

fn approximate(mean: f64, variance: f64) -> Option<usize> {
    let z = Normal::standard().inverse_cdf(0.5 + CONFIDENCE / 2.0);
    let rank = (mean - z * variance.sqrt() + 0.5).floor();
    (rank >= 1.0).then(|| num::index_of_f64(rank))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_ranks_are_those_of_the_tables() {
        // Tables give the greatest sum that is still rare at 2.5 % a side; k is one more.
        let tables = [
            (5, None),
            (6, Some(1)),
            (7, Some(3)),
            (8, Some(4)),
            (10, Some(9)),
            (14, Some(22)),
            (20, Some(53)),
            (50, Some(435)),
        ];
        for (n, expected) in tables {
            assert_eq!(signed_rank(n), expected, "{n}");
        }
    }

    #[test]
    fn rank_sums_are_those_of_the_tables() {
        let tables = [
            (3, 3, None),
            (4, 4, Some(1)),
            (5, 5, Some(3)),
            (8, 8, Some(14)),
            (5, 10, Some(9)),
            (20, 20, Some(128)),
        ];
        for (n, m, expected) in tables {
            assert_eq!(rank_sum(n, m), expected, "{n}, {m}");
            assert_eq!(rank_sum(m, n), expected, "{m}, {n}");
        }
        assert_eq!(rank_sum(0, 9), None);
    }

    #[test]
    fn probabilities_add_up_to_one() {
        let sum: f64 = shares_of_rank_sums(9, 13).iter().sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    }

    #[test]
    fn the_approximation_meets_the_exact_counts_where_it_begins() {
        let n = 60.0_f64;
        let approximate = approximate(n * (n + 1.0) / 4.0, n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).unwrap();
        assert!(signed_rank(60).unwrap().abs_diff(approximate) <= 1);
        let approximate = super::approximate(n * n / 2.0, n * n * (2.0 * n + 1.0) / 12.0).unwrap();
        assert!(rank_sum(60, 60).unwrap().abs_diff(approximate) <= 1);
    }
}
