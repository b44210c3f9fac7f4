//! The time index file of a sealed segment. Bytes that decode may hide records of the segment, as in Kafka. They never
//! make a search return a record that is too early.
//!
//! Input: the bytes of the index of the first of two segments.

use super::fixture::{self, FIRST_TIMESTAMP_MS};
use super::offset_index::{SEGMENTS, disk_with_indexes};
use super::simulated;
use std::rc::Rc;
use vnotch_engine::config::TopicConfig;
use vnotch_engine::index::TimeIndex;
use vnotch_engine::types::OffsetSpec;

/// Opens a log with this index and asks for offsets by time.
///
/// # Panics
/// Decoding and encoding do not agree, or an answer has an earlier timestamp or a lower offset than the requested one.
pub fn check(input: &[u8]) {
    if let Ok(index) = TimeIndex::decode(0, input) {
        assert_eq!(index.encode(), input, "what decodes is encoded as it was");
    }
    let [first, second] = &*SEGMENTS;
    let disk = disk_with_indexes(&first.offset_index, input);
    let log = simulated::open(&disk, TopicConfig::default(), simulated::EPOCH)
        .unwrap_or_else(|error| panic!("indexes are rebuilt from the segment: {error}"));
    // The record at offset n is n ms later than the first.
    for offset in (0..second.next_offset).step_by(5) {
        let timestamp_ms = FIRST_TIMESTAMP_MS + offset;
        let found = disk.run_until(Rc::clone(&log).list_offset(OffsetSpec::Timestamp(timestamp_ms)));
        let found = found.unwrap_or_else(|error| panic!("a damaged index hides offset {offset}: {error}"));
        if offset >= first.next_offset {
            assert_eq!(found.map(|found| found.offset), Some(offset), "the second segment's index is right");
        }
        let Some(found) = found else { continue };
        assert!(found.offset >= offset, "offset {} has an earlier timestamp", found.offset);
        assert_eq!(found.timestamp_ms, Some(FIRST_TIMESTAMP_MS + found.offset));
    }
}

/// Returns the documented index, the right one, and the right one with a cut entry.
pub fn seeds() -> Vec<Vec<u8>> {
    let right = SEGMENTS[0].time_index.clone();
    vec![fixture::documented_bytes("### Time index (`.timeindex`)"), right[..right.len() - 3].to_vec(), right]
}
