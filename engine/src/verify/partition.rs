//! One partition: its checkpoint, the chain of its segments, and what an end without a close has left of the last ones.

use super::holes::{Holes, Segment};
use super::indexes::IndexCheck;
use super::names::PartitionFiles;
use super::report::{DefectKind, Findings, NoteKind, PartitionReport};
use super::segment::{Expected, Walk};
use crate::config::TopicConfig;
use crate::error::{DiskError, DiskOp};
use crate::log::checkpoint::{self, Checkpoint, SlotFault};
use crate::segment;
use std::path::{Path, PathBuf};

/// What a partition is held against.
pub(super) struct Frame<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: u32,
    pub(super) dir: &'a Path,
    /// `None` if the catalog cannot be read.
    pub(super) config: Option<&'a TopicConfig>,
    /// Up to this epoch, batches may have been appended before the topic became a synced one.
    pub(super) synced_after: i32,
    /// The highest leader epoch there can be.
    pub(super) epoch_max: i32,
    /// Every record below this offset was durable; `i64::MIN` if nothing is known.
    pub(super) durable_to: i64,
    /// Whether an open has found the partition damaged.
    pub(super) was_damaged: bool,
    /// This boot of the machine.
    pub(super) boot_id: u64,
}

/// A partition that is being walked.
pub(super) struct Chain<'a, 'f> {
    pub(super) frame: &'a Frame<'a>,
    pub(super) files: &'a PartitionFiles,
    pub(super) vouched: Option<Checkpoint>,
    pub(super) findings: &'a mut Findings<'f>,
    pub(super) report: PartitionReport,
    /// Where the next segment has to begin; `None` where that cannot be told.
    pub(super) end: Option<Expected<i64>>,
    pub(super) epoch: i32,
    pub(super) holes: Holes,
    /// The greatest leader epoch of the checkpoint and of the batches that were read.
    pub(super) epoch_found: i32,
}

/// A partition that was walked, with what a repair has to know.
pub(crate) struct Walked {
    pub(crate) report: PartitionReport,
    pub(crate) dir: PathBuf,
    /// Whether the catalog can be read and names the partition.
    pub(crate) is_named: bool,
    /// The checkpoint that counts; `None` if there is none to go by.
    pub(crate) vouched: Option<Checkpoint>,
    /// Below it every segment is sealed.
    pub(crate) recovery_offset: i64,
    /// Base offsets of all segments.
    pub(crate) segments: Vec<i64>,
    /// Base offsets in names of segments that are no files. An open cannot read them.
    pub(crate) no_files: Vec<i64>,
    pub(crate) holes: Holes,
    /// The greatest leader epoch of the checkpoint and of the batches that were read.
    pub(crate) epoch_found: i32,
    /// Whether an open refuses the checkpoint.
    pub(crate) is_checkpoint_refused: bool,
}

/// Walks one partition.
pub(super) fn walk(
    frame: &Frame<'_>,
    files: &PartitionFiles,
    findings: &mut Findings<'_>,
) -> Result<Walked, DiskError> {
    let newest = read_checkpoint(frame, files, findings)?;
    let is_checkpoint_refused = newest.is_some_and(|newest| newest.sequence > checkpoint::SEQUENCE_MAX);
    let vouched = newest.filter(|_| !is_checkpoint_refused);
    let log_start_offset =
        vouched.map_or_else(|| files.first_segment().unwrap_or(0), |vouched| vouched.log_start_offset);
    let report = PartitionReport {
        topic: frame.topic.to_owned(),
        partition: frame.partition,
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
    let epoch_found = vouched.map_or(i32::MIN, |vouched| vouched.epoch);
    let holes = Holes::default();
    let mut chain =
        Chain { frame, files, vouched, findings, report, end, epoch: i32::MIN, holes, epoch_found };
    if is_checkpoint_refused {
        chain.checkpoint_refused();
    }
    chain.walk()?;
    let recovery_offset = chain.recovery_offset();
    let Chain { mut report, mut holes, epoch_found, .. } = chain;
    holes.finish();
    if let Some(base_offset) = files.no_files.first() {
        holes.refuse(*base_offset);
    }
    report.damage = holes.first;
    Ok(Walked {
        report,
        dir: frame.dir.to_path_buf(),
        is_named: frame.config.is_some(),
        vouched,
        recovery_offset,
        segments: files.segments().collect(),
        no_files: files.no_files.clone(),
        holes,
        epoch_found,
        is_checkpoint_refused,
    })
}

/// The newest checkpoint; what is wrong with its slots is put down.
fn read_checkpoint(
    frame: &Frame<'_>,
    files: &PartitionFiles,
    findings: &mut Findings<'_>,
) -> Result<Option<Checkpoint>, DiskError> {
    let path = checkpoint::checkpoint_path(frame.dir);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(DiskError::new(DiskOp::Read, &path, 0, error)),
    };
    let faults = checkpoint::faults(&bytes);
    let has_faults = !faults.is_empty();
    for SlotFault { position, fault } in faults {
        let message = format!("{fault}; the other slot counts, which may be older");
        findings.defect(DefectKind::Checkpoint, &path, position, message);
    }
    let mut newest = Checkpoint::newest(&bytes);
    if let Some(newest) = newest.as_mut().filter(|_| has_faults) {
        // A newer checkpoint may be lost, and retention may have deleted segments since this one.
        newest.log_start_offset = newest.log_start_offset.max(files.first_segment().unwrap_or(0));
    }
    if newest.is_none() && files.first_segment().is_some() {
        let message = "no valid checkpoint: where the log begins and which segments are sealed is not known, and the \
                       next open has to read all of it";
        findings.defect(DefectKind::Checkpoint, &path, 0, message);
    }
    Ok(newest)
}

