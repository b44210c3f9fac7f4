//! The counters that the load threads of one trial share. There are a few of them, and no locks.

use crate::measure::group::Group;
use crate::num;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Counters shared by the load threads of a trial and the thread that watches them.
#[derive(Debug)]
pub struct Shared {
    /// Producers that have records to send or acks to wait for.
    producers_left: AtomicUsize,
    /// The offset after the last acked record, by topic and partition.
    ends: Vec<Vec<AtomicU64>>,
    /// Set when a thread has failed and all must stop.
    given_up: AtomicBool,
    /// Producers whose part of the backlog is not acked yet.
    builders_left: AtomicUsize,
    /// Consumers that have not reached the end of the backlog.
    behind: AtomicUsize,
    /// Encoded bytes of the backlog that are acked; bytes of keys and values if the system does not report encoded ones.
    acked_bytes: AtomicU64,
    /// Records of the backlog that are acked.
    acked_records: AtomicU64,
    /// The consumer groups whose members are in this trial.
    groups: Vec<Arc<Group>>,
}

impl Shared {
    /// Makes the counters for `topics` topics of `partitions` partitions each, and `producers` producers altogether.
    pub fn new(topics: u32, partitions: u32, producers: usize) -> Self {
        let ends = || (0..partitions).map(|_| AtomicU64::new(0)).collect();
        Self {
            producers_left: AtomicUsize::new(producers),
            ends: (0..topics).map(|_| ends()).collect(),
            given_up: AtomicBool::new(false),
            builders_left: AtomicUsize::new(producers),
            behind: AtomicUsize::new(0),
            acked_bytes: AtomicU64::new(0),
            acked_records: AtomicU64::new(0),
            groups: Vec::new(),
        }
    }

    /// Sets the number of consumers that have a backlog to read.
    #[must_use]
    pub fn with_backlog_for(self, consumers: usize) -> Self {
        Self { behind: AtomicUsize::new(consumers), ..self }
    }

    /// Sets the consumer groups.
    #[must_use]
    pub fn with_groups(self, groups: Vec<Arc<Group>>) -> Self {
        Self { groups, ..self }
    }

    /// The consumer groups whose members are in this trial; empty if consumers read fixed partitions.
    pub fn groups(&self) -> &[Arc<Group>] {
        &self.groups
    }

    /// Returns the offset after the last acked record of each partition of a topic.
    pub fn ends(&self, topic: u32) -> impl Iterator<Item = u64> {
        self.ends[num::index(topic)].iter().map(|end| end.load(Ordering::Acquire))
    }

    /// Returns the number of records that are acked and that a group has not read.
    pub fn lag_of(&self, group: &Group) -> u64 {
        group.lag(self.ends(group.spec().topic))
    }

    /// Counts a producer whose part of the backlog is acked.
    pub fn backlog_part_acked(&self) {
        self.builders_left.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns whether the whole backlog is acked.
    pub fn is_built(&self) -> bool {
        self.builders_left.load(Ordering::Acquire) == 0
    }

    /// Counts a consumer that has reached the end of its partitions for the first time. Returns whether it was the
    /// last.
    pub fn consumer_caught_up(&self) -> bool {
        self.behind.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Returns whether every consumer has reached the end of the backlog.
    pub fn is_drained(&self) -> bool {
        self.behind.load(Ordering::Acquire) == 0
    }

    /// Adds to the acked records and bytes of the backlog.
    pub fn count_acked(&self, records: u64, bytes: u64) {
        self.acked_records.fetch_add(records, Ordering::Relaxed);
        self.acked_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the acked records and bytes of the backlog.
    pub fn acked_so_far(&self) -> (u64, u64) {
        (self.acked_records.load(Ordering::Relaxed), self.acked_bytes.load(Ordering::Relaxed))
    }

    /// Raises the acked end of a partition: every record below `end_offset` is acked.
    pub fn acked(&self, topic: u32, partition: u32, end_offset: u64) {
        self.ends[num::index(topic)][num::index(partition)].fetch_max(end_offset, Ordering::Release);
    }

    /// Returns the offset after the last acked record. It is final once [`Self::all_produced`] is true.
    pub fn end_offset(&self, topic: u32, partition: u32) -> u64 {
        self.ends[num::index(topic)][num::index(partition)].load(Ordering::Acquire)
    }

    /// Counts a producer that has sent all its records and received all acks.
    pub fn producer_done(&self) {
        self.producers_left.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns whether every producer has sent all its records and received all acks.
    pub fn all_produced(&self) -> bool {
        self.producers_left.load(Ordering::Acquire) == 0
    }

    /// Stops all load threads, because one of them has failed.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// Returns whether all load threads must stop.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }
}
