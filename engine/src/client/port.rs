//! The ways by which a handle reaches a shard: from other threads through the mailbox, and from the shard's own thread
//! through plain queues.

use super::{LingerTimer, Topics};
use crate::num::u32_of;
use crate::shard::{Append, FetchRequest, GroupCall, LocalQueues, Mailbox, Refusal};
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

/// The way to a partition: its shard's port, and its slot there.
#[derive(Debug, Clone)]
pub struct Route<P> {
    pub(crate) port: P,
    pub(crate) slot: usize,
}

/// A partition of a topic, as a handle can or cannot reach it.
#[derive(Debug, Clone)]
pub enum Destination<P> {
    /// The handle can reach it.
    Reachable(Route<P>),
    /// The partition belongs to this other shard, and the handle is bound to its own.
    OtherShard(u32),
}

/// The topics of an engine, and the ports of all its shards by number. Handles of any thread look up partitions here.
#[derive(Debug, Clone)]
pub struct RemoteDirectory {
    pub(crate) topics: Arc<Topics>,
    pub(crate) ports: Arc<[Remote]>,
}

impl RemoteDirectory {
    /// Returns the way to the partition at a place: a shard and a slot.
    pub(crate) fn route(&self, (shard, slot): (usize, usize)) -> Route<Remote> {
        Route { port: self.ports[shard].clone(), slot }
    }
}

impl Remote {
    /// Sends a request to a group. If the shard has no room, `waker` is woken once it has.
    pub(crate) fn try_group(
        &self,
        call: Box<GroupCall>,
        waker: &Arc<AtomicWaker>,
    ) -> Result<(), Refusal<Box<GroupCall>>> {
        self.mailbox.try_group(call, waker)
    }
}

/// The topics of an engine, and the queues of one shard. Handles of that shard's thread look up partitions here.
#[derive(Debug, Clone)]
pub struct LocalDirectory {
    pub(crate) topics: Arc<Topics>,
    pub(crate) queues: Rc<LocalQueues>,
}

impl LocalDirectory {
    /// Returns the way to the partition at a place: a shard and a slot. `None` if that is another shard.
    pub(crate) fn route(&self, (shard, slot): (usize, usize)) -> Option<Route<Local>> {
        let is_own = u32_of(shard) == self.queues.mailbox.shard;
        is_own.then(|| Route { port: Local { queues: Rc::clone(&self.queues) }, slot })
    }
}

/// The operations of a port that handles use.
pub trait Reach: Sized {
    /// The source of partitions that a handle can look up again.
    type Directory: Debug;

    /// Looks up the partitions of a topic, by number. `None` if there is no such topic.
    fn destinations(directory: &Self::Directory, topic: &str) -> Option<Vec<Destination<Self>>>;

    /// Returns the largest number of a shard that `directory` can name.
    fn last_shard(directory: &Self::Directory) -> u32;

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
    type Directory = RemoteDirectory;

    fn destinations(directory: &RemoteDirectory, topic: &str) -> Option<Vec<Destination<Self>>> {
        let places = directory.topics.get(topic)?.places.into_iter();
        Some(places.map(|place| Destination::Reachable(directory.route(place))).collect())
    }

    fn last_shard(directory: &RemoteDirectory) -> u32 {
        u32_of(directory.ports.len().saturating_sub(1))
    }

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
    type Directory = LocalDirectory;

    fn destinations(directory: &LocalDirectory, topic: &str) -> Option<Vec<Destination<Self>>> {
        let places = directory.topics.get(topic)?.places.into_iter();
        let destination = |place: (usize, usize)| match directory.route(place) {
            Some(route) => Destination::Reachable(route),
            None => Destination::OtherShard(u32_of(place.0)),
        };
        Some(places.map(destination).collect())
    }

    fn last_shard(directory: &LocalDirectory) -> u32 {
        directory.queues.mailbox.shard
    }

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
