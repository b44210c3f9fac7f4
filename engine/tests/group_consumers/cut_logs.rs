//! Groups whose own commits lie above a cut of the log.

use super::lost_end::{append, lose, topic};
use super::{committed, data_dir, member, open, partition, poll_until, settings};
use std::path::Path;
use std::time::Duration;
use vnotch_engine::client::{AutoOffsetReset, GroupConsumerConfig, GroupEvent, GroupsError};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::FetchError;
use vnotch_engine::types::ConsumerPosition;

/// Automatic commits at each poll.
const ALWAYS: Option<Duration> = Some(Duration::from_nanos(1));

/// Returns an engine with topic `t`, whose acked records a power loss can take, and `count` records in it.
fn created(path: &Path, count: usize) -> Engine {
    let engine = open(path);
    engine.create_topic("t", 1, topic()).unwrap();
    append(&engine, count, b'a');
    engine
}

/// Cuts the log by `count` records, and appends more, which take the offsets of the lost ones. Checks that the group reports the cut
/// when it resumes.
#[track_caller]
fn assert_cut_is_reported(dir: &Path, engine: Engine, committed: i64, count: usize) {
    drop(engine);
    lose(dir, count);
    let engine = open(dir);
    append(&engine, 2 * count, b'b');
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
