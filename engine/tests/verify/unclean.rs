//! Verification distinguishes damage from the state that an end without a close leaves.

use crate::rig::{
    batch_starts, check, copy, files, flip, new_dir, only_defect, open, produce,
    produce_until_recovery_points, topic,
};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use tempfile::TempDir;
use vnotch_engine::config::TopicConfig;
use vnotch_engine::error::DamageError;
use vnotch_engine::segment;
use vnotch_engine::types::{Durability, Preallocate};
use vnotch_engine::verify::{DefectKind, NoteKind, Report};

/// Returns a directory whose engine was dropped, so that its last segment is not sealed.
fn dropped(config: TopicConfig) -> TempDir {
    let dir = new_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, config).unwrap();
    produce(&engine, 0, 2_600, 1_000);
    drop(engine);
    dir
}

fn has_note(report: &Report, kind: NoteKind) -> bool {
    report.notes.iter().any(|note| note.kind == kind)
}

/// Whether the report has a note of a tail at this position. The segment before may be unsealed too, and have another tail.
fn has_tail(report: &Report, log: &Path, position: u64) -> bool {
    let mut tails = report.notes.iter().filter(|note| note.kind == NoteKind::Tail);
    tails.any(|tail| tail.path == log && tail.position == position)
}

/// Returns the last segment, and the position at which its last batch ends.
fn active(dir: &Path) -> (std::path::PathBuf, u64) {
    let log = files(dir, ".log").pop().unwrap();
    let bytes = fs::read(&log).unwrap();
    let whole = vnotch_engine::record::batches(&bytes).map_while(Result::ok);
    let end = whole.map(|batch| batch.bytes().len() as u64).sum();
    (log, end)
}

#[test]
fn a_log_that_was_not_closed_is_sound_with_notes_and_so_it_is_once_opened_and_closed() {
    for preallocate in [Preallocate::None, Preallocate::Fallocate] {
        let dir = dropped(TopicConfig { preallocate, ..topic() });
        let report = check(dir.path());
        assert!(report.is_sound(), "{:#?}", report.defects);
        assert!(has_note(&report, NoteKind::NotClean));
        assert_eq!((report.partitions[0].records, report.partitions[0].log_end_offset), (2_600, 2_600));
        if preallocate == Preallocate::Fallocate {
            let (log, end) = active(dir.path());
            assert!(has_tail(&report, &log, end), "{:#?}", report.notes);
        }
        open(dir.path()).close().unwrap();
        let report = check(dir.path());
        assert!(report.is_sound() && report.notes.is_empty(), "{report:#?}");
        assert_eq!(report.partitions[0].records, 2_600);
    }
}

#[test]
fn what_a_recycled_segment_held_before_is_no_damage() {
    for durability in [Durability::Written, Durability::Synced] {
        let dir = new_dir();
        let engine = open(dir.path());
        let preallocate = Preallocate::Recycle;
        let config = TopicConfig { preallocate, durability, retention_bytes: Some(2 << 20), ..topic() };
        engine.create_topic("t", 1, config).unwrap();
        while engine.stats()[0].writes.overwrites < 20 {
            produce(&engine, 0, 500, 1_000);
        }
        drop(engine);
        let report = check(dir.path());
        assert!(report.is_sound(), "{:#?}", report.defects);
        assert!(has_note(&report, NoteKind::NotClean));
        open(dir.path()).close().unwrap();
        let report = check(dir.path());
        assert!(report.is_sound() && report.notes.is_empty(), "{report:#?}");
        fs::write(dir.path().join("t-0").join(segment::FILLING), [1; 8192]).unwrap();
        assert!(has_note(&check(dir.path()), NoteKind::Leftover));
        open(dir.path()).close().unwrap();
        assert!(check(dir.path()).notes.is_empty(), "the next open removes it");
    }
}

#[test]
fn a_torn_tail_is_a_note_at_its_byte() {
    let dir = dropped(topic());
    let (log, end) = active(dir.path());
    let file = fs::File::options().write(true).open(&log).unwrap();
    // Write the beginning of a batch like the first one.
    let bytes = fs::read(&log).unwrap();
    file.write_all_at(&bytes[..500], end).unwrap();
    let report = check(dir.path());
    assert!(report.is_sound(), "{:#?}", report.defects);
    assert!(has_tail(&report, &log, end), "{:#?}", report.notes);
    open(dir.path()).close().unwrap();
    assert_eq!(check(dir.path()).partitions[0].records, 2_600);
}

