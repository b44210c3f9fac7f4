//! Errors of disk operations.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// A disk operation that failed.
#[derive(Debug, Clone, Error)]
#[error("cannot {op} {}{}: {source}{}", path.display(), self.place(), self.hint())]
pub struct DiskError {
    /// The operation.
    pub op: DiskOp,
    /// The file or directory.
    pub path: PathBuf,
    /// Byte of the file, or 0 if the operation has none.
    pub position: u64,
    /// The operating system's error.
    #[source]
    pub source: Arc<std::io::Error>,
}

impl DiskError {
    /// Makes the error of `op` on `path`.
    pub fn new(op: DiskOp, path: &Path, position: u64, source: std::io::Error) -> Self {
        Self { op, path: path.to_path_buf(), position, source: Arc::new(source) }
    }

    /// Whether the disk is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self.source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    }

    /// Whether the error concerns only this file or directory, and not the disk as a whole: it is missing, of another
    /// kind, too large to be the engine's, not readable by this user, a circle of links, or its sectors are bad.
    pub fn is_of_this_file(&self) -> bool {
        use std::io::ErrorKind;
        let is_bad_path = matches!(self.source.raw_os_error(), Some(libc::EIO | libc::ELOOP));
        let is_kind = matches!(
            self.source.kind(),
            ErrorKind::NotFound
                | ErrorKind::PermissionDenied
                | ErrorKind::IsADirectory
                | ErrorKind::NotADirectory
                | ErrorKind::InvalidData
        );
        is_bad_path || is_kind
    }

    /// Whether the process (EMFILE) or the machine (ENFILE) has no descriptor left.
    pub fn is_too_many_open(&self) -> bool {
        matches!(self.source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
    }

    /// Returns the byte in words, if the operation has one.
    fn place(&self) -> String {
        if self.position == 0 { String::new() } else { format!(" at byte {}", self.position) }
    }

    /// Names the limit that was reached, and how to raise it. Empty for other errors.
    fn hint(&self) -> String {
        match self.source.raw_os_error() {
            Some(libc::EMFILE) => {
                let soft_limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
                let limit = soft_limit.map_or_else(|| "any number of".to_owned(), |limit| limit.to_string());
                format!(" (this process may have {limit} files open: raise it with `ulimit -n`)")
            }
            Some(libc::ENFILE) => {
                " (the limit of the whole machine is reached: raise `sysctl fs.file-max`; `ulimit -n` does not help)"
                    .to_owned()
            }
            _ => String::new(),
        }
    }

    /// Whether no file or directory has this name.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::NotFound
    }
}

/// The kind of a disk operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say which operation each is")]
pub enum DiskOp {
    Open,
    Create,
    Write,
    Read,
    Sync,
    Allocate,
    Truncate,
    Rename,
    Remove,
    CreateDir,
    SyncDir,
    List,
    Lock,
}

impl std::fmt::Display for DiskOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Write => "write",
            Self::Read => "read",
            Self::Sync => "sync",
            Self::Allocate => "reserve space for",
            Self::Truncate => "truncate",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::CreateDir => "create directory",
            Self::SyncDir => "sync directory",
            Self::List => "list",
            Self::Lock => "lock",
        })
    }
}
