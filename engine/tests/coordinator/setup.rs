//! The settings of a history, and the open of its log.

use crate::clock::JumpingClock;
use crate::history::generate::settings;
use crate::history::{self, Kind};
use crate::owner::SimLog;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use vnotch_engine::buffer::Arena;
use vnotch_engine::config::{GroupsConfig, TopicConfig};
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::error::OpenError;
use vnotch_engine::log::{Epochs, FileLimits, LogContext, LogLimits, Origin};
use vnotch_engine::types::{Durability, IoMode, Preallocate};

const ARENA_BYTES: usize = 16 << 20;

/// The settings of a history.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub history: history::Settings,
    pub groups: GroupsConfig,
    pub topic: TopicConfig,
    io: IoMode,
    write_bytes_max: usize,
    write_depth: usize,
}

/// A log that was opened, with its memory.
pub(crate) struct Opened {
    pub log: Rc<SimLog>,
    pub arena: Rc<Arena>,
}

impl Setup {
    /// Returns the settings of the history of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed ^ 0x05E7);
        let mut history = settings(seed, Kind::Hostile, 0);
        // In some histories the log takes small batches only, and commits bring much text.
        let is_narrow = random.random_range(0..4) == 0;
        if is_narrow {
            history.config.offset_metadata_max_chars = 2_000;
        }
        let config = &history.config;
        let groups = GroupsConfig {
            offsets_topic_partitions: 1,
            group_max_size: config.group_max_size,
            group_initial_rebalance_delay_ms: config.initial_rebalance_delay_ms,
            group_min_session_timeout_ms: config.min_session_timeout_ms,
            group_max_session_timeout_ms: config.max_session_timeout_ms,
            offset_metadata_max_bytes: config.offset_metadata_max_chars,
            offsets_retention_ms: config.offsets_retention_ms,
            offsets_retention_check_interval_ms: *[2_000, 9_000, 30_000].choose(&mut random).unwrap(),
            ..GroupsConfig::default()
        };
        let topic = TopicConfig {
            durability: *[Durability::Written, Durability::Written, Durability::Synced]
                .choose(&mut random)
                .unwrap(),
            segment_bytes: 1 << 20,
            segment_ms: *[None, Some(5), Some(60), Some(400), Some(2_000)].choose(&mut random).unwrap(),
            preallocate: *[Preallocate::None, Preallocate::None, Preallocate::Auto]
                .choose(&mut random)
                .unwrap(),
            max_message_bytes: if is_narrow { 4_096 } else { 600_000 },
            message_timestamp_after_max_ms: None,
            ..TopicConfig::default()
        };
        topic.validate().unwrap();
        Self {
            history,
            groups,
            topic,
            io: *[IoMode::Direct, IoMode::Buffered].choose(&mut random).unwrap(),
            write_bytes_max: *[4 << 10, 64 << 10].choose(&mut random).unwrap(),
            write_depth: random.random_range(1..5),
        }
    }

    /// Returns these settings with a log that takes large batches, and rolls by size alone.
    pub(crate) fn with_large_batches(mut self) -> Self {
        (self.topic.max_message_bytes, self.topic.segment_ms) = (600_000, None);
        self
    }

    /// Returns these settings with commits of up to `chars` characters of text.
    pub(crate) fn with_metadata(mut self, chars: usize) -> Self {
        (self.groups.offset_metadata_max_bytes, self.history.config.offset_metadata_max_chars) =
            (chars, chars);
        self.with_large_batches()
    }

    /// Opens the log that `disk` holds.
    pub(crate) async fn open(
        &self,
        disk: SimDisk,
        clock: JumpingClock,
        (epoch, boot_id): (i32, u64),
    ) -> Result<Opened, OpenError> {
        use vnotch_engine::disk::Disk as _;
        let limits = LogLimits {
            io: self.io,
            write_bytes_max: self.write_bytes_max,
            write_depth: self.write_depth,
            boot_id,
            fetch_pinned_bytes: 8 << 20,
            cache_bytes: Cell::new(1 << 20),
            chunk_bytes_max: Cell::new(1 << 20),
            files: FileLimits::default(),
            filling: futures_util::lock::Mutex::new(()),
        };
        let arena = Rc::new(Arena::new(ARENA_BYTES).unwrap());
        let context = LogContext::new(disk.clone(), clock, Rc::clone(&arena), limits);
        let (dir, epochs) = (PathBuf::from("/offsets-0"), Epochs { current: epoch, synced_after: 0 });
        let log = SimLog::open(context, dir, self.topic.clone(), epochs, Origin::Created).await?;
        // As the catalog does when it creates the topic.
        disk.sync_dir(&PathBuf::from("/")).await?;
        Ok(Opened { log, arena })
    }
}
