//! The way into a shard from other threads: two bounded lanes and one wake.
//!
//! Appends have a lane of their own, so that a full one cannot hold up fetches and admin. A client that finds no room
//! leaves its waker and is woken once there is some: back-pressure, never loss.

use super::Shard;
use super::pulse::Pulse;
use super::wake::wake_caller;
use crate::buffer::SharedBytes;
use crate::disk::uring::RingWaker;
use crate::error::{AppendError, FetchError};
use crate::types::Durability;
use crossbeam::queue::{ArrayQueue, SegQueue};
use futures_util::future::LocalBoxFuture;
use futures_util::task::AtomicWaker;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

/// Most appends waiting, however small.
pub(super) const APPEND_LANE: usize = 4096;

/// Most fetches and admin calls waiting.
const CALL_LANE: usize = 4096;

/// Buffers kept for a producer's next batches.
const RECYCLED_BUFFERS: usize = 64;

/// Fewest registered clients among which those that are gone are looked for.
const CLIENTS_SWEEP_MIN: usize = 64;

/// One batch on its way to a log.
#[derive(Debug)]
pub struct Append {
    /// The shard's number for the partition.
    pub(crate) slot: usize,
    pub(crate) batch: Vec<u8>,
    /// The topic's level if `None`.
    pub(crate) level: Option<Durability>,
    pub(crate) reply: Reply,
}

/// Where an append's fate goes. Lost ones say `Closed`, so no client waits for ever.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) inbox: Arc<AckInbox>,
    /// What the producer knows the batch by.
    pub(crate) ticket: u64,
}

/// A batch's fate: ticket, and its base offset.
pub(crate) type AckMessage = (u64, Result<i64, AppendError>);

/// Where a producer's acks arrive.
#[derive(Debug)]
pub(crate) struct AckInbox {
    pub(crate) acks: SegQueue<AckMessage>,
    pub(crate) waker: Arc<AtomicWaker>,
    /// Emptied buffers, to be filled again.
    pub(crate) buffers: ArrayQueue<Vec<u8>>,
    /// Whether a shard has acks here that it has not woken the producer for; by shard, each changes its own.
    has_news: Box<[AtomicBool]>,
}

