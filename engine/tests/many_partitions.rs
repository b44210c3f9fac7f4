//! Many partitions in one engine. They are opened together, and each has its own state.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::collections::BTreeMap;
use std::path::Path;
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;

const SHARDS: u32 = 2;
const PARTITIONS: u32 = 100;

fn data_dir() -> tempfile::TempDir {
    // Not in /tmp, which may be a tmpfs without O_DIRECT.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn open(path: &Path) -> Engine {
    let cores = std::thread::available_parallelism().unwrap().get();
    let cores = (0..SHARDS as usize).map(|shard| shard % cores).collect();
    let config = EngineConfig { shards: SHARDS, cores, arena_bytes: 64 << 20, ..EngineConfig::new(path) };
    Engine::open(config).unwrap()
}

fn topic() -> TopicConfig {
    TopicConfig { segment_bytes: 1 << 20, max_message_bytes: 64 << 10, ..TopicConfig::default() }
}

/// Appends records to each partition: its number modulo 5.
fn fill(engine: &Engine, name: &str) {
    let mut producer =
        engine.producer(name, ProducerConfig { linger: None, ..ProducerConfig::default() }).unwrap();
    for partition in 0..PARTITIONS {
        for _ in 0..partition % 5 {
            let record = RecordRef { value: Some(b"x"), ..RecordRef::default() };
            while producer.try_send(Some(partition), &record).is_err() {
                producer.wait_ack().unwrap().result.unwrap();
            }
        }
    }
    assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
}

fn has_all(engine: &Engine, times: i64) {
    for (name, filled) in [("t", true), ("u", false), ("v", true)] {
        let described = engine.describe_topic(name).unwrap();
        let ends = described.partitions.iter().map(|partition| partition.log_end_offset);
        let expected =
            (0..i64::from(PARTITIONS)).map(|partition| if filled { times * (partition % 5) } else { 0 });
        assert!(ends.eq(expected), "{name}");
    }
}

/// Returns every file below a directory with its bytes, except for the catalog, which counts the opens.
fn files(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.file_name().is_some_and(|name| name != "catalog.json") {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn partitions_that_are_opened_together_have_their_own_records() {
    let dir = data_dir();
    let engine = open(dir.path());
    for name in ["v", "t", "u"] {
        engine.create_topic(name, PARTITIONS, topic()).unwrap();
    }
    for name in ["t", "v"] {
        fill(&engine, name);
    }
    has_all(&engine, 1);
    engine.close().unwrap();
    let before = files(dir.path());
    let engine = open(dir.path());
    assert!(engine.damaged().is_empty());
    has_all(&engine, 1);
    engine.close().unwrap();
    assert!(files(dir.path()) == before, "an open and a close without appends change no partition");
    let engine = open(dir.path());
    for name in ["t", "v"] {
        fill(&engine, name);
    }
    // Without a close, every partition with records is recovered.
    drop(engine);
    has_all(&open(dir.path()), 2);
}

#[test]
fn a_damaged_partition_among_many_is_the_one_that_is_reported() {
    let dir = data_dir();
    let engine = open(dir.path());
    for name in ["t", "u", "v"] {
        engine.create_topic(name, PARTITIONS, topic()).unwrap();
    }
    fill(&engine, "u");
    engine.close().unwrap();
    std::fs::remove_file(dir.path().join("u-33/00000000000000000000.log")).unwrap();
    std::fs::remove_dir_all(dir.path().join("v-7")).unwrap();
    let engine = open(dir.path());
    let damaged: Vec<String> = engine.damaged().iter().map(|it| it.partition.to_string()).collect();
    assert_eq!(damaged, ["u-33", "v-7"]);
    engine.delete_topic("u").unwrap();
    engine.create_topic("u", PARTITIONS, topic()).unwrap();
    fill(&engine, "u");
    engine.close().unwrap();
}

#[test]
fn a_topic_of_which_one_partition_cannot_be_made_is_not_there_at_all() {
    let dir = data_dir();
    let engine = open(dir.path());
    // The directory of partition 60 cannot be created, because a file has its name.
    std::fs::write(dir.path().join("t-60"), b"").unwrap();
    assert!(engine.create_topic("t", PARTITIONS, topic()).is_err());
    std::fs::remove_file(dir.path().join("t-60")).unwrap();
    engine.create_topic("t", PARTITIONS, topic()).unwrap();
    fill(&engine, "t");
    engine.close().unwrap();
}
