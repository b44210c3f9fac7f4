//! Extents: the parts of a segment's file that are read at once. Each begins and ends with a batch.

use crate::buffer::{BLOCK_BYTES, ReadBuffer, Slice};
use crate::disk::DiskFile;
use crate::error::DiskError;
use crate::index::OffsetIndex;
use crate::num::{align_down, u32_of, usize_of};

/// Bytes of batches that one read from disk should get. With the alignment around them they fit into a 1 MiB chunk.
pub(in crate::log) const EXTENT_BYTES: u64 = (1 << 20) - 2 * BLOCK_BYTES as u64;

/// A read of an extent in whole blocks.
#[derive(Debug, Clone, Copy)]
pub(in crate::log) struct AlignedRead {
    /// File position of the first block.
    aligned: u64,
    /// Bytes of the first block before the extent.
    skip: usize,
    /// Bytes from the first block to the extent's end.
    wanted: usize,
}

impl AlignedRead {
    /// The read of the bytes [start, end).
    pub(in crate::log) fn new(start: u64, end: u64) -> Self {
        let aligned = align_down(start, BLOCK_BYTES as u64);
        Self { aligned, skip: usize_of(start - aligned), wanted: usize_of(end - aligned) }
    }

    /// Size of the buffer that the read needs, bytes.
    pub(in crate::log) const fn read_bytes(self) -> usize {
        self.wanted.next_multiple_of(BLOCK_BYTES)
    }

    /// Reads the extent. Returns fewer bytes if the file is shorter; a caller that parses them then finds damage.
    pub(in crate::log) async fn read<F: DiskFile>(
        self,
        file: &F,
        buffer: ReadBuffer,
    ) -> Result<Slice, DiskError> {
        let (buffer, got) = file.read(buffer, self.aligned, self.read_bytes()).await?;
        let got = got.min(self.wanted);
        Ok(buffer.freeze(got).part(self.skip.min(got)..got))
    }
}

/// The end of the extent that begins with the batch at `start`. It is the start of a batch, so that no batch lies in
/// two extents.
pub(in crate::log) fn extent_end(offsets: &OffsetIndex, start: u64, segment_end: u64) -> u64 {
    if segment_end - start <= EXTENT_BYTES {
        return segment_end;
    }
    let limit = u32_of(usize_of(start + EXTENT_BYTES));
    let end = u64::from(offsets.last_position_up_to(limit));
    if end > start {
        return end.min(segment_end);
    }
    let start = u32_of(usize_of(start));
    offsets.first_position_after(start).map_or(segment_end, |end| u64::from(end).min(segment_end))
}