impl AckInbox {
    /// For acks of shards up to number `last_shard`.
    pub(crate) fn new(last_shard: u32) -> Self {
        Self {
            acks: SegQueue::new(),
            waker: Arc::default(),
            buffers: ArrayQueue::new(RECYCLED_BUFFERS),
            has_news: (0..=last_shard).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Notes that `shard` has put an ack in; whether it is the first since it woke the producer.
    pub(super) fn note_ack(&self, shard: u32) -> bool {
        !self.has_news[shard as usize].swap(true, Ordering::Relaxed)
    }

    /// Wakes the producer for the acks that `shard` has put in.
    pub(super) fn wake(&self, shard: u32) {
        self.has_news[shard as usize].store(false, Ordering::Relaxed);
        wake_caller(&self.waker);
    }
}

/// A read from one partition.
#[derive(Debug)]
pub struct FetchRequest {
    pub(crate) slot: usize,
    pub(crate) offset: i64,
    pub(crate) bytes_max: usize,
    pub(crate) max_wait: Duration,
    /// Leader epoch of a saved position, which is checked then. The answer to such a fetch has no records.
    pub(crate) saved_epoch: Option<i32>,
    /// The consumer's, as long as there is one.
    pub(crate) inbox: Weak<FetchInbox>,
    /// What the consumer knows the fetch by; its low half is the partition's index in the consumer's assignment.
    pub(crate) ticket: u64,
}

/// Names a consumer's reader of one partition: the consumer, and the index in its assignment.
pub(super) type Reader = (usize, u32);

/// What a fetch brought.
#[derive(Debug)]
pub(crate) struct FetchReply {
    /// Whole batches; none if `max_wait` ran out.
    pub(crate) batches: Vec<SharedBytes>,
    pub(crate) high_watermark: i64,
    /// The log's current leader epoch.
    pub(crate) leader_epoch: i32,
}

/// Where a consumer's fetches arrive.
#[derive(Debug, Default)]
pub(crate) struct FetchInbox {
    pub(crate) replies: SegQueue<(u64, Result<FetchReply, FetchError>)>,
    pub(crate) waker: Arc<AtomicWaker>,
}

impl FetchRequest {
    /// Sends the reply to the consumer, if it is still there.
    pub(crate) fn answer(self, reply: Result<FetchReply, FetchError>) {
        if let Some(inbox) = self.inbox.upgrade() {
            inbox.replies.push((self.ticket, reply));
            wake_caller(&inbox.waker);
        }
    }

    /// Whose fetch it is. No other consumer has the number while this request exists.
    pub(super) fn reader(&self) -> Reader {
        let index = u32::try_from(self.ticket & u64::from(u32::MAX)).unwrap_or_default();
        (self.inbox.as_ptr().addr(), index)
    }

    /// Whether the consumer is still there.
    pub(super) fn is_wanted(&self) -> bool {
        self.inbox.strong_count() > 0
    }
}

/// Work to be done on the shard's thread.
pub(crate) type Task = Box<dyn FnOnce(Rc<Shard>) -> LocalBoxFuture<'static, ()> + Send>;

/// What goes through the second lane.
pub(crate) enum Call {
    Fetch(FetchRequest),
    Run(Task),
}

/// Why something did not go in; it comes back.
#[derive(Debug)]
pub enum Refusal<T> {
    /// No room; the waker will be woken.
    Full(T),
    /// The shard does not move.
    Stuck(T),
    /// The shard has ended.
    Closed(T),
}

const OPEN: u8 = 0;
const STUCK: u8 = 1;
const CLOSED: u8 = 2;
/// The shard's work has panicked: it is as stuck as can be, and for good.
const FAILED: u8 = 3;

/// See the module.
pub(crate) struct Mailbox {
    pub(crate) shard: u32,
    appends: ArrayQueue<Append>,
    calls: ArrayQueue<Call>,
    /// Bytes of appends that no log has taken yet.
    append_bytes: AtomicUsize,
    append_bytes_max: usize,
    is_parked: AtomicBool,
    ring: OnceLock<RingWaker>,
    state: AtomicU8,
    pub(crate) pulse: Pulse,
    /// Of the task that beats.
    beating: Mutex<Option<Waker>>,
    has_waiting: AtomicBool,
    waiting: Mutex<Vec<Arc<AtomicWaker>>>,
    clients: Mutex<Clients>,
}

/// Who is woken when a shard is declared stuck or closed.
#[derive(Default)]
struct Clients {
    wakers: Vec<Weak<AtomicWaker>>,
    /// How many there may be before those that are gone are looked for.
    sweep_at: usize,
}

impl Mailbox {
    pub(crate) fn new(shard: u32, append_bytes_max: usize) -> Self {
        Self {
            shard,
            appends: ArrayQueue::new(APPEND_LANE),
            calls: ArrayQueue::new(CALL_LANE),
            append_bytes: AtomicUsize::new(0),
            append_bytes_max,
            is_parked: AtomicBool::new(false),
            ring: OnceLock::new(),
            state: AtomicU8::new(OPEN),
            pulse: Pulse::default(),
            beating: Mutex::new(None),
            has_waiting: AtomicBool::new(false),
            waiting: Mutex::new(Vec::new()),
            clients: Mutex::default(),
        }
    }

    /// The ring's shard is woken from now on; what was put in before is found at its first turn.
    pub(crate) fn attach(&self, ring: RingWaker) {
        let _ = self.ring.set(ring);
    }

    /// `waker` is woken when the shard is declared stuck or closed; each handle registers once.
    pub(crate) fn register(&self, waker: &Arc<AtomicWaker>) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.wakers.len() >= clients.sweep_at {
            clients.wakers.retain(|client| client.strong_count() > 0);
            clients.sweep_at = CLIENTS_SWEEP_MIN.max(2 * clients.wakers.len());
        }
        clients.wakers.push(Arc::downgrade(waker));
    }

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
        // Room may have been made before the waker was left.
        self.push_append(append).map_err(Refusal::Full)
    }

