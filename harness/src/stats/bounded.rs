//! Median and range of values that are partly bounds.
//!
//! A lower bound ranks as greater than it is, an upper bound as smaller. If that could change the median, the median is a bound
//! too.

use super::{figure, median};
use crate::result::{Bound, Figure};

/// A value of one trial, with the side on which the true value lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    /// The value.
    pub value: f64,
    /// `None` if the value is the true one.
    pub bound: Option<Bound>,
    /// The least that the true value of an upper bound may be.
    pub least: f64,
}

/// Returns the figure of some values; `None` if there is none. A median that a lower bound may have pushed up is a lower bound.
/// A median that an upper bound may have pulled down is an upper bound.
pub fn bounded_figure(values: &[Bounded]) -> Option<Figure> {
    let mut found = figure(&values.iter().map(|it| it.value).collect::<Vec<_>>())?;
    let low = median(&each(values, Bound::Upper, |it| it.least))?;
    let high = median(&each(values, Bound::Lower, |_| f64::MAX))?;
    if high > found.median {
        (found.median, found.bound) = (low, Some(Bound::Lower));
    } else if low < found.median {
        found.bound = Some(Bound::Upper);
    }
    let bound_of =
        |end: f64| values.iter().filter(|it| it.value.total_cmp(&end).is_eq()).find_map(|it| it.bound);
    let has_lower = values.iter().any(|it| it.bound == Some(Bound::Lower));
    found.min_bound = bound_of(found.min);
    found.max_bound = if has_lower { Some(Bound::Lower) } else { bound_of(found.max) };
    found.interval = found.interval.filter(|_| !has_lower);
    Some(found)
}

/// Returns the values, those with `bound` replaced.
fn each(values: &[Bounded], bound: Bound, replaced: impl Fn(&Bounded) -> f64) -> Vec<f64> {
    values.iter().map(|it| if it.bound == Some(bound) { replaced(it) } else { it.value }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(value: f64) -> Bounded {
        Bounded { value, bound: None, least: value }
    }

    fn at_least(value: f64) -> Bounded {
        Bounded { value, bound: Some(Bound::Lower), least: value }
    }

    fn at_most(value: f64, least: f64) -> Bounded {
        Bounded { value, bound: Some(Bound::Upper), least }
    }

    fn median_of(values: &[Bounded]) -> (f64, Option<Bound>) {
        let figure = bounded_figure(values).unwrap();
        (figure.median, figure.bound)
    }

    #[test]
    fn a_lower_bound_makes_the_median_one_only_if_its_rank_matters() {
        assert_eq!(median_of(&[exact(1.0), exact(2.0), at_least(5.0)]), (2.0, None));
        assert_eq!(median_of(&[exact(1.0), exact(2.0), at_least(1.5)]), (1.5, Some(Bound::Lower)));
        assert_eq!(median_of(&[exact(1.0), at_least(5.0), at_least(6.0)]), (5.0, Some(Bound::Lower)));
        assert_eq!(median_of(&[at_least(5.0)]), (5.0, Some(Bound::Lower)));
    }

    #[test]
    fn an_upper_bound_makes_the_median_one_only_if_its_rank_matters() {
        assert_eq!(median_of(&[exact(1.0), exact(2.0), at_most(5.0, 3.0)]), (2.0, None));
        assert_eq!(median_of(&[exact(1.0), exact(2.0), at_most(5.0, 0.5)]), (2.0, Some(Bound::Upper)));
        assert_eq!(median_of(&[at_most(1.0, 0.1), exact(2.0), exact(3.0)]), (2.0, None));
    }

    #[test]
    fn with_both_the_median_is_a_bound_that_holds() {
        let values = [at_most(5.0, 1.0), at_least(4.0)];
        assert_eq!(median_of(&values), (2.5, Some(Bound::Lower)));
    }

    #[test]
    fn ends_of_the_range_have_the_bounds_of_their_values() {
        let figure = bounded_figure(&[at_most(1.0, 0.5), exact(2.0), at_least(1.5)]).unwrap();
        assert_eq!((figure.min, figure.min_bound), (1.0, Some(Bound::Upper)));
        assert_eq!((figure.max, figure.max_bound), (2.0, Some(Bound::Lower)));
        assert_eq!(bounded_figure(&[]), None);
        assert!(bounded_figure(&[at_least(1.0); 8]).unwrap().interval.is_none());
    }

    proptest! {
        #[test]
        fn the_true_median_lies_on_the_side_that_is_told(
            values in prop::collection::vec((1.0..100.0f64, 0..3, 0.0..1.0f64), 1..12)
        ) {
            let shown: Vec<Bounded> = values.iter().map(|(value, kind, _)| match kind {
                0 => exact(*value),
                1 => at_least(*value),
                _ => at_most(*value, value / 2.0),
            }).collect();
            let truth: Vec<f64> = values.iter().map(|(value, kind, far)| match kind {
                0 => *value,
                1 => value * (1.0 + 9.0 * far),
                _ => value * (1.0 - far / 2.0),
            }).collect();
            let (told, truth) = (bounded_figure(&shown).unwrap(), median(&truth).unwrap());
            match told.bound {
                None => prop_assert!((told.median - truth).abs() < 1e-9),
                Some(Bound::Lower) => prop_assert!(truth >= told.median - 1e-9),
                Some(Bound::Upper) => prop_assert!(truth <= told.median + 1e-9),
            }
        }
    }
}
