//! Repairs of a lost or damaged catalog.

use crate::data::{batch_starts, check, closed, copy, files, flip, open};
use crate::rig::{
    append, apply, assert_no_byte_is_lost, assert_repaired, base_offset, image, plan, read, segments,
};
use std::collections::BTreeMap;
use std::fs;
use vnotch_engine::repair::Change;
use vnotch_engine::verify::NoteKind;

#[test]
fn a_lost_or_damaged_catalog_is_made_again_from_the_partitions() {
    let whole = closed();
    for is_missing in [true, false] {
        let dir = copy(whole.path());
        let path = dir.path().join("catalog.json");
        let mut damaged = fs::read(&path).unwrap();
        damaged[40] ^= 1;
        if is_missing {
            fs::remove_file(&path).unwrap();
        } else {
            fs::write(&path, &damaged).unwrap();
        }
        let bytes = image(dir.path());
        let planned = plan(dir.path());
        let repair = planned.catalog.as_ref().unwrap();
        assert_eq!(repair.topics, BTreeMap::from([("t".to_owned(), 2)]));
        assert_eq!(repair.damage.is_some(), !is_missing);
        assert!(planned.partitions.is_empty());
        drop(planned);
        assert!(image(dir.path()) == bytes, "a plan changes nothing");
        let before = segments(dir.path());
        apply(dir.path());
        let moved = dir.path().join("removed-by-repair/1/catalog.json");
        assert_eq!(fs::read(moved).ok(), (!is_missing).then_some(damaged));
        assert_repaired(dir.path(), &before, 0..3_500);
        let engine = open(dir.path());
        read(&engine, 1, 0..100);
        assert_eq!(append(&engine, 1), 100);
        engine.close().unwrap();
    }
}

#[test]
fn a_lost_catalog_and_a_damaged_and_a_lost_partition_are_repaired_together() {
    let dir = closed();
    let log = files(dir.path(), ".log").swap_remove(1);
    flip(&log, (batch_starts(&log)[5] + 66) * 8);
    fs::rename(dir.path().join("t-1"), dir.path().join("t-2")).unwrap();
    fs::remove_file(dir.path().join("catalog.json")).unwrap();
    let before = segments(dir.path());
    let planned = plan(dir.path());
    assert_eq!(planned.catalog.as_ref().unwrap().topics["t"], 3);
    let changes: Vec<_> = planned.partitions.iter().map(|it| (it.partition, &it.changes[0])).collect();
    assert!(matches!(changes[..], [(0, Change::Cut { .. }), (1, Change::DirectoryMade)]), "{changes:?}");
    drop(planned);
    apply(dir.path());
    assert_no_byte_is_lost(dir.path(), &before);
    assert_repaired(dir.path(), &before, 0..base_offset(&log) + 35);
    let engine = open(dir.path());
    read(&engine, 2, 0..100);
    assert_eq!((append(&engine, 1), append(&engine, 2)), (0, 100));
    engine.close().unwrap();
}

#[test]
fn a_directory_without_partitions_needs_no_catalog() {
    let dir = crate::data::new_dir();
    open(dir.path()).close().unwrap();
    fs::remove_file(dir.path().join("catalog.json")).unwrap();
    assert!(plan(dir.path()).is_empty());
    // The directory `removed-by-repair` is no partition. A data directory that holds nothing else counts as empty.
    fs::create_dir_all(dir.path().join("removed-by-repair/1/t-0")).unwrap();
    assert!(plan(dir.path()).is_empty());
    assert!(check(dir.path()).notes.iter().all(|note| note.kind == NoteKind::Leftover));
    assert!(check(dir.path()).is_sound());
    fs::remove_file(dir.path().join("meta.properties")).unwrap();
    open(dir.path()).close().unwrap();
    assert!(check(dir.path()).is_sound());
}
