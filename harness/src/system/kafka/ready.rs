//! The queues of a client that hold something, and the waker of the load thread that reads them.
//!
//! The client's threads note a queue that gets its first entry, and wake the load thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

/// The queues that hold something. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Ready(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The partitions' queues that may hold records, by number.
    queues: VecDeque<usize>,
    /// The time at which the queue of events got its first entry; `None` if that was seen.
    events_since: Option<Instant>,
    waker: Option<Waker>,
}

impl Ready {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a waker. A queue that is noted from now on wakes it once.
    pub(super) fn listen(&self, waker: &Waker) {
        let mut state = self.state();
        if !state.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
    }

    /// Notes that the queue of a partition holds records. The client calls it while it holds the queue's lock, so nothing here uses
    /// the client.
    pub(super) fn note(&self, queue: usize) {
        self.put_back(queue);
        self.wake();
    }

    /// Notes that the queue of events holds some. The client calls it while it holds the queue's lock, so nothing here uses the
    /// client.
    pub(super) fn note_events(&self) {
        self.state().events_since.get_or_insert_with(Instant::now);
        self.wake();
    }

    fn wake(&self) {
        let waker = self.state().waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Notes that a queue still holds records, without waking anyone.
    pub(super) fn put_back(&self, queue: usize) {
        let mut state = self.state();
        if !state.queues.contains(&queue) {
            state.queues.push_back(queue);
        }
    }

    /// Returns the queue of a partition that may hold records.
    pub(super) fn take(&self) -> Option<usize> {
        self.state().queues.pop_front()
    }

    /// Returns the time at which the queue of events got its first entry; `None` if there was none since the last call.
    pub(super) fn take_events(&self) -> Option<Instant> {
        self.state().events_since.take()
    }
}
