//! The disk space that a trial's data takes while the trial runs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Shortest time between two samples. A sample looks at every file, so that sampling more often would itself be load.
const EVERY: Duration = Duration::from_secs(1);
/// Unit of `st_blocks` in bytes. It does not depend on the file system's block size.
const BLOCK: u64 = 512;

/// Samples the allocated size of a directory, at most once a second.
#[derive(Debug)]
pub struct DiskUse {
    path: PathBuf,
    last: Option<Instant>,
}

impl DiskUse {
    /// Samples the size of everything below `path`.
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), last: None }
    }

    /// Returns the bytes allocated to the files, or `None` if the last sample was less than a second ago.
    pub fn sample(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return None;
        }
        self.last = Some(Instant::now());
        Some(allocated_bytes(&self.path))
    }
}

/// Returns the bytes that the file system has allocated to the files below `path`, preallocated space included. A file
/// that is removed in the meantime counts as 0.
pub fn allocated_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let allocated = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => allocated_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * BLOCK,
        Err(_) => 0,
    };
    entries.flatten().map(allocated).sum()
}

/// Returns the number of files below `path`, without directories.
pub fn files_below(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let count = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => files_below(&entry.path()),
        Ok(_) => 1,
        Err(_) => 0,
    };
    entries.flatten().map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_counts_and_is_not_walked_all_the_time() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("topic-0")).unwrap();
        for name in ["meta", "topic-0/0.log"] {
            let file = fs::File::create(dir.path().join(name)).unwrap();
            std::io::Write::write_all(&mut &file, &[7; 64 << 10]).unwrap();
            file.sync_all().unwrap();
        }
        let mut usage = DiskUse::of(dir.path());
        let bytes = usage.sample().unwrap();
        assert!((128 << 10..256 << 10).contains(&bytes), "{bytes}");
        assert_eq!((files_below(dir.path()), files_below(&dir.path().join("nowhere"))), (2, 0));
        assert_eq!(usage.sample(), None);
        assert_eq!(DiskUse::of(&dir.path().join("nowhere")).sample(), Some(0));
    }
}
