//! Baselines: names for results that later results are compared with.
//!
//! The directory of results has a file `baselines/NAME.json` for each. It holds the result's path below that directory, and no
//! copy of the result. So `prune` keeps results that a baseline names.

use crate::exit::UsageError;
use crate::result::{Kind, RunResult, SCHEMA_VERSION, Verdict, VerdictStatus, store};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The directory of baselines, below the directory of results.
pub const BASELINES: &str = "baselines";

const EXTENSION: &str = "json";
const NAME_CHARS_MAX: usize = 100;

/// Content of a baseline's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Version of the schema, as in results.
    pub schema_version: u32,
    /// Path of the result's directory below the directory of results.
    pub result: PathBuf,
    /// When the baseline was stored, RFC 3339.
    pub saved_at: String,
}

/// Stores the name `name` for the result in `dir`, which lies in `results`. A baseline of that name is replaced. Returns the path
/// of the baseline's file.
///
/// # Errors
/// A [`UsageError`] if the name cannot be a file's name, if `dir` is no result of a run in `results`, or if nothing can be concluded
/// from that result. Another error if the file cannot be written.
pub fn save(results: &Path, name: &str, dir: &Path) -> anyhow::Result<PathBuf> {
    let path = path_of(results, name)?;
    let saved = store::load_result(dir).map_err(|error| UsageError::error(format!("{error:#}")))?;
    if saved.kind == Kind::Sweep {
        return Err(UsageError::error(format!(
            "{} is a sweep, and a baseline is one run: later runs are compared with it",
            dir.display()
        )));
    }
    if let Some(verdict) = hindrance(&saved) {
        let reason = verdict.reasons.first().map(|reason| format!(" ({reason})")).unwrap_or_default();
        return Err(UsageError::error(format!(
            "{} cannot be a baseline: its verdict is `{}`{reason}, so no later result could be compared with it; name a valid result",
            dir.display(),
            verdict.status.name()
        )));
    }
    let parent =
        fs::canonicalize(results).with_context(|| format!("cannot look into {}", results.display()))?;
    let result = fs::canonicalize(dir).with_context(|| format!("cannot look into {}", dir.display()))?;
    let below = result.strip_prefix(&parent).map_err(|_| {
        UsageError::error(format!(
            "{} is not in {}, so it may be moved or removed without this baseline's knowledge; copy it there first",
            dir.display(),
            results.display()
        ))
    })?;
    let baseline = Baseline {
        schema_version: SCHEMA_VERSION,
        result: below.to_owned(),
        saved_at: jiff::Timestamp::now().to_string(),
    };
    let mut json = serde_json::to_vec_pretty(&baseline)?;
    json.push(b'\n');
    store::replace_file(&path, &json)?;
    Ok(path)
}

/// Returns the verdict because of which no comparison with a result has a conclusion; `None` if comparisons can have one.
fn hindrance(result: &RunResult) -> Option<&Verdict> {
    let is_invalid = |verdict: &Verdict| {
        matches!(verdict.status, VerdictStatus::Invalid | VerdictStatus::RequirementMissed)
    };
    match result.verdict.status {
        VerdictStatus::Interrupted | VerdictStatus::Errors | VerdictStatus::IntegrityFailed => {
            Some(&result.verdict)
        }
        // One point is compared. Of several, a valid one is enough.
        VerdictStatus::Valid
        | VerdictStatus::Invalid
        | VerdictStatus::RequirementMissed
        | VerdictStatus::SloMissed => {
            let mut verdicts = result.points.iter().map(|point| &point.verdict);
            if verdicts.clone().all(is_invalid) { verdicts.next() } else { None }
        }
    }
}

/// Checks that a baseline can have this name.
///
/// # Errors
/// A [`UsageError`] if the name cannot be a file's name.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    path_of(Path::new(""), name).map(drop)
}

