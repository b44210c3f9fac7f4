//! On a real disk, one flush makes synced writes of many partitions durable, if they come together.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::path::Path;
use std::time::{Duration, Instant};
use vnotch_engine::client::{LocalProducer, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::events::EventKind;
use vnotch_engine::record::RecordRef;
use vnotch_engine::shard::WriteStats;
use vnotch_engine::types::{Durability, Preallocate};

const PARTITIONS: u32 = 48;
const ROUNDS: u64 = 50;

/// The type that statfs reports for ext2, ext3 and ext4.
const EXT4_MAGIC: u64 = 0xEF53;

fn open(path: &Path) -> Engine {
    let engine = Engine::open(EngineConfig { arena_bytes: 64 << 20, ..EngineConfig::new(path) }).unwrap();
    let topic = TopicConfig {
        durability: Durability::Synced,
        segment_bytes: 1 << 20,
        max_message_bytes: 256 << 10,
        retention_bytes: Some(1 << 20),
        preallocate: Preallocate::Recycle,
        ..TopicConfig::default()
    };
    engine.create_topic("t", PARTITIONS, topic).unwrap();
    engine
}

/// Sends a record to each partition, all at once, and waits for the acks.
async fn round(producer: &mut LocalProducer, value_bytes: usize) {
    let value = vec![7; value_bytes];
    let record = RecordRef { value: Some(&value), ..RecordRef::default() };
    for partition in 0..PARTITIONS {
        producer.try_send(Some(partition), &record).unwrap();
    }
    assert!(producer.all_acks().await.iter().all(|ack| ack.result.is_ok()));
}

/// Returns the number of flushes of the disk below `path`; `None` if the kernel does not count them.
fn device_flushes(path: &Path) -> Option<u64> {
    let device = rustix::fs::stat(path).unwrap().st_dev;
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let dir = std::fs::canonicalize(format!("/sys/dev/block/{number}")).ok()?;
    let disk = dir.ancestors().find(|dir| dir.join("queue").exists())?;
    let caches = std::fs::read_to_string(disk.join("queue/write_cache")).ok()?;
    let stat = std::fs::read_to_string(disk.join("stat")).ok()?;
    (caches.trim() == "write back").then(|| stat.split_whitespace().nth(15)?.parse().ok()).flatten()
}

/// Runs `count` rounds in a task on the shard. Returns the shard's write statistics before and after them.
fn rounds(engine: &Engine, count: u64, value_bytes: usize) -> [WriteStats; 2] {
    let before = engine.stats()[0].writes.clone();
    let task = engine.run_on(0, move |local| async move {
        let mut producer = local.producer("t", ProducerConfig::default()).unwrap();
        for _ in 0..count {
            round(&mut producer, value_bytes).await;
        }
    });
    task.unwrap().wait().unwrap();
    [before, engine.stats()[0].writes.clone()]
}

#[test]
fn what_comes_together_shares_a_flush() {
    // Not in /tmp, which may be a tmpfs without O_DIRECT.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let magic = rustix::fs::statfs(dir.path()).unwrap().f_type;
    if u64::try_from(magic) != Ok(EXT4_MAGIC) {
        println!("not ext4: flushes are not shared here, so there is nothing to test");
        return;
    }
    let engine = open(dir.path());
    // Run rounds until retention has freed segments and every write of a round overwrites.
    let begun = Instant::now();
    let overwrites = |[before, after]: &[WriteStats; 2]| after.overwrites - before.overwrites;
    rounds(&engine, 60, 60 << 10);
    while overwrites(&rounds(&engine, 1, 4000)) < u64::from(PARTITIONS) {
        assert!(begun.elapsed() < Duration::from_secs(60), "segments are not recycled");
    }
    // If a segment is full during a round, its partition waits for the next segment. Such rounds are repeated.
    let has_rolled = || {
        engine.take_events().iter().any(|event| matches!(event.event.kind, EventKind::Roll | EventKind::Seal))
    };
    has_rolled();
    let mut done_before = device_flushes(dir.path());
    let mut written = rounds(&engine, ROUNDS, 4000);
    while has_rolled() {
        assert!(begun.elapsed() < Duration::from_secs(60), "segments are full after a few records");
        done_before = device_flushes(dir.path());
        written = rounds(&engine, ROUNDS, 4000);
    }
    let [before, after] = &written;
    assert_eq!(after.count - before.count, ROUNDS * u64::from(PARTITIONS));
    assert_eq!(overwrites(&written), after.count - before.count);
    // On a busy machine a round may take two of the shard's turns.
    let flushes = after.syncs - before.syncs;
    assert!((ROUNDS..ROUNDS + ROUNDS / 5).contains(&flushes), "{flushes} flushes in {ROUNDS} rounds");
    // The kernel has really sent each flush to the disk.
    if let (Some(before), Some(after)) = (done_before, device_flushes(dir.path())) {
        assert!(after - before >= ROUNDS, "the disk was flushed {} times in {ROUNDS} rounds", after - before);
    }
}
