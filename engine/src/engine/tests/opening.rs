//! Partitions are opened at the same time: on all shards, and several on each shard.

use super::PATIENCE;
use super::unanswered::stick;
use crate::catalog::partition_dir;
use crate::client::ProducerConfig;
use crate::config::{EngineConfig, TopicConfig};
use crate::engine::Engine;
use crate::record::RecordRef;
use crate::types::IoMode;
use std::path::Path;
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 48;

fn config(dir: &Path, shards: u32) -> EngineConfig {
    let cores = std::thread::available_parallelism().unwrap().get();
    EngineConfig {
        shards,
        cores: (0..shards as usize).map(|shard| shard % cores).collect(),
        io: IoMode::Buffered,
        arena_bytes: 16 << 20,
        // Longer than any test: a shard that stands still is waited for.
        stuck_after: PATIENCE * 10,
        ..EngineConfig::new(dir)
    }
}

fn topic() -> TopicConfig {
    TopicConfig { segment_bytes: 1 << 20, max_message_bytes: 64 << 10, ..TopicConfig::default() }
}

/// Waits until `path` exists. Returns false if it does not appear for a long time.
fn appears(path: &Path) -> bool {
    let begun = Instant::now();
    while !path.exists() {
        if begun.elapsed() > PATIENCE / 4 {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

#[test]
fn a_shard_opens_its_partitions_while_the_one_before_it_still_opens_others() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path(), 3)).unwrap();
    // Shard 0 has the catalog, so shard 1 stands still.
    let release = stick(&engine, 1);
    let of_shard_2 = (0..3).find(|partition| engine.shard_of("t", *partition) == 2).unwrap();
    let its_dir = partition_dir(dir.path(), "t", of_shard_2);
    std::thread::scope(|scope| {
        let created = scope.spawn(|| engine.create_topic("t", 3, topic()));
        let has_opened = appears(&its_dir);
        let is_waiting = !created.is_finished();
        drop(release);
        created.join().unwrap().unwrap();
        assert!(has_opened, "shard 2 waits for shard 1");
        assert!(is_waiting, "shard 1 has a partition too");
    });
    engine.close().unwrap();
}

/// Appends a record to each partition.
fn fill(engine: &Engine) {
    let mut producer = engine.producer("t", ProducerConfig { linger: None, ..Default::default() }).unwrap();
    for partition in 0..PARTITIONS {
        let record = RecordRef { value: Some(b"x"), ..RecordRef::default() };
        while producer.try_send(Some(partition), &record).is_err() {
            producer.wait_ack().unwrap().result.unwrap();
        }
    }
    assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
}

/// The kernel joins the flushes of syncs that are under way at the same time.
#[test]
fn a_shard_opens_several_partitions_at_the_same_time_and_so_are_their_syncs() {
    // Not in /tmp, which may be a tmpfs, where a sync takes no time.
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let engine = Engine::open(config(dir.path(), 1)).unwrap();
    engine.create_topic("t", PARTITIONS, topic()).unwrap();
    fill(&engine);
    // Without a close, the next open cuts and syncs the file of each partition.
    drop(engine);
    let engine = Engine::open(config(dir.path(), 1)).unwrap();
    let most = engine.shards[0].call(|shard| async move { shard.most_in_flight() }).unwrap();
    assert!(most.operations >= 16, "{most:?} in flight at the same time");
    assert!(most.syncs >= 4, "{most:?} in flight at the same time");
    engine.close().unwrap();
}
