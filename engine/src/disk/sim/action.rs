//! The operations of the simulated disk, as data: their arguments and their results.

use super::history::FileChange;
use crate::buffer::ReadBuffer;
use crate::disk::{DirEntry, OpenMode, WriteData, WriteSync};
use crate::types::IoMode;
use std::ops::Range;
use std::path::PathBuf;

/// The effect of an operation, which takes place when it completes.
#[derive(Clone)]
pub(super) enum Action {
    Open(PathBuf, OpenMode),
    Rename(PathBuf, PathBuf),
    RemoveFile(PathBuf),
    RemoveDir(PathBuf),
    CreateDir(PathBuf),
    /// Covers the changes up to number `mark`.
    SyncDir {
        path: PathBuf,
        mark: u64,
    },
    List(PathBuf),
    ReadFile(PathBuf),
    Write {
        node: usize,
        data: WriteData,
        position: u64,
        sync: WriteSync,
        io: IoMode,
    },
    Read {
        node: usize,
        position: u64,
        len_bytes: usize,
        io: IoMode,
    },
    /// Covers the changes up to number `mark`.
    Sync {
        node: usize,
        mark: u64,
    },
    /// Flushes the cache of the node's device only. Covers the changes up to number `mark`.
    Flush {
        node: usize,
        mark: u64,
    },
    Change {
        node: usize,
        change: FileChange,
    },
    Size(usize),
    NextData {
        node: usize,
        position: u64,
    },
}

/// The result of an operation. The action decides which fields have a meaning.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) node: usize,
    pub(super) len: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) entries: Vec<DirEntry>,
    pub(super) buffer: Option<ReadBuffer>,
    pub(super) range: Option<Range<u64>>,
}

/// Returns the node and the byte range that an operation writes; `None` if it is no write.
pub(super) fn written_range(action: &Action) -> Option<(usize, Range<u64>)> {
    match action {
        Action::Write { node, data, position, .. } => Some((*node, *position..*position + data.len() as u64)),
        _ => None,
    }
}

/// Returns the checksum of the bytes that an operation writes. Returns nothing in release builds, where it would only
/// cost time.
pub(super) fn checksum_of(action: &Action) -> Option<u32> {
    match action {
        Action::Write { data, .. } if cfg!(debug_assertions) => Some(crc_fast::crc32_iscsi(data)),
        _ => None,
    }
}
