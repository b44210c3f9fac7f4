//! The plan for one partition.

use super::{Change, PartitionRepair, Removed, RepairError, Step, Steps};
use crate::error::{DiskError, DiskOp};
use crate::log::checkpoint::{self, Checkpoint};
use crate::num::usize_of;
use crate::segment;
use crate::verify::{DamagedFrom, Walked, Window};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A boot id that no boot has. Recovery then does not know which writes were in flight.
const BOOT_UNKNOWN: u64 = 0;

/// The changes of one partition, before they become steps.
struct Work<'a> {
    walked: &'a Walked,
    /// Directory to which files are moved.
    to: PathBuf,
    /// Base offsets of the segments that are moved away.
    moved: BTreeSet<i64>,
    cut: Option<Cut>,
    removed: Removed,
}

/// A segment that keeps its first bytes.
struct Cut {
    base_offset: i64,
    path: PathBuf,
    position: u64,
    file_bytes: u64,
    /// End of the bytes behind the cut that are not zero.
    data_end: u64,
    /// Leader epoch of the first batch.
    epoch: i32,
}

/// Plans the repair of a partition. Returns `None` if there is nothing to repair.
pub(super) fn plan(walked: &Walked, steps: &mut Steps<'_>) -> Result<Option<PartitionRepair>, RepairError> {
    let Some(damage) = walked.report.damage else { return Ok(None) };
    let report = &walked.report;
    let no_files = walked.no_files.iter().map(|base| segment::log_path(&walked.dir, *base));
    let mut changes: Vec<Change> = no_files.map(|path| Change::NoFileMoved { path }).collect();
    if let Some(to) = walked.holes.raised_start {
        changes.push(Change::StartRaised { from: report.log_start_offset, to });
    }
    if let Some(DamagedFrom { segment, position, offset }) = walked.holes.cut {
        let path = segment::log_path(&walked.dir, segment);
        changes.push(Change::Cut { path, position, offset });
    }
    let path = if walked.is_checkpoint_refused {
        changes.push(Change::CheckpointWritten);
        checkpoint::checkpoint_path(&walked.dir)
    } else {
        segment::log_path(&walked.dir, damage.segment)
    };
    let mut work = Work::of(walked, steps)?;
    work.count()?;
    let has_removed = work.takes_away();
    if has_removed {
        refuse_other_file_system(steps.data_dir, &walked.dir)?;
    }
    work.put_steps(steps);
    Ok(Some(PartitionRepair {
        topic: report.topic.clone(),
        partition: report.partition,
        path,
        damage: Some(damage),
        changes,
        removed: has_removed.then_some(work.removed),
    }))
}

/// Plans to make the directory of a partition. A file of that name is moved away.
pub(super) fn make(dir: &Path, topic: String, partition: u32, steps: &mut Steps<'_>) -> PartitionRepair {
    let mut removed = None;
    if let Ok(metadata) = std::fs::symlink_metadata(dir) {
        let to = steps.removed_dir.to_path_buf();
        steps.make_removed_dir(&to);
        steps.move_into(dir.to_path_buf(), &to);
        removed = Some(Removed { to, segments: 0, bytes: metadata.len(), records: 0, offsets: None });
    }
    steps.push(Step::MakeDirectory { path: dir.to_path_buf() });
    let changes = vec![Change::DirectoryMade];
    PartitionRepair { topic, partition, path: dir.to_path_buf(), damage: None, changes, removed }
}

impl<'a> Work<'a> {
    fn of(walked: &'a Walked, steps: &Steps<'_>) -> Result<Self, DiskError> {
        let holes = &walked.holes;
        let log_start_offset = walked.report.log_start_offset;
        let mut moved: BTreeSet<i64> = holes.lost.iter().copied().collect();
        let bases = || walked.segments.iter().copied();
        if let Some(to) = holes.raised_start {
            moved.extend(bases().filter(|base| (log_start_offset..to).contains(base)));
        }
        let mut cut = None;
        if let Some(DamagedFrom { segment, position, .. }) = holes.cut {
            moved.extend(bases().filter(|base| *base > segment || (position == 0 && *base == segment)));
            if position > 0 {
                cut = Some(Cut::read(&walked.dir, segment, position)?);
            }
        }
        let name = walked.dir.file_name().unwrap_or_default();
        let to = steps.removed_dir.join(name);
        let removed = Removed { to: to.clone(), segments: moved.len(), bytes: 0, records: 0, offsets: None };
        Ok(Self { walked, to, moved, cut, removed })
    }