impl Chain<'_, '_> {
    fn walk(&mut self) -> Result<(), DiskError> {
        let recovery_offset = self.recovery_offset();
        let bases: Vec<i64> = self.files.segments().collect();
        let sealed: Vec<i64> = bases.iter().copied().filter(|base| *base < recovery_offset).collect();
        for (index, base_offset) in sealed.iter().copied().enumerate() {
            let next = sealed.get(index + 1).copied().unwrap_or(recovery_offset);
            if next <= self.report.log_start_offset {
                self.retired(base_offset);
            } else {
                self.sealed(base_offset)?;
            }
        }
        if self.vouched.is_some() {
            self.reaches(recovery_offset);
            self.end = Some(Expected::new(recovery_offset.max(self.report.log_start_offset)));
        }
        let unsealed: Vec<i64> = bases.iter().copied().filter(|base| *base >= recovery_offset).collect();
        if !unsealed.is_empty() {
            self.note_unclean();
        }
        // Without a segment too: a recovery point may vouch for records of one that is gone.
        self.unsealed(&unsealed)?;
        self.check_bounds();
        self.leftovers();
        Ok(())
    }

    /// Below it every segment is sealed. Without a checkpoint those with an index are taken to be.
    fn recovery_offset(&self) -> i64 {
        let vouched = self.vouched.map(|vouched| vouched.recovery_offset);
        vouched.unwrap_or_else(|| self.files.first_without_index().unwrap_or(i64::MAX))
    }

    pub(super) fn log_path(&self, base_offset: i64) -> std::path::PathBuf {
        segment::log_path(self.frame.dir, base_offset)
    }

    /// A segment below the log's start, which retention was deleting.
    fn retired(&mut self, base_offset: i64) {
        self.findings.advance(self.files.log_bytes(base_offset));
        let message = "retention was deleting this segment; the next open finishes that";
        self.findings.note(NoteKind::Leftover, &self.log_path(base_offset), 0, message);
    }

    fn sealed(&mut self, base_offset: i64) -> Result<(), DiskError> {
        self.begins(base_offset);
        let path = self.log_path(base_offset);
        let bytes = self.files.log_bytes(base_offset);
        let interval = self.frame.config.map(|config| config.index_interval_bytes);
        let mut indexes = IndexCheck::open(self.frame.dir, base_offset, bytes, interval, self.findings)?;
        let epochs = (self.epoch, self.frame.epoch_max);
        let mut walk = Walk::begin(&path, base_offset, epochs, self.findings)?;
        if self.vouched.is_none() {
            walk.scan_epoch = self.epoch;
        }
        walk.sealed(&mut indexes)?;
        let segment = Segment {
            base_offset,
            end: walk.position,
            next_offset: walk.next.value,
            damage: walk.damage,
            scan_stop: walk.scan_stop,
        };
        self.holes.add(segment, self.vouched.is_some());
        self.epoch_found = self.epoch_found.max(walk.epoch_found);
        let (epoch, end) = (walk.epoch(), walk.is_end_known.then_some(walk.next));
        count(&mut self.report, &walk);
        indexes.end(self.findings);
        (self.epoch, self.end) = (epoch, end);
        Ok(())
    }

