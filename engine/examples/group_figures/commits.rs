//! Commits of 64 groups with one partition each, on one shard.

use crate::{Figures, PARTITIONS, open};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::path::Path;
use std::time::{Duration, Instant};
use vnotch_engine::client::{Commit, GroupConsumer, GroupConsumerConfig, GroupEvent, Subscribe};
use vnotch_engine::engine::Engine;
use vnotch_engine::types::{Durability, TopicPartition};

/// Length of the measurement, after a warm-up.
const WINDOW: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_secs(1);

/// Commit requests per second that one shard has to take at the level `written`.
const RATE_MIN: u64 = 20_000;
/// Least number of requests for one flush at the level `synced`.
const REQUESTS_A_FLUSH_MIN: u64 = 4;

pub(super) fn measure(dir: &Path, figures: &mut Figures) {
    let (rate, _) = commit_for(dir, Durability::Written);
    figures.judge(
        &format!("written: {rate} commit requests/s of 64 groups, one request each at a time"),
        rate >= RATE_MIN,
        &format!("at least {RATE_MIN}/s"),
    );
    let (rate, flushes) = commit_for(dir, Durability::Synced);
    let is_met = flushes * REQUESTS_A_FLUSH_MIN <= rate;
    figures.judge(
        &format!("synced: {rate} commit requests/s, {flushes} flushes/s"),
        is_met,
        "at most one flush for 4 requests",
    );
}

/// Commits from 64 groups, each as soon as its last commit is answered. Returns the requests and the flushes per second.
fn commit_for(dir: &Path, level: Durability) -> (u64, u64) {
    let engine = open(dir, &format!("commits-{level:?}"), 1, level);
    let make = |number: u32| {
        let config =
            GroupConsumerConfig { auto_commit: None, ..GroupConsumerConfig::new(format!("group-{number}")) };
        let mut consumer = engine.group_consumer(config, Subscribe::topics(["t"])).unwrap();
        // Only a member may commit.
        while !matches!(consumer.wait().unwrap(), GroupEvent::Assigned(_)) {}
        (number, consumer, 0_i64)
    };
    let mut groups: Vec<_> = (0..PARTITIONS).map(make).collect();
    commit_until(&mut groups, Instant::now() + WARM_UP);
    let (begun, syncs) = (Instant::now(), syncs(&engine));
    let count = commit_until(&mut groups, begun + WINDOW);
    let passed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let flushes = self::syncs(&engine) - syncs;
    drop(groups);
    engine.close().unwrap();
    (count * 1_000 / passed_ms, flushes * 1_000 / passed_ms)
}

fn syncs(engine: &Engine) -> u64 {
    engine.stats().iter().map(|shard| shard.writes.syncs).sum()
}

/// Commits the next offset of each group's own partition until `end`. Returns the number of commits.
fn commit_until(groups: &mut [(u32, GroupConsumer, i64)], end: Instant) -> u64 {
    let commit_all = groups.iter_mut().map(|(number, consumer, offset)| async move {
        let mut count = 0_u64;
        while Instant::now() < end {
            *offset += 1;
            let partition = TopicPartition { topic: "t".into(), partition: *number };
            let commit = Commit { partition, position: (*offset).into(), metadata: None };
            consumer.commit_offsets(vec![commit]).await.unwrap();
            count += 1;
        }
        count
    });
    let mut running: FuturesUnordered<_> = commit_all.collect();
    pollster::block_on(async move {
        let mut sum = 0;
        while let Some(count) = running.next().await {
            sum += count;
        }
        sum
    })
}
