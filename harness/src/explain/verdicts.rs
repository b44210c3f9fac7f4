//! Statuses and flags of a verdict, limits of `max`, conclusions of comparisons, and exit codes, from the tables of
//! docs/methodology.md.

use super::document::{METHODOLOGY, Row, flat, rows};
use super::{Entry, WordKind};
use crate::result::{VerdictFlag, VerdictStatus};
use serde::de::{DeserializeOwned, value};
use std::collections::BTreeMap;

/// Returns an entry for each status, flag, limit of `max`, conclusion and exit code, in the document's order.
pub(super) fn entries() -> Vec<Entry> {
    let status = |row: Row| {
        let exit = row.cells.get(1).cloned().unwrap_or_default();
        let in_words = parsed::<VerdictStatus>(&row.name).map(|status| status.words());
        entry(WordKind::Status, row, in_words, BTreeMap::from([("exit code", exit)]))
    };
    let flag = |row: Row| {
        let in_words = parsed::<VerdictFlag>(&row.name).map(|flag| flag.words());
        entry(WordKind::Flag, row, in_words, BTreeMap::new())
    };
    let exit = |row: Row| {
        let aliases = ["exit", "exit code", "exit status"].map(|word| format!("{word} {}", row.name));
        Entry { aliases: aliases.to_vec(), ..entry(WordKind::ExitCode, row, None, BTreeMap::new()) }
    };
    let statuses = rows(METHODOLOGY, "status, worst first").into_iter().map(status);
    let flags = rows(METHODOLOGY, "flag").into_iter().map(flag);
    let exits = rows(METHODOLOGY, "exit code").into_iter().map(exit);
    let limits = rows(METHODOLOGY, "limit").into_iter();
    let limits = limits.map(|row| entry(WordKind::Limit, row, None, BTreeMap::new()));
    let conclusions = rows(METHODOLOGY, "conclusion").into_iter();
    let conclusions = conclusions.map(|row| entry(WordKind::Conclusion, row, None, BTreeMap::new()));
    statuses.chain(flags).chain(limits).chain(conclusions).chain(exits).collect()
}

/// Makes an entry of a row whose second cell is the explanation. `in_words` is how the first screen prints the name.
fn entry(
    kind: WordKind,
    row: Row,
    in_words: Option<&'static str>,
    mut facts: BTreeMap<&'static str, String>,
) -> Entry {
    let flat = flat(row.cells.first().map_or("", String::as_str));
    facts.extend(in_words.map(|words| ("printed as", words.to_owned())));
    let aliases = in_words.map(str::to_owned).into_iter().collect();
    Entry { kind, name: row.name, aliases, facts, text: flat.text, see: flat.see }
}

/// Returns the value that results write as `name`.
fn parsed<T: DeserializeOwned>(name: &str) -> Option<T> {
    T::deserialize(value::StrDeserializer::<value::Error>::new(name)).ok()
}
