//! What only an engine's inside can bring about.

use super::*;
use crate::client::{ConsumerConfig, ProducerConfig};
use crate::config::TopicConfig;
use crate::error::{AppendError, FetchError};
use crate::record::RecordRef;
use crate::types::IoMode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn calls_of_a_stuck_shard_fail_and_it_works_again_once_it_moves() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig {
        io: IoMode::Buffered,
        arena_bytes: 16 << 20,
        stuck_after: Duration::from_millis(200),
        ..EngineConfig::new(dir.path())
    };
    let engine = Engine::open(config).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let mut producer = engine.producer("t", ProducerConfig { linger: None, ..Default::default() }).unwrap();
    let mut consumer =
        engine.consumer([("t", 0, 0)], ConsumerConfig { max_wait: PATIENCE, ..Default::default() }).unwrap();
    let record = RecordRef { value: Some(b"x"), ..RecordRef::default() };
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let shard = &engine.shards[0];
        scope.spawn(move || {
            let stuck = shard.call(move |_| async move {
                begin.send(()).unwrap();
                let _ = released.recv_timeout(PATIENCE);
            });
            assert!(stuck.is_none(), "the engine's own calls give up too");
        });
        begun.recv_timeout(PATIENCE).unwrap();
        let reader = scope.spawn(|| consumer.wait_fetch().map(drop));
        producer.try_send(Some(0), &record).unwrap();
        let acks = producer.wait_all();
        assert!(matches!(acks[0].result, Err(AppendError::ShardStuck { shard: 0 })), "{acks:?}");
        assert!(matches!(reader.join().unwrap(), Err(FetchError::ShardStuck { shard: 0 })));
    });
    release.send(()).unwrap();
    let begun = Instant::now();
    let acked = loop {
        producer.try_send(Some(0), &record).unwrap();
        match producer.wait_all().pop().unwrap().result {
            Ok(offset) => break offset,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "still {error}"),
        }
    };
    consumer.seek(0, acked);
    assert_eq!(consumer.wait_fetch().unwrap().records().count(), 1);
    engine.close().unwrap();
}

/// glommio may sleep although tasks are runnable, some of a million times: whoever sees that a shard does not move wakes it.
#[test]
fn a_nudge_from_another_thread_moves_a_shard_that_sleeps() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        EngineConfig { io: IoMode::Buffered, arena_bytes: 16 << 20, ..EngineConfig::new(dir.path()) };
    let engine = Engine::open(config).unwrap();
    let mailbox = Arc::clone(&engine.shards[0].mailbox);
    let (before, begun) = (mailbox.heartbeat.load(Ordering::Relaxed), Instant::now());
    let mut nudges = 0_u64;
    while mailbox.heartbeat.load(Ordering::Relaxed) < before + 500 {
        assert!(begun.elapsed() < PATIENCE, "nobody is moved by {nudges} nudges");
        mailbox.nudge();
        nudges += 1;
        std::thread::sleep(Duration::from_micros(100));
    }
    // By its timer alone it would have taken 5 s.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    engine.close().unwrap();
}
