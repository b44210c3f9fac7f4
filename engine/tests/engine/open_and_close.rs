//! Opens, closes and drops of an engine, and a shard that stands still.

use super::{config, consume, data_dir, open, produce};
use std::time::{Duration, Instant};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::OpenError;

#[test]
fn an_engine_dropped_in_the_middle_keeps_what_was_acked() {
    let dir = data_dir();
    let engine = open(dir.path());
    let topic = TopicConfig { segment_bytes: 1 << 20, max_message_bytes: 1 << 19, ..TopicConfig::default() };
    engine.create_topic("t", 1, topic).unwrap();
    produce(&engine, "t", 0, 0..5_000, 700);
    drop(engine);
    let engine = open(dir.path());
    consume(&engine, "t", 0, 0..5_000);
}

#[test]
fn a_directory_that_is_not_ours_is_refused_and_left_alone() {
    let dir = data_dir();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(Engine::open(config(&file)), Err(OpenError::NotADirectory { .. })));
    assert!(matches!(Engine::open(config(dir.path())), Err(OpenError::ForeignDirectory { .. })));
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
}

#[test]
fn a_directory_in_use_or_of_a_newer_format_is_refused() {
    let dir = data_dir();
    let engine = open(dir.path());
    assert!(matches!(Engine::open(config(dir.path())), Err(OpenError::InUse { .. })));
    engine.close().unwrap();
    let meta = dir.path().join("meta.properties");
    let text = std::fs::read_to_string(&meta).unwrap();
    std::fs::write(&meta, text.replace("version=2", "version=3")).unwrap();
    let newer = Engine::open(config(dir.path()));
    assert!(matches!(newer, Err(OpenError::NewerFormat { found: 3, supported: 2, .. })));
    std::fs::write(&meta, text).unwrap();
    open(dir.path()).close().unwrap();
}

#[test]
fn a_stalled_shard_stands_still_loses_nothing_and_goes_on() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    produce(&engine, "t", 0, 0..10, 100);
    let length = Duration::from_millis(300);
    let begun = Instant::now();
    engine.stall_shard(0, length).unwrap();
    // Wait until the shard stalls. A fast disk could complete an append before that.
    std::thread::sleep(length / 3);
    produce(&engine, "t", 0, 10..20, 100);
    assert!(begun.elapsed() >= length, "acked {:?} after a stall of {length:?} began", begun.elapsed());
    consume(&engine, "t", 0, 0..20);
    let error = engine.stall_shard(1, length).unwrap_err();
    assert_eq!(error.to_string(), "there is no shard 1: the engine has 1, numbered from 0");
    engine.close().unwrap();
}

#[test]
fn a_shard_that_cannot_start_is_an_error() {
    let dir = data_dir();
    // The machine has no core with this number.
    let config = EngineConfig { cores: vec![100_000], ..config(dir.path()) };
    let (report, opened) = std::sync::mpsc::channel();
    // This thread is not joined, as it may hang.
    std::thread::spawn(move || drop(report.send(Engine::open(config).map(drop))));
    let opened = opened.recv_timeout(Duration::from_secs(30)).expect("the open returns");
    assert!(matches!(opened, Err(OpenError::Executor { shard: 0, .. })), "{opened:?}");
    open(dir.path()).close().unwrap();
}
