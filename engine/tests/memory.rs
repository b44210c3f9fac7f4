//! An arena that is too small for all partitions and readers at once. Its memory goes to those that use it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic")]

use std::time::{Duration, Instant};
use vnotch_engine::buffer::SharedBytes;
use vnotch_engine::client::{Consumer, ConsumerConfig, Fetched, Producer, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::{Durability, Preallocate};

/// Environment variable. If it is set, the test has 4,096 partitions and 100 rounds, and takes 10 GiB of disk and minutes.
const FULL_SIZE: &str = "VNOTCH_MEMORY_FULL";

const VALUE_BYTES: usize = 60 << 10;

fn data_dir() -> tempfile::TempDir {
    // Not in /tmp, which may be a tmpfs without O_DIRECT.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn open(path: &std::path::Path, arena_bytes: usize) -> Engine {
    // At full size a busy disk can delay a shard for long.
    let stuck_after = Duration::from_secs(120);
    Engine::open(EngineConfig { arena_bytes, stuck_after, ..EngineConfig::new(path) }).unwrap()
}

fn value(partition: u32, number: u32) -> Vec<u8> {
    let mut value = vec![b'x'; VALUE_BYTES];
    value[..4].copy_from_slice(&partition.to_be_bytes());
    value[4..8].copy_from_slice(&number.to_be_bytes());
    value
}

/// Sends one record to each partition, and waits for all acks.
fn round(producer: &mut Producer, partitions: u32, number: u32) {
    let mut acked = 0;
    for partition in 0..partitions {
        let value = value(partition, number);
        let record = RecordRef { timestamp_ms: 1, value: Some(&value), ..RecordRef::default() };
        while producer.try_send(Some(partition), &record).is_err() {
            let ack = producer.wait_ack().unwrap();
            assert_eq!(ack.result.unwrap(), i64::from(number));
            acked += 1;
        }
    }
    for ack in producer.wait_all() {
        assert_eq!(ack.result.unwrap(), i64::from(number));
        acked += 1;
    }
    assert_eq!(acked, partitions);
}

/// Reads the record with this number from each partition.
fn consume(consumer: &mut Consumer, partitions: u32, number: u32) {
    for _ in 0..partitions {
        let fetched = consumer.wait_fetch().unwrap();
        assert_eq!(fetched.from_offset, i64::from(number));
        let partition = u32::try_from(fetched.assignment).unwrap();
        let records: Vec<_> = fetched.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 1);
        assert!(records[0].value == Some(&value(partition, number)[..]), "other bytes than were sent");
    }
}

/// The test has many more partitions than the arena has chunks. Each in turn is written and read. No append waits for a timer,
/// because a shard has no timer for appends.
#[test]
fn partitions_that_take_turns_need_no_more_memory_than_there_is() {
    let is_full_size = std::env::var_os(FULL_SIZE).is_some();
    let (partitions, rounds, arena_bytes) =
        if is_full_size { (4_096, 100, 64 << 20) } else { (100, 4, 16 << 20) };
    take_turns(partitions, rounds, arena_bytes);
}

/// A shard keeps 4,096 files open, so each partition has its own here. In round 9 the segments are half full. The files of the next
/// segments are made then, and close files of partitions whose writes wait for their turn. Takes 3 GiB of disk.
#[test]
fn writes_that_wait_for_their_turn_survive_the_loss_of_their_file() {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(600));
        std::process::abort();
    });
    take_turns(4_096, 11, 64 << 20);
}

