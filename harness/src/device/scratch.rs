//! The files a ceiling is measured with: in a directory of their own, bounded in size, gone when the session is.

use super::DeviceError;
use crate::workload::Io;
use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Scratch directories are called this, a process id, and a number.
const PREFIX: &str = ".vnotch-ceiling-";

/// A directory that is removed with everything in it when this is dropped. It is locked while it lives, so that the
/// next session can tell one that a kill left behind from one in use.
#[derive(Debug)]
pub(super) struct Scratch {
    parent: PathBuf,
    path: PathBuf,
    _lock: OwnedFd,
}

impl Scratch {
    /// Makes the directory inside `parent`, which must exist; removes what killed processes left there.
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
            // Another session may have taken the new, still unlocked directory for an abandoned one: then the next name.
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

    /// Where the directory was made.
    pub(super) fn parent(&self) -> &Path {
        &self.parent
    }

    /// Bytes that an ordinary user may still write there; no limit for a file system that does not tell (ramfs).
    pub(super) fn free_bytes(&self) -> Result<u64, DeviceError> {
        let stat = rustix::fs::statvfs(&self.parent)
            .map_err(|errno| file_error("ask for the free space of", &self.parent, errno.into()))?;
        Ok(if stat.f_blocks == 0 { u64::MAX } else { stat.f_bavail.saturating_mul(stat.f_frsize) })
    }

    /// A path in the directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes creations and removals in the directory durable, so that their journalling is not left to a timed slice.
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

/// Opens (creating it) a scratch file for reading and writing.
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

/// Removes scratch directories that nobody holds locked. What cannot be looked at or removed is left alone: it is
/// somebody else's, and the session can do without.
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

/// The lock of a scratch directory, `None` while another session holds it.
fn lock(path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(path, flags, Mode::empty())?;
    match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(dir)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
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
