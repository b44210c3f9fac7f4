//! The engine: the handle from which all other handles come.

mod admin;
mod descriptors;
mod groups;
mod offsets;
mod open;
mod partitions;
mod run;
mod settle;
mod start;
#[cfg(test)]
mod tests;
mod watchdog;

pub use admin::{PartitionDescription, TopicDescription};
pub use open::DamagedPartition;
pub use run::Running;

use crate::catalog::{self, LockKind};
use crate::client::{
    Consumer, ConsumerConfig, LingerTimer, OpenTopic, Producer, ProducerConfig, Remote, RemoteDirectory,
    Topics,
};
use crate::clock::boot_id;
use crate::config::EngineConfig;
use crate::error::{CloseError, OpenError, RunError, TopicError};
use crate::log::{FileLimits, LogLimits};
use crate::record::murmur2;
use crate::shard::{ShardEvent, ShardHandle, ShardSettings, ShardStats, idle_look_every};
use crate::types::{ConsumerPosition, IoMode, TopicPartition};
use descriptors::file_limits;
use groups::{OpenGroups, refuse_internal};
use settle::Unsettled;
use start::{check_direct, check_machine, inspect};
use std::cell::Cell;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use watchdog::watch;

/// Least RLIMIT_MEMLOCK with which an executor can start, bytes a shard.
pub const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// An open data directory: its shards, topics and clients.
///
/// [`Engine::close`] closes it. Dropping it closes it too, but waits neither for appends that were not acked nor for a
/// shard that is stuck.
pub struct Engine {
    config: EngineConfig,
    id: String,
    epoch: i32,
    shards: Vec<ShardHandle>,
    topics: Arc<Topics>,
    /// The partitions that the open has found damaged.
    damaged: Vec<DamagedPartition>,
    /// Held while topics are created, altered or deleted: one change at a time.
    admin: Mutex<()>,
    /// Set once the engine serves groups: at the open if there are any, or at the first use of a group.
    groups: Mutex<Option<OpenGroups>>,
    /// Topics of which the last change was not answered by a shard.
    unsettled: Mutex<Unsettled>,
    /// The source of the handles' partitions.
    directory: RemoteDirectory,
    watchdog: Option<JoinHandle<()>>,
    is_ending: Arc<AtomicBool>,
    /// The locked file. It is the last field, so that the lock is released last.
    _lock: Arc<File>,
}

impl Engine {
    /// Opens the data directory, and makes it if it does not exist. Blocks until every partition is recovered.
    ///
    /// A damaged partition does not keep the others from opening: see [`Engine::damaged`]. The open raises the
    /// process's limit on open files (RLIMIT_NOFILE) to the highest value that is allowed.
    ///
    /// # Errors
    /// [`OpenError`]; nothing on disk was changed unless it says so.
    pub fn open(config: EngineConfig) -> Result<Self, OpenError> {
        config.validate().map_err(OpenError::Config)?;
        check_machine(&config)?;
        let files = file_limits(config.shards)?;
        inspect(&config)?;
        let lock = Arc::new(catalog::lock(&config.data_dir, LockKind::Exclusive)?);
        if config.io == IoMode::Direct {
            check_direct(&config.data_dir)?;
        }
        let boot_id = boot_id();
        let shards = (0..config.shards)
            .map(|id| ShardHandle::start(settings(&config, id, boot_id, files, &lock)))
            .collect::<Result<Vec<_>, _>>()?;
        let (timer, _) = LingerTimer::start().map_err(|error| OpenError::Config(error.to_string()))?;
        let port = |shard: &ShardHandle| Remote { mailbox: Arc::clone(&shard.mailbox), timer: timer.clone() };
        let topics: Arc<Topics> = Arc::default();
        let directory =
            RemoteDirectory { topics: Arc::clone(&topics), ports: shards.iter().map(port).collect() };
        let is_ending = Arc::new(AtomicBool::new(false));
        let watchdog = watch(&shards, config.stuck_after, &is_ending)?;
        let mut engine = Self {
            id: String::new(),
            epoch: 0,
            shards,
            topics,
            damaged: Vec::new(),
            admin: Mutex::default(),
            groups: Mutex::default(),
            unsettled: Mutex::default(),
            directory,
            watchdog: Some(watchdog),
            is_ending,
            _lock: lock,
            config,
        };
        engine.open_topics()?;
        Ok(engine)
    }

    /// Returns the partitions that this open has found damaged. Their records below the damage can be fetched. Appends
    /// fail, and so do fetches at or beyond the damage. Their files are unchanged.
    pub fn damaged(&self) -> &[DamagedPartition] {
        &self.damaged
    }

    /// Returns the shard of a partition. Neighbouring partitions are on neighbouring shards, and topics begin at
    /// different shards.
    fn shard_of(&self, topic: &str, partition: u32) -> usize {
        let first = (murmur2(topic.as_bytes()) & i32::MAX).unsigned_abs() % self.config.shards;
        crate::num::usize_of((u64::from(first) + u64::from(partition)) % u64::from(self.config.shards))
    }

