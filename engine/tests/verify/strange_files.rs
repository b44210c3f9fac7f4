//! Files of a closed directory that are links, cannot be read, are far too large, or are another partition's.

use crate::holes::{append, base_offset, corruption, in_time, read};
use crate::rig::{check, closed, copy, files, new_dir, open, produce, topic};
use std::fs;
use vnotch_engine::error::{DamageError, FetchError};
use vnotch_engine::verify::DefectKind;

#[test]
fn links_to_partitions_and_segments_are_followed_by_verify_and_by_an_open() {
    let dir = closed();
    let elsewhere = new_dir();
    let log = files(dir.path(), ".log").swap_remove(1);
    fs::rename(&log, elsewhere.path().join("segment")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("segment"), &log).unwrap();
    fs::rename(dir.path().join("t-0"), elsewhere.path().join("partition")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("partition"), dir.path().join("t-0")).unwrap();
    let report = check(dir.path());
    assert!(report.is_sound() && report.notes.is_empty(), "{report:#?}");
    assert_eq!(report.partitions[0].records, 3_500);
    let engine = open(dir.path());
    assert_eq!(read(&engine, 0, 3_500).0, 3_500);
    assert_eq!(append(&engine, 0).unwrap(), 3_500);
    engine.close().unwrap();
    assert!(check(dir.path()).is_sound());
    // For `verify` and for an open, a link to nothing is no partition.
    fs::remove_dir_all(elsewhere.path().join("partition")).unwrap();
    assert!(check(dir.path()).defects.iter().any(|it| it.kind == DefectKind::PartitionMissing));
    let engine = open(dir.path());
    assert!(matches!(engine.damaged(), [damaged] if damaged.partition.partition == 0));
    engine.close().unwrap();
}

#[test]
fn a_topic_whose_partition_is_a_link_can_be_deleted_and_made_again() {
    let dir = closed();
    let elsewhere = new_dir();
    fs::rename(dir.path().join("t-0"), elsewhere.path().join("partition")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("partition"), dir.path().join("t-0")).unwrap();
    let engine = open(dir.path());
    engine.delete_topic("t").unwrap();
    assert!(fs::symlink_metadata(dir.path().join("t-0")).is_err(), "the link is gone");
    assert_eq!(fs::read_dir(elsewhere.path().join("partition")).unwrap().count(), 0, "its files are gone");
    engine.create_topic("t", 2, topic()).unwrap();
    assert_eq!(append(&engine, 0).unwrap(), 0);
    engine.close().unwrap();
    assert!(check(dir.path()).is_sound());
}

#[test]
fn a_checkpoint_that_is_far_too_large_costs_its_partition_and_no_memory() {
    let dir = closed();
    let path = dir.path().join("t-0/checkpoint");
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(check(dir.path()).defects.iter().any(|it| it.path == path), "{:#?}", check(dir.path()).defects);
    let engine = open(dir.path());
    assert!(
        matches!(engine.damaged(), [damaged] if damaged.partition.partition == 0),
        "{:?}",
        engine.damaged()
    );
    assert_eq!(append(&engine, 1).unwrap(), 100, "other partitions take appends");
    engine.close().unwrap();
}

#[test]
fn an_unsealed_segment_that_cannot_be_opened_leaves_the_sealed_ones_readable() {
    let dir = closed();
    let engine = open(dir.path());
    produce(&engine, 0, 100, 1_000);
    drop(engine);
    let log = files(dir.path(), ".log").pop().unwrap();
    fs::remove_file(&log).unwrap();
    // No user can open a link to itself, not even root.
    std::os::unix::fs::symlink(&log, &log).unwrap();
    in_time(move || {
        let engine = open(dir.path());
        let [damaged] = engine.damaged() else { panic!("{:?}", engine.damaged()) };
        assert!(matches!(&damaged.cause, DamageError::Unreadable(error) if error.path == log), "{damaged:?}");
        assert_eq!((damaged.from_offset, read(&engine, 0, 3_600).0), (3_500, 3_500));
        assert!(append(&engine, 0).is_err());
        assert_eq!(append(&engine, 1).unwrap(), 100, "other partitions take appends");
        engine.close().unwrap();
    });
}

#[test]
fn another_partitions_checkpoint_hides_no_hole() {
    let dir = closed();
    let engine = open(dir.path());
    produce(&engine, 1, 20, 100);
    drop(engine);
    fs::remove_file(dir.path().join("t-1/00000000000000000100.log")).unwrap();
    for index in ["index", "timeindex"] {
        fs::remove_file(dir.path().join(format!("t-1/00000000000000000000.{index}"))).unwrap();
    }
    fs::copy(dir.path().join("t-0/checkpoint"), dir.path().join("t-1/checkpoint")).unwrap();
    let engine = open(dir.path());
    let [damaged] = engine.damaged() else { panic!("{:?}", engine.damaged()) };
    assert_eq!((damaged.partition.partition, damaged.from_offset), (1, 100), "{damaged:?}");
    assert!(append(&engine, 1).is_err() && append(&engine, 0).is_ok());
    engine.close().unwrap();
}

#[test]
fn another_partitions_bytes_in_place_of_a_segment_are_an_error_where_they_begin() {
    let whole = closed();
    let foreign = fs::read(whole.path().join("t-1/00000000000000000000.log")).unwrap();
    let last = files(whole.path(), ".log").len() - 1;
    for number in [1, last] {
        let dir = copy(whole.path());
        let log = files(dir.path(), ".log").swap_remove(number);
        fs::write(&log, &foreign).unwrap();
        assert!(check(dir.path()).defects.iter().any(|it| it.path == log && it.position == 0));
        let foreign = foreign.clone();
        in_time(move || {
            let engine = open(dir.path());
            let (at, error) = read(&engine, 0, 3_500);
            let found = corruption(error);
            assert_eq!((at, &found.path, found.position), (base_offset(&log), &log, 0));
            assert_eq!(append(&engine, 1).unwrap(), 100, "other partitions take appends");
            engine.close().unwrap();
            assert!(fs::read(&log).unwrap() == foreign, "the file was left as it is");
        });
    }
}

#[test]
fn a_segment_that_cannot_be_opened_fails_its_own_reads_and_nothing_else() {
    let dir = closed();
    let log = files(dir.path(), ".log").swap_remove(1);
    let kept = log.with_extension("kept");
    fs::rename(&log, &kept).unwrap();
    // No user can open a link to itself, not even root.
    std::os::unix::fs::symlink(&log, &log).unwrap();
    let base = base_offset(&log);
    in_time(move || {
        let report = check(dir.path());
        assert!(report.defects.iter().any(|it| it.path == log), "{:#?}", report.defects);
        let engine = open(dir.path());
        let (at, error) = read(&engine, 0, 3_500);
        assert_eq!(at, base, "the records before it were delivered");
        let Some(FetchError::Disk(error)) = error else { panic!("{error:?}") };
        assert_eq!(error.path, log);
        let next = base_offset(&files(dir.path(), ".log")[2]);
        assert_eq!(read(&engine, next, 2_500).0, 2_500, "the segments behind it can be read");
        assert_eq!(append(&engine, 0).unwrap(), 3_500);
        assert_eq!(append(&engine, 1).unwrap(), 100);
        // When the file is back, its records can be read again.
        fs::remove_file(&log).unwrap();
        fs::rename(&kept, &log).unwrap();
        assert_eq!(read(&engine, 0, 3_500).0, 3_500);
        engine.close().unwrap();
    });
}
