//! Verbs that read or repair a data directory.

pub mod dump;
mod findings;
pub mod groups;
pub mod repair;
pub mod verify;
