//! A shard as the owner of a coordinator.

use super::{LivingTopics, ShardCoordinator};
use crate::clock::SystemClock;
use crate::coordinator::{LivingTopic, Owner};
use crate::disk::uring::UringDisk;
use crate::error::DeleteRecordsError;
use crate::group::{self, Token};
use crate::num::u32_of;
use crate::shard::clients::group_messages::GroupReply;
use crate::shard::clients::mailbox::{AckInbox, Append, Reply};
use crate::shard::partition::ShardLog;
use crate::shard::{Shard, Ticket, next_turn};
use crate::types::Durability;
use futures_util::future::LocalBoxFuture;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// A shard as the owner of the coordinator of one of its partitions.
pub(super) struct ShardOwner {
    shard: Rc<Shard>,
    slot: usize,
    inbox: Arc<AckInbox>,
    callers: RefCell<Callers>,
    topics: LivingTopics,
    has_ended: Cell<bool>,
}

/// The senders of the requests that are not answered yet.
#[derive(Default)]
struct Callers {
    last: u64,
    waiting: HashMap<Token, GroupReply>,
}

impl ShardOwner {
    pub(super) fn new(shard: Rc<Shard>, slot: usize, topics: LivingTopics) -> Self {
        let inbox = Arc::new(AckInbox::new(shard.id));
        Self { shard, slot, inbox, callers: RefCell::default(), topics, has_ended: Cell::new(false) }
    }

    /// Notes the sender of a request. Returns the token by which its reply finds it.
    pub(super) fn add_caller(&self, reply: GroupReply) -> Token {
        let mut callers = self.callers.borrow_mut();
        callers.last += 1;
        let token = Token(callers.last);
        callers.waiting.insert(token, reply);
        token
    }

    /// Whether the log can still be written.
    pub(super) fn may_write(&self) -> bool {
        self.log().is_some_and(|log| log.failed().is_none())
    }

    /// Ends the task that takes acks.
    pub(super) fn end(&self) {
        self.has_ended.set(true);
        self.inbox.waker.wake();
    }
}

/// Passes acks to the coordinator until the coordinator ends.
pub(super) async fn take_acks(coordinator: Rc<ShardCoordinator>) {
    std::future::poll_fn(move |context| {
        let owner = coordinator.owner();
        owner.inbox.waker.register(context.waker());
        pass_acks(&coordinator);
        coordinator.compact();
        if owner.has_ended.get() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Passes the acks that have arrived to the coordinator.
pub(super) fn pass_acks(coordinator: &Rc<ShardCoordinator>) {
    while let Some(ack) = coordinator.owner().inbox.acks.pop() {
        coordinator.acked(u32_of(ack.ticket.index()), ack.result);
    }
}

impl Owner for ShardOwner {
    type Disk = UringDisk;
    type Clock = SystemClock;
    type Ack = Reply;

    fn clock(&self) -> &SystemClock {
        &self.shard.context.clock
    }

    fn log(&self) -> Option<Rc<ShardLog>> {
        self.shard.open_at(self.slot).map(|partition| Rc::clone(&partition.log))
    }

    fn topic(&self, name: &str) -> Option<LivingTopic> {
        (self.topics)(name)
    }

    fn buffer(&self) -> Vec<u8> {
        self.inbox.buffers.pop().unwrap_or_default()
    }

    fn append(&self, batch: Vec<u8>, level: Option<Durability>, number: u32) {
        let reply = Reply { inbox: Arc::clone(&self.inbox), ticket: Ticket::new(0, number as usize) };
        // Counted without a bound: the requests are bounded by their own queue.
        self.shard.mailbox.count_bytes(batch.len());
        self.shard.append(Append { slot: self.slot, batch, level, reply });
    }

    fn delete_records(&self, offset: i64) -> LocalBoxFuture<'static, Result<i64, DeleteRecordsError>> {
        let (shard, slot) = (Rc::clone(&self.shard), self.slot);
        Box::pin(async move { shard.delete_records(slot, offset).await })
    }

    fn takes_appends(&self) -> bool {
        !self.shard.refuses_new.get()
    }

    fn is_closing(&self) -> bool {
        self.shard.is_closing.get()
    }

    fn reply(&self, reply: group::Reply) {
        let caller = self.callers.borrow_mut().waiting.remove(&reply.token);
        if let Some(caller) = caller {
            caller.send(Ok(reply.body));
        }
    }

    fn tick_at(&self, at: Instant) {
        self.shard.set_group_timer(self.slot, at);
    }

    fn spawn(&self, work: LocalBoxFuture<'static, ()>) {
        if let Some(partition) = self.shard.open_at(self.slot) {
            self.shard.spawn_for(self.slot, &partition, work);
        }
    }

    fn next_turn(&self) -> LocalBoxFuture<'static, ()> {
        Box::pin(next_turn())
    }

    fn will_read(&self) {
        self.shard.find_read_room(self.slot);
    }

    fn has_read(&self) {
        self.shard.note_memory_use(self.slot, 0);
    }
}
