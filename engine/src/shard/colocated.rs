//! Callers' futures that run on the shard. Its pump polls them between its own work.
//!
//! A panic of such a future does not harm the shard. Nor do futures delay the shard's end: closing drops them, in the
//! order in which they were begun.
//!
//! The shard takes appends of a task already while the task runs, a few batches at a time. So the device writes the
//! first batches while the task makes the next ones. For that, a task inside its turn enters the shard again:
//!
//! ```text
//! Shard::turn                                         the pump
//!  └► Shard::run_colocated                            sets has_turn, polls the tasks that were woken
//!      └► Task::poll                                  runs the caller's code
//!          └► Producer::try_send                      the caller's code sends a record, and a batch is full
//!              └► LocalQueues::try_append             queues the batch
//!                  └► Shard::take_from_running_task   clears has_turn, and sets it again at the end
//!                      └► Shard::take_early           appends to logs, submits writes, wakes producers
//!                          └► a caller's waker        may append too: as has_turn is not set, its batches stay queued
//! ```

use super::clients::mailbox::Mailbox;
use super::clients::wake::Flag;
use super::pulse::Phase;
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

/// The callers' futures of one shard.
pub(super) struct Colocated {
    flag: Arc<Flag>,
    waker: Waker,
    /// The tasks that have not ended, by number. Numbers rise in the order in which tasks are begun.
    tasks: RefCell<BTreeMap<u64, Rc<Task>>>,
    /// Number of tasks that were ever begun; the number of the next one.
    begun: Cell<u64>,
    running: RefCell<FuturesUnordered<LocalBoxFuture<'static, u64>>>,
    /// Tasks that were begun after the last poll. The next poll moves them to `running`.
    new: RefCell<Vec<LocalBoxFuture<'static, u64>>>,
    /// Set while a task runs and the shard's own code does not: only then may an append enter the shard again.
    has_turn: Cell<bool>,
    /// Time that the shard's own work used within tasks' turns, ns. It only rises.
    own_work_ns: Cell<u64>,
    /// A panic of the shard's own work within a task's turn. The task did not cause it, so the shard raises it again
    /// after the turn.
    panic: Cell<Option<Box<dyn Any + Send>>>,
}

/// A caller's future; `None` once it has ended or was cancelled.
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

    /// Drops the future. A panic of its destructor is caught.
    fn cancel(&self) {
        let future = self.0.borrow_mut().take();
        if catch_unwind(AssertUnwindSafe(|| drop(future))).is_err() {
            tracing::error!("a colocated task panicked while it was dropped");
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
            own_work_ns: Cell::new(0),
            panic: Cell::new(None),
        }
    }

    /// Adds a future. The pump's next turn polls it for the first time.
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

    /// Whether a task has been woken and has to be polled.
    pub(super) fn is_woken(&self) -> bool {
        self.flag.is_raised()
    }

    /// Polls the tasks that were woken.
    fn poll(&self) {
        self.flag.lower();
        let context = &mut Context::from_waker(&self.waker);
        let mut running = self.running.borrow_mut();
        running.extend(self.new.take());
        while let Poll::Ready(Some(ended)) = running.poll_next_unpin(context) {
            self.tasks.borrow_mut().remove(&ended);
        }
    }

    /// Drops all tasks, the oldest first.
    pub(super) fn cancel(&self) {
        loop {
            let first = self.tasks.borrow_mut().pop_first();
            let Some((_, task)) = first else { break };
            task.cancel();
        }
    }
}

impl Shard {
    /// Polls the callers' tasks that were woken. Returns whether there were any.
    pub(super) fn run_colocated(&self, now: Instant) -> bool {
        self.local_queues.fire(now);
        let is_woken = self.colocated.is_woken();
        if is_woken {
            let (begun, own_work_ns) = (Instant::now(), self.colocated.own_work_ns.get());
            self.colocated.has_turn.set(true);
            self.mailbox.pulse.enter(Phase::CallersTask);
            self.colocated.poll();
            self.mailbox.pulse.enter(Phase::Turn);
            self.colocated.has_turn.set(false);
            let own_work = Duration::from_nanos(self.colocated.own_work_ns.get() - own_work_ns);
            let tasks_time = begun.elapsed().saturating_sub(own_work);
            self.count(tasks_time, |times: &mut TimeStats| &mut times.colocated_ns);
            if let Some(panic) = self.colocated.panic.take() {
                resume_unwind(panic);
            }
        }
        is_woken
    }

    /// Takes some of the appends of the task that runs now, if enough of them wait. `waiting` is the number that wait.
    ///
    /// [`LocalQueues`](super::LocalQueues) calls this within the task's own call of `try_send`. See the module.
    pub(super) fn take_from_running_task(self: &Rc<Self>, waiting: usize) {
        // Not outside a task's turn, and not within the shard's own work: a caller's waker, which that work wakes, may
        // append too.
        if !self.may_take_early(waiting) || !self.colocated.has_turn.replace(false) {
            return;
        }
        let begun = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| self.take_early())) {
            Ok(()) => self.colocated.has_turn.set(true),
            Err(panic) => self.colocated.panic.set(Some(panic)),
        }
        self.colocated.own_work_ns.set(self.colocated.own_work_ns.get() + ns_of(begun.elapsed()));
    }
}
