//! Topics: created, listed, described, altered and deleted.

use super::{data_dir, open, produce, two_shards, value};
use std::time::{Duration, Instant};
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::{TopicChanges, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{AppendError, FetchError, TopicError};
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::{Durability, ListedOffset, OffsetSpec};

#[test]
fn offsets_are_listed_at_both_ends_and_by_time() {
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
    // Nothing is appended, and the new limit takes effect nevertheless.
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
    // The engine is not closed. The change is durable nevertheless.
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
