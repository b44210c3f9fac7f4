//! The results of verifying: kinds to match on, and sentences to read.

use crate::error::DiskError;
use serde::Serialize;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The contents of a data directory, and what is wrong with them.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Path of the directory.
    pub data_dir: PathBuf,
    /// The directory's id, if `meta.properties` can be read.
    pub id: Option<String>,
    /// Every partition, by topic and number.
    pub partitions: Vec<PartitionReport>,
    /// Faults that recovery does not repair.
    pub defects: Vec<Defect>,
    /// Left by an unclean shutdown; the next open repairs it. No record is lost by that repair. Committed offsets that fit
    /// no log are noted too.
    pub notes: Vec<Note>,
}

impl Report {
    /// Whether there is no defect. Notes do not count.
    pub const fn is_sound(&self) -> bool {
        self.defects.is_empty()
    }
}

/// The contents of one partition.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionReport {
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: u32,
    /// Number of segments, with those that are not sealed.
    pub segments: usize,
    /// Number of valid batches.
    pub batches: u64,
    /// Number of records in valid batches.
    pub records: u64,
    /// Bytes of valid batches.
    pub bytes: u64,
    /// The first offset that the partition holds, according to its checkpoint.
    pub log_start_offset: i64,
    /// The offset after the last record that can be read.
    pub log_end_offset: i64,
    /// Bytes behind the last valid batch of a log that was not closed. They were being written when the process or the
    /// machine stopped, or they are damaged: nothing shows which.
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

/// A fault that recovery does not repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Defect {
    /// The kind of fault.
    pub kind: DefectKind,
    /// The file or directory. For a missing one, the path that it should have.
    pub path: PathBuf,
    /// Byte of the file, or 0 if the fault has none.
    pub position: u64,
    /// The fault and its effect, in a sentence.
    pub message: String,
}

/// The kinds of defects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DefectKind {
    /// A file of a name that vnotch does not use.
    ForeignFile,
    /// `meta.properties` is missing, or its contents are wrong.
    Meta,
    /// `catalog.json` is missing or damaged.
    Catalog,
    /// `damaged.json`, the record of damaged partitions, cannot be read.
    DamageRecords,
    /// A partition of the catalog has no directory.
    PartitionMissing,
    /// A directory of a partition is not in the catalog.
    PartitionUnknown,
    /// A partition's checkpoint is missing, damaged, or names offsets that do not exist.
    Checkpoint,
    /// Offsets are missing between two segments, or at an end of the log.
    SegmentMissing,
    /// A segment begins before its predecessor ends.
    SegmentOverlap,
    /// Bytes of a segment are no batch, or are not the batch that was written.
    Batch,
    /// A batch does not begin at the offset at which the batch before it ends.
    OffsetGap,
    /// A batch has an impossible leader epoch.
    Epoch,
    /// A segment ends in the middle of a batch.
    Truncated,
    /// A sealed segment lacks an index.
    IndexMissing,
    /// An index does not decode, or an entry of it is wrong.
    Index,
    /// A record of `__consumer_offsets` does not decode. Its batch is whole.
    GroupRecord,
    /// A group lies in another partition of `__consumer_offsets` than its id names, so it is not found there.
    GroupMisplaced,
}

/// A trace of an unclean shutdown, which the next open repairs, or a committed offset that fits no log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The kind of trace.
    pub kind: NoteKind,
    /// The file or directory.
    pub path: PathBuf,
    /// Byte of the file, or 0 if the trace has none.
    pub position: u64,
    /// The trace, and what happens with it, in a sentence.
    pub message: String,
}

/// The kinds of notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// A segment is not sealed: the log was not closed.
    NotClean,
    /// Bytes behind the last batch of an unsealed segment. The next open cuts them off.
    Tail,
    /// A file or directory that the next open removes, uses or makes, or that `vnotch repair` has moved away.
    Leftover,
    /// An offset index with fewer entries than the topic's `index_interval_bytes` would make.
    SparseIndex,
    /// A group has committed offsets of a topic or of partitions that do not exist.
    CommitOfMissing,
    /// A group has committed an offset beyond the end of the log.
    CommitBeyondEnd,
}

/// The reason why a directory could not be verified at all.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The directory holds no vnotch data.
    #[error("{} is not a vnotch data directory: it has neither meta.properties nor catalog.json", path.display())]
    NotADataDirectory {
        /// The path.
        path: PathBuf,
    },
    /// A newer version wrote the directory.
    #[error("{} has format version {found}, this version reads up to {supported}; use a newer vnotch", path.display())]
    NewerFormat {
        /// The path.
        path: PathBuf,
        /// The directory's format version.
        found: u32,
        /// The newest format version that this version reads.
        supported: u32,
    },
    /// A process has the directory open. Files that are being written cannot be verified.
    #[error("{} is in use by another process; stop it, then verify", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Reading failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The progress of verifying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of segments that were read.
    pub done_bytes: u64,
    /// Bytes of all segments.
    pub total_bytes: u64,
    /// Number of defects that were found.
    pub defects: usize,
}

/// The defects and notes that were found, and the progress.
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

    /// Counts `bytes` of segments as read, and reports the progress.
    pub(super) fn advance(&mut self, bytes: u64) {
        self.done_bytes += bytes;
        let Self { done_bytes, total_bytes, .. } = *self;
        (self.progress)(&Progress { done_bytes, total_bytes, defects: self.defects.len() });
    }
}
