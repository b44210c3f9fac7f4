//! Damage that an open has found is recorded. Neither a reboot nor newer recovery points make it count as a normal end.

use crate::data::{
    check, copy, files, flip, new_dir, only_defect, open, produce, produce_until_recovery_points, topic,
};
use crate::rig::{
    apply, assert_no_byte_is_lost, dropped, image, plan, reboot, remove_points, segments, start_of_batch,
    unseal,
};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{DamageError, OpenError};
use vnotch_engine::verify::{DefectKind, NoteKind};

fn records(dir: &Path) -> PathBuf {
    dir.join("damaged.json")
}

/// Returns the damage of partition 0 that an open has found: the first offset, the file and the byte.
#[track_caller]
fn damage(engine: &Engine) -> (i64, PathBuf, u64) {
    let [damaged] = engine.damaged() else { panic!("{:?}", engine.damaged()) };
    match &damaged.cause {
        DamageError::Corrupt(found) => (damaged.from_offset, found.path.clone(), found.position),
        DamageError::Unreadable(error) => (damaged.from_offset, error.path.clone(), error.position),
    }
}

/// Opens `dir`. Checks that partition 0 is damaged there, that its files do not change, and that `verify` agrees.
#[track_caller]
fn assert_damaged(dir: &Path, from_offset: i64, log: &Path, position: u64) {
    let before = image(&dir.join("t-0"));
    let engine = open(dir);
    assert_eq!(damage(&engine), (from_offset, log.to_path_buf(), position));
    engine.close().unwrap();
    assert!(image(&dir.join("t-0")) == before, "nothing of the partition is changed");
    let (_, path, byte) = only_defect(dir);
    assert_eq!((&*path, byte), (log, position), "verify names the place");
}

/// Returns a log of two unsealed segments. A batch of the first one is damaged.
fn unsealed_and_flipped() -> (TempDir, PathBuf, i64, u64) {
    let dir = dropped(topic(), 1_500);
    unseal(dir.path());
    let log = files(dir.path(), ".log").swap_remove(0);
    let position = start_of_batch(&log, 5);
    flip(&log, (position + 66) * 8);
    (dir, log, 35, position)
}

/// Returns a log of one segment. Batch 90, close to the end, is damaged. Only recovery points show that the log was longer.
fn shown_by_points() -> (TempDir, PathBuf, i64, u64) {
    let dir = new_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 2, TopicConfig { segment_bytes: 16 << 20, ..topic() }).unwrap();
    produce(&engine, 0, 700, 1_000);
    produce_until_recovery_points(&engine, dir.path(), 0);
    drop(engine);
    let log = files(dir.path(), ".log").swap_remove(0);
    let position = start_of_batch(&log, 90);
    flip(&log, (position + 100) * 8);
    (dir, log, 630, position)
}

#[test]
fn damage_that_only_recovery_points_show_is_found_again_once_they_are_replaced() {
    let (dir, log, from, position) = shown_by_points();
    for _ in 0..3 {
        assert_damaged(dir.path(), from, &log, position);
        let engine = open(dir.path());
        produce_until_recovery_points(&engine, dir.path(), 1);
        // The recovery points are now those of the other partition.
        drop(engine);
    }
    let before = segments(dir.path());
    apply(dir.path());
    assert_no_byte_is_lost(dir.path(), &before);
    assert!(!records(dir.path()).exists() && plan(dir.path()).is_empty());
    let engine = open(dir.path());
    assert!(engine.damaged().is_empty());
    assert_eq!(engine.describe_topic("t").unwrap().partitions[0].log_end_offset, from);
}

#[test]
fn damage_is_found_again_after_a_reboot_and_nothing_is_deleted() {
    for damaged in [unsealed_and_flipped, shown_by_points] {
        let (dir, log, from, position) = damaged();
        assert_damaged(dir.path(), from, &log, position);
        let recorded = fs::read(records(dir.path())).unwrap();
        reboot(dir.path());
        for _ in 0..2 {
            assert_damaged(dir.path(), from, &log, position);
            assert!(fs::read(records(dir.path())).unwrap() == recorded, "the record is the same");
        }
        let before = segments(dir.path());
        apply(dir.path());
        assert_no_byte_is_lost(dir.path(), &before);
        let engine = open(dir.path());
        assert!(engine.damaged().is_empty());
        assert_eq!(engine.describe_topic("t").unwrap().partitions[0].log_end_offset, from);
        engine.close().unwrap();
        assert!(check(dir.path()).is_sound() && !records(dir.path()).exists());
    }
}

#[test]
fn a_log_that_was_restored_is_served_again_and_its_damage_is_forgotten() {
    let (dir, log, from, position) = unsealed_and_flipped();
    assert_damaged(dir.path(), from, &log, position);
    reboot(dir.path());
    flip(&log, (position + 66) * 8);
    let report = check(dir.path());
    assert!(report.is_sound(), "{:#?}", report.defects);
    let is_named = |path: &Path| path == records(dir.path());
    assert!(report.notes.iter().any(|note| note.kind == NoteKind::Leftover && is_named(&note.path)));
    assert!(plan(dir.path()).is_empty());
    let engine = open(dir.path());
    assert!(engine.damaged().is_empty());
    assert_eq!(engine.describe_topic("t").unwrap().partitions[0].log_end_offset, 1_500);
    engine.close().unwrap();
    assert!(!records(dir.path()).exists() && check(dir.path()).is_sound());
}

