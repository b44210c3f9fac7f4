//! Repairs of partitions with each kind of damage.

use crate::data::{
    batch_starts, check, closed, copy, files, flip, only_defect, open, produce,
    produce_until_recovery_points, topic,
};
use crate::rig::{
    append, apply, assert_no_byte_is_lost, assert_repaired, base_offset, dropped, image, plan, read,
    segments, start_of_batch, unseal,
};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vnotch_engine::config::TopicConfig;
use vnotch_engine::error::{CorruptionKind, DamageError};
use vnotch_engine::repair::Change;
use vnotch_engine::types::Durability;
use vnotch_engine::verify::{DamagedFrom, DefectKind};

/// Damages a copy of `whole` and repairs it. Checks that it then holds `offsets`, and that no byte was lost.
#[track_caller]
fn repaired(whole: &TempDir, offsets: Range<i64>, damage: impl FnOnce(&Path)) -> TempDir {
    let dir = copy(whole.path());
    damage(dir.path());
    let before = segments(dir.path());
    let bytes = image(dir.path());
    let planned = plan(dir.path());
    assert!(planned.catalog.is_none() && planned.partitions.len() == 1);
    drop(planned);
    assert!(image(dir.path()) == bytes, "a plan changes nothing");
    apply(dir.path());
    assert_no_byte_is_lost(dir.path(), &before);
    assert_repaired(dir.path(), &before, offsets);
    assert_no_byte_is_lost(dir.path(), &before);
    dir
}

fn log(dir: &Path, number: usize) -> PathBuf {
    files(dir, ".log").swap_remove(number)
}

