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
    /// Nothing: each write extends the file.
    None,
    /// `fallocate` of `segment_bytes`, off the ack path.
    Fallocate,
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
