//! One block on each of many files, made durable. This is the cost of a group commit without a log around it.

use super::ring::{Direction, Operation, Ring, RingSize};
use super::scratch::{self, Scratch, file_error};
use super::{DeviceError, Reap};
use crate::workload::Io;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const BLOCK_BYTES: u32 = super::BLOCK_ALIGN_BYTES;

/// The way in which a round is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Each write carries `RWF_DSYNC`.
    Each,
    /// Plain writes, and one fdatasync of one of the files after all writes have completed.
    Shared,
}

/// Written files and a ring, ready for rounds. The files are removed when this is dropped.
pub struct Commits {
    ring: Ring,
    files: Vec<(PathBuf, File)>,
    blocks: u64,
    round: u64,
    _scratch: Scratch,
}

impl Commits {
    /// Creates `files` files of `file_bytes` each in `dir`, written to their end and synced.
    ///
    /// # Errors
    /// The ring cannot be made, or a file operation fails.
    pub fn new(dir: &Path, files: u32, file_bytes: u64) -> Result<Self, DeviceError> {
        let scratch = Scratch::new(dir)?;
        let ring = Ring::new(RingSize { operations: files, buffer_bytes: BLOCK_BYTES, buffers: files })?;
        let zeros = vec![0; usize::try_from(file_bytes).unwrap_or_default()];
        let made = (0..files).map(|number| {
            let path = scratch.file(&format!("commit-{number}"));
            std::fs::write(&path, &zeros).map_err(|source| file_error("write", &path, source))?;
            let file = scratch::open(&path, Io::Direct, scratch.parent())?;
            file.sync_all().map_err(|source| file_error("sync", &path, source))?;
            Ok((path, file))
        });
        let files = made.collect::<Result<Vec<_>, DeviceError>>()?;
        scratch.sync()?;
        Ok(Self { ring, files, blocks: file_bytes / u64::from(BLOCK_BYTES), round: 0, _scratch: scratch })
    }

    /// Overwrites the next block of every file and makes those blocks durable. Returns the time that this took.
    ///
    /// # Errors
    /// The ring fails, or a write or a sync fails. A short write is an error, too.
    pub fn round(&mut self, commit: Commit) -> Result<Duration, DeviceError> {
        let position = self.round % self.blocks * u64::from(BLOCK_BYTES);
        self.round += 1;
        let direction = match commit {
            Commit::Each => Direction::WriteDsync,
            Commit::Shared => Direction::Write,
        };
        let begun = Instant::now();
        for (slot, (_, file)) in (0..).zip(&self.files) {
            self.ring.push(Operation {
                slot,
                direction,
                fd: file.as_raw_fd(),
                position,
                length: BLOCK_BYTES,
                done: 0,
            });
        }
        while self.ring.in_flight() > 0 {
            self.ring.enter(Reap::Wait)?;
            while let Some((slot, result)) = self.ring.completion() {
                let (path, _) = &self.files[crate::num::index(slot)];
                whole_block(result).map_err(|source| file_error("write", path, source))?;
            }
        }
        if commit == Commit::Shared {
            let (path, file) = &self.files[0];
            file.sync_data().map_err(|source| file_error("sync", path, source))?;
        }
        Ok(begun.elapsed())
    }
}

/// Checks that a write of one block has written all of the block. `result` is the kernel's: bytes, or a negative error.
fn whole_block(result: i32) -> io::Result<()> {
    match u32::try_from(result) {
        Ok(BLOCK_BYTES) => Ok(()),
        Ok(written) => {
            let message = format!("only {written} of {BLOCK_BYTES} bytes were written");
            Err(io::Error::new(io::ErrorKind::WriteZero, message))
        }
        Err(_) => Err(io::Error::from_raw_os_error(-result)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_is_written_in_part_is_an_error_that_says_so() {
        assert!(whole_block(4096).is_ok());
        assert_eq!(whole_block(512).unwrap_err().to_string(), "only 512 of 4096 bytes were written");
        assert_eq!(whole_block(0).unwrap_err().kind(), io::ErrorKind::WriteZero);
        assert_eq!(whole_block(-libc::ENOSPC).unwrap_err().raw_os_error(), Some(libc::ENOSPC));
    }

    #[test]
    fn rounds_overwrite_block_after_block_and_leave_nothing() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mut commits = Commits::new(dir.path(), 3, 2 * 4096).unwrap();
        for commit in [Commit::Each, Commit::Shared, Commit::Shared] {
            assert!(commits.round(commit).unwrap() > Duration::ZERO);
        }
        for (path, _) in &commits.files {
            let bytes = std::fs::read(path).unwrap();
            assert!(
                bytes.len() == 8192 && bytes.chunks(4096).all(|block| block.iter().any(|byte| *byte != 0))
            );
        }
        drop(commits);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
