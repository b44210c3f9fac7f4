//! The requests that a group's coordinator answers, as plain values. Fields are those of Kafka's requests.

use bytes::Bytes;
use std::collections::BTreeMap;

/// Identifies a request to its caller. Each token gets exactly one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// The time of an input, by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time of a clock that never goes back, ms. Timeouts are measured by it.
    pub monotonic_ms: u64,
    /// Time since the Unix epoch, ms. It is stored with commits and states, and may jump.
    pub unix_ms: i64,
}

/// The client that sent a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client {
    /// The client's name for itself.
    pub id: String,
    /// Address of the client, as Kafka writes it: `/127.0.0.1`.
    pub host: String,
}

/// A request, with what the connection knows about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Identifies the reply.
    pub token: Token,
    /// The sender.
    pub client: Client,
    /// Version of the request. Some rules depend on it.
    pub api_version: i16,
    /// The request itself.
    pub body: RequestBody,
}

/// The kinds of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestBody {
    /// Enters a group, or takes part in its rebalance.
    Join(JoinGroup),
    /// Fetches the assignment; the leader's request brings it.
    Sync(SyncGroup),
    /// Keeps a member's session.
    Heartbeat(Heartbeat),
    /// Removes members.
    Leave(LeaveGroup),
    /// Stores offsets.
    OffsetCommit(OffsetCommit),
    /// Reads offsets.
    OffsetFetch(OffsetFetch),
    /// Removes offsets.
    OffsetDelete(OffsetDelete),
    /// Removes groups with their offsets.
    DeleteGroups(DeleteGroups),
    /// Describes groups with their members.
    DescribeGroups(DescribeGroups),
    /// Lists groups.
    ListGroups(ListGroups),
}

/// A protocol that a member supports, with the member's metadata for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// Name of the protocol: for consumers, of the assignor.
    pub name: String,
    /// Metadata for the leader: for consumers, a `ConsumerProtocolSubscription`.
    pub metadata: Bytes,
}

/// A JoinGroup request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinGroup {
    /// Id of the group.
    pub group: String,
    /// Id of the member; empty if it has none yet.
    pub member_id: String,
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
    /// 128 random bits, drawn by the caller. A new member id ends with them, as a UUID.
    pub random: u128,
    /// Type of the protocols, `consumer` for consumers.
    pub protocol_type: String,
    /// The protocols, the preferred one first. Only the first of each name counts.
    pub protocols: Vec<Protocol>,
    /// Time without a heartbeat after which the member is removed, ms.
    pub session_timeout_ms: i32,
    /// Time that a rebalance waits for this member, ms. Version 0 has no such field: the caller passes the session timeout.
    pub rebalance_timeout_ms: i32,
}

/// A SyncGroup request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncGroup {
    /// Id of the group.
    pub group: String,
    /// Generation that the member joined.
    pub generation: i32,
    /// Id of the member.
    pub member_id: String,
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
    /// Type of the protocols, if the client sent it.
    pub protocol_type: Option<String>,
    /// Name of the protocol, if the client sent it.
    pub protocol: Option<String>,
    /// Assignments by member id, from the leader only.
    pub assignments: Vec<(String, Bytes)>,
}

/// A Heartbeat request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Id of the group.
    pub group: String,
    /// Generation of the member.
    pub generation: i32,
    /// Id of the member.
    pub member_id: String,
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
}

/// A LeaveGroup request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveGroup {
    /// Id of the group.
    pub group: String,
    /// The members that leave.
    pub members: Vec<LeavingMember>,
}

/// A member that leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingMember {
    /// Id of the member; empty if a static member is named by its instance id alone.
    pub member_id: String,
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
}

/// An OffsetCommit request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommit {
    /// Id of the group.
    pub group: String,
    /// Generation of the member; −1 from consumers that assign partitions themselves.
    pub generation: i32,
    /// Id of the member; empty from consumers that assign partitions themselves.
    pub member_id: String,
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
    /// Time after which the offsets expire, ms (versions 2 to 4).
    pub retention_ms: Option<i64>,
    /// Ids of the topics that the sender has read, by name, where it knows them.
    pub topic_ids: BTreeMap<String, u64>,
    /// The offsets, by topic.
    pub topics: Vec<(String, Vec<PartitionCommit>)>,
}

/// An offset to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCommit {
    /// Number of the partition.
    pub partition: i32,
    /// Offset of the next record that the group reads.
    pub offset: i64,
    /// Leader epoch of the last record that was read; −1 if unknown.
    pub leader_epoch: i32,
    /// Text to store with the offset.
    pub metadata: Option<String>,
}

/// An OffsetFetch request for one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetFetch {
    /// Id of the group.
    pub group: String,
    /// The partitions by topic; `None` for all.
    pub topics: Option<Vec<(String, Vec<i32>)>>,
}

/// An OffsetDelete request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetDelete {
    /// Id of the group.
    pub group: String,
    /// The partitions by topic.
    pub topics: Vec<(String, Vec<i32>)>,
}

/// A DeleteGroups request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteGroups {
    /// Ids of the groups.
    pub groups: Vec<String>,
}

/// A DescribeGroups request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribeGroups {
    /// Ids of the groups.
    pub groups: Vec<String>,
}

/// A ListGroups request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListGroups {
    /// States to list, in any case; none for all.
    pub states: Vec<String>,
    /// Types to list; none for all. Groups here are of type `classic`.
    pub types: Vec<String>,
}

impl RequestBody {
    /// Returns the id of the group, if the request is for exactly one.
    pub fn group(&self) -> Option<&str> {
        match self {
            Self::Join(request) => Some(&request.group),
            Self::Sync(request) => Some(&request.group),
            Self::Heartbeat(request) => Some(&request.group),
            Self::Leave(request) => Some(&request.group),
            Self::OffsetCommit(request) => Some(&request.group),
            Self::OffsetFetch(request) => Some(&request.group),
            Self::OffsetDelete(request) => Some(&request.group),
            Self::DeleteGroups(_) | Self::DescribeGroups(_) | Self::ListGroups(_) => None,
        }
    }
}