    /// Counts the bytes and records that are moved away.
    fn count(&mut self) -> Result<(), DiskError> {
        let cut_offset = self.walked.holes.cut.map(|cut| cut.offset);
        if let Some(cut) = &self.cut {
            let mut window = Window::open(&cut.path)?;
            let offset_min = cut_offset.unwrap_or(cut.base_offset);
            add(&mut self.removed, &mut window, cut.position..cut.data_end, offset_min)?;
        }
        for base_offset in self.moved.iter().copied() {
            let mut window = Window::open(&segment::log_path(&self.walked.dir, base_offset))?;
            let end = window.file_bytes;
            let offset_min = cut_offset.filter(|cut| *cut <= base_offset).unwrap_or(base_offset);
            add(&mut self.removed, &mut window, 0..end, offset_min)?;
        }
        Ok(())
    }

    /// Adds the steps. Bytes are copied before they are cut off, and the segment next to the cut moves last.
    fn put_steps(&self, steps: &mut Steps<'_>) {
        let dir = &self.walked.dir;
        if self.takes_away() {
            steps.make_removed_dir(&self.to);
        }
        if let Some(cut) = self.cut.as_ref().filter(|cut| cut.has_tail()) {
            let name = format!("{:020}.log.from-{}", cut.base_offset, cut.position);
            let (from, bytes) = (cut.path.clone(), cut.position..cut.file_bytes);
            steps.push(Step::Copy { from, bytes, to: self.to.join(name) });
        }
        for base_offset in self.walked.no_files.iter().copied() {
            steps.move_into(segment::log_path(dir, base_offset), &self.to);
        }
        for base_offset in self.moved.iter().rev().copied() {
            // The segment moves before its indexes: an index without a segment is harmless, but a segment without an
            // index is not sealed.
            steps.move_into(segment::log_path(dir, base_offset), &self.to);
            for path in index_paths(dir, base_offset) {
                steps.move_into(path, &self.to);
            }
        }
        if let Some(cut) = self.cut.as_ref().filter(|cut| cut.is_shortened()) {
            steps.push(Step::Truncate { path: cut.path.clone(), bytes: cut.position });
        }
        let parts = slots(self.checkpoint());
        steps.push(Step::Overwrite { path: checkpoint::checkpoint_path(dir), parts });
        for path in self.stale_indexes() {
            steps.move_into(path, &self.to);
        }
    }

    /// Whether any file or part of a file is moved away.
    fn takes_away(&self) -> bool {
        let has_tail = self.cut.as_ref().is_some_and(Cut::has_tail);
        let has_whole = !self.moved.is_empty() || !self.walked.no_files.is_empty();
        has_tail || has_whole || !self.stale_indexes().is_empty()
    }

    /// Returns the indexes of the segment that is cut. They have entries for batches that it no longer holds.
    fn stale_indexes(&self) -> Vec<PathBuf> {
        let cut = self.cut.as_ref().filter(|cut| cut.is_shortened());
        cut.map_or_else(Vec::new, |cut| index_paths(&self.walked.dir, cut.base_offset))
    }

