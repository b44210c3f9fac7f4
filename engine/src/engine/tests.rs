//! Tests that need access to the inside of an engine.

mod memory;
mod names;
mod opening;
mod overtaking;
mod sessions;
mod stuck;
mod unanswered;

use super::*;
use crate::catalog::Catalog;
use crate::client::{ConsumerConfig, ProducerConfig};
use crate::config::TopicConfig;
use crate::error::{AppendError, CloseError, FetchError};
use crate::record::RecordRef;
use crate::shard::next_turn;
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

/// glommio may sleep although tasks are runnable, a few times in a million. The watchdog then wakes it.
#[test]
fn a_nudge_from_another_thread_moves_a_shard_that_sleeps() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        EngineConfig { io: IoMode::Buffered, arena_bytes: 16 << 20, ..EngineConfig::new(dir.path()) };
    let engine = Engine::open(config).unwrap();
    let mailbox = Arc::clone(&engine.shards[0].mailbox);
    let (before, begun) = (mailbox.pulse.beats(), Instant::now());
    let mut nudges = 0_u64;
    while mailbox.pulse.beats() < before + 500 {
        assert!(begun.elapsed() < PATIENCE, "the shard did not move, after {nudges} nudges");
        mailbox.nudge();
        nudges += 1;
        std::thread::sleep(Duration::from_micros(100));
    }
    // Its timer alone would have taken 5 s.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    engine.close().unwrap();
}

/// A configuration with which a shard is soon declared stuck.
fn impatient(dir: &std::path::Path) -> EngineConfig {
    EngineConfig {
        io: IoMode::Buffered,
        arena_bytes: 16 << 20,
        stuck_after: Duration::from_millis(300),
        ..EngineConfig::new(dir)
    }
}

fn append(engine: &Engine) -> Result<i64, AppendError> {
    let mut producer = engine.producer("t", ProducerConfig { linger: None, ..Default::default() }).unwrap();
    producer.try_send(Some(0), &RecordRef { value: Some(b"x"), ..RecordRef::default() }).unwrap();
    producer.wait_all().pop().unwrap().result
}

#[test]
fn a_pump_that_waits_for_ever_is_noticed_though_its_executor_moves() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(impatient(dir.path())).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    assert!(engine.shards[0].call(|shard| async move { shard.lose_wakes() }).is_some());
    let (report, acked) = mpsc::channel();
    // A thread that is not joined if it hangs.
    let thread = std::thread::spawn(move || {
        report.send(append(&engine)).unwrap();
        engine.close()
    });
    let acked = acked.recv_timeout(PATIENCE).expect("the append is answered");
    assert!(matches!(acked, Err(AppendError::ShardStuck { shard: 0 })), "{acked:?}");
    let closed = thread.join().unwrap();
    assert!(matches!(closed, Err(CloseError::ShardStuck { shard: 0 })), "{closed:?}");
}

#[test]
fn a_shard_with_nothing_to_do_is_not_taken_for_stuck() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(impatient(dir.path())).unwrap();
    let mailbox = Arc::clone(&engine.shards[0].mailbox);
    // The pump polls for a millisecond while the files of the open are being closed.
    std::thread::sleep(Duration::from_millis(100));
    let (before, begun) = (mailbox.pulse.turns(), Instant::now());
    while begun.elapsed() < engine.config.stuck_after * 5 {
        assert!(!mailbox.is_stuck());
        std::thread::sleep(Duration::from_millis(10));
    }
    // The pump slept most of the time.
    assert!(mailbox.pulse.turns() - before < 1_000, "{} turns", mailbox.pulse.turns() - before);
    engine.close().unwrap();
}

#[test]
fn a_parked_pump_that_missed_a_message_is_woken() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(impatient(dir.path())).unwrap();
    let mailbox = Arc::clone(&engine.shards[0].mailbox);
    for _ in 0..3 {
        // Without a wake, as if it had been lost.
        let (report, done) = mpsc::channel();
        mailbox.put_without_wake(Box::new(move |_| {
            report.send(()).unwrap();
            Box::pin(std::future::ready(()))
        }));
        done.recv_timeout(PATIENCE).expect("the message is taken");
        assert!(!mailbox.is_stuck());
    }
    engine.close().unwrap();
}

