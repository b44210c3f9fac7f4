//! When flushes are due, as pure values: those that writes share, and those that no write waits for.
//!
//! A group takes a given number of writes. It is flushed when all of them have completed and no other flush is in flight.
//! The writes of later groups go on meanwhile. A log that commits in groups does the same.
//!
//! [`Background`] flushes are those that a log needs for its files: when it rolls, it syncs the file that it ends.

use crate::num;
use std::collections::VecDeque;

/// A group that has not been flushed.
#[derive(Debug)]
struct Group {
    /// Number of writes that it takes.
    size: usize,
    /// Slots of its writes.
    slots: Vec<u32>,
    /// Number of its writes that have completed.
    written: usize,
}

/// The numbers of writes of successive groups: whole numbers with a given mean.
#[derive(Debug)]
pub(super) struct GroupSizes {
    writes_mean: f64,
    /// Part of a write that the sizes are behind their mean.
    rest: f64,
}

impl GroupSizes {
    /// Makes sizes of `writes_mean` writes on average, at least 1.
    pub(super) const fn new(writes_mean: f64) -> Self {
        Self { writes_mean: writes_mean.max(1.0), rest: 0.0 }
    }

    /// Returns the size of the next group.
    pub(super) fn next_size(&mut self) -> usize {
        let exact = self.writes_mean + self.rest;
        let size = num::index_of_f64(exact).max(1);
        self.rest = exact - num::f64_of(num::count(size));
        size
    }
}

/// All groups of a slice.
#[derive(Debug)]
pub(super) struct Groups {
    sizes: GroupSizes,
    /// Groups that wait for their flush, oldest first. Only the last one may take more writes.
    waiting: VecDeque<Group>,
    /// Number of the first group in `waiting`.
    first: u64,
    /// Slots of the writes that the flush in flight covers.
    flushing: Option<Vec<u32>>,
}

impl Groups {
    /// Makes groups of `writes_mean` writes on average, at least 1.
    pub(super) fn new(writes_mean: f64) -> Self {
        Self { sizes: GroupSizes::new(writes_mean), waiting: VecDeque::new(), first: 0, flushing: None }
    }

    /// Adds the write of a slot that begins now. Returns the number of its group.
    pub(super) fn join(&mut self, slot: u32) -> u64 {
        if self.waiting.back().is_none_or(|group| group.slots.len() >= group.size) {
            let size = self.sizes.next_size();
            self.waiting.push_back(Group { size, slots: Vec::with_capacity(size), written: 0 });
        }
        if let Some(group) = self.waiting.back_mut() {
            group.slots.push(slot);
        }
        self.first + num::count(self.waiting.len()) - 1
    }

    /// Notes that a write of group `number` has completed.
    pub(super) fn written(&mut self, number: u64) {
        let index = usize::try_from(number - self.first).expect("a group in memory has an index");
        self.waiting[index].written += 1;
    }

    /// Begins the next flush, if none is in flight and the oldest group is complete. With `is_last` a group is complete
    /// although it could take more writes. Returns a slot of a write that the flush covers.
    pub(super) fn begin_flush(&mut self, is_last: bool) -> Option<u32> {
        let oldest = self.waiting.front().filter(|_| self.flushing.is_none())?;
        let is_full = oldest.slots.len() >= oldest.size || is_last;
        if !is_full || oldest.written < oldest.slots.len() {
            return None;
        }
        let group = self.waiting.pop_front()?;
        self.first += 1;
        let slot = group.slots.first().copied();
        self.flushing = Some(group.slots);
        slot
    }

    /// Ends the flush in flight. Returns the slots of the writes that are durable now.
    pub(super) fn end_flush(&mut self) -> Vec<u32> {
        self.flushing.take().unwrap_or_default()
    }

    /// Forgets all writes, after a lap that failed.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.sizes.writes_mean);
    }
}

/// Flushes that no write waits for. One begins whenever a given number of bytes has been written. A slice ends with one more, after its
/// last write, so that it has paid for all its bytes: many disks take writes into a cache, and need time for them only when they are
/// flushed.
#[derive(Debug)]
pub(super) struct Background {
    every_bytes: Option<u64>,
    /// Bytes that are written, and for which no flush has begun.
    unflushed_bytes: u64,
    /// Whether the last flush of the slice has begun.
    is_last_begun: bool,
}

