//! The offset index file of a sealed segment. Wrong bytes may slow a reader down, but never give it wrong records.
//!
//! Input: the bytes of the index of the first of two segments.

use super::fixture::{self, Segment};
use super::simulated;
use std::rc::Rc;
use std::sync::LazyLock;
use vnotch_engine::config::TopicConfig;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::index::OffsetIndex;
use vnotch_engine::record::{BatchHeader, batches};
use vnotch_engine::segment::{index_path, log_path, time_index_path};

/// Two sealed segments of 12 batches.
pub(crate) static SEGMENTS: LazyLock<[Segment; 2]> = LazyLock::new(|| {
    let first = fixture::segment(0, 12, 3);
    let second = fixture::segment(first.next_offset, 12, 3);
    [first, second]
});

/// Returns a disk with both segments, and a checkpoint by which they are sealed. The first segment gets these indexes.
pub(crate) fn disk_with_indexes(offset_index: &[u8], time_index: &[u8]) -> SimDisk {
    let dir = simulated::dir();
    let [first, second] = &*SEGMENTS;
    let sealed = fixture::Checkpoint {
        sequence: 2,
        recovery_offset: second.next_offset,
        log_start_offset: 0,
        in_flight_bytes: 1 << 20,
        boot_id: simulated::BOOT_ID,
        epoch: 3,
    };
    let checkpoint = fixture::checkpoint_file([&sealed.slot(), &[]]);
    let files = [
        (log_path(&dir, 0), &*first.log),
        (index_path(&dir, 0), offset_index),
        (time_index_path(&dir, 0), time_index),
        (log_path(&dir, second.base_offset), &second.log),
        (index_path(&dir, second.base_offset), &second.offset_index),
        (time_index_path(&dir, second.base_offset), &second.time_index),
        (dir.join("checkpoint"), &checkpoint),
    ];
    simulated::disk_with(&dir, files)
}

/// Opens a log with this index and reads from every batch.
///
/// # Panics
/// Decoding and encoding do not agree, or a fetch returns anything but the requested batch.
pub fn check(input: &[u8]) {
    if let Ok(index) = OffsetIndex::decode(0, input) {
        assert_eq!(index.encode(), input, "what decodes is encoded as it was");
    }
    let [first, second] = &*SEGMENTS;
    let disk = disk_with_indexes(input, &first.time_index);
    let log = simulated::open(&disk, TopicConfig::default(), simulated::EPOCH)
        .unwrap_or_else(|error| panic!("indexes are rebuilt from the segment: {error}"));
    for batch in [&first.log, &second.log].into_iter().flat_map(|log| batches(log)) {
        let batch = batch.expect("the fixture is valid");
        for offset in [batch.header().last_offset(), batch.header().base_offset] {
            let pieces = simulated::fetch(&disk, &log, offset)
                .unwrap_or_else(|error| panic!("a damaged index hides offset {offset}: {error}"));
            let found = BatchHeader::parse(&pieces[0]).expect("a fetch returns whole batches");
            assert_eq!(&pieces[0][..found.total_bytes()], batch.bytes(), "the batch of offset {offset}");
        }
    }
    assert_eq!(Rc::strong_count(&log), 1, "nothing is left running");
}

/// Returns the documented index, the right one, and the right one with a cut entry.
pub fn seeds() -> Vec<Vec<u8>> {
    let right = SEGMENTS[0].offset_index.clone();
    vec![fixture::documented_bytes("### Offset index (`.index`)"), right[..right.len() - 3].to_vec(), right]
}
