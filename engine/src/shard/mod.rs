//! A shard: one core's executor, its mailbox, and the partitions it owns.
//!
//! ```text
//! mailbox ─► log.append ─► committer ─► ring ─► disk
//!    ▲                         │
//! clients ◄── acks, fetches ◄──┘ completions
//! ```
//!
//! The pump does all of this in turns on one thread: it takes messages, appends, submits, reaps completions and
//! answers. Nothing in this folder blocks, except the calls that `disk/uring` documents as blocking.

mod clients;
mod colocated;
mod committer;
mod groups;
mod intake;
mod lifecycle;
mod memory;
mod partition;
mod pulse;
mod pump;
mod slots;
mod stats;
mod timers;

pub(crate) use clients::callers::wake_caller;
pub(crate) use clients::group_messages::{GroupAnswer, GroupCall, GroupInbox, GroupReply};
pub(crate) use clients::local::LocalQueues;
pub use clients::local::Sleep;
pub(crate) use clients::mailbox::{
    AckInbox, AckMessage, Append, FetchInbox, FetchReply, FetchRequest, Mailbox, Refusal, Reply, Task, Wanted,
};
pub(crate) use clients::ticket::Ticket;
pub(crate) use groups::{CoordinatorToStart, LivingTopic, LivingTopics};
pub(crate) use lifecycle::catalog::ShardDisk;
pub(crate) use lifecycle::heartbeat::idle_look_every;
pub(crate) use lifecycle::open::{PartitionOpened, PartitionToOpen};
pub(crate) use lifecycle::start::{ShardHandle, ShardSettings};
pub use stats::{ShardStats, WriteStats};

pub use crate::coordinator::{OffsetsDamage, OffsetsFault};
pub use crate::disk::uring::ReadStats;
pub use crate::group::{OFFSETS_TOPIC, partition_of_group};

use crate::clock::SystemClock;
use crate::config::TopicConfig;
use crate::disk::uring::{Ring, UringDisk, UringFile};
use crate::error::{AppendError, DeleteRecordsError, FetchError};
use crate::events::{LogEvent, Newest};
use crate::log::{LogContext, NotDeleted};
use crate::types::{EpochEnd, ListedOffset, OffsetSpec, PollMode, TopicPartition};
use colocated::Colocated;
pub use committer::Committer;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use groups::Coordinators;
use intake::TurnBudget;
use lifecycle::catalog::CatalogOwner;
use lifecycle::points::PointsWriter;
use memory::Memory;
use partition::{AppendOutcome, FetchOutcome, Partition};
use stats::TimeStats;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use timers::Timers;

/// An event in a log of this shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardEvent {
    /// Number of the shard.
    pub shard: u32,
    /// The partition.
    pub partition: TopicPartition,
    /// The kind of event, and its time.
    pub event: LogEvent,
}

/// The state of a shard. It stays on its executor's thread.
pub(crate) struct Shard {
    /// Number of the shard, from 0.
    pub(crate) id: u32,
    pub(crate) context: LogContext<UringDisk, SystemClock>,
    /// The data directory's catalog. Only shard 0 has one, and only once the engine has opened it.
    pub(crate) catalog: CatalogOwner,
    ring: Ring,
    poll: PollMode,
    idle_look_every: Duration,
    mailbox: Arc<Mailbox>,
    pub(crate) local_queues: Rc<LocalQueues>,
    colocated: Colocated,
    /// Set by wakers: the pump has futures to poll.
    pump_flag: Arc<clients::wake::Flag>,
    /// The messages and bytes that the pump may still take in this turn. Each turn begins with a new budget.
    turn_budget: Cell<TurnBudget>,
    /// The partitions by slot; `None` for one that has ended. A slot is never used again.
    partitions: RefCell<Vec<Option<Rc<Partition>>>>,
    /// The coordinators of groups; none until a group is used.
    coordinators: Coordinators,
    /// Slots of partitions that the pump has to look at, each once.
    listed: RefCell<VecDeque<usize>>,
    memory: Memory,
    timers: Timers,
    committer: RefCell<Committer<UringFile>>,
    tasks: RefCell<FuturesUnordered<LocalBoxFuture<'static, ()>>>,
    /// Futures that were started after the pump last polled its tasks. The pump moves them to `tasks`.
    new_tasks: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
    /// Inboxes of the producers that have acks and were not woken for them yet.
    acked: RefCell<Vec<Arc<AckInbox>>>,
    /// Events of partitions that have ended. `take_events` adds those of the open partitions and empties it.
    events: RefCell<Newest<ShardEvent>>,
    /// Number of events that the logs of ended partitions had dropped.
    dropped_events: Cell<u64>,
    times: Cell<TimeStats>,
    points: PointsWriter,
    is_registered: bool,
    /// Set when the engine closes: the partitions end one after the other.
    is_closing: Cell<bool>,
    /// Set while partitions are closed: new appends and fetches are refused. Otherwise a busy caller could keep the
    /// shard from closing.
    refuses_new: Cell<bool>,
    is_ending: Cell<bool>,
    /// Set when the shard's own work has panicked.
    has_failed: Cell<bool>,
}

