//! Statistics over trials: medians, ranges, intervals. One trial is one observation; values inside a trial are not.

mod bounded;
mod compare;
mod summary;

pub use bounded::{Bounded, bounded_figure};
pub use compare::{Comparison, NOISE_BAND, Standing, against_each};
pub use summary::summarise;

use crate::num;
use crate::result::{Figure, Interval};
use statrs::distribution::{ContinuousCDF as _, StudentsT};

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

/// Returns Student's t interval of the mean at [`CONFIDENCE`]: mean ± t(n − 1) · s / √n. `None` below
/// [`INTERVAL_TRIALS_MIN`] values.
pub fn interval(values: &[f64]) -> Option<Interval> {
    if values.len() < INTERVAL_TRIALS_MIN {
        return None;
    }
    let count = num::f64_of(num::count(values.len()));
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let student = StudentsT::new(0.0, 1.0, count - 1.0).ok()?;
    let half = student.inverse_cdf(f64::midpoint(1.0, CONFIDENCE)) * (variance / count).sqrt();
    (mean.is_finite() && half.is_finite()).then_some(Interval {
        low: mean - half,
        high: mean + half,
        confidence: CONFIDENCE,
    })
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
        fn the_range_holds_the_median_and_the_interval_the_mean(values in some_values()) {
            let figure = figure(&values).unwrap();
            prop_assert!(figure.min <= figure.median && figure.median <= figure.max);
            prop_assert_eq!(figure.interval.is_some(), values.len() >= INTERVAL_TRIALS_MIN);
            if let Some(interval) = figure.interval {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                prop_assert!(interval.low <= mean + 1e-3 && mean - 1e-3 <= interval.high);
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
    fn the_interval_is_the_textbook_one() {
        // t(5) at 97.5 % is 2.5706; s = 1.8708, n = 6.
        let interval = interval(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert!((interval.low - 1.5367).abs() < 1e-3, "{interval:?}");
        assert!((interval.high - 5.4633).abs() < 1e-3, "{interval:?}");
    }

    #[test]
    fn equal_values_have_an_interval_without_width() {
        let interval = interval(&[7.0; 6]).unwrap();
        assert_eq!((interval.low, interval.high), (7.0, 7.0));
    }
}
