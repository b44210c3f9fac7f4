//! The settings that remain: which settings of a sweep are ruled out as the best one, and by how much the others are worse.
//!
//! Trials are paired by block. All settings of a block were measured one after another, so drift changes all of them alike.
//! The settings are compared by the logarithms of their ratios within a block.
//!
//! A setting is ruled out if the best-looking one beats it by more than c standard errors of their own mean log ratio. The
//! best-looking one is chosen after looking at the data, and it is compared with all others. So c is the 95 % point of this
//! very statistic over 40,000 draws of equal settings (`constants`). Of twenty sweeps over equal settings, one rules a setting
//! out.

mod constants;
#[cfg(test)]
mod draws;

use super::log_ratios::{LogRatios, median_ratio, student_point};
use super::{CONFIDENCE, median};
use crate::num;
use crate::result::Interval;
use constants::CONSTANTS;

/// The least number of blocks for an answer. With fewer, nothing is ruled out.
pub const BLOCKS_MIN: usize = 8;
/// The least number of settings in the table of constants.
const SETTINGS_MIN: usize = 2;
/// The chance with which the least difference is found.
pub const SIGHT_CHANCE: f64 = 0.95;
/// The value that a normal variable stays below with the chance [`SIGHT_CHANCE`].
const SIGHT_ERRORS: f64 = 1.645;

/// The better end of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    More,
    /// Less is better.
    Less,
}

/// The answer of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Remaining {
    /// Index of the best-looking setting.
    pub best: usize,
    /// Comparison of each setting with the best-looking one. `None` for that one itself, and where no block has both.
    pub others: Vec<Option<Against>>,
    /// The least difference that these blocks can see. `None` with a single setting, and where no two blocks show a spread.
    pub sight: Option<Sight>,
}

/// The comparison of a setting with the best-looking one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Against {
    /// Ratio of the setting to the best-looking one: geometric mean over their common blocks.
    pub ratio: f64,
    /// Interval of the ratio: c standard errors to both sides. `None` below [`BLOCKS_MIN`] blocks. The intervals of all settings
    /// hold together at the stated confidence.
    pub interval: Option<Interval>,
    /// Blocks that have both settings.
    pub blocks: usize,
    /// The conclusion.
    pub standing: Standing,
}

/// The conclusion on a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The setting is not the best one.
    RuledOut,
    /// The setting may be the best one.
    Remains,
    /// The interval rules the setting out, but over first attempts the setting does not look worse. So it remains.
    Contradicted,
    /// Too few blocks: nothing can be ruled out.
    TooFewBlocks,
}

/// The least difference that a sweep rules a setting out for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    /// The difference: 0.1 for a ratio of 1.1. A setting that is worse by this much is ruled out with the chance
    /// [`SIGHT_CHANCE`].
    pub difference: f64,
    /// Number of blocks that see it. If fewer blocks were measured than an answer needs, these are [`BLOCKS_MIN`].
    pub blocks: usize,
}

/// Returns the settings that remain; `None` if no setting has a value.
///
/// `trials[setting][block]` must be positive to be counted. `first` are the first attempts at the same trials, late ones
/// included.
pub fn remaining(trials: &[Vec<f64>], first: &[Vec<f64>], better: Better) -> Option<Remaining> {
    let best = best_looking(trials, better)?;
    let settings = trials.iter().filter(|it| it.iter().any(|value| is_counted(*value))).count();
    let against = |setting: usize| {
        let log = LogRatios::of(&trials[setting], &trials[best]).filter(|_| setting != best)?;
        Some((setting, log))
    };
    let logs: Vec<Option<(usize, LogRatios)>> = (0..trials.len()).map(against).collect();
    let compared = |(setting, log): (usize, LogRatios)| {
        let first_ratio = median_ratio(first.get(setting)?, first.get(best)?);
        Some(judged(log, settings, first_ratio, better))
    };
    Some(Remaining {
        best,
        others: logs.iter().map(|log| log.and_then(compared)).collect(),
        sight: sight(logs.iter().flatten().map(|(_, log)| *log), settings),
    })
}

