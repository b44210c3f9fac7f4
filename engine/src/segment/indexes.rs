//! A segment's two indexes, in memory and on disk. The files on disk only save work: in doubt, an index is rebuilt from
//! its segment.

use super::{index_path, time_index_path};
use crate::disk::{Disk, DiskFile, OpenMode, WriteData, WriteSync};
use crate::error::DiskError;
use crate::index::{OffsetIndex, TimeIndex};
use crate::record::BatchHeader;
use crate::types::IoMode;
use std::path::Path;

/// The offset index and the time index of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexes {
    /// The positions at which batches begin.
    pub offsets: OffsetIndex,
    /// The timestamps of records.
    pub times: TimeIndex,
}

impl Indexes {
    /// Returns the indexes of an empty segment.
    pub const fn new(base_offset: i64) -> Self {
        Self { offsets: OffsetIndex::new(base_offset), times: TimeIndex::new(base_offset) }
    }

    /// Adds the segment's next batch to both indexes. The batch begins at `position`.
    ///
    /// # Panics
    /// If batches come out of order, or the log should have rolled before this batch.
    pub fn observe(&mut self, header: &BatchHeader, position: u32, index_interval_bytes: u32) {
        let bytes = crate::num::u32_of(header.total_bytes());
        self.times.observe(header.max_timestamp_ms, header.last_offset());
        if self.offsets.maybe_append(header.last_offset(), position, bytes, index_interval_bytes) {
            self.times.index_largest();
        }
    }
}

/// Writes both index files of a segment that is being sealed, and makes their bytes durable.
///
/// # Errors
/// A step failed. The segment itself is not changed.
pub async fn write_indexes<D: Disk>(
    disk: &D,
    dir: &Path,
    base_offset: i64,
    indexes: &mut Indexes,
) -> Result<(), DiskError> {
    indexes.times.index_largest();
    let files = [
        (index_path(dir, base_offset), indexes.offsets.encode()),
        (time_index_path(dir, base_offset), indexes.times.encode()),
    ];
    for (path, bytes) in files {
        let file = disk.open(&path, OpenMode::Replace, IoMode::Buffered).await?;
        if !bytes.is_empty() {
            file.write(WriteData::Heap(bytes.into()), 0, WriteSync::None).await?;
        }
        file.sync().await?;
    }
    Ok(())
}

/// Removes both index files of a segment, if they exist. The removal is durable only after a sync of the directory.
///
/// # Errors
/// A file exists and cannot be removed.
pub async fn remove_indexes<D: Disk>(disk: &D, dir: &Path, base_offset: i64) -> Result<(), DiskError> {
    for path in [index_path(dir, base_offset), time_index_path(dir, base_offset)] {
        match disk.remove_file(&path).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Reads the offset index of a sealed segment of `size_bytes`. Returns `None` if the file is missing or cannot be
/// right. Then the segment has to be scanned.
///
/// # Errors
/// The file exists and cannot be read.
pub async fn load_indexes<D: Disk>(
    disk: &D,
    dir: &Path,
    base_offset: i64,
    size_bytes: u64,
) -> Result<Option<OffsetIndex>, DiskError> {
    let bytes = match disk.read_file(&index_path(dir, base_offset)).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(index) = OffsetIndex::decode(base_offset, &bytes) else { return Ok(None) };
    let inside = index.entries().last().is_none_or(|entry| u64::from(entry.position) < size_bytes);
    Ok(inside.then_some(index))
}
