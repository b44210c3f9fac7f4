//! Repairs of a data directory: each kind of damage, the records that are kept, and the files that are moved away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "a test may fail by panic"
)]

#[allow(dead_code, reason = "shared with the tests of `verify`, which use all of it")]
#[path = "../verify/rig.rs"]
mod data;

mod catalog;
mod deleted;
mod interrupted;
mod partition;
mod random;
mod recorded;
mod refused;
mod rig;
