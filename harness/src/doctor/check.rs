//! One check of the machine, and its result.

use serde::Serialize;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing to fix.
    Ok,
    /// A run works, but its figures are worse or mean less.
    Warn,
    /// A run does not work.
    Fail,
}

/// One check of the machine, with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Name of the check.
    pub name: &'static str,
    /// Severity of the finding.
    pub level: Level,
    /// The finding, as text for people.
    pub finding: String,
    /// How to fix it. Always present if the level is not [`Level::Ok`].
    pub remedy: Option<String>,
}

/// Returns a check that found something to fix.
pub(super) fn check(name: &'static str, level: Level, finding: impl Into<String>, remedy: &str) -> Check {
    Check { name, level, finding: finding.into(), remedy: Some(remedy.to_owned()) }
}

/// Returns a check that found nothing to fix.
pub(super) fn ok(name: &'static str, finding: impl Into<String>) -> Check {
    Check { name, level: Level::Ok, finding: finding.into(), remedy: None }
}
