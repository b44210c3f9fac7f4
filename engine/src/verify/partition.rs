//! Reads one partition: its checkpoint, its sealed segments, and what an unclean shutdown has left of the last ones.

use super::holes::{Holes, Segment};
use super::indexes::IndexCheck;
use super::names::PartitionFiles;
use super::report::{DefectKind, Findings, NoteKind, PartitionReport};
use super::segment::{Expected, SegmentWalk};
use crate::config::TopicConfig;
use crate::error::DiskError;
use crate::log::checkpoint::{self, Checkpoint, SlotFault};
use crate::segment;
use std::path::{Path, PathBuf};

/// The part of a log that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// The segments that are not sealed, which tell where the log ends. Without a checkpoint, all of it.
    End,
}

/// The facts from outside a partition that its files are checked against.
pub(super) struct PartitionContext<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: u32,
    pub(super) dir: &'a Path,
    pub(super) extent: Extent,
    /// The topic's configuration; `None` if the catalog cannot be read or does not have the topic.
    pub(super) config: Option<&'a TopicConfig>,
    /// Largest leader epoch of batches that may have been appended before the topic's durability became `synced`.
    pub(super) synced_after: i32,
    /// Largest possible leader epoch.
    pub(super) epoch_max: i32,
    /// Every record below this offset was durable; `i64::MIN` if nothing is known.
    pub(super) durable_to: i64,
    /// Whether an open has found the partition damaged.
    pub(super) was_damaged: bool,
    /// Id of the machine's current boot.
    pub(super) boot_id: u64,
}

/// The state of reading one partition.
pub(super) struct PartitionWalk<'a, 'f> {
    pub(super) context: &'a PartitionContext<'a>,
    pub(super) files: &'a PartitionFiles,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) findings: &'a mut Findings<'f>,
    pub(super) report: PartitionReport,
    /// The offset at which the next segment has to begin; `None` if it is not known.
    pub(super) end: Option<Expected<i64>>,
    pub(super) epoch: i32,
    pub(super) holes: Holes,
    /// Largest leader epoch of the checkpoint and of the batches that were read.
    pub(super) epoch_found: i32,
}

/// A partition after it was read, with all that a repair needs.
pub(crate) struct Walked {
    pub(crate) report: PartitionReport,
    pub(crate) dir: PathBuf,
    /// Whether the catalog can be read and names the partition.
    pub(crate) is_named: bool,
    /// The newest valid checkpoint; `None` if there is none, or if an open refuses it.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The offset below which every segment is sealed.
    pub(crate) recovery_offset: i64,
    /// Base offsets of all segments.
    pub(crate) segments: Vec<i64>,
    /// Base offsets of entries that have the name of a segment and are no files. An open cannot read them.
    pub(crate) no_files: Vec<i64>,
    pub(crate) holes: Holes,
    /// Largest leader epoch of the checkpoint and of the batches that were read.
    pub(crate) epoch_found: i32,
    /// Whether an open refuses the checkpoint.
    pub(crate) is_checkpoint_refused: bool,
}

/// Reads one partition and reports its faults.
pub(super) fn walk(
    context: &PartitionContext<'_>,
    files: &PartitionFiles,
    findings: &mut Findings<'_>,
) -> Result<Walked, DiskError> {
    let bytes = match super::read(&checkpoint::checkpoint_path(context.dir)) {
        // An open cannot read it either.
        Err(error) if error.source.kind() == std::io::ErrorKind::InvalidData => Err(error.source.to_string()),
        read => Ok(read?.unwrap_or_default()),
    };
    let newest = bytes.as_ref().ok().and_then(|bytes| newest_checkpoint(bytes, context, files, findings));
    let refusal = match &bytes {
        Err(fault) => Some(fault.as_str()),
        Ok(_) if newest.is_some_and(|newest| newest.sequence > checkpoint::SEQUENCE_MAX) => {
            Some("no log writes such a sequence number")
        }
        Ok(_) => None,
    };
    let checkpoint = newest.filter(|_| refusal.is_none());
    let log_start_offset = checkpoint
        .map_or_else(|| files.first_segment().unwrap_or(0), |checkpoint| checkpoint.log_start_offset);
    let report = PartitionReport {
        topic: context.topic.to_owned(),
        partition: context.partition,
        segments: 0,
        batches: 0,
        records: 0,
        bytes: 0,
        log_start_offset,
        log_end_offset: log_start_offset,
        unjudged_bytes: 0,
        damage: None,
    };
    let end = Some(Expected::new(log_start_offset));
    let epoch_found = checkpoint.map_or(i32::MIN, |checkpoint| checkpoint.epoch);
    let holes = Holes::default();
    let mut partition = PartitionWalk {
        context,
        files,
        checkpoint,
        findings,
        report,
        end,
        epoch: i32::MIN,
        holes,
        epoch_found,
    };
    if let Some(fault) = refusal {
        partition.report_refused_checkpoint(fault);
    }
    partition.walk()?;
    let recovery_offset = partition.recovery_offset();
    let PartitionWalk { mut report, mut holes, epoch_found, .. } = partition;
    holes.finish();
    if let Some(base_offset) = files.no_files.first() {
        holes.refuse(*base_offset);
    }
    report.damage = holes.first;
    Ok(Walked {
        report,
        dir: context.dir.to_path_buf(),
        is_named: context.config.is_some(),
        checkpoint,
        recovery_offset,
        segments: files.segments().collect(),
        no_files: files.no_files.clone(),
        holes,
        epoch_found,
        is_checkpoint_refused: refusal.is_some(),
    })
}

