//! Arguments at the ends of their ranges. Each is accepted and works, or is refused with an error that names its key.

use super::data_dir;
use std::path::Path;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;
use vnotch_engine::client::{Consumer, ConsumerConfig, Fetched, OffsetReset, ProducerConfig};
use vnotch_engine::config::{BATCH_BYTES_MAX, EngineConfig, PARTITIONS_MAX, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{DamageError, FetchError, LocalError, OpenError, RunError, TopicError};
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::Preallocate;

/// Time limit, far longer than any call here takes.
const LONG: Duration = Duration::from_secs(30);

fn config(path: &Path) -> EngineConfig {
    EngineConfig { arena_bytes: 16 << 20, ..EngineConfig::new(path) }
}

fn open(path: &Path) -> Engine {
    Engine::open(config(path)).unwrap()
}

fn record(value: &[u8]) -> RecordRef<'_> {
    RecordRef { timestamp_ms: 1, value: Some(value), ..RecordRef::default() }
}

/// Appends `count` batches of one record each to partition 0 of `topic`.
fn produce(engine: &Engine, topic: &str, count: usize, bytes: usize) {
    let config = ProducerConfig { batch_records_max: 1, ..ProducerConfig::default() };
    let mut producer = engine.producer(topic, config).unwrap();
    let value = vec![b'x'; bytes];
    for _ in 0..count {
        while producer.try_send(Some(0), &record(&value)).is_err() {
            producer.wait_ack().unwrap().result.unwrap();
        }
    }
    producer.wait_all().into_iter().for_each(|ack| assert!(ack.result.is_ok(), "{ack:?}"));
}

/// Runs `work` on its own thread and returns its outcome. Panics if it does not end in time.
fn in_time<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (report, outcome) = mpsc::channel();
    std::thread::spawn(move || report.send(work()));
    outcome.recv_timeout(LONG).expect("it ends in time")
}

/// Starts the fetches of a consumer, without a wait for their answers.
fn ask(consumer: &mut Consumer) {
    let polled = consumer.poll_fetch(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "{polled:?}");
}

#[test]
fn a_consumer_may_wait_for_ever() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let for_ever = ConsumerConfig { max_wait: Duration::MAX, ..ConsumerConfig::default() };
    let mut consumer = engine.consumer([("t", 0, 0)], for_ever).unwrap();
    ask(&mut consumer);
    // The answer to this call means that the shard has seen the fetch.
    assert_eq!(engine.stats().len(), 1);
    produce(&engine, "t", 1, 10);
    assert_eq!(in_time(move || consumer.wait_fetch().map(|fetched| fetched.next_offset)).unwrap(), 1);
    engine.close().unwrap();
}

#[test]
fn a_batch_may_linger_and_a_task_may_sleep_for_ever() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let for_ever = ProducerConfig { linger: Some(Duration::MAX), ..ProducerConfig::default() };
    let mut producer = engine.producer("t", for_ever.clone()).unwrap();
    producer.try_send(None, &record(b"x")).unwrap();
    let task = engine.run_on(0, move |local| async move {
        let mut producer = local.producer("t", for_ever).unwrap();
        producer.try_send(None, &record(b"x")).unwrap();
        let acked = producer.all_acks().await.pop().unwrap().result;
        drop(producer);
        local.sleep(Duration::MAX).await;
        acked
    });
    in_time(move || producer.wait_all().pop().unwrap().result).unwrap();
    produce(&engine, "t", 1, 10);
    engine.close().unwrap();
    assert!(matches!(task.unwrap().wait(), Err(RunError::Closed)), "closing ends the sleep");
}

#[test]
fn a_fetch_of_no_bytes_brings_one_batch_from_memory_and_from_disk() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    produce(&engine, "t", 3, 1000);
    for is_cold in [false, true] {
        if is_cold {
            engine.drop_caches().unwrap();
        }
        let no_bytes = ConsumerConfig { fetch_bytes_max: 0, ..ConsumerConfig::default() };
        let mut consumer = engine.consumer([("t", 0, 0)], no_bytes).unwrap();
        let ends = in_time(move || {
            [(); 3].map(|()| consumer.wait_fetch().map(|fetched| fetched.next_offset).unwrap())
        });
        assert_eq!(ends, [1, 2, 3]);
    }
    engine.close().unwrap();
}

