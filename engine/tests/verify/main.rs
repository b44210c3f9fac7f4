//! Verification of a data directory: no defects in a sound one, and every damage is reported with its file and byte.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "a test may fail by panic"
)]

mod damage;
mod flips;
mod groups;
mod holes;
mod points;
mod rig;
mod strange_files;
mod unclean;
