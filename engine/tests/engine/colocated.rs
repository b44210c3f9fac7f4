//! Tasks on the shards' own threads: their handles work, and no task harms its shard.

use super::data_dir;
use futures_util::future::{FutureExt as _, join, join_all};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vnotch_engine::client::{
    Ack, ConsumerConfig, LocalProducer, LocalShard, Partitioner, ProducerConfig, TrySendError,
};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{LocalError, RunError};
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::{Durability, PollMode};

fn config(path: &Path, shards: u32) -> EngineConfig {
    let count = std::thread::available_parallelism().unwrap().get();
    let cores = (0..shards as usize).map(|shard| shard % count).collect();
    EngineConfig { arena_bytes: 32 << 20, shards, cores, ..EngineConfig::new(path) }
}

/// Returns for each shard the partition that it owns, of a topic with two partitions.
fn owned(engine: &Engine, topic: &str) -> [u32; 2] {
    let partitions = engine.describe_topic(topic).unwrap().partitions;
    let of = |shard| (0..).zip(&partitions).find(|(_, partition)| partition.shard == shard).unwrap().0;
    [of(0), of(1)]
}

fn send(producer: &mut LocalProducer, number: u64) -> Result<u32, TrySendError> {
    let value = number.to_be_bytes();
    producer.try_send(None, &RecordRef { value: Some(&value), ..RecordRef::default() })
}

/// Sends numbers `0..count` and waits for every ack. Checks that acks come in the order of their offsets.
async fn produce(local: &LocalShard, count: u64, config: ProducerConfig) {
    let mut producer = local.producer("t", config).unwrap();
    let mut acked = 0;
    for number in 0..count {
        while let Err(error) = send(&mut producer, number) {
            assert!(matches!(error, TrySendError::Full), "{error}");
            let ack = producer.ack().await;
            assert_eq!(ack.result.unwrap(), acked);
            acked += i64::from(ack.count);
        }
    }
    for ack in producer.all_acks().await {
        assert_eq!(ack.result.unwrap(), acked);
        acked += i64::from(ack.count);
    }
    assert_eq!(acked.unsigned_abs(), count);
}

/// Reads numbers `0..count` of one partition, and checks that each is there once and in order.
async fn consume(local: &LocalShard, partition: u32, count: u64) {
    let mut consumer = local.consumer([("t", partition, 0)], ConsumerConfig::default()).unwrap();
    let mut expected = 0u64;
    while expected < count {
        for record in consumer.fetch().await.unwrap().records() {
            assert_eq!(record.unwrap().value.unwrap(), expected.to_be_bytes());
            expected += 1;
        }
    }
    assert_eq!(expected, count);
}

#[test]
fn a_shards_own_tasks_produce_to_and_fetch_from_its_partitions_in_order() {
    for durability in [Durability::Appended, Durability::Written, Durability::Synced] {
        let dir = data_dir();
        let engine = Engine::open(config(dir.path(), 2)).unwrap();
        let topic = TopicConfig { durability, segment_bytes: 2 << 20, ..TopicConfig::default() };
        engine.create_topic("t", 2, topic).unwrap();
        let partitions = owned(&engine, "t");
        let begin = |shard: u32| {
            let partition = partitions[shard as usize];
            let task = move |local: LocalShard| async move {
                assert_eq!((local.shard(), local.partitions("t").unwrap()), (shard, vec![partition]));
                let config =
                    ProducerConfig { linger: None, in_flight_bytes_max: 1 << 20, ..Default::default() };
                join(produce(&local, 100_000, config), consume(&local, partition, 100_000)).await;
            };
            engine.run_on(shard, task).unwrap()
        };
        for task in [begin(0), begin(1)] {
            task.wait().unwrap();
        }
        assert!(engine.stats().iter().all(|shard| shard.colocated_ns > 0));
        engine.close().unwrap();
        let engine = Engine::open(config(dir.path(), 2)).unwrap();
        let described = engine.describe_topic("t").unwrap();
        assert!(described.partitions.iter().all(|partition| partition.log_end_offset == 100_000));
    }
}

