//! The directory of an unfinished comparison: `<time>-<name>-<hash>.partial` beside the results.
//!
//! - `comparison-plan.json` describes the comparison and never changes.
//! - `pairs/` has a file for each pair that needs no more trials. When the process ends for any reason, only the pair in
//!   progress is lost.
//!
//! Each file is written whole or not at all. The content is the caller's: this module knows no figures.

use super::{lock_file, read_json, trial_numbers, write_json};
use crate::result::SCHEMA_VERSION;
use crate::result::names::{PLAN, SAME_NAME_MAX, SUFFIX, directory_name, numbered};
use crate::result::store;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use crate::result::names::is_series;

const PAIRS: &str = "pairs";
/// The directory for the files of the trial in progress.
const SCRATCH: &str = "trial";

/// Content of `comparison-plan.json`.
#[derive(Serialize, Deserialize)]
struct PlanFile<P> {
    schema_version: u32,
    plan: P,
}

/// The open directory of an unfinished comparison. No other process can open it at the same time.
#[derive(Debug)]
pub struct Series {
    dir: PathBuf,
    /// Number of the next pair's file.
    written: usize,
    /// The content of files of pairs that could not be stored yet.
    unstored: VecDeque<Vec<u8>>,
    /// The lock on the directory, which ends when this file is closed.
    _lock: File,
}

/// The name of a new comparison's directory.
#[derive(Debug, Clone, Copy)]
pub struct SeriesName<'a> {
    /// When it began, RFC 3339.
    pub started_at: &'a str,
    /// Its name.
    pub name: &'a str,
    /// A hash of its plan, hexadecimal.
    pub sha256: &'a str,
}

impl Series {
    /// Creates the directory of a new comparison below `results`.
    ///
    /// # Errors
    /// The directory or a file in it cannot be written.
    pub fn begin(results: &Path, name: SeriesName<'_>, plan: &impl Serialize) -> anyhow::Result<Self> {
        let cannot = || format!("cannot make a directory for the comparison below {}", results.display());
        let name = directory_name(name.started_at, name.name, name.sha256);
        let mut names = (1..SAME_NAME_MAX).map(|number| results.join(numbered(&name, number) + SUFFIX));
        let dir = names.find_map(|dir| match fs::create_dir(&dir) {
            Ok(()) => Some(Ok(dir)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
            Err(error) => Some(Err(error)),
        });
        let dir = dir.context("every name for it is taken").and_then(|dir| Ok(dir?)).with_context(cannot)?;
        fs::create_dir(dir.join(PAIRS)).with_context(cannot)?;
        write_json(&dir.join(PLAN), &PlanFile { schema_version: SCHEMA_VERSION, plan })?;
        store::sync_dir(results)?;
        let lock = lock_file(&dir.join(PLAN))?;
        Ok(Self { dir, written: 0, unstored: VecDeque::new(), _lock: lock })
    }

    /// Opens the directory of an unfinished comparison. Returns its plan and its pairs, in the order in which they were measured.
    ///
    /// # Errors
    /// A [`crate::exit::UsageError`] if another process has it open. Another error if it is damaged, or a newer vnotch wrote it.
    pub fn open<P: DeserializeOwned, R: DeserializeOwned>(dir: &Path) -> anyhow::Result<(Self, P, Vec<R>)> {
        let path = dir.join(PLAN);
        let lock = lock_file(&path)?;
        let json: serde_json::Value = read_json(&path)?;
        let version = json.get("schema_version").and_then(serde_json::Value::as_u64);
        if version.is_none_or(|version| version > u64::from(SCHEMA_VERSION)) {
            bail!(
                "{} was written by a newer vnotch; resume it with the vnotch that wrote it",
                path.display()
            );
        }
        let damaged = || format!("{} is damaged", path.display());
        let PlanFile { plan, .. } = PlanFile::<P>::deserialize(json).with_context(damaged)?;
        let mut numbers = trial_numbers(&dir.join(PAIRS))?;
        numbers.sort_unstable();
        if numbers.iter().enumerate().any(|(index, number)| index != *number) {
            bail!("a pair is missing in {}: a file was removed", dir.join(PAIRS).display());
        }
        let pairs = numbers.iter().map(|number| read_json(&pair_path(dir, *number)));
        let pairs = pairs.collect::<anyhow::Result<Vec<R>>>()?;
        let (dir, written, unstored) = (dir.to_owned(), numbers.len(), VecDeque::new());
        Ok((Self { dir, written, unstored, _lock: lock }, plan, pairs))
    }

    /// Path of the directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether no pair is stored yet.
    pub const fn is_empty(&self) -> bool {
        self.written == 0
    }

    /// Makes an empty directory for the files of one trial, and returns its path. Those of the trial before are removed.
    ///
    /// # Errors
    /// A file cannot be removed or made.
    pub fn scratch(&self) -> anyhow::Result<PathBuf> {
        let dir = self.dir.join(SCRATCH);
        self.remove_scratch()?;
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }

    /// Removes the files of the last trial.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_scratch(&self) -> anyhow::Result<()> {
        let dir = self.dir.join(SCRATCH);
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", dir.display()))
            }
            _ => Ok(()),
        }
    }

    /// Stores a pair durably, and before it the pairs that could not be stored.
    ///
    /// # Errors
    /// The file cannot be written. The pair is stored with the next one. Without a next one, later sessions do not have it.
    pub fn keep(&mut self, pair: &impl Serialize) -> anyhow::Result<()> {
        self.unstored.push_back(serde_json::to_vec(pair)?);
        self.keep_unstored()
    }

    /// Number of pairs that are stored.
    pub const fn stored(&self) -> usize {
        self.written
    }

    /// Stores the pairs that could not be stored before.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn keep_unstored(&mut self) -> anyhow::Result<()> {
        while let Some(content) = self.unstored.front() {
            store::replace_file(&pair_path(&self.dir, self.written), content)?;
            self.unstored.pop_front();
            self.written += 1;
        }
        Ok(())
    }

    /// Removes the directory. Called after the comparison is written as a result, or if nothing was measured.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn discard(self) -> anyhow::Result<()> {
        // The plan is removed first: after an interrupted removal the directory is not taken for a comparison.
        fs::remove_file(self.dir.join(PLAN))
            .and_then(|()| fs::remove_dir_all(&self.dir))
            .with_context(|| format!("cannot remove {}", self.dir.display()))
    }
}

