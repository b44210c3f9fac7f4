//! Callers' futures that run on the shard, polled by its pump between its own work.
//!
//! They never harm the shard by panicking, and never hold up its end: closing drops them, in the order they were begun.
//!
//! What one appends is taken while it goes on, a few batches at a time: the device writes the first while the task makes the
//! next.

use super::mailbox::Mailbox;
use super::pulse::Phase;
use super::wake::Flag;
use super::{Shard, TimeStats};
use crate::num::ns_of;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// See the module.
pub(super) struct Colocated {
    flag: Arc<Flag>,
    waker: Waker,
    /// By the order they were begun in.
    tasks: RefCell<BTreeMap<u64, Rc<Task>>>,
    begun: Cell<u64>,
    running: RefCell<FuturesUnordered<LocalBoxFuture<'static, u64>>>,
    /// Begun since they were polled last.
    new: RefCell<Vec<LocalBoxFuture<'static, u64>>>,
    /// A task has its turn, and nothing of the shard's own is under way.
    has_turn: Cell<bool>,
    /// Time that the shard's own work took of the tasks' turns, ns.
    shards_ns: Cell<u64>,
    /// A panic of the shard's own work, which is not the task's.
    panic: Cell<Option<Box<dyn Any + Send>>>,
}

/// A caller's future, until it has ended or was cancelled.
struct Task(RefCell<Option<LocalBoxFuture<'static, ()>>>);

impl Task {
    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut future = self.0.borrow_mut();
        let Some(running) = future.as_mut() else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context)));
        if matches!(polled, Ok(Poll::Pending)) {
            return Poll::Pending;
        }
        drop(future);
        self.cancel();
        Poll::Ready(())
    }

    /// Drops the future, whatever that does.
    fn cancel(&self) {
        let future = self.0.borrow_mut().take();
        if catch_unwind(AssertUnwindSafe(|| drop(future))).is_err() {
            tracing::error!("a colocated task panicked as it was dropped");
        }
    }
}

impl Colocated {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        let flag = Arc::new(Flag::new(mailbox));
        Self {
            waker: Waker::from(Arc::clone(&flag)),
            flag,
            tasks: RefCell::default(),
            begun: Cell::new(0),
            running: RefCell::default(),
            new: RefCell::default(),
            has_turn: Cell::new(false),
            shards_ns: Cell::new(0),
            panic: Cell::new(None),
        }
    }

    /// Takes a future up; it is polled for the first time in the pump's next turn.
    pub(super) fn begin(&self, future: LocalBoxFuture<'static, ()>) {
        let number = self.begun.get();
        self.begun.set(number + 1);
        let task = Rc::new(Task(RefCell::new(Some(future))));
        self.tasks.borrow_mut().insert(number, Rc::clone(&task));
        self.new.borrow_mut().push(Box::pin(async move {
            std::future::poll_fn(|context| task.poll(context)).await;
            number
        }));
        self.waker.wake_by_ref();
    }

    /// Whether some task wants to be polled.
    pub(super) fn is_woken(&self) -> bool {
        self.flag.is_raised()
    }

    /// Polls those who want to be.
    fn poll(&self) {
        self.flag.lower();
        let context = &mut Context::from_waker(&self.waker);
        let mut running = self.running.borrow_mut();
        running.extend(self.new.take());
        while let Poll::Ready(Some(ended)) = running.poll_next_unpin(context) {
            self.tasks.borrow_mut().remove(&ended);
        }
    }

    /// Drops all of them, the oldest first.
    pub(super) fn cancel(&self) {
        loop {
            let first = self.tasks.borrow_mut().pop_first();
            let Some((_, task)) = first else { break };
            task.cancel();
        }
    }
}

impl Shard {
    /// Gives callers' tasks that want it their turn; whether there were any.
    pub(super) fn run_colocated(&self, now: Instant) -> bool {
        self.lanes.fire(now);
        let is_woken = self.colocated.is_woken();
        if is_woken {
            let (begun, shards_ns) = (Instant::now(), self.colocated.shards_ns.get());
            self.colocated.has_turn.set(true);
            self.mailbox.pulse.enter(Phase::CallersTask);
            self.colocated.poll();
            self.mailbox.pulse.enter(Phase::Turn);
            self.colocated.has_turn.set(false);
            let shards = Duration::from_nanos(self.colocated.shards_ns.get() - shards_ns);
            let own = begun.elapsed().saturating_sub(shards);
            self.count(own, |times: &mut TimeStats| &mut times.colocated_ns);
            if let Some(panic) = self.colocated.panic.take() {
                resume_unwind(panic);
            }
        }
        is_woken
    }

    /// A task has put something in, `waiting` appends so far: the shard may take them, and the task goes on.
    pub(super) fn offered(self: &Rc<Self>, waiting: usize) {
        // Neither outside a task's turn, nor in the midst of the shard's own work: a waker of the caller's may append too.
        if !self.may_take_early(waiting) || !self.colocated.has_turn.replace(false) {
            return;
        }
        let begun = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| self.take_early())) {
            Ok(()) => self.colocated.has_turn.set(true),
            Err(panic) => self.colocated.panic.set(Some(panic)),
        }
        self.colocated.shards_ns.set(self.colocated.shards_ns.get() + ns_of(begun.elapsed()));
    }
}
