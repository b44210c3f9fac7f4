//! The way into a shard for tasks that run on it: queues that the pump empties in the same turn, and timers of the
//! pump. The shard takes appends while their task still runs.
//!
//! Memory is bounded as for other threads: an append counts against the mailbox's bytes until a log has taken it.

use super::callers::wake_caller;
use super::mailbox::{APPENDS_MAX, Append, FetchRequest, Mailbox, Refusal};
use crate::shard::Shard;
use futures_util::task::AtomicWaker;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// The queues and timers of a shard's own tasks. They stay on the shard's thread.
pub(crate) struct LocalQueues {
    pub(crate) mailbox: Arc<Mailbox>,
    /// The shard that empties the queues; set once it runs.
    shard: OnceCell<Weak<Shard>>,
    appends: RefCell<VecDeque<Append>>,
    fetches: RefCell<VecDeque<FetchRequest>>,
    timers: RefCell<Timers>,
    is_closed: Cell<bool>,
}

/// Wakers by the time at which they are woken. The number distinguishes those with the same time.
#[derive(Default)]
struct Timers {
    due: BTreeMap<(Instant, u64), Arc<AtomicWaker>>,
    next: u64,
}

impl LocalQueues {
    pub(in crate::shard) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            mailbox,
            shard: OnceCell::new(),
            appends: RefCell::default(),
            fetches: RefCell::default(),
            timers: RefCell::default(),
            is_closed: Cell::new(false),
        }
    }

    /// Sets the shard that empties these queues.
    pub(in crate::shard) fn attach(&self, shard: &Rc<Shard>) {
        let _ = self.shard.set(Rc::downgrade(shard));
    }

    pub(crate) fn try_append(&self, append: Append, waker: &Arc<AtomicWaker>) -> Result<(), Refusal<Append>> {
        if self.is_closed.get() {
            return Err(Refusal::Closed(append));
        }
        let bytes = append.batch.len();
        if !self.has_room(bytes) {
            self.mailbox.wait_for_room(waker);
            // Other threads' appends share the bound on bytes. Some of them may have been taken just before the waker
            // was registered.
            if !self.has_room(bytes) {
                return Err(Refusal::Full(append));
            }
        }
        self.appends.borrow_mut().push_back(append);
        self.mailbox.wake();
        if let Some(shard) = self.shard.get().and_then(Weak::upgrade) {
            let waiting = self.appends.borrow().len();
            shard.take_from_running_task(waiting);
        }
        Ok(())
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.appends.borrow().len() < APPENDS_MAX && self.mailbox.reserve_bytes(bytes)
    }

    pub(crate) fn try_fetch(&self, request: FetchRequest) -> Result<(), Refusal<FetchRequest>> {
        if self.is_closed.get() {
            return Err(Refusal::Closed(request));
        }
        // A consumer has at most one fetch in flight for each of its partitions, which bounds this queue.
        self.fetches.borrow_mut().push_back(request);
        self.mailbox.wake();
        Ok(())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Refuses all further appends and fetches.
    pub(in crate::shard) fn close(&self) {
        self.is_closed.set(true);
    }

    pub(in crate::shard) fn pop_append(&self) -> Option<Append> {
        self.appends.borrow_mut().pop_front()
    }

    pub(in crate::shard) fn pop_fetch(&self) -> Option<FetchRequest> {
        self.fetches.borrow_mut().pop_front()
    }

    pub(in crate::shard) fn is_empty(&self) -> bool {
        self.appends.borrow().is_empty() && self.fetches.borrow().is_empty()
    }

    /// Wakes `waker` at `due`. Returns the timer's number, with which it can be removed.
    pub(crate) fn wake_at(&self, due: Instant, waker: &Arc<AtomicWaker>) -> u64 {
        let mut timers = self.timers.borrow_mut();
        timers.next += 1;
        let number = timers.next;
        timers.due.insert((due, number), Arc::clone(waker));
        number
    }

    /// Returns the time of the next timer.
    pub(in crate::shard) fn next_due(&self) -> Option<Instant> {
        self.timers.borrow().due.first_key_value().map(|((due, _), _)| *due)
    }

    /// Wakes the wakers whose time has come.
    pub(in crate::shard) fn fire(&self, now: Instant) {
        while self.next_due().is_some_and(|due| due <= now) {
            let first = self.timers.borrow_mut().due.pop_first();
            if let Some((_, waker)) = first {
                wake_caller(&waker);
            }
        }
    }

    /// Returns a future that resolves at `until`.
    pub(crate) fn sleep_until(self: &Rc<Self>, until: Instant) -> Sleep {
        Sleep { queues: Rc::clone(self), until, timer: None }
    }
}

impl std::fmt::Debug for LocalQueues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalQueues(shard {})", self.mailbox.shard)
    }
}

/// A sleep of a colocated task. Dropping it removes its timer.
#[derive(Debug)]
pub struct Sleep {
    queues: Rc<LocalQueues>,
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
            self.timer = Some((self.queues.wake_at(self.until, &waker), waker));
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
            self.queues.timers.borrow_mut().due.remove(&(self.until, *number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{AckInbox, Reply, Ticket};
    use super::*;
    use std::task::{Wake, Waker};

    struct Woken(std::sync::atomic::AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn append(bytes: usize) -> Append {
        let reply = Reply { inbox: Arc::new(AckInbox::new(0)), ticket: Ticket::new(0, 0) };
        Append { slot: 0, batch: vec![0; bytes], level: None, reply }
    }

    #[test]
    fn appends_beyond_the_mailboxs_bytes_wait_until_others_are_taken() {
        let queues = LocalQueues::new(Arc::new(Mailbox::new(0, 100)));
        let woken = Arc::new(Woken(false.into()));
        let waker = Arc::new(AtomicWaker::new());
        waker.register(&Waker::from(Arc::clone(&woken)));
        assert!(queues.try_append(append(60), &waker).is_ok());
        assert!(matches!(queues.try_append(append(60), &waker), Err(Refusal::Full(_))));
        assert!(!queues.mailbox.reserve_bytes(60), "other threads share the bound");
        let taken = queues.pop_append().expect("the first is in");
        queues.mailbox.release_bytes(taken.batch.len());
        queues.mailbox.wake_waiting_clients();
        assert!(woken.0.load(std::sync::atomic::Ordering::SeqCst));
        assert!(queues.try_append(append(60), &waker).is_ok());
        queues.close();
        assert!(matches!(queues.try_append(append(1), &waker), Err(Refusal::Closed(_))));
    }
}
