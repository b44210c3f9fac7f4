//! Verifying a data directory: sound ones are, and whatever is done to one is said, with its file and byte.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "a test may fail by panic"
)]

mod damage;
mod flips;
mod holes;
mod rig;
mod unclean;
