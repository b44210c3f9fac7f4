//! A directory of results: which results lie in it, and what else that looks like one.

use super::names::{SUFFIX, UNFINISHED};
use super::{RunResult, store};
use anyhow::Context as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Curated results, which nothing removes.
pub const REFERENCE: &str = "reference";

/// What lies in a directory of results.
#[derive(Debug, Default)]
pub struct Shelf {
    /// The newest first.
    pub results: Vec<Shelved>,
    /// Directories that are no whole results, by name.
    pub others: Vec<Other>,
}

/// One result.
#[derive(Debug)]
pub struct Shelved {
    /// Its directory.
    pub dir: PathBuf,
    /// Its `result.json`.
    pub result: RunResult,
    /// Whether it is kept for reference.
    pub is_reference: bool,
}

/// A directory that is no whole result.
#[derive(Debug)]
pub struct Other {
    /// Where it is.
    pub dir: PathBuf,
    /// What it is, in words.
    pub what: String,
}

impl Shelf {
    /// Looks through a directory, and the one for reference in it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn look(results: &Path) -> anyhow::Result<Self> {
        let mut shelf = Self::default();
        shelf.add(results, Found::Here)?;
        let reference = results.join(REFERENCE);
        if reference.is_dir() {
            shelf.add(&reference, Found::ForReference)?;
        }
        shelf.results.sort_by(|a, b| {
            let key = |it: &Shelved| (it.result.provenance.started_at.clone(), it.dir.clone());
            key(b).cmp(&key(a))
        });
        shelf.others.sort_by(|a, b| a.dir.cmp(&b.dir));
        Ok(shelf)
    }

    fn add(&mut self, parent: &Path, found: Found) -> anyhow::Result<()> {
        let cannot = || format!("cannot look into {}", parent.display());
        for entry in fs::read_dir(parent).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            // Of a link only the link itself is here; what it leads to is somebody else's.
            let is_dir = entry.file_type().with_context(cannot)?.is_dir();
            let is_reference_itself = found == Found::Here && entry.file_name() == REFERENCE;
            if !is_dir || is_reference_itself {
                continue;
            }
            let dir = entry.path();
            match unfinished(&dir)
                .map_or_else(|| store::load_result(&dir).map_err(|error| without_path(&dir, &error)), Err)
            {
                Ok(result) => {
                    self.results.push(Shelved { dir, result, is_reference: found == Found::ForReference });
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Here,
    ForReference,
}

/// The last part of a directory's path.
pub fn name_of(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What an unfinished directory is of; `None` of any other.
fn unfinished(dir: &Path) -> Option<String> {
    let name = name_of(dir);
    if name.starts_with(UNFINISHED) {
        return Some("left behind by a vnotch that was killed while it wrote or removed a result".to_owned());
    }
    name.ends_with(SUFFIX)
        .then(|| "a sweep that is not finished: `vnotch run FILE --resume` goes on with it".to_owned())
}

/// What an error says of a directory that is named anyway.
fn without_path(dir: &Path, error: &anyhow::Error) -> String {
    let said = format!("{error:#}");
    said.strip_prefix(&format!("{} is ", dir.display())).map_or(said.clone(), str::to_owned)
}

/// Bytes of the files in a directory.
///
/// # Errors
/// It cannot be read.
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

/// Removes a result directory. What is left of it, should that be cut short, is not taken for a result.
///
/// # Errors
/// The disk refuses.
pub fn remove(dir: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot remove {}", dir.display());
    let going = dir.with_file_name(format!("{}{}", UNFINISHED, name_of(dir)));
    fs::rename(dir, &going).with_context(cannot)?;
    fs::remove_dir_all(&going).with_context(cannot)
}
