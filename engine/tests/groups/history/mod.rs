//! Random histories of consumer groups: what happens, what the coordinator answers, and how both are written as JSON lines.
//!
//! A history is a sequence of operations that depends on a seed alone. Clients behave as consumers do, most of the time: they join,
//! sync, send heartbeats, commit and leave. Sometimes they repeat themselves, lie about who they are, or fall silent.

#![allow(dead_code, reason = "tests and the example use different parts of this module")]

pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod differences;
pub(crate) mod generate;
pub(crate) mod json;
pub(crate) mod run;

use differences::KnownDifference;
use vnotch_engine::group::{AppendFailure, GroupConfig, Request, Token};

/// The outcome of the appends that an operation causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The records are in the log at once.
    Ok,
    /// The records are not in the log.
    Fails(AppendFailure),
    /// The append is open until an `AppendDone`.
    Open,
}

/// One thing that happens to a coordinator.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// A request arrives.
    Request { request: Box<Request>, fate: Fate },
    /// The oldest open append ends. `of` is a request that waits for it.
    AppendDone { of: Token, fate: Fate },
    /// Time passes.
    Advance { ms: u64, fate: Fate },
    /// The clock of the day jumps.
    Jump { ms: i64 },
    /// Offsets and groups expire.
    Expire { fate: Fate },
    /// The coordinator is given up, and another one loads the log.
    Restart,
}

/// The kind of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Kafka's coordinator can be driven the same way: one clock, and only a SyncGroup's append stays open, while nothing else is appended.
    Comparable,
    /// The clock jumps, and each append may stay open while others queue behind it.
    Hostile,
}

/// The settings of a history.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub seed: u64,
    pub kind: Kind,
    pub steps: usize,
    pub config: GroupConfig,
    /// Kinds of input in this history on which we differ from Kafka on purpose.
    pub differences: &'static [KnownDifference],
    /// Time at which the history begins, ms since the Unix epoch.
    pub start_ms: i64,
    /// One append in so many fails; 0 for none.
    pub failing_one_in: u32,
    /// One append in so many stays open; 0 for none.
    pub open_one_in: u32,
}
