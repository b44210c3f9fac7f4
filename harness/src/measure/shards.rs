//! The counters of a shard.

/// The counters of one shard since the target was opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShardStats {
    /// Number of the shard.
    pub shard: u32,
    /// Time spent working, ns, without the time of colocated load.
    pub work_ns: u64,
    /// Time that colocated load used on the shard's thread, ns.
    pub colocated_ns: u64,
    /// Time spent polling for completions or messages, ns.
    pub poll_ns: u64,
    /// Time spent asleep, ns.
    pub parked_ns: u64,
    /// Encoded bytes of records that were written to the device, padding and rewritten tails included.
    pub write_bytes: u64,
    /// Number of writes.
    pub writes: u64,
    /// Writes by size, as pairs of bytes and number, ascending by bytes.
    pub write_sizes: Vec<(u64, u64)>,
    /// Time in which at least one write was in flight, ns.
    pub write_busy_ns: u64,
    /// Number of writes in flight, integrated over that time, ns.
    pub write_depth_ns: u64,
    /// Number of writes with their own sync, and of flushes that acks waited for.
    pub syncs: u64,
    /// Writes to extents that were written before.
    pub overwrites: u64,
    /// Writes that shared a flush with others.
    pub shared: u64,
    /// Flushes that such writes shared.
    pub shared_flushes: u64,
    /// Bytes read from the device.
    pub read_bytes: u64,
    /// Number of reads.
    pub reads: u64,
    /// Time in which at least one read was in flight, ns.
    pub read_busy_ns: u64,
    /// Number of reads in flight, integrated over that time, ns.
    pub read_depth_ns: u64,
}

impl ShardStats {
    /// Returns the difference to `earlier` counters of the same shard.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let sizes = self.write_sizes.iter().map(|(bytes, count)| {
            let before =
                earlier.write_sizes.iter().find(|(size, _)| size == bytes).map_or(0, |(_, count)| *count);
            (*bytes, count.saturating_sub(before))
        });
        Self {
            shard: self.shard,
            work_ns: self.work_ns.saturating_sub(earlier.work_ns),
            colocated_ns: self.colocated_ns.saturating_sub(earlier.colocated_ns),
            poll_ns: self.poll_ns.saturating_sub(earlier.poll_ns),
            parked_ns: self.parked_ns.saturating_sub(earlier.parked_ns),
            write_bytes: self.write_bytes.saturating_sub(earlier.write_bytes),
            writes: self.writes.saturating_sub(earlier.writes),
            write_sizes: sizes.filter(|(_, count)| *count > 0).collect(),
            write_busy_ns: self.write_busy_ns.saturating_sub(earlier.write_busy_ns),
            write_depth_ns: self.write_depth_ns.saturating_sub(earlier.write_depth_ns),
            syncs: self.syncs.saturating_sub(earlier.syncs),
            overwrites: self.overwrites.saturating_sub(earlier.overwrites),
            shared: self.shared.saturating_sub(earlier.shared),
            shared_flushes: self.shared_flushes.saturating_sub(earlier.shared_flushes),
            read_bytes: self.read_bytes.saturating_sub(earlier.read_bytes),
            reads: self.reads.saturating_sub(earlier.reads),
            read_busy_ns: self.read_busy_ns.saturating_sub(earlier.read_busy_ns),
            read_depth_ns: self.read_depth_ns.saturating_sub(earlier.read_depth_ns),
        }
    }
}
