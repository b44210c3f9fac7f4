//! The offset index: from offsets to positions in the segment file.
//!
//! ```text
//! .index   ┌──────────────────────┬──────────────┐
//!          │ relative offset      │ position     │  a batch's last offset − base offset, and its first byte's position;
//!          │ i32 BE, ≥ 0          │ i32 BE, ≥ 0  │  both strictly increasing; 8 bytes an entry, nothing else
//!          └──────────────────────┴──────────────┘
//! ```

use super::{INDEX_FIELD_MAX, IndexError, entries_of, relative_offset};

/// Size of an entry in the file.
pub const OFFSET_ENTRY_BYTES: usize = 8;

/// An entry, which stands for one batch of the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetEntry {
    /// Last offset of the batch, less the segment's base offset.
    pub relative_offset: u32,
    /// Byte in the segment file at which the batch begins.
    pub position: u32,
}

/// The sparse index of one segment, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetIndex {
    base_offset: i64,
    entries: Vec<OffsetEntry>,
    bytes_since_entry: u64,
}

impl OffsetIndex {
    /// Returns the index of an empty segment that begins at `base_offset`.
    pub const fn new(base_offset: i64) -> Self {
        Self { base_offset, entries: Vec::new(), bytes_since_entry: 0 }
    }

    /// Returns the base offset of the segment.
    pub const fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// Returns all entries, in order.
    pub fn entries(&self) -> &[OffsetEntry] {
        &self.entries
    }

    /// Adds the next batch of the segment. The batch gets an entry if more than `index_interval_bytes` of batches lie
    /// before it, counted from the last batch with an entry on. The first batch never gets an entry, since a lookup
    /// begins there anyway. Returns whether the batch got an entry.
    ///
    /// # Panics
    /// If the offset or the position cannot be in this segment, or is not above the last entry's. Batches come in
    /// order, and the log rolls before an offset is too far (see [`relative_offset`]).
    pub fn maybe_append(
        &mut self,
        last_offset: i64,
        position: u32,
        batch_bytes: u32,
        index_interval_bytes: u32,
    ) -> bool {
        let due = self.bytes_since_entry > u64::from(index_interval_bytes);
        if due {
            self.append(last_offset, position);
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += u64::from(batch_bytes);
        due
    }

    fn append(&mut self, last_offset: i64, position: u32) {
        let base_offset = self.base_offset;
        let Some(relative_offset) = relative_offset(base_offset, last_offset) else {
            panic!("offset {last_offset} cannot be in the segment that begins at {base_offset}");
        };
        assert!(position <= INDEX_FIELD_MAX, "position {position} is beyond any segment's end");
        let entry = OffsetEntry { relative_offset, position };
        if let Some(last) = self.entries.last() {
            assert!(is_above(last, &entry), "{entry:?} after {last:?}: batches come in order");
        }
        self.entries.push(entry);
    }

    /// Returns the position from which to scan for `offset`: that of the last batch with an entry that ends at or below
    /// `offset`, or 0.
    pub fn lookup(&self, offset: i64) -> u32 {
        let Ok(relative) = u64::try_from(offset.saturating_sub(self.base_offset)) else { return 0 };
        let above = self.entries.partition_point(|entry| u64::from(entry.relative_offset) <= relative);
        self.position_before(above)
    }

    /// Returns the largest position in an entry that is not above `limit`, or 0. A batch begins there.
    pub fn last_position_up_to(&self, limit: u32) -> u32 {
        let above = self.entries.partition_point(|entry| entry.position <= limit);
        self.position_before(above)
    }

    /// Returns the smallest position in an entry that is above `position`, if there is one. A batch begins there.
    pub fn first_position_after(&self, position: u32) -> Option<u32> {
        let above = self.entries.partition_point(|entry| entry.position <= position);
        self.entries.get(above).map(|entry| entry.position)
    }

    fn position_before(&self, entry: usize) -> u32 {
        entry.checked_sub(1).map_or(0, |last| self.entries[last].position)
    }

    /// Returns the bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.entries.len() * OFFSET_ENTRY_BYTES);
        for entry in &self.entries {
            file.extend_from_slice(&entry.relative_offset.to_be_bytes());
            file.extend_from_slice(&entry.position.to_be_bytes());
        }
        file
    }

    /// Reads the index of a sealed segment from its file's bytes. The caller knows the segment's size, and has to check
    /// that the positions lie inside the segment.
    ///
    /// # Errors
    /// [`IndexError`] for bytes that [`OffsetIndex::encode`] cannot have written. Then the index has to be rebuilt.
    pub fn decode(base_offset: i64, file: &[u8]) -> Result<Self, IndexError> {
        let mut entries: Vec<OffsetEntry> = Vec::with_capacity(file.len() / OFFSET_ENTRY_BYTES);
        for (index, [a, b, c, d, e, f, g, h]) in entries_of::<OFFSET_ENTRY_BYTES>(file)?.iter().enumerate() {
            let entry = OffsetEntry {
                relative_offset: u32::from_be_bytes([*a, *b, *c, *d]),
                position: u32::from_be_bytes([*e, *f, *g, *h]),
            };
            if entry.relative_offset > INDEX_FIELD_MAX || entry.position > INDEX_FIELD_MAX {
                return Err(IndexError::OutOfRange { entry: index });
            }
            if entries.last().is_some_and(|last| !is_above(last, &entry)) {
                return Err(IndexError::NotIncreasing { entry: index });
            }
            entries.push(entry);
        }
        Ok(Self { base_offset, entries, bytes_since_entry: 0 })
    }
}

