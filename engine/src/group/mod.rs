//! Consumer groups and committed offsets: the coordinator of Kafka's classic group protocol as a pure state machine.
//!
//! A [`Groups`] holds the groups of one partition of `__consumer_offsets`. Requests, the ends of appends and the time are its
//! inputs; replies, records and the next deadline are its outputs. This code knows no disk, no thread and no clock. Its driver
//! appends the records and says when they are in the log.
//!
//! Requests, errors and decisions are those of Kafka 4.3's `GroupMetadataManager` and `OffsetMetadataManager`, down to the next leader.
//! It differs where Kafka forgets a request: each request is answered exactly once here.
//!
//! - A second JoinGroup or SyncGroup of a member answers the first with `NOT_COORDINATOR` [KAFKA-20938].
//! - A member that leaves while its SyncGroup is parked is answered with `UNKNOWN_MEMBER_ID`.
//! - Each removal checks whether all others have joined, also the removal of a member for which the group has no room [KAFKA-7909].
//! - A group is created, and a static member takes over an id, when the record is in the log, and not before.
//!
//! [`Assignor`] and the bytes of the consumers' own protocol are for the client that leads a group.

mod assign;
mod config;
mod error;
mod machine;
mod placement;
mod records;
mod reply;
mod request;
mod state;

pub use assign::{
    Assigned, Assignment, Assignor, GroupMember, PROTOCOL_VERSION, PartitionCounts, Subscription,
};
pub use config::{GroupConfig, RECORD_REST_BYTES};
pub use error::{AppendFailure, GroupError};
pub use machine::{Append, AppendId, Groups, OffsetsPlace, Output, SnapshotPlace};
pub use placement::partition_of_group;
pub use records::{
    CommittedOffset, EncodedRecord, GroupRecord, GroupValue, MemberValue, OFFSETS_TOPIC, OffsetKey,
    RecordFault,
};
pub use reply::{
    DescribedGroup, DescribedMember, FetchedOffset, JoinReply, Joined, JoinedMember, ListedGroup, MemberLeft,
    PartitionOutcomes, Reply, ReplyBody, Synced, TopicOutcomes,
};
pub use request::{
    Client, DeleteGroups, DescribeGroups, Heartbeat, JoinGroup, LeaveGroup, LeavingMember, ListGroups, Now,
    OffsetCommit, OffsetDelete, OffsetFetch, PartitionCommit, Protocol, Request, RequestBody, SyncGroup,
    Token,
};
pub use state::{GroupState, GroupView, MemberView};
