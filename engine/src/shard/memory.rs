//! Memory of a shard: the logs that can give some back when the arena is used up, and the appends that wait for it.
//!
//! Memory serves the logs that use it. An append that finds none takes it from the log that was used longest ago. Only
//! if no log can give any does the append wait, behind those that already wait. No timer is involved. Every chunk that
//! returns, on any thread, wakes the shard. So does a completed write, as its log may then give memory back.
//!
//! The logs in use share half of the arena for what they keep for readers: those that were appended to, or read from their files, in
//! this round or the last one. A round ends when half of the arena's bytes were appended or read. Logs that are only open have no
//! share. A log that is no longer used keeps its memory until the arena is used up; then the log that was used longest ago gives
//! its memory back first.

use super::Shard;
use super::clients::mailbox::Mailbox;
use super::slots::SlotList;
use crate::log::LogLimits;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// Size of the buffer that a read from files requests from the arena, bytes.
const READ_BYTES: usize = 1 << 20;

/// The lists of logs that may give memory back, and of slots that wait for memory, and the count of the logs in use.
pub(super) struct Memory {
    returned: Arc<Returned>,
    /// Slots of logs that may have memory to give back, the least recently used first. A log that was asked leaves the
    /// list until it is used again or one of its writes completes. So no log is asked twice without need.
    holders: RefCell<SlotList>,
    /// Slots whose next append waits for memory, first come first served.
    starved: RefCell<SlotList>,
    /// The logs in use.
    users: RefCell<Users>,
}

/// The logs that use memory now. They are counted in rounds: a round ends when half of the arena's bytes were used.
#[derive(Debug)]
struct Users {
    /// Bytes whose use ends a round.
    round_bytes: usize,
    /// Number of the round, from 1.
    round: u64,
    /// The round in which each slot was used last; 0 before its first use.
    last_used: Vec<u64>,
    /// Bytes used in this round.
    used_bytes: usize,
    /// Number of logs used in this round.
    in_round: usize,
    /// Number of logs used in the round before.
    in_last_round: usize,
}

impl Users {
    const fn new(round_bytes: usize) -> Self {
        Self { round_bytes, round: 1, last_used: Vec::new(), used_bytes: 0, in_round: 0, in_last_round: 0 }
    }

    /// Notes that the log in `slot` uses `bytes` of memory.
    fn used(&mut self, slot: usize, bytes: usize) {
        if self.last_used.len() <= slot {
            self.last_used.resize(slot + 1, 0);
        }
        if self.last_used[slot] != self.round {
            self.last_used[slot] = self.round;
            self.in_round += 1;
        }
        self.used_bytes += bytes;
        if self.used_bytes >= self.round_bytes {
            self.round += 1;
            self.used_bytes = 0;
            self.in_last_round = std::mem::take(&mut self.in_round);
        }
    }

    /// Number of logs that use memory; at least 1.
    fn count(&self) -> usize {
        self.in_round.max(self.in_last_round).max(1)
    }
}

/// A flag that says that memory has returned for which somebody waits. Raising it wakes the shard.
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
        // After the store: the shard reads the flag after it has announced that it parks.
        self.mailbox.wake();
    }
}

impl Memory {
    /// Makes the lists for an arena of this size.
    pub(super) fn new(mailbox: Arc<Mailbox>, arena_bytes: usize) -> Self {
        Self {
            users: RefCell::new(Users::new(arena_bytes / 2)),
            returned: Arc::new(Returned { is_raised: AtomicBool::new(false), mailbox }),
            holders: RefCell::default(),
            starved: RefCell::default(),
        }
    }

    /// Returns the waker for [`Arena::set_notifier`](crate::buffer::Arena::set_notifier).
    pub(super) fn notifier(&self) -> Waker {
        Waker::from(Arc::clone(&self.returned))
    }

    /// Whether memory has returned for which somebody waits.
    pub(super) fn has_returned(&self) -> bool {
        self.returned.is_raised.load(Ordering::Acquire)
    }

    /// Whether an append waits for memory.
    pub(super) fn has_starved(&self) -> bool {
        !self.starved.borrow().is_empty()
    }

    /// Notes that a write of the log in `slot` has completed, so that it may have memory to give back.
    pub(super) fn written(&self, slot: usize) {
        self.holders.borrow_mut().push_back(slot);
    }
}

impl Shard {
    /// Notes that the log in `slot` was appended to, or reads from its files, and uses `bytes` of memory for that. It becomes the
    /// most recently used one. Sets each log's share of the arena anew if the number of logs that use it has changed.
    pub(super) fn note_memory_use(&self, slot: usize, bytes: usize) {
        self.memory.holders.borrow_mut().move_to_back(slot);
        let mut users = self.memory.users.borrow_mut();
        let before = users.count();
        users.used(slot, bytes);
        let count = users.count();
        if count != before {
            let limits = &self.context.limits;
            let (cache_bytes, chunk_bytes_max) =
                LogLimits::shares(self.context.arena.usage().capacity_bytes, count);
            limits.cache_bytes.set(cache_bytes);
            limits.chunk_bytes_max.set(chunk_bytes_max);
        }
    }

    /// Takes memory from the logs that were used longest ago until the arena has `bytes`. Returns whether it has. If
    /// not, the next chunk that returns wakes the shard.
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

    /// Takes memory from other logs for a read from the files of the log in `slot`. The log itself keeps what it has
    /// read ahead. Does nothing while appends wait, as they come first.
    pub(super) fn find_read_room(&self, slot: usize) {
        self.note_memory_use(slot, 0);
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

    /// Puts a slot behind those whose next append already waits for memory.
    pub(super) fn starve(&self, slot: usize) {
        self.memory.starved.borrow_mut().push_back(slot);
        self.context.arena.set_waiting_appends(true);
    }

    /// Gives memory to appends and reads that wait for it, if some may have returned. Returns whether there was
    /// anything to do.
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

    /// Puts appends that wait for memory into their logs, one for each slot in turn, while there is memory. Returns
    /// whether it served any.
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
                // The pump then starts the log's jobs, and takes the appends behind this one.
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
            self.mailbox.wake_waiting_clients();
        }
        has_served
    }

    /// Whether the appends of a slot wait for memory that only readers can return: nothing on this shard will give any
    /// back.
    pub(super) fn is_out_of_memory(&self, slot: usize) -> bool {
        self.memory.starved.borrow().contains(slot)
            && self.memory.holders.borrow().is_empty()
            && !self.memory.has_returned()
            && self.ring.in_flight() == 0
            && self.committer.borrow().is_idle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_that_are_not_used_have_no_share() {
        let mut users = Users::new(1000);
        assert_eq!(users.count(), 1);
        (0..4).for_each(|slot| users.used(slot, 100));
        assert_eq!(users.count(), 4, "at once, within the round");
        users.used(0, 600);
        assert_eq!(users.count(), 4, "in the round before");
        users.used(9, 0);
        (0..3).for_each(|_| users.used(0, 300));
        assert_eq!(users.count(), 4, "the round has not ended");
        users.used(0, 100);
        assert_eq!(users.count(), 2, "logs 0 and 9");
        users.used(0, 1000);
        assert_eq!(users.count(), 1);
    }
}
