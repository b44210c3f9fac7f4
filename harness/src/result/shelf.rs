//! A directory of results: the results in it, and the directories that are not whole results.

use super::names::{SUFFIX, UNFINISHED};
use super::{RunResult, store};
use anyhow::Context as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The directory of curated results, which no command removes.
pub const REFERENCE: &str = "reference";
/// The age from which a file that is not finished counts as left behind. Writing a result takes seconds.
const LEFTOVER_AGE_MIN: Duration = Duration::from_secs(600);

/// The content of a directory of results.
#[derive(Debug, Default)]
pub struct Shelf {
    /// The results, the newest first.
    pub results: Vec<Shelved>,
    /// Directories that are not whole results, by name.
    pub others: Vec<Other>,
}

/// A result and its directory.
#[derive(Debug)]
pub struct Shelved {
    /// Directory of the result.
    pub dir: PathBuf,
    /// Content of `result.json`.
    pub result: RunResult,
    /// Whether the result is kept for reference.
    pub is_reference: bool,
}

/// A directory that is not a whole result.
#[derive(Debug)]
pub struct Other {
    /// Path of the directory.
    pub dir: PathBuf,
    /// A description of the directory, in words.
    pub what: String,
}

impl Shelf {
    /// Reads the directory `results`, and the directory [`REFERENCE`] in it.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn look(results: &Path) -> anyhow::Result<Self> {
        let mut shelf = Self::default();
        shelf.add(results, Level::Results)?;
        let reference = results.join(REFERENCE);
        if reference.is_dir() {
            shelf.add(&reference, Level::Reference)?;
        }
        shelf.results.sort_by(|a, b| {
            let key = |it: &Shelved| (it.result.provenance.started_at.clone(), it.dir.clone());
            key(b).cmp(&key(a))
        });
        shelf.others.sort_by(|a, b| a.dir.cmp(&b.dir));
        Ok(shelf)
    }

    fn add(&mut self, parent: &Path, level: Level) -> anyhow::Result<()> {
        let cannot = || format!("cannot look into {}", parent.display());
        for entry in fs::read_dir(parent).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            // A symbolic link is skipped: the directory that it points to is not part of this one.
            let is_dir = entry.file_type().with_context(cannot)?.is_dir();
            let is_reference_itself = level == Level::Results && entry.file_name() == REFERENCE;
            if !is_dir || is_reference_itself {
                continue;
            }
            let dir = entry.path();
            match unfinished(&dir)
                .map_or_else(|| store::load_result(&dir).map_err(|error| without_path(&dir, &error)), Err)
            {
                Ok(result) => {
                    self.results.push(Shelved { dir, result, is_reference: level == Level::Reference });
                }
                Err(what) => self.others.push(Other { dir, what }),
            }
        }
        Ok(())
    }

    /// The results whose directory's name begins with `prefix`.
    pub fn beginning_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Shelved> {
        self.results.iter().filter(move |it| name_of(&it.dir).starts_with(prefix))
    }
}

/// The directory that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Results,
    Reference,
}

/// The last part of a directory's path.
pub fn name_of(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Says what an unfinished directory holds; `None` for any other directory.
fn unfinished(dir: &Path) -> Option<String> {
    let name = name_of(dir);
    if name.starts_with(UNFINISHED) {
        return Some("left behind by a vnotch that was killed while it wrote or removed a result".to_owned());
    }
    name.ends_with(SUFFIX)
        .then(|| "a sweep that is not finished: `vnotch run FILE --resume` continues it".to_owned())
}

/// Returns the text of `error` without the directory's path, which the caller prints already.
fn without_path(dir: &Path, error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.strip_prefix(&format!("{} is ", dir.display())).map_or(text.clone(), str::to_owned)
}

/// Returns the files and directories in `results` that a killed vnotch was writing or removing, by name. The younger ones are
/// left out, because another vnotch may still write them.
///
/// # Errors
/// The directory cannot be read.
pub fn leftovers(results: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot look into {}", results.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(results).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|time| time.elapsed().ok());
        let is_ours = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        if is_ours && age.is_some_and(|age| age >= LEFTOVER_AGE_MIN) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the bytes of all files in a directory and in the directories below it.
///
/// # Errors
/// A directory cannot be read.
pub fn bytes_in(dir: &Path) -> anyhow::Result<u64> {
    let cannot = || format!("cannot look into {}", dir.display());
    let mut bytes = 0;
    for entry in fs::read_dir(dir).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let metadata = entry.metadata().with_context(cannot)?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Removes a result directory. The directory is renamed first: if the removal is interrupted, the remaining files are not
/// taken for a result.
///
/// # Errors
/// The directory cannot be renamed or removed.
pub fn remove(dir: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot remove {}", dir.display());
    let renamed = dir.with_file_name(format!("{}{}", UNFINISHED, name_of(dir)));
    fs::rename(dir, &renamed).with_context(cannot)?;
    fs::remove_dir_all(&renamed).with_context(cannot)
}
