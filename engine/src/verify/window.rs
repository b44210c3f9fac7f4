//! A file that is read through a window of a few MiB, and the batches in it.

use super::direct::{AlignedBytes, DirectFile};
use crate::config::BATCH_BYTES_MAX;
use crate::error::{DiskError, DiskOp};
use crate::num::usize_of;
use crate::record::{self, BATCH_HEADER_BYTES, BatchError, BatchHeader, RecordBatch};
use crate::segment::{SearchRequest, SearchStep};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of one read at least. The kernel cuts a read into several that are under way at once.
const READ_BYTES: u64 = 16 << 20;
/// Bytes of one step of a search.
const STEP_BYTES: usize = 1 << 20;

/// A batch whose checksum is right.
pub(crate) struct ValidBatch {
    pub(crate) header: BatchHeader,
    /// Whether its records decode.
    pub(super) records: Result<(), BatchError>,
}

/// The number of records in a part of a file.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) records: u64,
    /// The offset of the first record, and the offset after the last one.
    pub(crate) offsets: Option<(i64, i64)>,
    /// Byte at which the last record's batch ends.
    pub(crate) end: u64,
}

/// A file, and the part of it that is in memory.
pub(crate) struct Window {
    file: DirectFile,
    path: PathBuf,
    bytes: AlignedBytes,
    /// Position in the file of the first byte in memory.
    start: u64,
    pub(crate) file_bytes: u64,
}

impl Window {
    pub(crate) fn open(path: &Path) -> Result<Self, DiskError> {
        let file = DirectFile::open(path)?;
        let metadata = file.file().metadata();
        let metadata = metadata.map_err(|error| DiskError::new(DiskOp::Open, path, 0, error))?;
        let bytes = AlignedBytes::default();
        Ok(Self { file, path: path.to_path_buf(), bytes, start: 0, file_bytes: metadata.len() })
    }

    /// Returns `wanted` bytes from `position` on, or fewer at the end of the file.
    pub(super) fn at(&mut self, position: u64, wanted: usize) -> Result<&[u8], DiskError> {
        let position = position.min(self.file_bytes);
        let end = position.saturating_add(wanted as u64).min(self.file_bytes);
        let in_memory = self.start..self.start + self.bytes.as_slice().len() as u64;
        if position < in_memory.start || end > in_memory.end {
            // More than what is wanted, so that the next batches need no read.
            let to = end.max(position + READ_BYTES).min(self.file_bytes);
            self.start = self.file.read(position, to, &mut self.bytes)?;
        }
        Ok(&self.bytes.as_slice()[usize_of(position - self.start)..usize_of(end - self.start)])
    }

    /// Returns the batch at `position`, or its fault if it is not whole or its checksum is wrong. `None` at the end of
    /// the file.
    pub(crate) fn batch(
        &mut self,
        position: u64,
    ) -> Result<Option<Result<ValidBatch, BatchError>>, DiskError> {
        let header_bytes = self.at(position, BATCH_HEADER_BYTES)?;
        if header_bytes.is_empty() {
            return Ok(None);
        }
        let header = match BatchHeader::parse(header_bytes) {
            Ok(header) if header.total_bytes() > BATCH_BYTES_MAX => {
                let batch_length = i32::try_from(header.batch_length).unwrap_or(i32::MAX);
                return Ok(Some(Err(BatchError::BadLength { batch_length })));
            }
            Ok(header) => header,
            Err(error) => return Ok(Some(Err(error))),
        };
        let bytes = self.at(position, header.total_bytes())?;
        let batch = RecordBatch::parse(bytes).and_then(|batch| batch.verify_crc().map(|()| batch));
        Ok(Some(batch.map(|batch| ValidBatch { header, records: check_records(&batch) })))
    }