/// Returns the index of the setting with the greatest sum of mean log ratios to all others, each over the common blocks. With a
/// value in every block this is the setting with the best geometric mean.
fn best_looking(trials: &[Vec<f64>], better: Better) -> Option<usize> {
    let sign = if better == Better::More { 1.0 } else { -1.0 };
    let score = |setting: usize| {
        let ratio = |other: &Vec<f64>| LogRatios::of(&trials[setting], other).map_or(0.0, |log| log.mean);
        sign * trials.iter().map(ratio).sum::<f64>()
    };
    let has_value = |setting: &usize| trials[*setting].iter().any(|value| is_counted(*value));
    // Of equal settings, the first one.
    (0..trials.len()).filter(has_value).rev().max_by(|a, b| score(*a).total_cmp(&score(*b)))
}

fn is_counted(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

/// Judges a setting by its log ratios to the best-looking one.
fn judged(log: LogRatios, settings: usize, first_ratio: Option<f64>, better: Better) -> Against {
    let (ratio, blocks) = (log.mean.exp(), log.blocks);
    let interval = constant(settings, blocks).and_then(|errors| log.interval(errors, CONFIDENCE));
    let is_worse = |ratio: f64| if better == Better::More { ratio < 1.0 } else { ratio > 1.0 };
    let standing = match interval {
        None => Standing::TooFewBlocks,
        Some(it) if !(is_worse(it.low) && is_worse(it.high)) => Standing::Remains,
        Some(_) if first_ratio.is_some_and(is_worse) => Standing::RuledOut,
        Some(_) => Standing::Contradicted,
    };
    Against { ratio, interval, blocks, standing }
}

/// Returns c for so many settings and blocks; `None` below [`BLOCKS_MIN`] blocks. Above the table's last block, c of that block
/// is a little too large. Above its last setting, every ordered pair of settings counts as a comparison of its own, which is a
/// bound.
fn constant(settings: usize, blocks: usize) -> Option<f64> {
    let row = settings.max(SETTINGS_MIN) - SETTINGS_MIN;
    let column = blocks.checked_sub(BLOCKS_MIN)?;
    match CONSTANTS.get(row) {
        Some(row) => row.get(column).or(row.last()).copied(),
        None => {
            let pairs = num::f64_of(num::count(settings * (settings - 1)));
            student_point(blocks, (1.0 - CONFIDENCE) / pairs)
        }
    }
}

/// Returns the least difference for the middle spread of some comparisons.
///
/// A setting that is worse by δ standard errors has a t that lies above c with a chance of about
/// Φ((δ (1 − 1 ÷ 4ν) − c) ÷ √(1 + c² ÷ 2ν)), where ν is the number of blocks less one. That is the usual approximation of the
/// noncentral t distribution (Abramowitz and Stegun, 26.7.10).
fn sight(logs: impl Iterator<Item = LogRatios> + Clone, settings: usize) -> Option<Sight> {
    let blocks = logs.clone().map(|log| log.blocks).max()?.max(BLOCKS_MIN);
    let count = |blocks: usize| num::f64_of(num::count(blocks));
    let deviation = |log: LogRatios| Some(log.standard_error? * count(log.blocks).sqrt());
    let error = median(&logs.filter_map(deviation).collect::<Vec<_>>())? / count(blocks).sqrt();
    let (errors, freedom) = (constant(settings, blocks)?, count(blocks) - 1.0);
    let spread = (1.0 + errors.powi(2) / (2.0 * freedom)).sqrt();
    let least_errors = (errors + SIGHT_ERRORS * spread) / (1.0 - 1.0 / (4.0 * freedom));
    Some(Sight { difference: (least_errors * error).exp_m1(), blocks })
}

#[cfg(test)]
mod tests;
