//! The ways by which a handle reaches a shard: from other threads through the mailbox, and from the shard's own thread
//! through plain queues.

use super::LingerTimer;
use crate::shard::{Append, FetchRequest, LocalQueues, Mailbox, Refusal};
use futures_util::task::AtomicWaker;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The way by which a handle reaches shards. Callers choose it by how they get their handle, and never name it.
pub trait Port: Reach + Clone + Debug {}

impl Port for Remote {}
impl Port for Local {}

/// The way from any thread.
#[derive(Debug, Clone)]
pub struct Remote {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) timer: LingerTimer,
}

/// The way from the shard's own thread. Not Send.
#[derive(Debug, Clone)]
pub struct Local {
    pub(crate) queues: Rc<LocalQueues>,
}

/// The reason why a shard sends no answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// The shard is stuck.
    Stuck,
    /// The shard has ended.
    Closed,
}

/// The operations of a port that handles use.
pub trait Reach {
    /// Returns the shard's number.
    fn shard(&self) -> u32;

    /// Sends a batch. If the shard has no room, `waker` is woken once it has.
    fn try_append(&self, append: Append, waker: &Arc<AtomicWaker>) -> Result<(), Refusal<Append>>;

    /// Sends a fetch. If the shard has no room, `waker` is woken once it has.
    fn try_fetch(&self, request: FetchRequest, waker: &Arc<AtomicWaker>)
    -> Result<(), Refusal<FetchRequest>>;

    /// Registers `waker` to be woken if the shard becomes unreachable.
    fn register(&self, waker: &Arc<AtomicWaker>);

    /// Returns the reason why requests may never be answered; `None` if they will be.
    fn unreachable(&self) -> Option<Unreachable>;

    /// Wakes `waker` at `due`.
    fn wake_at(&self, due: Instant, waker: &Arc<AtomicWaker>);
}

impl Reach for Remote {
    fn shard(&self) -> u32 {
        self.mailbox.shard
    }

    fn try_append(&self, append: Append, waker: &Arc<AtomicWaker>) -> Result<(), Refusal<Append>> {
        self.mailbox.try_append(append, waker)
    }

    fn try_fetch(
        &self,
        request: FetchRequest,
        waker: &Arc<AtomicWaker>,
    ) -> Result<(), Refusal<FetchRequest>> {
        self.mailbox.try_fetch(request, waker)
    }

    fn register(&self, waker: &Arc<AtomicWaker>) {
        self.mailbox.register(waker);
    }

    fn unreachable(&self) -> Option<Unreachable> {
        if self.mailbox.is_stuck() {
            Some(Unreachable::Stuck)
        } else {
            self.mailbox.is_closed().then_some(Unreachable::Closed)
        }
    }

    fn wake_at(&self, due: Instant, waker: &Arc<AtomicWaker>) {
        self.timer.wake_at(due, waker);
    }
}

impl Reach for Local {
    fn shard(&self) -> u32 {
        self.queues.mailbox.shard
    }

    fn try_append(&self, append: Append, waker: &Arc<AtomicWaker>) -> Result<(), Refusal<Append>> {
        self.queues.try_append(append, waker)
    }

    fn try_fetch(
        &self,
        request: FetchRequest,
        _waker: &Arc<AtomicWaker>,
    ) -> Result<(), Refusal<FetchRequest>> {
        self.queues.try_fetch(request)
    }

    /// Does nothing: a colocated task ends with its shard.
    fn register(&self, _waker: &Arc<AtomicWaker>) {}

    fn unreachable(&self) -> Option<Unreachable> {
        self.queues.is_closed().then_some(Unreachable::Closed)
    }

    fn wake_at(&self, due: Instant, waker: &Arc<AtomicWaker>) {
        self.queues.wake_at(due, waker);
    }
}
