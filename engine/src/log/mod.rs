//! The log of one partition: appends with group commit, fetches, rolls, retention and recovery.
//!
//! A log spawns nothing. Its owner (a shard, or a test's executor) drives it:
//!
//! 1. [`Log::append`] puts batches into memory and assigns offsets.
//! 2. [`Log::next_job`] returns writes and syncs. Each job is a future that the owner runs. Its outcome goes to
//!    [`Log::job_done`].
//! 3. [`Log::take_acks`] returns the acks of appends that have reached their durability level.
//! 4. [`Log::wants`] says which background work is due. [`Log::reopen`], [`Log::roll`], [`Log::seal`], [`Log::retain`],
//!    [`Log::prepare_spare`] and [`Log::cut`] do it. [`Log::retry`], called at [`Log::retry_due`], lets work continue
//!    that a full disk or a lack of descriptors has held up.
//! 5. [`Log::fetch`] reads from memory at once. [`Log::fetch_from_disk`] reads from files.
//! 6. [`Log::delete_records`] raises the log's start, on a caller's request.

pub(crate) mod checkpoint;
mod context;
mod files;
mod job;
mod open;
mod progress;
mod read_cache;
mod reading;
mod reopen;
pub(crate) mod rules;
mod segments;
mod space;
mod spare_file;
mod state;
mod tail;
mod work;

pub use context::{LogContext, LogLimits};
pub use files::FileLimits;
pub use job::{Job, JobDone, Unflushed, flush};
pub use open::{Epochs, Origin};
pub use progress::FlightId;
pub use reading::fetch::Fetched;
pub use segments::delete_records::NotDeleted;
pub use state::Damaged;

use crate::clock::Clock;
use crate::config::TopicConfig;
use crate::disk::{Disk, SyncFailures};
use crate::error::{AppendError, DiskError};
use crate::events::{EventKind, LogEvent};
use crate::record::{self, BatchError, BatchHeader};
use crate::types::Durability;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::lock::Mutex;
use job::JobKind;
use read_cache::ReadCache;
use state::State;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;
use tail::Stamp;
use work::{Postponed, Work};

/// The log of one partition. `A` is the type of the value that the owner hands to [`Log::append`] and gets back with
/// the ack.
pub struct Log<D: Disk, C: Clock, A> {
    context: LogContext<D, C>,
    dir: PathBuf,
    /// Count of failed syncs on the device that holds the directory.
    failures: SyncFailures,
    config: RefCell<Rc<TopicConfig>>,
    /// Leader epoch of the batches that this open appends.
    epoch: i32,
    /// Offset at which `epoch` begins: the end of the log when it was opened.
    epoch_start: i64,
    /// The last epoch in which batches may have been appended before the topic became a synced one; 0 for none.
    synced_after: i32,
    state: RefCell<State<D::File, A>>,
    /// Whether [`Log::roll`] is running. The flags below say the same of the other background work.
    rolling: Cell<bool>,
    reopening: Cell<bool>,
    /// Whether a roll is making a new file.
    is_preparing: Cell<bool>,
    sealing: Cell<bool>,
    retaining: Cell<bool>,
    cutting: Cell<bool>,
    /// Number of times that the log was cut off because the disk was full.
    cuts: Cell<u64>,
    postponed: Postponed,
    /// Whether retention has to check the segments again: some may have outlived it.
    retention_due: Cell<bool>,
    /// Size of the active segment at which the log no longer needs its oldest segment to hold `retention_bytes`.
    /// Retention is due then.
    retention_at: Cell<u64>,
    /// Time of the next check of the records' age; `None` if no check is planned.
    look_at: Cell<Option<Instant>>,
    /// Number of checks by retention that have failed one after the other because a file could not be read.
    failed_looks: Cell<u32>,
    /// Bytes of segments that retention has taken out of the log, and whose files are not removed yet.
    leaving_bytes: Cell<u64>,
    spare_work: segments::spare::SpareWork,
    /// Held while a checkpoint is written, so that both slots are never written at the same time.
    checkpointing: Mutex<()>,
    /// Whether a checkpoint was written since the log was opened.
    is_open_recorded: Cell<bool>,
}

