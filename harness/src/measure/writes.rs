//! The sizes and the depth of a trial's writes, from the counters of its shards.

use super::shards::ShardStats;
use crate::num;
use std::collections::BTreeMap;

/// Figures of a trial's writes over all its shards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteFigures {
    /// Number of writes of each size, as pairs of bytes and number, ascending by bytes.
    pub sizes: Vec<(u64, u64)>,
    /// Median bytes of a write.
    pub bytes_p50: Option<u64>,
    /// Writes in flight of a shard, as a mean over the time in which it has any.
    pub depth_mean: Option<f64>,
    /// Sum of the mean depths of all shards. It is the depth of the device while all shards write.
    pub depth_sum: Option<f64>,
    /// Fraction of the writes that were to extents written before, 0 to 1.
    pub overwrites: f64,
    /// Fraction of the writes that shared a flush, 0 to 1.
    pub shared: f64,
    /// Mean number of writes that one flush covered; `None` if no writes shared one.
    pub shared_writes_mean: Option<f64>,
}

impl WriteFigures {
    /// Computes the figures from each shard's counters over the window.
    pub fn of(shards: &[ShardStats]) -> Self {
        let mut sizes = BTreeMap::<u64, u64>::new();
        for (bytes, count) in shards.iter().flat_map(|shard| &shard.write_sizes) {
            *sizes.entry(*bytes).or_default() += count;
        }
        let sizes: Vec<(u64, u64)> = sizes.into_iter().collect();
        let sum = |of: fn(&ShardStats) -> u64| shards.iter().map(of).sum::<u64>();
        let share = |part: u64| num::f64_of(part) / num::f64_of(sum(|shard| shard.writes).max(1));
        let depths = shards.iter().filter_map(|shard| mean_depth(shard.write_depth_ns, shard.write_busy_ns));
        let (shared, flushes) = (sum(|shard| shard.shared), sum(|shard| shard.shared_flushes));
        Self {
            bytes_p50: median_of(sizes.clone()),
            sizes,
            depth_mean: mean_depth(sum(|shard| shard.write_depth_ns), sum(|shard| shard.write_busy_ns)),
            depth_sum: depths.reduce(|sum, depth| sum + depth),
            overwrites: share(sum(|shard| shard.overwrites)),
            shared: share(shared),
            shared_writes_mean: (shared > 0).then(|| num::f64_of(shared) / num::f64_of(flushes.max(1))),
        }
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
    fn the_writes_of_several_shards_are_added_up_and_their_depths_too() {
        let shard = |writes, depth_ns, shared, shared_flushes| ShardStats {
            writes,
            write_sizes: vec![(4096, writes)],
            write_busy_ns: 100,
            write_depth_ns: depth_ns,
            overwrites: writes,
            shared,
            shared_flushes,
            ..ShardStats::default()
        };
        let figures =
            WriteFigures::of(&[shard(60, 400, 30, 3), shard(40, 200, 20, 2), ShardStats::default()]);
        assert_eq!(figures.sizes, [(4096, 100)]);
        assert_eq!((figures.depth_mean, figures.depth_sum), (Some(3.0), Some(6.0)));
        assert_eq!((figures.overwrites, figures.shared), (1.0, 0.5));
        assert_eq!(figures.shared_writes_mean, Some(10.0));
        assert_eq!(WriteFigures::of(&[ShardStats::default()]).depth_sum, None);
    }

    #[test]
    fn a_median_of_counts_is_where_half_of_them_is_reached() {
        assert_eq!(median_of(vec![]), None);
        assert_eq!(median_of(vec![(4096, 0)]), None);
        assert_eq!(median_of(vec![(262_144, 90), (4096, 10)]), Some(262_144));
        assert_eq!(median_of(vec![(4096, 5), (8192, 5)]), Some(4096));
    }
}
