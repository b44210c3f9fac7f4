//! Errors: one enum for each kind of operation. [`DiskError`] and [`Corruption`] are parts of several. Match on kinds,
//! never on text.

mod client;
mod disk;

pub use client::{AppendError, DeleteRecordsError, FetchError, LocalError, RunError};
pub use disk::{DiskError, DiskOp};

use crate::record::BatchError;
use std::path::PathBuf;
use thiserror::Error;

/// Bytes on disk that cannot be what was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} at byte {position}: {kind}", path.display())]
pub struct Corruption {
    /// The file.
    pub path: PathBuf,
    /// Byte of the file.
    pub position: u64,
    /// The fault of the bytes.
    pub kind: CorruptionKind,
}

/// The faults of stored bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CorruptionKind {
    /// A batch does not parse, or its CRC is wrong.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// A batch does not begin at the offset at which the batch before it ends.
    #[error("batch begins at offset {found}, expected {expected}")]
    OffsetGap {
        /// The offset after the batch before.
        expected: i64,
        /// The offset in the batch's header.
        found: i64,
    },
    /// A valid batch lies behind damaged bytes, further behind than writes in flight can have reached.
    #[error(
        "the bytes from here on are damaged: offset {expected} should begin here, and a valid batch of offset {found} follows \
         them, so this is not the unfinished last write of a crash"
    )]
    DamagedBeforeValid {
        /// The offset that is missing at the damaged bytes.
        expected: i64,
        /// The offset of the valid batch.
        found: i64,
    },
    /// A segment does not begin at the offset at which the segment before it ends.
    #[error("the segment before it ends at offset {expected}, this one begins at {found}")]
    SegmentGap {
        /// The offset after the segment before.
        expected: i64,
        /// The segment's base offset.
        found: i64,
    },
    /// Segments are missing.
    #[error("no segment file holds the offsets from {from} to {}", .to - 1)]
    SegmentMissing {
        /// The first offset that is missing.
        from: i64,
        /// The first offset after them that is there, or should be.
        to: i64,
    },
    /// A segment's batches end before its records should.
    #[error(
        "the records from offset {expected} to {} are missing at the end of this segment", .found - 1
    )]
    EndsEarly {
        /// The first offset that is missing.
        expected: i64,
        /// The offset up to which the segment should reach: the next segment begins there, or records below it were
        /// durable.
        found: i64,
    },
    /// A leader epoch that the catalog does not know yet: the catalog is older than the partition.
    #[error(
        "the leader epoch {found} was found, and the catalog knows none above {newest}: catalog.json is an older copy. Put the newest \
         one back, or let `vnotch repair` raise its incarnation"
    )]
    EpochAhead {
        /// The epoch that was found.
        found: i32,
        /// The last incarnation of the catalog.
        newest: i32,
    },
    /// A metadata file does not decode.
    #[error("{0}")]
    Metadata(String),
}

/// The reason why a partition that an open has found damaged serves only the offsets below the damage.
#[derive(Debug, Clone, Error)]
pub enum DamageError {
    /// Bytes are missing, or cannot be what was written.
    #[error("stored data is damaged: {0}")]
    Corrupt(Corruption),
    /// A file or directory of the partition cannot be read, or recovery cannot change it.
    #[error("a file or directory of the partition cannot be read: {0}")]
    Unreadable(DiskError),
}

/// The reason why a data directory, a topic or a partition could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The path is a file.
    #[error("{} is not a directory; name a directory, or one that does not exist yet", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory holds other files and no `meta.properties`.
    #[error("{} is not empty and not a vnotch data directory; name an empty or a new directory", path.display())]
    ForeignDirectory {
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
    /// Another process has the directory open.
    #[error("{} is in use by another process; stop it or name another directory", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The file system cannot do direct I/O.
    #[error("{} is on a file system without O_DIRECT; use `io: buffered` or another file system", path.display())]
    DirectUnsupported {
        /// The path.
        path: PathBuf,
    },
    /// No io_uring could be created.
    #[error(
        "io_uring is not available ({source}); check /proc/sys/kernel/io_uring_disabled and the container's seccomp profile"
    )]
    RingUnavailable {
        /// The kernel's error.
        source: std::io::Error,
    },
    /// RLIMIT_MEMLOCK is below what an executor needs.
    #[error("RLIMIT_MEMLOCK is {found_bytes} bytes, a shard needs {needed_bytes}; raise it with `ulimit -l`")]
    Memlock {
        /// The limit, bytes.
        found_bytes: u64,
        /// The least limit that the shards need, bytes.
        needed_bytes: u64,
    },
    /// RLIMIT_NOFILE, raised to the highest allowed value, is below what the shards need.
    #[error(
        "this process may have {found} files open, and needs {needed}; raise the limit with `ulimit -n {needed}`, or use \
         fewer shards"
    )]
    TooFewDescriptors {
        /// The limit.
        found: u64,
        /// The least limit that is needed: for the descriptors that are open now, for clients, for the shards, and for
        /// a few files of each shard.
        needed: u64,
    },
    /// A shard's executor could not be started.
    #[error("cannot start shard {shard}: {reason}")]
    Executor {
        /// Number of the shard.
        shard: u32,
        /// The reason, in words.
        reason: String,
    },
    /// The directory holds partitions, but the catalog, which says which topics they belong to, is missing.
    #[error(
        "{} holds partitions and no catalog.json; `vnotch repair {}` rebuilds it from them; nothing was changed",
        path.display(), path.display()
    )]
    CatalogMissing {
        /// The data directory.
        path: PathBuf,
    },
    /// The catalog holds settings that this version does not accept.
    #[error("{}: {reason}; nothing was changed", path.display())]
    Catalog {
        /// The catalog's file.
        path: PathBuf,
        /// The part that is not accepted, and what to do.
        reason: String,
    },
    /// A disk operation failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Stored bytes cannot be what was written. Nothing was removed.
    #[error(
        "stored data is damaged: {0}. Nothing was changed. `vnotch repair` of the data directory shows the possible repair"
    )]
    Corrupt(Corruption),
    /// A configuration value is not allowed.
    #[error("{0}")]
    Config(String),
}

