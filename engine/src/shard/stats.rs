//! Counters of a shard.

use crate::disk::uring::ReadStats;
use std::collections::BTreeMap;

/// One shard's counters since the engine was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Number of the shard.
    pub shard: u32,
    /// Time spent on the shard's own work, ns. The time of colocated tasks is not included.
    pub work_ns: u64,
    /// Time that colocated tasks used of the shard's thread, ns.
    pub colocated_ns: u64,
    /// Time spent polling for completions or messages, ns.
    pub poll_ns: u64,
    /// Time spent asleep, ns.
    pub parked_ns: u64,
    /// Bytes of the arena in use.
    pub arena_used_bytes: usize,
    /// Bytes of the arena that readers pin.
    pub arena_pinned_bytes: usize,
    /// Whether the arena is registered with the ring.
    pub is_arena_registered: bool,
    /// Counters of the reads from files.
    pub reads: ReadStats,
    /// Counters of the committer's writes.
    pub writes: WriteStats,
    /// Events that were dropped because nobody took them in time (`Engine::take_events`).
    pub dropped_events: u64,
}

/// Counters of the writes of a shard's committer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Bytes written: batches, padding, and tail blocks that were written again.
    pub bytes: u64,
    /// Number of writes.
    pub count: u64,
    /// Number of writes by size in bytes.
    pub sizes: BTreeMap<usize, u64>,
    /// Time during which any write or sync was in flight, ns.
    pub busy_ns: u64,
    /// Sum over that time of the number in flight, ns. Divided by `busy_ns` it is the mean queue depth.
    pub depth_ns: u64,
    /// Number of syncs, and of writes with their own sync.
    pub syncs: u64,
    /// Number of writes over extents that were durably written before: in recycled segments, and in a block that a synced write has
    /// filled in part.
    pub overwrites: u64,
    /// Number of writes that share a flush with others. They are the smallest of the synced writes over written extents.
    pub shared: u64,
    /// Number of flushes that such writes share.
    pub shared_flushes: u64,
}

impl WriteStats {
    pub(super) fn started(&mut self, write_bytes: usize, is_sync: bool) {
        self.syncs += u64::from(is_sync);
        if write_bytes > 0 {
            self.bytes += write_bytes as u64;
            self.count += 1;
            *self.sizes.entry(write_bytes).or_default() += 1;
        }
    }

    /// Adds `time_ns`, during which `in_flight` operations were in flight.
    pub(super) fn account_for(&mut self, time_ns: u64, in_flight: usize) {
        if in_flight > 0 {
            self.busy_ns += time_ns;
            self.depth_ns += time_ns * in_flight as u64;
        }
    }
}

/// The time that a shard's thread spent, by kind of use, ns.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimeStats {
    pub(super) work_ns: u64,
    pub(super) colocated_ns: u64,
    pub(super) poll_ns: u64,
    pub(super) parked_ns: u64,
}