#[test]
fn a_shard_whose_work_panics_is_an_error_at_once_and_frees_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig { stuck_after: PATIENCE * 10, ..impatient(dir.path()) };
    let engine = Engine::open(config.clone()).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    assert_eq!(append(&engine).unwrap(), 0);
    let mut consumer = engine
        .consumer([("t", 0, 1)], ConsumerConfig { max_wait: PATIENCE * 10, ..Default::default() })
        .unwrap();
    let reader = std::thread::spawn(move || consumer.wait_fetch().map(drop));
    let panicked = engine.shards[0].call::<(), _, _>(|_| async { panic!("as a bug would") });
    assert!(panicked.is_none());
    assert!(matches!(append(&engine), Err(AppendError::ShardStuck { shard: 0 })));
    assert!(matches!(reader.join().unwrap(), Err(FetchError::ShardStuck { shard: 0 })));
    assert!(matches!(engine.close(), Err(CloseError::ShardStuck { shard: 0 })));
    let engine = Engine::open(config).unwrap();
    assert_eq!(append(&engine).unwrap(), 1);
    engine.close().unwrap();
}

/// The new catalog is on disk, so the next open may delete records that are acked from then on.
#[test]
fn a_deletion_that_could_not_be_made_durable_ends_the_acks_all_the_same() {
    for errno in [libc::EIO, libc::ENOSPC, libc::EDQUOT] {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let config =
                EngineConfig { io: IoMode::Buffered, arena_bytes: 16 << 20, ..EngineConfig::new(dir.path()) };
            Engine::open(config).unwrap()
        };
        let engine = open();
        engine.create_topic("t", 1, TopicConfig::default()).unwrap();
        let mut producer =
            engine.producer("t", ProducerConfig { linger: None, ..Default::default() }).unwrap();
        let record = RecordRef { value: Some(b"x"), ..RecordRef::default() };
        let mut send = || {
            producer.try_send(Some(0), &record).unwrap();
            producer.wait_all().pop().unwrap().result
        };
        send().unwrap();
        assert!(
            engine.shards[0].call(move |shard| async move { shard.fail_directory_sync(errno) }).is_some()
        );
        let failed = engine.delete_topic("t").unwrap_err();
        assert!(matches!(failed, TopicError::Unconfirmed(_)), "{failed}");
        let refused = send();
        assert!(matches!(refused, Err(AppendError::UnknownPartition)), "{errno}: {refused:?}");
        engine.close().unwrap();
        assert_eq!(open().list_topics(), [""; 0], "no power was lost, so the deletion is found");
    }
}

/// The caller of the first request may have given up already.
#[test]
fn a_request_to_the_catalog_waits_while_another_one_runs() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(impatient(dir.path())).unwrap();
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let first = engine.shards[0].begin(|shard| async move {
        let work = async move |_: &_, catalog: &mut Catalog| {
            begin.send(()).unwrap();
            while released.try_recv().is_err() {
                next_turn().await;
            }
            catalog.epoch()
        };
        shard.with_catalog(work).await
    });
    begun.recv_timeout(PATIENCE).unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| engine.create_topic("t", 1, TopicConfig::default()));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!second.is_finished());
        release.send(()).unwrap();
        second.join().unwrap().unwrap();
    });
    assert_eq!(first.unwrap().wait().unwrap(), Some(engine.epoch));
    engine.close().unwrap();
}

#[test]
fn changes_of_topics_from_several_threads_all_succeed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(impatient(dir.path())).unwrap();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let engine = &engine;
            scope.spawn(move || engine.create_topic(name, 1, TopicConfig::default()).unwrap());
        }
    });
    assert_eq!(engine.list_topics(), ["a", "b", "c"]);
    engine.close().unwrap();
}
