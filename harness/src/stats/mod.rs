//! Statistics over trials: medians, ranges, intervals. One trial is one observation; values inside a trial are not.

mod bounded;
mod log_ratios;
pub mod pairs;
mod remaining;
mod steps;
mod student;
mod summary;

pub use bounded::{Bounded, bounded_figure};
pub use remaining::{Against, BLOCKS_MIN, Better, Remaining, SIGHT_CHANCE, Sight, Standing, remaining};
pub use steps::{Step, StepTrials, steps};
pub use summary::{summarise, summarise_first};

use crate::num;
use crate::result::{Figure, Interval};
use statrs::distribution::{Binomial, DiscreteCDF as _};

/// The least number of trials for an interval. With fewer, the spread is shown as a range only.
pub const INTERVAL_TRIALS_MIN: usize = 6;
/// Confidence level of the intervals.
pub const CONFIDENCE: f64 = 0.95;

/// Returns the middle value, or the mean of the middle two; `None` if there is no value. Values that are not finite are
/// left out.
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    // Each value is halved first, because the sum of two large values would overflow.
    Some(sorted[middle - 1] / 2.0 + upper / 2.0)
}

/// Returns median, range and, from [`INTERVAL_TRIALS_MIN`] values on, an interval; `None` if there is no value.
pub fn figure(values: &[f64]) -> Option<Figure> {
    let sorted = sorted(values);
    Some(Figure {
        trials: u32::try_from(sorted.len()).unwrap_or(u32::MAX),
        median: median(&sorted)?,
        min: *sorted.first()?,
        max: *sorted.last()?,
        interval: interval(&sorted),
        bound: None,
        min_bound: None,
        max_bound: None,
    })
}

/// Returns the distribution-free interval of the median at [`CONFIDENCE`] or more: the k-th least and the k-th greatest
/// value. `None` below [`INTERVAL_TRIALS_MIN`] values.
///
/// The median lies outside with a probability of 2 · P(B < k), where B is the number of heads in n throws of a coin. k is the
/// greatest for which this is at most 1 − [`CONFIDENCE`].
pub fn interval(values: &[f64]) -> Option<Interval> {
    let sorted = sorted(values);
    if sorted.len() < INTERVAL_TRIALS_MIN {
        return None;
    }
    let throws = num::count(sorted.len());
    let heads = Binomial::new(0.5, throws).ok()?;
    let is_rare = |rank: &u64| 2.0 * heads.cdf(rank - 1) <= 1.0 - CONFIDENCE;
    let rank = (1..=throws / 2).take_while(is_rare).last()?;
    let index = usize::try_from(rank).ok()?;
    let (low, high) = (*sorted.get(index - 1)?, *sorted.get(sorted.len() - index)?);
    Some(Interval { low, high, confidence: CONFIDENCE })
}

/// Returns the index of the value nearest to the median; of equally near ones, the first.
pub fn nearest_to_median(values: &[f64]) -> Option<usize> {
    let median = median(values)?;
    let distance = |value: f64| (value - median).abs();
    let known = values.iter().enumerate().filter(|(_, value)| value.is_finite());
    known.min_by(|(_, a), (_, b)| distance(**a).total_cmp(&distance(**b))).map(|(index, _)| index)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some_values() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-1e12f64..1e12, 1..40)
    }

    proptest! {
        #[test]
        fn as_many_lie_below_the_median_as_above(values in some_values()) {
            let middle = median(&values).unwrap();
            let below = values.iter().filter(|value| **value < middle).count();
            let above = values.iter().filter(|value| **value > middle).count();
            prop_assert!(2 * below <= values.len() && 2 * above <= values.len());
        }

        #[test]
        fn neither_order_nor_what_is_no_number_matters(mut values in some_values()) {
            let before = figure(&values);
            values.reverse();
            values.push(f64::NAN);
            values.insert(0, f64::INFINITY);
            prop_assert_eq!(figure(&values), before);
        }

        #[test]
        fn range_and_interval_hold_the_median(values in some_values()) {
            let figure = figure(&values).unwrap();
            prop_assert!(figure.min <= figure.median && figure.median <= figure.max);
            prop_assert_eq!(figure.interval.is_some(), values.len() >= INTERVAL_TRIALS_MIN);
            if let Some(interval) = figure.interval {
                prop_assert!(figure.min <= interval.low && interval.low <= figure.median);
                prop_assert!(figure.median <= interval.high && interval.high <= figure.max);
            }
        }

        #[test]
        fn nothing_lies_nearer_to_the_median_than_the_nearest(values in some_values()) {
            let middle = median(&values).unwrap();
            let nearest = (values[nearest_to_median(&values).unwrap()] - middle).abs();
            prop_assert!(values.iter().all(|value| (value - middle).abs() >= nearest));
        }
    }

    #[test]
    fn of_nothing_there_is_no_figure() {
        assert_eq!((median(&[]), figure(&[]), nearest_to_median(&[])), (None, None, None));
        assert_eq!(figure(&[f64::NAN]), None);
    }

    #[test]
    fn the_interval_reaches_from_the_rank_that_tables_give() {
        let ranks = [(6, 1), (8, 1), (9, 2), (10, 2), (12, 3), (15, 4), (20, 6)];
        for (count, rank) in ranks {
            let values: Vec<f64> = (1..=count).map(f64::from).collect();
            let interval = interval(&values).unwrap();
            assert_eq!((interval.low, interval.high), (f64::from(rank), f64::from(count + 1 - rank)));
        }
    }

    #[test]
    fn equal_values_have_an_interval_without_width() {
        let interval = interval(&[7.0; 6]).unwrap();
        assert_eq!((interval.low, interval.high), (7.0, 7.0));
    }
}
