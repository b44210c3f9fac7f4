//! Errors of the handles that callers hold: appends, fetches, colocated tasks.

use super::{Corruption, DamageError, DiskError};
use crate::record::BatchError;
use crate::types::TopicPartition;
use thiserror::Error;

/// Why an append was not acked.
#[derive(Debug, Clone, Error)]
pub enum AppendError {
    /// The batch is larger than the topic takes.
    #[error("batch of {batch_bytes} bytes is above max_message_bytes {limit_bytes}")]
    TooLarge {
        /// Size of the batch.
        batch_bytes: usize,
        /// The topic's limit.
        limit_bytes: usize,
    },
    /// The bytes are no batch, or its CRC does not hold.
    #[error("not a valid batch: {0}")]
    Invalid(#[from] BatchError),
    /// The batch has a timestamp further ahead of the shard's clock than the topic takes.
    #[error(
        "timestamp {timestamp_ms} is {ahead_ms} ms ahead of the clock, above message_timestamp_after_max_ms {limit_ms}: \
         correct the producer's clock, or raise the limit of the topic"
    )]
    InvalidTimestamp {
        /// Largest timestamp of the batch, ms since the Unix epoch.
        timestamp_ms: i64,
        /// How far it is ahead of the shard's clock, ms.
        ahead_ms: u64,
        /// The topic's limit, ms.
        limit_ms: u64,
    },
    /// The disk, or a quota, is full. The batch is not in the log and never will be; what was acked before is.
    #[error(
        "no space for the log, which takes appends again by itself once there is some: free some on its file system \
         (df tells how much there is) or keep less (retention_bytes, retention_ms): {0}"
    )]
    NoSpace(DiskError),
    /// The next segment's file could not be opened for 10 s. The batch is not in the log; what was acked before is.
    #[error("too many files are open; the log takes appends again by itself once it can open one: {0}")]
    TooManyOpenFiles(DiskError),
    /// A write or sync failed before; the partition takes nothing until it is opened again.
    #[error("storage failed, reopen the engine: {0}")]
    StorageFailed(DiskError),
    /// The partition is damaged, and takes nothing until it is repaired. Records below the damage can be fetched.
    #[error("the partition is damaged, `vnotch repair DATA_DIR` shows what can be done: {0}")]
    Corrupt(Corruption),
    /// There is no such partition.
    #[error("no such topic or partition")]
    UnknownPartition,
    /// The shard has not moved for longer than `stuck_after`, or its own work has panicked.
    #[error("shard {shard} is stuck")]
    ShardStuck {
        /// Which one.
        shard: u32,
    },
    /// The engine is closing.
    #[error("the engine is closed")]
    Closed,
}

impl From<DamageError> for AppendError {
    fn from(damage: DamageError) -> Self {
        match damage {
            DamageError::Corrupt(corruption) => Self::Corrupt(corruption),
            DamageError::Unreadable(error) => Self::StorageFailed(error),
        }
    }
}

impl From<DamageError> for FetchError {
    fn from(damage: DamageError) -> Self {
        match damage {
            DamageError::Corrupt(corruption) => Self::Corrupt(corruption),
            DamageError::Unreadable(error) => Self::Disk(error),
        }
    }
}

/// Why a fetch failed.
#[derive(Debug, Clone, Error)]
pub enum FetchError {
    /// The offset is outside what the log holds.
    #[error("offset {offset} is out of range {log_start_offset}..{high_watermark}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
        /// The first offset held.
        log_start_offset: i64,
        /// The first offset not visible yet.
        high_watermark: i64,
    },
    /// The log was cut below a saved position, and holds other records now. Nothing is skipped: the consumer fetches
    /// again after a seek, to `cut_to` for instance.
    #[error(
        "the log was cut: it no longer holds the records from offset {cut_to} up to {position} that were read in leader \
         epoch {epoch}; seek to offset {cut_to} to read what it holds there now"
    )]
    LogTruncated {
        /// Offset of the saved position.
        position: i64,
        /// Leader epoch of the saved position.
        epoch: i32,
        /// End of that epoch in the log: all records below this offset are those that were there before.
        cut_to: i64,
    },
    /// A saved position has a leader epoch that the log has not reached. The log may be an older copy.
    #[error(
        "leader epoch {epoch} of the saved position is unknown, the newest of the log is {newest}: the data directory is \
         an older copy, or another one; seek to an offset to read on"
    )]
    UnknownLeaderEpoch {
        /// Leader epoch of the saved position.
        epoch: i32,
        /// Leader epoch of batches that are appended now.
        newest: i32,
    },
    /// Reading failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What was read cannot be right.
    #[error("corrupt: {0}")]
    Corrupt(Corruption),
    /// There is no such partition.
    #[error("no such topic or partition")]
    UnknownPartition,
    /// The shard has not moved for longer than `stuck_after`, or its own work has panicked.
    #[error("shard {shard} is stuck")]
    ShardStuck {
        /// Which one.
        shard: u32,
    },
    /// The engine is closing.
    #[error("the engine is closed")]
    Closed,
}

/// Why a colocated task did not run, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RunError {
    /// There is no such shard.
    #[error("there is no shard {shard}: the engine has {shards}, numbered from 0")]
    NoSuchShard {
        /// What was asked for.
        shard: u32,
        /// How many there are.
        shards: u32,
    },
    /// The shard has not moved for longer than `stuck_after`, or its own work has panicked.
    #[error("shard {shard} is stuck")]
    ShardStuck {
        /// Which one.
        shard: u32,
    },
    /// The engine is closed, or was before the task ended.
    #[error("the engine is closed")]
    Closed,
    /// The task panicked; the shard goes on without it.
    #[error("the colocated task panicked: {0}")]
    Panicked(String),
}

/// Why a colocated handle could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LocalError {
    /// There is no such topic or partition.
    #[error("no topic or partition {0}")]
    Unknown(String),
    /// The partition lives on another shard.
    #[error("{partition} lives on shard {shard}; run there, or use a remote handle")]
    NotOwner {
        /// The partition.
        partition: TopicPartition,
        /// Where it lives.
        shard: u32,
    },
    /// The handle's configuration cannot work.
    #[error("{0}")]
    Config(String),
}

impl AppendError {
    /// The error of an append for which no segment can be made.
    pub(crate) fn no_segment(error: DiskError) -> Self {
        if error.is_too_many_open() { Self::TooManyOpenFiles(error) } else { Self::NoSpace(error) }
    }
}
