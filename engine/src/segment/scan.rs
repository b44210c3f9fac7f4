//! Scans a segment from its first byte: checks every batch, rebuilds the indexes, and finds the end of the valid
//! batches.

use super::window::{READ_BYTES_MAX, Window};
use super::{Indexes, SearchRequest, SearchStep};
use crate::buffer::Arena;
use crate::disk::{DiskFile, yield_now};
use crate::error::{CorruptionKind, DiskError};
use crate::index::{INDEX_FIELD_MAX, relative_offset};
use crate::record::{self, BATCH_HEADER_BYTES, BatchError, BatchHeader};

/// The segment to scan, and the bounds that its batches must keep.
#[derive(Debug, Clone, Copy)]
pub struct ScanRequest {
    /// Base offset of the segment.
    pub base_offset: i64,
    /// Smallest leader epoch that a batch may have: that of the batch before the segment.
    pub epoch_min: i32,
    /// Largest leader epoch that a batch may have: the incarnation before this open.
    pub epoch_max: i32,
    /// Size of the largest batch that can have been written, bytes.
    pub batch_bytes_max: usize,
    /// Bytes of batches between two index entries.
    pub index_interval_bytes: u32,
}

/// The result of a scan.
#[derive(Debug)]
pub struct Scanned {
    /// Bytes of the whole and valid batches from the segment's beginning on.
    pub valid_bytes: u64,
    /// The offset after the last valid batch.
    pub next_offset: i64,
    /// Epoch of the last valid batch, or the request's minimum.
    pub epoch: i32,
    /// The rebuilt indexes.
    pub indexes: Indexes,
    /// The reason why the scan stopped.
    pub end: ScanEnd,
    /// Size of the file, bytes.
    pub file_bytes: u64,
}

/// The reason why a scan stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanEnd {
    /// The last valid batch ends with the file.
    Whole,
    /// The bytes behind the last valid batch are no batch of this log. Mostly they are zeros.
    Invalid(CorruptionKind),
}

/// Scans a segment from its beginning. Bad bytes are a result, not an error.
///
/// # Errors
/// A read failed.
pub async fn scan<F: DiskFile>(file: &F, arena: &Arena, request: &ScanRequest) -> Result<Scanned, DiskError> {
    let file_bytes = file.size().await?;
    let mut window = Window::new(file, arena, 0, file_bytes);
    let mut scanned = Scanned {
        valid_bytes: 0,
        next_offset: request.base_offset,
        epoch: request.epoch_min,
        indexes: Indexes::new(request.base_offset),
        end: ScanEnd::Whole,
        file_bytes,
    };
    // Batches are consumed from `at`; the window moves in large steps so that draining it stays cheap.
    let mut at = 0;
    loop {
        if at > READ_BYTES_MAX {
            window.advance(at);
            at = 0;
        }
        window.fill(at + BATCH_HEADER_BYTES).await?;
        if window.bytes.len() == at {
            return Ok(scanned);
        }
        let needed = record::peek_total_bytes(&window.bytes[at..]).unwrap_or(0);
        if needed <= request.batch_bytes_max {
            window.fill(at + needed).await?;
        }
        match check_batch(&window.bytes[at..], request, &scanned) {
            Ok((header, position)) => {
                scanned.indexes.observe(&header, position, request.index_interval_bytes);
                scanned.valid_bytes += header.total_bytes() as u64;
                scanned.next_offset = header.next_offset();
                scanned.epoch = header.partition_leader_epoch;
                at += header.total_bytes();
            }
            Err(kind) => {
                scanned.end = ScanEnd::Invalid(kind);
                return Ok(scanned);
            }
        }
    }
}

