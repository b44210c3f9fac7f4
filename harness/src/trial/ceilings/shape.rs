//! The shape of a trial's writes and reads: what the slices of the ceiling beside it replay.

use crate::device::{
    BLOCK_ALIGN_BYTES, CeilingSpec, Extent, FILES_MAX, REPLAY_DEPTH_MAX, Reap, Replay, ReplaySync, Work,
};
use crate::host::procfs::DiskCounters;
use crate::measure::finished::TrialRun;
use crate::measure::shards::ShardStats;
use crate::measure::writes::{WriteFigures, mean_depth};
use crate::num;
use crate::result::{GridCell, WriteShape};
use crate::workload::{Durability, Io, Preallocate, Workload};
use std::time::Duration;

/// Name of extents beyond the end of the file, in results.
const EXTENDING: &str = "extending";
/// Factor up to which mean sizes and depths of two shapes count as alike.
const FACTOR_ALIKE: f64 = 1.25;
/// Difference of two shares up to which they count as alike.
const SHARE_ALIKE: f64 = 0.25;
/// Factor up to which the bytes between two flushes count as alike. A window has few flushes, so their number varies by chance.
const FLUSHES_ALIKE: f64 = 2.0;

/// The reads of the slices as long as those of the trial are not known.
const READS_UNKNOWN: GridCell = GridCell { block_bytes: READ_BYTES_MAX, depth: 8 };
/// Most bytes of one read of the slices.
const READ_BYTES_MAX: u32 = 1 << 20;
/// Most reads of the slices that are in flight at the same time.
const READ_DEPTH_MAX: u32 = 64;

/// The writes and reads of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The writes.
    pub(super) write: Replay,
    /// The reads from the device; `None` if there are none.
    pub(super) read: Option<GridCell>,
}

impl Shape {
    /// The shape of the writes and reads of `run`, from the counters of its shards. `None` if the system has no counters, or if
    /// nothing was written.
    pub fn of(workload: &Workload, run: &TrialRun) -> Option<Self> {
        let writes = WriteFigures::of(&run.observed.shards);
        let io = workload.deployment().io;
        let disk = run.observed.host.as_ref().and_then(|host| host.disk);
        let sync = match workload.durability {
            Durability::Synced => writes.shared_writes_mean.map_or(ReplaySync::Each, |writes_mean| {
                ReplaySync::Groups { share: writes.shared, writes_mean }
            }),
            Durability::Appended | Durability::Written => unsynced(disk, io),
        };
        let write = Replay {
            sizes: Replay::sizes_of(writes.sizes),
            depth: writes.depth_sum?.clamp(1.0, f64::from(REPLAY_DEPTH_MAX)),
            files: u32::try_from(workload.partitions()).unwrap_or(FILES_MAX).min(FILES_MAX),
            overwrites: writes.overwrites.clamp(0.0, 1.0),
            fresh: match workload.log.preallocate {
                Preallocate::None => Extent::Extending,
                Preallocate::Auto | Preallocate::Fallocate | Preallocate::Recycle => Extent::Fallocated,
            },
            sync,
            io,
        };
        // A calibration has no backlog to read.
        let read = reads_of(&run.observed.shards).or(workload.backlog.is_some().then_some(READS_UNKNOWN));
        (!write.sizes.is_empty()).then_some(Self { write, read })
    }

    /// The slice of reads; `None` if the trial reads nothing from the device.
    pub(super) fn read_spec(&self, slice: Duration) -> Option<CeilingSpec> {
        let Replay { files, io, .. } = self.write;
        let GridCell { block_bytes, depth } = self.read?;
        Some(CeilingSpec { work: Work::Read, block_bytes, depth, files, io, reap: Reap::Wait, slice })
    }

    /// Whether slices of both shapes measure nearly the same reads.
    pub(super) fn reads_like(&self, other: &Self) -> bool {
        let is_near = |a: u32, b: u32| f64::from(a.max(b)) <= f64::from(a.min(b)) * FACTOR_ALIKE;
        match (self.read, other.read) {
            (Some(one), Some(other)) => {
                is_near(one.block_bytes, other.block_bytes) && is_near(one.depth, other.depth)
            }
            (one, other) => one == other,
        }
    }

