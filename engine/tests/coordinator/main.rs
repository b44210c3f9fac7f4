//! Random histories of a coordinator of consumer groups, with its log on the simulated disk: members that come and go, crashes
//! between any two operations of the disk, lost and reordered writes, failing operations, full disks, and clocks that jump.
//!
//! In each history these rules are checked (`history/check.rs` and `checks.rs`):
//!
//! - No partition is owned twice in one generation.
//! - A committed offset never goes back once its level is reached. What a reply says is stored at that level.
//! - Each request is answered exactly once, and parked ones within ten minutes.
//! - The log gives the stored state, after each crash and each compaction.
//! - A member that has a reply with its generation is in the group.
//!
//! A seed decides everything about its history. `scripts/simulate --groups` plays more of them than a normal test run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic")]

mod checks;
mod clock;
mod examples;
mod full;
#[path = "../groups/history/mod.rs"]
mod history;
mod long;
mod model;
mod owner;
mod play;
mod removal;
mod requests;
mod restart;
mod sessions;
mod setup;
mod world;
