//! The reasons why a ceiling cannot be measured, each with a remedy.

use crate::quantity;
use std::io;
use std::path::PathBuf;

const RING_MISSING_REMEDY: &str =
    "run Linux 6.1 or newer (in a container, allow the io_uring system calls in its seccomp profile)";
const RING_FORBIDDEN_REMEDY: &str = "set `sysctl kernel.io_uring_disabled=0` (in a container, allow the io_uring \
                                     system calls in its seccomp profile)";
/// Remedy for a limit on locked memory (RLIMIT_MEMLOCK) that is too small.
pub(crate) const MEMLOCK_REMEDY: &str = "raise it: `ulimit -l unlimited`, or `* - memlock unlimited` in /etc/security/limits.conf (systemd: \
     LimitMEMLOCK=infinity; docker: --ulimit memlock=-1)";
const NO_DIRECT_REMEDY: &str = "choose a directory on a disk's file system (ext4, XFS), or io: buffered";
const NO_ALLOCATE_REMEDY: &str = "choose a directory on ext4, XFS, btrfs or tmpfs";

/// The reason why a ceiling could not be measured. The scratch files are removed in every case.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The description of the slice is invalid.
    #[error("cannot measure a ceiling: {reason}")]
    Spec {
        /// The rule that the description breaks.
        reason: String,
    },
    /// The kernel was built without io_uring, or is older than 5.1.
    #[error(
        "this kernel has no io_uring: run Linux 6.1 or newer (in a container, allow the io_uring system calls)"
    )]
    RingMissing,
    /// io_uring is switched off, or a filter refuses its system calls.
    #[error("io_uring is not permitted: {RING_FORBIDDEN_REMEDY}")]
    RingForbidden,
    /// The ring needs more locked memory than the limit allows.
    #[error("the limit on locked memory (memlock) is too small for an io_uring; {MEMLOCK_REMEDY}")]
    RingMemory,
    /// The ring could not be set up, or one of its system calls failed.
    #[error("io_uring failed to {action}")]
    Ring {
        /// The action that failed, after the words "io_uring failed to".
        action: &'static str,
        /// The error of the kernel.
        source: io::Error,
    },
    /// The file system refused `O_DIRECT`.
    #[error("the file system of {} does not support O_DIRECT: {NO_DIRECT_REMEDY}", dir.display())]
    NoDirect {
        /// The directory that the scratch files were asked to be in.
        dir: PathBuf,
    },
    /// The file system refused `fallocate`.
    #[error("the file system of {} cannot allocate space ahead (fallocate): {NO_ALLOCATE_REMEDY}", dir.display())]
    NoAllocate {
        /// The directory that the scratch files were asked to be in.
        dir: PathBuf,
    },
    /// The free space was too small, before the files were written or while they were.
    #[error(
        "too little free space in {}: {} are free, but the files of this ceiling need {}; free some space, or choose \
         another directory",
        dir.display(), quantity::bytes(*free_bytes), quantity::bytes(*needed_bytes)
    )]
    NoSpace {
        /// The directory that the scratch files were asked to be in.
        dir: PathBuf,
        /// Bytes that are free there for this user.
        free_bytes: u64,
        /// Bytes that are needed at least.
        needed_bytes: u64,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The action that failed, after the word "cannot".
        action: &'static str,
        /// The file or directory of the action.
        path: PathBuf,
        /// The error of the kernel.
        source: io::Error,
    },
    /// A read or write failed.
    #[error("{op} of {length} B at {position} of {} failed", path.display())]
    Io {
        /// The operation: `read` or `write`.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// The byte in the file at which the operation began.
        position: u64,
        /// Number of bytes that were to be read or written.
        length: u32,
        /// The error of the kernel.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl DeviceError {
    /// Returns the remedy if it is the same for every case of this error. The message contains it as well.
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
