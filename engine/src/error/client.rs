//! Errors of the handles that callers hold: appends, fetches, colocated tasks.

use super::{Corruption, DamageError, DiskError};
use crate::record::BatchError;
use crate::types::TopicPartition;
use thiserror::Error;

/// The reason why an append was not acked.
#[derive(Debug, Clone, Error)]
pub enum AppendError {
    /// The batch is larger than the topic allows.
    #[error("batch of {batch_bytes} bytes is above max_message_bytes {limit_bytes}")]
    TooLarge {
        /// Size of the batch.
        batch_bytes: usize,
        /// The topic's limit.
        limit_bytes: usize,
    },
    /// The bytes are not a batch, or its CRC is wrong.
    #[error("not a valid batch: {0}")]
    Invalid(#[from] BatchError),
    /// The batch has a timestamp further ahead of the shard's clock than the topic allows.
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
    /// The disk, or a quota, is full. The batch is not in the log and never will be. Batches that were acked before
    /// are in it.
    #[error(
        "no space for the log; it takes appends again by itself once there is some: free some on its file system \
         (`df` shows how much there is) or keep less (retention_bytes, retention_ms): {0}"
    )]
    NoSpace(DiskError),
    /// The next segment's file could not be opened for 10 s. The batch is not in the log. Batches that were acked
    /// before are in it.
    #[error("too many files are open; the log takes appends again by itself once it can open one: {0}")]
    TooManyOpenFiles(DiskError),
    /// A write or sync failed before. The partition takes no appends until it is opened again.
    #[error(
        "an earlier write or sync of this partition failed, so it takes no appends: remove the cause, then open the engine \
         again: {0}"
    )]
    StorageFailed(DiskError),
    /// The partition is damaged. It takes no appends until it is repaired. Records below the damage can be fetched.
    #[error(
        "the partition is damaged, so it takes no appends; `vnotch repair` shows the possible repair: {0}"
    )]
    Corrupt(Corruption),
    /// No topic or partition has this name.
    #[error("this topic or partition does not exist")]
    UnknownPartition,
    /// The shard has not moved for longer than `stuck_after`, or its own work has panicked.
    #[error(
        "shard {shard} is stuck or has crashed: the batch may or may not be in the log. If this lasts, close the engine and \
         open it again"
    )]
    ShardStuck {
        /// Number of the shard.
        shard: u32,
    },
    /// The engine is closing.
    #[error("the engine is closing or closed")]
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

impl From<DamageError> for DeleteRecordsError {
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

/// The reason why a fetch failed.
#[derive(Debug, Clone, Error)]
pub enum FetchError {
    /// The log does not hold the offset.
    #[error(
        "offset {offset} is not in the log: it begins at offset {log_start_offset}, and the next record that consumers will \
         see has offset {high_watermark}"
    )]
    OffsetOutOfRange {
        /// The requested offset.
        offset: i64,
        /// The first offset that the log holds.
        log_start_offset: i64,
        /// The first offset that consumers do not see yet.
        high_watermark: i64,
    },
    /// The log was cut below a saved position, and holds other records there now. Nothing is skipped. The consumer
    /// fetches again after a seek, to `cut_to` for instance.
    #[error(
        "the log was cut: it no longer holds the records from offset {cut_to} up to {position} that were read in leader \
         epoch {epoch}; seek to offset {cut_to} to read what it holds there now"
    )]
    LogTruncated {
        /// Offset of the saved position.
        position: i64,
        /// Leader epoch of the saved position.
        epoch: i32,
        /// End of that epoch in the log. Below this offset the log holds the same records as before.
        cut_to: i64,
    },
    /// A saved position has a leader epoch that the log has not reached. The log may be an older copy.
    #[error(
        "leader epoch {epoch} of the saved position is unknown, and the newest of the log is {newest}: the data directory is \
         an old copy, or a different one. Seek to an offset to continue; records may be skipped or repeated"
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
    /// The bytes that were read cannot be what was written.
    #[error("stored data is damaged: {0}")]
    Corrupt(Corruption),
    /// No topic or partition has this name.
    #[error("this topic or partition does not exist")]
    UnknownPartition,
    /// The shard has not moved for longer than `stuck_after`, or its own work has panicked.
    #[error("shard {shard} is stuck or has crashed. If this lasts, close the engine and open it again")]
    ShardStuck {
        /// Number of the shard.
        shard: u32,
    },
    /// The engine is closing.
    #[error("the engine is closing or closed")]
    Closed,
}