fn pair_path(dir: &Path, number: usize) -> PathBuf {
    dir.join(PAIRS).join(format!("{number:06}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::UsageError;

    const NAME: SeriesName<'_> =
        SeriesName { started_at: "2026-11-28T10:00:00Z", name: "compare-small", sha256: "1a2b3c4d5e" };

    fn begin(results: &Path) -> Series {
        Series::begin(results, NAME, &"the plan").unwrap()
    }

    #[test]
    fn pairs_are_found_again_in_their_order() {
        let results = tempfile::tempdir().unwrap();
        let mut series = begin(results.path());
        assert!(series.dir().ends_with("20261128-100000-compare-small-1a2b3c4d.partial"));
        assert!(series.is_empty() && is_series(series.dir()));
        (0..11).for_each(|pair| series.keep(&pair).unwrap());
        let dir = series.dir().to_owned();
        let busy = Series::open::<String, usize>(&dir).unwrap_err();
        assert!(busy.is::<UsageError>() && busy.to_string().contains("another process"), "{busy}");
        drop(series);
        let (mut series, plan, pairs) = Series::open::<String, usize>(&dir).unwrap();
        assert_eq!((plan.as_str(), pairs), ("the plan", (0..11).collect::<Vec<_>>()));
        series.keep(&11).unwrap();
        drop(series);
        assert_eq!(Series::open::<String, usize>(&dir).unwrap().2.len(), 12);
        assert!(begin(results.path()).dir().ends_with("20261128-100000-compare-small-1a2b3c4d-2.partial"));
    }

    #[test]
    fn a_pair_that_could_not_be_stored_is_stored_with_the_next_one() {
        let results = tempfile::tempdir().unwrap();
        let mut series = begin(results.path());
        series.keep(&0).unwrap();
        let (pairs, hidden) = (series.dir().join(PAIRS), series.dir().join("hidden"));
        fs::rename(&pairs, &hidden).unwrap();
        fs::write(&pairs, "").unwrap();
        for pair in 1..3 {
            series.keep(&pair).unwrap_err();
        }
        fs::remove_file(&pairs).unwrap();
        fs::rename(&hidden, &pairs).unwrap();
        series.keep(&3).unwrap();
        let dir = series.dir().to_owned();
        drop(series);
        assert_eq!(Series::open::<String, usize>(&dir).unwrap().2, [0, 1, 2, 3]);
    }

    #[test]
    fn a_damaged_series_is_refused_and_a_discarded_one_is_gone() {
        let results = tempfile::tempdir().unwrap();
        let mut series = begin(results.path());
        (0..3).for_each(|pair| series.keep(&pair).unwrap());
        let dir = series.dir().to_owned();
        drop(series);
        let refusal = || format!("{:#}", Series::open::<String, usize>(&dir).unwrap_err());
        fs::write(pair_path(&dir, 2), "{").unwrap();
        assert!(refusal().contains("000002.json is damaged"), "{}", refusal());
        fs::remove_file(pair_path(&dir, 1)).unwrap();
        assert!(refusal().contains("a pair is missing"), "{}", refusal());
        fs::write(dir.join(PLAN), r#"{"schema_version": 99, "plan": ""}"#).unwrap();
        assert!(refusal().contains("newer vnotch"), "{}", refusal());
        let series = begin(results.path());
        let dir = series.dir().to_owned();
        let scratch = series.scratch().unwrap();
        fs::write(scratch.join("stdout"), "x").unwrap();
        assert_eq!(fs::read_dir(series.scratch().unwrap()).unwrap().count(), 0);
        series.discard().unwrap();
        assert!(!dir.exists());
    }
}
