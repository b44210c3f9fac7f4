//! Consumers that start late. Producers build a backlog before the window opens. Then the caches are put into the state that
//! the workload declares.

use crate::load::shared::Shared;
use crate::measure::finished::Built;
use crate::quantity;
use crate::system;
use crate::system::System;
use crate::workload::{Backlog, BacklogCache, Io};
use anyhow::Context as _;
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The condition that the backlog is built. The window opens then.
#[derive(Debug)]
pub(crate) struct BacklogGate {
    backlog: Backlog,
    io: Io,
    shared: Arc<Shared>,
}

impl BacklogGate {
    pub(crate) fn new(backlog: Backlog, io: Io, shared: Arc<Shared>) -> Self {
        Self { backlog, io, shared }
    }

    /// Returns the backlog once all its records are acked.
    pub(crate) fn built(&self, now_ns: u64) -> Option<Built> {
        let (records, encoded_bytes) = self.shared.acked_so_far();
        self.shared.is_built().then_some(Built { records, encoded_bytes, build_ns: now_ns })
    }

    /// Whether every consumer has read the whole backlog.
    pub(crate) fn is_drained(&self) -> bool {
        self.shared.is_drained()
    }

    /// Puts the caches into the declared state. Ends early once `stop` is set.
    ///
    /// # Errors
    /// A file cannot be read or synced, or the system does not answer.
    pub(crate) fn prepare(
        &self,
        system: &mut dyn System,
        data_dir: &Path,
        stop: &AtomicBool,
    ) -> anyhow::Result<()> {
        match (self.backlog.cache, self.io) {
            (BacklogCache::Cold, _) => {
                system::inside(system)?.drop_caches()?;
                each_file(data_dir, stop, &mut drop_from_page_cache)
            }
            // Reads with O_DIRECT come from the device in any case.
            (BacklogCache::Warm, Io::Direct) => Ok(()),
            (BacklogCache::Warm, Io::Buffered) => {
                each_file(data_dir, stop, &mut |path| read_through(path, stop))
            }
        }
    }

    /// The progress of the backlog, as text.
    pub(crate) fn progress(&self) -> String {
        let built = quantity::bytes(self.shared.acked_so_far().1);
        format!("building the backlog: {built} of {}", self.backlog.build)
    }
}

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Does `work` with each file below `dir`, until `stop` is set. A system that runs replaces and deletes files, so one that is gone
/// is no error.
fn each_file(
    dir: &Path,
    stop: &AtomicBool,
    work: &mut dyn FnMut(&Path) -> io::Result<()>,
) -> anyhow::Result<()> {
    let context = || format!("cannot list {}", dir.display());
    let Some(entries) = unless_gone(fs::read_dir(dir)).with_context(context)? else { return Ok(()) };
    for entry in entries {
        let path = entry.with_context(context)?.path();
        if path.is_dir() {
            each_file(&path, stop, work)?;
        } else if !stop.load(Ordering::Relaxed) {
            let done = unless_gone(work(&path));
            done.with_context(|| format!("cannot prepare the cache of {}", path.display()))?;
        }
    }
    Ok(())
}

/// Returns the outcome of an access to a file; `None` if there is no such file.
fn unless_gone<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// Drops the pages of a file from the page cache. Only clean pages can be dropped, so the file is synced first.
fn drop_from_page_cache(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}

/// Reads a file into the page cache, until `stop` is set.
fn read_through(path: &Path, stop: &AtomicBool) -> io::Result<()> {
    let (mut file, mut chunk) = (File::open(path)?, vec![0; CHUNK_BYTES]);
    while !stop.load(Ordering::Relaxed) && file.read(&mut chunk)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_vanish_while_caches_are_prepared_are_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("broker-1/topic-0");
        fs::create_dir_all(&below).unwrap();
        for name in ["kept.log", "checkpoint.tmp", "other.log"] {
            fs::write(below.join(name), "bytes").unwrap();
        }
        let stop = AtomicBool::new(false);
        let mut read = Vec::new();
        let mut vanishing = |path: &Path| {
            if path.extension().is_some_and(|it| it == "tmp") {
                fs::remove_file(path)?;
            }
            read_through(path, &stop)?;
            read.push(path.file_name().unwrap().to_owned());
            Ok(())
        };
        each_file(dir.path(), &stop, &mut vanishing).unwrap();
        read.sort();
        assert_eq!(read, ["kept.log", "other.log"]);
        each_file(&dir.path().join("gone"), &stop, &mut |_| Ok(())).unwrap();
        let mut forbidden = |_: &Path| -> io::Result<()> { Err(io::ErrorKind::PermissionDenied.into()) };
        let error = each_file(dir.path(), &stop, &mut forbidden).unwrap_err().to_string();
        assert!(error.contains("cannot prepare the cache of"), "{error}");
    }
}