/// The reason why the records of a partition below an offset were not deleted.
#[derive(Debug, Clone, Error)]
pub enum DeleteRecordsError {
    /// The offset is beyond the high watermark, or negative and not -1. Nothing has changed.
    #[error(
        "records cannot be deleted up to offset {offset}: the log begins at offset {log_start_offset}, and the next record \
         that consumers will see has offset {high_watermark}"
    )]
    OffsetOutOfRange {
        /// The requested offset.
        offset: i64,
        /// The first offset that the log holds.
        log_start_offset: i64,
        /// The first offset that consumers do not see yet.
        high_watermark: i64,
    },
    /// The disk is full, or no file can be opened. The log still begins where it did. The call can be repeated.
    #[error("the new start of the log could not be written; the call can be repeated: {0}")]
    Disk(DiskError),
    /// A write or sync failed, now or before. The partition takes no changes until it is opened again. If it failed
    /// now, the next open may find the records deleted or not.
    #[error(
        "a write or sync of this partition failed, so it takes no changes: remove the cause, then open the engine again: {0}"
    )]
    StorageFailed(DiskError),
    /// The partition is damaged. Nothing in it changes until it is repaired.
    #[error(
        "the partition is damaged, so nothing in it is deleted; `vnotch repair` shows the possible repair: {0}"
    )]
    Corrupt(Corruption),
    /// No topic or partition has this name.
    #[error("this topic or partition does not exist")]
    UnknownPartition,
    /// The topic holds the engine's own records, and only the engine changes it.
    #[error("the topic is internal: only the engine itself deletes its records")]
    Internal,
    /// The shard has not moved for longer than `stuck_after`, or its own work has panicked. It may delete the records
    /// later.
    #[error(
        "shard {shard} is stuck or has crashed: the records may be deleted or not. The call can be repeated"
    )]
    ShardStuck {
        /// Number of the shard.
        shard: u32,
    },
    /// The engine is closing.
    #[error("the engine is closing or closed")]
    Closed,
}

/// The reason why a colocated task did not run, or did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RunError {
    /// The engine has no shard of this number.
    #[error("there is no shard {shard}: the engine has {shards}, numbered from 0")]
    NoSuchShard {
        /// The requested shard.
        shard: u32,
        /// Number of shards of the engine.
        shards: u32,
    },
    /// The shard has not moved for longer than `stuck_after`, or its own work has panicked.
    #[error("shard {shard} is stuck or has crashed. If this lasts, close the engine and open it again")]
    ShardStuck {
        /// Number of the shard.
        shard: u32,
    },
    /// The engine was closed before the task ended.
    #[error("the engine is closing or closed")]
    Closed,
    /// The task panicked. The shard continues without it.
    #[error("the colocated task panicked: {0}")]
    Panicked(String),
}

/// The reason why a colocated handle could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LocalError {
    /// No topic or partition has this name.
    #[error("no topic or partition {0}")]
    Unknown(String),
    /// The partition belongs to another shard.
    #[error("{partition} belongs to shard {shard}; run there, or use a remote handle")]
    NotOwner {
        /// The partition.
        partition: TopicPartition,
        /// The shard that owns it.
        shard: u32,
    },
    /// The topic holds the engine's own records, and only the engine appends to it.
    #[error("topic {0} is internal: only the engine itself appends to it")]
    Internal(String),
    /// The handle's configuration cannot work.
    #[error("{0}")]
    Config(String),
}

impl AppendError {
    /// Makes the error of an append for which no segment can be created.
    pub(crate) fn no_segment(error: DiskError) -> Self {
        if error.is_too_many_open() { Self::TooManyOpenFiles(error) } else { Self::NoSpace(error) }
    }
}
