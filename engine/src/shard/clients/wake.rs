//! A flag for the futures that the pump polls.

use crate::shard::Mailbox;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

/// A flag that says that some future of the shard has to be polled. Raising it wakes the pump if it is parked. Any
/// thread may raise it.
pub(in crate::shard) struct Flag {
    is_raised: AtomicBool,
    mailbox: Arc<Mailbox>,
}

impl Flag {
    pub(in crate::shard) const fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { is_raised: AtomicBool::new(false), mailbox }
    }

    pub(in crate::shard) fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Acquire)
    }

    /// Lowers the flag. Returns whether it was raised. A future that raises it from now on is polled later.
    pub(in crate::shard) fn lower(&self) -> bool {
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
