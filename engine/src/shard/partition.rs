//! A partition of a shard: its log, and the appends and fetches that wait for it.

use super::clients::mailbox::{Append, FetchReply, FetchRequest, Reply, Wanted};
use super::clients::waiting::WaitingFetches;
use super::timers::TimersOfPartition;
use crate::buffer::SharedBytes;
use crate::clock::{SystemClock, after};
use crate::disk::uring::UringDisk;
use crate::error::{AppendError, FetchError};
use crate::log::{Fetched, Log, Refused};
use crate::types::TopicPartition;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

/// The log of a shard's partition. Its acks are sent to producers.
pub(crate) type ShardLog = Log<UringDisk, SystemClock, Reply>;

/// A partition of a shard: its log, and the appends and fetches that wait for it.
pub(crate) struct Partition {
    pub(super) name: TopicPartition,
    /// The topic's id in the catalog.
    pub(super) topic_id: u64,
    pub(super) log: Rc<ShardLog>,
    /// Appends that the log cannot take yet, in order.
    pub(super) waiting: RefCell<VecDeque<Append>>,
    /// Appends that arrived while the shard was closing. They are refused after all earlier appends have been answered.
    pub(super) late: RefCell<VecDeque<Append>>,
    /// Fetches that wait at the end of the log.
    fetches: RefCell<WaitingFetches>,
    /// Whether the partition is on the shard's list.
    pub(super) is_listed: Cell<bool>,
    /// Number of background tasks that run.
    pub(super) tasks: Cell<usize>,
    /// The times at which the shard looks at the partition again.
    pub(super) timers: TimersOfPartition,
    /// Set while the partition is being deleted: callers no longer find it, but completions of its writes still do.
    pub(super) is_leaving: Cell<bool>,
}

/// The result of a fetch from memory.
pub(super) enum FetchOutcome {
    /// The fetch was answered.
    Done,
    /// The fetch waits for records until this time.
    Waiting(Instant),
    /// The fetch has to read files, or to check a saved position.
    FromDisk(FetchRequest),
}

/// The result of an append.
pub(super) enum AppendOutcome {
    /// The log has taken the batch.
    Taken,
    /// The log cannot take the batch now. The append is returned, to be tried again.
    NotNow(Append),
    /// The log cannot take the batch, as the arena has no chunk for it. The append is returned, to be tried again.
    NoMemory(Append),
    /// The log will never take the batch.
    Failed(Reply, AppendError),
}

impl Partition {
    pub(super) fn new(name: TopicPartition, topic_id: u64, log: Rc<ShardLog>) -> Self {
        Self {
            name,
            topic_id,
            log,
            waiting: RefCell::new(VecDeque::new()),
            late: RefCell::new(VecDeque::new()),
            fetches: RefCell::default(),
            is_listed: Cell::new(false),
            tasks: Cell::new(0),
            timers: TimersOfPartition::default(),
            is_leaving: Cell::new(false),
        }
    }

    /// Puts one batch into the log. Its emptied buffer returns to the producer.
    pub(super) fn append(&self, append: Append) -> AppendOutcome {
        let Append { slot, batch, level, reply } = append;
        let inbox = std::sync::Arc::clone(&reply.inbox);
        match self.log.append(&batch, level, reply) {
            Ok(()) => {
                let _ = inbox.buffers.push(batch);
                AppendOutcome::Taken
            }
            Err(Refused::NotNow(reply)) => AppendOutcome::NotNow(Append { slot, batch, level, reply }),
            Err(Refused::NoMemory(reply)) => AppendOutcome::NoMemory(Append { slot, batch, level, reply }),
            Err(Refused::Failed(reply, error)) => AppendOutcome::Failed(reply, error),
        }
    }

    /// Answers a fetch from memory, or lets it wait. An older waiting fetch of the same reader is dropped without an
    /// answer: the consumer has moved since.
    pub(super) fn fetch(&self, request: FetchRequest, now: Instant) -> FetchOutcome {
        self.fetches.borrow_mut().replace_by(&request);
        if request.wanted != Wanted::Records {
            return FetchOutcome::FromDisk(request);
        }
        match self.log.fetch(request.offset, request.bytes_max) {
            Ok(Fetched::Batches(batches)) => {
                request.answer(Ok(self.reply(batches)));
                FetchOutcome::Done
            }
            Ok(Fetched::Nothing) if request.max_wait.is_zero() => {
                self.answer_empty(request);
                FetchOutcome::Done
            }
            Ok(Fetched::Nothing) => {
                let until = after(now, request.max_wait);
                self.fetches.borrow_mut().insert(until, request);
                FetchOutcome::Waiting(until)
            }
            Ok(Fetched::OnDisk) => FetchOutcome::FromDisk(request),
            Err(error) => {
                request.answer(Err(error));
                FetchOutcome::Done
            }
        }
    }

    /// Answers a fetch from files, or what else its consumer wants to know. While memory is short it waits here. Its consumer then
    /// waits too. Returns the size of the answer's batches, bytes.
    pub(super) async fn fetch_from_disk(self: Rc<Self>, request: FetchRequest) -> usize {
        let (log, offset) = (Rc::clone(&self.log), request.offset);
        let batches = match request.wanted {
            Wanted::Records => log.fetch_from_disk(offset, request.bytes_max).await,
            Wanted::SavedPosition { leader_epoch } => {
                log.check_position(offset, leader_epoch).await.map(|()| Vec::new())
            }
            Wanted::Damage => log.examine(offset).await.map(|()| Vec::new()),
        };
        let bytes = batches.iter().flatten().map(|batch| batch.len()).sum();
        request.answer(batches.map(|batches| self.reply(batches)));
        bytes
    }

    /// Removes and returns the fetches that have something to read now, and those that wait at an offset beyond the
    /// log's end.
    pub(super) fn take_ready_fetches(&self) -> Vec<FetchRequest> {
        let mut fetches = self.fetches.borrow_mut();
        if fetches.is_empty() {
            return Vec::new();
        }
        let (high_watermark, log_end_offset) = (self.log.high_watermark(), self.log.log_end_offset());
        // A log that was cut may end below the offset at which a fetch waits. That fetch then fails.
        let is_ready = |offset: i64| offset < high_watermark || offset > log_end_offset;
        fetches.take_ready(is_ready)
    }

    /// Answers fetches that have waited long enough. Returns the earliest time up to which one of the others waits.
    pub(super) fn expire_fetches(&self, now: Instant) -> Option<Instant> {
        let expired = self.fetches.borrow_mut().take_expired(now);
        for request in expired {
            self.answer_empty(request);
        }
        self.fetches.borrow().next_due()
    }

    fn answer_empty(&self, request: FetchRequest) {
        request.answer(Ok(self.reply(Vec::new())));
    }

    fn reply(&self, batches: Vec<SharedBytes>) -> FetchReply {
        FetchReply { batches, high_watermark: self.log.high_watermark(), leader_epoch: self.log.epoch() }
    }

    /// Answers every waiting fetch with `error`. Removes and returns the appends that wait.
    pub(super) fn refuse_fetches_and_take_appends(&self, error: &FetchError) -> VecDeque<Append> {
        for request in self.fetches.borrow_mut().take_all() {
            request.answer(Err(error.clone()));
        }
        std::mem::take(&mut *self.waiting.borrow_mut())
    }
}