    /// Returns the checkpoint for the next open, which then scans and seals the segment that was cut.
    fn checkpoint(&self) -> Checkpoint {
        let Walked { checkpoint, report, holes, .. } = self.walked;
        let sealed_to = match checkpoint {
            Some(checkpoint) => checkpoint.recovery_offset,
            None => self.walked.recovery_offset.min(report.log_end_offset),
        };
        let raised = holes.raised_start.unwrap_or(i64::MIN);
        let mut log_start_offset = report.log_start_offset.max(raised);
        let mut recovery_offset = sealed_to.max(raised);
        if let Some(cut) = holes.cut {
            log_start_offset = log_start_offset.min(cut.offset);
            // The segment that is cut is no longer sealed.
            let end = if self.cut.is_some() { cut.segment } else { cut.offset };
            recovery_offset = recovery_offset.min(end);
        }
        // A scan refuses batches of a lower epoch than the checkpoint's.
        let epoch = match (checkpoint, &self.cut) {
            (Some(checkpoint), Some(cut)) => checkpoint.epoch.min(cut.epoch),
            (Some(checkpoint), None) => checkpoint.epoch,
            (None, cut) => cut.as_ref().map_or(i32::MIN, |cut| cut.epoch),
        };
        Checkpoint {
            sequence: checkpoint.map_or(0, |checkpoint| checkpoint.sequence) + 1,
            recovery_offset,
            log_start_offset,
            in_flight_bytes_max: checkpoint.map_or(0, |checkpoint| checkpoint.in_flight_bytes_max),
            boot_id: checkpoint.map_or(BOOT_UNKNOWN, |checkpoint| checkpoint.boot_id),
            epoch,
        }
    }
}

impl Cut {
    fn read(dir: &Path, base_offset: i64, position: u64) -> Result<Self, DiskError> {
        let path = segment::log_path(dir, base_offset);
        let mut window = Window::open(&path)?;
        let data_end = window.data_end(position)?;
        let epoch = match window.batch(0)? {
            Some(Ok(found)) => found.header.partition_leader_epoch,
            _ => i32::MIN,
        };
        Ok(Self { base_offset, position, file_bytes: window.file_bytes, data_end, epoch, path })
    }

    /// Whether the file becomes shorter.
    const fn is_shortened(&self) -> bool {
        self.position < self.file_bytes
    }

    /// Whether any byte behind the cut is not zero.
    const fn has_tail(&self) -> bool {
        self.position < self.data_end
    }
}

/// Adds the bytes in `range` of a file, and their records of offset `offset_min` or above.
fn add(
    removed: &mut Removed,
    window: &mut Window,
    range: std::ops::Range<u64>,
    offset_min: i64,
) -> Result<(), DiskError> {
    let (start, end) = (range.start, range.end);
    let counted = window.count(start..window.file_bytes, offset_min)?;
    // A batch may end with zeros.
    removed.bytes += end.max(counted.end) - start;
    removed.records += counted.records;
    if let Some((from, to)) = counted.offsets {
        let (first, last) = removed.offsets.unwrap_or((from, to));
        removed.offsets = Some((first.min(from), last.max(to)));
    }
    Ok(())
}

/// Returns both slots of a checkpoint file in the order in which they are written: the slot of the older checkpoint is
/// first.
fn slots(first: Checkpoint) -> Vec<(u64, Vec<u8>)> {
    let second = Checkpoint { sequence: first.sequence + 1, ..first };
    let slot = |checkpoint: Checkpoint| {
        let mut bytes = checkpoint.encode().to_vec();
        bytes.resize(usize_of(checkpoint::SLOT_BYTES), 0);
        ((checkpoint.sequence % 2) * checkpoint::SLOT_BYTES, bytes)
    };
    vec![slot(first), slot(second)]
}

/// Returns the index files of a segment that exist.
fn index_paths(dir: &Path, base_offset: i64) -> Vec<PathBuf> {
    let paths = [segment::index_path(dir, base_offset), segment::time_index_path(dir, base_offset)];
    paths.into_iter().filter(|path| path.symlink_metadata().is_ok()).collect()
}

fn refuse_other_file_system(data_dir: &Path, dir: &Path) -> Result<(), RepairError> {
    let device = |path: &Path| {
        let metadata = std::fs::metadata(path);
        metadata.map(|it| it.dev()).map_err(|error| DiskError::new(DiskOp::Open, path, 0, error))
    };
    if device(data_dir)? == device(dir)? {
        return Ok(());
    }
    Err(RepairError::OtherFileSystem { path: dir.to_path_buf() })
}