/// The reason why an engine was not closed cleanly. The engine has ended nevertheless, and the next open recovers.
#[derive(Debug, Clone, Error)]
pub enum CloseError {
    /// A log failed, and is not sealed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The shard has not moved for longer than `stuck_after`, or its own work has panicked. None of its logs is sealed.
    #[error(
        "shard {shard} did not answer: its logs are not sealed, and records that were acked only as `appended` may be lost; \
         the next open recovers them"
    )]
    ShardStuck {
        /// Number of the shard.
        shard: u32,
    },
}

/// The reason why a topic could not be created, changed, described or deleted.
#[derive(Debug, Error)]
pub enum TopicError {
    /// A topic of this name exists.
    #[error("topic {0} exists already")]
    Exists(String),
    /// No topic has this name.
    #[error("topic {0} does not exist")]
    Unknown(String),
    /// The topic holds the engine's own records. Callers can read it, and not change it.
    #[error("topic {0} is internal: it can be read, and only the engine itself changes it")]
    Internal(String),
    /// The topic has as many partitions already. Partitions can be added to a topic, and not removed.
    #[error(
        "topic {topic} has {present} partitions, and {asked} are not more: partitions can be added to a topic, and not \
         removed"
    )]
    NotMorePartitions {
        /// Name of the topic.
        topic: String,
        /// The topic's number of partitions.
        present: u32,
        /// The requested number.
        asked: u32,
    },
    /// The name is empty, too long, or has characters outside `[a-zA-Z0-9._-]`.
    #[error("bad topic name {0:?}: use 1 to 200 characters of [a-zA-Z0-9._-], and not `.` or `..`")]
    BadName(String),
    /// A directory that the topic needs holds files that belong to no topic in the catalog. Nothing was changed.
    #[error(
        "{} holds files of no topic that the catalog knows; nothing was changed; move the directory out of the data \
         directory, or close the engine and restore the catalog.json that names its topic (without a catalog.json, \
         `vnotch repair` makes one from the directories)",
        path.display()
    )]
    ForeignFiles {
        /// The directory of a partition.
        path: PathBuf,
    },
    /// A configuration value is not allowed.
    #[error("{0}")]
    Config(String),
    /// The disk, or a quota, is full. A topic or a partition that was being created does not exist, and none of its files
    /// is left.
    #[error(
        "the disk, or a quota, is full: free some space on the data directory's file system, then try again: {0}"
    )]
    NoSpace(DiskError),
    /// Groups have committed offsets of an earlier topic of this name, and their log takes no records that would remove them.
    /// They would be used for the new topic, so it was not created.
    #[error(
        "groups have committed offsets of an earlier topic {0}, and their log takes no records to remove them: free some space \
         on the data directory's file system, or close the engine and open it again, then try again"
    )]
    OffsetsLeft(String),
    /// A partition could not be opened, or the catalog could not be written.
    #[error(transparent)]
    Open(OpenError),
    /// A disk operation failed.
    #[error(transparent)]
    Disk(DiskError),
    /// The catalog on disk was replaced, but the sync that makes this durable failed. The next open finds the catalog
    /// from before the change, or the one from after it.
    #[error(
        "the change is made, but a power failure may undo it: look at the topic after the next open: {0}"
    )]
    Unconfirmed(DiskError),
    /// The shard has not moved for longer than `stuck_after`, or has ended. The change is made or not. The call can be
    /// repeated: it fails again until the shard moves, and then completes what was begun.
    #[error(
        "shard {shard} does not answer: it is stuck or has ended. Try again; if this lasts, close the engine and open it again"
    )]
    ShardStuck {
        /// Number of the shard.
        shard: u32,
    },
}

impl TopicError {
    /// Returns the error of a change for which writing the catalog failed.
    pub(crate) fn of_catalog_write(error: DiskError) -> Self {
        // The sync of the directory is the last step. When it fails, the new catalog already has its name.
        if error.op == DiskOp::SyncDir { Self::Unconfirmed(error) } else { error.into() }
    }
}

impl From<DiskError> for TopicError {
    fn from(error: DiskError) -> Self {
        if error.is_no_space() { Self::NoSpace(error) } else { Self::Disk(error) }
    }
}

impl From<OpenError> for TopicError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Disk(error) => error.into(),
            error => Self::Open(error),
        }
    }
}
