//! Where results lie, and which of them a name means: shared by the verbs that look at results.

use crate::exit::UsageError;
use crate::result::shelf::{Shelf, name_of};
use std::path::{Path, PathBuf};

/// Names shown when one is ambiguous.
const SHOWN_MAX: usize = 5;

/// `--results`.
#[derive(Debug, Clone, clap::Args)]
pub struct ResultsDir {
    /// The directory that holds the results, as `vnotch run --output` made them
    #[arg(short = 'o', long = "results", value_name = "DIR", default_value = "results", value_hint = clap::ValueHint::DirPath)]
    results: PathBuf,
}

impl ResultsDir {
    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.results
    }

    /// Looks through it.
    ///
    /// # Errors
    /// A [`UsageError`] if it is not there; else it cannot be read.
    pub fn look(&self) -> anyhow::Result<Shelf> {
        super::require_dir(&self.results)?;
        Shelf::look(&self.results)
    }

    /// The directory that `name` means: a directory's path, `latest`, or how the name of one result begins.
    ///
    /// # Errors
    /// A [`UsageError`] if it means none, or several.
    pub fn find(&self, name: &str) -> anyhow::Result<PathBuf> {
        if name.contains('/') || Path::new(name).is_dir() {
            return Ok(PathBuf::from(name));
        }
        let shelf = self.look()?;
        if name == "latest" {
            let newest = shelf.results.iter().find(|it| !it.is_reference);
            let none = || UsageError::error(format!("there is no result in {}", self.results.display()));
            return newest.map(|it| it.dir.clone()).ok_or_else(none);
        }
        let matching: Vec<&Path> = shelf.beginning_with(name).map(|it| it.dir.as_path()).collect();
        let exact = matching.iter().find(|dir| name_of(dir) == name);
        match (&matching[..], exact) {
            (_, Some(dir)) | ([dir], None) => Ok(dir.to_path_buf()),
            ([], None) => Err(self.unknown(name, &shelf)),
            (several, None) => Err(UsageError::error(format!(
                "`{name}` is how {} results begin: {}; write more of the one that is meant",
                several.len(),
                listed(several.iter().map(|dir| name_of(dir)))
            ))),
        }
    }

    fn unknown(&self, name: &str, shelf: &Shelf) -> anyhow::Error {
        let of_name =
            shelf.results.iter().filter(|it| it.result.name == name || name_of(&it.dir).contains(name));
        let hints: Vec<String> = of_name.map(|it| name_of(&it.dir)).collect();
        let unfinished = shelf.others.iter().find(|other| name_of(&other.dir).starts_with(name));
        let hint = match (unfinished, hints.is_empty()) {
            (Some(other), _) => format!("; {} is {}", name_of(&other.dir), other.what),
            (None, false) => format!("; did you mean {}?", listed(hints.into_iter())),
            (None, true) => "; `vnotch list` shows what there is".to_owned(),
        };
        let results = self.results.display();
        UsageError::error(format!("no result in {results} begins with `{name}`{hint}"))
    }
}

fn listed(mut names: impl Iterator<Item = String>) -> String {
    let mut shown: Vec<String> = names.by_ref().take(SHOWN_MAX).collect();
    if names.next().is_some() {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}
