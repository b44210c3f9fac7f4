//! What killed runs have left behind in a directory: their data, and the files of the ceiling.
//!
//! A run holds a lock on its directory until it ends. So a directory with such a name and without a lock is a leftover.

use super::disk_use::allocated_bytes;
use crate::quantity;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Prefix of the name of a data directory that a run makes for itself. A process id and a number follow it.
pub const DATA_PREFIX: &str = "vnotch-data-";
/// Prefix of the name of the directory in which the ceiling is measured. A process id and a number follow it.
pub const CEILING_PREFIX: &str = ".vnotch-ceiling-";

/// A directory that a killed run has left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Path of the directory.
    pub dir: PathBuf,
    /// Bytes that the file system has allocated to its files.
    pub bytes: u64,
}

/// Returns the leftovers in `dir`, by name. A directory that cannot be read has none.
pub fn find(dir: &Path) -> Vec<Leftover> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_named = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        [DATA_PREFIX, CEILING_PREFIX]
            .iter()
            .filter_map(|prefix| name.strip_prefix(prefix))
            .any(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit() || c == '-'))
    };
    let unused = entries.filter(is_named).map(|entry| entry.path()).filter(|path| is_unused(path));
    let mut found: Vec<_> = unused.map(|dir| Leftover { bytes: allocated_bytes(&dir), dir }).collect();
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    found
}

/// Says which leftovers there are, how large they are, and how to remove them. `None` if there are none.
pub fn note(found: &[Leftover]) -> Option<String> {
    let first = found.first()?;
    let bytes = quantity::bytes(found.iter().map(|it| it.bytes).sum());
    let others = match found.len() - 1 {
        0 => String::new(),
        1 => " and one more".to_owned(),
        count => format!(" and {count} more"),
    };
    let dir = first.dir.parent().unwrap_or(Path::new("."));
    let name = first.dir.file_name().unwrap_or_default().display();
    Some(format!(
        "{name}{others} in {} take {bytes}: killed runs left them; `vnotch prune --leftovers={}` lists them, and removes \
         them with --yes",
        dir.display(),
        dir.display()
    ))
}

/// Locks a directory for this process. The lock ends with the returned descriptor. `None` if another process holds it.
///
/// # Errors
/// The directory cannot be opened or locked.
pub fn lock(dir: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(dir, flags, Mode::empty())?;
    match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(dir)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a directory can be locked, so that no process uses it.
fn is_unused(dir: &Path) -> bool {
    lock(dir).is_ok_and(|lock| lock.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_have_a_name_of_ours_and_no_lock() {
        let outer = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let dir = outer.path().join(name);
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("0.log"), [7; 64 << 10]).unwrap();
            dir
        };
        let left = [make(".vnotch-ceiling-12-0"), make("vnotch-data-12-0")];
        let held = make("vnotch-data-13-0");
        for name in ["vnotch-data-", "vnotch-data-mine", "vnotch-kept-12-0", "thesis"] {
            make(name);
        }
        fs::write(outer.path().join("vnotch-data-14-0"), "a file").unwrap();
        let lock = lock(&held).unwrap().unwrap();
        let found = find(outer.path());
        assert_eq!(found.iter().map(|it| it.dir.clone()).collect::<Vec<_>>(), left);
        assert!(found.iter().all(|it| it.bytes >= 64 << 10), "{found:?}");
        assert!(super::lock(&held).unwrap().is_none());
        let note = note(&found).unwrap();
        assert!(
            note.starts_with(".vnotch-ceiling-12-0 and one more in ") && note.contains("prune --leftovers="),
            "{note}"
        );
        assert_eq!(super::note(&[]), None);
        drop(lock);
        assert_eq!(find(outer.path()).len(), 3);
        assert_eq!(find(&outer.path().join("nowhere")), []);
    }
}