#[test]
fn retention_limits_of_any_size_are_taken_and_delete_nothing() {
    let dir = data_dir();
    let engine = open(dir.path());
    let limits = TopicConfig {
        segment_bytes: 2 << 20,
        segment_ms: Some(u64::MAX),
        retention_bytes: Some(u64::MAX),
        retention_ms: Some(u64::MAX),
        ..TopicConfig::default()
    };
    for (topic, preallocate) in [("a", Preallocate::Auto), ("r", Preallocate::Recycle)] {
        engine.create_topic(topic, 1, TopicConfig { preallocate, ..limits.clone() }).unwrap();
        produce(&engine, topic, 40, 100_000);
        let offsets = engine.describe_topic(topic).unwrap().partitions[0];
        assert_eq!([offsets.log_start_offset, offsets.log_end_offset], [0, 40]);
    }
    engine.close().unwrap();
}

#[test]
fn readers_never_pin_more_than_half_of_the_arena() {
    let dir = data_dir();
    let engine = Engine::open(EngineConfig { fetch_pinned_bytes: usize::MAX, ..config(dir.path()) }).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    produce(&engine, "t", 240, 100_000);
    let mut consumer = engine.consumer([("t", 0, 0)], ConsumerConfig::default()).unwrap();
    let held = in_time(move || {
        let mut held = Vec::new();
        while held.last().is_none_or(|fetched: &Fetched| fetched.next_offset < 240) {
            held.push(consumer.wait_fetch().unwrap());
        }
        held
    });
    let pinned_bytes = engine.stats()[0].arena_pinned_bytes;
    assert!((1..=8 << 20).contains(&pinned_bytes), "{pinned_bytes}");
    produce(&engine, "t", 10, 100_000);
    drop(held);
    engine.close().unwrap();
}