/// The reason why a batch was not taken. It carries the ack back.
#[derive(Debug)]
pub enum Refused<A> {
    /// The log takes no batch now: a roll is under way, or appends before this one are not answered yet. Try again
    /// after the next completion.
    NotNow(A),
    /// The arena has no chunk for the batch. Try again when memory has come back: from [`Log::shed_memory`] of this log
    /// or another one, or from the end of a read or write.
    NoMemory(A),
    /// The log cannot take this batch; trying again does not help.
    Failed(A, AppendError),
}

/// The background work that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// Call [`Log::reopen`]: the next write or sync needs a file that was closed.
    pub reopen: bool,
    /// Call [`Log::roll`]: appends may be waiting for it.
    pub roll: bool,
    /// Call [`Log::seal`].
    pub seal: bool,
    /// Call [`Log::retain`].
    pub retain: bool,
    /// Call [`Log::cut`]: the disk is full.
    pub cut: bool,
    /// Call [`Log::prepare_spare`].
    pub spare: bool,
}

impl<D: Disk, C: Clock, A> Log<D, C, A> {
    /// Offset of the first record that the log holds.
    pub fn log_start_offset(&self) -> i64 {
        self.state.borrow().checkpoint.log_start_offset
    }

    /// Offset after the last record appended.
    pub fn log_end_offset(&self) -> i64 {
        self.state.borrow().tail.next_offset()
    }

    /// Offset after the last record that consumers may see. Every record below it has reached the topic's durability
    /// level.
    pub fn high_watermark(&self) -> i64 {
        self.state.borrow().visible(self.config().durability)
    }

    /// The offsets below which every record is written, and synced. `None` while every record that was appended is in a
    /// sealed segment, and for a damaged log, which takes no appends.
    pub fn recovery_point(&self) -> Option<(i64, i64)> {
        let state = self.state.borrow();
        if state.damaged.is_some() {
            return None;
        }
        let (written, synced) = (state.progress.written_offset(), state.progress.synced_offset());
        (written > state.checkpoint.recovery_offset).then_some((written, synced))
    }

    /// The topic's configuration.
    pub fn config(&self) -> Rc<TopicConfig> {
        Rc::clone(&self.config.borrow())
    }

    /// Takes over another configuration, which the catalog has stored already. Limits and retention apply at once, the
    /// segment size and the distance between index entries from the next segment on.
    ///
    /// Consumers keep seeing the records that they could see before. If the topic asks for more durability now, those
    /// records are made durable.
    pub fn alter(&self, config: TopicConfig) {
        {
            let mut state = self.state.borrow_mut();
            state.visible_floor = state.visible(self.config().durability);
            if config.durability == Durability::Synced {
                state.want_synced();
            }
            state.index_within(config.index_interval_bytes);
        }
        self.config.replace(Rc::new(config));
        self.look_at_retention();
    }

    /// The error that latched this log, if one did.
    pub fn failed(&self) -> Option<DiskError> {
        self.state.borrow().failed.clone()
    }

    /// Appends one batch. Its offsets are assigned at once. `ack` comes back through [`Log::take_acks`] once the batch
    /// has reached `level`, or the topic's durability level if `level` is `None`.
    ///
    /// # Errors
    /// [`Refused`], with the ack.
    pub fn append(&self, batch: &[u8], level: Option<Durability>, ack: A) -> Result<(), Refused<A>> {
        let header = match self.check(batch) {
            Ok(header) => header,
            Err(error) => return Err(Refused::Failed(ack, error)),
        };
        let config = self.config();
        let mut state = self.state.borrow_mut();
        if let Some(error) = &state.failed {
            return Err(Refused::Failed(ack, AppendError::StorageFailed(error.clone())));
        }
        if let Some(damage) = &state.damaged {
            return Err(Refused::Failed(ack, damage.cause.clone().into()));
        }
        if let Some(error) = state.no_space() {
            let waits_its_turn = state.has_unanswered_appends() && self.postponed.allows(Work::Cut);
            return Err(if waits_its_turn {
                Refused::NotNow(ack)
            } else {
                Refused::Failed(ack, AppendError::no_segment(error))
            });
        }
        if state.is_full_for(batch.len(), &header) || self.is_aged(&state) {
            state.close_active();
            state.roll_wanted = true;
        }
        let Some(active) = &state.active else {
            state.roll_wanted = true;
            return Err(Refused::NotNow(ack));
        };
        let stream_base = active.stream_base;
        let limits = &self.context.limits;
        let stamp = Stamp {
            epoch: self.epoch,
            now: self.context.clock.now(),
            chunk_bytes_max: limits.chunk_bytes_max.get(),
        };
        let position = state.tail.segment_bytes();
        let base_offset = state.tail.next_offset();
        if !state.tail.append(&self.context.arena, batch, &header, stamp) {
            return Err(Refused::NoMemory(ack));
        }
        let next_offset = state.tail.next_offset();
        if position == 0
            && let Some(active) = &state.active
        {
            active.first_append.set(Some(stamp.now));
            self.look_after_append(stamp.now);
        }
        if let Some(active) = &state.active {
            active.last_append.set(Some(stamp.now));
        }
        state.index(&header, base_offset, position);
        let end = stream_base + state.tail.segment_bytes();
        let waits = match level.unwrap_or(config.durability) {
            Durability::Appended => {
                state.acks.push_back((ack, Ok(base_offset)));
                None
            }
            level => Some((level, ack)),
        };
        state.progress.appended(end, (base_offset, next_offset), waits);
        if state.tail.segment_bytes() >= self.retention_at.get() {
            self.retention_due.set(true);
            self.retention_at.set(u64::MAX);
        }
        let keep_bytes = limits.cache_bytes.get();
        let written_offset = state.progress.written_offset();
        state.tail.evict(keep_bytes, written_offset);
        Ok(())
    }

