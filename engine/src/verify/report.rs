//! What verifying found, in kinds to match on and sentences to read.

use crate::error::DiskError;
use serde::Serialize;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What a data directory holds, and what is wrong with it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where it is.
    pub data_dir: PathBuf,
    /// The directory's id, if `meta.properties` can be read.
    pub id: Option<String>,
    /// Every partition there is, by topic and number.
    pub partitions: Vec<PartitionReport>,
    /// What cannot be right.
    pub defects: Vec<Defect>,
    /// What an end without a close has left, and the next open puts in order. No record is harmed by it.
    pub notes: Vec<Note>,
}

impl Report {
    /// Whether nothing is wrong; notes are nothing wrong.
    pub const fn is_sound(&self) -> bool {
        self.defects.is_empty()
    }
}

/// What one partition holds.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionReport {
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: u32,
    /// Segments, those not sealed yet included.
    pub segments: usize,
    /// Valid batches.
    pub batches: u64,
    /// Records of valid batches.
    pub records: u64,
    /// Bytes of valid batches.
    pub bytes: u64,
    /// The first offset that the partition holds, as its checkpoint says.
    pub log_start_offset: i64,
    /// The offset after the last record that can be read.
    pub log_end_offset: i64,
    /// Bytes behind the last valid batch of a log that was not closed. They were being written when it ended, or they are
    /// damaged: nothing tells which.
    pub unjudged_bytes: u64,
    /// The first place in the log at which records cannot be read; `None` if there is none.
    pub damage: Option<DamagedFrom>,
}

/// The first place of a log at which records cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DamagedFrom {
    /// Base offset of the segment, which may be missing.
    pub segment: i64,
    /// Byte of the segment's file.
    pub position: u64,
    /// The first offset that cannot be read.
    pub offset: i64,
}

/// Something that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Defect {
    /// What it is.
    pub kind: DefectKind,
    /// The file or directory; one that is missing is named as it would be.
    pub path: PathBuf,
    /// The byte of the file, 0 where that means nothing.
    pub position: u64,
    /// What is wrong and what that means, in a sentence.
    pub message: String,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DefectKind {
    /// Nothing of vnotch's has this name.
    ForeignFile,
    /// `meta.properties` is missing or does not say what it must.
    Meta,
    /// `catalog.json` is missing or damaged.
    Catalog,
    /// `damaged.json`, which names damaged partitions, cannot be read.
    DamageRecords,
    /// The catalog names a partition that has no directory.
    PartitionMissing,
    /// A partition's directory that the catalog does not name.
    PartitionUnknown,
    /// A partition's checkpoint is missing, damaged, or speaks of offsets that are not there.
    Checkpoint,
    /// Between two segments, or at an end of the log, offsets are missing.
    SegmentMissing,
    /// A segment begins before its predecessor ends.
    SegmentOverlap,
    /// Bytes of a segment are no batch, or not the batch that was written.
    Batch,
    /// A batch begins at another offset than the one before it ends at.
    OffsetGap,
    /// A batch has a leader epoch that it cannot have.
    Epoch,
    /// A segment ends in the middle of a batch.
    Truncated,
    /// A sealed segment lacks an index.
    IndexMissing,
    /// An index does not decode or an entry of it is not true.
    Index,
}

/// Something that an end without a close has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is.
    pub kind: NoteKind,
    /// The file or directory.
    pub path: PathBuf,
    /// The byte of the file, 0 where that means nothing.
    pub position: u64,
    /// What was found and what becomes of it, in a sentence.
    pub message: String,
}

/// What can be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// A segment is not sealed: the log was not closed.
    NotClean,
    /// Bytes behind the last batch of such a segment, which the next open cuts off.
    Tail,
    /// A file or directory that the next open removes, uses or makes, or that `vnotch repair` has moved away.
    Leftover,
    /// An offset index with fewer entries than the topic's `index_interval_bytes` would make.
    SparseIndex,
}

/// Why a directory could not be verified at all.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// There is no vnotch data in it.
    #[error("{} is not a vnotch data directory: it has neither meta.properties nor catalog.json", path.display())]
    NotADataDirectory {
        /// The path.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error("{} has format version {found}, this version reads up to {supported}; use a newer vnotch", path.display())]
    NewerFormat {
        /// The path.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest one known here.
        supported: u32,
    },
    /// A process has it open; what is being written cannot be judged.
    #[error("{} is in use by another process; stop it, then verify", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Reading failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// How far verifying has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of segments read.
    pub done_bytes: u64,
    /// Bytes of all segments.
    pub total_bytes: u64,
    /// Defects so far.
    pub defects: usize,
}

/// Where findings are put down.
pub(super) struct Findings<'a> {
    pub(super) defects: Vec<Defect>,
    pub(super) notes: Vec<Note>,
    pub(super) total_bytes: u64,
    done_bytes: u64,
    progress: &'a mut dyn FnMut(&Progress),
}

impl<'a> Findings<'a> {
    pub(super) fn new(progress: &'a mut dyn FnMut(&Progress)) -> Self {
        Self { defects: Vec::new(), notes: Vec::new(), total_bytes: 0, done_bytes: 0, progress }
    }

    pub(super) fn defect(
        &mut self,
        kind: DefectKind,
        path: &Path,
        position: u64,
        message: impl Into<String>,
    ) {
        self.defects.push(Defect { kind, path: path.to_path_buf(), position, message: message.into() });
    }

    pub(super) fn note(&mut self, kind: NoteKind, path: &Path, position: u64, message: impl Into<String>) {
        self.notes.push(Note { kind, path: path.to_path_buf(), position, message: message.into() });
    }

    /// So many more bytes of segments are dealt with.
    pub(super) fn advance(&mut self, bytes: u64) {
        self.done_bytes += bytes;
        let Self { done_bytes, total_bytes, .. } = *self;
        (self.progress)(&Progress { done_bytes, total_bytes, defects: self.defects.len() });
    }
}
