//! The ring and the table of its operations, which both sides share.

use super::keep::Slot;
use glommio::io::BufferedFile;
use io_uring::IoUring;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

/// The ring and what it keeps of its operations; shared with them.
pub(super) struct Inner {
    pub(super) ring: RefCell<IoUring>,
    /// By the `user_data` of the operation.
    pub(super) slots: RefCell<Slab<Slot>>,
    /// Operations queued or in the kernel.
    pub(super) in_flight: Cell<usize>,
    /// Those of them that the kernel gives to its workers.
    pub(super) workers_in_flight: Cell<usize>,
    /// Set while the pump waits: nobody else submits then, so an operation is submitted as it starts.
    pub(super) submits_at_once: Cell<bool>,
    /// Written by the kernel at each completion, and by [`RingWaker`].
    pub(super) event: Arc<OwnedFd>,
    /// A duplicate of `event`, which glommio reads and owns; `None` after [`Ring::close`].
    pub(super) event_file: RefCell<Option<Rc<BufferedFile>>>,
    /// Address and size in bytes of the registered arena.
    pub(super) registered: Cell<Option<(usize, usize)>>,
    pub(super) read_bytes: Cell<u64>,
    #[cfg(test)]
    pub(super) faults: super::faults::Faults,
}

impl Inner {
    pub(super) fn complete(&self, key: usize, result: i32) -> Option<Waker> {
        let mut slots = self.slots.borrow_mut();
        let Slot::InFlight { keep, waker, is_orphan } = &mut slots[key] else {
            unreachable!("an operation completes once")
        };
        let workers = &self.workers_in_flight;
        workers.set(workers.get() - usize::from(keep.is_on_worker));
        keep.note_failure(result);
        if *is_orphan {
            let opened = keep.opened(result);
            let orphan = slots.remove(key);
            // The file that it kept is closed through the ring if this was its last clone: that takes a slot.
            drop(slots);
            drop((orphan, opened));
            return None;
        }
        let (keep, waker) = (std::mem::take(keep), waker.take());
        slots[key] = Slot::Done { result, keep };
        waker
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The kernel may still be reading from or writing to what the slots own: wait for it before they go.
        while self.in_flight.get() > 0 {
            let ring = self.ring.get_mut();
            if ring.submit_and_wait(1).is_err_and(|error| !may_retry(&error)) {
                // Nothing can be waited for: leak rather than free memory that the kernel may touch.
                std::mem::forget(std::mem::take(self.slots.get_mut()));
                return;
            }
            let completed: Vec<(u64, i32)> =
                ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
            self.in_flight.set(self.in_flight.get() - completed.len());
            // All are orphans, as a future holds the ring.
            for (key, result) in completed {
                let key = usize::try_from(key).expect("user_data is a slot's key");
                if let Some(Slot::InFlight { keep, .. }) = self.slots.get_mut().get(key) {
                    drop(keep.opened(result));
                }
            }
        }
    }
}

/// Whether an entry into the kernel failed for now only: a signal, or no memory.
pub(super) fn may_retry(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM))
}