#[test]
fn older_batches_behind_the_tail_of_a_reused_file_are_a_note() {
    let dir = dropped(topic());
    let (log, end) = active(dir.path());
    let first = files(dir.path(), ".log").swap_remove(0);
    let old = fs::read(first).unwrap();
    let file = fs::File::options().write(true).open(&log).unwrap();
    file.write_all_at(&old[..(1 << 20) - end as usize], end).unwrap();
    let report = check(dir.path());
    assert!(report.is_sound(), "{:#?}", report.defects);
    assert!(has_note(&report, NoteKind::Tail));
    assert_eq!(report.partitions[0].records, 2_600);
}

#[test]
fn damage_further_back_than_what_was_in_flight_is_a_defect_as_it_is_for_an_open() {
    let dir = new_dir();
    let engine = open(dir.path());
    let config = TopicConfig { segment_bytes: 16 << 20, ..topic() };
    engine.create_topic("t", 1, config).unwrap();
    produce(&engine, 0, 16_000, 1_000);
    drop(engine);
    assert!(check(dir.path()).is_sound());
    let (log, _) = active(dir.path());
    let batch = batch_starts_of_prefix(&log, 4);
    flip(&log, (batch + 100) * 8);
    damaged_from(dir.path(), &log, batch);
}

/// Checks that `verify` and an open report the batch at byte `position` of `log` as damaged, and nothing else. Returns the first
/// offset of partition 0 that cannot be read.
#[track_caller]
fn damaged_from(dir: &Path, log: &Path, position: u64) -> i64 {
    assert_eq!(only_defect(dir), (DefectKind::Batch, log.to_path_buf(), position));
    let engine = open(dir);
    let [damaged] = engine.damaged() else { panic!("{:?}", engine.damaged()) };
    let DamageError::Corrupt(found) = &damaged.cause else { panic!("{:?}", damaged.cause) };
    assert_eq!((&*found.path, found.position), (log, position), "an open says so too");
    let from_offset = damaged.from_offset;
    engine.close().unwrap();
    from_offset
}

fn batch_starts_of_prefix(log: &Path, number: usize) -> u64 {
    let bytes = fs::read(log).unwrap();
    let batches = vnotch_engine::record::batches(&bytes).take(number);
    batches.map(|batch| batch.unwrap().bytes().len() as u64).sum()
}

#[test]
fn what_retention_was_deleting_is_a_note_and_what_it_deleted_is_not_missed() {
    let dir = new_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, topic()).unwrap();
    produce(&engine, 0, 3_000, 1_000);
    engine.close().unwrap();
    let whole = copy(dir.path());
    let first = files(whole.path(), ".log").swap_remove(0);
    let engine = open(dir.path());
    engine.close().unwrap();
    // Retention raises the log's start before it removes files. So a crash can leave the new start in the checkpoint, and the
    // files in the directory.
    let second = files(dir.path(), ".log")[1].file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap();
    raise_start(dir.path(), second);
    let report = check(dir.path());
    assert!(report.is_sound(), "{:#?}", report.defects);
    assert!(has_note(&report, NoteKind::Leftover));
    assert_eq!(report.partitions[0].log_start_offset, second);
    for suffix in ["log", "index"] {
        fs::remove_file(dir.path().join("t-0").join(first.with_extension(suffix).file_name().unwrap()))
            .unwrap();
    }
    let report = check(dir.path());
    assert!(report.is_sound() && has_note(&report, NoteKind::Leftover), "{report:#?}");
    assert!(batch_starts(&files(dir.path(), ".log")[0]).len() > 1);
}

