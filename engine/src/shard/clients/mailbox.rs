//! The way into a shard from other threads: two bounded queues and one wake.
//!
//! Appends have a queue of their own, so that a full one does not delay fetches and admin calls. A client that finds no
//! room registers its waker, and is woken once there is room: this is back-pressure, and nothing is lost.

mod messages;
#[cfg(test)]
mod tests;

pub(in crate::shard) use messages::Reader;
pub(crate) use messages::{
    AckInbox, AckMessage, Append, Call, FetchInbox, FetchReply, FetchRequest, Refusal, Reply, Task, Wanted,
};

use super::callers::wake_caller;
use crate::disk::uring::RingWaker;
use crate::shard::GroupCall;
use crate::shard::pulse::Pulse;
use crossbeam::queue::ArrayQueue;
use futures_util::task::AtomicWaker;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

/// Most appends that wait, however small.
pub(in crate::shard) const APPENDS_MAX: usize = 4096;

/// Most fetches and admin calls that wait.
const CALLS_MAX: usize = 4096;

/// Fewest registered clients for which dropped ones are looked for.
const CLIENTS_SWEEP_MIN: usize = 64;

const OPEN: u8 = 0;
const STUCK: u8 = 1;
const CLOSED: u8 = 2;
/// The shard's work has panicked. It counts as stuck, and never moves again.
const FAILED: u8 = 3;

/// The queues into one shard, and the shard's state as clients see it.
pub(crate) struct Mailbox {
    pub(crate) shard: u32,
    appends: ArrayQueue<Append>,
    calls: ArrayQueue<Call>,
    /// Bytes of appends that no log has taken yet.
    append_bytes: AtomicUsize,
    append_bytes_max: usize,
    /// Set by the shard when it parks. The first sender clears it, and wakes the shard.
    is_parked: AtomicBool,
    /// Wakes the shard's ring; set once the ring exists.
    ring: OnceLock<RingWaker>,
    /// The shard's state: `OPEN`, `STUCK`, `CLOSED` or `FAILED`.
    state: AtomicU8,
    pub(crate) pulse: Pulse,
    /// Wakes the heartbeat's task; `None` while it does not run.
    heartbeat_waker: Mutex<Option<Waker>>,
    /// Whether `waiting` has clients; read without its lock.
    has_waiting: AtomicBool,
    /// Wakers of clients that found no room, each once.
    waiting: Mutex<Vec<Arc<AtomicWaker>>>,
    /// All clients, whether they wait or not.
    clients: Mutex<Clients>,
}

/// Clients that are woken when the shard is declared stuck or closed.
#[derive(Default)]
struct Clients {
    wakers: Vec<Weak<AtomicWaker>>,
    /// Number of clients at which dropped ones are looked for next.
    sweep_at: usize,
}

impl Mailbox {
    pub(crate) fn new(shard: u32, append_bytes_max: usize) -> Self {
        Self {
            shard,
            appends: ArrayQueue::new(APPENDS_MAX),
            calls: ArrayQueue::new(CALLS_MAX),
            append_bytes: AtomicUsize::new(0),
            append_bytes_max,
            is_parked: AtomicBool::new(false),
            ring: OnceLock::new(),
            state: AtomicU8::new(OPEN),
            pulse: Pulse::default(),
            heartbeat_waker: Mutex::new(None),
            has_waiting: AtomicBool::new(false),
            waiting: Mutex::new(Vec::new()),
            clients: Mutex::default(),
        }
    }

    /// Sets the ring whose shard is woken from now on. The shard's first turn finds the messages that were sent before.
    pub(crate) fn attach(&self, ring: RingWaker) {
        let _ = self.ring.set(ring);
    }

