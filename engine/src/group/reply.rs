//! The replies of a group's coordinator, as plain values. Fields are those of Kafka's responses.

use super::error::GroupError;
use super::request::{RequestBody, Token};
use bytes::Bytes;

/// The reply to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Token of the request.
    pub token: Token,
    /// The reply itself.
    pub body: ReplyBody,
}

/// The outcome for each partition, by topic, in the order of the request.
pub type PartitionOutcomes = Vec<TopicOutcomes>;

/// A topic with the outcome for each of its partitions.
pub type TopicOutcomes = (String, Vec<(i32, Result<(), GroupError>)>);

/// The kinds of replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyBody {
    /// To a JoinGroup.
    Join(JoinReply),
    /// To a SyncGroup.
    Sync(Result<Synced, GroupError>),
    /// To a Heartbeat.
    Heartbeat(Result<(), GroupError>),
    /// To a LeaveGroup: each member, in the order of the request.
    Leave(Result<Vec<MemberLeft>, GroupError>),
    /// To an OffsetCommit.
    OffsetCommit(PartitionOutcomes),
    /// To an OffsetFetch: offsets by topic.
    OffsetFetch(Result<Vec<(String, Vec<FetchedOffset>)>, GroupError>),
    /// To an OffsetDelete.
    OffsetDelete(Result<PartitionOutcomes, GroupError>),
    /// To a DeleteGroups: each group, in the order of the request.
    DeleteGroups(Vec<(String, Result<(), GroupError>)>),
    /// To a DescribeGroups: each group, in the order of the request.
    DescribeGroups(Vec<DescribedGroup>),
    /// To a ListGroups.
    ListGroups(Result<Vec<ListedGroup>, GroupError>),
}

/// The reply to a JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinReply {
    /// Id of the member. With `MEMBER_ID_REQUIRED` it is the id to join again with.
    pub member_id: String,
    /// The generation that the member is in, or the reason why it is not in the group.
    pub outcome: Result<Joined, GroupError>,
}

/// The generation that a member has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Number of the generation.
    pub generation: i32,
    /// Member id of the leader.
    pub leader: String,
    /// Type of the protocols.
    pub protocol_type: Option<String>,
    /// Name of the protocol that the members agreed on.
    pub protocol: Option<String>,
    /// The leader must keep the assignment, and must not assign anew.
    pub skips_assignment: bool,
    /// The members, for the leader only.
    pub members: Vec<JoinedMember>,
}

/// A member, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Id of the member.
    pub id: String,
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
    /// The member's metadata for the group's protocol.
    pub metadata: Bytes,
}

/// The assignment of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Type of the protocols.
    pub protocol_type: Option<String>,
    /// Name of the protocol that the members agreed on.
    pub protocol: Option<String>,
    /// The assignment that the leader made, empty if it made none for this member.
    pub assignment: Bytes,
}

/// The outcome for a member that was to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberLeft {
    /// Member id of the request.
    pub member_id: String,
    /// Group instance id of the request.
    pub instance_id: Option<String>,
    /// The member has left, or the reason why it could not.
    pub outcome: Result<(), GroupError>,
}

/// A committed offset, as OffsetFetch returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOffset {
    /// Number of the partition.
    pub partition: i32,
    /// The committed offset; −1 if there is none.
    pub offset: i64,
    /// The leader epoch of the commit; −1 if there is none.
    pub leader_epoch: i32,
    /// Text of the commit; empty if there is none.
    pub metadata: String,
}

/// A group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Id of the group.
    pub group: String,
    /// The reason why the group cannot be described. Before version 6 a missing group is no error, but `Dead`.
    pub error: Option<GroupError>,
    /// State of the group, by Kafka's name.
    pub state: &'static str,
    /// Type of the protocols, empty if there is none.
    pub protocol_type: String,
    /// Name of the protocol of a stable group, otherwise empty.
    pub protocol: String,
    /// The members.
    pub members: Vec<DescribedMember>,
}

