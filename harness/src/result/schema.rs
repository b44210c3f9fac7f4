//! `result.json`: one run, its points, and what is known of where it was made.

use super::environment::Environment;
use super::provenance::Provenance;
use super::trial::Trial;
use super::verdict::Verdict;
use crate::workload::{Durability, Io, PassKind, Poll};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema this build writes; it reads this one and older ones.
pub const SCHEMA_VERSION: u32 = 1;

/// A whole result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// [`SCHEMA_VERSION`] of the build that wrote it.
    pub schema_version: u32,
    /// What was done.
    pub kind: Kind,
    /// The workload's name.
    pub name: String,
    /// What the run was for.
    pub question: Option<String>,
    /// How long it took, trials, ceilings and pauses together, s.
    pub elapsed_s: f64,
    /// The machine it was made on.
    pub environment: Environment,
    /// What made it, and when.
    pub provenance: Provenance,
    /// The workload as it was run, every default filled in.
    pub workload: serde_json::Value,
    /// Over all points.
    pub verdict: Verdict,
    /// One for each pass of a run, one for each combination and pass of a sweep.
    pub points: Vec<Point>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One workload as it stands.
    Run,
    /// A workload for every combination of some settings.
    Sweep,
    /// Two workloads, turn by turn.
    Compare,
    /// The highest rate that holds an SLO.
    Search,
}

/// One combination of settings under one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// What it overrides in the workload, by dotted key; empty for a run.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// Its load.
    pub pass: PassKind,
    /// `engine`, `kafka://…` or `device`.
    pub target: String,
    /// What an ack promises.
    pub durability: Durability,
    /// How segments are written; `None` where the target does not say.
    pub io: Option<Io>,
    /// How a shard waits for completions; `None` where the target does not say.
    pub poll: Option<Poll>,
    /// Over all trials.
    pub verdict: Verdict,
    /// In the order they were made.
    pub trials: Vec<Trial>,
    /// Every figure of the trials by its dotted path, such as `produce.bytes_per_s` or `latency_ns.response.p99`; a figure
    /// that no trial has is left out.
    pub summary: BTreeMap<String, Figure>,
}

/// One figure over the trials of a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// Trials that have it.
    pub trials: u32,
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Of the mean; from 6 trials on.
    pub interval: Option<Interval>,
}

/// A two-sided confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Its confidence, 0 to 1.
    pub confidence: f64,
}

impl Point {
    /// A figure of the summary, if every trial has it: one that some lack (a percentile that not every trial can
    /// tell) stands for less than it seems to.
    pub fn figure(&self, path: &str) -> Option<&Figure> {
        self.summary.get(path).filter(|figure| usize::try_from(figure.trials) == Ok(self.trials.len()))
    }
}
