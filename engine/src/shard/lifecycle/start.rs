//! Starting a shard's executor, and calling the shard from other threads.

use super::catalog::CatalogOwner;
use super::points::PointsWriter;
use crate::buffer::Arena;
use crate::clock::SystemClock;
use crate::disk::uring::{Ring, UringDisk};
use crate::error::{OpenError, RunError};
use crate::events::Newest;
use crate::log::{LogContext, LogLimits};
use crate::shard::clients::mailbox::{Call, Mailbox, Refusal, Task};
use crate::shard::clients::request::{Answer, request};
use crate::shard::clients::wake::Flag;
use crate::shard::groups::Coordinators;
use crate::shard::intake::TurnBudget;
use crate::shard::memory::Memory;
use crate::shard::timers::Timers;
use crate::shard::{Colocated, Committer, LocalQueues, Shard, TimeStats};
use crate::types::{Commit, PollMode};
use crossbeam::channel;
use futures_util::FutureExt as _;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::Future;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time after which glommio asks a running task to yield: practically never, as the pump gives the reactor its turns
/// itself.
///
/// A short time would be a hazard. glommio starts this timer before it runs its tasks. If the thread does not run until
/// the timer has fired, glommio runs none of them, concludes that none is runnable, and sleeps.
const PREEMPT_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Registered memory of glommio's own reactor, bytes: the least that it accepts. It serves only timers and the park.
const REACTOR_MEMORY_BYTES: usize = 64 << 10;

/// Most events that a shard holds.
const EVENTS_MAX: usize = 1 << 18;

/// The settings that a shard is started with.
pub(crate) struct ShardSettings {
    pub(crate) id: u32,
    pub(crate) core: usize,
    pub(crate) poll: PollMode,
    pub(crate) commit: Commit,
    pub(crate) arena_bytes: usize,
    pub(crate) mailbox_bytes: usize,
    pub(crate) limits: LogLimits,
    /// How often the heartbeat looks at a pump that has nothing to do.
    pub(crate) idle_look_every: Duration,
    /// The lock on the data directory. The ring holds it too, until the kernel has finished all operations.
    pub(crate) lock: Arc<File>,
}

/// A running shard, as other threads use it.
pub(crate) struct ShardHandle {
    pub(crate) mailbox: Arc<Mailbox>,
    executor: Option<ExecutorJoinHandle<()>>,
}

impl ShardHandle {
    /// Starts a shard and waits until it runs.
    pub(crate) fn start(settings: ShardSettings) -> Result<Self, OpenError> {
        let id = settings.id;
        let failed = |reason: String| OpenError::Executor { shard: id, reason };
        let mailbox = Arc::new(Mailbox::new(id, settings.mailbox_bytes));
        let (report, started) = channel::bounded(1);
        let own = Arc::clone(&mailbox);
        let executor = LocalExecutorBuilder::new(Placement::Fixed(settings.core))
            .name(&format!("shard-{id}"))
            .io_memory(REACTOR_MEMORY_BYTES)
            .preempt_timer(PREEMPT_AFTER)
            .spawn(move || run(settings, own, report))
            .map_err(|error| failed(error.to_string()))?;
        let handle = Self { mailbox, executor: Some(executor) };
        let has_started = started.recv().unwrap_or_else(|_| Err(failed("its thread ended".into())));
        if has_started.is_err() {
            // The executor has ended, so no end must be sent to it when the handle is dropped.
            handle.mailbox.close();
        }
        has_started.map(|()| handle)
    }

    /// Runs `work` on the shard and waits for its result. Returns `None` if the shard is stuck or closed.
    pub(crate) fn call<R, W, F>(&self, work: W) -> Option<R>
    where
        R: Send + 'static,
        W: FnOnce(Rc<Shard>) -> F + Send + 'static,
        F: Future<Output = R> + 'static,
    {
        self.begin(work)?.wait()
    }

    /// Starts `work` on the shard, without waiting. Returns `None` if the shard is stuck or closed.
    pub(crate) fn begin<R, W, F>(&self, work: W) -> Option<Answer<R>>
    where
        R: Send + 'static,
        W: FnOnce(Rc<Shard>) -> F + Send + 'static,
        F: Future<Output = R> + 'static,
    {
        self.begin_undoable(work, |_, _| std::future::ready(()))
    }

    /// Starts `work` on the shard, without waiting. If the caller withdraws while the work runs
    /// ([`Answer::wait_or_withdraw`]), the shard gives its result to `undo`.
    pub(crate) fn begin_undoable<R, W, F, U, G>(&self, work: W, undo: U) -> Option<Answer<R>>
    where
        R: Send + 'static,
        W: FnOnce(Rc<Shard>) -> F + Send + 'static,
        F: Future<Output = R> + 'static,
        U: FnOnce(Rc<Shard>, R) -> G + Send + 'static,
        G: Future<Output = ()> + 'static,
    {
        let (task, answer) = request(&self.mailbox, work, undo);
        self.send(task).ok()?;
        Some(answer)
    }

    /// Starts `work` on the shard, without waiting. A stuck shard starts it once it moves again. Returns `None` if the
    /// shard has ended, or has no room for the request.
    pub(crate) fn begin_once_it_moves<R, W, F>(&self, work: W) -> Option<Answer<R>>
    where
        R: Send + 'static,
        W: FnOnce(Rc<Shard>) -> F + Send + 'static,
        F: Future<Output = R> + 'static,
    {
        let (task, answer) = request(&self.mailbox, work, |_, _| std::future::ready(()));
        self.mailbox.leave_call(Call::Run(task)).ok()?;
        Some(answer)
    }

