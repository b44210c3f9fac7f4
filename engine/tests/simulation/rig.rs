//! The owner of a simulated log: it drives the log as a shard does, and holds it to its promises.

use crate::model::Model;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::cell::Cell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use vnotch_engine::buffer::{Arena, SharedBytes};
use vnotch_engine::clock::ManualClock;
use vnotch_engine::config::TopicConfig;
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::error::{AppendError, FetchError, OpenError};
use vnotch_engine::events::EventKind;
use vnotch_engine::log::{Epochs, Fetched, JobDone, Log, LogContext, LogLimits, Origin, Refused};
use vnotch_engine::segment;
use vnotch_engine::types::{Durability, IoMode, Preallocate};

const ARENA_BYTES: usize = 24 << 20;

/// Fetched pieces kept until later.
const HELD_MAX: usize = 6;

pub(crate) type SimLog = Log<SimDisk, ManualClock, Ticket>;

type ReadOutcome = (i64, Result<Vec<SharedBytes>, FetchError>);

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
        }
    }
}

/// How a log comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Kill,
    PowerLoss,
}

impl Fate {
    pub(crate) fn of(self, disk: &SimDisk, seed: u64) -> SimDisk {
        match self {
            Self::Kill => disk.kill(seed),
            Self::PowerLoss => disk.crash(seed),
        }
    }

    /// What survives it.
    const fn survives(self) -> Durability {
        match self {
            Self::Kill => Durability::Written,
            Self::PowerLoss => Durability::Synced,
        }
    }
}

/// Damage to one of a log's index files, before it is opened again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IndexDamage {
    Removed { file: usize },
    Flipped { file: usize, position: u64 },
}

/// An end, and a new beginning that may be interrupted itself.
#[derive(Debug, Clone)]
pub(crate) struct Restart {
    pub(crate) fate: Fate,
    pub(crate) seed: u64,
    pub(crate) damage: Option<IndexDamage>,
    /// Each attempt to open gets so many steps.
    pub(crate) interruptions: Vec<(Fate, usize)>,
}

impl Restart {
    pub(crate) const fn simple(fate: Fate, seed: u64) -> Self {
        Self { fate, seed, damage: None, interruptions: Vec::new() }
    }
}

/// See the module.
pub(crate) struct Rig {
    pub(crate) settings: Settings,
    pub(crate) disk: SimDisk,
    pub(crate) log: Rc<SimLog>,
    pub(crate) model: Model,
    clock: ManualClock,
    pub(crate) arena: Rc<Arena>,
    epoch: i32,
    /// The epoch in which the topic last became a synced one, as the catalog keeps it.
    synced_after: i32,
    /// The least durability of the topic since the log was opened: what consumers were shown has that.
    shown_level: Durability,
    boot_id: u64,
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
    held: VecDeque<(SharedBytes, Vec<u8>)>,
    /// Batches that were refused.
    pub(crate) refusals: usize,
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
        filling: futures_util::lock::Mutex::new(()),
    };
    LogContext {
        disk: disk.clone(),
        clock: clock.clone(),
        arena: Rc::new(Arena::new(ARENA_BYTES).unwrap()),
        limits: Rc::new(limits),
    }
}

async fn open(
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
    let log = SimLog::open(context, dir, settings.topic(), epochs, Origin::Created).await?;
    assert!(log.damage().is_none(), "a log that nobody damaged is whole: {:?}", log.damage());
    Ok(log)
}

