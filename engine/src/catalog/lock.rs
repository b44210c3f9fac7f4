//! Who may have a data directory open: one engine, or readers that change nothing.

use super::LOCK_FILE;
use crate::error::{DiskError, DiskOp, OpenError};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to wait for another process to let go: after a kill, its last writes may still be on their way.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// What the directory is locked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockKind {
    /// To change it: nobody else. The lock file is made if need be.
    Exclusive,
    /// To read it: nobody who changes it. The lock file must be there.
    Shared,
}

/// Locks `data_dir` as long as the file is open.
///
/// # Errors
/// Somebody else holds it, or the file cannot be opened or locked.
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
