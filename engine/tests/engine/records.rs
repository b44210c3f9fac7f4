//! Records: appended, read, deleted by retention, and read again from the device.

use super::{config, consume, data_dir, open, produce, two_shards, value};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use vnotch_engine::buffer::SharedBytes;
use vnotch_engine::client::{ConsumerConfig, OffsetReset, Partitioner, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::FetchError;
use vnotch_engine::events::EventKind;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::{Durability, Preallocate};

#[test]
fn what_is_acked_is_read_back_also_after_a_reopen_at_every_level() {
    for durability in [Durability::Appended, Durability::Written, Durability::Synced] {
        let dir = data_dir();
        let engine = open(dir.path());
        let topic = TopicConfig { durability, segment_bytes: 2 << 20, ..TopicConfig::default() };
        engine.create_topic("t", 3, topic).unwrap();
        for partition in 0..3 {
            produce(&engine, "t", partition, 0..6_000, 1000);
            consume(&engine, "t", partition, 0..6_000);
        }
        engine.close().unwrap();
        let engine = open(dir.path());
        assert_eq!(engine.list_topics(), ["t"]);
        for partition in 0..3 {
            consume(&engine, "t", partition, 0..6_000);
            produce(&engine, "t", partition, 6_000..6_500, 1000);
            consume(&engine, "t", partition, 0..6_500);
        }
        let described = engine.describe_topic("t").unwrap();
        assert_eq!(described.config.durability, durability);
        assert!(described.partitions.iter().all(|partition| partition.log_end_offset == 6_500));
        engine.close().unwrap();
    }
}

#[test]
fn a_consumers_records_lie_in_the_arena_and_outlive_their_topic() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    produce(&engine, "t", 0, 0..100, 500);
    let mut consumer = engine.consumer([("t", 0, 0)], ConsumerConfig::default()).unwrap();
    let fetched = consumer.wait_fetch().unwrap();
    assert!(fetched.pieces().iter().all(|piece| matches!(piece, SharedBytes::Arena(_))));
    assert!(engine.stats()[0].arena_pinned_bytes > 0);
    engine.delete_topic("t").unwrap();
    assert!(matches!(consumer.wait_fetch(), Err(FetchError::UnknownPartition)));
    assert_eq!(fetched.records().count(), 100);
    drop(engine);
    assert!(fetched.records().all(|record| record.unwrap().value.unwrap().len() == 500));
}

#[test]
fn a_fetch_that_waits_is_answered_by_the_next_append() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let config = ConsumerConfig { max_wait: Duration::from_secs(60), ..ConsumerConfig::default() };
    let mut consumer = engine.consumer([("t", 0, 0)], config).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || consumer.wait_fetch().unwrap().records().count());
        produce(&engine, "t", 0, 0..1, 10);
        assert_eq!(reader.join().unwrap(), 1);
    });
}

/// Answers a second thread that runs this function too. Reads partition `own` and sends to partition `other`.
fn play(engine: &Engine, own: u32, other: u32, begins: bool, rounds: u64) {
    let config = ConsumerConfig { max_wait: Duration::from_secs(30), ..ConsumerConfig::default() };
    let mut consumer = engine.consumer([("ping", own, 0)], config).unwrap();
    let mut producer = engine.producer("ping", ProducerConfig::default()).unwrap();
    let mut send = |number: u64| {
        let value = value(number, 8);
        let record = RecordRef { value: Some(&value), ..RecordRef::default() };
        producer.try_send(Some(other), &record).unwrap();
        assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
    };
    for round in 0..rounds {
        if begins {
            send(round);
        }
        let fetched = consumer.wait_fetch().unwrap();
        assert_eq!(fetched.records().next().unwrap().unwrap().value.unwrap(), round.to_be_bytes());
        if !begins {
            send(round);
        }
    }
}

#[test]
fn two_shards_and_two_threads_pass_records_to_and_fro_without_hanging() {
    let dir = data_dir();
    let engine = Engine::open(two_shards(dir.path())).unwrap();
    let topic = TopicConfig { durability: Durability::Appended, ..TopicConfig::default() };
    engine.create_topic("ping", 2, topic).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| play(&engine, 0, 1, true, 2_000));
        scope.spawn(|| play(&engine, 1, 0, false, 2_000));
    });
    engine.close().unwrap();
}

