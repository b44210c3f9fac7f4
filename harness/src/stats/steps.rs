//! The price of each step along a setting: the ratio of a figure between neighbouring values, with its interval.
//!
//! The steps are declared before the measurement, and no best one is picked. So each interval is Student's t interval of the mean
//! log ratio of paired trials. Its level is divided by the number of steps (Bonferroni), so that all of them hold together.

use super::CONFIDENCE;
use super::log_ratios::{LogRatios, median_ratio, student_point};
use super::remaining::BLOCKS_MIN;
use crate::num;
use crate::result::Interval;

/// The trials at both ends of a step, by block.
#[derive(Debug, Clone)]
pub struct StepTrials {
    /// Trials in time at the first value, and at the next.
    pub in_time: [Vec<f64>; 2],
    /// First attempts at the first value, and at the next, late ones included.
    pub first: [Vec<f64>; 2],
}

/// The price of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Ratio of the figure at the next value to that at the first: geometric mean over their common blocks.
    pub ratio: f64,
    /// Interval of the ratio; `None` below [`BLOCKS_MIN`] blocks.
    pub interval: Option<Interval>,
    /// Blocks that have both values.
    pub blocks: usize,
    /// Whether the interval excludes 1, but the median ratio of first attempts lies on its other side.
    pub is_contradicted: bool,
}

/// Returns the price of each step; `None` where no block has both values.
pub fn steps(trials: &[StepTrials]) -> Vec<Option<Step>> {
    let level = (1.0 - CONFIDENCE) / num::f64_of(num::count(trials.len().max(1)));
    trials.iter().map(|it| step(it, level)).collect()
}

fn step(trials: &StepTrials, level: f64) -> Option<Step> {
    let [from, to] = &trials.in_time;
    let log = LogRatios::of(to, from)?;
    let errors = (log.blocks >= BLOCKS_MIN).then(|| student_point(log.blocks, level / 2.0));
    let interval = errors.flatten().and_then(|errors| log.interval(errors, CONFIDENCE));
    let side = |ratio: f64| ratio.partial_cmp(&1.0);
    let excludes = interval.is_some_and(|it| side(it.low) == side(it.high));
    let first = median_ratio(&trials.first[1], &trials.first[0]);
    let ratio = log.mean.exp();
    let is_contradicted = excludes && first.and_then(side) != side(ratio);
    Some(Step { ratio, interval, blocks: log.blocks, is_contradicted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(in_time: [Vec<f64>; 2]) -> StepTrials {
        StepTrials { first: in_time.clone(), in_time }
    }

    fn twice(blocks: usize) -> StepTrials {
        let from: Vec<f64> = (0..blocks).map(|block| 100.0 + block as f64).collect();
        let to = from.iter().zip([1.9, 2.1].iter().cycle()).map(|(value, ratio)| value * ratio).collect();
        of([from, to])
    }

    #[test]
    fn a_step_has_its_ratio_and_an_interval_that_holds_it() {
        let step = steps(&[twice(10)])[0].unwrap();
        let interval = step.interval.unwrap();
        assert!((step.ratio - 2.0).abs() < 0.01 && interval.low > 1.8 && interval.high < 2.2, "{step:?}");
        assert!(interval.low < step.ratio && step.ratio < interval.high && !step.is_contradicted);
        let many = steps(&vec![twice(10); 12])[0].unwrap().interval.unwrap();
        assert!(many.low < interval.low && many.high > interval.high, "more steps, wider intervals");
    }

    #[test]
    fn below_eight_blocks_there_is_no_interval_and_without_common_blocks_no_step() {
        let few = steps(&[twice(7)])[0].unwrap();
        assert_eq!((few.interval, few.blocks), (None, 7));
        assert_eq!(steps(&[of([vec![1.0, f64::NAN], vec![f64::NAN, 1.0]])]), [None]);
    }

    #[test]
    fn first_attempts_on_the_other_side_contradict_a_step() {
        let mut step = twice(10);
        step.first.reverse();
        assert!(steps(&[step])[0].unwrap().is_contradicted);
    }
}
