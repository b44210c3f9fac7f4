//! Configuration of the engine and of a topic. Keys have Kafka's names, and the defaults suit a benchmark.

use crate::sizes::{BLOCK_BYTES, CHUNK_BYTES_MAX};
use crate::types::{Commit, Durability, IoMode, PollMode, Preallocate};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// The settings with which an engine is opened. They are not stored: each open may use other ones, except for the
/// number of shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// The directory of all files. The open makes it if it does not exist.
    pub data_dir: PathBuf,
    /// Number of shards. It is fixed when the data directory is made.
    pub shards: u32,
    /// The core of each shard. Empty means cores 0, 1, 2…
    pub cores: Vec<usize>,
    /// Direct or buffered writes and reads.
    pub io: IoMode,
    /// How a shard waits for work.
    pub poll: PollMode,
    /// How synced writes that overwrite written extents are made durable. Other synced writes always have their own
    /// sync.
    pub commit: Commit,
    /// Memory of each shard for records, bytes.
    pub arena_bytes: usize,
    /// Largest write, bytes.
    pub write_bytes_max: usize,
    /// Most writes of one partition in flight.
    pub write_depth: usize,
    /// Most bytes of a shard's arena that readers may pin. The limit is never more than half of the arena, as the rest
    /// is for appends. Beyond the limit readers get copies.
    pub fetch_pinned_bytes: usize,
    /// Most bytes of appends that wait in a shard's mailbox.
    pub mailbox_bytes: usize,
    /// Time after which a shard that does not move is declared stuck. At least [`STUCK_AFTER_MIN`].
    pub stuck_after: Duration,
    /// Limits and times of consumer groups.
    pub groups: GroupsConfig,
}

/// The settings of consumer groups. Keys have the names of Kafka's broker settings.
///
/// Those of the offsets topic apply when it is created, at the first use of a group. After that it keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupsConfig {
    /// Number of partitions of the internal topic `__consumer_offsets`, which holds the records of all groups. A group
    /// belongs to one of them.
    pub offsets_topic_partitions: u32,
    /// Durability of the internal topic: a commit is answered once its record has reached this level.
    pub offsets_topic_durability: Durability,
    /// Size at which a segment of the internal topic is rolled, bytes. At each roll the log is compacted.
    pub offsets_topic_segment_bytes: u64,
    /// Most members of a group.
    pub group_max_size: usize,
    /// Time that the first rebalance of an empty group waits for more members, ms.
    pub group_initial_rebalance_delay_ms: u64,
    /// Shortest session timeout that a member may ask for, ms.
    pub group_min_session_timeout_ms: i32,
    /// Longest session timeout that a member may ask for, ms.
    pub group_max_session_timeout_ms: i32,
    /// Longest metadata of a committed offset. As in Kafka, UTF-16 units are counted.
    pub offset_metadata_max_bytes: usize,
    /// Time after which the offsets of an unused group expire, ms.
    pub offsets_retention_ms: i64,
    /// How often expired offsets are looked for, ms.
    pub offsets_retention_check_interval_ms: u64,
}

impl Default for GroupsConfig {
    /// Returns Kafka's defaults, with 16 partitions and segments of 16 MiB.
    fn default() -> Self {
        Self {
            offsets_topic_partitions: 16,
            offsets_topic_durability: Durability::Written,
            offsets_topic_segment_bytes: 16 << 20,
            group_max_size: 10_000,
            group_initial_rebalance_delay_ms: 3_000,
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 30 * 60 * 1_000,
            offset_metadata_max_bytes: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            offsets_retention_check_interval_ms: 10 * 60 * 1_000,
        }
    }
}

impl GroupsConfig {
    /// Returns the configuration with which the offsets topic is created.
    ///
    /// Its files are not allocated ahead: most of its partitions hold few records.
    pub(crate) fn topic(&self) -> TopicConfig {
        TopicConfig {
            durability: self.offsets_topic_durability,
            segment_bytes: self.offsets_topic_segment_bytes,
            preallocate: Preallocate::None,
            max_message_bytes: BATCH_BYTES_MAX,
            message_timestamp_after_max_ms: None,
            ..TopicConfig::default()
        }
    }

    fn validate(&self) -> Result<(), String> {
        let (least, longest) = (self.group_min_session_timeout_ms, self.group_max_session_timeout_ms);
        if !(1..=longest).contains(&least) {
            return Err(format!(
                "group_min_session_timeout_ms {least} must be from 1 to group_max_session_timeout_ms {longest}"
            ));
        }
        if !(1..=OFFSETS_PARTITIONS_MAX).contains(&self.offsets_topic_partitions) {
            return Err(format!(
                "offsets_topic_partitions {} must be from 1 to {OFFSETS_PARTITIONS_MAX}",
                self.offsets_topic_partitions
            ));
        }
        if self.group_max_size == 0 {
            return Err("group_max_size 0 must be at least 1".into());
        }
        if self.offsets_retention_ms < 1 {
            return Err(format!("offsets_retention_ms {} must be at least 1", self.offsets_retention_ms));
        }
        self.topic().validate().map_err(|error| format!("of the offsets topic: {error}"))
    }
}

