//! Replays a partition of the internal topic: its records are applied in order, past all damage.

use crate::error::DiskError;
use crate::group::{GroupConfig, Groups, OFFSETS_TOPIC, partition_of_group};
use crate::record::{BatchError, BatchHeader, Compression, RecordBatch};
use crate::segment;
use crate::verify::found::{Found, FoundPartition};
use crate::verify::partition::Walked;
use crate::verify::report::{DefectKind, Findings};
use crate::verify::window::Window;
use std::path::{Path, PathBuf};

/// The groups of one partition of the internal topic.
pub(in crate::verify) struct Stored {
    /// Number of the partition.
    pub(super) partition: u32,
    /// The partition's directory.
    pub(super) dir: PathBuf,
    /// The groups, as the log replays them.
    pub(super) groups: Groups,
}

/// One segment that is replayed.
struct Replay<'a, 'f> {
    path: &'a Path,
    window: Window,
    /// First offset that the log holds, and the offset at which it ends.
    offsets: (i64, i64),
    groups: &'a mut Groups,
    found: &'a Found<'a>,
    findings: &'a mut Findings<'f>,
}

/// Replays a partition that was read. Reports each record that cannot be decoded, and passes it over. Offsets of an earlier topic
/// of the same name are passed over as well. Reports the groups that belong to another partition, if the number of partitions is
/// known.
///
/// # Errors
/// Reading failed.
pub(in crate::verify) fn replay(
    walked: &Walked,
    (found, partition): (&Found<'_>, &FoundPartition<'_>),
    findings: &mut Findings<'_>,
) -> Result<Stored, DiskError> {
    let mut groups = Groups::new(GroupConfig::default());
    let offsets = (walked.report.log_start_offset, walked.report.log_end_offset);
    for (index, base_offset) in walked.segments.iter().copied().enumerate() {
        let is_deleted = walked.segments.get(index + 1).is_some_and(|next| *next <= offsets.0);
        if is_deleted || base_offset >= offsets.1 {
            continue;
        }
        let path = segment::log_path(&walked.dir, base_offset);
        let window = Window::open(&path)?;
        Replay { path: &path, window, offsets, groups: &mut groups, found, findings }.run(base_offset)?;
    }
    let stored = Stored { partition: walked.report.partition, dir: walked.dir.clone(), groups };
    if let Some(partitions) = found.partitions_of(partition) {
        check_places(&stored, partitions, findings);
    }
    Ok(stored)
}

/// Reports the groups whose id names another partition. Their coordinator is there, and never sees these records.
fn check_places(stored: &Stored, partitions: u32, findings: &mut Findings<'_>) {
    for group in stored.groups.ids() {
        let place = partition_of_group(group, partitions);
        if place != stored.partition {
            let message = format!(
                "group {group} lies in partition {} of {OFFSETS_TOPIC}, and belongs to partition {place}: no coordinator \
                 serves what is stored here",
                stored.partition
            );
            findings.defect(DefectKind::GroupMisplaced, &stored.dir, 0, message);
        }
    }
}

impl Replay<'_, '_> {
    /// Applies the records of every whole batch up to the log's end.
    fn run(&mut self, base_offset: i64) -> Result<(), DiskError> {
        let (mut position, mut next_offset) = (0, base_offset);
        while next_offset < self.offsets.1 {
            match self.window.batch(position)? {
                None => break,
                Some(Ok(found)) => {
                    self.apply(position, &found.header)?;
                    position += found.header.total_bytes() as u64;
                    next_offset = found.header.next_offset();
                }
                // The walk has reported the damage.
                Some(Err(_)) => match self.window.find_batch(position + 1, next_offset, i32::MIN)? {
                    Some((found, _)) => position = found,
                    None => break,
                },
            }
        }
        Ok(())
    }

    /// Applies the records of the batch at `position`.
    fn apply(&mut self, position: u64, header: &BatchHeader) -> Result<(), DiskError> {
        let bytes = self.window.at(position, header.total_bytes())?;
        let batch = RecordBatch::parse(bytes).expect("the window has parsed this batch before");
        if header.compression() != Compression::None {
            let message = refused(header.base_offset, &BatchError::Compressed(header.compression()));
            self.findings.defect(DefectKind::GroupRecord, self.path, position, message);
            return Ok(());
        }
        let (start, end) = self.offsets;
        // The walk has reported a record that the batch's format does not allow.
        for record in batch.records().map_while(Result::ok) {
            if !(start..end).contains(&record.offset) {
                continue;
            }
            let created_in = |topic: &str| self.found.created_in(topic);
            let epoch = header.partition_leader_epoch;
            let load = |key| self.groups.load_of_epoch(key, record.value, epoch, created_in);
            let message = match record.key.map(load) {
                Some(Ok(())) => continue,
                Some(Err(fault)) => refused(record.offset, &fault),
                None => refused(record.offset, &"it has no key"),
            };
            self.findings.defect(DefectKind::GroupRecord, self.path, position, message);
        }
        Ok(())
    }
}

fn refused(offset: i64, fault: &dyn std::fmt::Display) -> String {
    format!(
        "the record of offset {offset} is no record of a consumer group: {fault}. A damaged partition of this topic serves \
         no group"
    )
}
