//! A partition as its shard sees it: the log, and who waits for it.

use super::mailbox::{Append, FetchReply, FetchRequest, Reply};
use super::timers::TimersOfPartition;
use super::waiting::WaitingFetches;
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

/// The log of a shard's partition; acks go to producers.
pub(crate) type ShardLog = Log<UringDisk, SystemClock, Reply>;

/// See the module.
pub(crate) struct Partition {
    pub(super) name: TopicPartition,
    /// The topic's id in the catalog.
    pub(super) topic_id: u64,
    pub(super) log: Rc<ShardLog>,
    /// Appends that the log could not take yet, in order.
    pub(super) waiting: RefCell<VecDeque<Append>>,
    /// Appends that came while the shard was closing. They are refused after those before them were answered.
    pub(super) late: RefCell<VecDeque<Append>>,
    /// Fetches at the end of the log.
    fetches: RefCell<WaitingFetches>,
    /// Whether the shard has it on its list.
    pub(super) is_listed: Cell<bool>,
    /// Background tasks under way.
    pub(super) tasks: Cell<usize>,
    /// The times at which the shard looks at it again.
    pub(super) timers: TimersOfPartition,
    /// It is being deleted: nobody finds it any more, but its writes under way do.
    pub(super) is_leaving: Cell<bool>,
}

/// What became of a fetch.
pub(super) enum FetchOutcome {
    /// Answered.
    Done,
    /// It waits for records, until then.
    Waiting(Instant),
    /// It has to read files, or may have to.
    FromDisk(FetchRequest),
}

/// What became of an append.
pub(super) enum AppendOutcome {
    /// The log has it.
    Taken,
    /// Neither now; it comes back.
    NotNow(Append),
    /// Neither, as the arena has no chunk for it; it comes back.
    NoMemory(Append),
    /// Never.
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

    /// Puts one append into the log; its emptied buffer goes back to the producer.
    pub(super) fn append(&self, append: Append) -> AppendOutcome {
        let Append { slot, batch, level, reply } = append;
        let buffers = std::sync::Arc::clone(&reply.inbox);
        match self.log.append(&batch, level, reply) {
            Ok(()) => {
                let _ = buffers.buffers.push(batch);
                AppendOutcome::Taken
            }
            Err(Refused::NotNow(reply)) => AppendOutcome::NotNow(Append { slot, batch, level, reply }),
            Err(Refused::NoMemory(reply)) => AppendOutcome::NoMemory(Append { slot, batch, level, reply }),
            Err(Refused::Failed(reply, error)) => AppendOutcome::Failed(reply, error),
        }
    }

    /// Answers a fetch from memory, or lets it wait. An older one of the same reader that waits is forgotten: the consumer
    /// has moved since.
    pub(super) fn fetch(&self, request: FetchRequest, now: Instant) -> FetchOutcome {
        self.fetches.borrow_mut().replace_by(&request);
        if request.saved_epoch.is_some() {
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

    /// Answers a fetch out of files, or checks its saved position. While memory is short it waits here, and its consumer
    /// with it.
    pub(super) async fn fetch_from_disk(self: Rc<Self>, request: FetchRequest) {
        let batches = match request.saved_epoch {
            Some(epoch) => self.log.check_position(request.offset, epoch).await.map(|()| Vec::new()),
            None => Rc::clone(&self.log).fetch_from_disk(request.offset, request.bytes_max).await,
        };
        request.answer(batches.map(|batches| self.reply(batches)));
    }

    /// Fetches that have something to read now, or that wait beyond the log's end.
    pub(super) fn take_ready_fetches(&self) -> Vec<FetchRequest> {
        let mut fetches = self.fetches.borrow_mut();
        if fetches.is_empty() {
            return Vec::new();
        }
        let (high_watermark, log_end_offset) = (self.log.high_watermark(), self.log.log_end_offset());
        // A log that was cut off may end before the offset that a fetch waits at: the fetch fails then.
        let is_ready = |offset: i64| offset < high_watermark || offset > log_end_offset;
        fetches.take_ready(is_ready)
    }

    /// Answers fetches that have waited long enough. Returns the time up to which the next of the others waits.
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

    /// Refuses every fetch that waits, and hands out the appends that do.
    pub(super) fn refuse_fetches(&self, error: &FetchError) -> VecDeque<Append> {
        for request in self.fetches.borrow_mut().take_all() {
            request.answer(Err(error.clone()));
        }
        std::mem::take(&mut *self.waiting.borrow_mut())
    }
}