/// Most partitions of the offsets topic.
const OFFSETS_PARTITIONS_MAX: u32 = 1024;

/// Most shards of an engine: more than any machine has cores for.
pub const SHARDS_MAX: u32 = 1024;

/// Largest [`EngineConfig::arena_bytes`].
const ARENA_BYTES_MAX: usize = 1 << 40;

/// Shortest [`EngineConfig::stuck_after`]. A shard shows every 10 ms that it moves, or every 50 ms while it has nothing
/// to do. A busy machine delays that.
pub const STUCK_AFTER_MIN: Duration = Duration::from_millis(100);

impl EngineConfig {
    /// Returns the defaults for `data_dir`: one shard on core 0, direct I/O, 256 MiB of arena.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            shards: 1,
            cores: Vec::new(),
            io: IoMode::Direct,
            poll: PollMode::Adaptive,
            commit: Commit::Auto,
            arena_bytes: 256 << 20,
            write_bytes_max: 1 << 20,
            write_depth: 8,
            fetch_pinned_bytes: 64 << 20,
            mailbox_bytes: 64 << 20,
            stuck_after: Duration::from_secs(10),
            groups: GroupsConfig::default(),
        }
    }

    /// Returns how many bytes of a shard's arena readers may pin: the configured number, and at most half of the arena.
    pub(crate) fn pinned_bytes_max(&self) -> usize {
        self.fetch_pinned_bytes.min(self.arena_bytes / 2)
    }

    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn validate(&self) -> Result<(), String> {
        if !(1..=SHARDS_MAX).contains(&self.shards) {
            return Err(format!(
                "shards {} must be from 1 to {SHARDS_MAX}: one for each core that the engine may use",
                self.shards
            ));
        }
        if !self.cores.is_empty() && self.cores.len() != self.shards as usize {
            return Err(format!("cores names {} cores for {} shards", self.cores.len(), self.shards));
        }
        let write = self.write_bytes_max;
        if !(BLOCK_BYTES..=CHUNK_BYTES_MAX / 2).contains(&write) || !write.is_multiple_of(BLOCK_BYTES) {
            return Err(format!("write_bytes_max {write} must be a multiple of 4 KiB from 4 KiB to 1 MiB"));
        }
        if !(1..=128).contains(&self.write_depth) {
            return Err(format!("write_depth {} must be from 1 to 128", self.write_depth));
        }
        if !(16 << 20..=ARENA_BYTES_MAX).contains(&self.arena_bytes) {
            return Err(format!("arena_bytes {} must be from 16 MiB to 1 TiB", self.arena_bytes));
        }
        if self.stuck_after < STUCK_AFTER_MIN {
            return Err(format!(
                "stuck_after {:?} must be at least {STUCK_AFTER_MIN:?}: a shard that works may be still for less",
                self.stuck_after
            ));
        }
        self.groups.validate()
    }
}

/// Most partitions of a topic. Each is a directory with its own files, and creating it takes a few flushes.
pub const PARTITIONS_MAX: u32 = 1 << 16;

/// Most partitions of a data directory, over all topics. Every open opens all of them.
pub const DIRECTORY_PARTITIONS_MAX: u32 = 1 << 18;

/// The settings of a topic. The catalog stores them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicConfig {
    /// The durability of a batch when it is acked, unless its producer asks for another.
    pub durability: Durability,
    /// Size at which a segment is rolled, bytes.
    pub segment_bytes: u64,
    /// Age of a segment's first batch at which the next append rolls the segment, ms. `None` means never.
    pub segment_ms: Option<u64>,
    /// Size at or above which retention keeps a partition while it deletes the oldest segments, bytes. `None` means no
    /// limit.
    pub retention_bytes: Option<u64>,
    /// Age of a segment's largest timestamp above which retention deletes the segment, ms. `None` means never.
    pub retention_ms: Option<u64>,
    /// How a segment's extents are prepared.
    pub preallocate: Preallocate,
    /// Bytes of batches between two entries of the offset index.
    pub index_interval_bytes: u32,
    /// Largest batch, bytes.
    pub max_message_bytes: usize,
    /// How far the timestamp of a record may be ahead of the shard's clock, ms. `None` means any distance.
    ///
    /// Retention by age keeps a segment, and all after it, until its largest timestamp is old. One timestamp from the
    /// future would stop the deletion.
    pub message_timestamp_after_max_ms: Option<u64>,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Written,
            segment_bytes: 128 << 20,
            segment_ms: None,
            retention_bytes: None,
            retention_ms: None,
            preallocate: Preallocate::Auto,
            index_interval_bytes: 4096,
            max_message_bytes: (1 << 20) + 12,
            message_timestamp_after_max_ms: Some(60 * 60 * 1000),
        }
    }
}

