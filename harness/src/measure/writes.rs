//! The sizes and the depth of a trial's writes, from the counters of its shards.

use super::shards::ShardStats;
use crate::num;

/// Figures of a trial's writes over all its shards.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WriteFigures {
    /// Median bytes of a write.
    pub bytes_p50: Option<u64>,
    /// Writes in flight of a shard, as a mean over the time in which it has any.
    pub depth_mean: Option<f64>,
    /// Fraction of the writes that were to extents written before, 0 to 1.
    pub overwrites: f64,
}

impl WriteFigures {
    /// Computes the figures from each shard's counters over the window.
    pub fn of(shards: &[ShardStats]) -> Self {
        let sizes: Vec<(u64, u64)> =
            shards.iter().flat_map(|shard| shard.write_sizes.iter().copied()).collect();
        let writes: u64 = shards.iter().map(|shard| shard.writes).sum();
        let depth_ns = shards.iter().map(|shard| shard.write_depth_ns).sum();
        let busy_ns = shards.iter().map(|shard| shard.write_busy_ns).sum();
        let depth_mean = mean_depth(depth_ns, busy_ns);
        let overwrites: u64 = shards.iter().map(|shard| shard.overwrites).sum();
        let overwrites = num::f64_of(overwrites) / num::f64_of(writes.max(1));
        Self { bytes_p50: median_of(sizes), depth_mean, overwrites }
    }
}

/// Returns the mean number of writes in flight while there are any; `None` if there never were.
pub fn mean_depth(depth_ns: u64, busy_ns: u64) -> Option<f64> {
    (busy_ns > 0).then(|| num::f64_of(depth_ns) / num::f64_of(busy_ns))
}

/// Returns the median of values that are given as pairs of value and number; `None` without values.
pub fn median_of(mut counts: Vec<(u64, u64)>) -> Option<u64> {
    counts.sort_unstable();
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let mut below = 0;
    counts
        .into_iter()
        .find(|(_, count)| {
            below += count;
            below * 2 >= total && *count > 0
        })
        .map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_of_counts_is_where_half_of_them_is_reached() {
        assert_eq!(median_of(vec![]), None);
        assert_eq!(median_of(vec![(4096, 0)]), None);
        assert_eq!(median_of(vec![(262_144, 90), (4096, 10)]), Some(262_144));
        assert_eq!(median_of(vec![(4096, 5), (8192, 5)]), Some(4096));
    }
}