/// Returns the newest checkpoint in the bytes of its file. Reports the faults of its slots.
fn newest_checkpoint(
    bytes: &[u8],
    context: &PartitionContext<'_>,
    files: &PartitionFiles,
    findings: &mut Findings<'_>,
) -> Option<Checkpoint> {
    let path = checkpoint::checkpoint_path(context.dir);
    let faults = checkpoint::faults(bytes);
    let has_faults = !faults.is_empty();
    for SlotFault { position, fault } in faults {
        let message = format!("{fault}; the other slot counts, which may be older");
        findings.defect(DefectKind::Checkpoint, &path, position, message);
    }
    let mut newest = Checkpoint::newest(bytes);
    if let Some(newest) = newest.as_mut().filter(|_| has_faults) {
        newest.begin_at_least(files.first_segment().unwrap_or(0));
    }
    if newest.is_none() && files.first_segment().is_some() {
        let message = "no valid checkpoint: where the log begins and which segments are sealed is not known, and the \
                       next open has to read all of it";
        findings.defect(DefectKind::Checkpoint, &path, 0, message);
    }
    newest
}

impl PartitionWalk<'_, '_> {
    fn walk(&mut self) -> Result<(), DiskError> {
        let recovery_offset = self.recovery_offset();
        let bases: Vec<i64> = self.files.segments().collect();
        let is_skipped = self.context.extent == Extent::End && self.checkpoint.is_some();
        if is_skipped {
            self.end = Some(Expected::new(recovery_offset));
            self.report.log_end_offset = recovery_offset.max(self.report.log_start_offset);
        }
        let is_read = |base: &i64| *base < recovery_offset && !is_skipped;
        let sealed: Vec<i64> = bases.iter().copied().filter(is_read).collect();
        for (index, base_offset) in sealed.iter().copied().enumerate() {
            let next = sealed.get(index + 1).copied().unwrap_or(recovery_offset);
            if next <= self.report.log_start_offset {
                self.note_retired(base_offset);
            } else {
                self.walk_sealed(base_offset)?;
            }
        }
        if self.checkpoint.is_some() {
            self.check_reaches(recovery_offset);
            self.end = Some(Expected::new(recovery_offset));
        }
        let unsealed: Vec<i64> = bases.iter().copied().filter(|base| *base >= recovery_offset).collect();
        if !unsealed.is_empty() {
            self.note_unclean();
        }
        // Also without a segment: a recovery point may show that records of a missing one were durable.
        self.walk_unsealed(&unsealed)?;
        self.check_bounds();
        self.note_leftovers();
        Ok(())
    }

    /// Returns the offset below which every segment is sealed. Without a checkpoint, the segments up to the first one
    /// without an index count as sealed.
    fn recovery_offset(&self) -> i64 {
        let checkpoint = self.checkpoint.map(|checkpoint| checkpoint.recovery_offset);
        checkpoint.unwrap_or_else(|| self.files.first_without_index().unwrap_or(i64::MAX))
    }

    pub(super) fn log_path(&self, base_offset: i64) -> std::path::PathBuf {
        segment::log_path(self.context.dir, base_offset)
    }

    /// Notes a segment below the log's start. Retention was deleting it, or its records were deleted by a request.
    fn note_retired(&mut self, base_offset: i64) {
        self.findings.advance(self.files.log_bytes(base_offset));
        let message = "the records of this segment are deleted; the next open removes it";
        self.findings.note(NoteKind::Leftover, &self.log_path(base_offset), 0, message);
    }

    fn walk_sealed(&mut self, base_offset: i64) -> Result<(), DiskError> {
        self.check_begin(base_offset);
        let path = self.log_path(base_offset);
        let bytes = self.files.log_bytes(base_offset);
        let interval = self.context.config.map(|config| config.index_interval_bytes);
        let mut indexes = IndexCheck::open(self.context.dir, base_offset, bytes, interval, self.findings)?;
        let epochs = (self.epoch, self.context.epoch_max);
        let mut walk = SegmentWalk::begin(&path, base_offset, epochs, self.findings)?;
        if self.checkpoint.is_none() {
            walk.scan_epoch = self.epoch;
        }
        walk.walk_sealed(&mut indexes)?;
        let segment = Segment {
            base_offset,
            end: walk.position,
            next_offset: walk.next.value,
            damage: walk.damage,
            scan_stop: walk.scan_stop,
        };
        self.holes.add(segment, self.checkpoint.is_some());
        self.epoch_found = self.epoch_found.max(walk.epoch_found);
        let (epoch, end) = (walk.epoch(), walk.is_end_known.then_some(walk.next));
        count(&mut self.report, &walk);
        indexes.finish(self.findings);
        (self.epoch, self.end) = (epoch, end);
        Ok(())
    }

