//! Records are deleted by age although nobody appends, and a fetch is answered in time although nothing happens.

use super::data_dir;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vnotch_engine::client::{ConsumerConfig, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;

const PATIENCE: Duration = Duration::from_secs(60);

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_millis()).unwrap()
}

fn send(engine: &Engine, topic: &str, timestamp_ms: i64) {
    let config = ProducerConfig { linger: None, ..ProducerConfig::default() };
    let mut producer = engine.producer(topic, config).unwrap();
    for _ in 0..100 {
        let record = RecordRef { timestamp_ms, value: Some(&[b'x'; 1000]), ..RecordRef::default() };
        producer.try_send(Some(0), &record).unwrap();
    }
    assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
}

fn offsets(engine: &Engine, topic: &str) -> (i64, i64) {
    let partition = engine.describe_topic(topic).unwrap().partitions[0];
    (partition.log_start_offset, partition.log_end_offset)
}

#[test]
fn an_idle_topic_loses_its_records_by_age() {
    let dir = data_dir();
    let engine =
        Engine::open(EngineConfig { arena_bytes: 32 << 20, ..EngineConfig::new(dir.path()) }).unwrap();
    let config = |retention_ms| TopicConfig {
        segment_bytes: 1 << 20,
        max_message_bytes: 64 << 10,
        retention_ms: Some(retention_ms),
        ..TopicConfig::default()
    };
    engine.create_topic("short", 1, config(1_000)).unwrap();
    engine.create_topic("long", 1, config(3_600_000)).unwrap();
    for topic in ["short", "long"] {
        send(&engine, topic, now_ms());
    }
    let begun = Instant::now();
    while offsets(&engine, "short") != (100, 100) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", offsets(&engine, "short"));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(offsets(&engine, "long"), (0, 100));
    send(&engine, "short", now_ms() + 3_600_000);
    assert_eq!(offsets(&engine, "short"), (100, 200));
    engine.close().unwrap();
}

/// Counts the wakes of a reader. The answer to its fetch wakes it, even an empty one.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_fetch_is_answered_once_it_has_waited_as_long_as_it_says() {
    let dir = data_dir();
    let engine =
        Engine::open(EngineConfig { arena_bytes: 32 << 20, ..EngineConfig::new(dir.path()) }).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    // On one partition, longer waits stand before and behind the shorter ones.
    let begun = Instant::now();
    let waits =
        [Duration::MAX, Duration::from_millis(300), Duration::from_secs(3600), Duration::from_millis(600)];
    let readers: Vec<_> = waits
        .into_iter()
        .map(|max_wait| {
            let config = ConsumerConfig { max_wait, ..ConsumerConfig::default() };
            let mut consumer = engine.consumer([("t", 0, 0)], config).unwrap();
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(Arc::clone(&wakes));
            assert!(consumer.poll_fetch(&mut Context::from_waker(&waker)).is_pending());
            (consumer, wakes, max_wait)
        })
        .collect();
    for (_, wakes, max_wait) in readers.iter().filter(|(.., max_wait)| *max_wait < Duration::from_secs(1)) {
        while wakes.0.load(Ordering::SeqCst) == 0 {
            assert!(begun.elapsed() < PATIENCE, "{max_wait:?} have passed");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(begun.elapsed() >= *max_wait);
    }
    for (mut consumer, wakes, _) in readers.into_iter().filter(|(.., max_wait)| *max_wait > PATIENCE) {
        let has_records = offsets(&engine, "t").1 > 0;
        assert!(has_records || wakes.0.load(Ordering::SeqCst) == 0, "it still waits");
        send(&engine, "t", 0);
        assert!(consumer.wait_fetch().unwrap().records().count() > 0, "records end its wait");
    }
    engine.close().unwrap();
}
