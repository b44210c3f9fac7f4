//! Memory of a shard: which logs can give some back when the arena is used up, and which appends wait for it.
//!
//! Memory serves the logs that use it. An append that finds none takes it from the log that was used longest ago. Only if
//! no log has anything to give does it wait, behind those that wait already. It waits for no timer: every chunk that
//! returns, on any thread, wakes the shard, and so does a completed write, after which its log has something to give.

use super::Shard;
use super::mailbox::Mailbox;
use super::slots::SlotList;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// Size of the buffer that a read from files asks the arena for, bytes.
const READ_BYTES: usize = 1 << 20;

/// See the module.
pub(super) struct Memory {
    returned: Arc<Returned>,
    /// Slots of logs that may have something to give back, the least recently used first. A log that was asked leaves the
    /// list until it is used again or one of its writes completes, so that no log is asked twice for nothing.
    holders: RefCell<SlotList>,
    /// Slots whose next append waits for memory, first come first served.
    starved: RefCell<SlotList>,
}

/// Set when memory has returned that somebody waits for; wakes the shard.
struct Returned {
    is_raised: AtomicBool,
    mailbox: Arc<Mailbox>,
}

impl Wake for Returned {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_raised.store(true, Ordering::Release);
        // After the store: the shard looks at it once it has said that it parks.
        self.mailbox.rouse();
    }
}

impl Memory {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            returned: Arc::new(Returned { is_raised: AtomicBool::new(false), mailbox }),
            holders: RefCell::default(),
            starved: RefCell::default(),
        }
    }

    /// The waker for [`Arena::set_notifier`](crate::buffer::Arena::set_notifier).
    pub(super) fn notifier(&self) -> Waker {
        Waker::from(Arc::clone(&self.returned))
    }

    /// Whether memory has returned that somebody waits for.
    pub(super) fn has_returned(&self) -> bool {
        self.returned.is_raised.load(Ordering::Acquire)
    }

    /// Whether some append waits for memory.
    pub(super) fn has_starved(&self) -> bool {
        !self.starved.borrow().is_empty()
    }

    /// The log in a slot was appended to, or has read from its files.
    pub(super) fn used(&self, slot: usize) {
        self.holders.borrow_mut().move_to_back(slot);
    }

    /// A write of the log in a slot has completed: it may have something to give back now.
    pub(super) fn written(&self, slot: usize) {
        self.holders.borrow_mut().push_back(slot);
    }
}

impl Shard {
    /// Takes memory from the logs that were used longest ago until the arena has `bytes`. If it does not have them even
    /// then, the next chunk that returns wakes the shard.
    pub(super) fn find_room(&self, bytes: usize) -> bool {
        let arena = &self.context.arena;
        loop {
            if arena.has_room(bytes) {
                return true;
            }
            let Some(slot) = self.memory.holders.borrow_mut().pop_front() else { break };
            if let Some(partition) = self.partition(slot) {
                partition.log.shed_memory();
            }
        }
        arena.want();
        arena.has_room(bytes)
    }

    /// Makes room for a read from the files of the log in `slot`, which keeps what it has read ahead. Appends that wait come
    /// first.
    pub(super) fn find_read_room(&self, slot: usize) {
        self.memory.used(slot);
        if self.memory.has_starved() {
            return;
        }
        while !self.context.arena.has_room(READ_BYTES) {
            let mut holders = self.memory.holders.borrow_mut();
            let Some(oldest) = holders.first().filter(|oldest| *oldest != slot) else { break };
            holders.remove(oldest);
            drop(holders);
            if let Some(partition) = self.partition(oldest) {
                partition.log.shed_memory();
            }
        }
    }

    /// The next append of a slot waits for memory, behind those that do already.
    pub(super) fn starve(&self, slot: usize) {
        self.memory.starved.borrow_mut().push_back(slot);
        self.context.arena.set_waiting_appends(true);
    }

    /// Gives memory to those that wait for it, if any may have come back; whether there was anything to do.
    pub(super) fn share_returned_memory(&self) -> bool {
        let has_returned = self.memory.returned.is_raised.swap(false, Ordering::Acquire);
        let mut has_served = false;
        if self.memory.has_starved() && (has_returned || !self.memory.holders.borrow().is_empty()) {
            has_served = self.serve_starved();
        }
        if has_returned {
            self.context.arena.wake_reads();
        }
        has_returned || has_served
    }

    /// Puts in appends that wait for memory, one of each slot in turn, while there is some; whether there was.
    fn serve_starved(&self) -> bool {
        let mut has_served = false;
        loop {
            let first = self.memory.starved.borrow().first();
            let Some(slot) = first else { break };
            let partition = self.partition(slot);
            let next = partition.as_ref().and_then(|partition| partition.waiting.borrow_mut().pop_front());
            if let (Some(partition), Some(append)) = (partition, next) {
                let needed = partition.log.memory_for(append.batch.len());
                if needed.is_some_and(|bytes| !self.find_room(bytes)) {
                    partition.waiting.borrow_mut().push_front(append);
                    break;
                }
                if let Some(append) = self.put_now(slot, &partition, append) {
                    partition.waiting.borrow_mut().push_front(append);
                }
                // Its jobs, and the appends behind this one.
                self.list(slot);
                has_served = true;
            }
            self.memory.starved.borrow_mut().remove(slot);
        }
        if !self.memory.has_starved() {
            self.context.arena.set_waiting_appends(false);
            self.context.arena.wake_reads();
        }
        if has_served {
            self.mailbox.room_made();
        }
        has_served
    }

    /// Whether the appends of a slot wait for memory that nothing on this shard gives back any more: only readers can.
    pub(super) fn is_out_of_memory(&self, slot: usize) -> bool {
        self.memory.starved.borrow().contains(slot)
            && self.memory.holders.borrow().is_empty()
            && !self.memory.has_returned()
            && self.ring.in_flight() == 0
            && self.committer.borrow().is_idle()
    }
}
