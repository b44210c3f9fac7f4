//! The nouns every room shares. Offsets are `i64` as in Kafka: logical, from 0; positions are bytes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What has to be true before an append is acked (docs/durability.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// In the shard's memory. Survives nothing.
    Appended,
    /// The write has completed: on the device with direct I/O, in the page cache with buffered. Survives kill -9.
    Written,
    /// Covered by its own RWF_DSYNC, or by an fdatasync submitted after the write completed. Survives power loss.
    Synced,
}

/// Whether files are written past the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IoMode {
    /// O_DIRECT.
    Direct,
    /// Through the page cache.
    Buffered,
}

/// What is done about a segment's extents before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preallocate {
    /// Where retention limits the log, a segment that it has freed becomes the next one, and as long as there is none, space
    /// is reserved as by `Fallocate`; elsewhere `Fallocate`. Nothing is written twice.
    Auto,
    /// Nothing: each write extends the file.
    None,
    /// `fallocate` of `segment_bytes`, off the ack path.
    Fallocate,
    /// A segment that retention has freed becomes the next one, or a new file that is written with zeros first; both off the
    /// ack path. Appends overwrite extents that are written already.
    Recycle,
}

/// How a shard waits for completions and messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PollMode {
    /// Polls for a bounded time after the last work, then parks.
    Adaptive,
    /// Never parks.
    Busy,
    /// Parks as soon as there is nothing to do.
    Park,
}

/// Which offset of a partition is asked for; Kafka's ListOffsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first one that the log holds.
    Earliest,
    /// The high watermark: the first one that consumers do not see yet.
    Latest,
    /// That of the first record whose timestamp is this or later, ms since the epoch. A negative timestamp means that a
    /// record has none: it is never found. In a compressed batch the batch stands for its records, with its first offset
    /// and its largest timestamp.
    Timestamp(i64),
}

/// An offset that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset.
    pub offset: i64,
    /// The record's timestamp, ms since the epoch, if it was asked for by time.
    pub timestamp_ms: Option<i64>,
}

/// A place in a partition at which a consumer continues, in a form that can be saved and used after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConsumerPosition {
    /// The offset of the next record.
    pub offset: i64,
    /// A leader epoch in which the log reached `offset`: that of the last batch that was read. With it the log can tell
    /// whether it was cut below `offset` since. `None` means that nothing is checked.
    pub leader_epoch: Option<i32>,
}

impl From<i64> for ConsumerPosition {
    /// The position at an offset that is not checked.
    fn from(offset: i64) -> Self {
        Self { offset, leader_epoch: None }
    }
}

/// The end of a leader epoch in a log; the answer of Kafka's OffsetForLeaderEpoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest leader epoch in the log that is not above the requested one. The requested one itself, if the log
    /// holds none as small any more.
    pub leader_epoch: i32,
    /// The first offset of the next larger epoch. The end of the log, if the requested epoch is the current one.
    pub end_offset: i64,
}

/// How synced writes that overwrite are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commit {
    /// By one flush of the device for many partitions where several wait, else each by its own.
    Auto,
    /// Each by its own RWF_DSYNC.
    Each,
    /// By one flush for all that wait, though it be one.
    Shared,
}

/// A topic's partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Name of the topic.
    pub topic: std::sync::Arc<str>,
    /// Number of the partition, from 0.
    pub partition: u32,
}

impl fmt::Display for TopicPartition {
    /// Kafka's spelling, which is also the name of the partition's directory: `topic-0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
