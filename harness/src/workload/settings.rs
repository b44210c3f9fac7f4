//! Settings of the embedded engine and of the topics' logs, in Kafka's words where Kafka has one.

use super::units::{Bytes, Limit, TimeSpan};
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// Where clients run.
    pub placement: Placement,
    /// Which cores are used; an empty list leaves the choice to the harness.
    pub cores: Cores,
    /// Size of a shard's arena.
    pub arena_bytes: Bytes,
    /// Largest single write.
    pub write_bytes_max: Bytes,
    /// Writes a partition keeps in flight.
    pub write_depth: u32,
    /// Arena memory a shard's readers may pin; beyond it a fetch copies.
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
    /// `O_DIRECT`, past the page cache.
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
    /// Polls for as long as anything is in flight.
    Busy,
    /// Parks at once.
    Park,
}

/// Where producers and consumers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// On load threads, through the shard's mailbox.
    Remote,
    /// On the shard's own thread.
    Colocated,
}

/// Which cores are used, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cores {
    /// One a shard.
    pub shards: Vec<u32>,
    /// One a load thread.
    pub load: Vec<u32>,
}

/// Settings of every topic's logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Size at which a segment is sealed and the next one begun.
    pub segment_bytes: Bytes,
    /// Age at which it is.
    pub segment_ms: Limit<TimeSpan>,
    /// Size of a partition above which its oldest segments are deleted.
    pub retention_bytes: Limit<Bytes>,
    /// Age above which they are.
    pub retention_ms: Limit<TimeSpan>,
    /// How a segment's space is provided.
    pub preallocate: Preallocate,
    /// Log bytes between two entries of the offset index.
    pub index_interval_bytes: Bytes,
    /// Largest batch that is accepted.
    pub max_message_bytes: Bytes,
    /// How far a record's timestamp may be ahead of the engine's clock.
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
    /// From segments that retention has freed as far as there are any, else as by `Fallocate`.
    Auto,
    /// As it is written.
    None,
    /// All of it when the segment is begun.
    Fallocate,
    /// From segments that retention has freed, else from files that are written with zeros first.
    Recycle,
}
