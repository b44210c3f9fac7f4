//! Results and reports from end to end. Results are written and read back, and reports hold the figures that were measured.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::too_many_lines,
    missing_docs,
    reason = "tests"
)]

mod answers;
mod bounds;
mod compare;
mod draw;
mod groups;
mod limits;
mod overlay;
mod pictures;
mod plots;
mod sample;
mod schema;
mod shelf;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod sweeps;
mod verb;
mod words;