/// Writes the newest checkpoint of `t-0` again with another log start, in the format of docs/format.md.
fn raise_start(dir: &Path, log_start_offset: i64) {
    let path = dir.join("t-0/checkpoint");
    let mut bytes = fs::read(&path).unwrap();
    bytes.resize(8192, 0);
    let sequence = |slot: &[u8]| u64::from_be_bytes(slot[8..16].try_into().unwrap());
    let newest = usize::from(sequence(&bytes[4096..]) > sequence(&bytes)) * 4096;
    bytes[newest + 24..newest + 32].copy_from_slice(&log_start_offset.to_be_bytes());
    let crc = crc_fast::crc32_iscsi(&bytes[newest..newest + 52]);
    bytes[newest + 52..newest + 56].copy_from_slice(&crc.to_be_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_bit_shortly_before_a_kill_is_damage_once_a_recovery_point_lies_behind_it() {
    for durability in [Durability::Written, Durability::Synced] {
        let dir = new_dir();
        let engine = open(dir.path());
        engine.create_topic("t", 1, TopicConfig { durability, segment_bytes: 16 << 20, ..topic() }).unwrap();
        produce(&engine, 0, 700, 1_000);
        produce_until_recovery_points(&engine, dir.path(), 0);
        drop(engine);
        let report = check(dir.path());
        assert!(report.is_sound(), "{:#?}", report.defects);
        let (log, _) = active(dir.path());
        let batch = batch_starts_of_prefix(&log, 90);
        flip(&log, (batch + 100) * 8);
        let base_offset = segment::base_offset_of(log.file_name().unwrap().to_str().unwrap()).unwrap();
        assert_eq!(damaged_from(dir.path(), &log, batch), base_offset + 630);
    }
}

#[test]
fn recovery_points_that_are_torn_or_of_other_topics_say_nothing() {
    let dir = dropped(topic());
    for turn in ["a", "b"] {
        fs::write(dir.path().join(format!("recovery-0.{turn}")), [b'v'; 5_000]).unwrap();
    }
    assert!(check(dir.path()).is_sound());
    open(dir.path()).close().unwrap();
    assert_eq!(check(dir.path()).partitions[0].records, 2_600);
}

/// Returns the number of bytes from the start of a segment's batch to the last byte of the file that is not zero.
fn bytes_from(log: &Path, batch: u64) -> u64 {
    let bytes = fs::read(log).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1 - batch
}

#[test]
fn the_bytes_that_may_be_unfinished_writes_or_damage_are_counted() {
    let dir = dropped(TopicConfig { preallocate: Preallocate::Fallocate, ..topic() });
    // With a recovery point behind it, a flipped bit would be known as damage.
    for turn in ["a", "b"] {
        fs::write(dir.path().join(format!("recovery-0.{turn}")), b"").unwrap();
    }
    let unjudged = |dir: &TempDir| {
        let report = check(dir.path());
        assert!(report.is_sound(), "{:#?}", report.defects);
        report.partitions[0].unjudged_bytes
    };
    assert_eq!(unjudged(&dir), 0, "zeros behind the last batch are no record");
    let torn = copy(dir.path());
    let (log, end) = active(torn.path());
    let bytes = fs::read(&log).unwrap();
    fs::File::options().write(true).open(&log).unwrap().write_all_at(&bytes[..500], end).unwrap();
    assert_eq!((unjudged(&torn), bytes_from(&log, end)), (500, 500));
    let flipped = copy(dir.path());
    let (log, _) = active(flipped.path());
    let batch = batch_starts_of_prefix(&log, 40);
    flip(&log, (batch + 100) * 8);
    let unfinished = bytes_from(&log, batch);
    assert!(unfinished > 100_000, "many batches lie behind");
    assert_eq!(unjudged(&flipped), unfinished);
    open(flipped.path()).close().unwrap();
    assert_eq!(unjudged(&flipped), 0, "the open has cut them off");
}

/// Returns the number of bytes that this thread has read from files; `None` if the kernel does not count them.
fn bytes_read() -> Option<u64> {
    let counts = fs::read_to_string("/proc/thread-self/io").ok()?;
    counts.lines().find_map(|line| line.strip_prefix("rchar: "))?.parse().ok()
}

#[test]
fn reserved_space_that_was_never_written_is_not_read() {
    let dir = new_dir();
    let engine = open(dir.path());
    let (preallocate, segment_bytes) = (Preallocate::Fallocate, 256 << 20);
    engine.create_topic("t", 1, TopicConfig { preallocate, segment_bytes, ..topic() }).unwrap();
    produce(&engine, 0, 100, 1_000);
    drop(engine);
    assert_eq!(fs::metadata(&files(dir.path(), ".log")[0]).unwrap().len(), segment_bytes);
    let Some(before) = bytes_read() else {
        println!("the kernel does not count what a thread reads, so there is nothing to test");
        return;
    };
    let report = check(dir.path());
    let read = bytes_read().unwrap() - before;
    assert!(report.is_sound(), "{:#?}", report.defects);
    assert_eq!(report.partitions[0].records, 100);
    // `verify` reads pieces of 16 MiB.
    assert!(read < segment_bytes / 4, "{read} bytes were read");
}
