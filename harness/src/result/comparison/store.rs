//! Writes and reads the directory of a comparison. Its only measurements are those in `result.json`.

use super::Comparison;
use crate::result::record::Artifact;
use crate::result::{RunResult, store};
use anyhow::Context as _;
use serde::Deserialize as _;
use std::path::{Path, PathBuf};

impl Comparison {
    /// Name of the comparison's directory, which is its id: `<time>-<name>-<hash>`.
    pub fn id(&self) -> String {
        let provenance = &self.provenance;
        store::directory_name(&provenance.started_at, &self.name, &provenance.sha256)
    }
}

/// Writes the directory of a comparison below `results`, and returns its path. It appears whole or not at all, and never replaces
/// an earlier one.
///
/// # Errors
/// A file cannot be written. No file is left behind then.
pub fn write(results: &Path, comparison: &Comparison, artifacts: &[Artifact]) -> anyhow::Result<PathBuf> {
    let mut json = serde_json::to_vec_pretty(comparison)?;
    json.push(b'\n');
    store::write_files(results, &comparison.id(), [(store::RESULT, json)], artifacts)
}

/// The content of a result directory.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// A run or a sweep.
    Run(Box<RunResult>),
    /// A comparison.
    Comparison(Box<Comparison>),
}

impl Document {
    /// Reads `result.json` of a directory, and no other file.
    ///
    /// # Errors
    /// The directory is no result, a newer vnotch wrote it, or its file is damaged.
    pub fn load(dir: &Path) -> anyhow::Result<Self> {
        let json = store::load_json(dir)?;
        if store::is_comparison(&json) {
            let damaged = || format!("{} is damaged", dir.join(store::RESULT).display());
            return Ok(Self::Comparison(Box::new(Comparison::deserialize(json).with_context(damaged)?)));
        }
        Ok(Self::Run(Box::new(store::result_of(dir, json)?)))
    }
}
