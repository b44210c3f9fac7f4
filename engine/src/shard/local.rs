//! The way into a shard for tasks that run on it: plain queues that the pump empties in the same turn, and its timers.
//! Appends are offered to the shard while the task goes on.
//!
//! Memory stays bounded as for everybody else: an append counts against the mailbox's bytes until a log has taken it.

use super::Shard;
use super::mailbox::{APPEND_LANE, Append, FetchRequest, Mailbox, Refusal};
use super::wake::wake_caller;
use futures_util::task::AtomicWaker;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// See the module. Stays on its shard's thread.
pub(crate) struct LocalLanes {
    pub(crate) mailbox: Arc<Mailbox>,
    /// Whose they are, once it runs.
    shard: OnceCell<Weak<Shard>>,
    appends: RefCell<VecDeque<Append>>,
    fetches: RefCell<VecDeque<FetchRequest>>,
    timers: RefCell<Timers>,
    is_closed: Cell<bool>,
}

/// Who is to be woken when; the number tells apart what is due at the same time.
#[derive(Default)]
struct Timers {
    due: BTreeMap<(Instant, u64), Arc<AtomicWaker>>,
    next: u64,
}

impl LocalLanes {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            mailbox,
            shard: OnceCell::new(),
            appends: RefCell::default(),
            fetches: RefCell::default(),
            timers: RefCell::default(),
            is_closed: Cell::new(false),
        }
    }

    /// Tells it whose it is.
    pub(super) fn attach(&self, shard: &Rc<Shard>) {
        let _ = self.shard.set(Rc::downgrade(shard));
    }

    pub(crate) fn try_append(&self, append: Append, waker: &Arc<AtomicWaker>) -> Result<(), Refusal<Append>> {
        if self.is_closed.get() {
            return Err(Refusal::Closed(append));
        }
        let bytes = append.batch.len();
        if !self.has_room(bytes) {
            self.mailbox.wait_for_room(waker);
            // Other threads' appends share the bound, and some may have been taken before the waker was left.
            if !self.has_room(bytes) {
                return Err(Refusal::Full(append));
            }
        }
        self.appends.borrow_mut().push_back(append);
        self.mailbox.rouse();
        if let Some(shard) = self.shard.get().and_then(Weak::upgrade) {
            let waiting = self.appends.borrow().len();
            shard.offered(waiting);
        }
        Ok(())
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.appends.borrow().len() < APPEND_LANE && self.mailbox.reserve(bytes)
    }

    pub(crate) fn try_fetch(&self, request: FetchRequest) -> Result<(), Refusal<FetchRequest>> {
        if self.is_closed.get() {
            return Err(Refusal::Closed(request));
        }
        // A consumer has one fetch of each partition under way: as many as that.
        self.fetches.borrow_mut().push_back(request);
        self.mailbox.rouse();
        Ok(())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Nothing goes in any more.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
    }

    pub(super) fn pop_append(&self) -> Option<Append> {
        self.appends.borrow_mut().pop_front()
    }

    pub(super) fn pop_fetch(&self) -> Option<FetchRequest> {
        self.fetches.borrow_mut().pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.appends.borrow().is_empty() && self.fetches.borrow().is_empty()
    }

    /// Wakes `waker` at `due`; the answer takes it back.
    pub(crate) fn wake_at(&self, due: Instant, waker: &Arc<AtomicWaker>) -> u64 {
        let mut timers = self.timers.borrow_mut();
        timers.next += 1;
        let number = timers.next;
        timers.due.insert((due, number), Arc::clone(waker));
        number
    }

    /// When the next timer is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.timers.borrow().due.first_key_value().map(|((due, _), _)| *due)
    }

    /// Wakes who is due.
    pub(super) fn fire(&self, now: Instant) {
        while self.next_due().is_some_and(|due| due <= now) {
            let first = self.timers.borrow_mut().due.pop_first();
            if let Some((_, waker)) = first {
                wake_caller(&waker);
            }
        }
    }

    /// Comes back at `until`.
    pub(crate) fn sleep_until(self: &Rc<Self>, until: Instant) -> Sleep {
        Sleep { lanes: Rc::clone(self), until, timer: None }
    }
}

impl std::fmt::Debug for LocalLanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalLanes(shard {})", self.mailbox.shard)
    }
}

/// A sleep of a colocated task; dropping it takes its timer back.
#[derive(Debug)]
pub struct Sleep {
    lanes: Rc<LocalLanes>,
    until: Instant,
    timer: Option<(u64, Arc<AtomicWaker>)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.until {
            return Poll::Ready(());
        }
        if self.timer.is_none() {
            let waker = Arc::default();
            self.timer = Some((self.lanes.wake_at(self.until, &waker), waker));
        }
        if let Some((_, waker)) = &self.timer {
            waker.register(context.waker());
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((number, _)) = &self.timer {
            self.lanes.timers.borrow_mut().due.remove(&(self.until, *number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AckInbox, Reply};
    use super::*;
    use std::task::{Wake, Waker};

    struct Woken(std::sync::atomic::AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn append(bytes: usize) -> Append {
        let reply = Reply { inbox: Arc::new(AckInbox::new(0)), ticket: 0 };
        Append { slot: 0, batch: vec![0; bytes], level: None, reply }
    }

    #[test]
    fn appends_beyond_the_mailboxs_bytes_wait_until_others_are_taken() {
        let lanes = LocalLanes::new(Arc::new(Mailbox::new(0, 100)));
        let woken = Arc::new(Woken(false.into()));
        let waker = Arc::new(AtomicWaker::new());
        waker.register(&Waker::from(Arc::clone(&woken)));
        assert!(lanes.try_append(append(60), &waker).is_ok());
        assert!(matches!(lanes.try_append(append(60), &waker), Err(Refusal::Full(_))));
        assert!(!lanes.mailbox.reserve(60), "other threads share the bound");
        let taken = lanes.pop_append().expect("the first is in");
        lanes.mailbox.taken(taken.batch.len());
        lanes.mailbox.room_made();
        assert!(woken.0.load(std::sync::atomic::Ordering::SeqCst));
        assert!(lanes.try_append(append(60), &waker).is_ok());
        lanes.close();
        assert!(matches!(lanes.try_append(append(1), &waker), Err(Refusal::Closed(_))));
    }
}
