//! What the load threads of one trial tell each other. A handful of counters, no locks.

use crate::num;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Shared by the load threads of a trial and the thread that watches them.
#[derive(Debug)]
pub struct Shared {
    producers_left: AtomicUsize,
    /// By topic and partition: the offset after the last acked record.
    ends: Vec<Vec<AtomicU64>>,
    given_up: AtomicBool,
    /// Producers that still build the backlog.
    builders_left: AtomicUsize,
    /// Consumers that have not come to the end of the backlog.
    behind: AtomicUsize,
    /// Encoded bytes acked so far, and records.
    acked_bytes: AtomicU64,
    acked_records: AtomicU64,
}

impl Shared {
    /// For `topics` topics of `partitions` partitions each, and `producers` producers altogether.
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
        }
    }

    /// The same with `consumers` that have a backlog before them.
    #[must_use]
    pub fn with_backlog_for(self, consumers: usize) -> Self {
        Self { behind: AtomicUsize::new(consumers), ..self }
    }

    /// A producer has its part of the backlog acked.
    pub fn built(&self) {
        self.builders_left.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether the whole backlog is acked.
    pub fn is_built(&self) -> bool {
        self.builders_left.load(Ordering::Acquire) == 0
    }

    /// A consumer has come to the end of its partitions for the first time; whether it was the last one that had not.
    pub fn caught_up(&self) -> bool {
        self.behind.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether every consumer has.
    pub fn is_drained(&self) -> bool {
        self.behind.load(Ordering::Acquire) == 0
    }

    /// Adds to what is acked.
    pub fn count_acked(&self, records: u64, encoded_bytes: u64) {
        self.acked_records.fetch_add(records, Ordering::Relaxed);
        self.acked_bytes.fetch_add(encoded_bytes, Ordering::Relaxed);
    }

    /// Records and encoded bytes acked so far.
    pub fn acked_so_far(&self) -> (u64, u64) {
        (self.acked_records.load(Ordering::Relaxed), self.acked_bytes.load(Ordering::Relaxed))
    }

    /// Everything below `end_offset` is acked.
    pub fn acked(&self, topic: u32, partition: u32, end_offset: u64) {
        self.ends[num::index(topic)][num::index(partition)].fetch_max(end_offset, Ordering::Release);
    }

    /// The offset after the last acked record; final once [`Self::all_produced`].
    pub fn end_offset(&self, topic: u32, partition: u32) -> u64 {
        self.ends[num::index(topic)][num::index(partition)].load(Ordering::Acquire)
    }

    /// A producer has sent everything and has every ack.
    pub fn producer_done(&self) {
        self.producers_left.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether every producer is done.
    pub fn all_produced(&self) -> bool {
        self.producers_left.load(Ordering::Acquire) == 0
    }

    /// Something failed: everyone stops where they are.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// Whether to stop.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }
}
