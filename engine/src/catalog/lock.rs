//! The lock of a data directory. It allows one engine, or any number of readers that change nothing.

use super::LOCK_FILE;
use crate::error::{DiskError, DiskOp, OpenError};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait for another process to release its lock. After a kill, its last writes may still be in flight, and keep
/// the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// The purpose of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockKind {
    /// Allows changes of the directory, and no other lock. The lock file is created if it is missing.
    Exclusive,
    /// Allows reads of the directory, and other shared locks. The lock file must exist.
    Shared,
}

/// Locks `data_dir`. The lock lasts as long as the returned file is open.
///
/// # Errors
/// Another process holds a lock that excludes this one, or the lock file cannot be opened or locked.
pub(crate) fn lock(data_dir: &Path, kind: LockKind) -> Result<File, OpenError> {
    let path = data_dir.join(LOCK_FILE);
    let (opened, operation) = match kind {
        LockKind::Exclusive => {
            let opened = File::options().create(true).truncate(false).write(true).open(&path);
            (opened, FlockOperation::NonBlockingLockExclusive)
        }
        LockKind::Shared => (File::open(&path), FlockOperation::NonBlockingLockShared),
    };
    let file = opened.map_err(|error| DiskError::new(DiskOp::Lock, &path, 0, error))?;
    let begun = Instant::now();
    loop {
        match rustix::fs::flock(&file, operation) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(OpenError::InUse { path: data_dir.to_path_buf() });
            }
            Err(error) => return Err(DiskError::new(DiskOp::Lock, &path, 0, error.into()).into()),
        }
    }
}
