//! Open files of the process. The test is alone in its binary, because other tests open files at the same time.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::time::{Duration, Instant};
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;

/// Returns the targets of all descriptors of this process, sorted.
fn open_files() -> Vec<String> {
    let mut files: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .filter(|target| !target.starts_with("/proc/"))
        .collect();
    files.sort();
    files
}

const SHARDS: usize = 2;

/// Opens an engine, appends a record, and closes or drops it.
fn cycle(dir: &std::path::Path, is_closed: bool) {
    let cores = std::thread::available_parallelism().unwrap().get();
    let config = EngineConfig {
        shards: u32::try_from(SHARDS).unwrap(),
        cores: (0..SHARDS).map(|shard| shard % cores).collect(),
        arena_bytes: 16 << 20,
        ..EngineConfig::new(dir)
    };
    let engine = Engine::open(config).unwrap();
    if engine.list_topics().is_empty() {
        engine.create_topic("t", 2, TopicConfig::default()).unwrap();
    }
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    producer.try_send(Some(0), &RecordRef { value: Some(b"x"), ..RecordRef::default() }).unwrap();
    assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
    if is_closed {
        engine.close().unwrap();
    }
}

/// Returns the files that are open now and were not open before.
fn opened_since(before: &[String]) -> Vec<String> {
    let mut before = before.to_vec();
    let is_new = |file: &String| match before.iter().position(|other| other == file) {
        Some(at) => {
            before.swap_remove(at);
            false
        }
        None => true,
    };
    open_files().into_iter().filter(is_new).collect()
}

/// glommio 0.9 never closes the eventfd of an executor, because its tasks do not release what they share with it. So one
/// eventfd for each shard may be left, and nothing else.
#[test]
fn opening_and_closing_leaves_nothing_open_but_an_eventfd_of_each_executor() {
    const CYCLES: usize = 20;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let before = open_files();
    for number in 0..CYCLES {
        cycle(dir.path(), number % 2 == 0);
    }
    let expected = vec!["anon_inode:[eventfd]".to_owned(); CYCLES * SHARDS];
    // Helper threads of the executors end a little later than the executors.
    let begun = Instant::now();
    while opened_since(&before) != expected && begun.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    let left = opened_since(&before);
    assert_eq!(left, expected, "{} instead of {}", left.len(), expected.len());
}
