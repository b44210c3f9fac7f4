//! The errors of requests to groups, and of consumers in groups.

use crate::error::{FetchError, OpenError, TopicError};
use crate::group::GroupError;
use crate::shard::OffsetsDamage;
use crate::types::TopicPartition;
use thiserror::Error;

/// The reason why a request to a group, or a consumer in one, failed.
#[derive(Debug, Error)]
pub enum GroupsError {
    /// The group's coordinator has refused the request.
    #[error("{}: {_0}", .0.name())]
    Refused(#[from] GroupError),
    /// The stored records of the group's partition are damaged. Groups of other partitions are served.
    #[error(transparent)]
    Damaged(#[from] OffsetsDamage),
    /// A partition cannot be read. It is not read again until [`GroupConsumer::seek`](super::GroupConsumer::seek).
    #[error("{partition}: {error}")]
    Fetch {
        /// The partition.
        partition: TopicPartition,
        /// The reason.
        error: FetchError,
    },
    /// The group has no offset for the partition, and `auto_offset_reset` is `none`.
    #[error(
        "the group has committed no offset of {partition}, and auto_offset_reset is none: seek, or choose another"
    )]
    NoOffset {
        /// The partition.
        partition: TopicPartition,
    },
    /// An offset was to be committed for a topic or partition that does not exist. Nothing was committed. Kafka's error for
    /// such a partition is `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("{partition} does not exist: no offset was committed")]
    UnknownPartition {
        /// The first such partition.
        partition: TopicPartition,
    },
    /// The consumer is in no generation of its group: it has not joined yet, or the group has removed it. Nothing was committed,
    /// as another member may read these partitions now. Kafka's consumer throws a `CommitFailedException`.
    #[error("the consumer is not a member of its group at present: no offset was committed")]
    NotMember,
    /// The partition is not assigned to this consumer.
    #[error("{partition} is not assigned to this consumer")]
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
    },
    /// A configuration value is not allowed.
    #[error("{0}")]
    Config(String),
    /// The topic of the groups could not be created or opened.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The groups could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The coordinator's shard has not moved for longer than `stuck_after`, or its own work has panicked.
    #[error("shard {shard} is stuck or has crashed: the request may take effect or not. It can be repeated")]
    ShardStuck {
        /// Number of the shard.
        shard: u32,
    },
    /// The engine is closing, or this consumer was closed.
    #[error("the engine or this consumer is closing or closed")]
    Closed,
}

impl GroupsError {
    /// Whether the coordinator still reads its groups, so that the request can be sent again soon.
    pub(super) const fn is_loading(&self) -> bool {
        matches!(
            self,
            Self::Refused(GroupError::CoordinatorLoadInProgress | GroupError::CoordinatorNotAvailable)
        )
    }
}
