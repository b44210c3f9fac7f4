//! The data directory of a run. It is empty when the run begins. It is empty or removed when the run ends. Until then it is
//! locked, so that it belongs to one run.

use crate::exit::UsageError;
use crate::host::disk_use::allocated_bytes;
use crate::host::leftovers::{DATA_PREFIX, lock};
use crate::quantity;
use anyhow::Context as _;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The entry that a fresh file system has in its root.
const NOT_DATA: &str = "lost+found";
/// A file that every data directory of the engine has.
const ENGINE_MARK: &str = "meta.properties";
/// Prefix of the name of a directory that is made for data to be kept. Its name differs from that of a killed run's data.
const KEPT_PREFIX: &str = "vnotch-kept-";

/// Name of the entry that serves all trials of a run: the data of processes that the harness has started.
const OF_ALL_TRIALS: &str = "kafka";

/// A directory whose content belongs to this run. When the value is dropped, everything that the run made is removed, unless
/// the data is kept.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    made: bool,
    keep: AtomicBool,
    /// Whether the directory was made here and is removed. Another run may have made it anew since.
    is_gone: AtomicBool,
    /// Holds the lock. `None` on a file system without locks.
    _lock: Option<OwnedFd>,
}

impl DataDir {
    /// Takes the directory `given`, which must be empty or missing. Without `given`, makes a fresh directory in the working
    /// directory.
    ///
    /// # Errors
    /// A [`UsageError`] if `given` is a file, holds anything, or belongs to another run; otherwise the file system's.
    pub fn open(given: Option<&Path>) -> anyhow::Result<Self> {
        Self::open_named(given, DATA_PREFIX)
    }

    /// Does the same as [`Self::open`] for data that will be kept.
    ///
    /// # Errors
    /// The same as of [`Self::open`].
    pub fn open_to_keep(given: Option<&Path>) -> anyhow::Result<Self> {
        Self::open_named(given, KEPT_PREFIX)
    }

    fn open_named(given: Option<&Path>, prefix: &str) -> anyhow::Result<Self> {
        let (path, made) = match given {
            Some(path) => (path.to_owned(), make(path)?),
            None => (fresh(prefix)?, true),
        };
        let path = fs::canonicalize(&path).with_context(|| format!("cannot use {}", path.display()))?;
        let lock = match lock(&path) {
            Ok(Some(lock)) => Some(lock),
            Ok(None) => return Err(in_use(&path)),
            // Some network file systems have no locks. A run works there too.
            Err(_) => None,
        };
        if !made {
            // Another run may have filled it before this one took the lock.
            require_empty(&path)?;
        }
        Ok(Self { path, made, keep: AtomicBool::new(false), is_gone: AtomicBool::new(false), _lock: lock })
    }

    /// The absolute path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the data when the run ends.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }

    /// Whether the data is kept.
    pub fn is_kept(&self) -> bool {
        self.keep.load(Ordering::Relaxed)
    }

    /// Removes the data of a trial. All entries were made by this run, because [`Self::open`] found the directory empty. Data of
    /// processes that serve several trials stays.
    ///
    /// # Errors
    /// The file system's.
    pub fn clear(&self) -> anyhow::Result<()> {
        self.remove_entries(|entry| !entry.ends_with(OF_ALL_TRIALS))
    }

    fn remove_entries(&self, is_removed: impl Fn(&Path) -> bool) -> anyhow::Result<()> {
        for entry in entries(&self.path)?.into_iter().filter(|entry| is_removed(entry)) {
            let is_dir = fs::symlink_metadata(&entry).is_ok_and(|metadata| metadata.is_dir());
            let removed = if is_dir { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) };
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", entry.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes all data of the directory's file system to the device.
    ///
    /// # Errors
    /// The file system's.
    pub fn sync(&self) -> anyhow::Result<()> {
        let directory = fs::File::open(&self.path)?;
        rustix::fs::syncfs(&directory).with_context(|| format!("cannot sync {}", self.path.display()))
    }

    /// Whether the directory exists and holds data.
    pub fn has_entries(&self) -> bool {
        entries(&self.path).is_ok_and(|entries| !entries.is_empty())
    }

    /// Says where data is that was not removed, and how to remove it.
    pub fn what_is_left(&self) -> String {
        let path = self.path.display();
        let is_fresh =
            self.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DATA_PREFIX));
        if is_fresh {
            let parent = self.path.parent().unwrap_or(&self.path).display();
            format!("data is left in {path}; `vnotch prune --leftovers={parent} --yes` removes it")
        } else {
            format!("data is left in {path}; remove it before the next run there")
        }
    }

    /// Does the work of [`Drop`], for an exit of the process without unwinding.
    pub fn remove(&self) {
        if self.is_kept() || self.is_gone.load(Ordering::SeqCst) || self.remove_entries(|_| true).is_err() {
            return;
        }
        if self.made && fs::remove_dir(&self.path).is_ok() {
            self.is_gone.store(true, Ordering::SeqCst);
        }
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Describes the content of a data directory in a few words: `the data (1.50 GiB)`.
pub fn content(path: &Path) -> String {
    format!("the data ({})", quantity::bytes(allocated_bytes(path)))
}

/// The paths of the entries of a directory.
fn entries(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let context = || format!("cannot list {}", path.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).with_context(context)? {
        let entry = entry.with_context(context)?;
        if entry.file_name() != NOT_DATA {
            entries.push(entry.path());
        }
    }
    Ok(entries)
}

/// Makes sure that `path` is an empty directory. Returns true if the directory was made here.
fn make(path: &Path) -> anyhow::Result<bool> {
    match fs::create_dir(path) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot make the data directory {}", path.display()));
        }
    }
    if !path.is_dir() {
        return Err(UsageError::error(format!(
            "--data-dir: {} is a file; name a directory that is empty or does not exist yet",
            path.display()
        )));
    }
    if let Ok(None) = lock(path) {
        return Err(in_use(path));
    }
    require_empty(path)?;
    Ok(false)
}

