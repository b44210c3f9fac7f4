//! Callers' futures on the shards' own threads.

use super::Engine;
use crate::client::LocalShard;
use crate::error::RunError;
use crate::num::{u32_of, usize_of};
use crate::shard::{Mailbox, Task};
use futures_util::FutureExt as _;
use futures_util::task::AtomicWaker;
use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

impl Engine {
    /// Runs a future on a shard's own thread. `work` makes the future. It gets handles to that shard's partitions that
    /// bypass the mailbox. The future starts at once. Its result comes through the returned [`Running`], which may be
    /// dropped.
    ///
    /// The shard polls the future between its own work, so it must never block, and a long loop must
    /// [yield](LocalShard::yield_now) often. Every 100 µs is good. A shard that has not moved for
    /// [`stuck_after`](crate::config::EngineConfig::stuck_after) is declared stuck.
    ///
    /// The future must not own this engine, nor wait for work that only its own shard can do: topics are created from
    /// other threads. Other futures that it awaits may be woken from any thread. But timers and I/O of other executors
    /// do not run here: to sleep, use [`LocalShard::sleep`].
    ///
    /// [`try_send`](crate::client::Producer::try_send) may process the append before it returns, and may call wakers
    /// from within. Do not hold a lock across `try_send` that a waker also takes.
    ///
    /// Closing or dropping the engine drops the future where it awaits, before any partition is closed, older futures
    /// first. The batches that it has sent are still written.
    ///
    /// ```no_run
    /// # use vnotch_engine::{client::ProducerConfig, config::EngineConfig, engine::Engine, record::RecordRef};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::open(EngineConfig::new("data"))?;
    /// let sent = engine.run_on(0, |local| async move {
    ///     let mut producer = local.producer("events", ProducerConfig::default())?;
    ///     let partition = producer.try_send(None, &RecordRef { value: Some(b"x"), ..RecordRef::default() })?;
    ///     let ack = producer.ack().await;
    ///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>((partition, ack.result?))
    /// })?;
    /// let (partition, offset) = sent.wait()?.map_err(|error| error.to_string())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RunError::NoSuchShard`], or the shard takes no work: `ShardStuck`, `Closed`.
    pub fn run_on<R, W, F>(&self, shard: u32, work: W) -> Result<Running<R>, RunError>
    where
        R: Send + 'static,
        W: FnOnce(LocalShard) -> F + Send + 'static,
        F: Future<Output = R> + 'static,
    {
        let Some(handle) = self.shards.get(usize_of(u64::from(shard))) else {
            return Err(RunError::NoSuchShard { shard, shards: u32_of(self.shards.len()) });
        };
        let (report, running) = pair(Arc::clone(&handle.mailbox));
        let topics = Arc::clone(&self.topics);
        let task: Task = Box::new(move |shard| {
            let local = LocalShard::new(std::rc::Rc::clone(&shard.local_queues), topics);
            let future = async move {
                let ran = AssertUnwindSafe(async move { work(local).await }).catch_unwind().await;
                report.put(ran.map_err(|panic| RunError::Panicked(panic_text(&*panic))));
            };
            shard.begin_colocated(future.boxed_local());
            std::future::ready(()).boxed_local()
        });
        handle.send(task).map(|()| running)
    }

    /// Makes a shard stand still for `length`, for tests and for measurements of what a stall costs. The shard's thread
    /// sleeps, as if a noisy neighbour or a slow system call stopped it.
    ///
    /// Returns once the shard has received the request. If `length` is
    /// [`stuck_after`](crate::config::EngineConfig::stuck_after) or more, the watchdog fails all requests in flight
    /// there.
    ///
    /// # Errors
    /// As [`Engine::run_on`]; then nothing stalls.
    pub fn stall_shard(&self, shard: u32, length: Duration) -> Result<(), RunError> {
        self.run_on(shard, move |_| async move { std::thread::sleep(length) }).map(drop)
    }
}

/// Returns the text of a panic.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".into())
}

/// A colocated task, as other threads see it. It resolves to the task's result. Dropping it leaves the task running.
#[derive(Debug)]
#[must_use = "a task's outcome, its panic among them, is seen here only"]
pub struct Running<R> {
    outcome: Arc<Outcome<R>>,
    mailbox: Arc<Mailbox>,
}

#[derive(Debug)]
struct Outcome<R> {
    value: Mutex<Option<Result<R, RunError>>>,
    waker: Arc<AtomicWaker>,
}

/// The task's side of its result. Dropped before a result is put in, it reports `Closed`.
struct Report<R>(Arc<Outcome<R>>);

fn pair<R>(mailbox: Arc<Mailbox>) -> (Report<R>, Running<R>) {
    let outcome = Arc::new(Outcome { value: Mutex::new(None), waker: Arc::default() });
    mailbox.register(&outcome.waker);
    (Report(Arc::clone(&outcome)), Running { outcome, mailbox })
}

impl<R> Report<R> {
    fn put(&self, value: Result<R, RunError>) {
        self.0.value.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(value);
        self.0.waker.wake();
    }
}

impl<R> Drop for Report<R> {
    fn drop(&mut self) {
        self.put(Err(RunError::Closed));
    }
}

impl<R> Running<R> {
    /// Waits for the task to end, on a plain thread. Never call it from a task of the same shard.
    ///
    /// # Errors
    /// [`RunError::Panicked`], or `Closed` if the engine was closed first.
    pub fn wait(self) -> Result<R, RunError> {
        pollster::block_on(self)
    }

    fn take(&self) -> Option<Result<R, RunError>> {
        self.outcome.value.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<R> Future for Running<R> {
    type Output = Result<R, RunError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcome.waker.register(context.waker());
        // Read before the result: a task puts its result in before its shard closes, so the result is then found.
        let is_closed = self.mailbox.is_closed();
        match self.take() {
            Some(value) => Poll::Ready(value),
            None if is_closed => Poll::Ready(Err(RunError::Closed)),
            None => Poll::Pending,
        }
    }
}
