//! Verification of a closed directory with one kind of damage at a time.

use crate::rig::{batch_starts, check, closed, copy, files, flip, new_dir, only_defect, open, topic};
use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use vnotch_engine::verify::{DefectKind, NoteKind, VerifyError, verify};

#[test]
fn a_directory_that_was_closed_is_sound_and_everything_in_it_is_counted() {
    let dir = closed();
    let before = all_bytes(dir.path());
    let report = check(dir.path());
    assert!(report.is_sound() && report.notes.is_empty(), "{report:#?}");
    assert_eq!(report.id.unwrap().len(), 32);
    let [first, second] = &report.partitions[..] else { panic!("two partitions") };
    assert_eq!((first.topic.as_str(), first.partition, second.partition), ("t", 0, 1));
    assert_eq!((first.records, first.log_start_offset, first.log_end_offset), (3_500, 0, 3_500));
    assert_eq!((second.records, second.segments, second.log_end_offset), (100, 1, 100));
    let logs = files(dir.path(), ".log");
    assert!(first.segments == logs.len() && logs.len() >= 4);
    let bytes: u64 = logs.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(first.bytes, bytes);
    assert!(all_bytes(dir.path()) == before, "nothing is changed");
}

/// Returns names and contents of all files.
fn all_bytes(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            all.extend(all_bytes(&entry))
        } else {
            all.push((entry.clone(), fs::read(entry).unwrap()))
        }
    }
    all.sort();
    all
}

#[test]
fn progress_comes_to_the_bytes_of_all_segments() {
    let dir = closed();
    let mut last = None;
    verify(dir.path(), &mut |progress| last = Some(*progress)).unwrap();
    let last = last.unwrap();
    assert!(last.total_bytes > 3_500_000);
    assert_eq!(last.done_bytes, last.total_bytes);
}

#[test]
fn a_flipped_bit_in_a_batch_is_one_defect_at_that_batch() {
    let whole = closed();
    for (byte, kind) in [(61 + 5, DefectKind::Batch), (7, DefectKind::OffsetGap), (12, DefectKind::Epoch)] {
        let dir = copy(whole.path());
        let log = files(dir.path(), ".log").swap_remove(1);
        let start = batch_starts(&log)[5];
        flip(&log, (start + byte) * 8);
        assert_eq!(only_defect(dir.path()), (kind, log, start));
    }
}

#[test]
fn two_damaged_batches_are_two_defects_and_the_rest_is_read() {
    let dir = closed();
    let log = files(dir.path(), ".log").swap_remove(0);
    let starts = batch_starts(&log);
    let lengths = [starts[3], starts[9]];
    for start in lengths {
        // A wrong length: the begin of the next batch has to be searched for.
        flip(&log, (start + 10) * 8);
    }
    let report = check(dir.path());
    let found: Vec<u64> = report.defects.iter().map(|defect| defect.position).collect();
    assert_eq!(found, lengths);
    assert!(report.defects.iter().all(|defect| defect.kind == DefectKind::Batch && defect.path == log));
    assert_eq!(report.partitions[0].records, 3_500 - 14);
    assert!(report.defects[0].message.contains("offsets 21..28"), "{}", report.defects[0].message);
}

#[test]
fn a_flipped_bit_in_an_index_is_a_defect_at_its_entry() {
    let whole = closed();
    for (suffix, entry_bytes) in [(".index", 8), (".timeindex", 12)] {
        let dir = copy(whole.path());
        let index = files(dir.path(), suffix).swap_remove(0);
        // The last byte of the fourth entry.
        flip(&index, (3 * entry_bytes + entry_bytes - 1) * 8);
        let report = check(dir.path());
        assert!(!report.is_sound());
        let first = &report.defects[0];
        assert_eq!((first.kind, &first.path, first.position), (DefectKind::Index, &index, 3 * entry_bytes));
    }
}

#[test]
fn a_flipped_bit_in_a_checkpoint_is_a_defect_of_that_slot() {
    let whole = closed();
    for (byte, slot) in [(0, 0), (20, 0), (55, 0), (4096, 4096), (4096 + 30, 4096)] {
        let dir = copy(whole.path());
        let checkpoint = files(dir.path(), "checkpoint").swap_remove(0);
        flip(&checkpoint, byte * 8);
        let report = check(dir.path());
        // The other slot may no longer match the log. Then there is a defect for it too.
        assert!(report.defects.iter().any(|defect| {
            (defect.kind, &defect.path, defect.position) == (DefectKind::Checkpoint, &checkpoint, slot)
        }));
    }
}

