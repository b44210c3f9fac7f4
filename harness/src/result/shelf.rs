//! A directory of results: the results in it, and the directories that are not whole results.

use super::RunResult;
use super::comparison::Comparison;
use super::comparison::baseline::{self, BASELINES};
use super::comparison::store::Document;
use super::names::{SUFFIX, UNFINISHED, is_series};
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
    /// The results of runs and sweeps, the newest first.
    pub results: Vec<Shelved>,
    /// The comparisons, the newest first.
    pub comparisons: Vec<ShelvedComparison>,
    /// The baselines: their names, and the directories of their results.
    pub baselines: Vec<(String, PathBuf)>,
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

/// A comparison and its directory.
#[derive(Debug)]
pub struct ShelvedComparison {
    /// Directory of the comparison.
    pub dir: PathBuf,
    /// Content of `result.json`.
    pub comparison: Comparison,
    /// Whether the comparison is kept for reference.
    pub is_reference: bool,
}

/// The facts that a result and a comparison have in common.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Directory of the entry.
    pub dir: &'a Path,
    /// When it began, RFC 3339.
    pub started_at: &'a str,
    /// True if the entry is kept for reference.
    pub is_reference: bool,
    /// Name of a baseline that names it; `None` if there is none.
    pub baseline: Option<&'a str>,
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
        shelf.comparisons.sort_by(|a, b| {
            let key = |it: &ShelvedComparison| (it.comparison.provenance.started_at.clone(), it.dir.clone());
            key(b).cmp(&key(a))
        });
        shelf.others.sort_by(|a, b| a.dir.cmp(&b.dir));
        shelf.baselines = baseline::all(results)?;
        Ok(shelf)
    }

    fn add(&mut self, parent: &Path, level: Level) -> anyhow::Result<()> {
        let cannot = || format!("cannot look into {}", parent.display());
        for entry in fs::read_dir(parent).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            // A symbolic link is skipped: the directory that it points to is not part of this one.
            let is_dir = entry.file_type().with_context(cannot)?.is_dir();
            let is_known = [REFERENCE, BASELINES].iter().any(|known| entry.file_name() == *known);
            if !is_dir || (level == Level::Results && is_known) {
                continue;
            }
            let dir = entry.path();
            let found = unfinished(&dir)
                .map_or_else(|| Document::load(&dir).map_err(|error| without_path(&dir, &error)), Err);
            let is_reference = level == Level::Reference;
            match found {
                Ok(Document::Run(result)) => {
                    self.results.push(Shelved { dir, result: *result, is_reference });
                }
                Ok(Document::Comparison(comparison)) => {
                    self.comparisons.push(ShelvedComparison { dir, comparison: *comparison, is_reference });
                }
                Err(what) => self.others.push(Other { dir, what }),
            }
        }
        Ok(())
    }

    /// The results and the comparisons, the newest first.
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let entry = |dir, started_at, is_reference| Entry {
            dir,
            started_at,
            is_reference,
            baseline: self.baselines.iter().find(|(_, named)| named == dir).map(|(name, _)| name.as_str()),
        };
        let results =
            self.results.iter().map(|it| entry(&it.dir, &it.result.provenance.started_at, it.is_reference));
        let comparisons = self
            .comparisons
            .iter()
            .map(|it| entry(&it.dir, &it.comparison.provenance.started_at, it.is_reference));
        let mut all: Vec<Entry<'_>> = results.chain(comparisons).collect();
        all.sort_by(|a, b| (b.started_at, b.dir).cmp(&(a.started_at, a.dir)));
        all
    }

    /// The results and comparisons whose directory's name begins with `prefix`, the newest first.
    pub fn beginning_with(&self, prefix: &str) -> Vec<&Path> {
        let all = self.entries().into_iter().map(|it| it.dir);
        all.filter(|dir| name_of(dir).starts_with(prefix)).collect()
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
    if is_series(dir) {
        return Some(format!(
            "a comparison that is not finished: `vnotch compare --resume {}` continues it",
            dir.display()
        ));
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
