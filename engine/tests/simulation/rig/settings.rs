//! Settings of a simulated log, and its open.

use super::{ARENA_BYTES, SimLog};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use vnotch_engine::buffer::Arena;
use vnotch_engine::clock::ManualClock;
use vnotch_engine::config::TopicConfig;
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::error::{DamageError, OpenError};
use vnotch_engine::log::{Epochs, FileLimits, LogContext, LogLimits, Origin};
use vnotch_engine::types::{Durability, IoMode, Preallocate};

/// Settings of a log: the topic's configuration, and limits of its shard.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) durability: Durability,
    pub(crate) preallocate: Preallocate,
    pub(crate) io: IoMode,
    pub(crate) segment_bytes: u64,
    pub(crate) index_interval_bytes: u32,
    pub(crate) write_bytes_max: usize,
    pub(crate) write_depth: usize,
    pub(crate) cache_bytes: usize,
    pub(crate) fetch_pinned_bytes: usize,
    pub(crate) max_message_bytes: usize,
    pub(crate) segment_ms: Option<u64>,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) retention_ms: Option<u64>,
    pub(crate) message_timestamp_after_max_ms: Option<u64>,
    pub(crate) files: FileLimits,
}

impl Settings {
    pub(super) fn topic(&self) -> TopicConfig {
        let config = TopicConfig {
            durability: self.durability,
            segment_bytes: self.segment_bytes,
            preallocate: self.preallocate,
            index_interval_bytes: self.index_interval_bytes,
            max_message_bytes: self.max_message_bytes,
            segment_ms: self.segment_ms,
            retention_bytes: self.retention_bytes,
            retention_ms: self.retention_ms,
            message_timestamp_after_max_ms: self.message_timestamp_after_max_ms,
        };
        config.validate().unwrap();
        config
    }

    pub(crate) const fn has_retention(&self) -> bool {
        self.retention_bytes.is_some() || self.retention_ms.is_some()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: Durability::Written,
            preallocate: Preallocate::Auto,
            io: IoMode::Direct,
            segment_bytes: 1 << 20,
            index_interval_bytes: 4096,
            write_bytes_max: 64 << 10,
            write_depth: 4,
            cache_bytes: 1 << 20,
            fetch_pinned_bytes: 16 << 20,
            max_message_bytes: 600_000,
            segment_ms: None,
            retention_bytes: None,
            retention_ms: None,
            message_timestamp_after_max_ms: Some(60 * 60 * 1000),
            files: FileLimits::default(),
        }
    }
}

pub(crate) fn dir() -> PathBuf {
    PathBuf::from("/t-0")
}

pub(crate) fn context(
    settings: &Settings,
    disk: &SimDisk,
    clock: &ManualClock,
    boot_id: u64,
) -> LogContext<SimDisk, ManualClock> {
    let limits = LogLimits {
        io: settings.io,
        write_bytes_max: settings.write_bytes_max,
        write_depth: settings.write_depth,
        boot_id,
        fetch_pinned_bytes: settings.fetch_pinned_bytes,
        cache_bytes: Cell::new(settings.cache_bytes),
        chunk_bytes_max: Cell::new(1 << 20),
        files: settings.files,
        filling: futures_util::lock::Mutex::new(()),
    };
    let arena = Rc::new(Arena::new(ARENA_BYTES).unwrap());
    LogContext::new(disk.clone(), clock.clone(), arena, limits)
}

/// Limits the open files of the disk to the number that a log with these settings may use.
pub(crate) fn limit_descriptors(settings: &Settings, disk: &SimDisk) {
    if settings.files != FileLimits::default() {
        disk.limit_descriptors(settings.files.open_files_max + settings.files.brief_max);
    }
}

pub(crate) async fn open(
    context: LogContext<SimDisk, ManualClock>,
    settings: &Settings,
    epochs: Epochs,
) -> Result<Rc<SimLog>, OpenError> {
    open_in(dir(), context, settings, epochs).await
}

pub(crate) async fn open_in(
    dir: PathBuf,
    context: LogContext<SimDisk, ManualClock>,
    settings: &Settings,
    epochs: Epochs,
) -> Result<Rc<SimLog>, OpenError> {
    let (disk, parent) = (context.disk.clone(), dir.parent().map(Path::to_path_buf));
    let log = SimLog::open(context, dir, settings.topic(), epochs, Origin::Created).await?;
    // As the catalog does when it creates the topic.
    if let Some(parent) = parent {
        disk.sync_dir(&parent).await?;
    }
    // A damaged log opens too. The rig treats it as refused.
    match log.damage().map(|damage| damage.cause) {
        None => Ok(log),
        Some(DamageError::Corrupt(corruption)) => Err(OpenError::Corrupt(corruption)),
        Some(DamageError::Unreadable(error)) => Err(OpenError::Disk(error)),
    }
}
