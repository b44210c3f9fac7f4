//! The errors of requests to a group, with Kafka's codes and names.

use thiserror::Error;

/// The reason why a request to a group was refused. Codes and names are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum GroupError {
    /// The server failed in a way that has no code of its own. A record that is too large for the log is answered so.
    #[error("the server failed unexpectedly")]
    UnknownServerError,
    /// A topic of the request was deleted. Another one may have its name.
    #[error("the topic or partition does not exist")]
    UnknownTopicOrPartition,
    /// The request holds more bytes of metadata or assignments than a group may have.
    #[error("the request holds more bytes than the group takes")]
    MessageTooLarge,
    /// The metadata of a commit is longer than the limit.
    #[error("the metadata of the offset is longer than the limit")]
    OffsetMetadataTooLarge,
    /// The partition of `__consumer_offsets` is still being read.
    #[error("the coordinator is still loading this group")]
    CoordinatorLoadInProgress,
    /// The records of the group cannot be written now. The request can be tried again.
    #[error("the coordinator is not available")]
    CoordinatorNotAvailable,
    /// Another shard coordinates this group, or the storage of this one has failed.
    #[error("this is not the coordinator of the group")]
    NotCoordinator,
    /// The generation in the request is not the group's.
    #[error("the generation is not the group's current one")]
    IllegalGeneration,
    /// The member's protocols or protocol type do not match those of the group.
    #[error("the protocol type or the protocols do not match those of the group")]
    InconsistentGroupProtocol,
    /// The group id is empty.
    #[error("the group id is not valid")]
    InvalidGroupId,
    /// The group has no such member.
    #[error("the group does not know this member")]
    UnknownMemberId,
    /// The session timeout lies outside of the configured range.
    #[error("the session timeout lies outside of the range that the server allows")]
    InvalidSessionTimeout,
    /// The group rebalances, so the member has to join again.
    #[error("the group is rebalancing: join again")]
    RebalanceInProgress,
    /// A field has a value that no client may send, such as a string of more than 32,767 bytes.
    #[error("the request has a field that is not valid")]
    InvalidRequest,
    /// The server holds as many groups as it may.
    #[error("the server holds as many groups as it may")]
    PolicyViolation,
    /// The group still has members.
    #[error("the group is not empty")]
    NonEmptyGroup,
    /// No group has this id.
    #[error("the group does not exist")]
    GroupIdNotFound,
    /// The member has to join again with the id that the reply gives it.
    #[error("join again with the member id of this reply")]
    MemberIdRequired,
    /// The group has as many members as it may.
    #[error("the group has as many members as it may")]
    GroupMaxSizeReached,
    /// Another member has taken over the group instance id.
    #[error("another member has taken over this group instance id")]
    FencedInstanceId,
    /// Offsets of a topic cannot be deleted while the group is subscribed to it.
    #[error("the group is subscribed to the topic")]
    GroupSubscribedToTopic,
}

impl GroupError {
    /// Returns Kafka's code and name of the error.
    const fn code_and_name(self) -> (i16, &'static str) {
        match self {
            Self::UnknownServerError => (-1, "UNKNOWN_SERVER_ERROR"),
            Self::UnknownTopicOrPartition => (3, "UNKNOWN_TOPIC_OR_PARTITION"),
            Self::MessageTooLarge => (10, "MESSAGE_TOO_LARGE"),
            Self::OffsetMetadataTooLarge => (12, "OFFSET_METADATA_TOO_LARGE"),
            Self::CoordinatorLoadInProgress => (14, "COORDINATOR_LOAD_IN_PROGRESS"),
            Self::CoordinatorNotAvailable => (15, "COORDINATOR_NOT_AVAILABLE"),
            Self::NotCoordinator => (16, "NOT_COORDINATOR"),
            Self::IllegalGeneration => (22, "ILLEGAL_GENERATION"),
            Self::InconsistentGroupProtocol => (23, "INCONSISTENT_GROUP_PROTOCOL"),
            Self::InvalidGroupId => (24, "INVALID_GROUP_ID"),
            Self::UnknownMemberId => (25, "UNKNOWN_MEMBER_ID"),
            Self::InvalidSessionTimeout => (26, "INVALID_SESSION_TIMEOUT"),
            Self::RebalanceInProgress => (27, "REBALANCE_IN_PROGRESS"),
            Self::InvalidRequest => (42, "INVALID_REQUEST"),
            Self::PolicyViolation => (44, "POLICY_VIOLATION"),
            Self::NonEmptyGroup => (68, "NON_EMPTY_GROUP"),
            Self::GroupIdNotFound => (69, "GROUP_ID_NOT_FOUND"),
            Self::MemberIdRequired => (79, "MEMBER_ID_REQUIRED"),
            Self::GroupMaxSizeReached => (81, "GROUP_MAX_SIZE_REACHED"),
            Self::FencedInstanceId => (82, "FENCED_INSTANCE_ID"),
            Self::GroupSubscribedToTopic => (86, "GROUP_SUBSCRIBED_TO_TOPIC"),
        }
    }

    /// Returns Kafka's code.
    pub const fn code(self) -> i16 {
        self.code_and_name().0
    }

    /// Returns Kafka's name, such as `UNKNOWN_MEMBER_ID`.
    pub const fn name(self) -> &'static str {
        self.code_and_name().1
    }
}

/// The reason why the records of a request are not in the log of offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum AppendFailure {
    /// The log takes no records now, but may later: no space, too many open files.
    #[error("the log of offsets takes no records now")]
    Unavailable,
    /// The storage has failed, or the shard is closing. The log takes no records until it is opened again.
    #[error("the storage of the log of offsets has failed")]
    Storage,
    /// The records are larger than one batch may be.
    #[error("the records are larger than the log of offsets takes")]
    TooLarge,
}

impl AppendFailure {
    /// Returns the error that Kafka answers for this failure.
    pub const fn error(self) -> GroupError {
        match self {
            Self::Unavailable => GroupError::CoordinatorNotAvailable,
            Self::Storage => GroupError::NotCoordinator,
            Self::TooLarge => GroupError::UnknownServerError,
        }
    }
}
