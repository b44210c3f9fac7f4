//! Wakes between the shard and everybody else: a flag for the futures that the pump polls, and the wakers of callers.

use super::Mailbox;
use futures_util::task::AtomicWaker;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

/// Remembers that some future of the shard wants to be polled, and wakes the pump for it if it is parked. Any thread may
/// raise it.
pub(super) struct Flag {
    is_raised: AtomicBool,
    mailbox: Arc<Mailbox>,
}

impl Flag {
    pub(super) const fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { is_raised: AtomicBool::new(false), mailbox }
    }

    pub(super) fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Acquire)
    }

    /// Lowers it; returns whether it was raised. A future that raises it from now on is polled later.
    pub(super) fn lower(&self) -> bool {
        // It reads what the last to raise it wrote, also if several did: what they made ready is seen then.
        self.is_raised.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The first to raise it wakes the pump. That is after the store, as with the mailbox's push: the pump looks at the
        // flag once it has said that it parks.
        if !self.is_raised.swap(true, Ordering::AcqRel) {
            self.mailbox.rouse();
        }
    }
}

/// Wakes a caller. Its waker is the caller's own code: a panic there is the caller's fault, and must not end this thread,
/// which works for others too.
pub(crate) fn wake_caller(waker: &AtomicWaker) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        tracing::error!("a waker of a caller panicked");
    }
}