#[test]
fn producers_fill_partitions_as_their_partitioner_says() {
    let dir = data_dir();
    let engine = Engine::open(two_shards(dir.path())).unwrap();
    engine.create_topic("t", 5, TopicConfig::default()).unwrap();
    let spread = |partitioner, keyed: bool| {
        let config = ProducerConfig { partitioner, batch_records_max: 10, ..ProducerConfig::default() };
        let mut producer = engine.producer("t", config).unwrap();
        let mut counts = BTreeMap::new();
        for number in 0..1_000u64 {
            let key = number.to_be_bytes();
            let key = keyed.then_some(&key[..]);
            let record = RecordRef { key, value: Some(b"v"), ..RecordRef::default() };
            *counts.entry(producer.try_send(None, &record).unwrap()).or_insert(0) += 1;
        }
        let acks = producer.wait_all();
        let acked: u32 = acks.into_iter().map(|ack| ack.result.map(|_| ack.count).unwrap()).sum();
        assert_eq!(acked, 1_000);
        counts
    };
    let even: BTreeMap<u32, i32> = (0..5).map(|partition| (partition, 200)).collect();
    assert_eq!(spread(Partitioner::RoundRobin, false), even);
    assert_eq!(spread(Partitioner::Sticky, false), even);
    let hashed = spread(Partitioner::KeyHash, true);
    assert!(hashed.len() == 5 && hashed.values().all(|count| (120..280).contains(count)), "{hashed:?}");
    engine.close().unwrap();
}

#[test]
fn an_open_batch_travels_after_its_linger() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let linger = Duration::from_millis(30);
    let config = ProducerConfig { linger: Some(linger), ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    let begun = Instant::now();
    producer.try_send(None, &RecordRef::default()).unwrap();
    producer.try_send(None, &RecordRef::default()).unwrap();
    let ack = producer.wait_ack().unwrap();
    assert_eq!((ack.count, ack.result.unwrap()), (2, 0));
    assert!(begun.elapsed() >= linger);
}

#[test]
fn offsets_outside_the_log_are_refused_with_both_bounds() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    produce(&engine, "t", 0, 0..10, 10);
    let mut consumer = engine.consumer([("t", 0, 99)], ConsumerConfig::default()).unwrap();
    let error = consumer.wait_fetch().unwrap_err();
    assert!(
        matches!(error, FetchError::OffsetOutOfRange { offset: 99, log_start_offset: 0, high_watermark: 10 }),
        "{error}"
    );
    consumer.seek(0, 4);
    assert_eq!(consumer.wait_fetch().unwrap().records().next().unwrap().unwrap().offset, 4);
}

#[test]
fn retention_deletes_whole_segments_and_readers_get_an_error_or_continue_at_the_start() {
    let dir = data_dir();
    let engine = open(dir.path());
    let topic = TopicConfig {
        segment_bytes: 1 << 20,
        max_message_bytes: 256 << 10,
        retention_bytes: Some(1 << 20),
        ..TopicConfig::default()
    };
    engine.create_topic("t", 1, topic).unwrap();
    produce(&engine, "t", 0, 0..100, 10_000);
    let mut held = engine.consumer([("t", 0, 0)], ConsumerConfig::default()).unwrap();
    let first = held.wait_fetch().unwrap();
    let before: Vec<u8> = first.pieces()[0].to_vec();
    produce(&engine, "t", 0, 100..1000, 10_000);
    let begun = Instant::now();
    let start = loop {
        let start = engine.describe_topic("t").unwrap().partitions[0].log_start_offset;
        // Of the 10 MB, one sealed segment and the active one stay.
        if start > 600 {
            break start;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "the log still begins at {start}");
        std::thread::yield_now();
    };
    assert_eq!(first.pieces()[0].to_vec(), before, "the bytes that a reader holds do not change");
    let mut refused = engine.consumer([("t", 0, 0)], ConsumerConfig::default()).unwrap();
    let error = refused.wait_fetch().unwrap_err();
    let FetchError::OffsetOutOfRange { offset: 0, log_start_offset, high_watermark: 1000 } = error else {
        panic!("{error}")
    };
    assert!(log_start_offset >= start);
    let config = ConsumerConfig { offset_reset: OffsetReset::Earliest, ..ConsumerConfig::default() };
    let mut resets = engine.consumer([("t", 0, 0)], config).unwrap();
    let fetched = resets.wait_fetch().unwrap();
    assert_eq!(fetched.skipped, fetched.from_offset.unsigned_abs());
    assert!(fetched.from_offset >= start);
}

/// Returns the bytes of all files of a partition.
fn partition_bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata());
    // A file may be removed after it is listed.
    files.filter_map(|metadata| metadata.ok().map(|metadata| metadata.len())).sum()
}

