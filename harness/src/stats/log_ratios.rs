//! Logarithms of the ratios of two settings, over the blocks in which both have a value.

use super::student::{count, exceeded_with, mean, variance};
use crate::num;
use crate::result::Interval;

/// Mean and standard error of the logarithms of the ratios.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LogRatios {
    /// Blocks in which both settings have a value.
    pub(super) blocks: usize,
    /// Mean of the logarithms.
    pub(super) mean: f64,
    /// Standard error of the mean; `None` with one block, which shows no spread.
    pub(super) standard_error: Option<f64>,
}

impl LogRatios {
    /// Returns the ratios of `one` to `other`; `None` if no block has both.
    pub(super) fn of(one: &[f64], other: &[f64]) -> Option<Self> {
        let logs = logs(one, other);
        let blocks = logs.len();
        let standard_error = (blocks >= 2).then(|| (variance(&logs) / count(&logs)).sqrt());
        (blocks > 0).then(|| Self { blocks, mean: mean(&logs), standard_error })
    }

    /// Returns the interval of the ratio that reaches `errors` standard errors to both sides.
    pub(super) fn interval(&self, errors: f64, confidence: f64) -> Option<Interval> {
        let half = errors * self.standard_error?;
        Some(Interval { low: (self.mean - half).exp(), high: (self.mean + half).exp(), confidence })
    }
}

/// Returns the middle ratio of `one` to `other`; `None` if no block has both.
pub(super) fn median_ratio(one: &[f64], other: &[f64]) -> Option<f64> {
    super::median(&logs(one, other)).map(f64::exp)
}

/// Returns the value that Student's t of this many blocks exceeds with a probability of `beyond`.
pub(super) fn student_point(blocks: usize, beyond: f64) -> Option<f64> {
    let freedom = num::f64_of(num::count(blocks.checked_sub(1)?));
    (freedom > 0.0).then(|| exceeded_with(beyond, freedom))
}

/// Returns the logarithm of the ratio in each block that has both values. Only positive values have one.
fn logs(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(a, b)| (a / b).ln()).filter(|log| log.is_finite()).collect()
}
