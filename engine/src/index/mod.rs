//! Offset and time index of one segment: pure bytes. No I/O, no async.
//!
//! Both are sparse: about one entry each `index_interval_bytes` of log. They only say where to begin looking, so they can
//! always be rebuilt from the segment. The files are Kafka's, which its tools check against the log: an entry carries the
//! *last* offset of its batch. `docs/format.md` is normative.

mod offset;
mod time;

pub use offset::{OFFSET_ENTRY_BYTES, OffsetEntry, OffsetIndex};
pub use time::{TIME_ENTRY_BYTES, TimeEntry, TimeIndex};

use thiserror::Error;

/// Largest relative offset and largest position an entry can hold: Kafka reads both as signed.
pub const INDEX_FIELD_MAX: u32 = 0x7FFF_FFFF;

/// The offset of an entry relative to its segment; `None` if it lies below `base_offset` or too far above. A log rolls
/// before its last offset gets too far.
pub fn relative_offset(base_offset: i64, offset: i64) -> Option<u32> {
    let relative = u32::try_from(offset.checked_sub(base_offset)?).ok()?;
    (relative <= INDEX_FIELD_MAX).then_some(relative)
}

/// The bytes are no index of this kind: rebuild it from the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IndexError {
    /// The length is not a whole number of entries.
    #[error("{file_bytes} bytes are not a whole number of {entry_bytes}-byte entries; rebuild the index")]
    PartialEntry {
        /// Length of the file.
        file_bytes: usize,
        /// Length of an entry.
        entry_bytes: usize,
    },
    /// An entry is not above its predecessor, as in a file that a crash left with a tail of zeros.
    #[error("entry {entry} is not above the one before it; rebuild the index")]
    NotIncreasing {
        /// Which, from 0.
        entry: usize,
    },
    /// An entry's offset, position or timestamp is negative.
    #[error("entry {entry} is out of range; rebuild the index")]
    OutOfRange {
        /// Which, from 0.
        entry: usize,
    },
}

/// The file's entries as arrays of `N` bytes.
fn entries_of<const N: usize>(file: &[u8]) -> Result<&[[u8; N]], IndexError> {
    match file.as_chunks::<N>() {
        (entries, []) => Ok(entries),
        _ => Err(IndexError::PartialEntry { file_bytes: file.len(), entry_bytes: N }),
    }
}
