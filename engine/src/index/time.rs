//! The time index: from timestamps to offsets.
//!
//! ```text
//! .timeindex ┌───────────────────┬─────────────────┐
//!            │ timestamp, ms     │ relative offset │  the largest timestamp up to here, and the last offset of the first
//!            │ i64 BE, ≥ 0       │ i32 BE, ≥ 0     │  batch that has it; timestamps strictly increase, offsets never
//!            └───────────────────┴─────────────────┘  decrease; 12 bytes an entry, nothing else
//! ```

use super::{INDEX_FIELD_MAX, IndexError, entries_of, relative_offset};

/// Size of an entry in the file.
pub const TIME_ENTRY_BYTES: usize = 12;

/// An entry. No batch before the one that ends at this offset has a timestamp as large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEntry {
    /// Largest timestamp of the segment, up to this batch and with it.
    pub timestamp_ms: i64,
    /// Last offset of the batch, less the segment's base offset.
    pub relative_offset: u32,
}

/// The sparse time index of one segment, in memory, with the segment's largest timestamp.
///
/// Timestamps below 0 mean "none", as in Kafka: they are never indexed and never the largest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeIndex {
    base_offset: i64,
    entries: Vec<TimeEntry>,
    largest: Option<TimeEntry>,
}

impl TimeIndex {
    /// Returns the index of an empty segment that begins at `base_offset`.
    pub const fn new(base_offset: i64) -> Self {
        Self { base_offset, entries: Vec::new(), largest: None }
    }

    /// Returns the base offset of the segment.
    pub const fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// Returns all entries, in order.
    pub fn entries(&self) -> &[TimeEntry] {
        &self.entries
    }

    /// Returns the largest timestamp of the segment; `None` if all are negative, or there is none.
    pub fn max_timestamp_ms(&self) -> Option<i64> {
        self.largest.map(|largest| largest.timestamp_ms)
    }

    /// Adds the next batch of the segment. This makes no entry: [`TimeIndex::index_largest`] makes them.
    ///
    /// # Panics
    /// If the offset cannot be in this segment. The log rolls before that happens (see [`relative_offset`]).
    pub fn observe(&mut self, batch_max_timestamp_ms: i64, batch_last_offset: i64) {
        if batch_max_timestamp_ms <= self.max_timestamp_ms().unwrap_or(-1) {
            return;
        }
        let base_offset = self.base_offset;
        let Some(relative_offset) = relative_offset(base_offset, batch_last_offset) else {
            panic!("offset {batch_last_offset} cannot be in the segment that begins at {base_offset}");
        };
        self.largest = Some(TimeEntry { timestamp_ms: batch_max_timestamp_ms, relative_offset });
    }

    /// Makes an entry for the largest timestamp observed, unless it has one. The caller does this after it has observed
    /// a batch for which the offset index made an entry, and when it seals the segment. Returns whether an entry was
    /// made.
    ///
    /// # Panics
    /// If batches were observed out of order.
    pub fn index_largest(&mut self) -> bool {
        let Some(largest) = self.largest.filter(|largest| self.entries.last() != Some(largest)) else {
            return false;
        };
        if let Some(last) = self.entries.last() {
            assert!(is_above(last, &largest), "{largest:?} after {last:?}: batches come in order");
        }
        self.entries.push(largest);
        true
    }

    /// Returns the offset from which to scan for the first record with a timestamp of `timestamp_ms` or later. If the
    /// segment has such a record, it is in the batch that holds this offset, or in a later one.
    pub fn lookup(&self, timestamp_ms: i64) -> i64 {
        let above = self.entries.partition_point(|entry| entry.timestamp_ms <= timestamp_ms);
        match above.checked_sub(1) {
            Some(last) => self.base_offset + i64::from(self.entries[last].relative_offset),
            None => self.base_offset,
        }
    }

    /// Returns the bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.entries.len() * TIME_ENTRY_BYTES);
        for entry in &self.entries {
            file.extend_from_slice(&entry.timestamp_ms.to_be_bytes());
            file.extend_from_slice(&entry.relative_offset.to_be_bytes());
        }
        file
    }

    /// Reads the index of a sealed segment from its file's bytes. The last entry holds the segment's largest timestamp.
    ///
    /// # Errors
    /// [`IndexError`] for bytes that no writer produces. Then the index has to be rebuilt.
    pub fn decode(base_offset: i64, file: &[u8]) -> Result<Self, IndexError> {
        let mut entries: Vec<TimeEntry> = Vec::with_capacity(file.len() / TIME_ENTRY_BYTES);
        for (index, [a, b, c, d, e, f, g, h, offset @ ..]) in
            entries_of::<TIME_ENTRY_BYTES>(file)?.iter().enumerate()
        {
            let entry = TimeEntry {
                timestamp_ms: i64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
                relative_offset: u32::from_be_bytes(*offset),
            };
            if entry.timestamp_ms < 0 || entry.relative_offset > INDEX_FIELD_MAX {
                return Err(IndexError::OutOfRange { entry: index });
            }
            if entries.last().is_some_and(|last| !is_above(last, &entry)) {
                return Err(IndexError::NotIncreasing { entry: index });
            }
            entries.push(entry);
        }
        let largest = entries.last().copied();
        Ok(Self { base_offset, entries, largest })
    }
}