#[test]
fn unknown_partitions_and_those_of_other_shards_are_refused_by_name() {
    let dir = data_dir();
    let engine = Engine::open(config(dir.path(), 2)).unwrap();
    engine.create_topic("t", 2, TopicConfig::default()).unwrap();
    engine.create_topic("one", 1, TopicConfig::default()).unwrap();
    let error = engine.run_on(2, |_| async {}).map(drop).unwrap_err();
    assert_eq!(error, RunError::NoSuchShard { shard: 2, shards: 2 });
    let [here, there] = owned(&engine, "t");
    let home = engine.describe_topic("one").unwrap().partitions[0].shard;
    let refused = engine.run_on(0, move |local| async move {
        let unknown = local.producer("other", ProducerConfig::default()).map(drop);
        assert_eq!(unknown, Err(LocalError::Unknown("other".into())));
        let unknown = local.consumer([("t", 7, 0)], ConsumerConfig::default()).map(drop);
        assert_eq!(unknown, Err(LocalError::Unknown("t-7".into())));
        let elsewhere = local.consumer([("t", there, 0)], ConsumerConfig::default()).map(drop).unwrap_err();
        assert!(matches!(elsewhere, LocalError::NotOwner { shard: 1, .. }), "{elsewhere}");
        let mut producer = local.producer("t", ProducerConfig::default()).unwrap();
        let record = RecordRef { value: Some(b"v"), ..RecordRef::default() };
        assert_eq!(producer.try_send(Some(here), &record).unwrap(), here);
        let elsewhere = producer.try_send(Some(there), &record).unwrap_err();
        assert!(matches!(elsewhere, TrySendError::NotOwner { shard: 1, .. }), "{elsewhere}");
        let mut counts = [0, 0];
        for number in 0..100u64 {
            let key = number.to_be_bytes();
            match producer.try_send(None, &RecordRef { key: Some(&key), ..record }) {
                Ok(partition) => assert_eq!(partition, here),
                Err(TrySendError::NotOwner { partition, shard: 1 }) => assert_eq!(partition, there),
                Err(error) => panic!("{error}"),
            }
            let spread = ProducerConfig { partitioner: Partitioner::RoundRobin, ..Default::default() };
            let partition = local.producer("t", spread).unwrap().try_send(None, &record).unwrap();
            counts[partition as usize] += 1;
        }
        assert_eq!(counts[here as usize], 100);
        assert!(producer.all_acks().await.iter().all(|ack| ack.result.is_ok() && ack.partition == here));
    });
    refused.unwrap().wait().unwrap();
    let away = engine.run_on(1 - home, |local| async move {
        local.producer("one", ProducerConfig::default()).map(drop).unwrap_err()
    });
    let error = away.unwrap().wait().unwrap();
    assert!(matches!(error, LocalError::NotOwner { shard, .. } if shard == home), "{error}");
    engine.close().unwrap();
}

#[test]
fn a_full_shard_holds_its_own_producers_back() {
    let dir = data_dir();
    let engine = Engine::open(EngineConfig { mailbox_bytes: 64 << 10, ..config(dir.path(), 1) }).unwrap();
    engine
        .create_topic(
            "t",
            1,
            TopicConfig { segment_bytes: 1 << 20, max_message_bytes: 1 << 19, ..Default::default() },
        )
        .unwrap();
    // A few batches fill the mailbox. The others wait in their producer until the log has taken those.
    let config = ProducerConfig { batch_size: 30 << 10, linger: None, ..ProducerConfig::default() };
    let task = engine.run_on(0, |local| async move { produce(&local, 500_000, config).await });
    task.unwrap().wait().unwrap();
    engine.close().unwrap();
}

#[test]
fn a_panic_ends_its_task_alone() {
    let dir = data_dir();
    let engine = Engine::open(config(dir.path(), 1)).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let goes_on =
        engine.run_on(0, |local| async move { produce(&local, 50_000, ProducerConfig::default()).await });
    let early = engine.run_on(0, |_| -> std::future::Ready<()> { panic!("at once") }).unwrap();
    let late = engine.run_on(0, |local| async move {
        local.yield_now().await;
        panic!("after {} turn", 1);
    });
    assert_eq!(early.wait().unwrap_err(), RunError::Panicked("at once".into()));
    let error = late.unwrap().wait().unwrap_err();
    assert_eq!(error, RunError::Panicked("after 1 turn".into()));
    goes_on.unwrap().wait().unwrap();
    assert_eq!(engine.describe_topic("t").unwrap().partitions[0].log_end_offset, 50_000);
    engine.close().unwrap();
}

/// Adds its number to the list when it is dropped.
struct Noted(u32, Arc<Mutex<Vec<u32>>>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
        assert_ne!(self.0, 2, "number 2 panics when it is dropped");
    }
}