impl Background {
    /// Makes flushes after each `every_bytes`; no flush at all with `None`.
    pub(super) const fn new(every_bytes: Option<u64>) -> Self {
        Self { every_bytes, unflushed_bytes: 0, is_last_begun: false }
    }

    /// Notes that `bytes` have been written.
    pub(super) const fn wrote(&mut self, bytes: u64) {
        self.unflushed_bytes += bytes;
    }

    /// Whether a flush begins now; it then counts as begun. `is_flushing` says whether one is in flight, `is_over` whether the slice
    /// has no more writes to begin, and none in flight.
    pub(super) fn begin(&mut self, is_flushing: bool, is_over: bool) -> bool {
        let Some(every_bytes) = self.every_bytes else { return false };
        if is_over {
            return !is_flushing && !std::mem::replace(&mut self.is_last_begun, true);
        }
        let begins = !is_flushing && self.unflushed_bytes >= every_bytes;
        if begins {
            self.unflushed_bytes -= every_bytes;
        }
        begins
    }

    /// Whether the slice still has to begin its last flush.
    pub(super) const fn owes_flush(&self) -> bool {
        self.every_bytes.is_some() && !self.is_last_begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_group_is_flushed_when_its_writes_have_completed_and_one_flush_at_a_time() {
        let mut groups = Groups::new(2.0);
        let numbers: Vec<u64> = (0..5).map(|slot| groups.join(slot)).collect();
        assert_eq!(numbers, [0, 0, 1, 1, 2]);
        groups.written(1);
        groups.written(1);
        assert_eq!(groups.begin_flush(false), None, "the oldest group comes first");
        groups.written(0);
        assert_eq!(groups.begin_flush(false), None, "a write of it is in flight");
        groups.written(0);
        assert_eq!(groups.begin_flush(false), Some(0));
        assert_eq!(groups.begin_flush(false), None, "one flush is in flight");
        assert_eq!(groups.end_flush(), [0, 1]);
        assert_eq!(groups.begin_flush(false), Some(2));
        assert_eq!(groups.end_flush(), [2, 3]);
        groups.written(2);
        assert_eq!(groups.begin_flush(false), None, "it takes one more write");
        assert_eq!(groups.begin_flush(true), Some(4));
        assert_eq!(groups.end_flush(), [4]);
    }

    proptest! {
        #[test]
        fn groups_have_the_mean_size_and_every_write_is_flushed_once(mean in 1.0f64..40.0, writes in 100u32..2000) {
            let mut groups = Groups::new(mean);
            let mut flushed = Vec::new();
            let mut flushes = 0u32;
            for slot in 0..writes {
                let number = groups.join(slot);
                groups.written(number);
                if groups.begin_flush(false).is_some() {
                    flushes += 1;
                    flushed.extend(groups.end_flush());
                }
            }
            while groups.begin_flush(true).is_some() {
                flushes += 1;
                flushed.extend(groups.end_flush());
            }
            prop_assert_eq!(flushed, (0..writes).collect::<Vec<_>>());
            prop_assert!((f64::from(writes) / f64::from(flushes) - mean).abs() <= mean * mean / 50.0 + 0.5);
        }
    }

    #[test]
    fn background_flushes_follow_the_bytes_and_one_ends_the_slice() {
        let mut none = Background::new(None);
        none.wrote(1 << 40);
        assert!(!none.begin(false, false) && !none.begin(false, true) && !none.owes_flush());
        let mut flushes = Background::new(Some(100));
        flushes.wrote(99);
        assert!(!flushes.begin(false, false));
        flushes.wrote(111);
        assert!(flushes.begin(false, false), "210 bytes");
        assert!(!flushes.begin(true, false), "one at a time");
        assert!(flushes.begin(false, false) && !flushes.begin(false, false), "110 bytes, then 10");
        assert!(flushes.owes_flush() && !flushes.begin(true, true), "another one is in flight");
        assert!(flushes.owes_flush() && flushes.begin(false, true));
        assert!(!flushes.owes_flush() && !flushes.begin(false, true), "the last one begins once");
    }
}
