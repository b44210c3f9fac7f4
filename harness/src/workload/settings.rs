//! Settings of the systems and of the topics' logs, with Kafka's names where Kafka has the setting.

mod consume;
mod kafka;

use super::units::{Bytes, Limit, TimeSpan};
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub use consume::{Assignment, Assignor, Churn, Commit, CommitMode, Consume};
pub use kafka::{KafkaSettings, KafkaVersion};

/// Settings of the embedded engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// Number of shards, each on a core of its own.
    pub shards: u32,
    /// How segments are written.
    pub io: Io,
    /// How a shard waits for completions.
    pub poll: Poll,
    /// Placement of producers and consumers.
    pub placement: Placement,
    /// Numbers of the cores to use. An empty list leaves the choice to the harness.
    pub cores: Cores,
    /// Size of each shard's arena.
    pub arena_bytes: Bytes,
    /// Largest single write.
    pub write_bytes_max: Bytes,
    /// Number of writes that a partition keeps in flight.
    pub write_depth: u32,
    /// Arena memory that a shard's readers may pin. Beyond that, a fetch copies.
    pub fetch_pinned_bytes: Bytes,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            shards: 1,
            io: Io::Direct,
            poll: Poll::Adaptive,
            placement: Placement::Remote,
            cores: Cores::default(),
            arena_bytes: Bytes::mib(256),
            write_bytes_max: Bytes::mib(1),
            write_depth: 8,
            fetch_pinned_bytes: Bytes::mib(64),
        }
    }
}

/// How segments are written.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Io {
    /// Past the page cache (`O_DIRECT`).
    Direct,
    /// Through the page cache.
    Buffered,
}

/// How a shard waits for completions while I/O is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Poll {
    /// Polls for a bounded time, then parks.
    Adaptive,
    /// Polls as long as anything is in flight.
    Busy,
    /// Parks at once.
    Park,
}

/// The placement of producers and consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// On load threads; requests go through the shard's mailbox.
    Remote,
    /// On the shard's own thread.
    Colocated,
}

/// Numbers of the cores to use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cores {
    /// Cores of the shards, one per shard.
    pub shards: Vec<u32>,
    /// Cores of the load threads, one per thread.
    pub load: Vec<u32>,
}

/// Settings of every topic's logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Size at which a segment is sealed and the next one begins.
    pub segment_bytes: Bytes,
    /// Age at which a segment is sealed and the next one begins.
    pub segment_ms: Limit<TimeSpan>,
    /// Size of a partition above which its oldest segments are deleted.
    pub retention_bytes: Limit<Bytes>,
    /// Age above which segments are deleted.
    pub retention_ms: Limit<TimeSpan>,
    /// How a segment's space is provided.
    pub preallocate: Preallocate,
    /// Log bytes between two entries of the offset index.
    pub index_interval_bytes: Bytes,
    /// Size of the largest batch that is accepted.
    pub max_message_bytes: Bytes,
    /// The most that a record's timestamp may be ahead of the engine's clock.
    pub message_timestamp_after_max_ms: Limit<TimeSpan>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment_bytes: Bytes::mib(128),
            segment_ms: Limit::NONE,
            retention_bytes: Limit::NONE,
            retention_ms: Limit::NONE,
            preallocate: Preallocate::Auto,
            index_interval_bytes: Bytes::kib(4),
            max_message_bytes: Bytes::mib(1),
            message_timestamp_after_max_ms: Limit(Some(TimeSpan(Duration::from_secs(60 * 60)))),
        }
    }
}

/// How a segment's space is provided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preallocate {
    /// From segments that retention has freed. If there are none, as with `Fallocate`.
    Auto,
    /// Space is allocated as data is written.
    None,
    /// All space is allocated when the segment begins.
    Fallocate,
    /// From segments that retention has freed. If there are none, from files that are written with zeros first.
    Recycle,
}
