//! vnotch as its users meet it: the command line, its output and exit codes, and what it says when something is wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod ceiling;
mod check;
mod compare;
mod doctor;
mod dump;
mod explain;
mod groups;
mod leftovers;
mod members;
mod payload;
mod repair;
mod rerun;
mod run;
mod saving;
mod signals;
mod sweep;
mod trials;
mod verify;