#[test]
fn recycled_segments_are_written_over_and_over_on_a_real_disk() {
    for durability in [Durability::Written, Durability::Synced] {
        let dir = data_dir();
        let topic = TopicConfig {
            durability,
            segment_bytes: 1 << 20,
            max_message_bytes: 256 << 10,
            retention_bytes: Some(3 << 20),
            preallocate: Preallocate::Recycle,
            ..TopicConfig::default()
        };
        let engine = open(dir.path());
        engine.create_topic("t", 1, topic).unwrap();
        let mut end = 0;
        let begun = Instant::now();
        while engine.stats()[0].writes.overwrites < 200 {
            produce(&engine, "t", 0, end..end + 20, 10_000);
            end += 20;
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is overwritten");
        }
        let events = engine.take_events();
        let count = |kind| events.iter().filter(|event| event.event.kind == kind).count();
        let rolls = count(EventKind::Roll);
        assert!(rolls > 3 && count(EventKind::Retention) > 0 && count(EventKind::NoSpare) < rolls);
        // To the log this looks like a kill: older bytes of the active segment's file lie behind the end of the log.
        drop(engine);
        let engine = open(dir.path());
        let described = engine.describe_topic("t").unwrap();
        let described = &described.partitions[0];
        assert_eq!(described.log_end_offset.unsigned_abs(), end);
        assert!(described.log_start_offset > 0);
        // Retention may continue after the open, so the consumer may have to skip.
        let config = ConsumerConfig { offset_reset: OffsetReset::Earliest, ..ConsumerConfig::default() };
        let mut consumer = engine.consumer([("t", 0, described.log_start_offset)], config).unwrap();
        let mut expected = None;
        while expected != Some(end) {
            for record in consumer.wait_fetch().unwrap().records() {
                let record = record.unwrap();
                let offset = record.offset.unsigned_abs();
                assert_eq!(offset, expected.unwrap_or(offset));
                assert_eq!(record.value.unwrap()[..8], offset.to_be_bytes());
                expected = Some(offset + 1);
            }
        }
        produce(&engine, "t", 0, end..end + 200, 10_000);
        consume(&engine, "t", 0, end..end + 200);
        engine.close().unwrap();
        let bytes = partition_bytes(&dir.path().join("t-0"));
        assert!(bytes <= (3 + 2) << 20, "{bytes} bytes are more than retention and two segments");
    }
}

#[test]
fn what_was_dropped_from_memory_is_read_from_the_device() {
    let dir = data_dir();
    let engine = open(dir.path());
    let topic = TopicConfig { segment_bytes: 2 << 20, ..TopicConfig::default() };
    engine.create_topic("t", 1, topic).unwrap();
    produce(&engine, "t", 0, 0..5_000, 1000);
    let read_bytes = || engine.stats().iter().map(|shard| shard.reads.bytes).sum::<u64>();
    engine.drop_caches().unwrap();
    let before = read_bytes();
    consume(&engine, "t", 0, 0..5_000);
    let read = read_bytes() - before;
    assert!(read >= 5_000_000, "{read} bytes read");
    engine.close().unwrap();
}

#[test]
fn partitions_that_are_only_open_take_no_memory_from_the_readers_of_others() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let idle = TopicConfig { segment_bytes: 2 << 20, ..TopicConfig::default() };
    engine.create_topic("idle", 100, idle).unwrap();
    // The arena has 32 MiB, of which readers may have half.
    produce(&engine, "t", 0, 0..12_000, 1000);
    consume(&engine, "t", 0, 0..12_000);
    assert_eq!(engine.stats()[0].reads.bytes, 0, "the records are still in memory");
    engine.close().unwrap();
}

#[test]
fn cold_logs_are_read_in_little_memory_though_others_have_read_ahead() {
    let dir = data_dir();
    let engine = Engine::open(EngineConfig { arena_bytes: 16 << 20, ..config(dir.path()) }).unwrap();
    engine.create_topic("t", 6, TopicConfig::default()).unwrap();
    for partition in 0..6 {
        produce(&engine, "t", partition, 0..5_000, 1000);
    }
    engine.drop_caches().unwrap();
    // Each log then holds data that was read ahead for a reader that has stopped.
    for partition in 0..6 {
        let mut consumer = engine.consumer([("t", partition, 0)], ConsumerConfig::default()).unwrap();
        assert!(consumer.wait_fetch().unwrap().records().count() > 0);
    }
    for partition in 0..6 {
        consume(&engine, "t", partition, 0..5_000);
    }
    engine.close().unwrap();
}
