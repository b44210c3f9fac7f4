//! A data directory that is opened with another number of shards than before.

use super::{config, consume, data_dir, produce};
use std::path::Path;
use std::time::{Duration, Instant};
use vnotch_engine::client::Commit;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::types::{ConsumerPosition, Durability, TopicPartition};
use vnotch_engine::verify::verify;

fn open_with(shards: u32, path: &Path) -> Engine {
    let cores = std::thread::available_parallelism().unwrap().get();
    let cores = (0..shards as usize).map(|shard| shard % cores).collect();
    Engine::open(EngineConfig { shards, cores, ..config(path) }).unwrap()
}

fn committed(partition: u32, offset: u64) -> Commit {
    Commit {
        partition: TopicPartition { topic: "t".into(), partition },
        position: ConsumerPosition { offset: i64::try_from(offset).unwrap(), leader_epoch: None },
        metadata: None,
    }
}

/// The names of the files of recovery points.
fn points_files(dir: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("recovery-")).collect();
    names.sort();
    names
}

/// Longest wait for something that takes a second on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn any_number_of_shards_finds_all_records_and_committed_offsets() {
    let dir = data_dir();
    let (partitions, groups, records) = (5, 20, 50);
    for (round, shards) in (1u64..).zip([2, 1, 3, 2, 1]) {
        let engine = open_with(shards, dir.path());
        if round == 1 {
            engine.create_topic("t", partitions, TopicConfig::default()).unwrap();
        }
        let (before, now) = ((round - 1) * records, round * records);
        for partition in 0..partitions {
            produce(&engine, "t", partition, before..now, 100);
            consume(&engine, "t", partition, 0..now);
        }
        let admin = engine.group_admin().unwrap();
        for group in 0..groups {
            let group = format!("vnotch-t-bench{group}-group");
            let offsets: Vec<(u32, i64)> = (admin.offsets(&group).unwrap().iter())
                .map(|commit| (commit.partition.partition, commit.position.offset))
                .collect();
            let expected = i64::try_from(before).unwrap();
            let of_all: Vec<_> = (0..partitions).map(|partition| (partition, expected)).collect();
            assert_eq!(offsets, if round == 1 { Vec::new() } else { of_all }, "{group} with {shards} shards");
            let commits: Vec<Commit> = (0..partitions).map(|partition| committed(partition, now)).collect();
            admin.commit(&group, &commits).unwrap();
        }
        assert_eq!(admin.list().unwrap().groups.len(), groups);
        // Every second time the engine is dropped, so that the next open has to recover the logs.
        if round % 2 == 0 {
            engine.close().unwrap()
        } else {
            drop(engine)
        }
        let meta = std::fs::read_to_string(dir.path().join("meta.properties")).unwrap();
        assert!(meta.contains(&format!("shards={shards}\n")), "{meta}");
    }
    let report = verify(dir.path(), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

/// Fills one partition on each of two shards until both have written their recovery points twice: then the first write is complete.
fn fill(dir: &Path) {
    let engine = open_with(2, dir);
    let topic = TopicConfig { durability: Durability::Synced, ..TopicConfig::default() };
    engine.create_topic("t", 2, topic).unwrap();
    let is_written = |name| std::fs::metadata(dir.join(name)).is_ok_and(|it| it.len() > 0);
    let begun = Instant::now();
    let mut next = 0;
    while !(is_written("recovery-0.b") && is_written("recovery-1.b")) {
        assert!(begun.elapsed() < PATIENCE, "recovery points are written every 250 ms");
        (0..2).for_each(|partition| produce(&engine, "t", partition, next..next + 1, 100));
        next += 1;
    }
}

/// Fills the first segment of each partition with zeros, as if it had never been written.
fn blank(dir: &Path) {
    for partition in ["t-0", "t-1"] {
        let path = dir.join(partition).join("00000000000000000000.log");
        let bytes = std::fs::metadata(&path).unwrap().len();
        std::fs::write(&path, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
    }
}

#[test]
fn damage_is_found_by_the_recovery_points_of_shards_that_are_no_more() {
    let dir = data_dir();
    fill(dir.path());
    blank(dir.path());
    let engine = open_with(1, dir.path());
    assert_eq!(engine.damaged().len(), 2, "{:?}", engine.damaged());
}

#[test]
fn recovery_points_of_shards_that_are_no_more_go_once_they_are_replaced() {
    let dir = data_dir();
    fill(dir.path());
    let engine = open_with(1, dir.path());
    let read =
        || ["a", "b"].map(|turn| std::fs::read(dir.path().join(format!("recovery-0.{turn}"))).unwrap());
    let (before, begun) = (read(), Instant::now());
    let is_new = |now: [Vec<u8>; 2]| (0..2).all(|turn| !now[turn].is_empty() && now[turn] != before[turn]);
    while !is_new(read()) {
        assert!(begun.elapsed() < PATIENCE, "recovery points are written every 250 ms");
        for partition in 0..2 {
            let end = engine.describe_topic("t").unwrap().partitions[partition as usize].log_end_offset;
            let end = u64::try_from(end).unwrap();
            produce(&engine, "t", partition, end..end + 1, 100);
        }
    }
    // The older one of the second shard's two files is gone already.
    let is_left = points_files(dir.path()).iter().any(|name| name.starts_with("recovery-1."));
    assert!(is_left, "the next open removes it");
    drop(engine);
    drop(open_with(1, dir.path()));
    assert_eq!(points_files(dir.path()), ["recovery-0.a", "recovery-0.b"]);
}
