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
}

impl Shared {
    /// For `topics` topics of `partitions` partitions each, and `producers` producers altogether.
    pub fn new(topics: u32, partitions: u32, producers: usize) -> Self {
        let ends = || (0..partitions).map(|_| AtomicU64::new(0)).collect();
        Self {
            producers_left: AtomicUsize::new(producers),
            ends: (0..topics).map(|_| ends()).collect(),
            given_up: AtomicBool::new(false),
        }
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
