//! Recovery points are written again and again while records are appended.

use crate::rig::{new_dir, open, produce, produce_until_recovery_points, topic};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::types::Durability;

/// Time in which writes of the recovery points are counted.
const COUNTED_FOR: Duration = Duration::from_secs(3);

/// Least number of writes in that time. With one every 250 ms there are about 11.
const WRITES_LEAST: u64 = 7;

/// On a busy machine the shard may have stood still for a part of the time. Then the writes are counted again.
const ATTEMPTS: usize = 5;

/// Returns how often the recovery points of shard 0 have been written since the open: the higher sequence number of both
/// files, in the format of docs/format.md.
fn writes_of_points(dir: &Path) -> u64 {
    let sequences = ["a", "b"].map(|turn| {
        let bytes = fs::read(dir.join(format!("recovery-0.{turn}"))).unwrap_or_default();
        bytes.get(8..16).map_or(0, |field| u64::from_be_bytes(field.try_into().unwrap()))
    });
    sequences[0].max(sequences[1])
}

#[test]
fn recovery_points_are_written_every_250_ms_while_synced_appends_go_on() {
    let dir = new_dir();
    let engine = open(dir.path());
    let durability = Durability::Synced;
    engine.create_topic("t", 1, TopicConfig { durability, segment_bytes: 16 << 20, ..topic() }).unwrap();
    produce_until_recovery_points(&engine, dir.path(), 0);
    let mut counts = Vec::new();
    while counts.len() < ATTEMPTS && counts.last().is_none_or(|count| *count < WRITES_LEAST) {
        let (before, begun) = (writes_of_points(dir.path()), Instant::now());
        while begun.elapsed() < COUNTED_FOR {
            produce(&engine, 0, 7, 100);
            std::thread::sleep(Duration::from_millis(5));
        }
        counts.push(writes_of_points(dir.path()) - before);
    }
    assert!(counts.last() >= Some(&WRITES_LEAST), "writes in {COUNTED_FOR:?} each: {counts:?}");
    engine.close().unwrap();
}