    fn push_append(&self, append: Append) -> Result<(), Append> {
        let bytes = append.batch.len();
        if !self.reserve(bytes) {
            return Err(append);
        }
        if let Err(append) = self.appends.push(append) {
            self.append_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(append);
        }
        self.wake();
        Ok(())
    }

    /// Counts `bytes` of an append until [`Mailbox::taken`], if there is room. One that is larger than all the room goes
    /// in alone.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let before = self.append_bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = before == 0 || before + bytes <= self.append_bytes_max;
        if !has_room {
            self.append_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        has_room
    }

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

    pub(crate) fn try_fetch(
        &self,
        request: FetchRequest,
        waker: &Arc<AtomicWaker>,
    ) -> Result<(), Refusal<FetchRequest>> {
        let fetch = |call| match call {
            Call::Fetch(request) => request,
            Call::Run(_) => unreachable!("what is refused is what was put in"),
        };
        self.try_call(Call::Fetch(request), waker).map_err(|refusal| match refusal {
            Refusal::Full(call) => Refusal::Full(fetch(call)),
            Refusal::Stuck(call) => Refusal::Stuck(fetch(call)),
            Refusal::Closed(call) => Refusal::Closed(fetch(call)),
        })
    }

    pub(super) fn wait_for_room(&self, waker: &Arc<AtomicWaker>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|other| Arc::ptr_eq(other, waker)) {
            waiting.push(Arc::clone(waker));
        }
        self.has_waiting.store(true, Ordering::SeqCst);
        // Pairs with the fence in `room_made`: either the caller's next try sees the room, or the shard sees that somebody
        // waits. The try begins with a relaxed access, so the store alone is not enough on every processor.
        fence(Ordering::SeqCst);
    }

    fn wake(&self) {
        // Pairs with the fence in `prepare_to_park`: either this sees the flag, or the shard sees what was pushed.
        fence(Ordering::SeqCst);
        if self.is_parked.load(Ordering::Relaxed)
            && self.is_parked.swap(false, Ordering::Relaxed)
            && let Some(ring) = self.ring.get()
        {
            ring.wake();
        }
    }

    /// Sets the task that [`Mailbox::nudge`] wakes from now on.
    pub(crate) fn set_beating(&self, waker: Option<&Waker>) {
        let mut beating = self.beating.lock().unwrap_or_else(PoisonError::into_inner);
        if waker.is_none_or(|waker| !beating.as_ref().is_some_and(|old| old.will_wake(waker))) {
            *beating = waker.cloned();
        }
    }

    /// Has the shard's executor look at its tasks, from another thread: glommio's may sleep although some are runnable, and
    /// then neither its timers nor its own reads wake it.
    pub(crate) fn nudge(&self) {
        if let Some(waker) = &*self.beating.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    /// Whether the shard does not move.
    pub(crate) fn is_stuck(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), STUCK | FAILED)
    }

    /// Whether the shard has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// Declares the shard stuck, or moving again; returns whether that is new.
    pub(crate) fn set_stuck(&self, is_stuck: bool) -> bool {
        let (from, to) = if is_stuck { (OPEN, STUCK) } else { (STUCK, OPEN) };
        let is_new = self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if is_new {
            self.wake_clients();
        }
        is_new
    }

    /// Declares the shard stuck for good.
    pub(super) fn fail(&self) {
        self.state.store(FAILED, Ordering::Release);
        self.wake_clients();
    }

    /// Nothing goes in any more, and the shard ends. A shard that has failed stays so.
    pub(crate) fn close(&self) {
        let close = |state| (state != FAILED).then_some(CLOSED);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, close);
        self.wake_clients();
        self.rouse();
    }

    /// Wakes every client, without the lock: a waker is the caller's code.
    fn wake_clients(&self) {
        let clients: Vec<Arc<AtomicWaker>> = {
            let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            clients.wakers.iter().filter_map(Weak::upgrade).collect()
        };
        clients.iter().for_each(|client| wake_caller(client));
    }

    /// What a shard that stands still waits for, for the log.
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

    /// Puts a task in as if its wake were lost.
    #[cfg(test)]
    pub(crate) fn put_without_wake(&self, task: Task) {
        assert!(self.calls.push(Call::Run(task)).is_ok(), "there is room");
    }

    /// Whether the shard has messages to take.
    pub(super) fn has_messages(&self) -> bool {
        !self.appends.is_empty() || !self.calls.is_empty()
    }

    /// Number of appends that the shard has not taken.
    pub(super) fn waiting_appends(&self) -> usize {
        self.appends.len()
    }

    /// The next append; its bytes count until [`Mailbox::taken`].
    pub(super) fn pop_append(&self) -> Option<Append> {
        self.appends.pop()
    }

    pub(super) fn pop_call(&self) -> Option<Call> {
        self.calls.pop()
    }

    /// A log has taken, or refused for good, an append of `bytes`.
    pub(super) fn taken(&self, bytes: usize) {
        self.append_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Wakes clients that found no room; for the shard, after it has taken something out.
    pub(super) fn room_made(&self) {
        fence(Ordering::SeqCst);
        if self.has_waiting.load(Ordering::Relaxed) && self.has_waiting.swap(false, Ordering::SeqCst) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let woken = std::mem::take(&mut *waiting);
            drop(waiting);
            woken.iter().for_each(|waker| wake_caller(waker));
        }
    }

    /// Wakes the shard if it is parked, for something that did not come through here.
    pub(super) fn rouse(&self) {
        self.wake();
    }

    /// Announces that the shard is going to park; `false` if something has come in, and it must not.
    pub(super) fn prepare_to_park(&self) -> bool {
        self.is_parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let may_park = !self.has_messages();
        if !may_park {
            self.is_parked.store(false, Ordering::Relaxed);
        }
        may_park
    }

    /// The shard is awake.
    pub(super) fn unparked(&self) {
        self.is_parked.store(false, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox(shard {})", self.shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Wake;
    use std::thread::Thread;
    use std::time::Instant;

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Puts `count` appends in; sleeps whenever there is no room.
    fn produce(mailbox: &Mailbox, count: usize) {
        let inbox = Arc::new(AckInbox::new(1));
        let thread = Waker::from(Arc::new(Unpark(std::thread::current())));
        for _ in 0..count {
            let reply = Reply { inbox: Arc::clone(&inbox), ticket: 0 };
            let mut append = Append { slot: 0, batch: vec![0; 60], level: None, reply };
            loop {
                inbox.waker.register(&thread);
                match mailbox.try_append(append, &inbox.waker) {
                    Ok(()) => break,
                    Err(Refusal::Full(back)) => append = back,
                    Err(refusal) => panic!("{refusal:?}"),
                }
                std::thread::park();
            }
        }
    }

    #[test]
    fn producers_that_find_no_room_are_woken_once_there_is_some() {
        const PRODUCERS: usize = 3;
        const COUNT: usize = 5_000;
        // Room for one.
        let mailbox = Arc::new(Mailbox::new(0, 100));
        for _ in 0..PRODUCERS {
            let mailbox = Arc::clone(&mailbox);
            std::thread::spawn(move || produce(&mailbox, COUNT));
        }
        let (mut taken, mut taken_at) = (0, Instant::now());
        while taken < PRODUCERS * COUNT {
            if let Some(append) = mailbox.pop_append() {
                mailbox.taken(append.batch.len());
                mailbox.room_made();
                (taken, taken_at) = (taken + 1, Instant::now());
            } else {
                assert!(taken_at.elapsed() < Duration::from_secs(30), "all sleep after {taken}");
                std::thread::yield_now();
            }
        }
    }
}
