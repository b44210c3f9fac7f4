//! The parts of a slice: the writes over written extents, and the writes over fresh ones. Each part is measured alone.
//!
//! A disk can take a mix of both kinds more slowly than either kind. A log that does one kind after the other would then be faster
//! than a slice of the mix, and that slice would be no ceiling.

use crate::device::{Replay, ReplaySync};
use crate::num;

/// Least share of the writes that a kind needs to be a part. A smaller share changes the ceiling less than two slices differ.
const SHARE_MIN: f64 = 0.02;

/// Returns the writes of `mix` by kind of extent: all that overwrite, and all others. A mix of one kind is one part.
pub(super) fn by_extent(mix: &Replay) -> Vec<Replay> {
    let (grouped, writes_mean) = match mix.sync {
        ReplaySync::Groups { share, writes_mean } => (share.clamp(0.0, 1.0), writes_mean),
        ReplaySync::None | ReplaySync::Background { .. } | ReplaySync::Each => (0.0, 1.0),
    };
    let overwriting = mix.overwrites.max(grouped);
    if overwriting < SHARE_MIN {
        return vec![Replay { overwrites: 0.0, ..mix.clone() }];
    }
    if overwriting > 1.0 - SHARE_MIN {
        return vec![Replay { overwrites: 1.0, ..mix.clone() }];
    }
    let (written, fresh) = split_sizes(&mix.sizes, grouped, (overwriting - grouped) / (1.0 - grouped));
    let groups = ReplaySync::Groups { share: grouped / overwriting, writes_mean };
    let alone = if mix.sync.is_durable() { ReplaySync::Each } else { mix.sync };
    let parts = [
        Replay {
            sizes: written,
            overwrites: 1.0,
            sync: if grouped > 0.0 { groups } else { alone },
            ..mix.clone()
        },
        Replay { sizes: fresh, overwrites: 0.0, sync: alone, ..mix.clone() },
    ];
    parts.into_iter().filter(|part| !part.sizes.is_empty()).collect()
}

/// Sizes of writes in bytes, each with its number.
type Sizes = Vec<(u32, u64)>;

/// Returns the number of writes that overwrite and of those that do not, by size. The smallest writes are in groups and overwrite; of
/// the others the share `overwrites` does. Numbers are scaled by 1000, so that a share of few writes is not lost.
fn split_sizes(sizes: &[(u32, u64)], grouped: f64, overwrites: f64) -> (Sizes, Sizes) {
    let total = num::f64_of(sizes.iter().map(|(_, count)| count).sum());
    let mut in_groups = grouped * total;
    let (mut written, mut fresh) = (Vec::new(), Vec::new());
    for (size, count) in sizes {
        let count = num::f64_of(*count);
        let with_group = in_groups.min(count);
        in_groups -= with_group;
        let over = with_group + (count - with_group) * overwrites;
        for (part, share) in [(&mut written, over), (&mut fresh, count - over)] {
            let scaled = num::u64_of((share * 1000.0).round());
            if scaled > 0 {
                part.push((*size, scaled));
            }
        }
    }
    (written, fresh)
}

/// Returns the bytes a second of all parts in turn: their bytes ÷ the sum of their times. Each part is given as its bytes and its
/// bytes a second.
pub(super) fn joined(parts: &[(f64, f64)]) -> f64 {
    let bytes: f64 = parts.iter().map(|(bytes, _)| bytes).sum();
    let seconds: f64 = parts.iter().map(|(bytes, per_s)| bytes / per_s).sum();
    bytes / seconds
}

/// Returns the bytes of all writes of a part.
pub(super) fn bytes_of(part: &Replay) -> f64 {
    part.sizes.iter().map(|(size, count)| f64::from(*size) * num::f64_of(*count)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Extent;
    use crate::workload::Io;
    use proptest::prelude::*;

    fn mix(sizes: &[(u32, u64)], overwrites: f64, sync: ReplaySync) -> Replay {
        let (sizes, fresh) = (sizes.to_vec(), Extent::Fallocated);
        Replay { sizes, depth: 4.0, files: 4, overwrites, fresh, sync, io: Io::Direct }
    }

    #[test]
    fn writes_of_one_kind_are_one_part() {
        for overwrites in [0.0, 0.01, 0.99, 1.0] {
            let one = mix(&[(4096, 7)], overwrites, ReplaySync::Each);
            assert_eq!(by_extent(&one), [Replay { overwrites: overwrites.round(), ..one.clone() }]);
        }
        let groups = ReplaySync::Groups { share: 1.0, writes_mean: 8.0 };
        assert_eq!(by_extent(&mix(&[(4096, 7)], 1.0, groups)).len(), 1);
    }

    #[test]
    fn the_smallest_writes_are_in_groups_and_overwrite() {
        let groups = ReplaySync::Groups { share: 0.5, writes_mean: 8.0 };
        let parts = by_extent(&mix(&[(4096, 60), (16384, 40)], 0.75, groups));
        assert_eq!(parts[0].sizes, [(4096, 55_000), (16384, 20_000)]);
        assert_eq!(parts[1].sizes, [(4096, 5_000), (16384, 20_000)]);
        let groups_alone = ReplaySync::Groups { share: 0.5 / 0.75, writes_mean: 8.0 };
        assert_eq!((parts[0].sync, parts[1].sync), (groups_alone, ReplaySync::Each));
        assert_eq!((parts[0].overwrites, parts[1].overwrites), (1.0, 0.0));
        assert!(parts.iter().all(|part| part.validate().is_ok()));
    }

    #[test]
    fn parts_are_joined_by_their_times() {
        // 1 s for 300 bytes and 3 s for 100 bytes.
        assert!((joined(&[(300.0, 300.0), (100.0, 100.0 / 3.0)]) - 100.0).abs() < 1e-9);
        assert!((joined(&[(5.0, 7.0)]) - 7.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn both_parts_together_are_the_mix(
            counts in prop::collection::vec(1u64..1000, 1..6), overwrites in 0.02f64..0.98, share in 0.0f64..0.9,
        ) {
            let sizes: Vec<_> = counts.iter().enumerate().map(|(at, count)| (4096 << at, *count)).collect();
            let sync = ReplaySync::Groups { share, writes_mean: 4.0 };
            let whole = mix(&sizes, overwrites.max(share), sync);
            let parts = by_extent(&whole);
            let bytes: f64 = parts.iter().map(bytes_of).sum();
            let tolerance = 2.0 * f64::from(4096_u32 << 5);
            prop_assert!((bytes - 1000.0 * bytes_of(&whole)).abs() <= tolerance * 6.0);
            let writes = |part: &Replay| num::f64_of(part.sizes.iter().map(|(_, count)| count).sum());
            let over = writes(&parts[0]) / parts.iter().map(writes).sum::<f64>();
            prop_assert!((over - whole.overwrites).abs() < 0.01, "{over} {whole:?}");
        }
    }
}
