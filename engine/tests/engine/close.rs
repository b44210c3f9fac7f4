//! Closing engines with many partitions. All partitions are closed at the same time, even if one of them fails.

use super::data_dir;
use std::path::Path;
use std::time::Duration;
use vnotch_engine::client::{ConsumerConfig, Producer, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{AppendError, CloseError};
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::Durability;

const PARTITIONS: u32 = 200;

fn open(path: &Path) -> Engine {
    let shards = 2;
    let cores = std::thread::available_parallelism().unwrap().get();
    let cores = (0..shards as usize).map(|shard| shard % cores).collect();
    Engine::open(EngineConfig { shards, cores, arena_bytes: 16 << 20, ..EngineConfig::new(path) }).unwrap()
}

fn create(engine: &Engine) {
    let config = TopicConfig {
        segment_bytes: 1 << 20,
        max_message_bytes: 64 << 10,
        durability: Durability::Appended,
        ..TopicConfig::default()
    };
    engine.create_topic("t", PARTITIONS, config).unwrap();
}

/// Appends records of 1 KiB to each partition, without a wait for their writes.
fn produce(engine: &Engine, rounds: usize) {
    let mut producer =
        engine.producer("t", ProducerConfig { linger: None, ..ProducerConfig::default() }).unwrap();
    for partition in (0..rounds).flat_map(|_| 0..PARTITIONS) {
        let record = RecordRef { value: Some(&[b'x'; 1024]), ..RecordRef::default() };
        while producer.try_send(Some(partition), &record).is_err() {
            producer.wait_ack().unwrap().result.unwrap();
        }
    }
    for ack in producer.wait_all() {
        ack.result.unwrap();
    }
}

fn consume(engine: &Engine, partitions: impl Iterator<Item = u32>, count: i64) {
    let partitions: Vec<u32> = partitions.collect();
    let assignment = partitions.iter().map(|partition| ("t", *partition, 0));
    let mut consumer = engine.consumer(assignment, ConsumerConfig::default()).unwrap();
    let mut next = vec![0; partitions.len()];
    while next.iter().any(|next| *next < count) {
        let fetched = consumer.wait_fetch().unwrap();
        let next = &mut next[fetched.assignment];
        for record in fetched.records() {
            assert_eq!(record.unwrap().offset, *next);
            *next += 1;
        }
    }
}

#[test]
fn what_was_only_appended_is_there_after_a_close() {
    let dir = data_dir();
    let engine = open(dir.path());
    create(&engine);
    produce(&engine, 5);
    engine.close().unwrap();
    let engine = open(dir.path());
    consume(&engine, 0..PARTITIONS, 5);
    engine.close().unwrap();
}

#[test]
fn a_partition_that_cannot_be_closed_is_named_and_the_others_are_sealed() {
    let dir = data_dir();
    let engine = open(dir.path());
    create(&engine);
    produce(&engine, 1);
    // Without its directory, the partition cannot write its indexes.
    let gone = dir.path().join("t-100");
    assert!(gone.is_dir());
    std::fs::remove_dir_all(&gone).unwrap();
    let failed = engine.close().unwrap_err();
    let CloseError::Disk(error) = failed else { panic!("{failed}") };
    assert!(error.path.starts_with(&gone), "{error}");
    for partition in (0..PARTITIONS).filter(|partition| *partition != 100) {
        let index = dir.path().join(format!("t-{partition}/00000000000000000000.index"));
        assert!(index.is_file(), "partition {partition} is not sealed");
    }
    let engine = open(dir.path());
    assert_eq!(engine.damaged().len(), 1);
    consume(&engine, (0..PARTITIONS).filter(|partition| *partition != 100), 1);
    engine.close().unwrap();
}

/// Produces to a partition until a record is refused. Checks that no ack comes after a refusal. Returns the number of acked
/// records.
fn produce_until_closed(mut producer: Producer, partition: u32) -> i64 {
    let record = RecordRef { value: Some(&[b'x'; 1024]), ..RecordRef::default() };
    let (mut acked, mut is_refused) = (0, false);
    loop {
        if !is_refused && producer.try_send(Some(partition), &record).is_ok() {
            continue;
        }
        let Some(ack) = producer.wait_ack() else { return acked };
        match ack.result {
            Ok(offset) => {
                assert_eq!((offset, is_refused), (acked, false));
                acked += i64::from(ack.count);
            }
            Err(AppendError::Closed) => is_refused = true,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_close_ends_although_producers_do_not_stop() {
    let dir = data_dir();
    let engine = open(dir.path());
    create(&engine);
    let config = ProducerConfig { linger: None, ..ProducerConfig::default() };
    let producing: Vec<_> = (0..4)
        .map(|partition| {
            let producer = engine.producer("t", config.clone()).unwrap();
            std::thread::spawn(move || produce_until_closed(producer, partition))
        })
        .collect();
    while engine.describe_topic("t").unwrap().partitions[3].log_end_offset < 1_000 {
        std::thread::yield_now();
    }
    let (report, closed) = std::sync::mpsc::channel();
    std::thread::spawn(move || report.send(engine.close()));
    closed.recv_timeout(Duration::from_secs(20)).expect("it ends").unwrap();
    let acked: Vec<i64> = producing.into_iter().map(|thread| thread.join().unwrap()).collect();
    let engine = open(dir.path());
    let described = engine.describe_topic("t").unwrap();
    let held: Vec<i64> = described.partitions[..4].iter().map(|it| it.log_end_offset).collect();
    assert_eq!(held, acked, "what was acked is there, and nothing else");
    engine.close().unwrap();
}
