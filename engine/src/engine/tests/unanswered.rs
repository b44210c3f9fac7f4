//! Changes of topics while a shard is stuck: they are answered in time, and can be repeated once the shard moves.

use super::{PATIENCE, impatient};
use crate::catalog::{Catalog, Topic};
use crate::client::{Producer, ProducerConfig};
use crate::config::{EngineConfig, GroupsConfig, TopicChanges, TopicConfig};
use crate::engine::Engine;
use crate::error::{AppendError, OpenError, TopicError};
use crate::record::RecordRef;
use crate::shard::{OFFSETS_TOPIC, next_turn};
use crate::verify::verify;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Makes a shard's thread stand still until the returned sender is used or dropped.
pub(super) fn stick(engine: &Engine, shard: u32) -> mpsc::Sender<()> {
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let task = engine.run_on(shard, move |_| async move {
        begin.send(()).unwrap();
        let _ = released.recv_timeout(PATIENCE);
    });
    drop(task.unwrap());
    begun.recv_timeout(PATIENCE).unwrap();
    release
}

fn wait_until_it_moves(engine: &Engine, shard: usize) {
    let begun = Instant::now();
    while engine.shards[shard].call(|_| async {}).is_none() {
        assert!(begun.elapsed() < PATIENCE, "shard {shard} does not move");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Keeps the catalog busy until the returned sender is dropped. The shard moves meanwhile.
fn occupy_catalog(engine: &Engine) -> mpsc::Sender<()> {
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let _ = engine.shards[0].begin(|shard| async move {
        let work = async move |_: &_, _: &mut Catalog| {
            begin.send(()).unwrap();
            while released.try_recv() == Err(mpsc::TryRecvError::Empty) {
                next_turn().await;
            }
        };
        shard.with_catalog(work).await
    });
    begun.recv_timeout(PATIENCE).unwrap();
    release
}

fn send(producer: &mut Producer, partition: u32) -> Result<i64, AppendError> {
    let record = RecordRef { value: Some(b"x"), ..RecordRef::default() };
    producer.try_send(Some(partition), &record).unwrap();
    producer.wait_all().pop().unwrap().result
}

fn producer(engine: &Engine, topic: &str) -> Producer {
    engine.producer(topic, ProducerConfig { linger: None, ..ProducerConfig::default() }).unwrap()
}

fn changes() -> TopicChanges {
    TopicChanges { retention_bytes: Some(Some(1 << 30)), ..TopicChanges::default() }
}

/// Name of a change, the change, and a check that it is made.
type Change = (&'static str, fn(&Engine) -> Result<(), TopicError>, fn(&Engine));

const CHANGES: [Change; 4] = [
    (
        "create",
        |engine| engine.create_topic("u", 2, TopicConfig::default()),
        |engine| assert_eq!(send(&mut producer(engine, "u"), 1).unwrap(), 0),
    ),
    (
        "alter",
        |engine| engine.alter_topic("t", changes()).map(drop),
        |engine| assert_eq!(engine.describe_topic("t").unwrap().config.retention_bytes, Some(1 << 30)),
    ),
    (
        "add",
        |engine| engine.create_partitions("t", 3),
        |engine| assert_eq!(send(&mut producer(engine, "t"), 2).unwrap(), 0),
    ),
    (
        "delete",
        |engine| engine.delete_topic("t"),
        |engine| {
            assert!(engine.list_topics().is_empty() && !engine.config.data_dir.join("t-0").exists());
            engine.create_topic("t", 1, TopicConfig::default()).unwrap();
            assert_eq!(send(&mut producer(engine, "t"), 0).unwrap(), 0);
        },
    ),
];

fn check_after_reopen(engine: Engine, config: &EngineConfig) {
    let topics = engine.list_topics();
    engine.close().unwrap();
    let report = verify(&config.data_dir, &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.defects);
    let engine = Engine::open(config.clone()).unwrap();
    assert!(engine.list_topics() == topics && engine.damaged().is_empty());
    engine.close().unwrap();
}

#[test]
fn a_change_while_shard_0_is_stuck_is_answered_and_can_be_repeated() {
    for (what, change, check) in CHANGES {
        for is_begun in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let config = impatient(dir.path());
            let engine = Engine::open(config.clone()).unwrap();
            engine.create_topic("t", 1, TopicConfig::default()).unwrap();
            assert_eq!(send(&mut producer(&engine, "t"), 0).unwrap(), 0);
            let (release, answer) = std::thread::scope(|scope| {
                let busy = is_begun.then(|| occupy_catalog(&engine));
                let release = if is_begun { None } else { Some(stick(&engine, 0)) };
                let asked = scope.spawn(|| change(&engine));
                // If the request comes later than that on a slow machine, it is not begun.
                std::thread::sleep(Duration::from_millis(30));
                let release = release.unwrap_or_else(|| stick(&engine, 0));
                let answer = asked.join().unwrap();
                drop(busy);
                (release, answer)
            });
            assert!(matches!(answer, Err(TopicError::ShardStuck { shard: 0 })), "{what}: {answer:?}");
            let again = change(&engine);
            assert!(matches!(again, Err(TopicError::ShardStuck { shard: 0 })), "{what}: {again:?}");
            drop(release);
            wait_until_it_moves(&engine, 0);
            change(&engine).unwrap_or_else(|error| panic!("{what}, begun: {is_begun}: {error}"));
            check(&engine);
            check_after_reopen(engine, &config);
        }
    }
}

#[test]
fn a_request_that_was_given_up_before_its_shard_took_it_changes_nothing() {
    for (what, change, _) in CHANGES {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(impatient(dir.path())).unwrap();
        engine.create_topic("t", 1, TopicConfig::default()).unwrap();
        let catalog = || std::fs::read(dir.path().join("catalog.json")).unwrap();
        let before = catalog();
        let release = stick(&engine, 0);
        assert!(change(&engine).is_err());
        drop(release);
        wait_until_it_moves(&engine, 0);
        assert!(catalog() == before, "{what}");
        assert_eq!(send(&mut producer(&engine, "t"), 0).unwrap(), 0);
        engine.close().unwrap();
    }
}

/// Does `work` on the catalog as a request that had no answer, and was finished after its caller had given up.
fn finish_unanswered<W>(engine: &Engine, name: &str, work: W)
where
    W: AsyncFnOnce(&crate::shard::ShardDisk, &mut Catalog) -> Result<(), TopicError> + Send + 'static,
{
    engine.with_catalog(work).unwrap();
    let unanswered = engine.noting::<()>(name, Err(TopicError::ShardStuck { shard: 0 }));
    assert!(unanswered.is_err());
}

#[test]
fn what_shard_0_finishes_after_its_caller_gave_up_is_completed_or_undone_by_the_next_call() {
    for (what, change, check) in CHANGES {
        let dir = tempfile::tempdir().unwrap();
        let config = impatient(dir.path());
        let engine = Engine::open(config.clone()).unwrap();
        engine.create_topic("t", 1, TopicConfig::default()).unwrap();
        let mut old = producer(&engine, "t");
        assert_eq!(send(&mut old, 0).unwrap(), 0);
        match what {
            "create" => finish_unanswered(&engine, "u", async |disk, catalog| {
                let topic = Topic { id: 9, ..Topic::new(2, TopicConfig::default()) };
                catalog.announce(disk, "u", &topic).await?;
                catalog.create(disk, "u", topic).await
            }),
            "alter" => finish_unanswered(&engine, "t", async |disk, catalog| {
                catalog.alter(disk, "t", &changes()).await.map(drop)
            }),
            "add" => {
                for number in [1, 2] {
                    std::fs::create_dir(dir.path().join(format!("t-{number}"))).unwrap();
                }
                finish_unanswered(&engine, "t", async |disk, catalog| {
                    catalog.announce_partitions(disk, "t", 3).await?;
                    catalog.add_partitions(disk, "t").await
                });
            }
            _ => finish_unanswered(&engine, "t", async |disk, catalog| catalog.delete(disk, "t").await),
        }
        change(&engine).unwrap_or_else(|error| panic!("{what}: {error}"));
        let outcome = send(&mut old, 0);
        if what == "delete" {
            assert!(matches!(outcome, Err(AppendError::UnknownPartition)), "{outcome:?}");
        } else {
            assert_eq!(outcome.unwrap(), 1);
        }
        check(&engine);
        check_after_reopen(engine, &config);
    }
}

fn two_shards(dir: &Path) -> EngineConfig {
    let cores = std::thread::available_parallelism().unwrap().get();
    EngineConfig { shards: 2, cores: vec![0, 1 % cores], ..impatient(dir) }
}

/// The partition of a stuck shard ends once the shard moves, without another call.
#[test]
fn a_deletion_while_another_shard_is_stuck_ends_all_partitions_and_the_name_can_be_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = two_shards(dir.path());
    let engine = Engine::open(config.clone()).unwrap();
    engine.create_topic("t", 4, TopicConfig::default()).unwrap();
    let mut old = producer(&engine, "t");
    for partition in 0..4 {
        assert_eq!(send(&mut old, partition).unwrap(), 0);
    }
    let release = stick(&engine, 1);
    let deleted = engine.delete_topic("t");
    assert!(matches!(deleted, Err(TopicError::ShardStuck { shard: 1 })), "{deleted:?}");
    let created = engine.create_topic("t", 4, TopicConfig::default());
    assert!(matches!(created, Err(TopicError::ShardStuck { shard: 1 })), "{created:?}");
    drop(release);
    wait_until_it_moves(&engine, 1);
    for partition in 0..4 {
        let refused = send(&mut old, partition);
        assert!(matches!(refused, Err(AppendError::UnknownPartition)), "{partition}: {refused:?}");
    }
    engine.create_topic("t", 4, TopicConfig::default()).unwrap();
    let mut new = producer(&engine, "t");
    for partition in 0..4 {
        assert_eq!(send(&mut new, partition).unwrap(), 0);
    }
    check_after_reopen(engine, &config);
}

#[test]
fn a_creation_and_an_addition_while_another_shard_is_stuck_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let config = two_shards(dir.path());
    let engine = Engine::open(config.clone()).unwrap();
    engine.create_topic("t", 2, TopicConfig::default()).unwrap();
    let release = stick(&engine, 1);
    for _ in 0..2 {
        let created = engine.create_topic("u", 4, TopicConfig::default());
        let is_stuck = matches!(
            created,
            Err(TopicError::Open(OpenError::Executor { shard: 1, .. }) | TopicError::ShardStuck { shard: 1 })
        );
        assert!(is_stuck, "{created:?}");
        let added = engine.create_partitions("t", 4);
        let is_stuck = matches!(
            added,
            Err(TopicError::Open(OpenError::Executor { shard: 1, .. }) | TopicError::ShardStuck { shard: 1 })
        );
        assert!(is_stuck, "{added:?}");
    }
    drop(release);
    wait_until_it_moves(&engine, 1);
    engine.create_topic("u", 4, TopicConfig::default()).unwrap();
    engine.create_partitions("t", 4).unwrap();
    for topic in ["t", "u"] {
        let mut producer = producer(&engine, topic);
        for partition in 0..4 {
            assert_eq!(send(&mut producer, partition).unwrap(), 0);
        }
    }
    check_after_reopen(engine, &config);
}

#[test]
fn groups_can_be_used_after_a_shard_has_not_answered_their_first_use() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(impatient(dir.path())).unwrap();
    let groups = GroupsConfig::default();
    engine.create_any_topic(OFFSETS_TOPIC, groups.offsets_topic_partitions, groups.topic()).unwrap();
    let release = stick(&engine, 0);
    assert!(engine.group_admin().is_err());
    drop(release);
    wait_until_it_moves(&engine, 0);
    // Every partition of the topic is asked.
    assert_eq!(engine.group_admin().unwrap().list().unwrap().groups, []);
}
