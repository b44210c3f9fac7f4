//! A shard: one core's executor, its mailbox, and the partitions it owns.
//!
//! ```text
//! mailbox ─► log.append ─► committer ─► ring ─► disk
//!    ▲                         │
//! clients ◄── acks, fetches ◄──┘ completions
//! ```
//!
//! The pump does all of it in turns on one thread: drain, append, submit, reap, answer. Nothing in here blocks but what
//! `disk/uring` says it does.

mod close;
mod colocated;
mod committer;
mod heartbeat;
mod intake;
mod local;
mod mailbox;
mod memory;
mod open;
mod partition;
mod points;
mod pulse;
mod pump;
mod slots;
mod start;
mod stats;
mod timers;
mod waiting;
mod wake;

pub(crate) use heartbeat::idle_look_every;
pub(crate) use local::LocalLanes;
pub use local::Sleep;
pub(crate) use mailbox::{
    AckInbox, AckMessage, Append, FetchInbox, FetchReply, FetchRequest, Mailbox, Refusal, Reply, Task,
};
pub(crate) use open::{PartitionOpened, PartitionToOpen};
pub(crate) use start::{ShardHandle, ShardSettings};
pub use stats::{ShardStats, WriteStats};
pub(crate) use wake::wake_caller;

use crate::catalog::Catalog;
use crate::clock::SystemClock;
use crate::config::TopicConfig;
use crate::disk::uring::{Ring, UringDisk, UringFile};
use crate::error::{AppendError, FetchError};
use crate::events::{LogEvent, Newest};
use crate::log::LogContext;
use crate::types::{EpochEnd, ListedOffset, OffsetSpec, PollMode, TopicPartition};
use colocated::Colocated;
pub use committer::Committer;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use memory::Memory;
use partition::{AppendOutcome, FetchOutcome, Partition};
use points::PointsWriter;
use stats::TimeStats;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use timers::Timers;

/// What happened in a log of this shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardEvent {
    /// Which shard.
    pub shard: u32,
    /// The partition.
    pub partition: TopicPartition,
    /// What, and when.
    pub event: LogEvent,
}

/// See the module. Lives on its executor's thread.
pub(crate) struct Shard {
    pub(crate) id: u32,
    pub(crate) context: LogContext<UringDisk, SystemClock>,
    /// On shard 0 only.
    pub(crate) catalog: RefCell<Option<Catalog>>,
    ring: Ring,
    poll: PollMode,
    idle_look_every: Duration,
    mailbox: Arc<Mailbox>,
    pub(crate) lanes: Rc<LocalLanes>,
    colocated: Colocated,
    /// Of the pump.
    flag: Arc<wake::Flag>,
    /// Of the pump's turn.
    left: Cell<intake::Left>,
    /// By slot; slots are not used again.
    partitions: RefCell<Vec<Option<Rc<Partition>>>>,
    /// Number of open partitions.
    open_count: Cell<usize>,
    /// Slots with something to do, each once.
    listed: RefCell<VecDeque<usize>>,
    memory: Memory,
    timers: Timers,
    committer: RefCell<Committer<UringFile>>,
    tasks: RefCell<FuturesUnordered<LocalBoxFuture<'static, ()>>>,
    /// Begun since the pump polled them last.
    new_tasks: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
    /// Producers with acks they have not been woken for.
    acked: RefCell<Vec<Arc<AckInbox>>>,
    /// Of the partitions that are gone, and what is about to be taken.
    events: RefCell<Newest<ShardEvent>>,
    /// Events that were dropped by the logs of partitions that are gone.
    dropped_events: Cell<u64>,
    times: Cell<TimeStats>,
    points: PointsWriter,
    is_registered: bool,
    /// The engine closes; partitions are going one by one.
    is_closing: Cell<bool>,
    /// Set while partitions are closed and no longer take what arrives: a busy caller must not keep the shard from closing.
    refuses_new: Cell<bool>,
    is_ending: Cell<bool>,
    /// Work of the shard's own has panicked.
    has_failed: Cell<bool>,
}

