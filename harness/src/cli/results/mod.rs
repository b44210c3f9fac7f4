//! Verbs that look at a directory of results.

pub mod dir;
pub mod list;
pub mod prune;
pub mod show;
