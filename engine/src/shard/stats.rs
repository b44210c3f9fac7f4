//! What a shard counts.

use std::collections::BTreeMap;

/// One shard's counters since the engine was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Which shard.
    pub shard: u32,
    /// Time spent working, ns; colocated tasks apart.
    pub work_ns: u64,
    /// Time that colocated tasks took of its thread, ns.
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
    /// Bytes read from files.
    pub read_bytes: u64,
    /// What was written.
    pub writes: WriteStats,
    /// Events that were dropped because nobody took them in time (`Engine::take_events`).
    pub dropped_events: u64,
}

/// What a shard's committer has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Bytes of batches, with padding and rewritten tail blocks.
    pub bytes: u64,
    /// Writes.
    pub count: u64,
    /// Writes by size, bytes.
    pub sizes: BTreeMap<usize, u64>,
    /// Time during which anything was in flight, ns.
    pub busy_ns: u64,
    /// How many were in flight, added up over that time, ns.
    pub depth_ns: u64,
    /// Syncs, and writes that are synced.
    pub syncs: u64,
    /// Writes over extents that were written already: recycled segments.
    pub overwrites: u64,
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

    /// For so long, so many were in flight.
    pub(super) fn passed(&mut self, time_ns: u64, in_flight: usize) {
        if in_flight > 0 {
            self.busy_ns += time_ns;
            self.depth_ns += time_ns * in_flight as u64;
        }
    }
}

/// Where a shard's time goes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimeStats {
    pub(super) work_ns: u64,
    pub(super) colocated_ns: u64,
    pub(super) poll_ns: u64,
    pub(super) parked_ns: u64,
}
