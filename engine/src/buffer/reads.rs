//! The queue of reads that wait for memory. They get their buffers in the order in which they came.

use super::{Arena, ReadBuffer};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

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
    fn is_next(&self, ticket: Option<u64>) -> bool {
        self.waiting.borrow().front().is_none_or(|(first, _)| Some(*first) == ticket)
    }

    /// Puts a read at the end of the queue, or replaces the waker of one that waits already.
    fn wait(&self, ticket: &mut Option<u64>, waker: &Waker) {
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
    fn leave(&self, ticket: u64) {
        self.waiting.borrow_mut().retain(|(waits, _)| *waits != ticket);
        self.wake_next();
    }
}

/// The future of [`Arena::next_read_buffer`].
pub(super) struct NextBuffer<'a> {
    arena: &'a Arena,
    bytes: usize,
    /// Number of this read in the queue, once it waits.
    ticket: Option<u64>,
}

impl<'a> NextBuffer<'a> {
    pub(super) const fn new(arena: &'a Arena, bytes: usize) -> Self {
        Self { arena, bytes, ticket: None }
    }

    fn try_take(&self) -> Option<ReadBuffer> {
        if self.arena.reads.is_next(self.ticket) { self.arena.take_read_buffer(self.bytes) } else { None }
    }
}

impl Future for NextBuffer<'_> {
    type Output = ReadBuffer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<ReadBuffer> {
        if let Some(buffer) = self.try_take() {
            return Poll::Ready(buffer);
        }
        let this = &mut *self;
        this.arena.reads.wait(&mut this.ticket, context.waker());
        // Memory that returned before `want` wakes nobody. So try once more.
        this.arena.want();
        this.try_take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for NextBuffer<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.arena.reads.leave(ticket);
        }
    }
}
