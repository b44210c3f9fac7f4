//! The engine through its public handles, with real files, rings and threads.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic")]

#[path = "../support/lost_end.rs"]
mod lost_end;

mod aging;
mod arguments;
mod catalog;
mod close;
mod colocated;
mod delete_records;
mod deletion;
mod open_and_close;
mod partitions;
mod records;
mod saved_positions;
mod shard_count;
mod topics;
mod versions;

use std::path::Path;
use vnotch_engine::client::{ConsumerConfig, ProducerConfig};
use vnotch_engine::config::EngineConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;

fn data_dir() -> tempfile::TempDir {
    // Not in /tmp, which may be a tmpfs without O_DIRECT.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn config(path: &Path) -> EngineConfig {
    EngineConfig { arena_bytes: 32 << 20, ..EngineConfig::new(path) }
}

fn open(path: &Path) -> Engine {
    Engine::open(config(path)).unwrap()
}

fn two_shards(path: &Path) -> EngineConfig {
    let cores = std::thread::available_parallelism().unwrap().get();
    EngineConfig { shards: 2, cores: vec![0, 1 % cores], ..config(path) }
}

fn value(number: u64, bytes: usize) -> Vec<u8> {
    let mut value = vec![b'x'; bytes.max(8)];
    value[..8].copy_from_slice(&number.to_be_bytes());
    value
}

/// Sends a record for each of `numbers` to one partition, and waits for every ack.
fn produce(engine: &Engine, topic: &str, partition: u32, numbers: std::ops::Range<u64>, bytes: usize) {
    let mut producer =
        engine.producer(topic, ProducerConfig { linger: None, ..ProducerConfig::default() }).unwrap();
    let mut next = numbers.start;
    for number in numbers {
        let value = value(number, bytes);
        let record = RecordRef { timestamp_ms: 1, value: Some(&value), ..RecordRef::default() };
        while producer.try_send(Some(partition), &record).is_err() {
            let ack = producer.wait_ack().unwrap();
            assert_eq!(ack.result.unwrap(), i64::try_from(next).unwrap());
            next += u64::from(ack.count);
        }
    }
    for ack in producer.wait_all() {
        assert_eq!(ack.result.unwrap(), i64::try_from(next).unwrap());
        next += u64::from(ack.count);
    }
}

/// Reads the records of `numbers` from one partition, and checks that each is there once, in order.
fn consume(engine: &Engine, topic: &str, partition: u32, numbers: std::ops::Range<u64>) {
    let from = i64::try_from(numbers.start).unwrap();
    let mut consumer = engine.consumer([(topic, partition, from)], ConsumerConfig::default()).unwrap();
    let mut expected = numbers.start;
    while expected < numbers.end {
        let fetched = consumer.wait_fetch().unwrap();
        for record in fetched.records() {
            let record = record.unwrap();
            assert_eq!(record.offset, i64::try_from(expected).unwrap());
            assert_eq!(record.value.unwrap()[..8], expected.to_be_bytes());
            expected += 1;
        }
    }
    assert_eq!(expected, numbers.end);
}
