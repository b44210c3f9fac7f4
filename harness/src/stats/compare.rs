//! Comparison of settings: the effect with its interval comes first, and only then a word for the difference.
//!
//! Trials are paired by block: the n-th trials of all settings were made in the same block of the random order, so that
//! drift changes all of them alike. Student's t test is applied to the logarithms of their ratios.
//!
//! The best setting is chosen after looking at the data. So every pair of settings counts as a comparison in Holm's
//! correction. Then the chance of one false claim or more is at most 1 − [`CONFIDENCE`], no matter which setting is
//! chosen.
//!
//! Holm, S. (1979): A simple sequentially rejective multiple test procedure. Scand. J. Statist. 6, 65–70.

use super::{CONFIDENCE, INTERVAL_TRIALS_MIN, sorted};
use crate::num;
use crate::result::Interval;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// Noise band, as a share: a difference is claimed only if its whole interval lies outside this band.
pub const NOISE_BAND: f64 = 0.02;

/// The comparison of one setting with another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Ratio of the first setting to the other: geometric mean over the paired trials.
    pub ratio: f64,
    /// Interval of the ratio, at the level that Holm's procedure leaves to this comparison. `None` below
    /// [`INTERVAL_TRIALS_MIN`] pairs.
    pub interval: Option<Interval>,
    /// Number of paired trials.
    pub pairs: usize,
    /// Number of comparisons that the interval is corrected for; 0 if there is no interval.
    pub comparisons: usize,
    /// The conclusion that these figures allow.
    pub standing: Standing,
}

/// The conclusion that a comparison allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The whole interval lies above the noise band.
    Above,
    /// The whole interval lies below the noise band.
    Below,
    /// The interval reaches into the noise band.
    NotToldApart,
    /// Too few trials for an interval, and the ranges have values in common.
    RangesOverlap,
    /// Too few trials for an interval; the ranges have no value in common.
    RangesApart,
}

/// Compares setting number `one` with every setting, in their order. The entry is `None` for `one` itself, and where no
/// trials can be paired.
///
/// `trials[setting][block]` must be positive to be counted. `band` is usually [`NOISE_BAND`].
pub fn against_each(trials: &[Vec<f64>], one: usize, band: f64) -> Vec<Option<Comparison>> {
    let all: Vec<Pair> = pairs(trials).collect();
    let levels = holm(&all.iter().map(|pair| pair.p(band)).collect::<Vec<_>>());
    let comparisons = all.iter().filter(|pair| pair.log.se.is_some()).count();
    (0..trials.len())
        .map(|other| {
            let (low, high) = (one.min(other), one.max(other));
            let index = all.iter().position(|pair| (pair.one, pair.other) == (low, high))?;
            let log = if one == low { all[index].log } else { all[index].log.reversed() };
            let (interval, standing) = match log.interval(levels[index]) {
                Some(interval) => (Some(interval), standing(interval, band)),
                None => (None, by_range(&trials[one], &trials[other])),
            };
            let comparisons = if interval.is_some() { comparisons } else { 0 };
            Some(Comparison { ratio: log.mean.exp(), interval, pairs: log.pairs, comparisons, standing })
        })
        .collect()
}

/// Returns the geometric mean of the ratios of `one` to `other` over their blocks; `None` if none can be paired.
pub fn paired_ratio(one: &[f64], other: &[f64]) -> Option<f64> {
    LogRatios::of(one, other).map(|log| log.mean.exp())
}

/// A pair of settings; index `one` is smaller than `other`.
struct Pair {
    one: usize,
    other: usize,
    log: LogRatios,
}

/// Statistics of the logarithms of the paired ratios.
#[derive(Clone, Copy)]
struct LogRatios {
    pairs: usize,
    mean: f64,
    /// Standard error of the mean; `None` below [`INTERVAL_TRIALS_MIN`] pairs.
    se: Option<f64>,
}

fn pairs(trials: &[Vec<f64>]) -> impl Iterator<Item = Pair> + '_ {
    let numbers = (0..trials.len()).flat_map(|one| (one + 1..trials.len()).map(move |other| (one, other)));
    numbers.filter_map(|(one, other)| {
        Some(Pair { one, other, log: LogRatios::of(&trials[one], &trials[other])? })
    })
}

impl LogRatios {
    fn of(one: &[f64], other: &[f64]) -> Option<Self> {
        let logs: Vec<f64> =
            one.iter().zip(other).map(|(a, b)| (a / b).ln()).filter(|log| log.is_finite()).collect();
        let count = num::f64_of(num::count(logs.len()));
        let mean = logs.iter().sum::<f64>() / count;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let se = (logs.len() >= INTERVAL_TRIALS_MIN).then(|| (variance / count).sqrt());
        (!logs.is_empty()).then_some(Self { pairs: logs.len(), mean, se })
    }

    fn reversed(self) -> Self {
        Self { mean: -self.mean, ..self }
    }

    fn student(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, num::f64_of(num::count(self.pairs)) - 1.0).ok()
    }

    /// Returns the interval of the ratio at a two-sided level of significance.
    fn interval(&self, level: f64) -> Option<Interval> {
        let half = self.student()?.inverse_cdf(1.0 - level / 2.0) * self.se?;
        let (low, high) = ((self.mean - half).exp(), (self.mean + half).exp());
        Some(Interval { low, high, confidence: 1.0 - level })
    }
}

impl Pair {
    /// Returns the level at which the interval of this pair would just touch the noise band. Returns 1 if there is no
    /// such level.
    fn p(&self, band: f64) -> f64 {
        let beyond = self.log.mean.abs() - band.ln_1p();
        match (self.log.se, self.log.student()) {
            (Some(se), Some(student)) if beyond > 0.0 => 2.0 * student.sf(beyond / se),
            _ => 1.0,
        }
    }
}

/// Returns the level at which Holm's procedure tests each comparison. A comparison holds if its p is at most its level.
fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut levels = vec![1.0 - CONFIDENCE; p.len()];
    let mut left = p.len();
    for index in order {
        levels[index] = (1.0 - CONFIDENCE) / num::f64_of(num::count(left.max(1)));
        // After the first comparison that does not hold, `left` no longer falls: the rest are tested at the same level.
        if p[index] <= levels[index] {
            left -= 1;
        }
    }
    levels
}

fn standing(interval: Interval, band: f64) -> Standing {
    if interval.low > 1.0 + band {
        Standing::Above
    } else if interval.high < 1.0 / (1.0 + band) {
        Standing::Below
    } else {
        Standing::NotToldApart
    }
}

fn by_range(one: &[f64], other: &[f64]) -> Standing {
    let ends = |values: &[f64]| {
        let sorted = sorted(values);
        Some((*sorted.first()?, *sorted.last()?))
    };
    match (ends(one), ends(other)) {
        (Some(one), Some(other)) if one.0 > other.1 || other.0 > one.1 => Standing::RangesApart,
        _ => Standing::RangesOverlap,
    }
}

#[cfg(test)]
mod tests;