    /// Whether slices of both shapes measure nearly the same writes: their sizes, depths, extents and flushes are alike.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (one, other) = (&self.write, &other.write);
        let is_near = |a: f64, b: f64| a.max(b) <= a.min(b) * FACTOR_ALIKE;
        let share = |a: f64, b: f64| (a - b).abs() <= SHARE_ALIKE;
        let shared = |replay: &Replay| match replay.sync {
            ReplaySync::Groups { share, .. } => share,
            ReplaySync::None | ReplaySync::Background { .. } | ReplaySync::Each => 0.0,
        };
        is_near(one.bytes_mean(), other.bytes_mean())
            && is_near(one.depth, other.depth)
            && share(one.overwrites, other.overwrites)
            && share(shared(one), shared(other))
            && match (one.background_bytes(), other.background_bytes()) {
                (Some(one), Some(other)) => {
                    num::f64_of(one.max(other)) <= num::f64_of(one.min(other)) * FLUSHES_ALIKE
                }
                (one, other) => one == other,
            }
    }

    /// The shape of the writes, as it stands in results.
    pub fn write_shape(&self) -> WriteShape {
        let Replay { sizes, depth, files, overwrites, fresh, sync, .. } = &self.write;
        let extent = match fresh {
            _ if *overwrites >= 0.5 => "overwrite",
            Extent::Extending => EXTENDING,
            Extent::Fallocated | Extent::Overwrite => "fallocated",
        };
        let (shared, shared_writes_mean) = match *sync {
            ReplaySync::Groups { share, writes_mean } => (share, Some(writes_mean)),
            ReplaySync::None | ReplaySync::Background { .. } | ReplaySync::Each => (0.0, None),
        };
        WriteShape {
            block_bytes: num::u64_of(self.write.bytes_mean()),
            sizes: sizes.clone(),
            depth: *depth,
            files: *files,
            extent: extent.to_owned(),
            overwrites: Some(*overwrites),
            dsync: sync.is_durable(),
            shared: Some(shared),
            shared_writes_mean,
            flush_every_bytes: self.write.background_bytes(),
        }
    }

    /// A shape for tests: writes of these sizes, one at a time, over written extents.
    #[cfg(test)]
    pub(super) fn of_sizes(sizes: &[(u32, u64)]) -> Self {
        let write = Replay {
            sizes: sizes.to_vec(),
            depth: 1.0,
            files: 1,
            overwrites: 1.0,
            fresh: Extent::Fallocated,
            sync: ReplaySync::Each,
            io: crate::workload::Io::Direct,
        };
        Self { write, read: None }
    }
}

/// Returns the flushes beside writes whose acks wait for none: as many as `disk` counted over the window. A log syncs the files that
/// it ends, and the file system its journal. Buffered slices end with a sync anyway.
fn unsynced(disk: Option<DiskCounters>, io: Io) -> ReplaySync {
    let every_bytes = disk.and_then(|disk| disk.written.checked_div(disk.flushes?));
    match every_bytes.filter(|bytes| *bytes > 0 && io == Io::Direct) {
        Some(every_bytes) => ReplaySync::Background { every_bytes },
        None => ReplaySync::None,
    }
}

/// Returns the mean size and depth of the reads of a trial, from the counters of its shards; `None` if it read nothing. Both are
/// rounded up, so that the slices are no slower for that.
fn reads_of(shards: &[ShardStats]) -> Option<GridCell> {
    let sum = |of: fn(&ShardStats) -> u64| shards.iter().map(of).sum::<u64>();
    let (bytes, count) = (sum(|shard| shard.read_bytes), sum(|shard| shard.reads));
    if bytes == 0 || count == 0 {
        return None;
    }
    let mean = u32::try_from(bytes.div_ceil(count)).unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX);
    let depths = shards.iter().filter_map(|shard| mean_depth(shard.read_depth_ns, shard.read_busy_ns));
    let depth = depths.sum::<f64>().ceil().clamp(1.0, f64::from(READ_DEPTH_MAX));
    Some(GridCell {
        block_bytes: mean.next_multiple_of(BLOCK_ALIGN_BYTES),
        depth: u32::try_from(num::u64_of(depth)).unwrap_or(READ_DEPTH_MAX),
    })
}

