//! Consumer groups through the engine's public handles, with real files, rings and threads.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic")]

#[path = "../support/lost_end.rs"]
mod lost_end;

mod commits;
mod cut_logs;
mod expiry;
mod internal_topic;
mod last_commits;
mod leaving;
mod members;
mod rebalances;
mod refused;
mod stored;
mod topics;

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use vnotch_engine::client::{
    AutoOffsetReset, Commit, ConsumerConfig, GroupConsumer, GroupConsumerConfig, GroupEvent, ProducerConfig,
    Subscribe,
};
use vnotch_engine::config::{EngineConfig, GroupsConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::TopicPartition;

/// Longest wait for something that happens within milliseconds on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn data_dir() -> tempfile::TempDir {
    // Not in /tmp, which may be a tmpfs without O_DIRECT.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn config(path: &Path, shards: u32) -> EngineConfig {
    let cores = std::thread::available_parallelism().unwrap().get();
    EngineConfig {
        shards,
        cores: (0..shards as usize).map(|shard| shard % cores).collect(),
        arena_bytes: 32 << 20,
        groups: GroupsConfig {
            group_initial_rebalance_delay_ms: 0,
            group_min_session_timeout_ms: 100,
            ..GroupsConfig::default()
        },
        ..EngineConfig::new(path)
    }
}

fn open(path: &Path) -> Engine {
    Engine::open(config(path, 2)).unwrap()
}

fn with_topic(path: &Path, partitions: u32) -> Engine {
    let engine = open(path);
    engine.create_topic("t", partitions, TopicConfig::default()).unwrap();
    engine
}

fn partition(number: u32) -> TopicPartition {
    TopicPartition { topic: "t".into(), partition: number }
}

/// Returns a commit of an offset of a partition.
fn commit_of(number: u32, offset: i64) -> Commit {
    Commit { partition: partition(number), position: offset.into(), metadata: None }
}

/// Returns the committed offsets of a group, with their partitions.
fn committed(engine: &Engine, group: &str) -> Vec<(u32, i64)> {
    let offsets = engine.group_admin().unwrap().offsets(group).unwrap();
    offsets.into_iter().map(|commit| (commit.partition.partition, commit.position.offset)).collect()
}

/// Has a shard do nothing until the returned sender is dropped.
fn hold(engine: &Engine, shard: u32) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let task = engine.run_on(shard, move |_| async move {
        begin.send(()).unwrap();
        // Ends with an error when the sender is dropped.
        let _ = released.recv_timeout(PATIENCE);
    });
    drop(task.unwrap());
    begun.recv_timeout(PATIENCE).unwrap();
    release
}

fn settings(group: &str) -> GroupConsumerConfig {
    GroupConsumerConfig {
        auto_offset_reset: AutoOffsetReset::Earliest,
        auto_commit: None,
        heartbeat_interval: Duration::from_millis(20),
        fetch: ConsumerConfig { max_wait: Duration::from_millis(50), ..ConsumerConfig::default() },
        ..GroupConsumerConfig::new(group)
    }
}

fn member(engine: &Engine, config: GroupConsumerConfig) -> GroupConsumer {
    engine.group_consumer(config, Subscribe::topics(["t"])).unwrap()
}

/// Sends `count` records to one partition, and waits for their acks.
fn produce(engine: &Engine, number: u32, count: u64) {
    let config = ProducerConfig { linger: None, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    for value in 0..count {
        let value = value.to_be_bytes();
        let record = RecordRef { timestamp_ms: 1, value: Some(&value), ..RecordRef::default() };
        while producer.try_send(Some(number), &record).is_err() {
            producer.wait_ack().unwrap().result.unwrap();
        }
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
}

/// Polls a consumer once; `None` if it has nothing now.
fn poll(consumer: &mut GroupConsumer) -> Option<GroupEvent> {
    let waker = std::task::Waker::noop();
    match consumer.poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(event) => Some(event.unwrap()),
        std::task::Poll::Pending => None,
    }
}

/// Polls consumers in turn until `is_done`. Returns their events, each with the index of its consumer.
fn poll_until(
    consumers: &mut [GroupConsumer],
    mut is_done: impl FnMut(&mut [GroupConsumer], &[(usize, GroupEvent)]) -> bool,
) -> Vec<(usize, GroupEvent)> {
    let (begun, mut events) = (Instant::now(), Vec::new());
    while !is_done(consumers, &events) {
        assert!(begun.elapsed() < PATIENCE, "{events:?}");
        let mut has_news = false;
        for (index, consumer) in consumers.iter_mut().enumerate() {
            if let Some(event) = poll(consumer) {
                has_news = true;
                events.push((index, event));
            }
        }
        if !has_news {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    events
}

/// Polls until the consumers have this number of partitions each, in any order.
fn settle(consumers: &mut [GroupConsumer], mut counts: Vec<usize>) -> Vec<(usize, GroupEvent)> {
    counts.sort_unstable();
    poll_until(consumers, |consumers, _| {
        let mut found: Vec<usize> = consumers.iter().map(|consumer| consumer.assignment().len()).collect();
        found.sort_unstable();
        found == counts
    })
}

/// Returns the offsets of the records in the events, by partition.
fn offsets(events: &[(usize, GroupEvent)], number: u32) -> Vec<i64> {
    let records = events.iter().filter_map(|(_, event)| match event {
        GroupEvent::Records(records) if records.partition == partition(number) => Some(records),
        _ => None,
    });
    records.flat_map(|records| records.fetched.records().map(|record| record.unwrap().offset)).collect()
}
