//! The ring and the table of its operations, which both sides share.

use super::keep::Slot;
use super::reads::Reads;
use glommio::io::BufferedFile;
use io_uring::IoUring;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

/// The ring and the table of its operations. Each operation holds a reference to it.
pub(super) struct Inner {
    pub(super) ring: RefCell<IoUring>,
    /// The operations. The key is the operation's `user_data`.
    pub(super) slots: RefCell<Slab<Slot>>,
    /// Count of the operations that are queued or in the kernel.
    pub(super) in_flight: Cell<usize>,
    /// Count of the operations in flight that kernel worker threads run.
    pub(super) workers_in_flight: Cell<usize>,
    /// Set while the pump waits. Nobody else submits then, so each operation is submitted when it starts.
    pub(super) submits_at_once: Cell<bool>,
    /// Written by the kernel at each completion, and by [`RingWaker`].
    pub(super) event: Arc<OwnedFd>,
    /// A duplicate of `event`, which glommio reads and owns; `None` after [`Ring::close`].
    pub(super) event_file: RefCell<Option<Rc<BufferedFile>>>,
    /// Address and size in bytes of the registered arena.
    pub(super) registered: Cell<Option<(usize, usize)>>,
    pub(super) reads: Reads,
    #[cfg(test)]
    pub(super) faults: super::faults::Faults,
    #[cfg(test)]
    pub(super) most_in_flight: Cell<MostInFlight>,
}

/// The largest numbers of operations, and of syncs of files and directories, that were in flight at the same time.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MostInFlight {
    pub(crate) operations: usize,
    pub(crate) syncs: usize,
}

impl Inner {
    /// Counts the operations that are in flight now, as one has just started.
    #[cfg(test)]
    pub(super) fn note_most_in_flight(&self) {
        let slots = self.slots.borrow();
        let is_sync = |slot: &Slot| matches!(slot, Slot::InFlight { keep, .. } if keep.syncs == super::keep::Syncs::File);
        let syncs = slots.iter().filter(|(_, slot)| is_sync(slot)).count();
        let most = self.most_in_flight.get();
        let operations = most.operations.max(self.in_flight.get());
        self.most_in_flight.set(MostInFlight { operations, syncs: most.syncs.max(syncs) });
    }

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
            // If this drops the last clone of the operation's file, the file is closed through the ring. That takes a
            // slot, so `slots` must not be borrowed any more.
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
        // The kernel may still read or write memory that the slots own. So wait for it before they are dropped.
        while self.in_flight.get() > 0 {
            let ring = self.ring.get_mut();
            if ring.submit_and_wait(1).is_err_and(|error| !may_retry(&error)) {
                // No completion can be waited for: leak the memory rather than free what the kernel may touch.
                std::mem::forget(std::mem::take(self.slots.get_mut()));
                return;
            }
            let completed: Vec<(u64, i32)> =
                ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
            self.in_flight.set(self.in_flight.get() - completed.len());
            // All operations are orphans, as a future keeps the ring alive.
            for (key, result) in completed {
                let key = usize::try_from(key).expect("user_data is a slot's key");
                if let Some(Slot::InFlight { keep, .. }) = self.slots.get_mut().get(key) {
                    drop(keep.opened(result));
                }
            }
        }
    }
}

/// Whether entering the kernel failed for a reason that passes: a signal, or no memory.
pub(super) fn may_retry(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM))
}
