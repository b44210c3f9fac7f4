//! The queue of reads that wait for memory. They get their buffers in the order in which they came.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::Waker;

/// The reads that wait. The first that came is served first.
#[derive(Default)]
pub(super) struct ReadQueue {
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    tickets: Cell<u64>,
}

impl ReadQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Wakes the first read.
    pub(super) fn wake_next(&self) {
        if let Some((_, waker)) = self.waiting.borrow().front() {
            waker.wake_by_ref();
        }
    }

    /// Whether the read with this ticket is the next one, or no read waits. `None` is a read that does not wait yet.
    pub(super) fn is_next(&self, ticket: Option<u64>) -> bool {
        self.waiting.borrow().front().is_none_or(|(first, _)| Some(*first) == ticket)
    }

    /// Puts a read at the end of the queue, or replaces the waker of one that waits already.
    pub(super) fn wait(&self, ticket: &mut Option<u64>, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.iter_mut().find(|(waits, _)| Some(*waits) == *ticket) {
            Some((_, old)) => old.clone_from(waker),
            None => {
                let next = self.tickets.get();
                self.tickets.set(next + 1);
                waiting.push_back((next, waker.clone()));
                *ticket = Some(next);
            }
        }
    }

    /// Removes a read from the queue, and wakes the first one that is left.
    pub(super) fn leave(&self, ticket: u64) {
        self.waiting.borrow_mut().retain(|(waits, _)| *waits != ticket);
        self.wake_next();
    }
}