/// Returns the directory of the result that a baseline names.
///
/// # Errors
/// A [`UsageError`] if there is no such baseline, or if its result is gone. Another error if its file is damaged.
pub fn find(results: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = path_of(results, name)?;
    if !path.is_file() {
        let known: Vec<String> = all(results)?.into_iter().map(|(name, _)| format!("`{name}`")).collect();
        let hint = if known.is_empty() {
            "there is none yet".to_owned()
        } else {
            format!("there {} {}", if known.len() == 1 { "is" } else { "are" }, known.join(", "))
        };
        return Err(UsageError::error(format!(
            "there is no baseline `{name}` in {} ({hint}); `vnotch compare --save-baseline {name} RESULT` stores one",
            results.display()
        )));
    }
    let dir = results.join(read(&path)?.result);
    if !dir.is_dir() {
        return Err(UsageError::error(format!(
            "the baseline `{name}` names {}, which is gone; `vnotch compare --save-baseline {name} RESULT` names another result",
            dir.display()
        )));
    }
    Ok(dir)
}

/// Returns all baselines of a directory of results, by name, each with its result's directory. Files that cannot be read are left
/// out.
///
/// # Errors
/// The directory of baselines cannot be listed.
pub fn all(results: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let dir = results.join(BASELINES);
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot look into {}", dir.display())),
    };
    let named = |path: PathBuf| {
        let is_ours = path.extension().is_some_and(|extension| extension == EXTENSION);
        let name = path.file_stem()?.to_str().filter(|name| is_ours && !name.starts_with('.'))?.to_owned();
        Some((name, results.join(read(&path).ok()?.result)))
    };
    let mut found: Vec<_> = entries.filter_map(|entry| named(entry.ok()?.path())).collect();
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> anyhow::Result<Baseline> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&content).with_context(|| format!("{} is damaged", path.display()))
}

fn path_of(results: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name = !name.is_empty()
        && name.len() <= NAME_CHARS_MAX
        && name.chars().all(is_safe)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !is_name {
        return Err(UsageError::error(format!(
            "`{name}` cannot be the name of a baseline: use letters, digits, `.`, `_` and `-`, and begin with a letter or digit"
        )));
    }
    Ok(results.join(BASELINES).join(format!("{name}.{EXTENSION}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_names() {
        for name in ["main", "v1.2", "2026-11-28_a"] {
            assert!(path_of(Path::new("results"), name).is_ok(), "{name}");
        }
        let long = "x".repeat(101);
        for name in ["", ".hidden", "../main", "a/b", "a b", "-x", "ü", &long] {
            let error = path_of(Path::new("results"), name).unwrap_err();
            assert!(error.is::<UsageError>(), "{name}");
        }
    }

    #[test]
    fn a_baseline_that_is_missing_or_whose_result_is_gone_is_told_with_what_to_do() {
        let results = tempfile::tempdir().unwrap();
        let message = |name: &str| {
            let error = find(results.path(), name).unwrap_err();
            (error.is::<UsageError>(), format!("{error:#}"))
        };
        let (is_usage, text) = message("main");
        assert!(
            is_usage && text.contains("there is none yet") && text.contains("--save-baseline main"),
            "{text}"
        );
        let not_a_result = save(results.path(), "main", results.path()).unwrap_err();
        assert!(not_a_result.is::<UsageError>(), "{not_a_result}");
        let baseline = Baseline { schema_version: 2, result: "gone".into(), saved_at: String::new() };
        let path = results.path().join(BASELINES).join("main.json");
        store::replace_file(&path, &serde_json::to_vec(&baseline).unwrap()).unwrap();
        let (is_usage, text) = message("main");
        assert!(is_usage && text.contains("which is gone"), "{text}");
        assert!(message("other").1.contains("there is `main`"));
        fs::write(&path, "{").unwrap();
        let (is_usage, text) = message("main");
        assert!(!is_usage && text.contains("main.json is damaged"), "{text}");
    }
}
