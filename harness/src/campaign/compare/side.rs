//! One side of a comparison: which binary measures which workload with which settings, and the arguments of its processes.

use super::binary::Binary;
use crate::exit::UsageError;
use crate::workload::built_in_text;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Settings of every trial that `--set` may change: there is no ceiling, because raw figures are compared.
const FIRST: [&str; 1] = ["ceiling=off"];
/// Settings of every trial that nothing changes: a process makes one trial, and a late pair is measured again as a pair.
const LAST: [&str; 2] = ["trials=1", "late_retries=0"];

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SidePlan {
    /// The workload.
    pub(crate) workload: WorkloadText,
    /// The settings of `--set`, then those of the side's own option.
    pub(crate) sets: Vec<String>,
    /// Settings that nobody gave, and that make this side like the other one. Plans of older versions have them in `sets`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sets_alike: Vec<String>,
    /// The binary that measures.
    pub(crate) binary: Binary,
}

/// A workload as its file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkloadText {
    /// The name on the command line: a path, or a built-in name.
    pub(crate) named: String,
    /// The absolute path; `None` for a built-in workload. Its text is written to a file, so that both binaries read the same.
    path: Option<PathBuf>,
    /// The text when the series began.
    text: String,
}

impl WorkloadText {
    /// Reads the workload that a command line names.
    ///
    /// # Errors
    /// A [`UsageError`] if there is neither a built-in workload nor a file of this name.
    pub(crate) fn read(named: &str) -> anyhow::Result<Self> {
        let built_in = built_in_text(named);
        let path = Path::new(named);
        if let Ok(text) = built_in {
            return Ok(Self { named: named.to_owned(), path: None, text: text.to_owned() });
        }
        if !path.is_file() {
            built_in.with_context(|| format!("there is no file {named}"))?;
        }
        let text = fs::read_to_string(path)
            .map_err(|error| UsageError::error(format!("{named} cannot be read: {error}")))?;
        Ok(Self { named: named.to_owned(), path: Some(std::path::absolute(path)?), text })
    }

    /// Returns the file to read the workload from. A built-in one is written below `dir`, if it is not there.
    ///
    /// # Errors
    /// The file cannot be written, or its text is no longer what it was when the series began.
    fn file(&self, dir: &Path) -> anyhow::Result<PathBuf> {
        let Some(path) = &self.path else {
            // The file's name is the name of the workload, unless the text has one.
            let stem = Path::new(&self.named).file_name().unwrap_or_default();
            let path = dir.join("workloads").join(stem).with_extension("yaml");
            if fs::read_to_string(&path).ok().as_ref() != Some(&self.text) {
                fs::create_dir_all(dir.join("workloads"))
                    .and_then(|()| fs::write(&path, &self.text))
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            return Ok(path);
        };
        let now = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        if now != self.text {
            bail!("{} was changed while the series was measured", path.display());
        }
        Ok(path.clone())
    }
}

impl SidePlan {
    /// The arguments that check the workload without running it. `dir` is for files; the data will be in `data_dir`.
    ///
    /// # Errors
    /// See [`Self::run_arguments`].
    pub(crate) fn check_arguments(
        &self,
        dir: &Path,
        data_dir: Option<&Path>,
    ) -> anyhow::Result<Vec<OsString>> {
        let mut arguments = self.arguments("check", dir)?;
        arguments.extend(data_dir.into_iter().flat_map(|dir| ["--data-dir".into(), dir.into()]));
        Ok(arguments)
    }

    /// The arguments of one trial, whose data is written to `data_dir` and whose result to `results`. `dir` is for the files of
    /// workloads.
    ///
    /// # Errors
    /// The binary or the workload's file is no longer what it was when the series began, or a file cannot be written.
    pub(crate) fn run_arguments(
        &self,
        dir: &Path,
        results: &Path,
        data_dir: &Path,
    ) -> anyhow::Result<Vec<OsString>> {
        let mut arguments = self.arguments("run", dir)?;
        arguments.push("-o".into());
        arguments.push(results.into());
        arguments.push("--data-dir".into());
        arguments.push(data_dir.into());
        Ok(arguments)
    }

    fn arguments(&self, verb: &str, dir: &Path) -> anyhow::Result<Vec<OsString>> {
        if !self.binary.is_unchanged() {
            let file = self
                .binary
                .path()
                .map_or_else(|| "the running vnotch".to_owned(), |it| it.display().to_string());
            bail!(
                "{file} was replaced while the series was measured: another program would make the other trials"
            );
        }
        let mut arguments: Vec<OsString> =
            [verb, "--format", "json", "--quiet"].into_iter().map(OsString::from).collect();
        arguments.push(self.workload.file(dir)?.into());
        // The last setting of a key counts, so the user's follow those that nobody gave.
        let own = self.sets_alike.iter().chain(&self.sets).map(String::as_str);
        let sets = FIRST.into_iter().chain(own).chain(LAST);
        arguments.extend(sets.flat_map(|set| [OsString::from("--set"), OsString::from(set)]));
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(workload: WorkloadText, sets: &[&str]) -> SidePlan {
        let sets = sets.iter().map(|set| (*set).to_owned()).collect();
        SidePlan { workload, sets, sets_alike: Vec::new(), binary: Binary::this().unwrap() }
    }

    #[test]
    fn what_a_trial_is_run_with_can_be_overridden_only_where_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let mut side = side(WorkloadText::read("throughput").unwrap(), &["ceiling=auto", "trials=9"]);
        side.sets_alike = vec!["consume.assignment=fixed".into()];
        let arguments = side.run_arguments(dir.path(), Path::new("/results"), Path::new("/data")).unwrap();
        let sets: Vec<_> =
            arguments.iter().skip_while(|it| *it != "--set").filter(|it| *it != "--set").take(6).collect();
        assert_eq!(
            sets,
            [
                "ceiling=off",
                "consume.assignment=fixed",
                "ceiling=auto",
                "trials=9",
                "trials=1",
                "late_retries=0"
            ]
        );
        assert_eq!(arguments[0], "run");
        assert!(arguments.ends_with(&["--data-dir".into(), "/data".into()]));
    }

    #[test]
    fn a_built_in_workload_is_written_to_a_file_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["throughput", "studies/preallocate", "preallocate"] {
            let workload = WorkloadText::read(name).unwrap();
            let file = workload.file(dir.path()).unwrap();
            assert_eq!(file.file_stem().unwrap(), name.rsplit('/').next().unwrap());
            assert_eq!(fs::read_to_string(&file).unwrap(), built_in_text(name).unwrap());
        }
    }

    #[test]
    fn a_file_that_is_edited_ends_the_series_and_an_unknown_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mine.yaml");
        fs::write(&file, "load: {mode: max}\n").unwrap();
        let side = side(WorkloadText::read(file.to_str().unwrap()).unwrap(), &[]);
        assert!(side.check_arguments(dir.path(), None).is_ok());
        fs::write(&file, "load: {mode: closed}\n").unwrap();
        let error = side.check_arguments(dir.path(), None).unwrap_err().to_string();
        assert!(error.ends_with("was changed while the series was measured"), "{error}");
        let error = WorkloadText::read("thruput").unwrap_err();
        let text = format!("{error:#}");
        assert!(text.starts_with("there is no file thruput: ") && text.contains("throughput"), "{text}");
        assert_eq!(crate::exit::status_of(&error), crate::exit::ExitStatus::Usage);
    }
}
