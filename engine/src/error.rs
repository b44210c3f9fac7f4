//! Errors: one enum an operation, with [`DiskError`] and [`Corruption`] as shared leaves. Match on kinds, never on text.

mod client;

pub use client::{AppendError, FetchError, LocalError, RunError};

use crate::record::BatchError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// An operation of the disk failed.
#[derive(Debug, Clone, Error)]
#[error("{op} {} at {position}: {source}{}", path.display(), self.hint())]
pub struct DiskError {
    /// What was tried.
    pub op: DiskOp,
    /// On which file or directory.
    pub path: PathBuf,
    /// At which byte, 0 where that means nothing.
    pub position: u64,
    /// What the system said.
    #[source]
    pub source: Arc<std::io::Error>,
}

impl DiskError {
    /// An error of `op` on `path`.
    pub fn new(op: DiskOp, path: &Path, position: u64, source: std::io::Error) -> Self {
        Self { op, path: path.to_path_buf(), position, source: Arc::new(source) }
    }

    /// Whether the disk is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self.source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    }

    /// Whether the error is about this one file or directory, and says nothing of others: it is missing, of another kind, not
    /// to be read by this user, or its sectors are bad.
    pub fn is_of_this_file(&self) -> bool {
        use std::io::ErrorKind;
        let is_bad_sector = matches!(self.source.raw_os_error(), Some(libc::EIO | libc::ELOOP));
        let is_kind = matches!(
            self.source.kind(),
            ErrorKind::NotFound
                | ErrorKind::PermissionDenied
                | ErrorKind::IsADirectory
                | ErrorKind::NotADirectory
        );
        is_bad_sector || is_kind
    }

    /// Whether the process (EMFILE), or the machine (ENFILE), has no descriptor left.
    pub fn is_too_many_open(&self) -> bool {
        matches!(self.source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
    }

    /// The limit that an error is about, and what raises it; empty where there is none.
    fn hint(&self) -> String {
        match self.source.raw_os_error() {
            Some(libc::EMFILE) => {
                let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
                let limit = limit.map_or_else(|| "any number of".to_owned(), |limit| limit.to_string());
                format!(" (this process may have {limit} files open: raise it with `ulimit -n`)")
            }
            Some(libc::ENFILE) => {
                " (of the whole machine: raise it with `sysctl fs.file-max`, `ulimit -n` is not the limit)"
                    .to_owned()
            }
            _ => String::new(),
        }
    }

    /// Whether there was nothing by that name.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::NotFound
    }
}

/// What was asked of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the name of its system call's purpose")]
pub enum DiskOp {
    Open,
    Create,
    Write,
    Read,
    Sync,
    Allocate,
    Truncate,
    Rename,
    Remove,
    CreateDir,
    SyncDir,
    List,
    Lock,
}

impl std::fmt::Display for DiskOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Write => "write",
            Self::Read => "read",
            Self::Sync => "sync",
            Self::Allocate => "allocate",
            Self::Truncate => "truncate",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::CreateDir => "create directory",
            Self::SyncDir => "sync directory",
            Self::List => "list",
            Self::Lock => "lock",
        })
    }
}

/// Bytes on disk that cannot be what was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} at byte {position}: {kind}", path.display())]
pub struct Corruption {
    /// The file.
    pub path: PathBuf,
    /// The byte.
    pub position: u64,
    /// What is wrong there.
    pub kind: CorruptionKind,
}

/// What is wrong with stored bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CorruptionKind {
    /// A batch does not parse or its CRC does not hold.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// A batch begins at another offset than the one before it ends at.
    #[error("batch begins at offset {found}, expected {expected}")]
    OffsetGap {
        /// Where the predecessor ends.
        expected: i64,
        /// What the header says.
        found: i64,
    },
    /// A valid batch lies beyond a gap, further on than anything that can have been in flight.
    #[error("a valid batch of offset {found} lies beyond damaged bytes where offset {expected} was expected")]
    DamagedBeforeValid {
        /// The offset missing at the damaged place.
        expected: i64,
        /// The offset of the valid batch further on.
        found: i64,
    },
    /// A segment does not begin where the one before it ends.
    #[error("the segment before it ends at offset {expected}, this one begins at {found}")]
    SegmentGap {
        /// Where the predecessor ends.
        expected: i64,
        /// The segment's base offset.
        found: i64,
    },
    /// Segments are missing.
    #[error("offsets {from}..{to} are missing: the segment is gone")]
    SegmentMissing {
        /// The first offset that is missing.
        from: i64,
        /// The first one that is there again, or should be.
        to: i64,
    },
    /// A segment's batches end before its records do.
    #[error(
        "the segment's batches end where offset {expected} was expected, and it should reach up to offset {found}"
    )]
    EndsEarly {
        /// The first offset that is missing.
        expected: i64,
        /// The offset that the next segment begins with, or that was durable.
        found: i64,
    },
    /// A file of metadata does not decode.
    #[error("{0}")]
    Metadata(String),
}

/// Why a partition that an open has found damaged serves only the offsets below the damage.
#[derive(Debug, Clone, Error)]
pub enum DamageError {
    /// Bytes are missing, or cannot be what was written.
    #[error("corrupt: {0}")]
    Corrupt(Corruption),
    /// A file or directory of the partition cannot be read, or cannot be changed to put the log in order.
    #[error("cannot be opened: {0}")]
    Unreadable(DiskError),
}

