//! Verification reports any single flipped bit, and readers are told where the damage is.

use crate::holes::{base_offset, corruption, in_time, read};
use crate::rig::{batch_starts, check, closed, copy, files, flip, open};
use proptest::prelude::*;
use std::fs;
use std::sync::LazyLock;
use tempfile::TempDir;
use vnotch_engine::types::OffsetSpec;

static WHOLE: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = closed();
    assert!(check(dir.path()).is_sound());
    dir
});

/// A strategy for a bit of a batch's header, or of the whole file.
fn bit() -> impl Strategy<Value = (bool, prop::sample::Index, u64)> {
    (any::<bool>(), any::<prop::sample::Index>(), 0_u64..61 * 8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("PROPTEST_CASES").is_some() { 2_000 } else { 96 }))]

    /// Fields that no checksum covers are included: base offset, length, leader epoch, magic.
    #[test]
    fn a_flipped_bit_of_a_sealed_segment_is_reported((in_header, place, header_bit) in bit(), segment: prop::sample::Index) {
        let dir = copy(WHOLE.path());
        let log = segment.get(&files(dir.path(), ".log")).clone();
        let bit = if in_header {
            let starts = batch_starts(&log);
            starts[place.index(starts.len() - 1)] * 8 + header_bit
        } else {
            place.index(fs::metadata(&log).unwrap().len() as usize * 8) as u64
        };
        flip(&log, bit);
        let report = check(dir.path());
        prop_assert!(report.defects.iter().any(|defect| defect.path == log), "bit {bit} of {}", log.display());
        // No other file is reported.
        prop_assert!(report.defects.iter().all(|defect| defect.path == log), "{:#?}", report.defects);
    }

    #[test]
    fn a_flipped_bit_of_an_index_or_a_checkpoint_is_reported(file: prop::sample::Index, place: prop::sample::Index) {
        let dir = copy(WHOLE.path());
        let mut paths = files(dir.path(), "index");
        paths.extend(files(dir.path(), "checkpoint"));
        let path = file.get(&paths).clone();
        let bytes = fs::metadata(&path).unwrap().len() as usize;
        prop_assume!(bytes > 0);
        let bit = place.index(bytes * 8) as u64;
        flip(&path, bit);
        let report = check(dir.path());
        prop_assert!(report.defects.iter().any(|defect| defect.path == path), "bit {bit} of {}", path.display());
    }
}

/// The engine does not check the CRC of what it hands out. The consumer does, and asks where the batch lies.
#[test]
fn readers_are_told_the_file_and_the_position_of_a_flipped_bit() {
    let starts = batch_starts(&files(WHOLE.path(), ".log")[1]);
    for number in [0, 5, starts.len() - 2] {
        let dir = copy(WHOLE.path());
        let log = files(dir.path(), ".log").swap_remove(1);
        let position = starts[number];
        flip(&log, (position + 100) * 8);
        // Each batch has seven records, and record n has the timestamp 1,000 + n.
        let offset = base_offset(&log) + 7 * i64::try_from(number).unwrap();
        in_time(move || {
            let engine = open(dir.path());
            let (at, error) = read(&engine, 0, 3_500);
            assert_eq!(at, offset, "the records before it were delivered");
            let found = corruption(error);
            assert_eq!((&found.path, found.position), (&log, position), "{found}");
            let asked = engine.list_offsets([("t", 0, OffsetSpec::Timestamp(1_000 + offset))]);
            let found = corruption(asked.err());
            assert_eq!((&found.path, found.position), (&log, position), "{found}");
            engine.close().unwrap();
        });
    }
}
