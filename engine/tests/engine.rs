//! The engine from outside: real files, real rings, real threads.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use vnotch_engine::buffer::SharedBytes;
use vnotch_engine::client::{ConsumerConfig, OffsetReset, Partitioner, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicChanges, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{AppendError, FetchError, OpenError, TopicError};
use vnotch_engine::events::EventKind;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::{Durability, ListedOffset, OffsetSpec, Preallocate};

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

/// Sends numbers `from..to` to one partition, and waits for every ack.
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

/// Reads numbers `from..to` of one partition and checks that each is there once, in order.
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

/// One of two who answer each other, each over a partition of its own.
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
fn retention_deletes_whole_segments_and_readers_are_told_or_go_on_at_the_start() {
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
        // 10 MB, of which a segment and what is not sealed yet stay.
        if start > 600 {
            break start;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "the log still begins at {start}");
        std::thread::yield_now();
    };
    assert_eq!(first.pieces()[0].to_vec(), before, "what a reader holds stays");
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

/// Bytes of all files of a partition.
fn partition_bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata());
    // One may go between its listing and its look.
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
        // Killed, as far as the log can tell: what the active segment's file held before lies behind its end.
        drop(engine);
        let engine = open(dir.path());
        let described = engine.describe_topic("t").unwrap();
        let described = &described.partitions[0];
        assert_eq!(described.log_end_offset.unsigned_abs(), end);
        assert!(described.log_start_offset > 0);
        // Retention may go on where it was interrupted.
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
fn offsets_are_listed_by_place_and_by_time() {
    let dir = data_dir();
    let engine = Engine::open(two_shards(dir.path())).unwrap();
    let topic =
        TopicConfig { segment_bytes: 1 << 20, max_message_bytes: 256 << 10, ..TopicConfig::default() };
    engine.create_topic("t", 2, topic).unwrap();
    let config = ProducerConfig { batch_records_max: 10, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    for number in 0..3_000 {
        let value = value(number, 1_000);
        let timestamp_ms = i64::try_from(number / 2).unwrap() * 10;
        let record = RecordRef { timestamp_ms, value: Some(&value), ..RecordRef::default() };
        while producer.try_send(Some(1), &record).is_err() {
            producer.wait_ack().unwrap().result.unwrap();
        }
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
    drop(producer);
    let by_time = |timestamp_ms| ("t", 1, OffsetSpec::Timestamp(timestamp_ms));
    let check = |engine: &Engine| {
        let asked =
            [("t", 0, OffsetSpec::Earliest), ("t", 0, OffsetSpec::Latest), ("t", 1, OffsetSpec::Latest)];
        let listed = engine.list_offsets(asked).unwrap();
        assert_eq!(listed.into_iter().map(|found| found.unwrap().offset).collect::<Vec<_>>(), [0, 0, 3_000]);
        let listed =
            engine.list_offsets([by_time(-5), by_time(7_401), by_time(14_990), by_time(14_991)]).unwrap();
        let found = |offset, timestamp_ms| Some(ListedOffset { offset, timestamp_ms: Some(timestamp_ms) });
        assert_eq!(listed, [found(0, 0), found(1_482, 7_410), found(2_998, 14_990), None]);
    };
    check(&engine);
    let unknown = engine.list_offsets([("t", 2, OffsetSpec::Latest)]);
    assert!(matches!(unknown, Err(FetchError::UnknownPartition)));
    engine.close().unwrap();
    check(&Engine::open(two_shards(dir.path())).unwrap());
}

#[test]
fn a_topics_configuration_is_altered_while_it_is_used_and_stays_so() {
    let dir = data_dir();
    let engine = Engine::open(two_shards(dir.path())).unwrap();
    let topic = TopicConfig {
        segment_bytes: 1 << 20,
        max_message_bytes: 256 << 10,
        index_interval_bytes: 300_000,
        ..TopicConfig::default()
    };
    engine.create_topic("t", 2, topic.clone()).unwrap();
    for partition in 0..2 {
        produce(&engine, "t", partition, 0..600, 10_000);
    }
    let unlimited = engine.describe_topic("t").unwrap();
    assert!(unlimited.partitions.iter().all(|partition| partition.log_start_offset == 0));
    let changes = TopicChanges {
        durability: Some(Durability::Synced),
        retention_bytes: Some(Some(1 << 20)),
        max_message_bytes: Some(1 << 10),
        index_interval_bytes: Some(8_000),
        ..TopicChanges::default()
    };
    let altered = engine.alter_topic("t", changes.clone()).unwrap();
    assert_eq!(altered, changes.applied_to(&topic));
    let begun = Instant::now();
    // Nothing is appended, and still the new limit takes hold.
    while engine
        .describe_topic("t")
        .unwrap()
        .partitions
        .iter()
        .any(|partition| partition.log_start_offset < 400)
    {
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing is deleted");
        std::thread::yield_now();
    }
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    producer.try_send(Some(0), &RecordRef { value: Some(&[1; 2_000]), ..RecordRef::default() }).unwrap();
    let refused = producer.wait_ack().unwrap().result.unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge { limit_bytes: 1024, .. }), "{refused}");
    produce_one(&mut producer);
    let wrong = TopicChanges { retention_bytes: Some(Some(1)), ..TopicChanges::default() };
    assert!(matches!(engine.alter_topic("t", wrong), Err(TopicError::Config(_))));
    assert!(matches!(engine.alter_topic("u", TopicChanges::default()), Err(TopicError::Unknown(_))));
    assert_eq!(engine.describe_topic("t").unwrap().config, altered);
    drop(producer);
    // Not closed: it is durable all the same.
    drop(engine);
    let engine = Engine::open(two_shards(dir.path())).unwrap();
    let described = engine.describe_topic("t").unwrap();
    assert_eq!(described.config, altered);
    assert_eq!(described.partitions[0].log_end_offset, 601);
    engine.close().unwrap();
    assert!(vnotch_engine::verify::verify(dir.path(), &mut |_| {}).unwrap().is_sound());
}

