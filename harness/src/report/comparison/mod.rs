//! A comparison as people read it: what changed, by how much, how sure that is, and what stands beside it.
//!
//! - `words`: the sentences that all forms share.
//! - `facts`: the rows of the tables that all forms share.
//! - `screen`: the text of a terminal.
//! - `systems`: what acks mean, and what lies between client and system. Sweeps over systems say it too.

pub(super) mod facts;
mod screen;
pub(super) mod systems;
pub(super) mod words;

use crate::escape::visible_lines;
use crate::result::comparison::Comparison;
use std::path::Path;

/// Returns the text of a terminal. `dir` is the directory of the comparison, if it is stored.
pub fn text(comparison: &Comparison, dir: Option<&Path>) -> String {
    visible_lines(&screen::text(comparison, dir))
}

/// Returns one JSON document: the comparison, and its directory if it is stored.
///
/// # Errors
/// The comparison holds a number that JSON cannot.
pub fn json(comparison: &Comparison, dir: Option<&Path>) -> anyhow::Result<String> {
    let document = serde_json::json!({
        "kind": "compare",
        "directory": dir,
        "answer": words::headline(comparison),
        "comparison": serde_json::to_value(comparison)?,
    });
    Ok(format!("{document:#}\n"))
}
