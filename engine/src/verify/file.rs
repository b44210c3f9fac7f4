//! Reads one segment file on its own, batch by batch, so that it can be shown. Needs no lock, and the file may be any
//! copy of a segment.

use super::window::Window;
use crate::catalog::partition_of;
use crate::error::{CorruptionKind, DiskError};
use crate::record::{BatchError, BatchHeader, RecordBatch};
use crate::segment;
use std::path::{Path, PathBuf};

/// A segment file that is read from its first batch on.
pub struct SegmentFile {
    path: PathBuf,
    window: Window,
    /// Byte at which the next batch begins.
    position: u64,
    /// Offset with which the next batch has to begin; `None` if it is not known.
    expected: Option<i64>,
    /// Leader epoch of the last batch. That of the next one is not lower.
    epoch: i32,
    /// The reason why the batches end before the file does, once it is known.
    fault: Option<String>,
}

/// A whole batch of a segment file, whose checksum holds.
#[derive(Debug)]
pub struct BatchAt<'a> {
    /// Byte of the file at which the batch begins.
    pub position: u64,
    /// The batch.
    pub batch: RecordBatch<'a>,
    /// Whether its records decode. Those of a compressed batch are not decoded.
    pub records: Result<(), BatchError>,
}

/// The end of the batches in a segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchesEnd {
    /// The batches end where the file ends.
    WithFile,
    /// Only zeros follow, as in a segment that is not sealed.
    Zeros {
        /// Byte at which the batches end.
        position: u64,
        /// Number of zeros, bytes.
        bytes: u64,
    },
    /// The bytes that follow are not the next batch.
    Fault {
        /// Byte at which the batches end.
        position: u64,
        /// The reason why no batch begins there.
        message: String,
        /// Byte and base offset of a whole batch further behind that could follow, if there is one.
        behind: Option<(u64, i64)>,
    },
}

impl SegmentFile {
    /// Opens the file at `path`. If its name is that of a segment, its first batch has to begin with the offset in the
    /// name.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let window = Window::open(path)?;
        let name = path.file_name().and_then(|name| name.to_str());
        Ok(Self {
            path: path.to_path_buf(),
            window,
            position: 0,
            expected: name.and_then(segment::base_offset_of),
            epoch: i32::MIN,
            fault: None,
        })
    }

    /// Returns the size of the file, bytes.
    pub const fn file_bytes(&self) -> u64 {
        self.window.file_bytes
    }

    /// Returns the topic in the name of the directory that holds the file; `None` if that is no partition's directory.
    pub fn topic(&self) -> Option<&str> {
        let dir = self.path.parent()?.file_name()?.to_str()?;
        partition_of(dir).map(|(topic, _)| topic)
    }

    /// Whether both index files lie beside the file. They are written when a segment is sealed.
    pub fn is_sealed(&self) -> bool {
        ["index", "timeindex"].iter().all(|extension| self.path.with_extension(extension).is_file())
    }

    /// Returns the next batch. `None` once the batches have ended: [`SegmentFile::end`] says how.
    ///
    /// # Errors
    /// Reading failed.
    pub fn next_batch(&mut self) -> Result<Option<BatchAt<'_>>, DiskError> {
        if self.fault.is_some() {
            return Ok(None);
        }
        let position = self.position;
        let (header, records) = match self.window.batch(position)? {
            None => return Ok(None),
            Some(Ok(found)) => (found.header, found.records),
            Some(Err(error)) => {
                self.fault = Some(error.to_string());
                return Ok(None);
            }
        };
        self.fault = self.misplaced(&header);
        if self.fault.is_some() {
            return Ok(None);
        }
        self.position += header.total_bytes() as u64;
        self.expected = Some(header.next_offset());
        self.epoch = header.partition_leader_epoch;
        let bytes = self.window.at(position, header.total_bytes())?;
        let batch = RecordBatch::parse(bytes).expect("the window has parsed this batch before");
        Ok(Some(BatchAt { position, batch, records }))
    }

    /// Returns the reason why a batch cannot be the next one of the segment.
    fn misplaced(&self, header: &BatchHeader) -> Option<String> {
        let (found, epoch) = (header.base_offset, header.partition_leader_epoch);
        if let Some(expected) = self.expected.filter(|expected| *expected != found) {
            return Some(CorruptionKind::OffsetGap { expected, found }.to_string());
        }
        (epoch < self.epoch)
            .then(|| format!("the batch has the leader epoch {epoch}, the one before it {}", self.epoch))
    }

    /// Returns how the batches have ended, once [`SegmentFile::next_batch`] has returned `None`. Searches the rest of the
    /// file for batches if it is not empty.
    ///
    /// # Errors
    /// Reading failed.
    pub fn end(&mut self) -> Result<BatchesEnd, DiskError> {
        let position = self.position;
        let Some(message) = self.fault.clone() else { return Ok(BatchesEnd::WithFile) };
        if self.window.data_end(position)? == position {
            return Ok(BatchesEnd::Zeros { position, bytes: self.window.file_bytes - position });
        }
        let offset_min = self.expected.unwrap_or(0);
        let behind = self.window.find_batch(position + 1, offset_min, self.epoch)?;
        let behind = behind.map(|(at, header)| (at, header.base_offset));
        Ok(BatchesEnd::Fault { position, message, behind })
    }
}