#[test]
fn an_engine_that_cannot_work_is_refused_by_the_name_of_the_key() {
    let dir = data_dir();
    let good = config(dir.path());
    let refused = [
        ("stuck_after", EngineConfig { stuck_after: Duration::ZERO, ..good.clone() }),
        ("stuck_after", EngineConfig { stuck_after: Duration::from_millis(99), ..good.clone() }),
        ("shards", EngineConfig { shards: 0, ..good.clone() }),
        ("shards", EngineConfig { shards: u32::MAX, ..good.clone() }),
        ("arena_bytes", EngineConfig { arena_bytes: 0, ..good.clone() }),
        ("arena_bytes", EngineConfig { arena_bytes: usize::MAX, ..good.clone() }),
        ("write_depth", EngineConfig { write_depth: usize::MAX, ..good.clone() }),
        ("write_bytes_max", EngineConfig { write_bytes_max: usize::MAX, ..good.clone() }),
    ];
    for (key, config) in refused {
        let Err(OpenError::Config(message)) = Engine::open(config) else { panic!("{key} is accepted") };
        assert!(message.contains(key) && message.contains("must"), "{message}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
    let longest = EngineConfig { stuck_after: Duration::MAX, mailbox_bytes: 0, ..good };
    let engine = Engine::open(longest).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    produce(&engine, "t", 3, 10);
    engine.close().unwrap();
}

#[test]
fn a_producer_whose_batches_no_topic_takes_is_refused() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    for batch_size in [BATCH_BYTES_MAX + 1, usize::MAX] {
        let config = ProducerConfig { batch_size, ..ProducerConfig::default() };
        let Err(TopicError::Config(message)) = engine.producer("t", config.clone()) else {
            panic!("{batch_size} is accepted")
        };
        assert!(message.contains("batch_size"), "{message}");
        let local = engine.run_on(0, |local| async move { local.producer("t", config).map(drop) }).unwrap();
        let Err(LocalError::Config(message)) = local.wait().unwrap() else {
            panic!("{batch_size} is accepted")
        };
        assert!(message.contains("batch_size"), "{message}");
    }
    let extremes = ProducerConfig {
        batch_size: 0,
        batch_records_max: 0,
        in_flight_bytes_max: 0,
        ..ProducerConfig::default()
    };
    let mut producer = engine.producer("t", extremes).unwrap();
    for offset in 0..3 {
        producer.try_send(None, &record(b"x")).unwrap();
        assert_eq!(producer.wait_ack().unwrap().result.unwrap(), offset);
    }
    engine.close().unwrap();
}

#[test]
fn a_topic_of_too_many_partitions_is_refused_at_once() {
    let dir = data_dir();
    let engine = open(dir.path());
    for partitions in [0, PARTITIONS_MAX + 1, u32::MAX] {
        let refused = engine.create_topic("t", partitions, TopicConfig::default());
        let Err(TopicError::Config(message)) = refused else { panic!("{partitions}: {refused:?}") };
        assert!(message.contains("partitions") && message.contains("65536"), "{message}");
    }
    engine.create_topic("t", 2, TopicConfig::default()).unwrap();
    engine.close().unwrap();
    assert_eq!(open(dir.path()).list_topics(), ["t"]);
}

/// Replaces `from` by `to` in `catalog.json`, and corrects the checksum.
fn edit_catalog(dir: &Path, from: &str, to: &str) {
    let path = dir.join("catalog.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, json) = text.split_once('\n').unwrap();
    assert!(json.contains(from), "{json}");
    let json = json.trim_end().replacen(from, to, 1);
    std::fs::write(path, format!("{:08x}\n{json}\n", crc_fast::crc32_iscsi(json.as_bytes()))).unwrap();
}

#[test]
fn a_catalog_that_holds_what_cannot_be_created_is_refused_and_left_as_it_is() {
    let edits = [
        ("segment_bytes", "\"segment_bytes\": 134217728", "\"segment_bytes\": 8589934592"),
        ("max_message_bytes", "\"max_message_bytes\": 1048588", "\"max_message_bytes\": 4194304"),
        ("partitions", "\"partitions\": 1", "\"partitions\": 4294967295"),
        ("name", "\"t\": {", "\"a/t\": {"),
        ("opened", "\"incarnation\": 1", "\"incarnation\": 2147483647"),
    ];
    for (key, from, to) in edits {
        let dir = data_dir();
        let engine = open(dir.path());
        engine.create_topic("t", 1, TopicConfig::default()).unwrap();
        engine.close().unwrap();
        edit_catalog(dir.path(), from, to);
        let before = std::fs::read(dir.path().join("catalog.json")).unwrap();
        let Err(OpenError::Catalog { reason, .. }) = Engine::open(config(dir.path())) else {
            panic!("{to} is accepted")
        };
        assert!(reason.contains(key), "{reason}");
        assert_eq!(std::fs::read(dir.path().join("catalog.json")).unwrap(), before);
        edit_catalog(dir.path(), to, from);
        open(dir.path()).close().unwrap();
    }
}

#[test]
fn a_stored_topic_without_a_limit_of_timestamps_gets_the_default_and_none_stays_none() {
    let hour = Some(60 * 60 * 1000);
    for (stored, expected) in [("", hour), (",\n        \"message_timestamp_after_max_ms\": null", None)] {
        let dir = data_dir();
        let engine = open(dir.path());
        engine.create_topic("t", 1, TopicConfig::default()).unwrap();
        engine.close().unwrap();
        edit_catalog(dir.path(), ",\n        \"message_timestamp_after_max_ms\": 3600000", stored);
        for _ in 0..2 {
            let engine = open(dir.path());
            let config = engine.describe_topic("t").unwrap().config;
            assert_eq!(config.message_timestamp_after_max_ms, expected);
            engine.close().unwrap();
        }
    }
}

#[test]
fn a_checkpoint_at_the_end_of_its_numbers_is_refused() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    produce(&engine, "t", 3, 10);
    engine.close().unwrap();
    // The first append writes a checkpoint.
    let path = dir.path().join("t-0/checkpoint");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096 + 8..4096 + 16].copy_from_slice(&u64::MAX.to_be_bytes());
    let crc = crc_fast::crc32_iscsi(&bytes[4096..4096 + 52]);
    bytes[4096 + 52..4096 + 56].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let engine = open(dir.path());
    let [damaged] = engine.damaged() else { panic!("{:?}", engine.damaged()) };
    let DamageError::Corrupt(found) = &damaged.cause else { panic!("{:?}", damaged.cause) };
    assert!(found.path == path && found.to_string().contains("sequence"), "{found}");
}

#[test]
fn a_consumer_beyond_the_end_goes_on_at_the_start_if_it_resets_to_the_earliest() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    produce(&engine, "t", 3, 10);
    let mut strict = engine.consumer([("t", 0, i64::MAX)], ConsumerConfig::default()).unwrap();
    assert!(matches!(strict.wait_fetch(), Err(FetchError::OffsetOutOfRange { .. })));
    let earliest = ConsumerConfig { offset_reset: OffsetReset::Earliest, ..ConsumerConfig::default() };
    let mut consumer = engine.consumer([("t", 0, i64::MAX)], earliest).unwrap();
    let fetched = in_time(move || consumer.wait_fetch()).unwrap();
    assert_eq!((fetched.from_offset, fetched.next_offset, fetched.skipped), (0, 3, 0));
    engine.close().unwrap();
}
