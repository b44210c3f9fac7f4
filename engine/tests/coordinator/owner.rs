//! The owner of a coordinator in a simulation: it keeps what the coordinator asks for, and the world carries it out.

use crate::clock::JumpingClock;
use futures_util::future::LocalBoxFuture;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;
use vnotch_engine::coordinator::{Coordinator, LivingTopic, Owner};
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::error::DeleteRecordsError;
use vnotch_engine::group::Reply;
use vnotch_engine::log::{Log, NotDeleted};
use vnotch_engine::types::Durability;

/// The id of every topic that exists.
pub(crate) const LIVING_TOPIC_ID: u64 = 1;

pub(crate) type SimLog = Log<SimDisk, JumpingClock, u32>;
pub(crate) type SimCoordinator = Coordinator<SimOwner>;

/// A batch on its way to the log.
pub(crate) struct Waiting {
    pub batch: Vec<u8>,
    pub level: Option<Durability>,
    pub number: u32,
}

/// The turns of an owner. A future that waits for the next turn wakes when that begins.
#[derive(Default)]
pub(crate) struct Turns {
    number: Cell<u64>,
    wakers: RefCell<Vec<Waker>>,
}

impl Turns {
    /// Begins the next turn.
    pub(crate) fn begin(&self) {
        self.number.set(self.number.get() + 1);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    /// Whether a future waits for the next turn.
    pub(crate) fn are_awaited(&self) -> bool {
        !self.wakers.borrow().is_empty()
    }

    async fn next(self: Rc<Self>) {
        let from = self.number.get();
        std::future::poll_fn(|context| {
            if self.number.get() > from {
                return Poll::Ready(());
            }
            self.wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// The owner of a coordinator.
pub(crate) struct SimOwner {
    clock: JumpingClock,
    log: Rc<SimLog>,
    pub has_ended: Cell<bool>,
    pub is_closing: Cell<bool>,
    pub refuses_appends: Cell<bool>,
    /// Batches that the log has not taken yet.
    pub waiting: RefCell<VecDeque<Waiting>>,
    /// Futures that the world has not begun yet.
    pub spawned: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
    /// Replies that their senders have not heard yet.
    pub replies: RefCell<Vec<Reply>>,
    pub timer: Cell<Option<Instant>>,
    pub turns: Rc<Turns>,
    /// Names of topics that do not exist. All others do.
    pub missing_topics: RefCell<BTreeSet<String>>,
    /// Number of deletions that the coordinator has asked for.
    pub deletions: Cell<u64>,
}

impl SimOwner {
    pub(crate) fn new(clock: JumpingClock, log: Rc<SimLog>) -> Self {
        Self {
            clock,
            log,
            has_ended: Cell::default(),
            is_closing: Cell::default(),
            refuses_appends: Cell::default(),
            waiting: RefCell::default(),
            spawned: RefCell::default(),
            replies: RefCell::default(),
            timer: Cell::default(),
            turns: Rc::default(),
            missing_topics: RefCell::default(),
            deletions: Cell::default(),
        }
    }
}

impl Owner for SimOwner {
    type Disk = SimDisk;
    type Clock = JumpingClock;
    type Ack = u32;

    fn clock(&self) -> &JumpingClock {
        &self.clock
    }

    fn log(&self) -> Option<Rc<SimLog>> {
        (!self.has_ended.get()).then(|| Rc::clone(&self.log))
    }

    fn topic(&self, name: &str) -> Option<LivingTopic> {
        let is_there = !self.missing_topics.borrow().contains(name);
        is_there.then_some(LivingTopic { id: LIVING_TOPIC_ID, created_in: 0 })
    }

    fn append(&self, batch: Vec<u8>, level: Option<Durability>, number: u32) {
        self.waiting.borrow_mut().push_back(Waiting { batch, level, number });
    }

    fn delete_records(&self, offset: i64) -> LocalBoxFuture<'static, Result<i64, DeleteRecordsError>> {
        self.deletions.set(self.deletions.get() + 1);
        let (log, turns) = (Rc::clone(&self.log), Rc::clone(&self.turns));
        Box::pin(async move {
            loop {
                match Rc::clone(&log).delete_records(offset).await {
                    Ok(start) => return Ok(start),
                    Err(NotDeleted::Failed(error)) => return Err(error),
                    Err(NotDeleted::NotYet) => Rc::clone(&turns).next().await,
                }
            }
        })
    }

    fn takes_appends(&self) -> bool {
        !self.refuses_appends.get()
    }

    fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    fn reply(&self, reply: Reply) {
        self.replies.borrow_mut().push(reply);
    }

    fn tick_at(&self, at: Instant) {
        self.timer.set(Some(self.timer.get().map_or(at, |set| set.min(at))));
    }

    fn spawn(&self, work: LocalBoxFuture<'static, ()>) {
        self.spawned.borrow_mut().push(work);
    }

    fn next_turn(&self) -> LocalBoxFuture<'static, ()> {
        Box::pin(Rc::clone(&self.turns).next())
    }
}
