//! Verification reports any single flipped bit.

use crate::rig::{check, closed, copy, files, flip};
use proptest::prelude::*;
use std::fs;
use std::sync::LazyLock;
use tempfile::TempDir;

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
            let starts = crate::rig::batch_starts(&log);
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