#[test]
fn a_log_that_is_restored_in_part_stays_damaged() {
    let (dir, log, from, position) = shown_by_points();
    assert_damaged(dir.path(), from, &log, position);
    reboot(dir.path());
    // The damaged batch is whole again, and a later one is damaged.
    flip(&log, (position + 100) * 8);
    let later = start_of_batch(&log, 95);
    flip(&log, (later + 100) * 8);
    assert_damaged(dir.path(), 665, &log, later);
    assert_damaged(dir.path(), 665, &log, later);
}

#[test]
fn a_segment_that_could_not_be_read_is_judged_as_before_once_it_can() {
    for (has_points, damaged) in [(true, shown_by_points as fn() -> _), (false, unsealed_and_flipped)] {
        let (dir, log, from, position) = damaged();
        if !has_points {
            remove_points(dir.path());
        }
        let bytes = fs::read(&log).unwrap();
        fs::remove_file(&log).unwrap();
        fs::create_dir(&log).unwrap();
        let engine = open(dir.path());
        assert_eq!(damage(&engine).0, 0);
        drop(engine);
        fs::remove_dir(&log).unwrap();
        fs::write(&log, bytes).unwrap();
        reboot(dir.path());
        assert_damaged(dir.path(), from, &log, position);
    }
}

#[test]
fn a_deleted_topic_takes_its_record_with_it() {
    let (dir, log, from, position) = unsealed_and_flipped();
    assert_damaged(dir.path(), from, &log, position);
    let engine = open(dir.path());
    engine.delete_topic("t").unwrap();
    assert!(!records(dir.path()).exists());
    engine.create_topic("t", 1, topic()).unwrap();
    produce(&engine, 0, 10, 100);
    drop(engine);
    assert!(open(dir.path()).damaged().is_empty());
}

#[test]
fn a_directory_that_is_gone_and_recorded_is_made_again_and_forgotten() {
    let (dir, ..) = shown_by_points();
    fs::remove_dir_all(dir.path().join("t-0")).unwrap();
    assert_eq!(damage(&open(dir.path())).0, 0);
    apply(dir.path());
    let engine = open(dir.path());
    assert!(engine.damaged().is_empty() && !records(dir.path()).exists());
    assert_eq!(engine.describe_topic("t").unwrap().partitions[0].log_end_offset, 0);
}

#[test]
fn a_record_that_cannot_be_read_is_refused_and_a_repair_judges_as_if_it_named_every_partition() {
    let (whole, log, from, position) = unsealed_and_flipped();
    assert_damaged(whole.path(), from, &log, position);
    let text = fs::read(records(whole.path())).unwrap();
    reboot(whole.path());
    let mut flipped = text.clone();
    flipped[text.len() / 2] ^= 1;
    for bytes in [b"noise".to_vec(), Vec::new(), text[..text.len() / 2].to_vec(), flipped] {
        let dir = copy(whole.path());
        fs::write(records(dir.path()), &bytes).unwrap();
        let before = image(dir.path());
        let opened = Engine::open(EngineConfig { arena_bytes: 16 << 20, ..EngineConfig::new(dir.path()) });
        let Err(OpenError::Corrupt(corruption)) = opened else { panic!("it is refused") };
        assert_eq!(corruption.path, records(dir.path()));
        assert!(image(dir.path()) == before, "nothing is changed");
        let kinds: Vec<_> = check(dir.path()).defects.into_iter().map(|defect| defect.kind).collect();
        assert_eq!(kinds, [DefectKind::DamageRecords, DefectKind::Batch]);
        let segments = segments(dir.path());
        let planned = plan(dir.path());
        assert_eq!(planned.damage_records.as_ref().map(|it| it.path.clone()), Some(records(dir.path())));
        drop(planned);
        apply(dir.path());
        assert_no_byte_is_lost(dir.path(), &segments);
        assert!(plan(dir.path()).is_empty());
        let moved = fs::read(dir.path().join("removed-by-repair/1/damaged.json")).unwrap();
        assert_eq!(moved, bytes);
        let engine = open(dir.path());
        assert!(engine.damaged().is_empty());
        assert_eq!(engine.describe_topic("t").unwrap().partitions[0].log_end_offset, from);
    }
}

#[test]
fn a_record_that_was_being_replaced_is_a_note() {
    let dir = dropped(topic(), 10);
    fs::write(dir.path().join("damaged.json.tmp"), "half").unwrap();
    let report = check(dir.path());
    assert!(report.is_sound() && report.notes.iter().any(|note| note.kind == NoteKind::Leftover));
    open(dir.path()).close().unwrap();
    assert!(check(dir.path()).notes.is_empty(), "the next open removes it");
}
