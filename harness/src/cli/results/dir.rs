//! The directory of results, and the result that a name means. Shared by the verbs that look at results.

use crate::exit::UsageError;
use crate::result::shelf::{Shelf, name_of};
use std::path::{Path, PathBuf};

/// Number of names that the error about an ambiguous name lists.
const SHOWN_MAX: usize = 5;

/// The option `--results`.
#[derive(Debug, Clone, clap::Args)]
pub struct ResultsDir {
    /// Directory of the results: what --output was for `vnotch run`
    #[arg(short = 'o', long = "results", visible_alias = "output", value_name = "DIR", default_value = "results", value_hint = clap::ValueHint::DirPath)]
    results: PathBuf,
}

impl ResultsDir {
    /// The directory of results at `path`.
    pub fn at(path: &Path) -> Self {
        Self { results: path.to_owned() }
    }

    /// Returns the directory of results.
    pub fn dir(&self) -> &Path {
        &self.results
    }

    /// Reads which results the directory holds.
    ///
    /// # Errors
    /// A [`UsageError`] if the directory does not exist; otherwise it cannot be read.
    pub fn look(&self) -> anyhow::Result<Shelf> {
        crate::cli::require_dir(&self.results)?;
        Shelf::look(&self.results)
    }

    /// Returns the directory that `name` means: a directory's path, `latest`, or the beginning of one result's name.
    ///
    /// # Errors
    /// A [`UsageError`] if no result matches, or several do.
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
        let matching = shelf.beginning_with(name);
        let exact = matching.iter().find(|dir| name_of(dir) == name);
        match (&matching[..], exact) {
            (_, Some(dir)) | ([dir], None) => Ok(dir.to_path_buf()),
            ([], None) => Err(self.unknown(name, &shelf)),
            (several, None) => Err(UsageError::error(format!(
                "{} results begin with `{name}`: {}; write more of the name",
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
            (None, true) => "; `vnotch list` shows all results".to_owned(),
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
