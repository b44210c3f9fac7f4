//! The figures of consumer groups in one trial.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The consumer groups of a trial whose consumers were group members. Rebalances, stops and commits are those of the window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupFigures {
    /// Number of groups.
    pub groups: u32,
    /// Number of members of all groups when the window opened.
    pub members: u32,
    /// The assignor that the members asked for.
    pub assignor: String,
    /// Generations that became stable, over all groups.
    pub rebalances: u64,
    /// Longest rebalance, s: from the time at which the first member noticed it until the last one had its assignment. `None`
    /// without any.
    pub rebalance_max_s: Option<f64>,
    /// Longest time in which a partition had no owner, s. `None` if every partition always had one.
    pub stop_max_s: Option<f64>,
    /// Commits that succeeded.
    pub commits: u64,
    /// Commits that failed.
    pub commits_failed: u64,
    /// Median time from sending a commit until its answer, µs.
    pub commit_p50_us: Option<f64>,
    /// 99th percentile of the same time, µs.
    pub commit_p99_us: Option<f64>,
    /// Longest of the same times, µs.
    pub commit_max_us: Option<f64>,
    /// Largest lag at the end of an interval of the window: records that were acked and that their group had not read, over
    /// all groups and partitions.
    pub lag_max: u64,
    /// The same number at the end of the drain.
    pub lag_end: u64,
}