fn in_use(path: &Path) -> anyhow::Error {
    UsageError::error(format!(
        "--data-dir: {} belongs to another run until that ends; name another directory, or wait",
        path.display()
    ))
}

fn require_empty(path: &Path) -> anyhow::Result<()> {
    let found = entries(path)?;
    if found.iter().any(|entry| entry.file_name().is_some_and(|name| name == ENGINE_MARK)) {
        return Err(UsageError::error(format!(
            "--data-dir: {} holds a log already ({}), of a run that kept it or was killed, and a run starts from nothing; name \
             another directory, or remove it",
            path.display(),
            quantity::bytes(allocated_bytes(path))
        )));
    }
    if let Some(entry) = found.first() {
        return Err(UsageError::error(format!(
            "--data-dir: {} is not empty: it holds {}. A run uses only an empty directory, so that it removes nothing \
             of yours; name one that is empty or does not exist yet",
            path.display(),
            entry.file_name().unwrap_or_default().display()
        )));
    }
    Ok(())
}

/// Makes a directory with an unused name in the working directory.
fn fresh(prefix: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("the working directory is gone")?;
    let process = std::process::id();
    for attempt in 0..100 {
        let path = here.join(format!("{prefix}{process}-{attempt}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("cannot make a data directory in {}; name one with --data-dir", here.display())
                });
            }
        }
    }
    anyhow::bail!("{} is full of old {prefix} directories; remove them", here.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        let error = DataDir::open(Some(path)).unwrap_err();
        assert!(error.is::<UsageError>());
        error.to_string()
    }

    #[test]
    fn what_the_run_made_goes_and_what_was_there_stays() {
        let outer = tempfile::tempdir().unwrap();
        let given = outer.path().join("given");
        fs::create_dir(&given).unwrap();
        let made = outer.path().join("made");
        for path in [&given, &made] {
            let data = DataDir::open(Some(path)).unwrap();
            fs::create_dir(data.path().join("topic-0")).unwrap();
            fs::write(data.path().join("topic-0/0.log"), "x").unwrap();
            data.clear().unwrap();
            assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
            fs::write(data.path().join("file"), "x").unwrap();
        }
        assert_eq!(fs::read_dir(&given).unwrap().count(), 0);
        assert!(!made.exists());
    }

    #[test]
    fn data_of_processes_that_serve_several_trials_goes_at_the_end_only() {
        let outer = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(&outer.path().join("data"))).unwrap();
        for entry in [OF_ALL_TRIALS, "topic-0"] {
            fs::create_dir(data.path().join(entry)).unwrap();
        }
        data.clear().unwrap();
        let left =
            |path: &Path| fs::read_dir(path).unwrap().map(|it| it.unwrap().file_name()).collect::<Vec<_>>();
        assert_eq!(left(data.path()), [OF_ALL_TRIALS]);
        let path = data.path().to_owned();
        drop(data);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_another_run_has_made_since_is_left_alone() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("data");
        let first = DataDir::open(Some(&path)).unwrap();
        first.remove();
        let second = DataDir::open(Some(&path)).unwrap();
        fs::write(path.join("file"), "of the second run").unwrap();
        drop(first);
        assert!(path.join("file").exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn kept_data_stays() {
        let outer = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(&outer.path().join("kept"))).unwrap();
        fs::write(data.path().join("file"), "x").unwrap();
        data.keep();
        let path = data.path().to_owned();
        drop(data);
        assert!(path.join("file").exists());
    }

    #[test]
    fn a_directory_belongs_to_one_run_until_that_ends() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("data");
        let first = DataDir::open(Some(&path)).unwrap();
        // Between two trials the directory is empty.
        assert!(refusal(&path).contains("belongs to another run"));
        fs::write(path.join("file"), "x").unwrap();
        assert!(refusal(&path).contains("belongs to another run"));
        drop(first);
        DataDir::open(Some(&path)).unwrap();
    }

    #[test]
    fn a_file_is_refused_and_left_alone() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("file");
        fs::write(&path, "mine").unwrap();
        assert!(refusal(&path).contains("is a file"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_directory_with_anything_in_it_is_refused_and_left_alone() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("thesis.tex"), "mine").unwrap();
        let message = refusal(outer.path());
        assert!(message.contains("not empty") && message.contains("thesis.tex"), "{message}");
        assert!(outer.path().join("thesis.tex").exists());
    }

    #[test]
    fn a_log_that_is_there_already_is_refused_as_one() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join(ENGINE_MARK), "version=1").unwrap();
        assert!(refusal(outer.path()).contains("holds a log already"));
    }
}
