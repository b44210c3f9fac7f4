//! The commit that a group has stored is the last one that its consumer has sent, also if an earlier one is answered late.

use super::{
    PATIENCE, commit_of, committed, config, data_dir, hold, member, partition, poll, poll_until, produce,
    settings, settle,
};
use std::future::Future as _;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use vnotch_engine::client::{GroupConsumer, GroupConsumerConfig, GroupEvent};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::engine::Engine;

const HOUR: Duration = Duration::from_secs(3_600);

/// Returns an engine with one shard, and two partitions of 100 records.
fn one_shard(path: &Path) -> Engine {
    let engine = Engine::open(config(path, 1)).unwrap();
    engine.create_topic("t", 2, TopicConfig::default()).unwrap();
    produce(&engine, 0, 100);
    produce(&engine, 1, 100);
    engine
}

/// Polls until all records were returned.
fn read_all(members: &mut [GroupConsumer]) {
    poll_until(members, |members, _| {
        let position = |number| members[0].position(&partition(number)).map(|position| position.offset);
        position(0) == Some(100) && position(1) == Some(100)
    });
}

/// Sends a commit of all positions, and does not wait for the answer. The shard that answers is held.
fn begin_commit(consumer: &mut GroupConsumer) {
    let mut commit = pin!(consumer.commit());
    assert!(commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[test]
fn a_commit_below_one_that_was_not_awaited_is_sent_and_stays() {
    let dir = data_dir();
    let engine = one_shard(dir.path());
    let mut members = vec![member(&engine, settings("g"))];
    read_all(&mut members);
    members[0].wait_commit_offsets(vec![commit_of(0, 50)]).unwrap();
    let held = hold(&engine, 0);
    begin_commit(&mut members[0]);
    members[0].seek(&partition(0), 50).unwrap();
    drop(held);
    members[0].wait_commit().unwrap();
    // Commits of a group are stored in their order: the one of offset 100 is stored, too, once this one is.
    members[0].wait_commit_offsets(vec![commit_of(1, 7)]).unwrap();
    assert_eq!(committed(&engine, "g"), [(0, 50), (1, 7)]);
}

#[test]
fn an_answer_to_an_earlier_commit_does_not_say_what_is_stored() {
    let dir = data_dir();
    let engine = one_shard(dir.path());
    let mut members = vec![member(&engine, settings("g"))];
    read_all(&mut members);
    let held = hold(&engine, 0);
    begin_commit(&mut members[0]);
    drop(held);
    // Once the commit is visible, its answer waits for the consumer.
    poll_until(&mut [], |_, _| committed(&engine, "g").contains(&(0, 100)));
    let held = hold(&engine, 0);
    members[0].seek(&partition(0), 50).unwrap();
    // This sends the second commit before it takes the answer to the first one.
    begin_commit(&mut members[0]);
    members[0].seek(&partition(0), 100).unwrap();
    drop(held);
    members[0].wait_commit().unwrap();
    members[0].wait_commit_offsets(vec![commit_of(1, 7)]).unwrap();
    assert_eq!(committed(&engine, "g"), [(0, 100), (1, 7)]);
}

#[test]
fn a_close_commits_below_an_automatic_commit_in_flight() {
    let dir = data_dir();
    let engine = one_shard(dir.path());
    let every = Duration::from_millis(300);
    let mut members =
        vec![member(&engine, GroupConsumerConfig { auto_commit: Some(every), ..settings("g") })];
    read_all(&mut members);
    members[0].wait_commit_offsets(vec![commit_of(0, 50)]).unwrap();
    std::thread::sleep(every);
    let held = hold(&engine, 0);
    // This poll commits offset 100.
    assert!(poll(&mut members[0]).is_none());
    members[0].seek(&partition(0), 50).unwrap();
    drop(held);
    members.pop().unwrap().close().unwrap();
    assert_eq!(committed(&engine, "g"), [(0, 50), (1, 100)]);
}

/// Returns a member whose partitions were revoked, and which has committed offset 3 of partition 0 since, and the member for
/// which they were revoked. Their automatic commits come only before partitions go.
fn revoked(engine: &Engine) -> Vec<GroupConsumer> {
    let config = GroupConsumerConfig { auto_commit: Some(HOUR), ..settings("g") };
    let mut members = vec![member(engine, config.clone())];
    read_all(&mut members);
    members.push(member(engine, config));
    let is_revoked = |(index, event): &(usize, GroupEvent)| {
        *index == 0 && matches!(event, GroupEvent::Revoked(partitions) if partitions.len() == 2)
    };
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "nothing is revoked");
        // Polled one after the other, so that the first one is not polled again after its event.
        let event = poll(&mut members[0]).map(|event| (0, event));
        if event.as_ref().is_some_and(is_revoked) {
            members[0].wait_commit_offsets(vec![commit_of(0, 3)]).unwrap();
            return members;
        }
        poll(&mut members[1]);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_the_caller_commits_before_its_partitions_go_is_not_overwritten() {
    let dir = data_dir();
    let engine = one_shard(dir.path());
    let mut members = revoked(&engine);
    settle(&mut members, vec![1, 1]);
    assert_eq!(committed(&engine, "g"), [(0, 3), (1, 100)]);
}

#[test]
fn a_close_does_not_overwrite_what_the_caller_has_committed_before_its_partitions_go() {
    let dir = data_dir();
    let engine = one_shard(dir.path());
    let mut members = revoked(&engine);
    members.remove(0).close().unwrap();
    assert_eq!(committed(&engine, "g"), [(0, 3), (1, 100)]);
}
