//! Settings of the consumers: how they get their partitions, how their groups commit, and how members come and go.

use crate::workload::units::TimeSpan;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How consumers get their partitions, and what they do as members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Consume {
    /// How consumers get their partitions. A workload that was read from a file has it; if the file does not, its consumers are
    /// members of a group where that is possible. `None` in documents of older versions: from their group if `commit` or `churn`
    /// is written, else by number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<Assignment>,
    /// How the leader of a group divides the partitions.
    pub assignor: Assignor,
    /// Time between two heartbeats of a member.
    pub heartbeat_interval: TimeSpan,
    /// How members commit; `None` for the defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// Members that leave and join during the window; `None` if all stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub churn: Option<Churn>,
}

impl Default for Consume {
    fn default() -> Self {
        Self {
            assignment: None,
            assignor: Assignor::CooperativeSticky,
            heartbeat_interval: TimeSpan::seconds(3),
            commit: None,
            churn: None,
        }
    }
}

impl Consume {
    /// Whether consumers are members of a group that a coordinator serves.
    pub fn has_members(&self) -> bool {
        match self.assignment {
            Some(assignment) => assignment == Assignment::Group,
            None => self.asks_for_members(),
        }
    }

    /// Whether settings are written that only members of a group have.
    pub(in crate::workload) const fn asks_for_members(&self) -> bool {
        self.commit.is_some() || self.churn.is_some()
    }
}

/// How consumers get their partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assignment {
    /// By number, without a coordinator.
    Fixed,
    /// From their group.
    Group,
}

/// How the leader of a group divides the partitions. The names are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assignor {
    /// Each member gets partitions that follow each other. All partitions stop in a rebalance.
    #[serde(rename = "range")]
    Range,
    /// Members get the partitions in turn. All partitions stop in a rebalance.
    #[serde(rename = "roundrobin")]
    RoundRobin,
    /// Members keep what they have, as far as the numbers allow. Only partitions that move stop in a rebalance.
    #[serde(rename = "cooperative-sticky")]
    CooperativeSticky,
}

impl Assignor {
    /// The name in a workload file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }
}

/// How members commit the offsets of the records that they have read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Commit {
    /// Whether members commit, and whether they wait for the answer.
    pub mode: CommitMode,
    /// Time between two commits of a member.
    pub every: TimeSpan,
}

impl Default for Commit {
    fn default() -> Self {
        Self { mode: CommitMode::Auto, every: TimeSpan(Duration::from_secs(5)) }
    }
}

/// Whether members commit, and whether they wait for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitMode {
    /// The client commits in a poll, and the member reads on.
    Auto,
    /// The member waits for each answer before it reads on.
    Sync,
    /// Nothing is committed.
    None,
}

/// Members that leave and join during the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// Time between two changes of a group: a member leaves, joins again, then the next one leaves.
    pub every: TimeSpan,
}
