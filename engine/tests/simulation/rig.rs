//! The owner of a simulated log: it drives the log as a shard does, and holds it to its promises.

use crate::model::{Model, Served};
pub(crate) use crate::restart::{Fate, IndexDamage, Restart, flip};
use crate::restart::{Trust, is_injected};
use crate::tally;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::cell::Cell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use vnotch_engine::buffer::{Arena, SharedBytes};
use vnotch_engine::clock::{Clock as _, ManualClock};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::error::{AppendError, DamageError, FetchError, OpenError};
use vnotch_engine::events::EventKind;
use vnotch_engine::log::{Epochs, Fetched, FileLimits, JobDone, Log, LogContext, LogLimits, Origin, Refused};
use vnotch_engine::types::{Durability, IoMode, Preallocate};

pub(crate) const ARENA_BYTES: usize = 24 << 20;

/// Fetched pieces kept until later.
const HELD_MAX: usize = 6;

pub(crate) type SimLog = Log<SimDisk, ManualClock, Ticket>;

type ReadOutcome = (i64, Result<Vec<SharedBytes>, FetchError>);

/// Remembers that a future wants to be polled again.
#[derive(Debug, Default)]
pub(crate) struct Woken(AtomicBool);

impl Woken {
    /// Whether a future was woken since the last call.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What an ack is known by.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) number: usize,
    pub(crate) level: Durability,
}