    /// Sends `task` to the shard, which starts it.
    pub(crate) fn send(&self, task: Task) -> Result<(), RunError> {
        let mut call = Call::Run(task);
        let unused_waker = Arc::default();
        loop {
            match self.mailbox.try_call(call, &unused_waker) {
                Ok(()) => return Ok(()),
                Err(Refusal::Full(back)) => call = back,
                Err(Refusal::Stuck(_)) => return Err(RunError::ShardStuck { shard: self.mailbox.shard }),
                Err(Refusal::Closed(_)) => return Err(RunError::Closed),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the executor, without waiting for its work. A stuck shard is not waited for: it ends once it moves again.
    pub(crate) fn stop(&mut self) {
        let Some(executor) = self.executor.take() else { return };
        let has_ended = self.call(|shard| async move { shard.end() }).is_some();
        self.mailbox.close();
        if has_ended {
            let _ = executor.join();
        }
    }
}

impl Drop for ShardHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn run(settings: ShardSettings, mailbox: Arc<Mailbox>, report: channel::Sender<Result<(), OpenError>>) {
    mailbox.pulse.begin();
    let ring = match Ring::new() {
        Ok(ring) => ring,
        Err(source) => {
            let _ = report.send(Err(OpenError::RingUnavailable { source }));
            return;
        }
    };
    match Shard::build(settings, mailbox, ring.clone()) {
        Ok(shard) => run_shard(Rc::new(shard), &report).await,
        Err(error) => {
            let _ = report.send(Err(error));
        }
    }
    ring.close().await;
}

async fn run_shard(shard: Rc<Shard>, report: &channel::Sender<Result<(), OpenError>>) {
    shard.local_queues.attach(&shard);
    let _ = report.send(Ok(()));
    let heartbeat = glommio::spawn_local(Rc::clone(&shard).beat()).detach();
    let pumped = AssertUnwindSafe(Rc::clone(&shard).pump()).catch_unwind().await;
    if pumped.is_err() || shard.has_failed.get() {
        // The shard's state may be wrong now, so nothing more is written. A new engine recovers what is on disk.
        tracing::error!(
            "the work of shard {} panicked: its partitions are lost until the engine is reopened",
            shard.id
        );
        shard.mailbox.fail();
    }
    shard.mailbox.set_heartbeat_waker(None);
    heartbeat.cancel();
    let _ = heartbeat.await;
    if catch_unwind(AssertUnwindSafe(|| shard.abandon())).is_err() {
        tracing::error!("shard {} panicked while it ended", shard.id);
    }
}

impl Shard {
    fn build(settings: ShardSettings, mailbox: Arc<Mailbox>, ring: Ring) -> Result<Self, OpenError> {
        let id = settings.id;
        let arena = Arena::new(settings.arena_bytes).map_err(|error| OpenError::Executor {
            shard: id,
            reason: format!("cannot map an arena of {} bytes: {error}", settings.arena_bytes),
        })?;
        let is_registered = ring.register_arena(&arena);
        ring.keep_open(settings.lock.as_fd()).map_err(|source| OpenError::RingUnavailable { source })?;
        mailbox.attach(ring.waker());
        let memory = Memory::new(Arc::clone(&mailbox), settings.arena_bytes);
        arena.set_notifier(memory.notifier());
        let disk = UringDisk::new(ring.clone());
        let context = LogContext::new(disk, SystemClock, Rc::new(arena), settings.limits);
        Ok(Self {
            id,
            context,
            catalog: CatalogOwner::default(),
            ring,
            poll: settings.poll,
            idle_look_every: settings.idle_look_every,
            local_queues: Rc::new(LocalQueues::new(Arc::clone(&mailbox))),
            memory,
            timers: Timers::default(),
            colocated: Colocated::new(Arc::clone(&mailbox)),
            pump_flag: Arc::new(Flag::new(Arc::clone(&mailbox))),
            turn_budget: Cell::new(TurnBudget::new(Instant::now())),
            mailbox,
            partitions: RefCell::default(),
            coordinators: Coordinators::default(),
            listed: RefCell::default(),
            committer: RefCell::new(Committer::new(settings.commit)),
            tasks: RefCell::default(),
            new_tasks: RefCell::default(),
            acked: RefCell::default(),
            events: RefCell::new(Newest::new(EVENTS_MAX)),
            dropped_events: Cell::new(0),
            times: Cell::new(TimeStats::default()),
            points: PointsWriter::default(),
            is_registered,
            is_closing: Cell::new(false),
            refuses_new: Cell::new(false),
            is_ending: Cell::new(false),
            has_failed: Cell::new(false),
        })
    }

    /// Drops everything that holds references to the shard.
    fn abandon(&self) {
        self.mailbox.close();
        self.local_queues.close();
        self.colocated.cancel();
        drop(self.tasks.take());
        drop(self.new_tasks.take());
        drop(self.committer.replace(Committer::new(Commit::Each)));
        self.drop_coordinators();
        self.partitions.borrow_mut().clear();
        self.ring.drain();
    }
}
