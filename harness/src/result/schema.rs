//! `result.json`: one run, its points, and its origin.

use super::environment::Environment;
use super::latency::percentile::Bound;
use super::provenance::{Provenance, SystemIdentity};
use super::trial::Trial;
use super::verdict::Verdict;
use crate::num;
use crate::workload::{Durability, Io, PassKind, Poll};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The version of the schema that this build writes. It reads this version and older ones.
///
/// Version 2 added the workload of each point, the machine id, the wall-clock time of each trial, and the counts and
/// histograms that merging needs.
pub const SCHEMA_VERSION: u32 = 2;

/// A whole result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// [`SCHEMA_VERSION`] of the build that wrote the result.
    pub schema_version: u32,
    /// Kind of the run.
    pub kind: Kind,
    /// Name of the workload.
    pub name: String,
    /// The question that the run should answer, as the workload states it.
    pub question: Option<String>,
    /// Length of the run, s: trials, ceilings and pauses.
    pub elapsed_s: f64,
    /// The machine that the run was made on.
    pub environment: Environment,
    /// The machine when the run ended. `None` in schema version 1.
    #[serde(default)]
    pub environment_at_end: Option<Environment>,
    /// The build, the target and the time of the run.
    pub provenance: Provenance,
    /// The workload as it was run, every default filled in; of a sweep the one that its combinations are made of.
    pub workload: serde_json::Value,
    /// The workloads of the points, each once, every default filled in. [`Point::workload`] is an index into it. Empty in
    /// version 1.
    #[serde(default)]
    pub workloads: Vec<serde_json::Value>,
    /// Verdict on all points.
    pub verdict: Verdict,
    /// The points: one for each pass of a run, or for each combination and pass of a sweep.
    pub points: Vec<Point>,
}

/// Kinds of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One workload as it stands.
    Run,
    /// One workload for every combination of some settings.
    Sweep,
    /// Two workloads, in alternation.
    Compare,
    /// The highest rate that holds an SLO.
    Search,
}

/// One combination of settings under one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Settings that the point overrides in the workload, by dotted key; empty for a run.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// Index of the point's workload in the result's `workloads`; 0 in version 1, which has none.
    #[serde(default)]
    pub workload: usize,
    /// Kind of load.
    pub pass: PassKind,
    /// The target: `engine`, `kafka://…` or `device`.
    pub target: String,
    /// The system that was measured; `None` in older results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemIdentity>,
    /// Durability that an ack promises.
    pub durability: Durability,
    /// How segments are written; `None` where the target does not report it.
    pub io: Option<Io>,
    /// How a shard waits for completions; `None` where the target does not report it.
    pub poll: Option<Poll>,
    /// Verdict on all trials.
    pub verdict: Verdict,
    /// The trials in the order in which they were made.
    pub trials: Vec<Trial>,
    /// Every figure of the trials by its dotted path, such as `produce.bytes_per_s` or `latency_ns.response.p99`. A figure
    /// that no trial has is left out.
    ///
    /// Trials whose generator was late are left out, unless it was late in all of them.
    pub summary: BTreeMap<String, Figure>,
    /// Throughput and latencies over the first attempts at all trials, whether their generator was late or not. Empty if no
    /// generator was late.
    #[serde(default)]
    pub first_attempts: BTreeMap<String, Figure>,
}

/// One figure over the trials of a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// Trials that have the figure.
    pub trials: u32,
    /// Median: the middle value, or the mean of the middle two.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// Distribution-free confidence interval of the median; `None` with fewer than 6 trials, and where a trial has only a lower
    /// bound.
    pub interval: Option<Interval>,
    /// The side on which the true median lies; `None` if the median is no bound. So are the next two for `min` and `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    /// The side on which the true smallest value lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_bound: Option<Bound>,
    /// The side on which the true largest value lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bound: Option<Bound>,
}

/// A two-sided confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Confidence, 0 to 1.
    pub confidence: f64,
}

/// The resolved workloads of a result, each once.
#[derive(Debug, Default)]
pub struct WorkloadList {
    list: Vec<serde_json::Value>,
    /// The index of each, by its JSON text.
    index_of: HashMap<String, usize>,
}

impl WorkloadList {
    /// Returns the index of `workload`, which is added if it is new.
    pub fn index_of(&mut self, workload: serde_json::Value) -> usize {
        *self.index_of.entry(workload.to_string()).or_insert_with(|| {
            self.list.push(workload);
            self.list.len() - 1
        })
    }

    /// Returns the workloads in the order in which they were added.
    pub fn into_list(self) -> Vec<serde_json::Value> {
        self.list
    }
}

impl RunResult {
    /// The resolved workload of a point. A result of version 1 holds only the workload of the whole run.
    pub fn workload_of(&self, point: &Point) -> &serde_json::Value {
        self.workloads.get(point.workload).unwrap_or(&self.workload)
    }
}

impl Point {
    /// Returns a figure of the summary if every trial in time has it. A figure that some trials lack, such as a percentile that
    /// needs more acks, stands for fewer trials than the reader expects.
    pub fn figure(&self, path: &str) -> Option<&Figure> {
        let trials = in_time(&self.trials).count();
        self.summary.get(path).filter(|figure| usize::try_from(figure.trials) == Ok(trials))
    }

    /// Returns a figure over the first attempts at all trials, if any generator was late and every attempt has it.
    pub fn first_figure(&self, path: &str) -> Option<&Figure> {
        let figure = self.first_attempts.get(path)?;
        (usize::try_from(figure.trials) == Ok(self.trials.len())).then_some(figure)
    }

    /// Returns the share of the trials whose generator was late in the first attempt, 0 to 1.
    pub fn late_share(&self) -> f64 {
        let late = self.trials.iter().filter(|trial| trial.was_late()).count();
        num::f64_of(num::count(late)) / num::f64_of(num::count(self.trials.len().max(1)))
    }
}

/// Returns the trials that medians are made of: those whose generator was in time, or all if it was late in all of them.
pub fn in_time(trials: &[Trial]) -> impl Iterator<Item = &Trial> {
    let is_any = trials.iter().any(|trial| !trial.is_late);
    trials.iter().filter(move |trial| !is_any || !trial.is_late)
}
