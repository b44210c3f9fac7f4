//! Helpers: a data directory made by a real engine, and changes to its copies.

use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::Durability;
use vnotch_engine::verify::{DefectKind, Report, verify};

pub(crate) fn new_dir() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub(crate) fn open(path: &Path) -> Engine {
    Engine::open(EngineConfig { arena_bytes: 16 << 20, ..EngineConfig::new(path) }).unwrap()
}

pub(crate) fn topic() -> TopicConfig {
    TopicConfig {
        durability: Durability::Written,
        segment_bytes: 1 << 20,
        max_message_bytes: 64 << 10,
        ..TopicConfig::default()
    }
}

/// Appends `count` records of `bytes` bytes to a partition of `t`, with rising timestamps.
pub(crate) fn produce(engine: &Engine, partition: u32, count: i64, bytes: usize) {
    let config = ProducerConfig { linger: None, batch_records_max: 7, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    let value = vec![b'v'; bytes];
    for number in 0..count {
        let record = RecordRef { timestamp_ms: 1_000 + number, value: Some(&value), ..RecordRef::default() };
        while producer.try_send(Some(partition), &record).is_err() {
            producer.wait_ack().unwrap().result.unwrap();
        }
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
}

/// Appends to a partition until new recovery points have been written, which cover all records appended before this call.
pub(crate) fn produce_until_recovery_points(engine: &Engine, dir: &Path, partition: u32) {
    let points =
        || ["a", "b"].map(|turn| fs::read(dir.join(format!("recovery-0.{turn}"))).unwrap_or_default());
    let (before, begun) = (points(), std::time::Instant::now());
    let is_new = |now: &[Vec<u8>; 2]| (0..2).all(|turn| !now[turn].is_empty() && now[turn] != before[turn]);
    while !is_new(&points()) {
        assert!(begun.elapsed().as_secs() < 20, "they are written every 250 ms");
        // Only a few records at a time, so that the caller can choose a segment size that fits them.
        produce(engine, partition, 7, 100);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Returns a directory with two partitions, written in two opens and closed. The first partition has several segments.
pub(crate) fn closed() -> TempDir {
    let dir = new_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 2, topic()).unwrap();
    produce(&engine, 0, 2_500, 1_000);
    produce(&engine, 1, 100, 100);
    engine.close().unwrap();
    let engine = open(dir.path());
    produce(&engine, 0, 1_000, 1_000);
    engine.close().unwrap();
    dir
}

/// Returns a copy of a directory, which a test may damage.
pub(crate) fn copy(from: &Path) -> TempDir {
    let to = new_dir();
    copy_into(from, to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) fn check(dir: &Path) -> Report {
    verify(dir, &mut |_| {}).unwrap()
}

/// Returns the files of the first partition whose name ends in `suffix`, sorted.
pub(crate) fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("t-0")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_str().unwrap().ends_with(suffix));
    paths.sort();
    paths
}

pub(crate) fn flip(path: &Path, bit: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
    fs::write(path, bytes).unwrap();
}

/// Returns the positions at which the batches of a segment begin, and the end of the last one.
pub(crate) fn batch_starts(path: &Path) -> Vec<u64> {
    let bytes = fs::read(path).unwrap();
    let mut at = 0;
    let mut starts = vec![0];
    for batch in vnotch_engine::record::batches(&bytes) {
        at += batch.unwrap().bytes().len() as u64;
        starts.push(at);
    }
    starts
}

/// Returns the only defect of `dir`: its kind, file and byte.
#[track_caller]
pub(crate) fn only_defect(dir: &Path) -> (DefectKind, PathBuf, u64) {
    let report = check(dir);
    assert_eq!(report.defects.len(), 1, "{:#?}", report.defects);
    let defect = &report.defects[0];
    assert!(!defect.message.is_empty());
    (defect.kind, defect.path.clone(), defect.position)
}