const fn is_above(last: &OffsetEntry, next: &OffsetEntry) -> bool {
    next.relative_offset > last.relative_offset && next.position > last.position
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A batch of the naive model, which keeps the whole segment as a list.
    #[derive(Debug, Clone, Copy)]
    struct Batch {
        base_offset: i64,
        last_offset: i64,
        position: u32,
        bytes: u32,
    }

    /// Segments of up to 60 batches, each with the offset at which it begins.
    fn segment() -> impl Strategy<Value = (i64, Vec<Batch>)> {
        let base_offset = prop_oneof![Just(0), 1_i64..1000, Just(i64::MAX / 2)];
        (base_offset, prop::collection::vec((1_i64..50, 61_u32..9000), 0..60)).prop_map(
            |(base_offset, sizes)| {
                let (mut offset, mut position) = (base_offset, 0);
                let mut batches = Vec::new();
                for (count, bytes) in sizes {
                    batches.push(Batch {
                        base_offset: offset,
                        last_offset: offset + count - 1,
                        position,
                        bytes,
                    });
                    offset += count;
                    position += bytes;
                }
                (base_offset, batches)
            },
        )
    }

    fn index_of(base_offset: i64, batches: &[Batch], interval_bytes: u32) -> OffsetIndex {
        let mut index = OffsetIndex::new(base_offset);
        for batch in batches {
            let before = index.entries().len();
            let added = index.maybe_append(batch.last_offset, batch.position, batch.bytes, interval_bytes);
            assert_eq!(added, index.entries().len() > before);
        }
        index
    }

    proptest! {
        #[test]
        fn lookup_begins_at_or_before_the_batch_and_not_far(
            (base_offset, batches) in segment(), interval_bytes in 0_u32..20_000,
        ) {
            let index = index_of(base_offset, &batches, interval_bytes);
            for batch in &batches {
                for offset in [batch.base_offset, batch.last_offset] {
                    let from = index.lookup(offset);
                    prop_assert!(from <= batch.position, "a scan finds the batch");
                    prop_assert!(batches.iter().any(|b| b.position == from), "a scan begins at a batch");
                    // Bytes that are scanned needlessly: an interval, the batch that exceeded it, and the batch of the
                    // entry itself.
                    prop_assert!(batch.position - from <= interval_bytes + 2 * 9000);
                }
            }
            prop_assert_eq!(index.lookup(i64::MIN), 0);
            prop_assert_eq!(index.lookup(i64::MAX), index.entries().last().map_or(0, |e| e.position));
        }

        #[test]
        fn lookups_are_those_of_a_linear_search(
            (base_offset, batches) in segment(), interval_bytes in 0_u32..20_000, offset in -10_i64..3000, limit: u32,
        ) {
            let index = index_of(base_offset, &batches, interval_bytes);
            let entries = index.entries();
            let offset = base_offset + offset;
            let limit = limit % 600_000;
            let floor = entries.iter().rfind(|e| base_offset + i64::from(e.relative_offset) <= offset);
            prop_assert_eq!(index.lookup(offset), floor.map_or(0, |e| e.position));
            let up_to = entries.iter().rfind(|e| e.position <= limit);
            prop_assert_eq!(index.last_position_up_to(limit), up_to.map_or(0, |e| e.position));
            let after = entries.iter().find(|e| e.position > limit);
            prop_assert_eq!(index.first_position_after(limit), after.map(|e| e.position));
        }

        #[test]
        fn entries_are_an_interval_apart((base_offset, batches) in segment(), interval_bytes in 0_u32..20_000) {
            let index = index_of(base_offset, &batches, interval_bytes);
            let mut last = 0;
            for entry in index.entries() {
                prop_assert!(entry.position - last > interval_bytes);
                last = entry.position;
            }
        }

        #[test]
        fn file_round_trip_and_no_partial_file((base_offset, batches) in segment()) {
            let index = index_of(base_offset, &batches, 4096);
            let file = index.encode();
            let read = OffsetIndex::decode(base_offset, &file).unwrap();
            prop_assert_eq!(read.entries(), index.entries());
            for end in 0..file.len() {
                prop_assert_eq!(OffsetIndex::decode(base_offset, &file[..end]).is_ok(), end % 8 == 0);
            }
            if !file.is_empty() {
                let zero_tail = [&file[..], &[0; 8]].concat();
                let entry = index.entries().len();
                prop_assert_eq!(
                    OffsetIndex::decode(base_offset, &zero_tail),
                    Err(IndexError::NotIncreasing { entry })
                );
            }
        }

        #[test]
        fn garbage_is_an_index_or_an_error(file in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(index) = OffsetIndex::decode(0, &file) {
                prop_assert_eq!(index.encode(), file);
            }
        }
    }

    #[test]
    fn the_file_is_the_documents() {
        let mut index = OffsetIndex::new(1000);
        assert!(!index.maybe_append(1009, 0, 5000, 4096));
        assert!(index.maybe_append(1019, 5000, 3000, 4096));
        assert!(!index.maybe_append(1029, 8000, 3000, 4096));
        assert!(index.maybe_append(1300, 11_000, 100, 4096));
        assert_eq!(index.encode(), crate::golden::documented_bytes("### Offset index (`.index`)"));
    }

    #[test]
    fn what_kafka_would_read_as_negative_is_out_of_range() {
        for file in [[0x80, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0x80, 0, 0, 0]] {
            assert_eq!(OffsetIndex::decode(0, &file), Err(IndexError::OutOfRange { entry: 0 }));
        }
    }

    #[test]
    #[should_panic(expected = "cannot be in the segment")]
    fn an_offset_too_far_from_the_base_is_our_bug() {
        let mut index = OffsetIndex::new(0);
        index.maybe_append(0, 0, 100, 0);
        index.maybe_append(i64::from(INDEX_FIELD_MAX) + 1, 100, 100, 0);
    }
}