    fn check(&self, batch: &[u8]) -> Result<BatchHeader, AppendError> {
        let config = self.config();
        let limit_bytes = config.max_message_bytes;
        if batch.len() > limit_bytes {
            return Err(AppendError::TooLarge { batch_bytes: batch.len(), limit_bytes });
        }
        let header = BatchHeader::parse(batch)?;
        if header.total_bytes() != batch.len() {
            let needed_bytes = header.total_bytes();
            return Err(BatchError::TooShort { needed_bytes, available_bytes: batch.len() }.into());
        }
        if !header.is_dense() {
            let record_count = i32::try_from(header.record_count).unwrap_or(i32::MAX);
            let last_offset_delta = i32::try_from(header.last_offset_delta).unwrap_or(i32::MAX);
            return Err(BatchError::BadCount { record_count, last_offset_delta }.into());
        }
        record::verify_crc(batch)?;
        if let Some(limit_ms) = config.message_timestamp_after_max_ms {
            let timestamp_ms = header.max_timestamp_ms;
            let ahead_ms = timestamp_ms.saturating_sub(self.context.clock.wall_ms());
            let ahead_ms = u64::try_from(ahead_ms).unwrap_or(0);
            if ahead_ms > limit_ms {
                return Err(AppendError::InvalidTimestamp { timestamp_ms, ahead_ms, limit_ms });
            }
        }
        Ok(header)
    }

    /// Returns the next write or sync to submit, if one may begin now.
    pub fn next_job(&self) -> Option<Job<D::File>> {
        let limits = &self.context.limits;
        let mut state = self.state.borrow_mut();
        if state.failed.is_some() || state.is_cut_under_way() {
            return None;
        }
        if state.progress.in_flight() < limits.write_depth
            && !state.progress.is_padded_in_flight()
            && let Some(job) =
                state.next_write(limits.write_bytes_max, self.config().durability, self.failures.count())
        {
            return Some(job);
        }
        if !state.closing.is_empty() {
            return None;
        }
        if !state.progress.is_sync_due() {
            return None;
        }
        let base_offset = state.active.as_ref()?.base_offset;
        if !state.hold_file(base_offset) {
            return None;
        }
        let (file, is_named) = {
            let active = state.active.as_ref()?;
            (active.file.clone()?, Rc::clone(&active.is_named))
        };
        let failed_syncs = state.progress.failed_syncs_before().unwrap_or_else(|| self.failures.count());
        let id = state.progress.begin_sync()?;
        let name = (!is_named.get()).then(|| self.sync_name(is_named));
        Some(Job { id, failed_syncs, kind: JobKind::Sync { file, name } })
    }

    /// Number of syncs that had failed on the device before the log's oldest change that is not durable. If every
    /// change is durable, the number of failed syncs until now. After a sync, call [`Log::check_syncs`] with this
    /// number.
    fn failed_syncs_before(&self) -> u64 {
        let before = self.state.borrow().progress.failed_syncs_before();
        before.unwrap_or_else(|| self.failures.count())
    }

    /// Fails if a sync on the device has failed since the count was `failed_syncs`. Changes made since then may be
    /// lost.
    fn check_syncs(&self, failed_syncs: u64) -> Result<(), DiskError> {
        self.failures.check(failed_syncs, &self.dir)
    }

