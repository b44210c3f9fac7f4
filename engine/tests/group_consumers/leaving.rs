//! Consumers that end before they have joined: no rebalance waits for the ids that they were given.

use super::{data_dir, hold, member, poll, settings, settle, with_topic};
use std::time::Duration;
use vnotch_engine::client::{GroupConsumer, GroupConsumerConfig};
use vnotch_engine::engine::Engine;

/// Returns two members that share the partitions, and a consumer whose first JoinGroup is not answered yet or whose answer it has
/// not seen. A rebalance would wait for the id in that answer longer than a test does.
fn group(engine: &Engine) -> (Vec<GroupConsumer>, GroupConsumer) {
    let mut members = vec![member(engine, settings("g")), member(engine, settings("g"))];
    settle(&mut members, vec![1, 1]);
    let session_timeout = Duration::from_secs(1_500);
    let mut joining = member(engine, GroupConsumerConfig { session_timeout, ..settings("g") });
    let held = [hold(engine, 0), hold(engine, 1)];
    assert!(poll(&mut joining).is_none());
    drop(held);
    (members, joining)
}

/// Checks that a rebalance ends when one of two members leaves.
fn assert_rebalances(mut members: Vec<GroupConsumer>) {
    members.pop().unwrap().close().unwrap();
    settle(&mut members, vec![2]);
}

#[test]
fn a_consumer_that_closes_after_its_first_poll_holds_up_no_rebalance() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 2);
    let (members, joining) = group(&engine);
    joining.close().unwrap();
    assert_rebalances(members);
}

#[test]
fn a_consumer_that_is_dropped_after_the_reply_to_its_first_join_holds_up_no_rebalance() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 2);
    let (members, joining) = group(&engine);
    // The coordinator answers in order, so the id is on its way back once this is answered.
    engine.group_admin().unwrap().describe("g").unwrap();
    drop(joining);
    assert_rebalances(members);
}

#[test]
fn a_consumer_that_is_dropped_while_it_joins_leaves() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 2);
    let (members, mut joining) = group(&engine);
    let admin = engine.group_admin().unwrap();
    admin.describe("g").unwrap();
    // It has its id now, and sends its second JoinGroup. The others are not polled, so that the group waits for them.
    assert!(poll(&mut joining).is_none());
    assert_eq!(admin.describe("g").unwrap().members.len(), 3);
    drop(joining);
    assert_eq!(admin.describe("g").unwrap().members.len(), 2);
    assert_rebalances(members);
}
