//! Groups whose own commits lie above a cut of the log.

use super::{committed, data_dir, member, open, partition, poll_until, settings};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vnotch_engine::client::{AutoOffsetReset, GroupConsumerConfig, GroupEvent, GroupsError, ProducerConfig};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::error::FetchError;
use vnotch_engine::record::{RecordRef, batches};
use vnotch_engine::types::{ConsumerPosition, Durability};

/// Automatic commits at each poll.
const ALWAYS: Option<Duration> = Some(Duration::from_nanos(1));

/// Returns an engine with topic `t`, whose acked records a power loss can take, and `count` records in it.
fn created(path: &Path, count: usize) -> Engine {
    let engine = open(path);
    let config = TopicConfig {
        durability: Durability::Written,
        segment_bytes: 1 << 20,
        max_message_bytes: 256 << 10,
        ..TopicConfig::default()
    };
    engine.create_topic("t", 1, config).unwrap();
    append(&engine, count);
    engine
}

/// Appends records. Each is a batch.
fn append(engine: &Engine, count: usize) {
    let config = ProducerConfig { batch_records_max: 1, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    for _ in 0..count {
        let record = RecordRef { timestamp_ms: 1, value: Some(&[7; 1000]), ..RecordRef::default() };
        while producer.try_send(Some(0), &record).is_err() {
            producer.wait_ack().unwrap().result.unwrap();
        }
    }
    for ack in producer.wait_all() {
        ack.result.unwrap();
    }
}

/// Returns the last segment of partition 0.
fn last_segment(dir: &Path) -> PathBuf {
    let names = fs::read_dir(dir.join("t-0")).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|it| it == "log")).max().unwrap()
}

/// Removes the last `count` batches of a log whose engine was dropped, as a power loss does. The recovery points are lost as
/// well.
fn lose(dir: &Path, count: usize) {
    let log = last_segment(dir);
    let mut ends = vec![0];
    for batch in batches(&fs::read(&log).unwrap()).map_while(Result::ok) {
        ends.push(ends.last().unwrap() + batch.bytes().len() as u64);
    }
    let file = fs::File::options().write(true).open(log).unwrap();
    file.set_len(ends[ends.len() - 1 - count]).unwrap();
    for name in ["recovery-0.a", "recovery-0.b", "recovery-1.a", "recovery-1.b"] {
        let _ = fs::remove_file(dir.join(name));
    }
}

/// Cuts the log by `count` records, and appends more, which take the offsets of the lost ones. Checks that the group reports the cut
/// when it resumes.
#[track_caller]
fn assert_cut_is_reported(dir: &Path, engine: Engine, committed: i64, count: usize) {
    drop(engine);
    lose(dir, count);
    let engine = open(dir);
    append(&engine, 2 * count);
    let mut consumer = member(&engine, settings("g"));
    assert!(matches!(consumer.wait().unwrap(), GroupEvent::Assigned(_)));
    let outcome = consumer.wait();
    let Err(GroupsError::Fetch { error: FetchError::LogTruncated { position, cut_to, .. }, .. }) = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!((position, cut_to), (committed, committed - i64::try_from(count).unwrap()));
}

#[test]
fn a_log_that_was_cut_below_a_commit_of_a_consumer_is_reported() {
    for auto_commit in [None, ALWAYS] {
        let dir = data_dir();
        let engine = created(dir.path(), 100);
        let mut members = vec![member(&engine, GroupConsumerConfig { auto_commit, ..settings("g") })];
        poll_until(&mut members, |members, _| {
            members[0].position(&partition(0)).is_some_and(|position| position.offset == 100)
        });
        if auto_commit.is_none() {
            members[0].wait_commit().unwrap();
        }
        poll_until(&mut members, |_, _| committed(&engine, "g") == [(0, 100)]);
        members.pop().unwrap().close().unwrap();
        assert_cut_is_reported(dir.path(), engine, 100, 30);
    }
}

/// The first commit has no epoch: no fetch has found the offset in the log yet.
#[test]
fn a_commit_of_a_position_from_which_nothing_was_read_has_an_epoch_once_the_log_is_known_to_reach_it() {
    for auto_offset_reset in [AutoOffsetReset::Latest, AutoOffsetReset::None] {
        let dir = data_dir();
        let engine = created(dir.path(), 100);
        let config = GroupConsumerConfig { auto_commit: ALWAYS, auto_offset_reset, ..settings("g") };
        let mut members = vec![member(&engine, config)];
        assert!(matches!(members[0].wait().unwrap(), GroupEvent::Assigned(_)));
        if auto_offset_reset == AutoOffsetReset::None {
            members[0].seek(&partition(0), 100).unwrap();
        }
        let expected = ConsumerPosition { offset: 100, leader_epoch: Some(1) };
        poll_until(&mut members, |_, _| {
            let stored = engine.group_admin().unwrap().offsets("g").unwrap();
            stored.first().is_some_and(|commit| commit.position == expected)
        });
        members.pop().unwrap().close().unwrap();
        assert_cut_is_reported(dir.path(), engine, 100, 30);
    }
}
