//! Writes like those of a trial: their sizes, depth and files, the way they are synced, and the share that overwrites.
//!
//! A [`Deck`] deals the writes one after the other. Sizes and kinds are spread evenly over time by an additive sequence in
//! two dimensions. So a slice of a few hundred writes has nearly the same mix as a trial of a million. The writes of a group
//! come one after the other, as a log sends what it commits together: a group that had to wait for other writes between its own
//! would make the disk idle.

use super::flushes::GroupSizes;
use super::ring::Direction;
use super::slice::{Order, Step};
use super::{BLOCK_ALIGN_BYTES, BUFFER_BYTES_MAX, DeviceError, Extent, FILES_MAX};
use crate::num;
use crate::workload::Io;

/// Largest depth of a replay.
pub const REPLAY_DEPTH_MAX: u32 = 4096;
/// Largest write of a replay in bytes.
pub(super) const REPLAY_WRITE_BYTES_MAX: u32 = 8 << 20;

/// Steps of the additive sequence in two dimensions: 1/p and 1/p² for the plastic number p, for which p³ = p + 1.
const STEP_SIZE: f64 = 0.754_877_666_246_692_7;
const STEP_KIND: f64 = 0.569_840_290_998_053_3;

/// The way in which the writes of a replay become durable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReplaySync {
    /// Not at all: a write counts when it has completed.
    None,
    /// A write counts when it has completed. Beside the writes there are flushes that none of them waits for.
    Background {
        /// Mean bytes written between two flushes.
        every_bytes: u64,
    },
    /// Each write carries `RWF_DSYNC`.
    Each,
    /// A share of the writes forms groups, and each group has one flush. The other writes carry `RWF_DSYNC`.
    Groups {
        /// Share of the writes that are in groups, 0 to 1. These are the smallest writes, and all of them overwrite.
        share: f64,
        /// Mean number of writes of a group.
        writes_mean: f64,
    },
}

impl ReplaySync {
    /// Whether each write is durable when it counts.
    pub const fn is_durable(self) -> bool {
        matches!(self, Self::Each | Self::Groups { .. })
    }
}

/// The writes of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Sizes of the writes in bytes, each with its number, ascending. Sizes are multiples of [`BLOCK_ALIGN_BYTES`].
    pub sizes: Vec<(u32, u64)>,
    /// Mean number of writes in flight, at least 1. The number varies between the two next integers. A write that only waits for
    /// its flush is not in flight.
    pub depth: f64,
    /// Number of files that the writes use in turn.
    pub files: u32,
    /// Share of the writes that cover written extents, 0 to 1.
    pub overwrites: f64,
    /// The state of the extents that the other writes cover: [`Extent::Fallocated`] or [`Extent::Extending`].
    pub fresh: Extent,
    /// The way in which the writes become durable.
    pub sync: ReplaySync,
    /// Direct or buffered I/O.
    pub io: Io,
}

impl Replay {
    /// Returns the sizes of writes, from pairs of bytes and number. Sizes are rounded up to [`BLOCK_ALIGN_BYTES`], and cut
    /// at `REPLAY_WRITE_BYTES_MAX`.
    pub fn sizes_of(counted: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u32, u64)> {
        let mut sizes = std::collections::BTreeMap::<u32, u64>::new();
        for (bytes, count) in counted.into_iter().filter(|(bytes, count)| *bytes > 0 && *count > 0) {
            let size = bytes.next_multiple_of(u64::from(BLOCK_ALIGN_BYTES));
            let size = u32::try_from(size).unwrap_or(u32::MAX).min(REPLAY_WRITE_BYTES_MAX);
            *sizes.entry(size).or_default() += count;
        }
        sizes.into_iter().collect()
    }

    /// Returns the mean size of a write in bytes.
    pub fn bytes_mean(&self) -> f64 {
        let writes: u64 = self.sizes.iter().map(|(_, count)| count).sum();
        let bytes: f64 = self.sizes.iter().map(|(size, count)| f64::from(*size) * num::f64_of(*count)).sum();
        bytes / num::f64_of(writes.max(1))
    }

    /// Returns the size of the largest write in bytes.
    pub(super) fn bytes_max(&self) -> u32 {
        self.sizes.last().map_or(BLOCK_ALIGN_BYTES, |(size, _)| *size)
    }