#[test]
fn closing_drops_tasks_that_never_end_in_their_order_and_writes_what_they_sent() {
    let dir = data_dir();
    let engine = Engine::open(config(dir.path(), 1)).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let noted = |number| Noted(number, Arc::clone(&dropped));
    let (has_sent, sent) = std::sync::mpsc::channel();
    let mut running = Vec::new();
    let waits = noted(0);
    running.push(engine.run_on(0, move |_| async move {
        let _waits = waits;
        std::future::pending::<()>().await;
    }));
    let spins = noted(1);
    running.push(engine.run_on(0, move |local| async move {
        let _spins = spins;
        loop {
            local.yield_now().await;
        }
    }));
    let sleeps = noted(2);
    running.push(engine.run_on(0, move |local| async move {
        let _sleeps = sleeps;
        local.sleep(Duration::from_secs(3600)).await;
    }));
    let fetches = noted(3);
    running.push(engine.run_on(0, move |local| async move {
        let _fetches = fetches;
        let config = ConsumerConfig { max_wait: Duration::from_secs(3600), ..ConsumerConfig::default() };
        let mut consumer = local.consumer([("t", 0, 1_000_000)], config).unwrap();
        let _never = consumer.fetch().await;
        std::future::pending::<()>().await;
    }));
    let sends = noted(4);
    running.push(engine.run_on(0, move |local| async move {
        let _sends = sends;
        let config = ProducerConfig { batch_records_max: 1, ..ProducerConfig::default() };
        let mut producer = local.producer("t", config).unwrap();
        for number in 0..1000 {
            send(&mut producer, number).unwrap();
        }
        // The shard has all records now. It writes them even if this task is dropped.
        has_sent.send(()).unwrap();
        std::future::pending::<()>().await;
    }));
    sent.recv_timeout(Duration::from_secs(60)).unwrap();
    engine.close().unwrap();
    assert_eq!(*dropped.lock().unwrap(), [0, 1, 2, 3, 4]);
    for task in running {
        assert_eq!(task.unwrap().wait().unwrap_err(), RunError::Closed);
    }
    let engine = Engine::open(config(dir.path(), 1)).unwrap();
    assert_eq!(engine.describe_topic("t").unwrap().partitions[0].log_end_offset, 1000);
    // Dropping an engine ends tasks too.
    let task = engine.run_on(0, |_| std::future::pending::<()>()).unwrap();
    drop(engine);
    assert_eq!(task.wait().unwrap_err(), RunError::Closed);
}

#[test]
fn sleeps_end_in_their_order_and_not_early_however_the_shard_waits() {
    for poll in [PollMode::Adaptive, PollMode::Busy, PollMode::Park] {
        let dir = data_dir();
        let engine = Engine::open(EngineConfig { poll, ..config(dir.path(), 1) }).unwrap();
        let ended = engine.run_on(0, |local| async move {
            let begun = Instant::now();
            let ended = std::cell::RefCell::new(Vec::new());
            let nap = async |ms: u64| {
                local.sleep(Duration::from_millis(ms)).await;
                assert!(begun.elapsed() >= Duration::from_millis(ms));
                ended.borrow_mut().push(ms);
            };
            // A sleep that is dropped removes its timer.
            let given_up = local.sleep(Duration::from_millis(1));
            futures_util::pin_mut!(given_up);
            assert!(futures_util::poll!(given_up).is_pending());
            join_all([20, 5, 0, 30, 5].map(&nap)).await;
            ended.take()
        });
        assert_eq!(ended.unwrap().wait().unwrap(), [0, 5, 5, 20, 30]);
        engine.close().unwrap();
    }
}

/// Runs one of two tasks that answer each other across cores. It sends to its own shard directly, and reads the other's partition
/// through that shard's mailbox.
async fn play(local: LocalShard, mut other: vnotch_engine::client::Consumer, begins: bool, rounds: u64) {
    let mut producer = local.producer("t", ProducerConfig::default()).unwrap();
    for round in 0..rounds {
        for is_send in [begins, !begins] {
            if is_send {
                send(&mut producer, round).unwrap();
                assert!(producer.ack().await.result.is_ok());
            } else {
                let fetched = other.fetch().await.unwrap();
                let record = fetched.records().next().unwrap().unwrap();
                assert_eq!(record.value.unwrap(), round.to_be_bytes());
            }
        }
    }
}

#[test]
fn tasks_on_two_shards_pass_records_to_and_fro_without_hanging() {
    for poll in [PollMode::Adaptive, PollMode::Park] {
        let dir = data_dir();
        let engine = Engine::open(EngineConfig { poll, ..config(dir.path(), 2) }).unwrap();
        let topic = TopicConfig { durability: Durability::Appended, ..TopicConfig::default() };
        engine.create_topic("t", 2, topic).unwrap();
        let owned = owned(&engine, "t");
        let begin = |shard: u32| {
            let patient = ConsumerConfig { max_wait: Duration::from_secs(30), ..ConsumerConfig::default() };
            let other = engine.consumer([("t", owned[1 - shard as usize], 0)], patient).unwrap();
            engine.run_on(shard, move |local| play(local, other, shard == 0, 2_000)).unwrap()
        };
        for player in [begin(0), begin(1)] {
            player.wait().unwrap();
        }
        engine.close().unwrap();
    }
}