    /// Returns the configuration with which the engine was opened.
    pub const fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Returns the data directory's id, 32 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn topic(&self, name: &str) -> Result<OpenTopic, TopicError> {
        self.topics.get(name).ok_or_else(|| TopicError::Unknown(name.to_owned()))
    }

    /// Makes a producer of one topic.
    ///
    /// # Errors
    /// The topic is unknown, or [`ProducerConfig::validate`] refuses the configuration.
    pub fn producer(&self, topic: &str, config: ProducerConfig) -> Result<Producer, TopicError> {
        config.validate().map_err(TopicError::Config)?;
        refuse_internal(topic)?;
        let producer = Producer::new(config, topic, self.directory.clone());
        producer.ok_or_else(|| TopicError::Unknown(topic.to_owned()))
    }

    /// Makes a consumer of a list of (topic, partition, first offset). Instead of an offset there may be a saved
    /// [`ConsumerPosition`]. The log checks it before the first fetch; see
    /// [`FetchError::LogTruncated`](crate::error::FetchError::LogTruncated).
    ///
    /// # Errors
    /// A topic or partition is unknown.
    pub fn consumer<'a, P: Into<ConsumerPosition>>(
        &self,
        assignment: impl IntoIterator<Item = (&'a str, u32, P)>,
        config: ConsumerConfig,
    ) -> Result<Consumer, TopicError> {
        let assigned = assignment.into_iter().map(|(name, partition, position)| {
            let topic = self.topic(name)?;
            let found = topic.places.get(partition as usize).copied();
            let place = found.ok_or_else(|| TopicError::Unknown(format!("{name}-{partition}")))?;
            Ok((
                TopicPartition { topic: name.into(), partition },
                self.directory.route(place),
                position.into(),
            ))
        });
        Ok(Consumer::new(config, assigned.collect::<Result<Vec<_>, TopicError>>()?))
    }

    /// Returns the counters of every shard that answers.
    pub fn stats(&self) -> Vec<ShardStats> {
        self.shards.iter().filter_map(|shard| shard.call(|shard| async move { shard.stats() })).collect()
    }

    /// Returns the events of all logs since the last call, oldest first. A log keeps its newest 4096 events between
    /// calls. [`ShardStats::dropped_events`] counts the older ones.
    pub fn take_events(&self) -> Vec<ShardEvent> {
        let shards = self.shards.iter();
        let mut events: Vec<ShardEvent> = shards
            .filter_map(|shard| shard.call(|shard| async move { shard.take_events() }))
            .flatten()
            .collect();
        events.sort_by_key(|event| event.event.at);
        events
    }

    /// Drops the written records that the shards keep in memory, so that the next reads go to the files. The kernel's
    /// page cache, which holds buffered files, is not changed.
    ///
    /// # Errors
    /// A shard does not answer. The others have dropped theirs.
    pub fn drop_caches(&self) -> Result<(), RunError> {
        let mut outcome = Ok(());
        for (number, shard) in self.shards.iter().enumerate() {
            let dropped = shard.call(|shard| async move { shard.shed_memory() });
            let stuck = RunError::ShardStuck { shard: crate::num::u32_of(number) };
            outcome = outcome.and(dropped.ok_or(stuck));
        }
        outcome
    }

    /// Closes the engine: ends colocated tasks, writes all accepted records, and seals every log. The next open then
    /// has nothing to recover.
    ///
    /// # Errors
    /// A log failed, or a shard is stuck or has failed: [`CloseError`], the first one if there are several. All other
    /// logs and shards are closed nevertheless.
    pub fn close(mut self) -> Result<(), CloseError> {
        let mut outcome = Ok(());
        for shard in &self.shards {
            // A stuck shard does not answer, here or below.
            let _ = shard.call(|shard| async move { shard.end_colocated().await });
        }
        let begun: Vec<_> = self
            .shards
            .iter()
            .map(|shard| shard.begin(|shard| async move { shard.close_partitions().await }))
            .collect();
        for (number, call) in begun.into_iter().enumerate() {
            let answer = call.and_then(|call| call.wait());
            let stuck = CloseError::ShardStuck { shard: crate::num::u32_of(number) };
            outcome = outcome.and(answer.map_or(Err(stuck), |closed| closed.map_err(CloseError::Disk)));
        }
        self.end();
        outcome
    }

    fn end(&mut self) {
        for shard in &mut self.shards {
            shard.stop();
        }
        self.is_ending.store(true, Ordering::Release);
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.thread().unpark();
            let _ = watchdog.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

fn settings(
    config: &EngineConfig,
    id: u32,
    boot_id: u64,
    files: FileLimits,
    lock: &Arc<File>,
) -> ShardSettings {
    // A shard that no log uses yet; the first one has it all.
    let (cache_bytes, chunk_bytes_max) = LogLimits::shares(config.arena_bytes, 1);
    ShardSettings {
        id,
        core: config.cores.get(id as usize).copied().unwrap_or(id as usize),
        poll: config.poll,
        commit: config.commit,
        arena_bytes: config.arena_bytes,
        mailbox_bytes: config.mailbox_bytes,
        limits: LogLimits {
            io: config.io,
            write_bytes_max: config.write_bytes_max,
            write_depth: config.write_depth,
            boot_id,
            fetch_pinned_bytes: config.pinned_bytes_max(),
            cache_bytes: Cell::new(cache_bytes),
            chunk_bytes_max: Cell::new(chunk_bytes_max),
            files,
            filling: futures_util::lock::Mutex::new(()),
        },
        idle_look_every: idle_look_every(config.stuck_after),
        lock: Arc::clone(lock),
    }
}