/// A member, as DescribeGroups returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// Id of the member.
    pub id: String,
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
    /// The client's name for itself.
    pub client_id: String,
    /// Address of the client.
    pub client_host: String,
    /// The member's metadata for the protocol of a stable group, otherwise empty.
    pub metadata: Bytes,
    /// The member's assignment.
    pub assignment: Bytes,
}

/// A group, as ListGroups returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// Id of the group.
    pub group: String,
    /// Type of the protocols, empty if there is none.
    pub protocol_type: String,
    /// State of the group, by Kafka's name.
    pub state: &'static str,
}

impl JoinReply {
    /// Returns the reply that refuses a member.
    pub fn refused(member_id: &str, error: GroupError) -> ReplyBody {
        ReplyBody::Join(Self { member_id: member_id.to_owned(), outcome: Err(error) })
    }
}

impl ReplyBody {
    /// Returns the reply to `request` that says nothing but `error`, in the form that the request's reply has for it.
    pub fn refusal(request: &RequestBody, error: GroupError) -> Self {
        let each = |topics: &[(String, Vec<i32>)]| {
            let topic = |(name, partitions): &(String, Vec<i32>)| {
                (name.clone(), partitions.iter().map(|partition| (*partition, Err(error))).collect())
            };
            topics.iter().map(topic).collect::<PartitionOutcomes>()
        };
        match request {
            RequestBody::Join(join) => JoinReply::refused(&join.member_id, error),
            RequestBody::Sync(_) => Self::Sync(Err(error)),
            RequestBody::Heartbeat(_) => Self::Heartbeat(Err(error)),
            RequestBody::Leave(_) => Self::Leave(Err(error)),
            RequestBody::OffsetCommit(commit) => {
                let numbers = |(name, partitions): &(String, Vec<super::request::PartitionCommit>)| {
                    (name.clone(), partitions.iter().map(|commit| commit.partition).collect())
                };
                Self::OffsetCommit(each(&commit.topics.iter().map(numbers).collect::<Vec<_>>()))
            }
            RequestBody::OffsetFetch(_) => Self::OffsetFetch(Err(error)),
            RequestBody::OffsetDelete(_) => Self::OffsetDelete(Err(error)),
            RequestBody::DeleteGroups(delete) => {
                Self::DeleteGroups(delete.groups.iter().map(|group| (group.clone(), Err(error))).collect())
            }
            RequestBody::DescribeGroups(describe) => Self::DescribeGroups(
                describe.groups.iter().map(|group| DescribedGroup::failed(group, error)).collect(),
            ),
            RequestBody::ListGroups(_) => Self::ListGroups(Err(error)),
        }
    }

    /// Returns the form that this reply has if its records could not be appended.
    pub(crate) fn failed(self, error: GroupError) -> Self {
        match self {
            Self::Join(reply) => Self::Join(JoinReply { outcome: Err(error), ..reply }),
            Self::Sync(_) => Self::Sync(Err(error)),
            Self::Heartbeat(_) => Self::Heartbeat(Err(error)),
            Self::Leave(_) => Self::Leave(Err(error)),
            Self::OffsetCommit(topics) => {
                let topic = |(name, partitions): TopicOutcomes| {
                    (name, partitions.into_iter().map(|(partition, _)| (partition, Err(error))).collect())
                };
                Self::OffsetCommit(topics.into_iter().map(topic).collect())
            }
            Self::OffsetFetch(_) => Self::OffsetFetch(Err(error)),
            Self::OffsetDelete(_) => Self::OffsetDelete(Err(error)),
            Self::DeleteGroups(groups) => {
                Self::DeleteGroups(groups.into_iter().map(|(group, _)| (group, Err(error))).collect())
            }
            Self::DescribeGroups(groups) => Self::DescribeGroups(
                groups.iter().map(|group| DescribedGroup::failed(&group.group, error)).collect(),
            ),
            Self::ListGroups(_) => Self::ListGroups(Err(error)),
        }
    }
}

impl DescribedGroup {
    fn failed(group: &str, error: GroupError) -> Self {
        Self {
            group: group.to_owned(),
            error: Some(error),
            state: "",
            protocol_type: String::new(),
            protocol: String::new(),
            members: Vec::new(),
        }
    }
}