#[test]
fn a_truncated_segment_is_said_to_end_too_early() {
    let whole = closed();
    let cut = |number: usize, bytes: u64| {
        let dir = copy(whole.path());
        let log = files(dir.path(), ".log").swap_remove(number);
        let starts = batch_starts(&log);
        fs::File::options().write(true).open(&log).unwrap().set_len(starts[10] + bytes).unwrap();
        (check(dir.path()), log, starts[10])
    };
    let (report, log, at) = cut(0, 100);
    let first = &report.defects[0];
    assert_eq!((first.kind, &first.path, first.position), (DefectKind::Truncated, &log, at));
    // A cut between two batches: the later records are missing, and the indexes have entries for them.
    for number in [0, files(whole.path(), ".log").len() - 1] {
        let (report, ..) = cut(number, 0);
        let missing = report.defects.iter().find(|defect| defect.kind == DefectKind::SegmentMissing).unwrap();
        assert!(missing.message.contains("are missing"), "{}", missing.message);
        let of_indexes: Vec<_> = report.defects.iter().filter(|it| it.kind == DefectKind::Index).collect();
        let [offsets, times] = &of_indexes[..] else { panic!("one for each index: {of_indexes:#?}") };
        for defect in [offsets, times] {
            assert!(
                defect.message.contains("entries after it are wrong in the same way"),
                "{}",
                defect.message
            );
        }
    }
}

#[test]
fn wrong_entries_that_follow_each_other_are_one_defect() {
    let whole = closed();
    for (suffix, entry_bytes, field) in [(".index", 8, 7), (".timeindex", 12, 7)] {
        let dir = copy(whole.path());
        let index = files(dir.path(), suffix).swap_remove(1);
        let mut bytes = fs::read(&index).unwrap();
        let count = bytes.len() / entry_bytes;
        assert!(count > 20, "{count} entries");
        // Entries 5 to 9 and 12, and later the last one.
        for entry in (5..10).chain([12]) {
            bytes[entry * entry_bytes + field] ^= 1;
        }
        fs::write(&index, &bytes).unwrap();
        let report = check(dir.path());
        // Batches without a right entry are one more defect of an offset index.
        let wrong: Vec<_> =
            report.defects.iter().filter(|defect| defect.message.starts_with("entry ")).collect();
        let found: Vec<_> = wrong.iter().map(|defect| (&defect.path, defect.position)).collect();
        let at = |entry: usize| (&index, (entry * entry_bytes) as u64);
        assert_eq!(found, [at(5), at(12)], "{:#?}", report.defects);
        let said = &wrong[0].message;
        assert!(said.contains("the 4 entries after it are wrong in the same way"), "{said}");
        assert!(!wrong[1].message.contains("after it"), "{:#?}", wrong[1]);
    }
}

#[test]
fn a_missing_index_is_a_defect() {
    let whole = closed();
    for suffix in [".index", ".timeindex"] {
        let dir = copy(whole.path());
        let index = files(dir.path(), suffix).swap_remove(2);
        fs::remove_file(&index).unwrap();
        assert_eq!(only_defect(dir.path()), (DefectKind::IndexMissing, index, 0));
    }
}

#[test]
fn an_index_cut_at_an_entry_is_a_defect_at_its_end() {
    let whole = closed();
    for (suffix, entry_bytes) in [(".index", 8), (".timeindex", 12)] {
        let dir = copy(whole.path());
        let index = files(dir.path(), suffix).swap_remove(0);
        let keep = entry_bytes * 5;
        fs::File::options().write(true).open(&index).unwrap().set_len(keep).unwrap();
        assert_eq!(only_defect(dir.path()), (DefectKind::Index, index.clone(), keep));
        fs::File::options().write(true).open(&index).unwrap().set_len(keep + 3).unwrap();
        assert_eq!(only_defect(dir.path()), (DefectKind::Index, index, keep));
    }
}

