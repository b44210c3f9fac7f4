//! The consumer groups of a data directory, as plain values.

use crate::verify::report::Defect;
use serde::Serialize;
use std::path::PathBuf;

/// The consumer groups of a data directory.
#[derive(Debug, Clone, Serialize)]
pub struct GroupsReport {
    /// Path of the directory.
    pub data_dir: PathBuf,
    /// The groups, by id.
    pub groups: Vec<GroupReport>,
    /// Faults of the stored groups. Records that they concern are missing from `groups`.
    pub defects: Vec<Defect>,
}

/// One group, as its stored records tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupReport {
    /// Id of the group.
    pub group: String,
    /// Partition of `__consumer_offsets` that holds its records.
    pub stored_in: u32,
    /// State of the group after the next open, by Kafka's name.
    pub state: &'static str,
    /// Number of the generation.
    pub generation: i32,
    /// Type of the protocols, `consumer` for consumers; empty if the group never had members.
    pub protocol_type: String,
    /// Protocol of the generation.
    pub protocol: Option<String>,
    /// Member id of the leader.
    pub leader: Option<String>,
    /// The members.
    pub members: Vec<GroupMemberReport>,
    /// Partitions with a committed offset or an owner, by topic and number.
    pub partitions: Vec<GroupPartitionReport>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupMemberReport {
    /// Id of the member.
    pub id: String,
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
    /// The client's name for itself.
    pub client_id: String,
    /// Address of the client.
    pub client_host: String,
    /// Number of partitions that are assigned to the member; `None` if its assignment cannot be read.
    pub assigned: Option<usize>,
}

/// A partition of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupPartitionReport {
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition, as the client sent it.
    pub partition: i32,
    /// The members that read the partition. More than one is a mistake of the group's leader.
    pub owners: Vec<PartitionOwner>,
    /// The committed offset, if there is one.
    pub committed: Option<CommitReport>,
    /// The first offset that the partition's log holds; `None` if there is no such partition.
    pub log_start_offset: Option<i64>,
    /// The offset after the last record of the log; `None` if there is no such partition.
    pub log_end_offset: Option<i64>,
    /// Number of offsets from the committed one to the log's end; `None` if either is not known, or the commit lies beyond
    /// the end.
    pub lag: Option<i64>,
    /// The way in which partition or commit do not fit the topics and logs of the directory.
    pub mark: Option<PartitionMark>,
}

/// A member that reads a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionOwner {
    /// Id of the member.
    pub member_id: String,
    /// The client's name for itself.
    pub client_id: String,
    /// Address of the client.
    pub client_host: String,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitReport {
    /// Offset of the next record that the group reads.
    pub offset: i64,
    /// Leader epoch of the last record that was read, if the client sent one.
    pub leader_epoch: Option<i32>,
    /// Text that the client stored with the offset.
    pub metadata: String,
    /// Time of the commit, ms since the Unix epoch.
    pub committed_ms: i64,
    /// Time at which the offset expires, ms since the Unix epoch, if the commit brought a retention of its own.
    pub expires_ms: Option<i64>,
}

/// The ways in which a group's partition does not fit the topics and logs of the directory. A commit is accepted in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionMark {
    /// The topic does not exist.
    NoTopic,
    /// The topic has no such partition, or the partition's directory is missing.
    NoPartition,
    /// The commit is larger than the log's end.
    BeyondEnd,
    /// The records from the commit on are deleted, up to the log's start.
    BelowStart,
}
