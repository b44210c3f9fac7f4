//! Tests of an engine whose memory others hold: the appends and reads that wait for it are woken when it returns, and
//! closing does not wait for it.

use super::*;
use crate::buffer::{CHUNK_BYTES_MAX, ChunkMut, ReadBuffer};
use crate::client::{Consumer, Producer};
use crate::types::OffsetSpec;
use std::task::{Context, Poll, Waker};

/// All memory of a shard.
struct Held {
    /// Everything but the reserve for reads.
    chunks: Vec<ChunkMut>,
    /// The reserve.
    reads: Vec<ReadBuffer>,
}

fn open(dir: &std::path::Path) -> Engine {
    let config = EngineConfig { io: IoMode::Buffered, arena_bytes: 16 << 20, ..EngineConfig::new(dir) };
    let engine = Engine::open(config).unwrap();
    engine.create_topic("t", 2, TopicConfig::default()).unwrap();
    engine
}

/// Takes all free memory of the shard.
fn hold_all(engine: &Engine) -> Held {
    let held = engine.shards[0].call(|shard| async move {
        shard.shed_memory();
        let arena = &shard.context.arena;
        let sizes = [CHUNK_BYTES_MAX, 1];
        let free_chunks = sizes.iter().flat_map(|bytes| std::iter::from_fn(|| arena.allocate(*bytes)));
        let chunks: Vec<ChunkMut> = free_chunks.collect();
        // An arena of 16 MiB has one reserved block.
        Held { chunks, reads: vec![arena.next_read_buffer(1).await] }
    });
    held.unwrap()
}

/// Waits until the shard has taken everything that was sent to it before.
fn pass(engine: &Engine) {
    for _ in 0..3 {
        engine.shards[0].call(|_| async {}).unwrap();
    }
}

fn send(producer: &mut Producer, partition: u32, number: u8) {
    let value = vec![number; 5_000];
    let record = RecordRef { timestamp_ms: i64::from(number), value: Some(&value), ..RecordRef::default() };
    producer.try_send(Some(partition), &record).unwrap();
    producer.flush();
}

/// Calls `wait` on a thread of its own, and returns its result. A test that fails must not wait for ever.
fn within_patience<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> T {
    let (report, result) = mpsc::channel();
    std::thread::spawn(move || report.send(wait()));
    result.recv_timeout(PATIENCE).expect("a call waits for memory although there is some")
}

fn poll_fetch(consumer: &mut Consumer) -> Poll<()> {
    consumer.poll_fetch(&mut Context::from_waker(Waker::noop())).map(|fetched| drop(fetched.unwrap()))
}

#[test]
fn an_append_that_waits_for_memory_is_woken_by_a_release_on_another_thread() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    for round in 0..20 {
        let held = hold_all(&engine);
        send(&mut producer, 0, round);
        send(&mut producer, 1, round);
        pass(&engine);
        let acked = producer.poll_ack(&mut Context::from_waker(Waker::noop()));
        assert!(acked.is_pending(), "there was no memory for it");
        // One chunk serves both partitions only if the first one's log gives it back once it is written.
        let mut chunks = held.chunks;
        drop(chunks.pop());
        let (back, acks) = within_patience(move || {
            let acks = producer.wait_all();
            (producer, acks)
        });
        producer = back;
        assert!(acks.len() == 2 && acks.iter().all(|ack| ack.result.is_ok()), "{acks:?}");
        drop((chunks, held.reads));
    }
    engine.close().unwrap();
}

#[test]
fn a_fetch_that_waits_for_memory_stays_at_the_shard_and_is_woken() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    (0..10).for_each(|number| send(&mut producer, 0, number));
    assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
    let held = hold_all(&engine);
    let mut consumer = engine.consumer([("t", 0, 0)], ConsumerConfig::default()).unwrap();
    assert!(poll_fetch(&mut consumer).is_pending());
    pass(&engine);
    assert!(poll_fetch(&mut consumer).is_pending());
    assert_eq!(engine.stats()[0].reads.bytes, 0);
    // The reserve alone is enough to continue reading.
    drop(held.reads);
    let (consumer, records) = within_patience(move || {
        let mut records = 0;
        while records < 10 {
            records += consumer.wait_fetch().unwrap().records().count();
        }
        (consumer, records)
    });
    assert_eq!(records, 10);
    drop((consumer, held.chunks));
    engine.close().unwrap();
}

#[test]
fn an_offset_is_found_by_time_while_others_hold_all_the_memory_but_the_reserve() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    (0..10).for_each(|number| send(&mut producer, 0, number));
    assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
    let Held { chunks, reads } = hold_all(&engine);
    drop(reads);
    let (engine, listed) = within_patience(move || {
        let listed = engine.list_offsets([("t", 0, OffsetSpec::Timestamp(7))]).unwrap();
        (engine, listed)
    });
    assert_eq!(listed[0].unwrap().offset, 7);
    drop(chunks);
    engine.close().unwrap();
}

#[test]
fn closing_does_not_wait_for_readers_that_hold_all_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    send(&mut producer, 0, 1);
    assert!(producer.wait_all()[0].result.is_ok());
    let held = hold_all(&engine);
    send(&mut producer, 0, 2);
    send(&mut producer, 1, 3);
    let mut consumer = engine.consumer([("t", 0, 0)], ConsumerConfig::default()).unwrap();
    assert!(poll_fetch(&mut consumer).is_pending());
    pass(&engine);
    // The reserve returns while the engine closes. The read then ends, and so can its partition.
    drop(held.reads);
    within_patience(move || engine.close()).unwrap();
    let acks = producer.wait_all();
    assert!(acks.iter().all(|ack| matches!(ack.result, Err(AppendError::Closed))), "{acks:?}");
    drop(held.chunks);
    let engine = open_again(dir.path());
    let described = engine.describe_topic("t").unwrap();
    assert_eq!(described.partitions.iter().map(|partition| partition.log_end_offset).sum::<i64>(), 1);
    engine.close().unwrap();
}

fn open_again(dir: &std::path::Path) -> Engine {
    Engine::open(EngineConfig { io: IoMode::Buffered, ..EngineConfig::new(dir) }).unwrap()
}

#[test]
fn readers_pin_half_of_the_arena_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let limit_bytes = engine.shards[0].call(|shard| async move { shard.context.limits.fetch_pinned_bytes });
    assert_eq!(limit_bytes, Some(8 << 20));
    engine.close().unwrap();
}
