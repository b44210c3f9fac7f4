//! A file that is read past the page cache, where its file system allows that.
//!
//! A scan reads each byte once. In the page cache, a large log would take the place of pages that others use. On a virtual
//! machine whose host must first back each new page, reading through the page cache is also about four times as slow.

use crate::error::{DiskError, DiskOp};
use crate::num::usize_of;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Alignment in bytes of positions, sizes and memory that every disk accepts for direct reads.
const ALIGN: usize = 4096;

/// A file that is open for reading. Direct reads end in the page cache where the file system refuses them.
pub(super) struct DirectFile {
    file: File,
    path: PathBuf,
    is_direct: bool,
}

/// Memory whose used part begins at a multiple of [`ALIGN`] bytes.
#[derive(Default)]
pub(super) struct AlignedBytes {
    memory: Vec<u8>,
    /// Bytes in front of the used part.
    skipped: usize,
    /// Bytes that the used part may take, a multiple of [`ALIGN`].
    room: usize,
    /// Bytes in the used part.
    len: usize,
}

impl DirectFile {
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(path);
        let (opened, is_direct) = match direct {
            // The file system has no direct I/O.
            Err(error) if error.kind() == ErrorKind::InvalidInput => (File::open(path), false),
            direct => (direct, true),
        };
        let file = opened.map_err(|error| DiskError::new(DiskOp::Open, path, 0, error))?;
        Ok(Self { file, path: path.to_path_buf(), is_direct })
    }

    /// The file itself, for everything but reading.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Reads the bytes between two positions into `bytes`, whose previous content goes. Returns the position of the first byte
    /// that was read: `from`, rounded down to a multiple of [`ALIGN`]. Bytes after `to` may be read as well.
    ///
    /// # Errors
    /// The file cannot be read, or it ends before `to`. `bytes` is then empty.
    pub(super) fn read(&mut self, from: u64, to: u64, bytes: &mut AlignedBytes) -> Result<u64, DiskError> {
        let read = self.try_read(from, to, bytes);
        if read.is_err() {
            bytes.len = 0;
        }
        read
    }

    fn try_read(&mut self, from: u64, to: u64, bytes: &mut AlignedBytes) -> Result<u64, DiskError> {
        let start = from - from % ALIGN as u64;
        bytes.reserve(usize_of(to - start).next_multiple_of(ALIGN));
        let mut at = start;
        while at < to {
            match self.file.read_at(bytes.rest(), at) {
                Ok(0) => return Err(self.failed(at, ErrorKind::UnexpectedEof.into())),
                Ok(read) => {
                    bytes.len += read;
                    at += read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The disk asks for a larger alignment, or the last read ended at an odd place.
                Err(error) if error.kind() == ErrorKind::InvalidInput && self.is_direct => {
                    self.file = File::open(&self.path).map_err(|error| self.failed(at, error))?;
                    self.is_direct = false;
                }
                Err(error) => return Err(self.failed(at, error)),
            }
        }
        Ok(start)
    }

    fn failed(&self, position: u64, error: Error) -> DiskError {
        DiskError::new(DiskOp::Read, &self.path, position, error)
    }
}

impl AlignedBytes {
    /// The bytes that were read.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.memory[self.skipped..self.skipped + self.len]
    }

    /// Makes room for `room` bytes, a multiple of [`ALIGN`], and removes all content.
    fn reserve(&mut self, room: usize) {
        if self.memory.len() < room + ALIGN {
            self.memory = vec![0; room + ALIGN];
        }
        (self.len, self.room) = (0, room);
        self.skipped = self.memory.as_ptr().align_offset(ALIGN).min(ALIGN);
    }

    /// The memory after the bytes that were read.
    fn rest(&mut self) -> &mut [u8] {
        &mut self.memory[self.skipped + self.len..self.skipped + self.room]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(len: usize) -> Vec<u8> {
        (0..=250).cycle().take(len).collect()
    }

    proptest! {
        #[test]
        fn any_range_is_read_whole_whether_or_not_reads_are_direct(
            len in 1_usize..40_000, ends in (0_usize..40_000, 0_usize..40_000), is_direct: bool,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            std::fs::write(&path, content(len)).unwrap();
            let mut file = DirectFile::open(&path).unwrap();
            if !is_direct {
                file = DirectFile { file: File::open(&path).unwrap(), is_direct: false, ..file };
            }
            let (from, to) = (ends.0.min(ends.1).min(len), ends.0.max(ends.1).min(len));
            let mut bytes = AlignedBytes::default();
            // Earlier reads leave nothing behind.
            file.read(0, 1, &mut bytes).unwrap();
            let start = usize_of(file.read(from as u64, to as u64, &mut bytes).unwrap());
            prop_assert!(start <= from && from - start < ALIGN);
            prop_assert!(start + bytes.as_slice().len() >= to);
            prop_assert_eq!(bytes.as_slice(), &content(len)[start..start + bytes.as_slice().len()]);
        }

        #[test]
        fn a_file_that_ends_too_early_is_an_error_at_its_end(len in 0_usize..20_000, missing in 1_usize..20_000) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            std::fs::write(&path, content(len)).unwrap();
            let mut file = DirectFile::open(&path).unwrap();
            let error = file.read(0, (len + missing) as u64, &mut AlignedBytes::default()).unwrap_err();
            prop_assert_eq!((error.source.kind(), error.position), (ErrorKind::UnexpectedEof, len as u64));
        }
    }
}
