//! Tells a latency that drifts within the window from one that only varies.
//!
//! Each half of the window is cut into blocks of equal length. A percentile of each block is one observation. The latency drifts
//! if nearly every block of one half lies above nearly every block of the other, and the halves differ by enough to matter. A
//! few stalls, however long, change few blocks, so they are no drift.

use crate::num;
use crate::result::latency::{KeptInterval, Measure, new_histogram};
use crate::stats;
use hdrhistogram::Histogram;

/// Blocks of each half of the window.
const HALF_BLOCKS: usize = 10;
/// Least number of blocks of each half in which something was acked.
const HALF_BLOCKS_MIN: usize = 8;
/// Least share of the pairs, one block from each half, that agree on which half is slower. Of equal halves without memory, fewer
/// than one in a thousand reach it.
const PAIRS_MIN: f64 = 0.95;
/// Least factor between the medians of the halves, and least difference, ns.
const FACTOR_MIN: f64 = 1.25;
const DIFFERENCE_NS_MIN: f64 = 100_000.0;
/// The percentiles that are looked at.
const LOOKED_AT: [(&str, f64); 2] = [("p99", 0.99), ("p50", 0.5)];

/// A latency that drifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::judge) struct Drift {
    /// The percentile.
    pub(in crate::judge) name: &'static str,
    /// The median of this percentile over the blocks of the first half, ns.
    pub(in crate::judge) first_ns: u64,
    /// The median of this percentile over the blocks of the second half, ns.
    pub(in crate::judge) second_ns: u64,
}

/// Returns the drift of the latency that the target alone caused (`own`) over a window of `window_s`. `None` if it does not
/// drift, or if too little was recorded to tell.
pub(in crate::judge) fn of(kept: &[KeptInterval], window_s: f64) -> Option<Drift> {
    let blocks = blocks(kept, window_s);
    LOOKED_AT.into_iter().find_map(|(name, quantile)| {
        let values = |half: &[Histogram<u64>]| -> Vec<f64> {
            let acked = half.iter().filter(|block| !block.is_empty());
            acked.map(|block| num::f64_of(block.value_at_quantile(quantile))).collect()
        };
        let (first, second) = blocks.split_at(HALF_BLOCKS);
        let (first, second) = (values(first), values(second));
        let (first_ns, second_ns) = (stats::median(&first)?, stats::median(&second)?);
        differ(&first, &second).then_some(Drift {
            name,
            first_ns: num::u64_of(first_ns),
            second_ns: num::u64_of(second_ns),
        })
    })
}

/// Returns the latencies of each block of the window. An interval belongs to the block in which its middle lies.
fn blocks(kept: &[KeptInterval], window_s: f64) -> Vec<Histogram<u64>> {
    let mut blocks: Vec<Histogram<u64>> = (0..2 * HALF_BLOCKS).map(|_| new_histogram()).collect();
    for interval in kept {
        let middle = (interval.start_s + interval.length_s / 2.0) / window_s;
        if !(0.0..1.0).contains(&middle) {
            continue;
        }
        let block = num::u64_of((middle * num::f64_of(num::count(blocks.len()))).floor());
        let own = interval.histogram(Measure::Own);
        if let (Some(own), Ok(block)) = (own, usize::try_from(block)) {
            blocks[block].add(&own).expect("every histogram here has the same bounds");
        }
    }
    blocks
}

/// Whether the values of one half lie nearly all above those of the other, by enough to matter.
fn differ(first: &[f64], second: &[f64]) -> bool {
    let is_enough = first.len().min(second.len()) >= HALF_BLOCKS_MIN;
    let (Some(one), Some(other)) = (stats::median(first), stats::median(second)) else { return false };
    let (low, high) = (one.min(other), one.max(other));
    if !is_enough || high < FACTOR_MIN * low || high - low < DIFFERENCE_NS_MIN {
        return false;
    }
    let pairs = || first.iter().flat_map(|a| second.iter().map(move |b| (a, b)));
    let rising = pairs().filter(|(a, b)| a < b).count();
    let falling = pairs().filter(|(a, b)| a > b).count();
    num::f64_of(num::count(rising.max(falling))) >= PAIRS_MIN * num::f64_of(num::count(pairs().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Intervals of 0.1 s over a window of 10 s, each with records of the latency that `ns_at` gives for its middle.
    fn kept(ns_at: impl Fn(f64) -> u64) -> Vec<KeptInterval> {
        let interval = |index: u32| {
            let start_s = f64::from(index) * 0.1;
            let mut histogram = new_histogram();
            histogram.record_n(ns_at(start_s + 0.05), 100).unwrap();
            let mut kept = KeptInterval::empty(start_s, 0.1);
            kept.set(Measure::Own, &histogram);
            kept
        };
        // The last interval is that of the drain.
        (0..101).map(interval).collect()
    }

    #[test]
    fn a_latency_that_rises_or_falls_is_told_with_both_halves() {
        let rising = of(&kept(|t_s| 1_000_000 + num::u64_of(t_s * 900_000.0)), 10.0).unwrap();
        assert_eq!(rising.name, "p99");
        assert!((3.0e6..3.6e6).contains(&num::f64_of(rising.first_ns)), "{rising:?}");
        assert!((7.4e6..8.2e6).contains(&num::f64_of(rising.second_ns)), "{rising:?}");
        let step = kept(|t_s| if t_s < 5.0 { 4_000_000 } else { 1_000_000 });
        assert!(of(&step, 10.0).is_some_and(|drift| drift.first_ns > drift.second_ns));
    }

    #[test]
    fn small_differences_single_stalls_and_short_windows_are_no_drift() {
        assert_eq!(of(&kept(|t_s| 1_000_000 + num::u64_of(t_s * 20_000.0)), 10.0), None, "a fifth");
        assert_eq!(of(&kept(|t_s| 10_000 + num::u64_of(t_s * 9_000.0)), 10.0), None, "less than 100 µs");
        assert_eq!(
            of(&kept(|t_s| if (6.0..8.0).contains(&t_s) { 900_000_000 } else { 1_000_000 }), 10.0),
            None
        );
        assert_eq!(of(&kept(|_| 1_000_000)[..14], 10.0), None, "most of the window is missing");
        assert_eq!(of(&[], 10.0), None);
    }
}