/// Why a data directory, a topic or a partition could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The path is a file.
    #[error("{} is not a directory; name a directory, or one that does not exist yet", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory holds other things and no `meta.properties`.
    #[error("{} is not empty and not a vnotch data directory; name an empty or a new directory", path.display())]
    ForeignDirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory was written by a newer version.
    #[error("{} has format version {found}, this version reads up to {supported}; use a newer vnotch", path.display())]
    NewerFormat {
        /// The path.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest one known here.
        supported: u32,
    },
    /// The directory belongs to an engine with another number of shards.
    #[error("{} was made for {found} shards, not {asked}; open it with shards: {found}", path.display())]
    ShardsDiffer {
        /// The path.
        path: PathBuf,
        /// Its number.
        found: u32,
        /// The configured number.
        asked: u32,
    },
    /// Another process has it open.
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
    /// A ring could not be made.
    #[error(
        "io_uring is not available ({source}); check /proc/sys/kernel/io_uring_disabled and the container's seccomp profile"
    )]
    RingUnavailable {
        /// What the kernel said.
        source: std::io::Error,
    },
    /// RLIMIT_MEMLOCK is below what an executor needs.
    #[error("RLIMIT_MEMLOCK is {found_bytes} bytes, a shard needs {needed_bytes}; raise it with `ulimit -l`")]
    Memlock {
        /// The limit.
        found_bytes: u64,
        /// The floor.
        needed_bytes: u64,
    },
    /// RLIMIT_NOFILE, raised as far as it may be, is below what the shards need.
    #[error(
        "this process may have {found} files open, and needs {needed}; raise the limit with `ulimit -n {needed}`, or use \
         fewer shards"
    )]
    TooFewDescriptors {
        /// The limit.
        found: u64,
        /// What is open now, what clients and the shards need, and a few files a shard.
        needed: u64,
    },
    /// A shard's executor could not be started.
    #[error("cannot start shard {shard}: {reason}")]
    Executor {
        /// Which one.
        shard: u32,
        /// What it said.
        reason: String,
    },
    /// The directory holds partitions, and the file that says which topics they belong to is gone.
    #[error(
        "{} holds partitions and no catalog.json; `vnotch repair {}` rebuilds it from them; nothing was changed",
        path.display(), path.display()
    )]
    CatalogMissing {
        /// The data directory.
        path: PathBuf,
    },
    /// The catalog holds something that this version does not accept.
    #[error("{}: {reason}; nothing was changed", path.display())]
    Catalog {
        /// The catalog's file.
        path: PathBuf,
        /// What is not accepted, and what to do.
        reason: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What is on disk cannot be right; nothing was thrown away.
    #[error("corrupt: {0}; nothing was changed; `vnotch repair DATA_DIR` shows what can be done")]
    Corrupt(Corruption),
    /// A configuration value cannot be.
    #[error("{0}")]
    Config(String),
}

/// Why an engine could not be closed as it should be. It is gone all the same; the next open recovers.
#[derive(Debug, Clone, Error)]
pub enum CloseError {
    /// A log failed: it is not sealed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The shard has not moved for longer than `stuck_after`, or its own work has panicked: none of its logs is sealed.
    #[error(
        "shard {shard} did not answer: its logs are not sealed, and what was acked as `appended` only may be lost"
    )]
    ShardStuck {
        /// Which one.
        shard: u32,
    },
}

/// Why a topic could not be created, described or deleted.
#[derive(Debug, Error)]
pub enum TopicError {
    /// There is one by that name.
    #[error("topic {0} exists already")]
    Exists(String),
    /// There is none by that name.
    #[error("no topic {0}")]
    Unknown(String),
    /// The name is empty, too long, or has characters outside `[a-zA-Z0-9._-]`.
    #[error("bad topic name {0:?}: use 1 to 200 characters of [a-zA-Z0-9._-], and not `.` or `..`")]
    BadName(String),
    /// A directory that the topic needs holds files, and the catalog knows no topic that they belong to. Nothing was changed.
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
    /// A configuration value cannot be.
    #[error("{0}")]
    Config(String),
    /// The disk, or a quota, is full. A topic that was to be created is not there, nor is any file of it.
    #[error("no space for the topic: free some on the file system of the data directory and try again: {0}")]
    NoSpace(DiskError),
    /// A partition could not be opened, or the catalog not be written.
    #[error(transparent)]
    Open(OpenError),
    /// The disk failed.
    #[error(transparent)]
    Disk(DiskError),
    /// The catalog on disk was replaced, and the sync that makes this durable failed. The next open finds the catalog from
    /// before the change, or the one from after it.
    #[error("the change could not be made durable, so the next open may find it made or not made: {0}")]
    Unconfirmed(DiskError),
    /// The shard has not moved for longer than `stuck_after`, or is gone.
    #[error("shard {shard} does not answer")]
    ShardStuck {
        /// Which one.
        shard: u32,
    },
}

impl TopicError {
    /// The error of a change whose write of the catalog failed.
    pub(crate) fn of_catalog_write(error: DiskError) -> Self {
        // The directory's sync is the last step: before it the new catalog has its name.
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