fn produce_one(producer: &mut vnotch_engine::client::Producer) {
    producer.try_send(Some(0), &RecordRef { value: Some(b"v"), ..RecordRef::default() }).unwrap();
    assert_eq!(producer.wait_ack().unwrap().result.unwrap(), 600);
}

#[test]
fn topics_are_listed_described_and_deleted_for_good() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("a", 2, TopicConfig::default()).unwrap();
    engine.create_topic("b", 1, TopicConfig::default()).unwrap();
    assert!(matches!(engine.create_topic("a", 1, TopicConfig::default()), Err(TopicError::Exists(_))));
    assert!(matches!(engine.create_topic("a/b", 1, TopicConfig::default()), Err(TopicError::BadName(_))));
    assert!(matches!(engine.create_topic("c", 0, TopicConfig::default()), Err(TopicError::Config(_))));
    assert!(matches!(engine.delete_topic("c"), Err(TopicError::Unknown(_))));
    produce(&engine, "a", 1, 0..10, 10);
    let mut producer = engine.producer("a", ProducerConfig::default()).unwrap();
    engine.delete_topic("a").unwrap();
    producer.try_send(Some(0), &RecordRef::default()).unwrap();
    assert!(matches!(producer.wait_ack().unwrap().result, Err(AppendError::UnknownPartition)));
    assert_eq!(engine.list_topics(), ["b"]);
    assert!(!dir.path().join("a-0").exists() && !dir.path().join("a-1").exists());
    engine.create_topic("a", 1, TopicConfig::default()).unwrap();
    assert_eq!(engine.describe_topic("a").unwrap().partitions[0].log_end_offset, 0);
    engine.close().unwrap();
    assert_eq!(open(dir.path()).list_topics(), ["a", "b"]);
}

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
fn a_directory_in_use_of_a_newer_format_or_for_other_shards_is_refused() {
    let dir = data_dir();
    let engine = open(dir.path());
    assert!(matches!(Engine::open(config(dir.path())), Err(OpenError::InUse { .. })));
    engine.close().unwrap();
    let other = Engine::open(two_shards(dir.path()));
    assert!(matches!(other, Err(OpenError::ShardsDiffer { found: 1, asked: 2, .. })));
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
    // The shard has begun to stall by then; a fast disk could complete an append before.
    std::thread::sleep(length / 3);
    produce(&engine, "t", 0, 10..20, 100);
    assert!(begun.elapsed() >= length, "acked {:?} after a stall of {length:?} began", begun.elapsed());
    consume(&engine, "t", 0, 0..20);
    let error = engine.stall_shard(1, length).unwrap_err();
    assert_eq!(error.to_string(), "there is no shard 1: the engine has 1, numbered from 0");
    engine.close().unwrap();
}

#[test]
fn what_was_dropped_from_memory_is_read_from_the_device() {
    let dir = data_dir();
    let engine = open(dir.path());
    let topic = TopicConfig { segment_bytes: 2 << 20, ..TopicConfig::default() };
    engine.create_topic("t", 1, topic).unwrap();
    produce(&engine, "t", 0, 0..5_000, 1000);
    let read_bytes = || engine.stats().iter().map(|shard| shard.read_bytes).sum::<u64>();
    engine.drop_caches().unwrap();
    let before = read_bytes();
    consume(&engine, "t", 0, 0..5_000);
    let read = read_bytes() - before;
    assert!(read >= 5_000_000, "{read} bytes read");
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
    // Each is left with what was read ahead of a reader that went no further.
    for partition in 0..6 {
        let mut consumer = engine.consumer([("t", partition, 0)], ConsumerConfig::default()).unwrap();
        assert!(consumer.wait_fetch().unwrap().records().count() > 0);
    }
    for partition in 0..6 {
        consume(&engine, "t", partition, 0..5_000);
    }
    engine.close().unwrap();
}

#[test]
fn a_shard_that_cannot_start_is_an_error() {
    let dir = data_dir();
    // There is no such core.
    let config = EngineConfig { cores: vec![100_000], ..config(dir.path()) };
    let (report, opened) = std::sync::mpsc::channel();
    // Not joined if it hangs.
    std::thread::spawn(move || drop(report.send(Engine::open(config).map(drop))));
    let opened = opened.recv_timeout(Duration::from_secs(30)).expect("it comes back");
    assert!(matches!(opened, Err(OpenError::Executor { shard: 0, .. })), "{opened:?}");
    open(dir.path()).close().unwrap();
}
