//! How a handle reaches a shard: from another thread through its mailbox, from the shard's own through plain queues.

use super::LingerTimer;
use crate::shard::{Append, FetchRequest, LocalLanes, Mailbox, Refusal};
use futures_util::task::AtomicWaker;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// See the module. Callers choose it by how they get their handle, never by name.
pub trait Port: Reach + Clone + Debug {}

impl Port for Remote {}
impl Port for Local {}

/// From any thread.
#[derive(Debug, Clone)]
pub struct Remote {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) timer: LingerTimer,
}

/// From the shard's own thread; not Send.
#[derive(Debug, Clone)]
pub struct Local {
    pub(crate) lanes: Rc<LocalLanes>,
}

/// Why nothing comes back from a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// It does not move.
    Stuck,
    /// It has ended.
    Closed,
}

/// What handles need of it.
pub trait Reach {
    /// Which shard.
    fn shard(&self) -> u32;

    /// Hands over a batch; a full shard wakes `waker` once there is room.
    fn try_append(&self, append: Append, waker: &Arc<AtomicWaker>) -> Result<(), Refusal<Append>>;

    /// Asks for records; a full shard wakes `waker` once there is room.
    fn try_fetch(&self, request: FetchRequest, waker: &Arc<AtomicWaker>)
    -> Result<(), Refusal<FetchRequest>>;

    /// `waker` is woken if the shard becomes unreachable.
    fn register(&self, waker: &Arc<AtomicWaker>);

    /// Whether what it was given may never be answered.
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
        self.lanes.mailbox.shard
    }

    fn try_append(&self, append: Append, waker: &Arc<AtomicWaker>) -> Result<(), Refusal<Append>> {
        self.lanes.try_append(append, waker)
    }

    fn try_fetch(
        &self,
        request: FetchRequest,
        _waker: &Arc<AtomicWaker>,
    ) -> Result<(), Refusal<FetchRequest>> {
        self.lanes.try_fetch(request)
    }

    /// Who runs on the shard ends with it.
    fn register(&self, _waker: &Arc<AtomicWaker>) {}

    fn unreachable(&self) -> Option<Unreachable> {
        self.lanes.is_closed().then_some(Unreachable::Closed)
    }

    fn wake_at(&self, due: Instant, waker: &Arc<AtomicWaker>) {
        self.lanes.wake_at(due, waker);
    }
}
