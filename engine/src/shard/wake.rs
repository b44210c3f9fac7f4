//! Wakes between the shard and other code: a flag for the futures that the pump polls, and the wakers of callers.

use super::Mailbox;
use futures_util::task::AtomicWaker;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

/// A flag that says that some future of the shard has to be polled. Raising it wakes the pump if it is parked. Any
/// thread may raise it.
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

    /// Lowers the flag. Returns whether it was raised. A future that raises it from now on is polled later.
    pub(super) fn lower(&self) -> bool {
        // Acquire: the swap reads the value of the thread that raised the flag last, also if several did. So the pump
        // sees what all of them made ready.
        self.is_raised.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Only the first thread that raises the flag wakes the pump. The wake comes after the store: the pump reads the
        // flag after it has announced that it parks.
        if !self.is_raised.swap(true, Ordering::AcqRel) {
            self.mailbox.wake();
        }
    }
}

/// Wakes a caller. A panic of its waker is caught: the waker is the caller's own code, and this thread works for others
/// too.
pub(crate) fn wake_caller(waker: &AtomicWaker) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        tracing::error!("a waker of a caller panicked");
    }
}