    /// Checks that a segment begins where the one before it ends.
    fn check_begin(&mut self, base_offset: i64) {
        self.begin_behind_lost(base_offset);
        let expected = self.end.as_ref().map(|end| end.value);
        match expected {
            // The first segment may begin below the log's start, as retention deletes only whole segments.
            Some(expected) if self.report.segments == 0 && base_offset <= expected => {}
            Some(expected) if self.end.as_mut().is_some_and(|end| !end.accepts(base_offset)) => {
                if base_offset > expected {
                    self.report_missing(expected, base_offset);
                } else {
                    let message = format!(
                        "the segment begins at offset {base_offset}, the one before it ends at {expected}: these offsets \
                         exist twice"
                    );
                    self.holes.add_hole(expected, base_offset);
                    let path = self.log_path(base_offset);
                    self.findings.defect(DefectKind::SegmentOverlap, &path, 0, message);
                }
            }
            _ => {}
        }
    }

    /// Checks that the sealed segments reach the recovery offset.
    fn check_reaches(&mut self, recovery_offset: i64) {
        self.begin_behind_lost(recovery_offset);
        let Some(end) = &mut self.end else { return };
        let expected = end.value;
        if end.accepts(recovery_offset) || self.report.log_start_offset > recovery_offset {
            return;
        }
        if expected < recovery_offset {
            self.report_missing(expected, recovery_offset);
        } else {
            self.holes.add_hole(expected, recovery_offset);
            let path = checkpoint::checkpoint_path(self.context.dir);
            let message = format!(
                "the recovery offset is {recovery_offset}, in the middle of a segment that ends at {expected}; it has \
                 to be where one begins"
            );
            self.findings.defect(DefectKind::Checkpoint, &path, 0, message);
        }
    }

    /// Lets the log begin at `base_offset` if none of the segments before it can be read.
    pub(super) fn begin_behind_lost(&mut self, base_offset: i64) {
        if self.holes.is_empty_below() && !self.holes.lost.is_empty() {
            self.holes.raise_start(self.report.log_start_offset, base_offset);
        }
    }

    fn report_refused_checkpoint(&mut self, fault: &str) {
        let from = self.files.first_segment().unwrap_or(0);
        self.holes.refuse(from);
        let message = format!("{fault}, so an open refuses the partition");
        let path = checkpoint::checkpoint_path(self.context.dir);
        self.findings.defect(DefectKind::Checkpoint, &path, 0, message);
    }

    fn report_missing(&mut self, from: i64, to: i64) {
        self.holes.add_hole(from, to);
        let message = format!(
            "offsets {from}..{to} are missing: a segment is gone, or the one before was cut between two batches; their \
             records are lost"
        );
        self.findings.defect(DefectKind::SegmentMissing, &self.log_path(from), 0, message);
    }

    fn note_unclean(&mut self) {
        let message = "the log was not closed; the next open reads its last segments and seals them";
        self.findings.note(NoteKind::NotClean, self.context.dir, 0, message);
    }

    fn check_bounds(&mut self) {
        let Some(checkpoint) = self.checkpoint else { return };
        let end = self.report.log_end_offset;
        let path = checkpoint::checkpoint_path(self.context.dir);
        if checkpoint.log_start_offset < 0 || checkpoint.log_start_offset > end {
            let message = format!(
                "the log start offset is {}, outside the log, which ends at {end}",
                checkpoint.log_start_offset
            );
            self.findings.defect(DefectKind::Checkpoint, &path, 0, message);
        }
        if checkpoint.recovery_offset < 0 || checkpoint.epoch > self.context.epoch_max {
            let message = format!(
                "the recovery offset {} or the epoch {} cannot be",
                checkpoint.recovery_offset, checkpoint.epoch
            );
            self.findings.defect(DefectKind::Checkpoint, &path, 0, message);
        }
    }

    /// Notes files that no longer belong to a segment, or do not yet.
    fn note_leftovers(&mut self) {
        for name in &self.files.waiting {
            let message = "a file for a future segment; the next open removes or uses it";
            self.findings.note(NoteKind::Leftover, &self.context.dir.join(name), 0, message);
        }
        for path in self.files.orphans(self.context.dir) {
            let message = "an index without its segment: the segment was being removed, or is missing";
            self.findings.note(NoteKind::Leftover, &path, 0, message);
        }
    }
}

fn count(report: &mut PartitionReport, walk: &SegmentWalk<'_, '_>) {
    report.segments += 1;
    report.batches += walk.batches;
    report.records += walk.records;
    report.bytes += walk.bytes;
    report.log_end_offset = walk.next.value;
}