impl Shard {
    fn partition(&self, slot: usize) -> Option<Rc<Partition>> {
        self.partitions.borrow().get(slot).cloned().flatten()
    }

    /// Returns the partition in a slot, for callers. A partition that is being deleted is not returned.
    fn open_at(&self, slot: usize) -> Option<Rc<Partition>> {
        self.partition(slot).filter(|partition| !partition.is_leaving.get())
    }

    /// Replaces the configuration of a partition.
    pub(crate) fn alter_partition(&self, slot: usize, config: TopicConfig) {
        if let Some(partition) = self.open_at(slot) {
            partition.log.alter(config);
            self.list(slot);
        }
    }

    /// Returns (log_start_offset, high_watermark, log_end_offset) of a partition.
    pub(crate) fn offsets(&self, slot: usize) -> Option<(i64, i64, i64)> {
        let partition = self.open_at(slot)?;
        let log = &partition.log;
        Some((log.log_start_offset(), log.high_watermark(), log.log_end_offset()))
    }

    /// Runs a caller's future on this shard until the future ends or the engine closes.
    pub(crate) fn begin_colocated(&self, future: LocalBoxFuture<'static, ()>) {
        self.colocated.begin(future);
    }

    /// Drops the callers' futures, and waits until the logs have taken the appends that these futures had sent.
    pub(crate) async fn end_colocated(&self) {
        self.local_queues.close();
        self.colocated.cancel();
        while !self.local_queues.is_empty() {
            next_turn().await;
        }
    }

    /// Looks up an offset of a partition: the first, the last, or that of a time.
    pub(crate) async fn list_offset(
        &self,
        slot: usize,
        spec: OffsetSpec,
    ) -> Result<Option<ListedOffset>, FetchError> {
        let Some(partition) = self.open_at(slot) else { return Err(self.not_open_errors().1) };
        // Counted as background work, so that nobody closes the log meanwhile.
        partition.tasks.set(partition.tasks.get() + 1);
        let listed = Rc::clone(&partition.log).list_offset(spec).await;
        partition.tasks.set(partition.tasks.get() - 1);
        // The log keeps in memory what this search has read.
        self.note_memory_use(slot, 0);
        self.list(slot);
        listed
    }

    /// Returns the end of a leader epoch in a partition.
    pub(crate) async fn offset_for_epoch(
        &self,
        slot: usize,
        epoch: i32,
    ) -> Result<Option<EpochEnd>, FetchError> {
        let Some(partition) = self.open_at(slot) else { return Err(self.not_open_errors().1) };
        // Counted as background work, so that nobody closes the log meanwhile.
        partition.tasks.set(partition.tasks.get() + 1);
        let end = partition.log.offset_for_epoch(epoch).await;
        partition.tasks.set(partition.tasks.get() - 1);
        self.list(slot);
        end
    }

    /// Deletes the records of a partition below `offset`, or below the high watermark if it is -1. Records that are not
    /// written yet are waited for. Returns the offset at which the log begins now.
    pub(crate) async fn delete_records(&self, slot: usize, offset: i64) -> Result<i64, DeleteRecordsError> {
        let Some(partition) = self.open_at(slot) else {
            return Err(match self.not_open_errors().1 {
                FetchError::Closed => DeleteRecordsError::Closed,
                _ => DeleteRecordsError::UnknownPartition,
            });
        };
        // Counted as background work, so that nobody closes the log meanwhile.
        partition.tasks.set(partition.tasks.get() + 1);
        let deleted = loop {
            match Rc::clone(&partition.log).delete_records(offset).await {
                Ok(start) => break Ok(start),
                Err(NotDeleted::Failed(error)) => break Err(error),
                Err(NotDeleted::NotYet) => next_turn().await,
            }
        };
        partition.tasks.set(partition.tasks.get() - 1);
        self.list(slot);
        deleted
    }

