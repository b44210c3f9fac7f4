//! What a trial's data takes of the disk while it runs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A walk looks at every file; more often than this it would be load of its own.
const EVERY: Duration = Duration::from_secs(1);
/// The unit of `st_blocks`, bytes, whatever the file system's block.
const BLOCK: u64 = 512;

/// Samples a directory's allocated size, now and then.
#[derive(Debug)]
pub struct DiskUse {
    path: PathBuf,
    last: Option<Instant>,
}

impl DiskUse {
    /// Of everything below `path`.
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), last: None }
    }

    /// Bytes allocated to the files, or `None` if it was asked less than a second ago.
    pub fn sample(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return None;
        }
        self.last = Some(Instant::now());
        Some(allocated_bytes(&self.path))
    }
}

/// What the file system has set aside for the files below `path`, preallocated space included. Files that vanish
/// meanwhile count as nothing.
fn allocated_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => allocated_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * BLOCK,
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
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
        assert_eq!(usage.sample(), None);
        assert_eq!(DiskUse::of(&dir.path().join("nowhere")).sample(), Some(0));
    }
}