    /// Returns the first whole batch that begins at `from` or at any later byte, with its position. Its offset has to
    /// be at least `offset_min`, and its leader epoch at least `epoch_min`.
    pub(super) fn find_batch(
        &mut self,
        from: u64,
        offset_min: i64,
        epoch_min: i32,
    ) -> Result<Option<(u64, BatchHeader)>, DiskError> {
        let mut position = from;
        loop {
            let bytes = self.at(position, STEP_BYTES + BATCH_BYTES_MAX)?;
            let starts = bytes.len().saturating_sub(BATCH_HEADER_BYTES - 1).min(STEP_BYTES);
            if starts == 0 {
                return Ok(None);
            }
            for at in 0..starts {
                // The magic byte alone excludes nearly every position.
                if bytes[at + 16] != 2 {
                    continue;
                }
                let Ok(header) = BatchHeader::parse(&bytes[at..]) else { continue };
                let plausible = header.base_offset >= offset_min
                    && header.partition_leader_epoch >= epoch_min
                    && header.total_bytes() <= BATCH_BYTES_MAX;
                if plausible && record::verify_crc(&bytes[at..]).is_ok() {
                    return Ok(Some((position + at as u64, header)));
                }
            }
            position += starts as u64;
        }
    }

    /// Counts the records of offset `offset_min` or above in whole batches that begin in `range`.
    pub(crate) fn count(&mut self, range: Range<u64>, offset_min: i64) -> Result<Counted, DiskError> {
        let mut counted = Counted::default();
        let mut position = range.start;
        while position < range.end {
            match self.batch(position)? {
                None => break,
                Some(Ok(ValidBatch { header, .. })) => {
                    if header.base_offset >= offset_min {
                        counted.records += u64::from(header.record_count);
                        let first = counted.offsets.map_or(header.base_offset, |(first, _)| first);
                        counted.offsets = Some((first, header.next_offset()));
                    }
                    position += header.total_bytes() as u64;
                    counted.end = position;
                }
                Some(Err(_)) => match self.find_batch(position + 1, offset_min, i32::MIN)? {
                    Some((found, _)) => position = found,
                    None => break,
                },
            }
        }
        Ok(counted)
    }

    /// Searches from `start` on for the first batch that matches `request`. Returns its base offset. Skips parts of the
    /// file that were never written.
    pub(super) fn search(&mut self, start: u64, request: &SearchRequest) -> Result<Option<i64>, DiskError> {
        let mut position = start;
        while let Some(data) = self.next_data(position)? {
            position = data.start.max(position);
            while position < data.end {
                let rest = data.end - position;
                let wanted = usize_of(rest.min((STEP_BYTES + request.batch_bytes_max) as u64));
                let bytes = self.at(position, wanted)?;
                let starts = bytes.len().min(STEP_BYTES);
                match request.step(position, bytes, starts) {
                    SearchStep::Found(_, base_offset) => return Ok(Some(base_offset)),
                    SearchStep::Continue(bytes) => position += bytes as u64,
                }
            }
        }
        Ok(None)
    }

    /// Returns where the last byte ends that is not zero, at or behind `position`. Returns `position` if there is none.
    pub(crate) fn data_end(&mut self, position: u64) -> Result<u64, DiskError> {
        let (mut at, mut end) = (position, position);
        while let Some(data) = self.next_data(at)? {
            at = data.start.max(at);
            while at < data.end {
                let bytes = self.at(at, usize_of((data.end - at).min(STEP_BYTES as u64)))?;
                let last = bytes.iter().rposition(|byte| *byte != 0);
                let len = bytes.len() as u64;
                end = last.map_or(end, |last| at + last as u64 + 1);
                at += len;
            }
        }
        Ok(end)
    }

    /// Returns the next range of the file, at or behind `position`, that was written. If the file system does not keep
    /// track of such ranges, returns all of the rest.
    fn next_data(&self, position: u64) -> Result<Option<Range<u64>>, DiskError> {
        let failed = |error: Errno| DiskError::new(DiskOp::Read, &self.path, position, error.into());
        if position >= self.file_bytes {
            return Ok(None);
        }
        let start = match seek(self.file.file(), SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(position..self.file_bytes)),
            Err(error) => return Err(failed(error)),
        };
        let end = seek(self.file.file(), SeekFrom::Hole(start)).map_err(failed)?.min(self.file_bytes);
        Ok((start < end).then_some(start..end))
    }
}

/// Checks that the records decode. Compressed records are not decoded: the batch's checksum covers them.
fn check_records(batch: &RecordBatch<'_>) -> Result<(), BatchError> {
    match batch.records().find_map(Result::err) {
        None | Some(BatchError::Compressed(_)) => Ok(()),
        Some(error) => Err(error),
    }
}
