//! The files that a ceiling is measured with. They lie in a directory of their own, take a bounded size, and are
//! removed when the session ends.

use super::DeviceError;
use crate::host::leftovers::{CEILING_PREFIX as PREFIX, lock};
use crate::workload::Io;
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that is removed with everything in it when this is dropped. It is locked while this lives. So the next
/// session can tell a directory that a killed process left from one that is in use.
#[derive(Debug)]
pub(super) struct Scratch {
    parent: PathBuf,
    path: PathBuf,
    _lock: OwnedFd,
}

impl Scratch {
    /// Creates the directory inside `parent`, which must exist. First removes the directories that killed processes
    /// left there.
    pub(super) fn new(parent: &Path) -> Result<Self, DeviceError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        remove_abandoned(parent);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(source) => return Err(file_error("create", &path, source)),
            }
            // Another session may have removed the new directory before it was locked, as an abandoned one. Then the
            // next name is tried.
            match lock(&path) {
                Ok(Some(lock)) if path.exists() => {
                    return Ok(Self { parent: parent.to_owned(), path, _lock: lock });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(file_error("lock", &path, source)),
            }
        }
    }

    /// Returns the directory that holds this one.
    pub(super) fn parent(&self) -> &Path {
        &self.parent
    }

    /// Returns the bytes that an ordinary user may still write there. `u64::MAX` for a file system that reports no
    /// sizes (ramfs).
    pub(super) fn free_bytes(&self) -> Result<u64, DeviceError> {
        let stat = rustix::fs::statvfs(&self.parent)
            .map_err(|errno| file_error("ask for the free space of", &self.parent, errno.into()))?;
        Ok(if stat.f_blocks == 0 { u64::MAX } else { stat.f_bavail.saturating_mul(stat.f_frsize) })
    }

    /// Returns the path of a file in the directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes creations and removals in the directory durable, so that no timed slice pays for their journalling.
    pub(super) fn sync(&self) -> Result<(), DeviceError> {
        File::open(&self.path)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| file_error("sync", &self.path, source))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "scratch files could not be removed");
        }
    }
}

/// Opens a scratch file for reading and writing, and creates it if it does not exist.
pub(super) fn open(path: &Path, io: Io, parent: &Path) -> Result<File, DeviceError> {
    let direct = match io {
        Io::Direct => OFlags::DIRECT,
        Io::Buffered => OFlags::empty(),
    };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | direct;
    match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(fd) => Ok(File::from(fd)),
        Err(Errno::INVAL) if io == Io::Direct => Err(DeviceError::NoDirect { dir: parent.to_owned() }),
        Err(errno) => Err(file_error("open", path, errno.into())),
    }
}

/// Gives `file` `length` bytes of allocated, unwritten space and makes that durable.
pub(super) fn allocate(file: &File, path: &Path, length: u64, parent: &Path) -> Result<(), DeviceError> {
    match rustix::fs::fallocate(file.as_fd(), FallocateFlags::empty(), 0, length) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            return Err(DeviceError::NoAllocate { dir: parent.to_owned() });
        }
        Err(errno) => return Err(file_error("allocate space for", path, errno.into())),
    }
    file.sync_all().map_err(|source| file_error("sync", path, source))
}

pub(super) fn file_error(action: &'static str, path: &Path, source: io::Error) -> DeviceError {
    DeviceError::File { action, path: path.to_owned(), source }
}

/// Removes scratch directories that no process has locked. Directories that cannot be opened or removed are left alone:
/// they belong to another user, and the session does not need them gone.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && let Ok(Some(_lock)) = lock(&entry.path())
        {
            let removed = fs::remove_dir_all(entry.path());
            tracing::debug!(path = %entry.path().display(), ?removed, "abandoned scratch directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_session_removes_what_a_killed_one_left_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let abandoned = parent.path().join(format!("{PREFIX}1-1"));
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join("written-0"), b"left behind").unwrap();
        let mine = parent.path().join("data");
        fs::create_dir(&mine).unwrap();
        let in_use = Scratch::new(parent.path()).unwrap();
        fs::write(in_use.file("written-0"), b"in use").unwrap();

        let scratch = Scratch::new(parent.path()).unwrap();
        assert!(!abandoned.exists(), "an abandoned directory is removed");
        assert!(mine.exists(), "a foreign directory stays");
        assert!(in_use.file("written-0").exists(), "a live session's directory stays");
        drop(scratch);
        drop(in_use);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "only the foreign directory is left");
    }
}
