//! Means, variances and Student's t, on which intervals of paired and unpaired values rest.

use crate::num;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// Returns the value that Student's t with `freedom` degrees of freedom exceeds with a probability of `beyond`. Infinite where there
/// are no degrees of freedom.
pub(super) fn exceeded_with(beyond: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(1.0 - beyond))
}

/// Returns the mean; not a number if there is no value.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / count(values)
}

/// Returns the variance of the values around their mean, with n − 1 degrees of freedom; not a number with fewer than two values.
pub(super) fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count(values) - 1.0)
}

/// Returns the number of values.
pub(super) fn count(values: &[f64]) -> f64 {
    num::f64_of(num::count(values.len()))
}