    /// A segment begins here: where the one before ends, or something is missing.
    fn begins(&mut self, base_offset: i64) {
        self.begin_behind_lost(base_offset);
        let expected = self.end.as_ref().map(|end| end.value);
        match expected {
            // The first one may begin below the log's start: whole segments go.
            Some(expected) if self.report.segments == 0 && base_offset <= expected => {}
            Some(expected) if self.end.as_mut().is_some_and(|end| !end.accepts(base_offset)) => {
                if base_offset > expected {
                    self.missing(expected, base_offset);
                } else {
                    let message = format!(
                        "the segment begins at offset {base_offset}, the one before it ends at {expected}: offsets are \
                         there twice"
                    );
                    self.holes.hole(expected, base_offset);
                    let path = self.log_path(base_offset);
                    self.findings.defect(DefectKind::SegmentOverlap, &path, 0, message);
                }
            }
            _ => {}
        }
    }

    /// The sealed segments have to reach the recovery offset.
    fn reaches(&mut self, recovery_offset: i64) {
        self.begin_behind_lost(recovery_offset);
        let Some(end) = &mut self.end else { return };
        let expected = end.value;
        if end.accepts(recovery_offset) || self.report.log_start_offset > recovery_offset {
            return;
        }
        if expected < recovery_offset {
            self.missing(expected, recovery_offset);
        } else {
            self.holes.hole(expected, recovery_offset);
            let path = checkpoint::checkpoint_path(self.frame.dir);
            let message = format!(
                "the recovery offset is {recovery_offset}, in the middle of a segment that ends at {expected}; it has \
                 to be where one begins"
            );
            self.findings.defect(DefectKind::Checkpoint, &path, 0, message);
        }
    }

    /// The log begins at `base_offset` if the segments before cannot be read.
    pub(super) fn begin_behind_lost(&mut self, base_offset: i64) {
        if self.holes.is_empty_below() && !self.holes.lost.is_empty() {
            self.holes.raise_start(self.report.log_start_offset, base_offset);
        }
    }

    fn checkpoint_refused(&mut self) {
        let from = self.files.first_segment().unwrap_or(0);
        self.holes.refuse(from);
        let message = "the sequence number is none that a log has written: an open refuses the partition";
        let path = checkpoint::checkpoint_path(self.frame.dir);
        self.findings.defect(DefectKind::Checkpoint, &path, 0, message);
    }

    fn missing(&mut self, from: i64, to: i64) {
        self.holes.hole(from, to);
        let message = format!(
            "offsets {from}..{to} are missing: a segment is gone, or the one before was cut between two batches; their \
             records are lost"
        );
        self.findings.defect(DefectKind::SegmentMissing, &self.log_path(from), 0, message);
    }

    fn note_unclean(&mut self) {
        let message = "the log was not closed; the next open reads its last segments and seals them";
        self.findings.note(NoteKind::NotClean, self.frame.dir, 0, message);
    }

    fn check_bounds(&mut self) {
        let Some(vouched) = self.vouched else { return };
        let end = self.report.log_end_offset;
        let path = checkpoint::checkpoint_path(self.frame.dir);
        if vouched.log_start_offset < 0 || vouched.log_start_offset > end {
            let message = format!(
                "the log start offset is {}, outside the log, which ends at {end}",
                vouched.log_start_offset
            );
            self.findings.defect(DefectKind::Checkpoint, &path, 0, message);
        }
        if vouched.recovery_offset < 0 || vouched.epoch > self.frame.epoch_max {
            let message = format!(
                "the recovery offset {} or the epoch {} cannot be",
                vouched.recovery_offset, vouched.epoch
            );
            self.findings.defect(DefectKind::Checkpoint, &path, 0, message);
        }
    }

    /// Files that belong to no segment any more, or to none yet.
    fn leftovers(&mut self) {
        for name in &self.files.waiting {
            let message = "it waits to become a segment; the next open removes or uses it";
            self.findings.note(NoteKind::Leftover, &self.frame.dir.join(name), 0, message);
        }
        for path in self.files.orphans(self.frame.dir) {
            let message = "an index without its segment, which was being removed, or is missing";
            self.findings.note(NoteKind::Leftover, &path, 0, message);
        }
    }
}

fn count(report: &mut PartitionReport, walk: &Walk<'_, '_>) {
    report.segments += 1;
    report.batches += walk.batches;
    report.records += walk.records;
    report.bytes += walk.bytes;
    report.log_end_offset = walk.next.value;
}
