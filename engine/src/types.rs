//! Types that all parts of the engine share. As in Kafka, an offset is an `i64` that counts records from 0; a position
//! counts bytes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The condition under which an append is acked (docs/durability.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The batch is in the shard's memory. It survives nothing.
    Appended,
    /// The write has completed: on the device with direct I/O, in the page cache with buffered I/O. The batch survives
    /// kill -9.
    Written,
    /// The write is covered by its own RWF_DSYNC, or by an fdatasync that was submitted after the write completed. The
    /// batch survives a power loss.
    Synced,
}

/// The way in which files are written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IoMode {
    /// Past the page cache, with O_DIRECT.
    Direct,
    /// Through the page cache.
    Buffered,
}

/// How a segment's extents are prepared before the segment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preallocate {
    /// If retention limits the log, a segment that retention has freed becomes the next one. Until there is one, space
    /// is reserved as with `Fallocate`. Otherwise as `Fallocate`. Nothing is written twice.
    Auto,
    /// Not at all: each write extends the file.
    None,
    /// `fallocate` of `segment_bytes`, off the ack path.
    Fallocate,
    /// A segment that retention has freed becomes the next one. If there is none, a new file is filled with zeros
    /// first. Both happen off the ack path. Appends then overwrite extents that are written already.
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

/// The offset of a partition that is looked up; Kafka's ListOffsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first offset that the log holds.
    Earliest,
    /// The high watermark: the first offset that consumers do not see yet.
    Latest,
    /// The offset of the first record whose timestamp is this or later, ms since the Unix epoch.
    ///
    /// A record with a negative timestamp has none: it is never found. The records of a compressed batch are not read:
    /// the batch counts as one record, with its first offset and its largest timestamp.
    Timestamp(i64),
}

/// The answer to an [`OffsetSpec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset.
    pub offset: i64,
    /// The record's timestamp, ms since the Unix epoch. `None` if the offset was not looked up by time.
    pub timestamp_ms: Option<i64>,
}

/// The position in a partition at which a consumer continues. It can be saved, and used after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConsumerPosition {
    /// The offset of the next record.
    pub offset: i64,
    /// A leader epoch in which the log reached `offset`: that of the last batch that was read. With it the log can find
    /// out whether it was cut below `offset` since. With `None` nothing is checked.
    pub leader_epoch: Option<i32>,
}

impl From<i64> for ConsumerPosition {
    /// Returns the position at an offset, which is not checked.
    fn from(offset: i64) -> Self {
        Self { offset, leader_epoch: None }
    }
}

/// The end of a leader epoch in a log; the answer of Kafka's OffsetForLeaderEpoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest leader epoch in the log that is not above the requested one. If the log no longer holds one that is
    /// small enough, the requested one itself.
    pub leader_epoch: i32,
    /// The first offset of the next larger epoch. If the requested epoch is the current one, the end of the log.
    pub end_offset: i64,
}

/// How synced writes that overwrite written extents are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commit {
    /// By one flush of the device for many partitions if several have writes, and otherwise each by its own.
    Auto,
    /// Each by its own RWF_DSYNC.
    Each,
    /// By one flush for all writes that wait, even if only one does.
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
    /// Writes Kafka's form, which is also the name of the partition's directory: `topic-0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
