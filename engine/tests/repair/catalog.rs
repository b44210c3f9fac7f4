//! Repairs of a lost or damaged catalog.

use crate::data::{
    batch_starts, check, closed, copy, files, flip, new_dir, open, produce, produce_until_recovery_points,
    topic,
};
use crate::rig::{
    append, apply, assert_no_byte_is_lost, assert_repaired, base_offset, image, plan, read, reboot, segments,
};
use std::collections::BTreeMap;
use std::fs;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::OpenError;
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

/// A catalog that was copied back knows fewer opens than there were. Without this check, an open would take the batches of the later
/// ones for the rest of an earlier use of the file, and cut them off.
#[test]
fn an_older_copy_of_the_catalog_is_refused_and_repaired_and_no_record_is_lost() {
    for has_points in [true, false] {
        let dir = new_dir();
        let engine = open(dir.path());
        let config = TopicConfig { retention_bytes: Some(77 << 30), ..topic() };
        engine.create_topic("t", 1, config).unwrap();
        engine.close().unwrap();
        let path = dir.path().join("catalog.json");
        let older = fs::read(&path).unwrap();
        for _ in 0..3 {
            let engine = open(dir.path());
            produce_until_recovery_points(&engine, dir.path(), 0);
            drop(engine);
        }
        let engine = open(dir.path());
        let end = engine.describe_topic("t").unwrap().partitions[0].log_end_offset;
        produce(&engine, 0, 500, 1_000);
        drop(engine);
        fs::write(&path, &older).unwrap();
        if !has_points {
            // A crash of the machine may have taken anything that was not synced.
            reboot(dir.path());
        }
        let before = segments(dir.path());
        assert!(
            check(dir.path()).defects.iter().any(|it| it.path == path),
            "{:#?}",
            check(dir.path()).defects
        );
        let opened = Engine::open(EngineConfig { arena_bytes: 16 << 20, ..EngineConfig::new(dir.path()) });
        match opened {
            Err(OpenError::Corrupt(corruption)) if has_points => assert_eq!(corruption.path, path),
            Ok(engine) if !has_points => {
                assert!(matches!(engine.damaged(), [_]), "{:?}", engine.damaged());
                engine.close().unwrap();
                // This open has raised the incarnation.
                fs::write(&path, &older).unwrap();
            }
            opened => panic!("{has_points}: {:?}", opened.map(drop)),
        }
        assert!(segments(dir.path()) == before, "no segment has changed");
        apply(dir.path());
        assert_repaired(dir.path(), &before, 0..end + 500);
        let engine = open(dir.path());
        assert_eq!(engine.describe_topic("t").unwrap().config.retention_bytes, Some(77 << 30));
        engine.close().unwrap();
    }
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