/// Returns the writes of a stored shape, to be replayed; `None` if the result is too old to hold their sizes.
pub fn replay_of(shape: &WriteShape, io: Io) -> Option<Replay> {
    let overwrites = shape.overwrites?;
    let sync = match (shape.dsync, shape.shared_writes_mean, shape.flush_every_bytes) {
        (false, _, None) => ReplaySync::None,
        (false, _, Some(every_bytes)) => ReplaySync::Background { every_bytes },
        (true, None, _) => ReplaySync::Each,
        (true, Some(writes_mean), _) => {
            ReplaySync::Groups { share: shape.shared.unwrap_or(0.0), writes_mean }
        }
    };
    let fresh = if shape.extent == EXTENDING { Extent::Extending } else { Extent::Fallocated };
    let (sizes, depth, files) = (shape.sizes.clone(), shape.depth, shape.files);
    let replay = Replay { sizes, depth, files, overwrites, fresh, sync, io };
    replay.validate().is_ok().then_some(replay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_alike_as_long_as_their_slices_measure_the_same() {
        let one = Shape::of_sizes(&[(4096, 1), (16384, 1)]);
        assert!(one.is_like(&Shape::of_sizes(&[(12288, 5)])), "10 and 12 KiB on average");
        assert!(!one.is_like(&Shape::of_sizes(&[(16384, 5)])));
        let with = |change: &dyn Fn(&mut Replay)| {
            let mut other = one.clone();
            change(&mut other.write);
            one.is_like(&other)
        };
        assert!(with(&|write| write.depth = 1.2));
        assert!(!with(&|write| write.depth = 1.3));
        assert!(!with(&|write| write.overwrites = 0.7));
        let groups = ReplaySync::Groups { share: 0.5, writes_mean: 9.0 };
        assert!(!with(&|write| write.sync = groups));
        let background = |every_bytes| {
            let mut shape = one.clone();
            shape.write.sync = ReplaySync::Background { every_bytes };
            shape
        };
        assert!(background(100).is_like(&background(200)) && !background(100).is_like(&background(201)));
        assert!(!background(100).is_like(&one) && !one.is_like(&background(100)));
    }

    #[test]
    fn unsynced_writes_have_the_flushes_that_the_device_counted() {
        let disk = |written, flushes| Some(DiskCounters { read: 0, written, flushes });
        let every = |every_bytes| ReplaySync::Background { every_bytes };
        assert_eq!(unsynced(disk(3000, Some(3)), Io::Direct), every(1000));
        assert_eq!(unsynced(disk(3000, Some(3)), Io::Buffered), ReplaySync::None);
        for none in [None, disk(3000, None), disk(3000, Some(0)), disk(2, Some(3))] {
            assert_eq!(unsynced(none, Io::Direct), ReplaySync::None, "{none:?}");
        }
    }

    #[test]
    fn slices_read_as_the_trial_did_over_all_its_shards() {
        let shard = |reads, read_bytes, depth: u64| ShardStats {
            reads,
            read_bytes,
            read_busy_ns: 1000,
            read_depth_ns: 1000 * depth,
            ..ShardStats::default()
        };
        let reads = reads_of(&[shard(10, 650_000, 2), shard(10, 650_000, 1)]);
        assert_eq!(reads, Some(GridCell { block_bytes: 65_536, depth: 3 }), "65,000 B in whole blocks");
        assert_eq!(reads_of(&[shard(0, 0, 0)]), None);
        let huge = reads_of(&[shard(1, 1 << 40, 100)]);
        assert_eq!(huge, Some(GridCell { block_bytes: READ_BYTES_MAX, depth: READ_DEPTH_MAX }));
        let like = |block_bytes, depth| Shape {
            read: Some(GridCell { block_bytes, depth }),
            ..Shape::of_sizes(&[(4096, 1)])
        };
        let one = like(65_536, 4);
        assert!(one.reads_like(&like(69_632, 5)) && !one.reads_like(&like(131_072, 4)));
        assert!(!one.reads_like(&like(65_536, 8)) && !one.reads_like(&Shape::of_sizes(&[(4096, 1)])));
        assert_eq!(
            like(65_536, 4).read_spec(Duration::from_secs(1)).map(|spec| spec.validate().is_ok()),
            Some(true)
        );
    }

    #[test]
    fn a_shape_in_a_result_names_what_was_replayed() {
        let mut shape = Shape::of_sizes(&[(4096, 3), (8192, 1)]);
        shape.write.sync = ReplaySync::Groups { share: 0.5, writes_mean: 9.0 };
        let written = shape.write_shape();
        assert_eq!((written.block_bytes, written.extent.as_str(), written.dsync), (5120, "overwrite", true));
        assert_eq!((written.shared, written.shared_writes_mean), (Some(0.5), Some(9.0)));
        assert_eq!(replay_of(&written, Io::Direct).as_ref(), Some(&shape.write), "it is replayed as it was");
        shape.write.overwrites = 0.2;
        assert_eq!(shape.write_shape().extent, "fallocated");
        shape.write.sync = ReplaySync::Background { every_bytes: 1 << 30 };
        let written = shape.write_shape();
        assert_eq!((written.dsync, written.flush_every_bytes), (false, Some(1 << 30)));
        assert_eq!(replay_of(&written, Io::Direct).as_ref(), Some(&shape.write));
        shape.write.fresh = Extent::Extending;
        assert_eq!(replay_of(&shape.write_shape(), Io::Direct), Some(shape.write));
        assert_eq!(replay_of(&WriteShape { sizes: Vec::new(), ..written }, Io::Direct), None);
    }
}
