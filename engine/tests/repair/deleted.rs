//! Logs whose first records were deleted on request. Their start lies inside of a segment, or beyond the end that a power
//! loss has left.

use crate::data::{batch_starts, check, files, flip, new_dir, open, produce, topic};
use crate::rig::{
    append, apply, assert_no_byte_is_lost, assert_repaired, base_offset, plan, reboot, segments,
};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vnotch_engine::error::DamageError;
use vnotch_engine::verify::NoteKind;

/// Returns a directory with 2600 records in partition 0, of which those below `start` are deleted. It is closed if
/// `is_closed`.
fn deleted_to(start: i64, is_closed: bool) -> TempDir {
    let dir = new_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, topic()).unwrap();
    produce(&engine, 0, 2_600, 1_000);
    assert!(matches!(engine.delete_records([("t", 0, start)])[..], [Ok(found)] if found == start));
    // Whole segments below the start are removed in the background.
    let begun = Instant::now();
    while base_offset(&files(dir.path(), ".log")[0]) + 900 < start {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is removed");
        std::thread::sleep(Duration::from_millis(5));
    }
    if is_closed {
        engine.close().unwrap();
    }
    dir
}

fn set_len(path: &Path, bytes: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_cut_behind_the_start_leaves_the_start_where_it_is() {
    for is_closed in [true, false] {
        let dir = deleted_to(1_200, is_closed);
        let log = files(dir.path(), ".log").swap_remove(0);
        let (base, starts) = (base_offset(&log), batch_starts(&log));
        assert!(base < 1_200 && base > 0, "{base}");
        let number = starts.len() - 20;
        flip(&log, (starts[number] + 70) * 8);
        let before = segments(dir.path());
        assert!(plan(dir.path()).partitions.len() == 1);
        apply(dir.path());
        assert_no_byte_is_lost(dir.path(), &before);
        let cut = base + 7 * i64::try_from(number).unwrap();
        assert!(cut > 1_200);
        assert_repaired(dir.path(), &before, 1_200..cut);
    }
}

#[test]
fn a_first_segment_that_is_missing_raises_the_start_and_never_lowers_it() {
    let dir = deleted_to(1_200, true);
    let logs = files(dir.path(), ".log");
    for suffix in ["log", "index", "timeindex"] {
        fs::remove_file(logs[0].with_extension(suffix)).unwrap();
    }
    let before = segments(dir.path());
    apply(dir.path());
    assert_repaired(dir.path(), &before, base_offset(&logs[1])..2_600);
}

/// The records below the start were written and not synced. Nothing that was promised is lost with them.
#[test]
fn a_log_that_ends_below_its_start_is_sound_after_a_power_loss_and_damaged_after_a_kill() {
    for is_rebooted in [true, false] {
        let dir = deleted_to(2_600, false);
        let log = files(dir.path(), ".log").pop().unwrap();
        let bytes = fs::read(&log).unwrap();
        let third =
            vnotch_engine::record::batches(&bytes).take(3).map(|batch| batch.unwrap().bytes().len() as u64);
        set_len(&log, third.sum());
        let end = base_offset(&log) + 3 * 7;
        if is_rebooted {
            reboot(dir.path());
        }
        let report = check(dir.path());
        assert_eq!(report.is_sound(), is_rebooted, "{:#?}", report.defects);
        let partition = &report.partitions[0];
        assert_eq!(partition.log_start_offset, 2_600);
        let engine = open(dir.path());
        if is_rebooted {
            assert_eq!(partition.log_end_offset, 2_600);
            let says = format!("the log ends at offset {end}, and its records below offset 2600 are deleted");
            let notes = report.notes.iter().filter(|note| note.kind == NoteKind::Leftover);
            assert!(notes.into_iter().any(|note| note.message.contains(&says)), "{:#?}", report.notes);
            let found = engine.describe_topic("t").unwrap().partitions[0];
            assert_eq!((found.log_start_offset, found.log_end_offset), (2_600, 2_600));
            assert_eq!(append(&engine, 0), 2_600);
            engine.close().unwrap();
            let report = check(dir.path());
            assert!(report.is_sound() && report.partitions[0].records == 1, "{report:#?}");
        } else {
            let [damaged] = engine.damaged() else { panic!("{:?}", engine.damaged()) };
            assert_eq!((damaged.from_offset, matches!(damaged.cause, DamageError::Corrupt(_))), (end, true));
            drop(engine);
            let before = segments(dir.path());
            apply(dir.path());
            assert_repaired(dir.path(), &before, end..end);
        }
    }
}
