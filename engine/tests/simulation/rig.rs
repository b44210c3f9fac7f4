//! The owner of a simulated log. It drives the log as a shard does, and checks its promises.

mod deletions;
mod reads;
mod settings;

use crate::model::Model;
use crate::restart::Trust;
pub(crate) use crate::restart::{Fate, IndexDamage, Restart, flip};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
pub(crate) use settings::{Settings, context, dir, limit_descriptors, open, open_in};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use vnotch_engine::buffer::{Arena, SharedBytes};
use vnotch_engine::clock::{Clock as _, ManualClock};
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::error::{AppendError, FetchError, OpenError};
use vnotch_engine::events::EventKind;
use vnotch_engine::log::{Epochs, JobDone, Log, NotDeleted, Refused};
use vnotch_engine::types::Durability;

pub(crate) const ARENA_BYTES: usize = 24 << 20;

pub(crate) type SimLog = Log<SimDisk, ManualClock, Ticket>;

type DeletionOutcome = (i64, Result<i64, NotDeleted>);

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

/// The tag of an append, by which its ack is found.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) number: usize,
    pub(crate) level: Durability,
}

/// A log on a simulated disk, with its model and all operations in flight.
pub(crate) struct Rig {
    pub(crate) settings: Settings,
    pub(crate) disk: SimDisk,
    pub(crate) log: Rc<SimLog>,
    pub(crate) model: Model,
    /// The promises that hold after the faults of the disk.
    pub(crate) trust: Trust,
    pub(crate) clock: ManualClock,
    pub(crate) arena: Rc<Arena>,
    pub(crate) epoch: i32,
    /// The epoch in which the topic last became synced, as the catalog keeps it.
    pub(crate) synced_after: i32,
    /// The lowest durability of the topic since the log was opened. Records that consumers could read have at least this level.
    shown_level: Durability,
    pub(crate) boot_id: u64,
    /// Batches that the log has not taken yet, with their levels.
    waiting: VecDeque<(Vec<u8>, Option<Durability>)>,
    jobs: FuturesUnordered<LocalBoxFuture<'static, JobDone>>,
    tasks: FuturesUnordered<LocalBoxFuture<'static, ()>>,
    reads: FuturesUnordered<LocalBoxFuture<'static, ReadOutcome>>,
    /// Requests to delete records.
    deletions: FuturesUnordered<LocalBoxFuture<'static, DeletionOutcome>>,
    /// Offsets of requests to delete records that are not written yet.
    early_deletions: Vec<i64>,
    /// Starts of the log whose deletions have not been reported by an event yet, oldest first.
    starts: VecDeque<i64>,
    /// All events of the log.
    pub(crate) events: Vec<EventKind>,
    /// Number of all writes, and of writes over extents that were written before.
    pub(crate) writes: [usize; 2],
    /// Pieces that consumers hold, each with a copy of its bytes from the time of the fetch.
    pub(crate) held: VecDeque<(SharedBytes, Vec<u8>)>,
    /// Number of batches that were refused.
    pub(crate) refusals: usize,
    /// Number of reads whose records retention deleted in the meantime.
    pub(crate) overtaken_reads: usize,
    /// Number of batches that the log has taken and not answered yet.
    unanswered: usize,
}