    /// Registers `waker` to be woken when the shard is declared stuck or closed. Each handle registers once.
    pub(crate) fn register(&self, waker: &Arc<AtomicWaker>) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.wakers.len() >= clients.sweep_at {
            clients.wakers.retain(|client| client.strong_count() > 0);
            clients.sweep_at = CLIENTS_SWEEP_MIN.max(2 * clients.wakers.len());
        }
        clients.wakers.push(Arc::downgrade(waker));
    }

    /// Sends an append. If there is no room, `waker` is woken once there is.
    pub(crate) fn try_append(&self, append: Append, waker: &Arc<AtomicWaker>) -> Result<(), Refusal<Append>> {
        match self.state.load(Ordering::Acquire) {
            STUCK | FAILED => return Err(Refusal::Stuck(append)),
            CLOSED => return Err(Refusal::Closed(append)),
            _ => {}
        }
        let append = match self.push_append(append) {
            Ok(()) => return Ok(()),
            Err(append) => append,
        };
        self.wait_for_room(waker);
        // Tried again: room may have been made just before the waker was registered.
        self.push_append(append).map_err(Refusal::Full)
    }

    /// Adds an append to its queue, if there is room for it and its bytes.
    fn push_append(&self, append: Append) -> Result<(), Append> {
        let bytes = append.batch.len();
        if !self.reserve_bytes(bytes) {
            return Err(append);
        }
        if let Err(append) = self.appends.push(append) {
            self.append_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(append);
        }
        self.wake();
        Ok(())
    }

    /// Counts `bytes` of an append until [`Mailbox::release_bytes`], if there is room. An append that is larger than
    /// the bound gets in if no other one waits.
    pub(in crate::shard) fn reserve_bytes(&self, bytes: usize) -> bool {
        let before = self.append_bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = before == 0 || before + bytes <= self.append_bytes_max;
        if !has_room {
            self.append_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        has_room
    }

    /// Counts `bytes` of one of the shard's own appends until [`Mailbox::release_bytes`].
    pub(in crate::shard) fn count_bytes(&self, bytes: usize) {
        self.append_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sends a fetch, a task or a request to a group. If there is no room, `waker` is woken once there is.
    pub(crate) fn try_call(&self, call: Call, waker: &Arc<AtomicWaker>) -> Result<(), Refusal<Call>> {
        match self.state.load(Ordering::Acquire) {
            STUCK | FAILED => return Err(Refusal::Stuck(call)),
            CLOSED => return Err(Refusal::Closed(call)),
            _ => {}
        }
        let pushed = self.calls.push(call).or_else(|call| {
            self.wait_for_room(waker);
            self.calls.push(call)
        });
        pushed.map(|()| self.wake()).map_err(Refusal::Full)
    }

    /// Leaves a task for the shard, which takes it once it moves if it is stuck. Returns the task if there is no room, or
    /// if the shard has ended.
    pub(crate) fn leave_call(&self, call: Call) -> Result<(), Call> {
        if matches!(self.state.load(Ordering::Acquire), CLOSED | FAILED) {
            return Err(call);
        }
        self.calls.push(call).map(|()| self.wake())
    }

    /// Sends a fetch. If there is no room, `waker` is woken once there is.
    pub(crate) fn try_fetch(
        &self,
        request: FetchRequest,
        waker: &Arc<AtomicWaker>,
    ) -> Result<(), Refusal<FetchRequest>> {
        let fetch = |call| match call {
            Call::Fetch(request) => request,
            Call::Run(_) | Call::Group(_) => unreachable!("a refusal returns the message that was sent"),
        };
        self.try_call(Call::Fetch(request), waker).map_err(|refusal| match refusal {
            Refusal::Full(call) => Refusal::Full(fetch(call)),
            Refusal::Stuck(call) => Refusal::Stuck(fetch(call)),
            Refusal::Closed(call) => Refusal::Closed(fetch(call)),
        })
    }

    /// Sends a request to a group. If there is no room, `waker` is woken once there is.
    pub(crate) fn try_group(
        &self,
        request: Box<GroupCall>,
        waker: &Arc<AtomicWaker>,
    ) -> Result<(), Refusal<Box<GroupCall>>> {
        let group = |call| match call {
            Call::Group(request) => request,
            Call::Run(_) | Call::Fetch(_) => unreachable!("a refusal returns the message that was sent"),
        };
        self.try_call(Call::Group(request), waker).map_err(|refusal| match refusal {
            Refusal::Full(call) => Refusal::Full(group(call)),
            Refusal::Stuck(call) => Refusal::Stuck(group(call)),
            Refusal::Closed(call) => Refusal::Closed(group(call)),
        })
    }

    /// Registers `waker` to be woken once there is room.
    pub(in crate::shard) fn wait_for_room(&self, waker: &Arc<AtomicWaker>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|other| Arc::ptr_eq(other, waker)) {
            waiting.push(Arc::clone(waker));
        }
        self.has_waiting.store(true, Ordering::SeqCst);
        // Pairs with the fence in `wake_waiting_clients`: either the caller's next try sees the room, or the shard sees
        // that a client waits. The try begins with a relaxed access, so the store alone is not enough on every
        // processor.
        fence(Ordering::SeqCst);
    }

    /// Wakes the shard if it is parked.
    pub(in crate::shard) fn wake(&self) {
        // Pairs with the fence in `prepare_to_park`: either this thread sees the flag, or the shard sees the new
        // message.
        fence(Ordering::SeqCst);
        if self.is_parked.load(Ordering::Relaxed)
            && self.is_parked.swap(false, Ordering::Relaxed)
            && let Some(ring) = self.ring.get()
        {
            ring.wake();
        }
    }

    /// Sets the waker that [`Mailbox::nudge`] uses.
    pub(crate) fn set_heartbeat_waker(&self, waker: Option<&Waker>) {
        let mut heartbeat_waker = self.heartbeat_waker.lock().unwrap_or_else(PoisonError::into_inner);
        if waker.is_none_or(|waker| !heartbeat_waker.as_ref().is_some_and(|old| old.will_wake(waker))) {
            *heartbeat_waker = waker.cloned();
        }
    }

    /// Makes the shard's executor look at its tasks, from another thread. glommio's executor may sleep although some
    /// are runnable. Then neither its timers nor its own reads wake it.
    pub(crate) fn nudge(&self) {
        if let Some(waker) = &*self.heartbeat_waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    /// Whether the shard is declared stuck, or has failed.
    pub(crate) fn is_stuck(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), STUCK | FAILED)
    }

    /// Whether the shard has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// Declares the shard stuck, or moving again. Returns whether that changes its state.
    pub(crate) fn set_stuck(&self, is_stuck: bool) -> bool {
        let (from, to) = if is_stuck { (OPEN, STUCK) } else { (STUCK, OPEN) };
        let is_new = self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if is_new {
            self.wake_clients();
        }
        is_new
    }

    /// Declares that the shard's work has panicked, and wakes all clients. The shard stays so.
    pub(in crate::shard) fn fail(&self) {
        self.state.store(FAILED, Ordering::Release);
        self.wake_clients();
    }

    /// Refuses all further messages, and ends the shard. A shard that has failed keeps that state.
    pub(crate) fn close(&self) {
        let close = |state| (state != FAILED).then_some(CLOSED);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, close);
        self.wake_clients();
        self.wake();
    }

    /// Wakes every client. The lock is not held meanwhile, as a waker is the caller's code.
    fn wake_clients(&self) {
        let clients: Vec<Arc<AtomicWaker>> = {
            let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            clients.wakers.iter().filter_map(Weak::upgrade).collect()
        };
        clients.iter().for_each(|client| wake_caller(client));
    }

    /// Describes for the log what a stuck shard does and waits for. `still` is the time for which it has not moved.
    pub(crate) fn describe_stuck(&self, still: Duration) -> String {
        format!(
            "shard {} is stuck: it has not moved for {still:?}; {} after {} turns; {} operations in flight; waiting: {} \
             appends ({} bytes) and {} calls; {}",
            self.shard,
            self.pulse.phase(),
            self.pulse.turns(),
            self.pulse.in_flight(),
            self.appends.len(),
            self.append_bytes.load(Ordering::Relaxed),
            self.calls.len(),
            self.pulse.thread(),
        )
    }

    /// Adds a task as if its wake were lost.
    #[cfg(test)]
    pub(crate) fn put_without_wake(&self, task: Task) {
        assert!(self.calls.push(Call::Run(task)).is_ok(), "there is room");
    }

    /// Takes the next request to a group, for a test that plays the shard. Fetches before it are dropped, and not answered.
    #[cfg(test)]
    pub(crate) fn take_group_call(&self) -> Option<GroupCall> {
        std::iter::from_fn(|| self.calls.pop()).find_map(|call| match call {
            Call::Group(call) => Some(*call),
            Call::Fetch(_) | Call::Run(_) => None,
        })
    }

    /// Whether the shard has messages to take.
    pub(in crate::shard) fn has_messages(&self) -> bool {
        !self.appends.is_empty() || !self.calls.is_empty()
    }

    /// Returns the number of appends that the shard has not taken.
    pub(in crate::shard) fn waiting_appends(&self) -> usize {
        self.appends.len()
    }

    /// Returns the next append. Its bytes count until [`Mailbox::release_bytes`].
    pub(in crate::shard) fn pop_append(&self) -> Option<Append> {
        self.appends.pop()
    }

    /// Returns the number of fetches, tasks and requests to groups that the shard has not taken.
    pub(in crate::shard) fn waiting_calls(&self) -> usize {
        self.calls.len()
    }

    pub(in crate::shard) fn pop_call(&self) -> Option<Call> {
        self.calls.pop()
    }

    /// Counts `bytes` of an append no longer: a log has taken it, or it was refused.
    pub(in crate::shard) fn release_bytes(&self, bytes: usize) {
        self.append_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Wakes the clients that found no room. The shard calls it after it has taken messages.
    pub(in crate::shard) fn wake_waiting_clients(&self) {
        fence(Ordering::SeqCst);
        if self.has_waiting.load(Ordering::Relaxed) && self.has_waiting.swap(false, Ordering::SeqCst) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let wakers = std::mem::take(&mut *waiting);
            drop(waiting);
            wakers.iter().for_each(|waker| wake_caller(waker));
        }
    }

    /// Announces that the shard is about to park. Returns `false` if a message has arrived, so that it must not park.
    pub(in crate::shard) fn prepare_to_park(&self) -> bool {
        self.is_parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let may_park = !self.has_messages();
        if !may_park {
            self.is_parked.store(false, Ordering::Relaxed);
        }
        may_park
    }

    /// Notes that the shard is awake.
    pub(in crate::shard) fn end_park(&self) {
        self.is_parked.store(false, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox(shard {})", self.shard)
    }
}