fn take_turns(partitions: u32, rounds: u32, arena_bytes: usize) {
    let dir = data_dir();
    let engine = open(dir.path(), arena_bytes);
    let topic = TopicConfig {
        durability: Durability::Synced,
        segment_bytes: 1 << 20,
        retention_bytes: Some(1 << 20),
        preallocate: Preallocate::None,
        max_message_bytes: 256 << 10,
        ..TopicConfig::default()
    };
    engine.create_topic("t", partitions, topic).unwrap();
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    let assignment: Vec<_> = (0..partitions).map(|partition| ("t", partition, 0)).collect();
    let config = ConsumerConfig { max_wait: Duration::from_secs(60), ..ConsumerConfig::default() };
    let mut consumer = engine.consumer(assignment, config).unwrap();
    let begun = Instant::now();
    for number in 0..rounds {
        round(&mut producer, partitions, number);
        consume(&mut consumer, partitions, number);
        println!("round {number} after {:?}", begun.elapsed());
    }
    let stats = engine.stats();
    assert!(stats[0].arena_used_bytes <= arena_bytes);
    engine.close().unwrap();
}

/// Fetches until `next_offset` is `end`, and keeps all that was fetched.
fn hold(consumer: &mut Consumer, end: i64) -> Vec<Fetched> {
    let mut held: Vec<Fetched> = Vec::new();
    while held.last().is_none_or(|fetched| fetched.next_offset < end) {
        held.push(consumer.wait_fetch().unwrap());
    }
    held
}

#[test]
fn a_consumer_that_keeps_all_it_reads_gets_copies_and_holds_nobody_up() {
    let dir = data_dir();
    let engine = open(dir.path(), 16 << 20);
    engine.create_topic("t", 2, TopicConfig::default()).unwrap();
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    let rounds = 400;
    (0..rounds).for_each(|number| round(&mut producer, 2, number));
    engine.drop_caches().unwrap();
    let config = ConsumerConfig { fetch_bytes_max: 1 << 20, ..ConsumerConfig::default() };
    let mut consumer = engine.consumer([("t", 0, 0)], config).unwrap();
    let held = hold(&mut consumer, i64::from(rounds));
    let pieces = || held.iter().flat_map(|fetched| fetched.pieces());
    assert!(pieces().any(|piece| matches!(piece, SharedBytes::Arena(_))));
    assert!(pieces().any(|piece| matches!(piece, SharedBytes::Heap(_))));
    let stats = &engine.stats()[0];
    assert!(stats.arena_pinned_bytes <= 8 << 20, "{stats:?}");
    // No bytes were read several times.
    let bytes = u64::from(rounds) * VALUE_BYTES as u64;
    assert!(stats.reads.bytes < 3 * bytes, "{} bytes read of {bytes}", stats.reads.bytes);
    // Appends and other readers are served as well.
    (rounds..rounds + 300).for_each(|number| round(&mut producer, 2, number));
    engine.drop_caches().unwrap();
    let mut other = engine.consumer([("t", 1, 0)], ConsumerConfig::default()).unwrap();
    let rest = hold(&mut other, i64::from(rounds + 300));
    assert_eq!(rest.iter().map(|fetched| fetched.records().count()).sum::<usize>(), 700);
    for (number, record) in (0..).zip(held.iter().flat_map(Fetched::records)) {
        assert!(record.unwrap().value == Some(&value(0, number)[..]), "bytes changed in a consumer's hands");
    }
    engine.close().unwrap();
}

#[test]
fn unsealed_segments_of_many_partitions_are_recovered_in_a_small_arena() {
    let dir = data_dir();
    let engine = open(dir.path(), 16 << 20);
    let partitions = 16;
    let config =
        TopicConfig { segment_bytes: 16 << 20, max_message_bytes: 64 << 10, ..TopicConfig::default() };
    engine.create_topic("t", partitions, config).unwrap();
    let mut producer =
        engine.producer("t", ProducerConfig { linger: None, ..ProducerConfig::default() }).unwrap();
    let rounds = 80;
    (0..rounds).for_each(|number| round(&mut producer, partitions, number));
    drop((producer, engine));
    // Together, the scans of all partitions need more memory than the arena has.
    let engine = open(dir.path(), 16 << 20);
    assert!(engine.damaged().is_empty(), "{:?}", engine.damaged());
    let described = engine.describe_topic("t").unwrap();
    assert!(described.partitions.iter().all(|it| it.log_end_offset == i64::from(rounds)));
    engine.close().unwrap();
}