    /// Returns the largest number of writes that have begun and are not durable: those in flight, and for groups one that is being
    /// flushed and one that waits for its flush.
    pub(super) fn unfinished_max(&self) -> u32 {
        let waiting = match self.sync {
            ReplaySync::Groups { writes_mean, .. } => 2.0 * writes_mean.ceil(),
            ReplaySync::None | ReplaySync::Background { .. } | ReplaySync::Each => 0.0,
        };
        let writes = num::u64_of(self.depth.ceil() + waiting).clamp(1, u64::from(REPLAY_DEPTH_MAX));
        u32::try_from(writes).unwrap_or(REPLAY_DEPTH_MAX)
    }

    /// Returns the number of buffers: one for each unfinished write, or fewer where that would be too much memory.
    pub(super) fn buffers(&self) -> u32 {
        let most = BUFFER_BYTES_MAX / u64::from(self.bytes_max());
        self.unfinished_max().min(u32::try_from(most).unwrap_or(u32::MAX)).max(1)
    }

    /// Returns the mean bytes written between two flushes that no write waits for; `None` without such flushes.
    pub const fn background_bytes(&self) -> Option<u64> {
        match self.sync {
            ReplaySync::Background { every_bytes } => Some(every_bytes),
            ReplaySync::None | ReplaySync::Each | ReplaySync::Groups { .. } => None,
        }
    }

    /// Returns an error for writes that cannot be replayed.
    pub fn validate(&self) -> Result<(), DeviceError> {
        let refuse = |reason: &str| Err(DeviceError::Spec { reason: reason.to_owned() });
        let is_size =
            |size: u32| size > 0 && size.is_multiple_of(BLOCK_ALIGN_BYTES) && size <= REPLAY_WRITE_BYTES_MAX;
        if self.sizes.is_empty() || !self.sizes.iter().all(|(size, count)| is_size(*size) && *count > 0) {
            return refuse("the writes have no sizes, or a size that is no multiple of 4 KiB up to 8 MiB");
        }
        if !self.sizes.is_sorted_by(|(a, _), (b, _)| a < b) {
            return refuse("the sizes of the writes are not ascending");
        }
        if !(1.0..=f64::from(REPLAY_DEPTH_MAX)).contains(&self.depth) {
            return refuse("the depth of the writes is below 1 or above 4096");
        }
        if !(1..=FILES_MAX).contains(&self.files) {
            return refuse("the number of files is not between 1 and 1024");
        }
        if !(0.0..=1.0).contains(&self.overwrites) || self.fresh == Extent::Overwrite {
            return refuse("the kinds of extents make no sense");
        }
        if self.sync == (ReplaySync::Background { every_bytes: 0 }) {
            return refuse("the flushes beside the writes have no bytes between them");
        }
        Ok(())
    }

    /// Whether writes over written extents, and writes over other extents, are among them.
    pub(super) fn extents(&self) -> (bool, bool) {
        let grouped = self.grouped();
        (self.overwrites > 0.0 || grouped > 0.0, self.overwrites.max(grouped) < 1.0)
    }

    /// Mean number of writes of a group; 1 without groups.
    fn group_writes_mean(&self) -> f64 {
        match self.sync {
            ReplaySync::Groups { writes_mean, .. } => writes_mean,
            ReplaySync::None | ReplaySync::Background { .. } | ReplaySync::Each => 1.0,
        }
    }

    fn grouped(&self) -> f64 {
        match self.sync {
            ReplaySync::Groups { share, .. } => share.clamp(0.0, 1.0),
            ReplaySync::None | ReplaySync::Background { .. } | ReplaySync::Each => 0.0,
        }
    }
}

/// The files of one kind of extents: a range of the lap's files, each with the position of its next write.
#[derive(Debug)]
struct Files {
    /// Index of the first file in the lap's files.
    first: usize,
    /// Position of the next write of each file.
    positions: Vec<u64>,
    /// File of the next write.
    next: usize,
    /// Whether a file that is full begins again.
    is_endless: bool,
}

impl Files {
    fn new(first: usize, count: usize, is_endless: bool) -> Self {
        Self { first, positions: vec![0; count], next: 0, is_endless }
    }

    /// Returns the file and position of the next write; `None` if its file is full.
    fn place(&mut self, length: u32, file_bytes: u64) -> Option<(usize, u64)> {
        let count = self.positions.len();
        let position = self.positions.get_mut(self.next)?;
        if *position + u64::from(length) > file_bytes {
            if !self.is_endless {
                return None;
            }
            *position = 0;
        }
        let place = (self.first + self.next, *position);
        *position += u64::from(length);
        self.next = (self.next + 1) % count;
        Some(place)
    }
}

