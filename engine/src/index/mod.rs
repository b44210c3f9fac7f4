//! The offset index and the time index of one segment, as plain bytes. No I/O, no async.
//!
//! Both are sparse, with about one entry for each `index_interval_bytes` of the log. They only tell where a search
//! begins, so they can always be rebuilt from the segment. The file formats are Kafka's, and Kafka's tools check such
//! files against the log: an entry holds the *last* offset of its batch. `docs/format.md` is normative.

mod offset;
mod time;

pub use offset::{OFFSET_ENTRY_BYTES, OffsetEntry, OffsetIndex};
pub use time::{TIME_ENTRY_BYTES, TimeEntry, TimeIndex};

use thiserror::Error;

/// Largest relative offset and largest position that an entry can hold. Kafka reads both as signed numbers.
pub const INDEX_FIELD_MAX: u32 = 0x7FFF_FFFF;

/// Returns an offset relative to `base_offset`. Returns `None` if it lies below `base_offset`, or too far above it for
/// an entry. A log rolls before its last offset is too far.
pub fn relative_offset(base_offset: i64, offset: i64) -> Option<u32> {
    let relative = u32::try_from(offset.checked_sub(base_offset)?).ok()?;
    (relative <= INDEX_FIELD_MAX).then_some(relative)
}

/// An error in the bytes of an index file. The index has to be rebuilt from the segment.
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
        /// Number of the entry, from 0.
        entry: usize,
    },
    /// An entry's offset, position or timestamp is negative.
    #[error("entry {entry} is out of range; rebuild the index")]
    OutOfRange {
        /// Number of the entry, from 0.
        entry: usize,
    },
}

/// Returns the file's entries as arrays of `N` bytes.
fn entries_of<const N: usize>(file: &[u8]) -> Result<&[[u8; N]], IndexError> {
    match file.as_chunks::<N>() {
        (entries, []) => Ok(entries),
        _ => Err(IndexError::PartialEntry { file_bytes: file.len(), entry_bytes: N }),
    }
}