/// Checks the batch at the front of `bytes`. Its CRC has to hold, its base offset has to follow the batch before, and
/// its epoch has to be possible. An index entry has to be able to hold its last offset and its position. Returns its
/// header and its position.
fn check_batch(
    bytes: &[u8],
    request: &ScanRequest,
    scanned: &Scanned,
) -> Result<(BatchHeader, u32), CorruptionKind> {
    let header = BatchHeader::parse(bytes)?;
    if header.total_bytes() > request.batch_bytes_max {
        let batch_length = i32::try_from(header.batch_length).unwrap_or(i32::MAX);
        return Err(BatchError::BadLength { batch_length }.into());
    }
    record::verify_crc(bytes)?;
    if header.base_offset != scanned.next_offset {
        return Err(CorruptionKind::OffsetGap { expected: scanned.next_offset, found: header.base_offset });
    }
    let epoch = header.partition_leader_epoch;
    if epoch > request.epoch_max {
        return Err(CorruptionKind::EpochAhead { found: epoch, newest: request.epoch_max });
    }
    if epoch < scanned.epoch {
        return Err(CorruptionKind::Metadata(format!(
            "leader epoch {epoch} is below {}, that of the batch before",
            scanned.epoch
        )));
    }
    let last_offset = header.last_offset();
    let position = u32::try_from(scanned.valid_bytes).ok().filter(|position| *position <= INDEX_FIELD_MAX);
    let (Some(position), Some(_)) = (position, relative_offset(request.base_offset, last_offset)) else {
        return Err(CorruptionKind::Metadata(format!(
            "a batch at byte {} that ends with offset {last_offset} is too far from the segment's start, offset {}",
            scanned.valid_bytes, request.base_offset
        )));
    };
    Ok((header, position))
}

/// Searches a segment's file from `start` on. Returns the position and the base offset of the first batch that counts.
/// Parts of the file that were never written are not read.
///
/// # Errors
/// A read failed.
pub async fn search<F: DiskFile>(
    file: &F,
    arena: &Arena,
    start: u64,
    request: &SearchRequest,
) -> Result<Option<(u64, i64)>, DiskError> {
    let mut position = start;
    while let Some(data) = file.next_data(position).await? {
        let (from, file_bytes) = (data.start.max(position), data.end);
        let mut window = Window::new(file, arena, from, file_bytes);
        loop {
            window.fill(READ_BYTES_MAX + request.batch_bytes_max).await?;
            let starts = window.bytes.len().min(READ_BYTES_MAX);
            if starts == 0 {
                break;
            }
            match request.step(window.position, &window.bytes, starts) {
                SearchStep::Found(at, base_offset) => {
                    return Ok(Some((window.position + at as u64, base_offset)));
                }
                SearchStep::Continue(bytes) => {
                    window.advance(bytes);
                    if bytes < starts {
                        // The step has checksummed many bytes, which takes long.
                        yield_now().await;
                    }
                }
            }
        }
        position = file_bytes;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::disk::{Disk as _, OpenMode, WriteData, WriteSync};
    use crate::record::{BatchBuilder, RecordRef, stamp};
    use crate::types::IoMode;
    use std::path::Path;

    /// Returns a batch of one record that claims the offsets from `base_offset` to `base_offset + last_offset_delta`,
    /// as compaction may leave one.
    fn sparse_batch(base_offset: i64, last_offset_delta: i32) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.push(&RecordRef { timestamp_ms: base_offset, key: None, value: None, headers: &[] }).unwrap();
        let mut bytes = builder.finish().bytes;
        stamp(&mut bytes, base_offset, 0);
        bytes[23..27].copy_from_slice(&last_offset_delta.to_be_bytes());
        bytes[35..43].copy_from_slice(&base_offset.to_be_bytes());
        let crc = crc_fast::crc32_iscsi(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    #[test]
    fn a_scan_ends_before_a_batch_that_no_index_can_name() {
        let first = sparse_batch(0, i32::MAX);
        let second = sparse_batch(1 << 31, 0);
        let bytes = [&*first, &*second].concat();
        let (disk, arena) = (SimDisk::new(1), Arena::new(1 << 21).unwrap());
        let request = ScanRequest {
            base_offset: 0,
            epoch_min: 0,
            epoch_max: 0,
            batch_bytes_max: 1 << 20,
            index_interval_bytes: 0,
        };
        let scanned = disk.run_until(async {
            let file = disk.open(Path::new("log"), OpenMode::CreateNew, IoMode::Buffered).await.unwrap();
            file.write(WriteData::Heap(bytes.into()), 0, WriteSync::None).await.unwrap();
            scan(&file, &arena, &request).await.unwrap()
        });
        assert_eq!(scanned.valid_bytes, first.len() as u64);
        assert_eq!(scanned.next_offset, 1 << 31);
        assert!(matches!(scanned.end, ScanEnd::Invalid(_)), "{:?}", scanned.end);
    }
}