    /// Makes the pump's next wait last for ever: its ring is no longer woken.
    #[cfg(test)]
    pub(crate) fn lose_wakes(&self) {
        self.ring.lose_wakes();
    }

    /// Makes the shard's next sync of a directory fail with `errno`.
    #[cfg(test)]
    pub(crate) fn fail_directory_sync(&self, errno: i32) {
        self.ring.faults().fail_directory_sync(errno);
    }

    /// Returns how many operations, and how many syncs among them, were in flight at the same time at most.
    #[cfg(test)]
    pub(crate) fn most_in_flight(&self) -> crate::disk::uring::MostInFlight {
        self.ring.most_in_flight()
    }

    /// Ends the pump after this turn.
    pub(crate) fn end(&self) {
        self.is_ending.set(true);
    }

    /// Returns the counters since the shard's start.
    pub(crate) fn stats(&self) -> ShardStats {
        let usage = self.context.arena.usage();
        let times = self.times.get();
        ShardStats {
            shard: self.id,
            work_ns: times.work_ns,
            colocated_ns: times.colocated_ns,
            poll_ns: times.poll_ns,
            parked_ns: times.parked_ns,
            arena_used_bytes: usage.used_bytes,
            arena_pinned_bytes: usage.pinned_bytes,
            is_arena_registered: self.is_registered,
            reads: self.ring.read_stats(),
            writes: self.committer.borrow().stats().clone(),
            dropped_events: self.dropped_events(),
        }
    }

    /// Returns the number of events that were dropped because nobody took them in time.
    fn dropped_events(&self) -> u64 {
        let partitions = self.partitions.borrow();
        let logs: u64 = partitions.iter().flatten().map(|partition| partition.log.dropped_events()).sum();
        logs + self.dropped_events.get() + self.events.borrow().dropped()
    }

    /// Returns the events since the last call.
    pub(crate) fn take_events(&self) -> Vec<ShardEvent> {
        let partitions: Vec<Rc<Partition>> = self.partitions.borrow().iter().flatten().cloned().collect();
        for partition in &partitions {
            self.collect_events(partition);
        }
        self.events.borrow_mut().take()
    }

    fn collect_events(&self, partition: &Partition) {
        let mut events = self.events.borrow_mut();
        for event in partition.log.take_events() {
            events.push(ShardEvent { shard: self.id, partition: partition.name.clone(), event });
        }
    }

    /// Puts a partition on the list of those that the pump has to look at, unless it is on it.
    fn list(&self, slot: usize) {
        if let Some(partition) = self.partition(slot)
            && !partition.is_listed.replace(true)
        {
            self.listed.borrow_mut().push_back(slot);
        }
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.new_tasks.borrow_mut().push(task);
    }

    /// Runs background work of a partition. The pump looks at the partition again when the work has ended.
    fn spawn_for(
        self: &Rc<Self>,
        slot: usize,
        partition: &Rc<Partition>,
        work: impl Future<Output = ()> + 'static,
    ) {
        partition.tasks.set(partition.tasks.get() + 1);
        let (shard, partition) = (Rc::clone(self), Rc::clone(partition));
        self.spawn(Box::pin(async move {
            work.await;
            partition.tasks.set(partition.tasks.get() - 1);
            shard.list(slot);
        }));
    }

    fn answer(&self, reply: Reply, outcome: Result<i64, AppendError>) {
        reply.inbox.acks.push(AckMessage::new(reply.ticket, outcome));
        if reply.inbox.note_ack(self.id) {
            self.acked.borrow_mut().push(reply.inbox);
        }
    }
}

/// Waits until the pump's next turn.
pub(crate) fn next_turn() -> impl Future<Output = ()> {
    let mut has_passed = false;
    std::future::poll_fn(move |context: &mut Context<'_>| {
        if std::mem::replace(&mut has_passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