impl Shard {
    fn partition(&self, slot: usize) -> Option<Rc<Partition>> {
        self.partitions.borrow().get(slot).cloned().flatten()
    }

    /// The partition in a slot, for callers: not while it is being deleted.
    fn open_at(&self, slot: usize) -> Option<Rc<Partition>> {
        self.partition(slot).filter(|partition| !partition.is_leaving.get())
    }

    /// Gives a partition another configuration.
    pub(crate) fn alter_partition(&self, slot: usize, config: TopicConfig) {
        if let Some(partition) = self.open_at(slot) {
            partition.log.alter(config);
            self.list(slot);
        }
    }

    /// (log_start_offset, high_watermark, log_end_offset) of a partition.
    pub(crate) fn offsets(&self, slot: usize) -> Option<(i64, i64, i64)> {
        let partition = self.open_at(slot)?;
        let log = &partition.log;
        Some((log.log_start_offset(), log.high_watermark(), log.log_end_offset()))
    }

    /// Runs a caller's future here until it ends or the engine closes.
    pub(crate) fn begin_colocated(&self, future: LocalBoxFuture<'static, ()>) {
        self.colocated.begin(future);
    }

    /// Ends callers' futures; what they have handed over goes on to its log.
    pub(crate) async fn end_colocated(&self) {
        self.lanes.close();
        self.colocated.cancel();
        while !self.lanes.is_empty() {
            next_turn().await;
        }
    }

    /// An offset of a partition, by place or by time.
    pub(crate) async fn list_offset(
        &self,
        slot: usize,
        spec: OffsetSpec,
    ) -> Result<Option<ListedOffset>, FetchError> {
        let Some(partition) = self.open_at(slot) else { return Err(self.gone().1) };
        // It counts as background work: nobody closes the log meanwhile.
        partition.tasks.set(partition.tasks.get() + 1);
        let listed = Rc::clone(&partition.log).list_offset(spec).await;
        partition.tasks.set(partition.tasks.get() - 1);
        // What it has read stays in memory.
        self.memory.used(slot);
        self.list(slot);
        listed
    }

    /// The end of a leader epoch in a partition.
    pub(crate) async fn offset_for_epoch(
        &self,
        slot: usize,
        epoch: i32,
    ) -> Result<Option<EpochEnd>, FetchError> {
        let Some(partition) = self.open_at(slot) else { return Err(self.gone().1) };
        // It counts as background work, as above.
        partition.tasks.set(partition.tasks.get() + 1);
        let end = partition.log.offset_for_epoch(epoch).await;
        partition.tasks.set(partition.tasks.get() - 1);
        self.list(slot);
        end
    }

    /// From now on the pump waits for ever once it waits.
    #[cfg(test)]
    pub(crate) fn lose_wakes(&self) {
        self.ring.lose_wakes();
    }

    /// Lets the shard's next sync of a directory fail with `errno`.
    #[cfg(test)]
    pub(crate) fn fail_directory_sync(&self, errno: i32) {
        self.ring.faults().fail_directory_sync(errno);
    }

    /// The pump ends after this turn.
    pub(crate) fn end(&self) {
        self.is_ending.set(true);
    }

    /// Counters since the start.
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
            read_bytes: self.ring.read_bytes(),
            writes: self.committer.borrow().stats().clone(),
            dropped_events: self.dropped_events(),
        }
    }

    /// Events that nobody took in time.
    fn dropped_events(&self) -> u64 {
        let partitions = self.partitions.borrow();
        let logs: u64 = partitions.iter().flatten().map(|partition| partition.log.dropped_events()).sum();
        logs + self.dropped_events.get() + self.events.borrow().dropped()
    }

    /// What happened since the last call.
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

    /// Puts a partition on the list, once.
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

    /// Runs background work of a partition, which is looked at again afterwards.
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
        reply.inbox.acks.push((reply.ticket, outcome));
        if reply.inbox.note_ack(self.id) {
            self.acked.borrow_mut().push(reply.inbox);
        }
    }
}

/// Comes back after the pump's next turn.
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