impl Rig {
    /// A new log on an empty disk.
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        Self::with(settings, SimDisk::new(seed), Model::default(), (1, 0, 1))
    }

    /// The log as `disk` has it.
    fn with(
        settings: Settings,
        disk: SimDisk,
        model: Model,
        (epoch, synced_after, boot_id): (i32, i32, u64),
    ) -> Self {
        let clock = ManualClock::new(1_000);
        let context = context(&settings, &disk, &clock, boot_id);
        let arena = Rc::clone(&context.arena);
        let log = disk.run_until(open(context, &settings, Epochs { current: epoch, synced_after }));
        let log = log.unwrap_or_else(|error| panic!("a log that nobody damaged opens: {error}"));
        Self {
            shown_level: settings.durability,
            settings,
            disk,
            log,
            model,
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
        }
    }

    /// Hands a batch to the log; it takes it when it can.
    pub(crate) fn append(&mut self, batch: Vec<u8>, level: Option<Durability>) {
        self.waiting.push_back((batch, level));
        self.turn();
    }

    /// Completes up to `count` operations of the disk, with a turn after each.
    pub(crate) fn steps(&mut self, count: usize) {
        for _ in 0..count {
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
        assert!(!self.model.owes_refusals(), "a producer waits for an ack that never comes");
    }

    /// What a shard does between two looks at its ring.
    fn turn(&mut self) {
        let context = &mut Context::from_waker(Waker::noop());
        let mut has_moved = true;
        self.log.retry();
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
            while let Poll::Ready(Some((offset, outcome))) = self.reads.poll_next_unpin(context) {
                match outcome {
                    Ok(pieces) => self.served(offset, pieces),
                    Err(FetchError::OffsetOutOfRange { .. }) if offset < self.log.log_start_offset() => {}
                    Err(error) => panic!("a read at {offset} fails: {error}"),
                }
            }
            self.notice_cut();
            self.collect_acks();
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
                    has_moved = true;
                }
                Err(Refused::NotNow(_)) => {
                    self.waiting.push_front((batch, level));
                    if has_shed || self.log.wants_roll() {
                        break;
                    }
                    has_shed = true;
                    self.log.shed_memory();
                }
                Err(Refused::Failed(_, error)) => {
                    match error {
                        AppendError::NoSpace(_) => assert!(self.log.no_space().is_some(), "{error}"),
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
                Err(AppendError::NoSpace(_)) => {
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

    fn served(&mut self, offset: i64, pieces: Vec<SharedBytes>) {
        self.model.check(offset, &pieces, self.log.high_watermark());
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

    /// Reads all that is visible from `offset` on, and checks it.
    pub(crate) fn read_from(&self, mut offset: i64) {
        let visible = self.log.high_watermark();
        let mut in_vain = 0;
        while offset < visible {
            let pieces = match self.log.fetch(offset, 700_000).unwrap() {
                Fetched::Nothing => panic!("there is more below the high watermark"),
                Fetched::Batches(pieces) => pieces,
                Fetched::OnDisk => {
                    let read = Rc::clone(&self.log).fetch_from_disk(offset, 700_000);
                    let pieces = self.disk.run_until(read);
                    pieces.unwrap_or_else(|error| panic!("a read at {offset} of {visible} fails: {error}"))
                }
            };
            in_vain = if pieces.is_empty() { in_vain + 1 } else { 0 };
            assert!(in_vain < 3, "a read at {offset} of {visible} finds nothing");
            offset = self.model.check(offset, &pieces, visible);
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

    /// The log after its end and a new beginning, with its promises checked; this one is left alone.
    pub(crate) fn restarted(&self, restart: &Restart) -> Self {
        self.check_held();
        let mut worst = restart.fate;
        let (mut epoch, mut boot_id) = (self.epoch + 1, self.boot_id + u64::from(worst == Fate::PowerLoss));
        let mut disk = worst.of(&self.disk, restart.seed);
        self.check_old_names(&disk);
        damage_index(&disk, restart.damage);
        for (fate, steps) in restart.interruptions.iter().copied() {
            let context = context(&self.settings, &disk, &self.clock, boot_id);
            let epochs = Epochs { current: epoch, synced_after: self.synced_after };
            open_for(&disk, steps, open(context, &self.settings, epochs));
            disk = fate.of(&disk, restart.seed);
            worst = worst.max(fate);
            epoch += 1;
            boot_id += u64::from(fate == Fate::PowerLoss);
        }
        let mut rig =
            Self::with(self.settings.clone(), disk, self.model.clone(), (epoch, self.synced_after, boot_id));
        let end = rig.log.log_end_offset();
        rig.model.reopened(end, worst.survives());
        assert_eq!(rig.log.high_watermark(), end);
        let start = rig.log.log_start_offset();
        assert!(start >= rig.model.deleted_to, "deleted records do not come back");
        assert!(start == 0 || rig.settings.has_retention(), "nothing is deleted without retention");
        assert!(rig.model.begins_batch(start), "whole segments are deleted");
        rig.held.clone_from(&self.held);
        rig
    }

    /// Whatever becomes of a file: a segment's name leads to that segment's own bytes, and nothing else, also where the
    /// segment was to go.
    fn check_old_names(&self, disk: &SimDisk) {
        for entry in disk.run_until(disk.list(&dir())).unwrap_or_default() {
            let base_offset = segment::base_offset_of(&entry.name);
            let Some(base_offset) = base_offset.filter(|base| *base < self.log.log_start_offset()) else {
                continue;
            };
            let bytes = disk.run_until(disk.read_file(&dir().join(&entry.name))).unwrap();
            let is_its_own = self.model.are_batches_from(base_offset, &bytes);
            assert!(is_its_own, "{} shows other bytes than its own", entry.name);
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

    /// [`Rig::restarted`], all read, and this one given up for it.
    pub(crate) fn restart(&mut self, restart: &Restart) {
        *self = self.restarted(restart);
        self.read_from(self.log.log_start_offset());
    }
}

fn damage_index(disk: &SimDisk, damage: Option<IndexDamage>) {
    let Ok(entries) = disk.run_until(disk.list(&dir())) else { return };
    let names = entries.into_iter().map(|entry| entry.name).filter(|name| name.ends_with("index"));
    let paths: Vec<PathBuf> = names.map(|name| dir().join(name)).collect();
    if paths.is_empty() {
        return;
    }
    match damage {
        None => {}
        Some(IndexDamage::Removed { file }) => {
            disk.run_until(disk.remove_file(&paths[file % paths.len()])).unwrap();
            disk.run_until(disk.sync_dir(&dir())).unwrap();
        }
        Some(IndexDamage::Flipped { file, position }) => flip(disk, &paths[file % paths.len()], position),
    }
}

/// Flips a bit of the byte at `position`, counted round.
pub(crate) fn flip(disk: &SimDisk, path: &Path, position: u64) {
    let len = disk.run_until(disk.read_file(path)).unwrap().len() as u64;
    if len > 0 {
        disk.damage(path, position % len).unwrap();
    }
}

/// Gives an attempt to open so many steps.
fn open_for(disk: &SimDisk, steps: usize, open: impl Future<Output = Result<Rc<SimLog>, OpenError>>) {
    let mut open = pin!(open);
    let context = &mut Context::from_waker(Waker::noop());
    for _ in 0..=steps {
        match open.as_mut().poll(context) {
            Poll::Pending => assert!(disk.step(), "opening waits for nothing"),
            Poll::Ready(opened) => {
                opened.unwrap_or_else(|error| panic!("a log that nobody damaged opens: {error}"));
                return;
            }
        }
    }
}
