//! The messages that go through a mailbox, and the inboxes that take the answers.

use crate::buffer::SharedBytes;
use crate::error::{AppendError, FetchError};
use crate::shard::clients::callers::wake_caller;
use crate::shard::{GroupCall, Shard, Ticket};
use crate::types::Durability;
use crossbeam::queue::{ArrayQueue, SegQueue};
use futures_util::future::LocalBoxFuture;
use futures_util::task::AtomicWaker;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Most emptied buffers that are kept for a producer's next batches.
const RECYCLED_BUFFERS: usize = 64;

/// One batch for the log of a partition.
#[derive(Debug)]
pub struct Append {
    /// The shard's slot for the partition.
    pub(crate) slot: usize,
    pub(crate) batch: Vec<u8>,
    /// The durability at which the batch is acked; `None` for the topic's.
    pub(crate) level: Option<Durability>,
    pub(crate) reply: Reply,
}

/// The way back to the producer of a batch. Every append is answered, lost ones with `Closed`, so that no client waits
/// for ever.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) inbox: Arc<AckInbox>,
    /// The producer's number for the batch.
    pub(crate) ticket: Ticket,
}

/// The result of an append.
#[derive(Debug)]
pub(crate) struct AckMessage {
    pub(crate) ticket: Ticket,
    /// The time at which the shard had the result.
    pub(crate) at: Instant,
    /// The batch's base offset, or an error.
    pub(crate) result: Result<i64, AppendError>,
}

impl AckMessage {
    /// Makes a message whose result the caller has just got.
    pub(crate) fn new(ticket: Ticket, result: Result<i64, AppendError>) -> Self {
        Self { ticket, at: Instant::now(), result }
    }
}

/// The queue in which a producer's acks arrive.
#[derive(Debug)]
pub(crate) struct AckInbox {
    pub(crate) acks: SegQueue<AckMessage>,
    pub(crate) waker: Arc<AtomicWaker>,
    /// Emptied buffers, which the producer fills again.
    pub(crate) buffers: ArrayQueue<Vec<u8>>,
    /// For each shard, whether it has put acks in and not yet woken the producer for them. Each shard changes only its
    /// own.
    has_news: Box<[AtomicBool]>,
}

impl AckInbox {
    /// Makes an inbox for acks of shards up to number `last_shard`.
    pub(crate) fn new(last_shard: u32) -> Self {
        Self {
            acks: SegQueue::new(),
            waker: Arc::default(),
            buffers: ArrayQueue::new(RECYCLED_BUFFERS),
            has_news: (0..=last_shard).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Notes that `shard` has put an ack in. Returns whether it is the first since the shard last woke the producer.
    pub(in crate::shard) fn note_ack(&self, shard: u32) -> bool {
        !self.has_news[shard as usize].swap(true, Ordering::Relaxed)
    }

    /// Wakes the producer for the acks that `shard` has put in.
    pub(in crate::shard) fn wake(&self, shard: u32) {
        self.has_news[shard as usize].store(false, Ordering::Relaxed);
        wake_caller(&self.waker);
    }
}

/// A read from one partition.
#[derive(Debug)]
pub struct FetchRequest {
    pub(crate) slot: usize,
    pub(crate) offset: i64,
    pub(crate) bytes_max: usize,
    pub(crate) max_wait: Duration,
    pub(crate) wanted: Wanted,
    /// The consumer's inbox; empty once the consumer is dropped.
    pub(crate) inbox: Weak<FetchInbox>,
    /// The consumer's number for the fetch. Its index is the partition's index in the consumer's assignment.
    pub(crate) ticket: Ticket,
}

/// What a consumer wants to know of the offset in its fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The records from there on.
    Records,
    /// Whether the log still reaches this offset in the leader epoch of a saved position. The answer has no records.
    SavedPosition { leader_epoch: i32 },
    /// The file and the position of the damage that the consumer has found there. If the log finds none, the answer has no records.
    Damage,
}

/// The key of a consumer's reader of one partition: the address of the consumer's inbox, and the index in its
/// assignment.
pub(in crate::shard) type Reader = (usize, usize);

/// The result of a fetch.
#[derive(Debug)]
pub(crate) struct FetchReply {
    /// Whole batches; none if `max_wait` ran out.
    pub(crate) batches: Vec<SharedBytes>,
    pub(crate) high_watermark: i64,
    /// The log's current leader epoch.
    pub(crate) leader_epoch: i32,
}

/// The queue in which answers to a consumer's fetches arrive.
#[derive(Debug, Default)]
pub(crate) struct FetchInbox {
    pub(crate) replies: SegQueue<(Ticket, Result<FetchReply, FetchError>)>,
    pub(crate) waker: Arc<AtomicWaker>,
}

impl FetchRequest {
    /// Sends the reply to the consumer, if the consumer still exists.
    pub(crate) fn answer(self, reply: Result<FetchReply, FetchError>) {
        if let Some(inbox) = self.inbox.upgrade() {
            inbox.replies.push((self.ticket, reply));
            wake_caller(&inbox.waker);
        }
    }

    /// Returns the reader that sent the fetch. No other consumer gets the same address while this request exists.
    pub(in crate::shard) fn reader(&self) -> Reader {
        (self.inbox.as_ptr().addr(), self.ticket.index())
    }

    /// Whether the consumer still exists.
    pub(in crate::shard) fn is_wanted(&self) -> bool {
        self.inbox.strong_count() > 0
    }
}

/// Work for the shard's thread.
pub(crate) type Task = Box<dyn FnOnce(Rc<Shard>) -> LocalBoxFuture<'static, ()> + Send>;

/// A message of the second queue.
pub(crate) enum Call {
    Fetch(FetchRequest),
    Group(Box<GroupCall>),
    Run(Task),
}

/// The reason why a mailbox refused a message, which it returns.
#[derive(Debug)]
pub enum Refusal<T> {
    /// The queue has no room. The waker is woken once it has.
    Full(T),
    /// The shard is stuck, or its work has panicked.
    Stuck(T),
    /// The shard has ended.
    Closed(T),
}