#[test]
fn foreign_files_are_defects_wherever_they_are() {
    let dir = closed();
    let names = ["notes.txt", "t-0/0.log", "t-0/00000000000000000000.log.bak", "t-1/.hidden", "t-02"];
    for name in names {
        fs::write(dir.path().join(name), "mine").unwrap();
    }
    fs::create_dir(dir.path().join("t-0/00000000000000009999.log")).unwrap();
    fs::create_dir(dir.path().join("stuff")).unwrap();
    let report = check(dir.path());
    let mut found: Vec<_> = report.defects.iter().map(|defect| defect.path.clone()).collect();
    let mut expected: Vec<_> = names.iter().map(|name| dir.path().join(name)).collect();
    expected.extend([dir.path().join("t-0/00000000000000009999.log"), dir.path().join("stuff")]);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert!(report.defects.iter().all(|defect| defect.kind == DefectKind::ForeignFile));
}

#[test]
fn a_segment_that_is_gone_is_missed_wherever_it_was() {
    let whole = closed();
    let count = files(whole.path(), ".log").len();
    for number in 0..count {
        let dir = copy(whole.path());
        let log = files(dir.path(), ".log").swap_remove(number);
        for suffix in ["log", "index", "timeindex"] {
            fs::remove_file(log.with_extension(suffix)).unwrap();
        }
        assert_eq!(only_defect(dir.path()), (DefectKind::SegmentMissing, log, 0), "segment {number}");
    }
}

#[test]
fn partitions_are_held_against_the_catalog_both_ways() {
    let dir = closed();
    fs::rename(dir.path().join("t-1"), dir.path().join("t-7")).unwrap();
    let report = check(dir.path());
    let found: Vec<_> = report.defects.iter().map(|defect| (defect.kind, defect.path.clone())).collect();
    assert!(found.contains(&(DefectKind::PartitionMissing, dir.path().join("t-1"))));
    assert!(found.contains(&(DefectKind::PartitionUnknown, dir.path().join("t-7"))));
    assert_eq!(found.len(), 2);
    assert_eq!(report.partitions[1].records, 100, "it is walked all the same");
}

#[test]
fn without_catalog_or_meta_the_partitions_are_still_walked() {
    let whole = closed();
    for (name, kind) in [("catalog.json", DefectKind::Catalog), ("meta.properties", DefectKind::Meta)] {
        let dir = copy(whole.path());
        let path = dir.path().join(name);
        flip(&path, 8 * 3);
        let report = check(dir.path());
        assert_eq!(report.defects.first().map(|defect| defect.kind), Some(kind));
        assert_eq!((report.partitions.len(), report.defects.len()), (2, 1));
        fs::remove_file(&path).unwrap();
        assert_eq!(only_defect(dir.path()), (kind, path, 0));
    }
}

#[test]
fn a_missing_checkpoint_is_a_defect_and_the_segments_are_still_walked() {
    let dir = closed();
    let checkpoint = files(dir.path(), "checkpoint").swap_remove(0);
    fs::remove_file(&checkpoint).unwrap();
    assert_eq!(only_defect(dir.path()), (DefectKind::Checkpoint, checkpoint, 0));
    assert_eq!(check(dir.path()).partitions[0].records, 3_500);
}

#[test]
fn what_a_first_open_or_a_deletion_left_is_a_note() {
    let dir = closed();
    fs::write(dir.path().join("catalog.json.tmp"), "half").unwrap();
    let report = check(dir.path());
    assert!(report.is_sound());
    assert_eq!(report.notes.iter().map(|note| note.kind).collect::<Vec<_>>(), [NoteKind::Leftover]);
}

#[test]
fn what_is_no_data_directory_or_in_use_or_newer_is_refused() {
    let dir = new_dir();
    let refused = |dir: &Path| verify(dir, &mut |_| {}).unwrap_err();
    assert!(matches!(refused(dir.path()), VerifyError::NotADataDirectory { .. }));
    fs::write(dir.path().join("file"), "x").unwrap();
    assert!(matches!(refused(dir.path()), VerifyError::NotADataDirectory { .. }));
    fs::remove_file(dir.path().join("file")).unwrap();
    let engine = open(dir.path());
    engine.create_topic("t", 1, topic()).unwrap();
    assert!(matches!(refused(dir.path()), VerifyError::InUse { .. }));
    engine.close().unwrap();
    assert!(check(dir.path()).is_sound());
    let meta = dir.path().join("meta.properties");
    let mut text = String::new();
    let mut file = fs::File::options().read(true).write(true).open(&meta).unwrap();
    file.read_to_string(&mut text).unwrap();
    file.rewind().unwrap();
    file.write_all(text.replace("version=2", "version=9").as_bytes()).unwrap();
    assert!(matches!(refused(dir.path()), VerifyError::NewerFormat { found: 9, .. }));
}
