//! `vnotch explain`: the meaning of each word that workload files, the first screen, results and exit codes use.
//!
//! The words come from the tables in docs/ and from the schema of `result.json`. No word is explained here, so that no
//! explanation can differ from the documents.
//!
//! - `document`: tables and sections of a Markdown document.
//! - `keys`: workload keys. `figures`: figures on the first screen and fields of `result.json`. `verdicts`: statuses,
//!   flags, limits, conclusions and exit codes. `topics`: sections of the documents.
//! - `text`: entries as text for a terminal.

mod document;
mod figures;
mod keys;
pub mod text;
mod topics;
mod verdicts;

use crate::workload::nearest;
use serde::Serialize;
use std::collections::BTreeMap;

/// The kind of a word, in the order in which entries are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WordKind {
    /// A key of a workload file.
    WorkloadKey,
    /// A figure, or another word, on the first screen.
    Figure,
    /// A field of `result.json`.
    Field,
    /// A field of a comparison's `result.json` that results of runs do not have.
    ComparisonField,
    /// A status of a verdict.
    Status,
    /// A flag of a verdict.
    Flag,
    /// A limit of the rate under `max`.
    Limit,
    /// A conclusion of a comparison.
    Conclusion,
    /// An option of the command line.
    Option,
    /// An exit code.
    ExitCode,
    /// A section of the documents.
    Topic,
}

/// A word and its explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Kind of the word.
    pub kind: WordKind,
    /// The word.
    pub name: String,
    /// Other spellings that mean the same.
    #[serde(skip)]
    pub aliases: Vec<String>,
    /// Short facts by label, such as `128MiB` by `default`.
    pub facts: BTreeMap<&'static str, String>,
    /// The explanation.
    pub text: String,
    /// Topics that say more.
    pub see: Vec<String>,
}

/// The explanation of one word.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Entries of exactly this word.
    pub entries: Vec<Entry>,
    /// Entries below the word: the keys of a section, the fields of a group. If no entry is exact, also those that end in it.
    pub members: Vec<Entry>,
    /// Topics of this word, if it has other entries.
    pub see: Vec<String>,
}

/// A word without an explanation.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no word that vnotch explains{}; `vnotch explain` lists them all", self.hint())]
pub struct UnknownWord {
    word: String,
    nearest: Option<String>,
}

impl UnknownWord {
    fn hint(&self) -> String {
        self.nearest.as_ref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
    }
}

impl WordKind {
    /// Every kind, in the order in which entries are printed.
    pub const ALL: [Self; 11] = [
        Self::WorkloadKey,
        Self::Figure,
        Self::Field,
        Self::ComparisonField,
        Self::Status,
        Self::Flag,
        Self::Limit,
        Self::Conclusion,
        Self::Option,
        Self::ExitCode,
        Self::Topic,
    ];

    /// The kind in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::WorkloadKey => "workload key",
            Self::Figure => "on the first screen",
            Self::Field => "field of result.json",
            Self::ComparisonField => "field of a comparison's result.json",
            Self::Status => "status of a verdict",
            Self::Flag => "flag of a verdict",
            Self::Limit => "limit of the rate under max",
            Self::Conclusion => "conclusion of a comparison",
            Self::Option => "option of the command line",
            Self::ExitCode => "exit code",
            Self::Topic => "topic",
        }
    }
}

/// Returns every entry, in the order of [`WordKind::ALL`]. The caller knows the options of the command line.
pub fn entries(options: Vec<Entry>) -> Vec<Entry> {
    let mut entries = keys::entries();
    entries.extend(figures::on_screen());
    entries.extend(figures::fields());
    entries.extend(figures::comparison_fields());
    entries.extend(verdicts::entries());
    entries.extend(topics::entries());
    entries.extend(options);
    entries.sort_by_key(|entry| entry.kind);
    entries
}

/// Checks that results have a field of this name.
///
/// # Errors
/// There is none; the error is the nearest name, if one is near.
pub fn require_field(name: &str) -> Result<(), Option<String>> {
    let fields = figures::fields();
    if fields.iter().any(|field| field.name == name) {
        return Ok(());
    }
    Err(nearest(name, fields.iter().map(|field| field.name.as_str())).map(str::to_owned))
}

/// Explains a word, from all entries. Case and separators do not count: `noisy_disk` is `noisy disk`.
///
/// # Errors
/// Nothing has this name. The error names the nearest word.
pub fn explain(all: &[Entry], word: &str) -> Result<Explanation, UnknownWord> {
    let typed = plain(word);
    let (topics, mut exact): (Vec<_>, Vec<_>) =
        all.iter().filter(|entry| entry.is_called(&typed)).partition(|entry| entry.kind == WordKind::Topic);
    let path = components(word);
    let mut members = all.iter().filter(|entry| entry.is_below(&path)).collect::<Vec<_>>();
    let mut see = Vec::new();
    if exact.is_empty() && members.is_empty() {
        exact = topics;
    } else {
        see.extend(topics.iter().map(|topic| topic.name.clone()));
    }
    if exact.is_empty() && members.is_empty() {
        members = all.iter().filter(|entry| entry.ends_in(&path)).collect();
        if members.len() == 1 {
            exact = std::mem::take(&mut members);
        }
    }
    if exact.is_empty() && members.is_empty() {
        let names = all.iter().flat_map(Entry::names);
        let nearest = nearest(word, names).map(str::to_owned);
        return Err(UnknownWord { word: word.to_owned(), nearest });
    }
    let cloned = |entries: Vec<&Entry>| entries.into_iter().cloned().collect();
    Ok(Explanation { entries: cloned(exact), members: cloned(members), see })
}

impl Entry {
    /// The name, then the other spellings.
    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    fn is_called(&self, typed: &str) -> bool {
        self.names().any(|name| plain(name) == typed)
    }

    /// Whether the entry is a key in the section at `path`, or a field right below the group at `path`.
    fn is_below(&self, path: &[String]) -> bool {
        let own = self.path();
        let is_near = self.kind == WordKind::WorkloadKey || own.len() == path.len() + 1;
        is_near && own.len() > path.len() && own.starts_with(path)
    }

    /// Whether the last parts of the entry's dotted name are `path`.
    fn ends_in(&self, path: &[String]) -> bool {
        self.path().ends_with(path)
    }

    /// The parts of the dotted name of a key or field; empty for other words.
    fn path(&self) -> Vec<String> {
        match self.kind {
            WordKind::WorkloadKey | WordKind::Field | WordKind::ComparisonField => components(&self.name),
            _ => Vec::new(),
        }
    }
}

fn components(word: &str) -> Vec<String> {
    word.split('.').map(plain).collect()
}

/// Removes case, separators, and an article in front, which do not count. A word of signs alone is kept as it is.
fn plain(word: &str) -> String {
    let lower = word.trim().to_lowercase();
    let bare = ["the ", "a ", "an "].iter().find_map(|article| lower.strip_prefix(article)).unwrap_or(&lower);
    let plain: String = bare.chars().filter(|c| c.is_alphanumeric()).collect();
    if plain.is_empty() { lower } else { plain }
}

#[cfg(test)]
mod tests;