/// Deals the writes of a replay.
#[derive(Debug)]
pub(super) struct Deck {
    /// Each size, with the share of the writes that are at most that large.
    sizes: Vec<(u32, f64)>,
    grouped: f64,
    groups: GroupSizes,
    /// Writes that the current group still takes.
    left_in_group: usize,
    /// Number of writes outside of groups that are due before the next group.
    alone_due: f64,
    /// Share of the writes outside of groups that overwrite.
    overwrites: f64,
    alone: Direction,
    written: Files,
    fresh: Files,
    file_bytes: u64,
    /// Writes dealt outside of groups, and in groups.
    dealt: [u64; 2],
}

impl Deck {
    /// Makes the deck. In a lap, the files with written extents come before the others.
    pub(super) fn new(replay: &Replay, file_bytes: u64) -> Self {
        let total = num::f64_of(replay.sizes.iter().map(|(_, count)| count).sum());
        let mut below = 0;
        let sizes = replay.sizes.iter().map(|(size, count)| {
            below += count;
            (*size, num::f64_of(below) / total)
        });
        let (has_written, has_fresh) = replay.extents();
        let count = |has: bool| if has { num::index(replay.files) } else { 0 };
        let grouped = replay.grouped();
        let rest = 1.0 - grouped;
        Self {
            sizes: sizes.collect(),
            grouped,
            groups: GroupSizes::new(replay.group_writes_mean()),
            left_in_group: 0,
            alone_due: 0.0,
            overwrites: if rest > 0.0 { ((replay.overwrites - grouped) / rest).clamp(0.0, 1.0) } else { 1.0 },
            alone: if replay.sync.is_durable() { Direction::WriteDsync } else { Direction::Write },
            written: Files::new(0, count(has_written), replay.io == Io::Direct),
            fresh: Files::new(count(has_written), count(has_fresh), false),
            file_bytes,
            dealt: [0; 2],
        }
    }

    /// Whether the next write belongs to a group.
    fn is_next_grouped(&self) -> bool {
        let begins_group = self.grouped > 0.0 && (self.alone_due < 1.0 || self.grouped >= 1.0);
        self.left_in_group > 0 || begins_group
    }

    /// Counts a write that was dealt.
    fn count(&mut self, is_grouped: bool) {
        self.dealt[usize::from(is_grouped)] += 1;
        if !is_grouped {
            self.alone_due -= 1.0;
            return;
        }
        if self.left_in_group == 0 {
            self.left_in_group = self.groups.next_size();
        }
        self.left_in_group -= 1;
        self.alone_due += (1.0 - self.grouped) / self.grouped;
    }

    /// Begins again at the start of every file that takes each block once, because the next lap has fresh ones.
    pub(super) fn begin_lap(&mut self) {
        for files in [&mut self.written, &mut self.fresh] {
            if !files.is_endless {
                files.positions.fill(0);
            }
        }
    }
}