    /// Returns a future that makes the active segment's name durable. Without it, a power loss could take away the file
    /// that holds synced records.
    fn sync_name(&self, is_named: Rc<Cell<bool>>) -> LocalBoxFuture<'static, Result<(), DiskError>> {
        let (disk, dir) = (self.context.disk.clone(), self.dir.clone());
        let sync = async move {
            disk.sync_dir(&dir).await?;
            is_named.set(true);
            Ok(())
        };
        sync.boxed_local()
    }

    /// Takes the outcome of a job. A failed write or sync latches the log: nothing more is appended or written. A
    /// failed sync of another file on the device latches it too, if the log had changes that were not durable. A write
    /// that found the disk full does not latch it: see [`Wants::cut`].
    pub fn job_done(&self, done: JobDone) {
        if let (Err(error), true) = (&done.outcome, done.is_write) {
            self.write_failed(done.id, error.clone());
        }
        let mut state = self.state.borrow_mut();
        match done.outcome {
            Err(_) if done.is_write => {}
            Ok(()) if state.failed.is_some() => {}
            Ok(()) if done.is_write => state.progress.write_done(done.id),
            Ok(()) => {
                state.progress.sync_done(done.id);
                state.note(self.context.clock.now(), EventKind::Sync);
            }
            // The directory could not be opened, so no sync was tried, and none can have lost bytes.
            Err(error) if error.is_too_many_open() => state.progress.sync_not_done(done.id),
            Err(error) => state.latch(error),
        }
        state.collect_acks();
        state.release_files();
    }

    /// Moves the due acks into `acks`: the value that was handed to [`Log::append`], with the batch's base offset.
    pub fn take_acks(&self, acks: &mut Vec<(A, Result<i64, AppendError>)>) {
        acks.extend(self.state.borrow_mut().acks.drain(..));
    }

    /// Takes the acks that still wait, from a log that its owner gives up. They may wait for a sync that is under way,
    /// or for a seal.
    pub fn abandon(&self) -> Vec<A> {
        let mut state = self.state.borrow_mut();
        let refused = state.take_refused();
        state.progress.abandon().chain(refused).collect()
    }

    /// Whether no write is in flight or waits to be submitted, or the log has failed. Writes that a full disk or a lack
    /// of descriptors holds up do not count: [`Log::close`] tries them once more.
    pub fn is_idle(&self) -> bool {
        let state = self.state.borrow();
        let is_uncut = state.is_cut_under_way() && !self.postponed.allows(Work::Cut);
        let is_unopened = !self.postponed.allows(Work::Reopen) && state.progress.in_flight() == 0;
        state.failed.is_some()
            || state.damaged.is_some()
            || is_uncut
            || is_unopened
            || (!state.is_cut_under_way()
                && state.progress.in_flight() == 0
                && state.progress.written_offset() == state.tail.next_offset())
    }

    /// Gives back the memory of the arena that this log can do without: written batches, extents that were read from
    /// files, and the chunk for the next appends if the log is written to its end. Called when the arena has no free
    /// memory.
    ///
    /// Memory in flight comes back when its read or write completes. Batches that are not written stay.
    pub fn shed_memory(&self) {
        let mut state = self.state.borrow_mut();
        let written_offset = state.progress.written_offset();
        if state.progress.in_flight() == 0 && written_offset == state.tail.next_offset() {
            state.tail.release_chunk();
        }
        state.tail.evict(0, written_offset);
        state.read_cache.clear();
    }

    /// Bytes that an append of `batch_bytes` needs from the arena. `None` if it needs none, or cannot be appended now.
    pub fn memory_for(&self, batch_bytes: usize) -> Option<usize> {
        let state = self.state.borrow();
        let is_refused = state.failed.is_some()
            || state.active.is_none()
            || batch_bytes > self.config.borrow().max_message_bytes;
        if is_refused { None } else { state.tail.chunk_bytes_for(batch_bytes) }
    }

    /// Takes the events since the last call, the newest 4096 at most.
    pub fn take_events(&self) -> Vec<LogEvent> {
        self.state.borrow_mut().events.take()
    }

    /// Number of events that were dropped since the log was opened, because nobody took them in time.
    pub fn dropped_events(&self) -> u64 {
        self.state.borrow().events.dropped()
    }
}