fn set_len(path: &Path, bytes: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

fn remove_segment(log: &Path) {
    for suffix in ["log", "index", "timeindex"] {
        fs::remove_file(log.with_extension(suffix)).unwrap();
    }
}

#[test]
fn a_sound_directory_has_nothing_to_repair() {
    let dir = closed();
    let before = image(dir.path());
    assert!(plan(dir.path()).is_empty());
    assert!(image(dir.path()) == before);
    // A log that was not closed needs no repair: the next open recovers it.
    let engine = open(dir.path());
    produce(&engine, 0, 10, 100);
    drop(engine);
    assert!(plan(dir.path()).is_empty());
}

#[test]
fn a_bad_batch_in_a_sealed_segment_is_where_the_log_is_cut() {
    let whole = closed();
    let path = log(whole.path(), 1);
    let (base, starts) = (base_offset(&path), batch_starts(&path));
    // Flip a bit of the records, of the offset, and of the length.
    for byte in [61 + 5, 7, 10] {
        let cut = base + 5 * 7;
        let dir = repaired(&whole, 0..cut, |dir| flip(&log(dir, 1), (starts[5] + byte) * 8));
        let removed = dir.path().join("removed-by-repair/1/t-0");
        assert!(removed.join(format!("{base:020}.log.from-{}", starts[5])).exists());
        assert!(removed.join(log(whole.path(), 3).file_name().unwrap()).exists());
    }
}

#[test]
fn the_plan_says_what_is_taken_away_and_where_it_goes() {
    let dir = closed();
    let path = log(dir.path(), 1);
    let (base, starts) = (base_offset(&path), batch_starts(&path));
    flip(&path, (starts[5] + 66) * 8);
    let damage = DamagedFrom { segment: base, position: starts[5], offset: base + 35 };
    assert_eq!(check(dir.path()).partitions[0].damage, Some(damage));
    let planned = plan(dir.path());
    let [partition] = &planned.partitions[..] else { panic!("{:?}", planned.partitions) };
    assert_eq!((partition.topic.as_str(), partition.partition, &partition.path), ("t", 0, &path));
    assert_eq!(partition.damage, Some(damage));
    let cut = Change::Cut { path: path.clone(), position: starts[5], offset: base + 35 };
    assert_eq!(partition.changes, [cut]);
    let removed = partition.removed.as_ref().unwrap();
    assert_eq!(removed.to, dir.path().join("removed-by-repair/1/t-0"));
    // The damaged batch of seven records cannot be read there either, so it is not counted.
    let records = u64::try_from(3_500 - base - 42).unwrap();
    assert_eq!((removed.records, removed.offsets), (records, Some((base + 42, 3_500))));
    let logs = files(dir.path(), ".log");
    let bytes: u64 = logs[1..].iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!((removed.segments, removed.bytes), (logs.len() - 2, bytes - starts[5]));
}

#[test]
fn a_sealed_segment_that_is_cut_or_empty_is_where_the_log_is_cut() {
    let whole = closed();
    for number in [1, files(whole.path(), ".log").len() - 1] {
        let path = log(whole.path(), number);
        let (base, starts) = (base_offset(&path), batch_starts(&path));
        for bytes in [starts[10], starts[10] + 40, starts[10] + 500, 0] {
            let kept = if bytes == 0 { 0 } else { 70 };
            repaired(&whole, 0..base + kept, |dir| set_len(&log(dir, number), bytes));
        }
    }
}

#[test]
fn zeros_in_place_of_a_segment_cut_the_log_there() {
    let whole = closed();
    let base = base_offset(&log(whole.path(), 2));
    repaired(&whole, 0..base, |dir| {
        let path = log(dir, 2);
        let bytes = fs::metadata(&path).unwrap().len();
        fs::write(path, vec![0; bytes as usize]).unwrap();
    });
}

#[test]
fn a_segment_that_is_gone_from_the_middle_cuts_the_log_there() {
    let whole = closed();
    for number in [1, 2, files(whole.path(), ".log").len() - 1] {
        let base = base_offset(&log(whole.path(), number));
        repaired(&whole, 0..base, |dir| remove_segment(&log(dir, number)));
        repaired(&whole, 0..base, |dir| fs::remove_file(log(dir, number)).unwrap());
    }
}

#[test]
fn first_segments_that_are_gone_or_cannot_be_read_raise_the_start_of_the_log() {
    let whole = closed();
    let (second, third) = (base_offset(&log(whole.path(), 1)), base_offset(&log(whole.path(), 2)));
    let dir = repaired(&whole, second..3_500, |dir| remove_segment(&log(dir, 0)));
    assert!(!dir.path().join("removed-by-repair").exists(), "no record was taken away");
    repaired(&whole, second..3_500, |dir| flip(&log(dir, 0), 66 * 8));
    repaired(&whole, second..3_500, |dir| set_len(&log(dir, 0), 0));
    repaired(&whole, third..3_500, |dir| {
        flip(&log(dir, 1), 66 * 8);
        remove_segment(&log(dir, 0));
    });
}

#[test]
fn a_log_of_which_nothing_is_left_goes_on_at_its_end() {
    let whole = closed();
    repaired(&whole, 3_500..3_500, |dir| files(dir, ".log").iter().for_each(|log| remove_segment(log)));
    repaired(&whole, 3_500..3_500, |dir| files(dir, ".log").iter().for_each(|log| flip(log, 66 * 8)));
}

#[test]
fn a_hole_behind_a_first_segment_that_is_gone_cuts_the_log_as_well() {
    let whole = closed();
    let (second, third) = (base_offset(&log(whole.path(), 1)), log(whole.path(), 2));
    let starts = batch_starts(&third);
    let dir = repaired(&whole, second..base_offset(&third) + 14, |dir| {
        flip(&log(dir, 2), (starts[2] + 66) * 8);
        remove_segment(&log(dir, 0));
    });
    assert!(dir.path().join("removed-by-repair/1/t-0").exists());
}

#[test]
fn a_segment_with_a_wrong_epoch_before_the_damage_is_cut_where_a_scan_would_end() {
    let whole = closed();
    let path = log(whole.path(), 1);
    let (base, starts) = (base_offset(&path), batch_starts(&path));
    repaired(&whole, 0..base + 21, |dir| {
        // The epoch of the third batch is outside the range that the next open accepts.
        flip(&log(dir, 1), (starts[3] + 12) * 8);
        flip(&log(dir, 1), (starts[5] + 66) * 8);
    });
}

#[test]
fn a_lost_checkpoint_and_a_bad_batch_are_repaired_together() {
    let whole = closed();
    let path = log(whole.path(), 1);
    let (base, starts) = (base_offset(&path), batch_starts(&path));
    repaired(&whole, 0..base + 35, |dir| {
        flip(&log(dir, 1), (starts[5] + 66) * 8);
        fs::remove_file(dir.join("t-0/checkpoint")).unwrap();
    });
}

#[test]
fn a_checkpoint_that_an_open_refuses_is_written_anew() {
    let whole = closed();
    let dir = repaired(&whole, 0..3_500, |dir| {
        let path = dir.join("t-0/checkpoint");
        let mut bytes = fs::read(&path).unwrap();
        for slot in bytes.chunks_mut(4096) {
            slot[8..16].copy_from_slice(&(u64::MAX - 1).to_be_bytes());
            let crc = crc_fast::crc32_iscsi(&slot[..52]);
            slot[52..56].copy_from_slice(&crc.to_be_bytes());
        }
        fs::write(path, bytes).unwrap();
        let engine = open(dir);
        assert_eq!(engine.damaged().len(), 1);
        drop(engine);
    });
    let moved = image(&dir.path().join("removed-by-repair"));
    let is_record = |path: &PathBuf| path.ends_with("damaged.json");
    assert!(moved.len() == 1 && moved.keys().all(is_record), "no file of the partition was taken away");
}

#[test]
fn damage_in_a_log_that_was_not_closed_cuts_it() {
    for durability in [Durability::Written, Durability::Synced] {
        let config = TopicConfig { segment_bytes: 16 << 20, durability, ..topic() };
        let whole = dropped(config, 14_000);
        let path = log(whole.path(), 0);
        let start = start_of_batch(&path, 4);
        repaired(&whole, 0..28, |dir| flip(&log(dir, 0), (start + 66) * 8));
    }
}

#[test]
fn an_unsealed_segment_that_is_gone_cuts_the_log_or_raises_its_start() {
    let whole = dropped(topic(), 5_000);
    let logs = files(whole.path(), ".log");
    let last = logs.last().unwrap();
    let (second, base) = (base_offset(&logs[1]), base_offset(&logs[logs.len() - 2]));
    assert!(second < base && base < base_offset(last));
    repaired(&whole, 0..base, |dir| {
        unseal(dir);
        fs::remove_file(log(dir, logs.len() - 2)).unwrap();
    });
    repaired(&whole, second..5_000, |dir| {
        unseal(dir);
        fs::remove_file(log(dir, 0)).unwrap();
    });
}

/// Returns the range of offsets that an open of a copy of `dir` reports as missing, end exclusive.
fn missed_by_an_open(dir: &Path) -> (i64, i64) {
    let engine = open(copy(dir).path());
    let [damaged] = engine.damaged() else { panic!("{:?}", engine.damaged()) };
    match &damaged.cause {
        DamageError::Corrupt(found) => match found.kind {
            CorruptionKind::SegmentMissing { from, to } => (from, to),
            ref other => panic!("{other}"),
        },
        DamageError::Unreadable(error) => panic!("{error}"),
    }
}

#[test]
fn a_last_segment_that_is_gone_is_missed_where_only_a_recovery_point_shows_it() {
    // First the segment is the only one, then it is behind sealed ones.
    for count in [7, 2_500] {
        let whole = dropped(topic(), 0);
        let engine = open(whole.path());
        produce(&engine, 0, count, 1_000);
        engine.close().unwrap();
        let engine = open(whole.path());
        produce_until_recovery_points(&engine, whole.path(), 0);
        drop(engine);
        let last = files(whole.path(), ".log").pop().unwrap();
        let has_others = base_offset(&last) > 0;
        let harmed = copy(whole.path());
        fs::remove_file(harmed.path().join("t-0").join(last.file_name().unwrap())).unwrap();
        let (from, to) = missed_by_an_open(harmed.path());
        assert_eq!(from, base_offset(&last));
        let (kind, path, position) = only_defect(harmed.path());
        assert_eq!((kind, path.file_name(), position), (DefectKind::SegmentMissing, last.file_name(), 0));
        repaired(&harmed, if has_others { 0..from } else { to..to }, |_| {});
    }
}

#[test]
fn what_has_a_segments_name_and_is_no_file_is_moved_away() {
    let whole = closed();
    let middle = base_offset(&log(whole.path(), 2));
    let dir = repaired(&whole, 0..middle, |dir| {
        let log = log(dir, 2);
        fs::remove_file(&log).unwrap();
        fs::create_dir(log).unwrap();
    });
    assert!(dir.path().join(format!("removed-by-repair/1/t-0/{middle:020}.log")).is_dir());
    // Here the entry is behind the end of the log, and nothing else is wrong.
    for is_link in [false, true] {
        repaired(&whole, 0..3_500, |dir| {
            let log = dir.join("t-0/00000000000000003500.log");
            if is_link {
                std::os::unix::fs::symlink("nowhere", log).unwrap();
            } else {
                fs::create_dir(log).unwrap();
            }
            let engine = open(dir);
            assert_eq!(engine.damaged().len(), 1);
            drop(engine);
        });
    }
}

#[test]
fn a_partition_whose_directory_is_gone_is_made_again_empty() {
    let whole = closed();
    for is_file in [false, true] {
        let dir = copy(whole.path());
        fs::remove_dir_all(dir.path().join("t-0")).unwrap();
        if is_file {
            fs::write(dir.path().join("t-0"), b"a file").unwrap();
        }
        let planned = plan(dir.path());
        assert_eq!(planned.partitions[0].changes, [Change::DirectoryMade]);
        drop(planned);
        apply(dir.path());
        let engine = open(dir.path());
        assert!(engine.damaged().is_empty());
        assert_eq!((append(&engine, 0), append(&engine, 1)), (0, 100));
        read(&engine, 1, 0..101);
        engine.close().unwrap();
        assert!(check(dir.path()).is_sound());
        assert!(plan(dir.path()).is_empty());
        let moved = dir.path().join("removed-by-repair/1/t-0");
        assert_eq!(fs::read(moved).ok(), is_file.then(|| b"a file".to_vec()));
    }
}

#[test]
fn each_repair_has_a_folder_of_its_own_that_verify_and_an_open_leave_alone() {
    let dir = closed();
    for (number, batch) in [("1", 5), ("2", 2)] {
        let path = log(dir.path(), 1);
        flip(&path, (batch_starts(&path)[batch] + 66) * 8);
        apply(dir.path());
        let removed = dir.path().join("removed-by-repair").join(number);
        let before = image(&removed);
        let engine = open(dir.path());
        produce(&engine, 0, 1_500, 1_000);
        engine.close().unwrap();
        assert!(image(&removed) == before && !before.is_empty());
        let report = check(dir.path());
        assert!(report.is_sound(), "{:#?}", report.defects);
        let [note] = &report.notes[..] else { panic!("{:#?}", report.notes) };
        assert!(note.message.contains("delete it once it is not needed"));
    }
    fs::remove_dir_all(dir.path().join("removed-by-repair")).unwrap();
    assert!(check(dir.path()).notes.is_empty());
}