/// How a log is run.
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
    fn topic(&self) -> TopicConfig {
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

/// See the module.
pub(crate) struct Rig {
    pub(crate) settings: Settings,
    pub(crate) disk: SimDisk,
    pub(crate) log: Rc<SimLog>,
    pub(crate) model: Model,
    /// The promises that still hold.
    pub(crate) trust: Trust,
    pub(crate) clock: ManualClock,
    pub(crate) arena: Rc<Arena>,
    pub(crate) epoch: i32,
    /// The epoch in which the topic last became a synced one, as the catalog keeps it.
    pub(crate) synced_after: i32,
    /// The least durability of the topic since the log was opened: what consumers were shown has that.
    shown_level: Durability,
    pub(crate) boot_id: u64,
    /// What the log could not take yet.
    waiting: VecDeque<(Vec<u8>, Option<Durability>)>,
    jobs: FuturesUnordered<LocalBoxFuture<'static, JobDone>>,
    tasks: FuturesUnordered<LocalBoxFuture<'static, ()>>,
    reads: FuturesUnordered<LocalBoxFuture<'static, ReadOutcome>>,
    /// Where the log has begun and what was before is not known to be deleted yet.
    starts: VecDeque<i64>,
    /// Events so far.
    pub(crate) events: Vec<EventKind>,
    /// Writes so far, and those over extents that were written already.
    pub(crate) writes: [usize; 2],
    /// What consumers hold, and what it was when they got it.
    pub(crate) held: VecDeque<(SharedBytes, Vec<u8>)>,
    /// Batches that were refused.
    pub(crate) refusals: usize,
    /// Batches that the log has taken and not answered for.
    unanswered: usize,
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

/// Lets the disk open no more files than a log with these settings may.
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
    // A damaged log opens too; to the rig it is one that is refused.
    match log.damage().map(|damage| damage.cause) {
        None => Ok(log),
        Some(DamageError::Corrupt(corruption)) => Err(OpenError::Corrupt(corruption)),
        Some(DamageError::Unreadable(error)) => Err(OpenError::Disk(error)),
    }
}

impl Rig {
    /// A new log on an empty disk.
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        let opened = Self::with(settings, SimDisk::new(seed), Model::default(), (1, 0, 1));
        opened.unwrap_or_else(|error| panic!("a log on an empty disk opens: {error}"))
    }

    /// The log as `disk` has it.
    pub(crate) fn with(
        settings: Settings,
        disk: SimDisk,
        model: Model,
        (epoch, synced_after, boot_id): (i32, i32, u64),
    ) -> Result<Self, OpenError> {
        let clock = ManualClock::new(1_000);
        limit_descriptors(&settings, &disk);
        let context = context(&settings, &disk, &clock, boot_id);
        let arena = Rc::clone(&context.arena);
        let log = disk.run_until(open(context, &settings, Epochs { current: epoch, synced_after }))?;
        Ok(Self {
            shown_level: settings.durability,
            settings,
            disk,
            log,
            model,
            trust: Trust::Whole,
            clock,
            arena,
            epoch,
            synced_after,
            boot_id,
            waiting: VecDeque::new(),
            jobs: FuturesUnordered::new(),
            tasks: FuturesUnordered::new(),
            reads: FuturesUnordered::new(),
            starts: VecDeque::new(),
            events: Vec::new(),
            writes: [0; 2],
            held: VecDeque::new(),
            refusals: 0,
            unanswered: 0,
        })
    }

    /// Hands a batch to the log; it takes it when it can.
    pub(crate) fn append(&mut self, batch: Vec<u8>, level: Option<Durability>) {
        self.waiting.push_back((batch, level));
        self.turn();
    }

    /// Completes up to `count` operations of the disk, with a turn after each.
    pub(crate) fn steps(&mut self, count: usize) {
        for _ in 0..count {
            // Somebody who looked at the disk may have completed what was outstanding.
            if self.disk.outstanding() == 0 {
                self.turn();
            }
            if !self.disk.step() {
                break;
            }
            self.clock.advance(Duration::from_millis(1));
            self.turn();
        }
    }

    /// Gives the topic other settings; the catalog has them. The log may not live to hear of it.
    pub(crate) fn alter(&mut self, settings: Settings, is_heard: bool) {
        let was_synced = self.settings.durability == Durability::Synced;
        if settings.durability == Durability::Synced && !was_synced {
            self.synced_after = self.epoch;
        }
        self.shown_level = self.shown_level.min(settings.durability);
        self.settings = settings;
        if is_heard {
            let visible = self.log.high_watermark();
            self.log.alter(self.settings.topic());
            assert!(self.log.high_watermark() >= visible, "what consumers saw they go on seeing");
            self.turn();
        }
    }

    /// The time of the log's clock, ms since the Unix epoch.
    pub(crate) fn wall_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Goes on until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        self.turn();
        while self.disk.outstanding() > 0 {
            self.steps(1);
        }
        assert!(self.log.is_idle(), "nothing is outstanding, and yet the log waits");
        let is_failed = self.log.failed().is_some();
        // A full disk, or a lack of descriptors, keeps answers back until the next attempt.
        let may_keep = !is_failed && (self.log.no_space().is_some() || self.log.retry_due().is_some());
        assert!(may_keep || self.unanswered == 0, "{} producers wait for nothing", self.unanswered);
        assert!(
            self.waiting.is_empty() || self.log.failed().is_some() || self.is_rolling(),
            "appends are not taken"
        );
        assert!(self.reads.is_empty() && self.tasks.is_empty(), "somebody waits for nothing");
    }

    /// Whether appends wait for a segment that could not be made a moment ago; nobody is refused before the next attempt.
    fn is_rolling(&self) -> bool {
        self.disk.is_limited() && self.log.wants_roll() && !self.log.wants().roll
    }

    /// Gives the disk its space back and lets enough time pass for the log to notice.
    pub(crate) fn make_room(&mut self) {
        self.disk.make_room();
        // One attempt to cut what was not written, one to make a segment.
        for _ in 0..2 {
            self.advance(Duration::from_millis(100));
            self.settle();
        }
        let is_failed = self.log.failed().is_some();
        assert!(is_failed || !self.model.owes_refusals(), "a producer waits for an ack that never comes");
    }

    /// What a shard does between two looks at its ring.
    fn turn(&mut self) {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = &mut Context::from_waker(&waker);
        let mut has_moved = true;
        self.log.retry();
        self.log.look_at_age();
        while has_moved {
            self.collect_acks();
            has_moved = self.put_waiting();
            while let Poll::Ready(Some(done)) = self.jobs.poll_next_unpin(context) {
                self.log.job_done(done);
                has_moved = true;
            }
            while let Some(job) = self.log.next_job() {
                self.writes[0] += usize::from(job.write_bytes() > 0);
                self.writes[1] += usize::from(job.is_overwriting());
                self.jobs.push(Box::pin(job.run()));
                has_moved = true;
            }
            let wants = self.log.wants();
            if wants.reopen {
                self.tasks.push(Box::pin(Rc::clone(&self.log).reopen()));
            }
            if wants.roll {
                self.tasks.push(Box::pin(Rc::clone(&self.log).roll()));
            }
            if wants.seal {
                self.tasks.push(Box::pin(Rc::clone(&self.log).seal()));
            }
            if wants.retain {
                self.tasks.push(Box::pin(Rc::clone(&self.log).retain()));
            }
            if wants.cut {
                self.tasks.push(Box::pin(Rc::clone(&self.log).cut()));
            }
            if wants.spare {
                self.tasks.push(Box::pin(Rc::clone(&self.log).prepare_spare()));
            }
            self.collect_acks();
            while let Poll::Ready(Some(())) = self.tasks.poll_next_unpin(context) {
                has_moved = true;
            }
            self.arena.wake_reads();
            while let Poll::Ready(Some((offset, outcome))) = self.reads.poll_next_unpin(context) {
                has_moved = true;
                match outcome {
                    Ok(pieces) => self.served(offset, pieces),
                    Err(FetchError::OffsetOutOfRange { .. }) if offset < self.log.log_start_offset() => {}
                    Err(error) => self.permit_read(offset, error),
                }
            }
            self.notice_cut();
            self.collect_acks();
            has_moved |= woken.take();
        }
    }

    fn notice_cut(&mut self) {
        let end = self.log.log_end_offset();
        if end < self.model.next_offset() {
            assert!(self.log.no_space().is_some(), "records go though the disk is not full");
            self.model.cut(end);
        }
    }

    fn put_waiting(&mut self) -> bool {
        let (mut has_moved, mut has_shed) = (false, false);
        while let Some((batch, level)) = self.waiting.pop_front() {
            let number = self.model.batches().len();
            let ticket = Ticket { number, level: level.unwrap_or(self.settings.durability) };
            match self.log.append(&batch, level, ticket) {
                Ok(()) => {
                    assert_eq!(self.model.appended(batch, self.epoch), number);
                    assert_eq!(self.log.log_end_offset(), self.model.next_offset());
                    self.unanswered += 1;
                    has_moved = true;
                }
                Err(Refused::NotNow(_)) => {
                    self.waiting.push_front((batch, level));
                    break;
                }
                Err(Refused::NoMemory(_)) => {
                    self.waiting.push_front((batch, level));
                    if std::mem::replace(&mut has_shed, true) {
                        break;
                    }
                    self.log.shed_memory();
                }
                Err(Refused::Failed(_, error)) => {
                    match error {
                        AppendError::NoSpace(_) | AppendError::TooManyOpenFiles(_) => {
                            assert!(self.log.no_space().is_some(), "{error}")
                        }
                        error => assert!(self.log.failed().is_some(), "a valid batch is refused: {error}"),
                    }
                    self.refusals += 1;
                }
            }
        }
        has_moved
    }

    fn collect_acks(&mut self) {
        let mut acks = Vec::new();
        self.log.take_acks(&mut acks);
        let visible = self.log.high_watermark();
        self.unanswered -= acks.len();
        for (ticket, outcome) in acks {
            match outcome {
                Ok(base_offset) => {
                    self.model.acked(ticket.number, base_offset, ticket.level);
                    let end = self.model.batches()[ticket.number].next_offset;
                    assert!(
                        ticket.level < self.settings.durability || end <= visible,
                        "acked and not visible"
                    );
                }
                Err(AppendError::NoSpace(_) | AppendError::TooManyOpenFiles(_)) => {
                    self.refusals += 1;
                    self.model.refused(ticket.number);
                }
                Err(error) => assert!(self.log.failed().is_some(), "a valid batch is not acked: {error}"),
            }
        }
        assert!(visible <= self.log.log_end_offset());
        self.model.shown(visible, self.shown_level);
        let events = self.log.take_events();
        // The start is raised first, durably, and the next one's perhaps before this one's event is seen.
        let start = self.log.log_start_offset();
        if self.starts.back().copied().unwrap_or(self.model.deleted_to) < start {
            self.starts.push_back(start);
        }
        // All that go together go below one start, and the next ones not before a write of the checkpoint.
        if events.iter().any(|event| event.kind == EventKind::Retention) {
            self.model.deleted_to = self.starts.pop_front().expect("a deletion raises the log's start");
        }
        self.events.extend(events.into_iter().map(|event| event.kind));
    }

    /// Fetches from `offset`, which is at most the high watermark; a read of files goes on beside everything else.
    pub(crate) fn fetch(&mut self, offset: i64, bytes_max: usize) {
        match self.log.fetch(offset, bytes_max).unwrap() {
            Fetched::Nothing => assert_eq!(offset, self.log.high_watermark()),
            Fetched::Batches(pieces) => {
                assert!(!pieces.is_empty());
                self.served(offset, pieces);
            }
            Fetched::OnDisk => {
                let read = Rc::clone(&self.log).fetch_from_disk(offset, bytes_max);
                self.reads.push(Box::pin(async move { (offset, read.await) }));
                self.turn();
            }
        }
    }

    /// Whether a read of files is under way.
    pub(crate) fn is_reading(&self) -> bool {
        !self.reads.is_empty()
    }

    /// Panics at the error of a read that the faults so far do not explain.
    fn permit_read(&self, offset: i64, error: FetchError) {
        match error {
            FetchError::Disk(error) if is_injected(&error) => tally::count("read: the disk failed"),
            FetchError::Corrupt(_) if self.trust.is_broken() => tally::count("read: refused as damaged"),
            error => panic!("a read at {offset} fails: {error}"),
        }
    }

    /// Checks served bytes as a consumer does; the offset after them, or `None` where a checksum shows damage.
    fn check_served(&self, offset: i64, pieces: &[SharedBytes]) -> Option<i64> {
        let visible = self.log.high_watermark();
        if !self.trust.is_broken() {
            return Some(self.model.check(offset, pieces, visible));
        }
        match self.model.check_damaged(offset, pieces, visible) {
            Served::Whole(next_offset) => Some(next_offset),
            Served::BadChecksum => {
                tally::count("read: the checksum does not hold");
                None
            }
        }
    }

    fn served(&mut self, offset: i64, pieces: Vec<SharedBytes>) {
        self.check_served(offset, &pieces);
        for piece in pieces {
            if matches!(piece, SharedBytes::Arena(_)) {
                assert!(self.arena.contains(&piece), "what a consumer holds is not borrowed from the arena");
            }
            if self.held.len() == HELD_MAX {
                self.held.pop_front();
            }
            let bytes = piece.to_vec();
            self.held.push_back((piece, bytes));
        }
        self.check_held();
    }

    /// What consumers hold never changes.
    pub(crate) fn check_held(&self) {
        for (piece, bytes) in &self.held {
            assert!(piece[..] == bytes[..], "bytes changed in a consumer's hands");
        }
    }

    /// Lets go of what consumers hold.
    pub(crate) fn release(&mut self) {
        self.held.clear();
    }

    /// Reads all that is visible from `offset` on, and checks it; up to the first damage, if there is any.
    pub(crate) fn read_from(&self, mut offset: i64) {
        let visible = self.log.high_watermark();
        let mut in_vain = 0;
        while offset < visible {
            let pieces = match self.log.fetch(offset, 700_000).unwrap() {
                Fetched::Nothing => panic!("there is more below the high watermark"),
                Fetched::Batches(pieces) => Ok(pieces),
                Fetched::OnDisk => self.disk.run_until(Rc::clone(&self.log).fetch_from_disk(offset, 700_000)),
            };
            let pieces = pieces.unwrap_or_else(|error| {
                self.permit_read(offset, error);
                Vec::new()
            });
            in_vain = if pieces.is_empty() { in_vain + 1 } else { 0 };
            if in_vain == 3 && self.trust.is_broken() {
                return;
            }
            assert!(in_vain < 3, "a read at {offset} of {visible} finds nothing");
            let Some(next_offset) = self.check_served(offset, &pieces) else { return };
            offset = next_offset;
        }
    }

    /// Ends the log cleanly.
    pub(crate) fn close(&mut self) {
        self.settle();
        // It fails where a write does.
        if self.disk.run_until(Rc::clone(&self.log).close()).is_ok() {
            self.collect_acks();
            self.model.all_durable();
        }
    }

    /// Bytes of the log's files, extents that are set aside included.
    pub(crate) fn file_bytes(&self) -> u64 {
        // Looked at from the side: the log's own operations go on as they would have.
        let disk = self.disk.kill(0);
        let names = disk.run_until(disk.list(&dir())).unwrap();
        let paths = names.iter().map(|entry| dir().join(&entry.name));
        paths.map(|path| disk.run_until(disk.read_file(&path)).unwrap().len() as u64).sum()
    }

    /// The file of this name in the log's directory, if there is one.
    pub(crate) fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.disk.run_until(self.disk.read_file(&dir().join(name))).ok()
    }
}