const fn is_above(last: &TimeEntry, next: &TimeEntry) -> bool {
    next.timestamp_ms > last.timestamp_ms && next.relative_offset >= last.relative_offset
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A batch of the naive model: the timestamps of its records. Its offsets follow from their count.
    type Batch = Vec<i64>;

    /// Batches whose timestamps mostly rise, with equal, late and negative ones among them. The bool says whether the
    /// offset index made an entry for the batch.
    fn segment() -> impl Strategy<Value = Vec<(Batch, bool)>> {
        let timestamps = prop::collection::vec(-5_i64..20, 1..5);
        prop::collection::vec((timestamps, any::<bool>()), 0..40).prop_map(|batches| {
            let rising = |place: usize, jitter: i64| jitter + i64::try_from(place).unwrap() * 3;
            let batch = |(place, (jitters, indexed)): (usize, (Vec<i64>, bool))| {
                (jitters.into_iter().map(|jitter| rising(place, jitter)).collect(), indexed)
            };
            batches.into_iter().enumerate().map(batch).collect()
        })
    }

    fn last_offsets(base_offset: i64, batches: &[(Batch, bool)]) -> Vec<i64> {
        let mut next = base_offset;
        let end = |(batch, _): &(Batch, bool)| {
            next += i64::try_from(batch.len()).unwrap();
            next - 1
        };
        batches.iter().map(end).collect()
    }

    fn index_of(base_offset: i64, batches: &[(Batch, bool)]) -> TimeIndex {
        let mut index = TimeIndex::new(base_offset);
        for ((batch, indexed), last_offset) in batches.iter().zip(last_offsets(base_offset, batches)) {
            index.observe(*batch.iter().max().unwrap(), last_offset);
            if *indexed {
                index.index_largest();
                assert!(!index.index_largest(), "one entry a timestamp");
            }
        }
        index.index_largest();
        index
    }

    proptest! {
        #[test]
        fn a_scan_from_lookup_finds_the_first_record_in_time(batches in segment(), timestamp in -20_i64..200) {
            let index = index_of(100, &batches);
            let from = index.lookup(timestamp);
            let first = batches.iter().position(|(batch, _)| batch.iter().any(|t| *t >= timestamp));
            if let Some(first) = first {
                prop_assert!(from <= last_offsets(100, &batches)[first]);
            }
        }

        #[test]
        fn lookup_is_that_of_a_linear_search(batches in segment(), timestamp in -20_i64..200) {
            let index = index_of(100, &batches);
            let floor = index.entries().iter().rfind(|entry| entry.timestamp_ms <= timestamp);
            prop_assert_eq!(index.lookup(timestamp), 100 + floor.map_or(0, |e| i64::from(e.relative_offset)));
        }

        #[test]
        fn the_largest_timestamp_survives_the_file(batches in segment()) {
            let index = index_of(7, &batches);
            let largest = batches.iter().flat_map(|(batch, _)| batch).copied().filter(|t| *t >= 0).max();
            prop_assert_eq!(index.max_timestamp_ms(), largest);
            prop_assert_eq!(TimeIndex::decode(7, &index.encode()), Ok(index));
        }

        #[test]
        fn no_partial_file_and_no_zero_tail(batches in segment()) {
            let file = index_of(0, &batches).encode();
            for end in 0..file.len() {
                prop_assert_eq!(TimeIndex::decode(0, &file[..end]).is_ok(), end % 12 == 0);
            }
            if !file.is_empty() {
                let zero_tail = [&file[..], &[0; 12]].concat();
                let entry = file.len() / 12;
                prop_assert_eq!(TimeIndex::decode(0, &zero_tail), Err(IndexError::NotIncreasing { entry }));
            }
        }

        #[test]
        fn garbage_is_an_index_or_an_error(file in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(index) = TimeIndex::decode(0, &file) {
                prop_assert_eq!(index.encode(), file);
            }
        }
    }

    #[test]
    fn the_file_is_the_documents() {
        let mut index = TimeIndex::new(1000);
        index.observe(1_700_000_000_000, 1009);
        assert!(index.index_largest());
        index.observe(1_600_000_000_000, 1019);
        assert!(!index.index_largest(), "nothing later was seen");
        index.observe(1_700_000_000_255, 1300);
        assert!(index.index_largest());
        assert_eq!(index.encode(), crate::golden::documented_bytes("### Time index (`.timeindex`)"));
    }

    #[test]
    fn negative_fields_are_out_of_range() {
        let mut timestamp = [0; 12];
        timestamp[0] = 0x80;
        let mut offset = [0; 12];
        offset[8] = 0x80;
        for file in [timestamp, offset] {
            assert_eq!(TimeIndex::decode(0, &file), Err(IndexError::OutOfRange { entry: 0 }));
        }
    }
}