impl Order for Deck {
    fn next(&mut self) -> Option<Step> {
        let is_grouped = self.is_next_grouped();
        let number = num::f64_of(self.dealt[usize::from(is_grouped)] + 1);
        let (by_size, by_kind) = ((number * STEP_SIZE).fract(), (number * STEP_KIND).fract());
        // The smallest writes are in groups.
        let by_size =
            if is_grouped { by_size * self.grouped } else { self.grouped + by_size * (1.0 - self.grouped) };
        let found = self.sizes.iter().find(|(_, below)| by_size < *below).or(self.sizes.last());
        let length = found.map(|(size, _)| *size)?;
        let files = match is_grouped || by_kind < self.overwrites {
            true => &mut self.written,
            false => &mut self.fresh,
        };
        let (file, position) = files.place(length, self.file_bytes)?;
        self.count(is_grouped);
        let direction = if is_grouped { Direction::Write } else { self.alone };
        Some(Step { file, position, length, direction, is_grouped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replay() -> Replay {
        Replay {
            sizes: vec![(4096, 60), (16384, 30), (1 << 20, 10)],
            depth: 4.0,
            files: 3,
            overwrites: 0.75,
            fresh: Extent::Fallocated,
            sync: ReplaySync::Groups { share: 0.5, writes_mean: 8.0 },
            io: Io::Direct,
        }
    }

    proptest! {
        #[test]
        fn the_mix_of_few_writes_is_that_of_the_trial(
            counts in prop::collection::vec(1u64..1000, 1..6), overwrites in 0.0f64..1.0, share in 0.0f64..1.0,
        ) {
            let sizes = counts.iter().enumerate().map(|(at, count)| (4096 << at, *count)).collect();
            let overwrites = overwrites.max(share);
            let sync = ReplaySync::Groups { share, writes_mean: 4.0 };
            let replay = Replay { sizes, overwrites, sync, ..replay() };
            let mut deck = Deck::new(&replay, 1 << 30);
            let dealt: Vec<Step> = (0..1000).map_while(|_| deck.next()).collect();
            prop_assert_eq!(dealt.len(), 1000);
            let share_of = |is: &dyn Fn(&Step) -> bool| dealt.iter().filter(|step| is(step)).count() as f64 / 1000.0;
            let total: u64 = counts.iter().sum();
            for (size, count) in &replay.sizes {
                let wanted = *count as f64 / total as f64;
                prop_assert!((share_of(&|step| step.length == *size) - wanted).abs() < 0.02);
            }
            prop_assert!((share_of(&|step| step.is_grouped) - share).abs() < 0.02);
            let (has_written, _) = replay.extents();
            let written = if has_written { 3 } else { 0 };
            prop_assert!((share_of(&|step| step.file < written) - overwrites).abs() < 0.04);
            prop_assert!(dealt.iter().all(|step| !step.is_grouped || step.file < written));
            prop_assert!(dealt.iter().all(|step| step.is_grouped == (step.direction == Direction::Write)));
        }
    }

    #[test]
    fn the_writes_of_a_group_come_one_after_the_other() {
        let sync = ReplaySync::Groups { share: 0.6, writes_mean: 2.5 };
        let mut deck = Deck::new(&Replay { sync, ..replay() }, 1 << 30);
        let kinds: Vec<bool> = (0..100).map_while(|_| deck.next()).map(|step| step.is_grouped).collect();
        // Groups of 3 and 2 writes in turn. Each grouped write makes two thirds of a write alone due.
        assert_eq!(kinds[..9], [true, true, true, false, false, true, true, false, true]);
        let grouped = kinds.iter().filter(|is_grouped| **is_grouped).count();
        assert!((59..=61).contains(&grouped), "{grouped}");
    }

    #[test]
    fn files_take_turns_and_only_written_ones_begin_again() {
        let one = Replay { sizes: vec![(4096, 1)], overwrites: 0.0, sync: ReplaySync::None, ..replay() };
        let mut deck = Deck::new(&one, 2 * 4096);
        let places: Vec<_> = std::iter::from_fn(|| deck.next()).map(|it| (it.file, it.position)).collect();
        assert_eq!(places, [(0, 0), (1, 0), (2, 0), (0, 4096), (1, 4096), (2, 4096)]);
        deck.begin_lap();
        assert_eq!(deck.next().map(|it| (it.file, it.position)), Some((0, 0)));
        let mut deck = Deck::new(&Replay { overwrites: 1.0, ..one }, 2 * 4096);
        let places: Vec<_> = (0..7).map_while(|_| deck.next()).map(|it| (it.file, it.position)).collect();
        assert_eq!(places[6], (0, 0));
    }

    #[test]
    fn sizes_are_whole_blocks_and_writes_share_buffers_only_where_memory_is_short() {
        assert_eq!(Replay::sizes_of([(0, 4), (1, 2), (4096, 3), (5000, 1)]), [(4096, 5), (8192, 1)]);
        assert_eq!((replay().unfinished_max(), replay().buffers()), (20, 20));
        let deep = Replay { depth: 600.0, ..replay() };
        assert_eq!((deep.unfinished_max(), deep.buffers()), (616, 256));
        assert!(replay().validate().is_ok());
        assert!(Replay { depth: 0.5, ..replay() }.validate().is_err());
        assert!(Replay { sizes: vec![(4097, 1)], ..replay() }.validate().is_err());
        assert!(Replay { sizes: Vec::new(), ..replay() }.validate().is_err());
        let background = |every_bytes| Replay { sync: ReplaySync::Background { every_bytes }, ..replay() };
        assert!(background(0).validate().is_err() && background(1).validate().is_ok());
    }
}