impl Rig {
    /// Returns a new log on an empty disk.
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        let opened = Self::with(settings, SimDisk::new(seed), Model::default(), (1, 0, 1));
        opened.unwrap_or_else(|error| panic!("a log on an empty disk opens: {error}"))
    }

    /// Opens the log that `disk` holds.
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
            deletions: FuturesUnordered::new(),
            early_deletions: Vec::new(),
            starts: VecDeque::new(),
            events: Vec::new(),
            writes: [0; 2],
            held: VecDeque::new(),
            refusals: 0,
            overtaken_reads: 0,
            unanswered: 0,
        })
    }

    /// Queues a batch for the log, which takes it as soon as it can.
    pub(crate) fn append(&mut self, batch: Vec<u8>, level: Option<Durability>) {
        self.waiting.push_back((batch, level));
        self.turn();
    }

    /// Completes up to `count` operations of the disk, with a turn after each.
    pub(crate) fn steps(&mut self, count: usize) {
        for _ in 0..count {
            // A direct use of the disk may have completed all operations.
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

    /// Changes the topic's settings in the catalog, and in the log if `is_applied`. False means that the process is about to end.
    pub(crate) fn alter(&mut self, settings: Settings, is_applied: bool) {
        let was_synced = self.settings.durability == Durability::Synced;
        if settings.durability == Durability::Synced && !was_synced {
            self.synced_after = self.epoch;
        }
        self.shown_level = self.shown_level.min(settings.durability);
        self.settings = settings;
        if is_applied {
            let visible = self.log.high_watermark();
            self.log.alter(self.settings.topic());
            assert!(self.log.high_watermark() >= visible, "consumers still see what they saw before");
            self.turn();
        }
    }

    /// Returns the time of the log's clock, ms since the Unix epoch.
    pub(crate) fn wall_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// Advances the log's clock.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Runs the log until nothing is left to do, and checks that no caller still waits.
    pub(crate) fn run_to_idle(&mut self) {
        self.turn();
        while self.disk.outstanding() > 0 {
            self.steps(1);
        }
        assert!(self.log.is_idle(), "nothing is outstanding, but the log waits");
        let is_failed = self.log.failed().is_some();
        // With a full disk, or a lack of descriptors, answers wait for the next attempt.
        let may_keep = !is_failed && (self.log.no_space().is_some() || self.log.retry_due().is_some());
        assert!(may_keep || self.unanswered == 0, "{} producers wait for nothing", self.unanswered);
        assert!(
            self.waiting.is_empty() || self.log.failed().is_some() || self.is_rolling(),
            "appends are not taken"
        );
        let is_idle = self.reads.is_empty() && self.tasks.is_empty() && self.deletions.is_empty();
        assert!(is_idle, "a read, a task or a deletion waits for nothing");
        assert!(may_keep || self.early_deletions.is_empty(), "a deletion is not taken");
    }

    /// Whether appends wait for a segment because a roll has failed. None is refused before the next attempt.
    fn is_rolling(&self) -> bool {
        self.disk.is_limited() && self.log.wants_roll() && !self.log.wants().roll
    }

    /// Gives the disk its space back, and lets enough time pass for the log to try again.
    pub(crate) fn make_room(&mut self) {
        self.disk.make_room();
        // The first attempt cuts what was not written, the second makes a segment.
        for _ in 0..2 {
            self.advance(Duration::from_millis(100));
            self.run_to_idle();
        }
        let is_failed = self.log.failed().is_some();
        assert!(is_failed || !self.model.owes_refusals(), "a producer waits for an ack that never comes");
    }

    /// Does what a shard does between two polls of its ring.
    fn turn(&mut self) {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = &mut Context::from_waker(&waker);
        let mut has_moved = true;
        self.log.retry();
        self.log.look_at_age();
        while has_moved {
            self.collect_acks();
            self.repeat_deletions();
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
            has_moved |= self.poll_deletions(context);
            self.arena.wake_reads();
            while let Poll::Ready(Some((offset, outcome))) = self.reads.poll_next_unpin(context) {
                has_moved = true;
                match outcome {
                    Ok(pieces) => self.served(offset, pieces),
                    Err(FetchError::OffsetOutOfRange { offset: named, .. })
                        if offset < self.log.log_start_offset() =>
                    {
                        assert_eq!(named, offset, "the error names the offset that was asked for");
                        self.overtaken_reads += 1;
                    }
                    Err(error) => self.check_read_error(offset, error),
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
            assert!(self.log.no_space().is_some(), "records are cut off though the disk is not full");
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
        // A deletion first raises the start, durably, and reports its event later. The next deletion may raise it before that.
        let start = self.log.log_start_offset();
        if self.starts.back().copied().unwrap_or(self.model.deleted_to) < start {
            self.starts.push_back(start);
        }
        // Segments that are deleted together lie below one start. The next deletion begins only after a write of the checkpoint.
        if events.iter().any(|event| event.kind == EventKind::Retention) {
            let start = self.starts.pop_front();
            // A request may have raised it over several segments, which are deleted one after the other.
            assert!(start.is_some() || !self.model.deletions.is_empty(), "a deletion raises the log's start");
            self.model.deleted_to = self.model.deleted_to.max(start.unwrap_or(0));
        }
        self.events.extend(events.into_iter().map(|event| event.kind));
    }

    /// Ends the log cleanly.
    pub(crate) fn close(&mut self) {
        self.run_to_idle();
        // The close fails if a write fails.
        if self.disk.run_until(Rc::clone(&self.log).close()).is_ok() {
            self.collect_acks();
            self.model.all_durable();
        }
    }

    /// Returns the bytes of all files of the log, reserved extents included.
    pub(crate) fn file_bytes(&self) -> u64 {
        // Read from a copy, so that the log's own operations keep their order.
        let disk = self.disk.kill(0);
        let names = disk.run_until(disk.list(&dir())).unwrap();
        let paths = names.iter().map(|entry| dir().join(&entry.name));
        paths.map(|path| disk.run_until(disk.read_file(&path)).unwrap().len() as u64).sum()
    }

    /// Returns the content of the file with this name in the log's directory, if there is one.
    pub(crate) fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.disk.run_until(self.disk.read_file(&dir().join(name))).ok()
    }
}
