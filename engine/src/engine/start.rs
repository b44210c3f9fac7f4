//! Checks of the machine and of the data directory before an engine starts.

use super::MEMLOCK_BYTES_MIN;
use crate::catalog::{self, LOCK_FILE, META_FILE, Meta};
use crate::config::EngineConfig;
use crate::disk::uring;
use crate::error::{DiskError, DiskOp, OpenError};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Checks that the machine has io_uring and enough lockable memory. Changes nothing.
pub(super) fn check_machine(config: &EngineConfig) -> Result<(), OpenError> {
    uring::probe().map_err(|source| OpenError::RingUnavailable { source })?;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    let needed_bytes = MEMLOCK_BYTES_MIN * u64::from(config.shards);
    match limit {
        Some(found_bytes) if found_bytes < needed_bytes => {
            Err(OpenError::Memlock { found_bytes, needed_bytes })
        }
        _ => Ok(()),
    }
}

/// Checks the data directory without changing anything in it. Makes it if it does not exist.
pub(super) fn inspect(config: &EngineConfig) -> Result<(), OpenError> {
    inspect_dir(&config.data_dir, sync_dir)
}

/// Checks the data directory as [`inspect`] does. `sync_dir` makes the names in a directory durable. Tests pass another
/// one, to see its calls.
pub(super) fn inspect_dir(
    data_dir: &Path,
    mut sync_dir: impl FnMut(&Path) -> std::io::Result<()>,
) -> Result<(), OpenError> {
    let failed = |op, error| OpenError::Disk(DiskError::new(op, data_dir, 0, error));
    match std::fs::metadata(data_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return make_dir(data_dir, sync_dir);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(OpenError::NotADirectory { path: data_dir.to_path_buf() });
        }
        Err(error) => return Err(failed(DiskOp::Open, error)),
        Ok(metadata) if !metadata.is_dir() => {
            return Err(OpenError::NotADirectory { path: data_dir.to_path_buf() });
        }
        Ok(_) => {}
    }
    match std::fs::read(data_dir.join(META_FILE)) {
        Ok(bytes) => Meta::decode(data_dir, &bytes).map(drop),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let entries = std::fs::read_dir(data_dir).map_err(|error| failed(DiskOp::List, error))?;
            let mut names = entries.flatten().map(|entry| entry.file_name());
            if names.any(|name| !catalog::is_leftover(&name.to_string_lossy())) {
                return Err(OpenError::ForeignDirectory { path: data_dir.to_path_buf() });
            }
            // An interrupted open may have made the directory and parents of it without syncing their names. A failure does not
            // matter: if others made a directory, this user may be unable to open its parent, and the durability of its name is
            // the others' concern.
            let named = data_dir.ancestors().filter(|dir| dir.file_name().is_some());
            for dir in named {
                let _ = sync_dir(&parent_of(dir));
            }
            Ok(())
        }
        Err(error) => Err(failed(DiskOp::Read, error)),
    }
}

/// Makes the data directory and its missing parents, and makes their names durable.
fn make_dir(
    data_dir: &Path,
    mut sync_dir: impl FnMut(&Path) -> std::io::Result<()>,
) -> Result<(), OpenError> {
    let parents = parents_of_missing(data_dir);
    std::fs::create_dir_all(data_dir)
        .map_err(|error| DiskError::new(DiskOp::CreateDir, data_dir, 0, error))?;
    for parent in parents {
        sync_dir(&parent).map_err(|error| DiskError::new(DiskOp::SyncDir, &parent, 0, error))?;
    }
    Ok(())
}

/// Returns the directories that get a new entry if `dir` is made with all its parents, the innermost first.
pub(super) fn parents_of_missing(dir: &Path) -> Vec<PathBuf> {
    let missing = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists());
    missing.map(parent_of).collect()
}

fn parent_of(dir: &Path) -> PathBuf {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Checks that files here can be opened for direct I/O.
pub(super) fn check_direct(data_dir: &Path) -> Result<(), OpenError> {
    let opened = File::options().read(true).custom_flags(libc::O_DIRECT).open(data_dir.join(LOCK_FILE));
    match opened {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            Err(OpenError::DirectUnsupported { path: data_dir.to_path_buf() })
        }
        Err(error) => Err(DiskError::new(DiskOp::Open, &data_dir.join(LOCK_FILE), 0, error).into()),
        Ok(_) => Ok(()),
    }
}
