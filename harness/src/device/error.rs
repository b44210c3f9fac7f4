//! What keeps the ceiling from being measured, each with what to do about it.

use crate::quantity;
use std::io;
use std::path::PathBuf;

const RING_MISSING_REMEDY: &str =
    "run Linux 6.1 or newer (in a container, allow the io_uring system calls in its seccomp profile)";
const RING_FORBIDDEN_REMEDY: &str = "set `sysctl kernel.io_uring_disabled=0` (in a container, allow the io_uring \
                                     system calls in its seccomp profile)";
/// For the limit on locked memory (RLIMIT_MEMLOCK).
pub(crate) const MEMLOCK_REMEDY: &str = "raise it: `ulimit -l unlimited`, or `* - memlock unlimited` in /etc/security/limits.conf (systemd: \
     LimitMEMLOCK=infinity; docker: --ulimit memlock=-1)";
const NO_DIRECT_REMEDY: &str = "choose a directory on a disk's file system (ext4, XFS), or io: buffered";
const NO_ALLOCATE_REMEDY: &str = "choose a directory on ext4, XFS, btrfs or tmpfs";

/// Why a ceiling could not be measured. Files are removed in every case.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A slice that makes no sense.
    #[error("cannot measure a ceiling: {reason}")]
    Spec {
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel was built without io_uring, or is older than 5.1.
    #[error(
        "this kernel has no io_uring: run Linux 6.1 or newer (in a container, allow the io_uring system calls)"
    )]
    RingMissing,
    /// io_uring is switched off or filtered.
    #[error("io_uring is not permitted: {RING_FORBIDDEN_REMEDY}")]
    RingForbidden,
    /// The ring found no memory that it may lock.
    #[error("the limit on locked memory (memlock) is too small for an io_uring; {MEMLOCK_REMEDY}")]
    RingMemory,
    /// The ring could not be made, or a call into it failed.
    #[error("io_uring failed to {action}")]
    Ring {
        /// What was being done.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// `O_DIRECT` was refused.
    #[error("the file system of {} does not support O_DIRECT: {NO_DIRECT_REMEDY}", dir.display())]
    NoDirect {
        /// The scratch directory asked for.
        dir: PathBuf,
    },
    /// `fallocate` was refused.
    #[error("the file system of {} cannot allocate space ahead (fallocate): {NO_ALLOCATE_REMEDY}", dir.display())]
    NoAllocate {
        /// The scratch directory asked for.
        dir: PathBuf,
    },
    /// Too little space, beforehand or in the middle.
    #[error(
        "too little free space in {}: {}, and a ceiling of this kind needs {} for its files; free some, or choose \
         another directory",
        dir.display(), quantity::bytes(*free_bytes), quantity::bytes(*needed_bytes)
    )]
    NoSpace {
        /// The scratch directory asked for.
        dir: PathBuf,
        /// What is free for us there.
        free_bytes: u64,
        /// What is needed at least.
        needed_bytes: u64,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A read or write failed.
    #[error("{op} of {length} B at {position} of {} failed", path.display())]
    Io {
        /// `read` or `write`.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// Byte in the file.
        position: u64,
        /// Bytes asked for.
        length: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl DeviceError {
    /// What to do about it, where that does not depend on the case; it is part of the message as well.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::RingMissing => Some(RING_MISSING_REMEDY),
            Self::RingForbidden => Some(RING_FORBIDDEN_REMEDY),
            Self::RingMemory => Some(MEMLOCK_REMEDY),
            Self::NoDirect { .. } => Some(NO_DIRECT_REMEDY),
            Self::NoAllocate { .. } => Some(NO_ALLOCATE_REMEDY),
            _ => None,
        }
    }
}
