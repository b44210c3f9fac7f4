//! The next buffer for a read that waits for memory.

use super::{Arena, ReadBuffer};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

impl Arena {
    /// Waits for a chunk for a read of up to `bytes`. The chunk is a reserved block if nothing else is left. If no
    /// reserved block is left either, reads wait in the order in which they came.
    ///
    /// Bytes in a reserved block cannot be pinned: copy them, and drop the block soon.
    ///
    /// # Panics
    /// If `bytes` is above [`CHUNK_BYTES_MAX`](super::CHUNK_BYTES_MAX).
    pub async fn next_read_buffer(&self, bytes: usize) -> ReadBuffer {
        NextBuffer::new(self, bytes).await
    }
}

/// The future of [`Arena::next_read_buffer`].
struct NextBuffer<'a> {
    arena: &'a Arena,
    bytes: usize,
    /// Number of this read in the queue, once it waits.
    ticket: Option<u64>,
}

impl<'a> NextBuffer<'a> {
    const fn new(arena: &'a Arena, bytes: usize) -> Self {
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