/// Changes to a topic's settings. Settings that are `None` stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicChanges {
    /// [`TopicConfig::durability`].
    pub durability: Option<Durability>,
    /// [`TopicConfig::segment_bytes`].
    pub segment_bytes: Option<u64>,
    /// [`TopicConfig::segment_ms`].
    pub segment_ms: Option<Option<u64>>,
    /// [`TopicConfig::retention_bytes`].
    pub retention_bytes: Option<Option<u64>>,
    /// [`TopicConfig::retention_ms`].
    pub retention_ms: Option<Option<u64>>,
    /// [`TopicConfig::preallocate`].
    pub preallocate: Option<Preallocate>,
    /// [`TopicConfig::index_interval_bytes`].
    pub index_interval_bytes: Option<u32>,
    /// [`TopicConfig::max_message_bytes`].
    pub max_message_bytes: Option<usize>,
    /// [`TopicConfig::message_timestamp_after_max_ms`].
    pub message_timestamp_after_max_ms: Option<Option<u64>>,
}

impl TopicChanges {
    /// Returns `config` with these changes.
    #[must_use]
    pub fn applied_to(&self, config: &TopicConfig) -> TopicConfig {
        TopicConfig {
            durability: self.durability.unwrap_or(config.durability),
            segment_bytes: self.segment_bytes.unwrap_or(config.segment_bytes),
            segment_ms: self.segment_ms.unwrap_or(config.segment_ms),
            retention_bytes: self.retention_bytes.unwrap_or(config.retention_bytes),
            retention_ms: self.retention_ms.unwrap_or(config.retention_ms),
            preallocate: self.preallocate.unwrap_or(config.preallocate),
            index_interval_bytes: self.index_interval_bytes.unwrap_or(config.index_interval_bytes),
            max_message_bytes: self.max_message_bytes.unwrap_or(config.max_message_bytes),
            message_timestamp_after_max_ms: self
                .message_timestamp_after_max_ms
                .unwrap_or(config.message_timestamp_after_max_ms),
        }
    }
}

/// Largest batch that any topic can ever take, bytes. [`TopicConfig::max_message_bytes`] cannot exceed it.
pub const BATCH_BYTES_MAX: usize = CHUNK_BYTES_MAX - 2 * BLOCK_BYTES;

impl TopicConfig {
    /// Whether segments that retention has freed are written again.
    pub fn is_recycling(&self) -> bool {
        let is_limited = self.retention_bytes.is_some() || self.retention_ms.is_some();
        self.preallocate == Preallocate::Recycle || (self.preallocate == Preallocate::Auto && is_limited)
    }

    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn validate(&self) -> Result<(), String> {
        if self.max_message_bytes < 128 {
            return Err(format!("max_message_bytes {} must be at least 128 B", self.max_message_bytes));
        }
        // The bytes between two index entries are read into one chunk, and the chunk of an append has one more block
        // than the batch.
        let interval_bytes = (self.index_interval_bytes as usize).max(BLOCK_BYTES);
        if self.max_message_bytes.saturating_add(interval_bytes) > CHUNK_BYTES_MAX - BLOCK_BYTES {
            return Err(format!(
                "max_message_bytes {} and index_interval_bytes {} must be 2 MiB less 4 KiB at most, together",
                self.max_message_bytes, self.index_interval_bytes
            ));
        }
        if self.segment_bytes > 1 << 30 || self.segment_bytes < 1 << 20 {
            return Err(format!("segment_bytes {} must be from 1 MiB to 1 GiB", self.segment_bytes));
        }
        if let Some(retention_bytes) = self.retention_bytes.filter(|bytes| *bytes < self.segment_bytes) {
            return Err(format!(
                "retention_bytes {retention_bytes} must be at least segment_bytes {}: whole segments are deleted",
                self.segment_bytes
            ));
        }
        if self.segment_ms == Some(0) || self.retention_ms == Some(0) {
            return Err("segment_ms and retention_ms must be at least 1".into());
        }
        if self.segment_bytes < self.max_message_bytes as u64 {
            return Err(format!(
                "segment_bytes {} must hold a batch of max_message_bytes {}",
                self.segment_bytes, self.max_message_bytes
            ));
        }
        Ok(())
    }
}