/// Returns a configuration in which each record is a batch, and is acked once its log has it in memory.
fn acked_at_once() -> ProducerConfig {
    let durability = Some(Durability::Appended);
    ProducerConfig { batch_records_max: 1, durability, ..ProducerConfig::default() }
}

#[test]
fn what_a_task_appends_is_taken_while_the_task_still_runs() {
    let dir = data_dir();
    let engine = Engine::open(config(dir.path(), 1)).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let task = engine.run_on(0, |local| async move {
        let mut producer = local.producer("t", acked_at_once()).unwrap();
        // The first append creates the first segment.
        send(&mut producer, 0).unwrap();
        assert_eq!(producer.ack().await.result.unwrap(), 0);
        for number in 1..=1000 {
            send(&mut producer, number).unwrap();
        }
        // The shard had no turn of its own meanwhile. It has taken only some of the records, because its other work must not
        // wait for long.
        let mut acked = 0;
        let mut expect = |ack: Ack| {
            acked += 1;
            assert_eq!(ack.result.unwrap(), acked);
            acked
        };
        let mut early = 0;
        while let Some(ack) = producer.ack().now_or_never() {
            early = expect(ack);
        }
        assert!((4..500).contains(&early), "{early} taken");
        let last = producer.all_acks().await.into_iter().map(expect).max();
        assert_eq!(last, Some(1000));
    });
    task.unwrap().wait().unwrap();
}

#[test]
fn what_a_task_appends_is_written_while_the_task_still_runs() {
    let dir = data_dir();
    let engine = Engine::open(config(dir.path(), 1)).unwrap();
    let topic =
        TopicConfig { segment_bytes: 1 << 20, max_message_bytes: 100 << 10, ..TopicConfig::default() };
    engine.create_topic("t", 1, topic).unwrap();
    let log = dir.path().join("t-0/00000000000000000000.log");
    let task = engine.run_on(0, |local| async move {
        let config = ProducerConfig { batch_records_max: 1, ..ProducerConfig::default() };
        let mut producer = local.producer("t", config).unwrap();
        send(&mut producer, 0).unwrap();
        producer.ack().await.result.unwrap();
        let begun = Instant::now();
        for number in 1..=8 {
            send(&mut producer, number).unwrap();
        }
        // This loop keeps the shard's thread busy all the time.
        let is_there = || std::fs::read(&log).unwrap().windows(8).any(|bytes| bytes == 1u64.to_be_bytes());
        while !is_there() {
            assert!(begun.elapsed() < Duration::from_secs(10), "nothing was written");
        }
        producer.all_acks().await.len()
    });
    assert_eq!(task.unwrap().wait().unwrap(), 8);
}

#[test]
fn answers_come_in_the_order_of_the_batches_refusals_too() {
    let dir = data_dir();
    let engine = Engine::open(config(dir.path(), 1)).unwrap();
    let topic = TopicConfig { max_message_bytes: 10_000, ..TopicConfig::default() };
    engine.create_topic("t", 1, topic).unwrap();
    let task = engine.run_on(0, |local| async move {
        let mut producer = local.producer("t", acked_at_once()).unwrap();
        for bytes in [10, 10, 20_000, 10, 20_000, 20_000, 10] {
            let value = vec![1; bytes];
            producer.try_send(None, &RecordRef { value: Some(&value), ..RecordRef::default() }).unwrap();
        }
        producer.all_acks().await.iter().map(|ack| ack.result.is_ok()).collect::<Vec<_>>()
    });
    assert_eq!(task.unwrap().wait().unwrap(), [true, true, false, true, false, false, true]);
}

#[test]
fn dropping_an_engine_does_not_wait_for_a_stuck_shard_which_ends_once_it_moves() {
    let dir = data_dir();
    let stuck_after = Duration::from_millis(200);
    let engine = Engine::open(EngineConfig { stuck_after, ..config(dir.path(), 1) }).unwrap();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let task = engine.run_on(0, move |_| async move {
        begun.send(()).unwrap();
        std::thread::sleep(Duration::from_secs(3));
    });
    has_begun.recv().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    let (report, dropped) = std::sync::mpsc::channel();
    // This thread is not joined, as it may hang.
    std::thread::spawn(move || {
        drop(engine);
        report.send(())
    });
    dropped.recv_timeout(Duration::from_secs(30)).expect("the drop returns");
    assert!(begun.elapsed() < Duration::from_millis(1500), "it waited for the shard");
    drop(task);
    // The directory can be opened again once the shard's ring is closed.
    while let Err(error) = Engine::open(config(dir.path(), 1)) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
