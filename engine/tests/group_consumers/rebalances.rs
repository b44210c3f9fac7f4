//! A member during and after a rebalance: its automatic commits, its pauses and its positions.

use super::{
    commit_of, committed, data_dir, hold, member, offsets, partition, poll, poll_until, produce, settings,
    settle, with_topic,
};
use std::time::{Duration, Instant};
use vnotch_engine::client::{GroupConsumer, GroupConsumerConfig, GroupEvent};
use vnotch_engine::engine::Engine;
use vnotch_engine::group::Assignor;

fn of_assignor(assignor: Assignor) -> GroupConsumerConfig {
    GroupConsumerConfig { assignors: vec![assignor], ..settings("g") }
}

/// Returns two cooperative members of a group that rebalances, with the number of a partition that the first one reads, and a
/// third member. The second one has come last, and the group waits for the third one, which is not polled.
fn waiting_for_a_busy_member(engine: &Engine) -> (Vec<GroupConsumer>, u32, GroupConsumer) {
    let config = GroupConsumerConfig {
        auto_commit: Some(Duration::from_nanos(1)),
        ..of_assignor(Assignor::CooperativeSticky)
    };
    let mut members = vec![member(engine, config.clone()), member(engine, config.clone())];
    settle(&mut members, vec![1, 2]);
    poll_until(&mut members, |members, _| members.iter().all(|member| !member.is_rebalancing()));
    let busy = members.pop().unwrap();
    members.push(member(engine, config));
    poll_until(&mut members, |members, _| members[0].is_rebalancing());
    let kept = members[0].assignment()[0].partition;
    (members, kept, busy)
}

/// Polls all members until each has a partition. None may lose one, or hear that a commit has failed.
fn assert_settles(members: &mut [GroupConsumer]) {
    let events = settle(members, vec![1, 1, 1]);
    let is_bad = |event: &GroupEvent| matches!(event, GroupEvent::Lost(_) | GroupEvent::CommitFailed(_));
    assert!(!events.iter().any(|(_, event)| is_bad(event)), "{events:?}");
}

#[test]
fn a_cooperative_member_commits_automatically_while_it_waits_for_others_to_join() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 3);
    let (mut members, kept, busy) = waiting_for_a_busy_member(&engine);
    produce(&engine, kept, 20);
    let events = poll_until(&mut members, |_, _| committed(&engine, "g").contains(&(kept, 20)));
    assert!(members[0].is_rebalancing(), "the group waits for the busy member");
    assert!(offsets(&events, kept).contains(&19));
    members.push(busy);
    assert_settles(&mut members);
}

#[test]
fn a_commit_that_arrives_after_the_next_generation_has_begun_costs_the_member_nothing() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 3);
    let (mut members, kept, mut busy) = waiting_for_a_busy_member(&engine);
    produce(&engine, kept, 20);
    poll_until(&mut members, |_, events| offsets(events, kept).contains(&19));
    // The answer to a heartbeat tells the busy member about the rebalance.
    std::thread::sleep(Duration::from_millis(200));
    let held = [hold(&engine, 0), hold(&engine, 1)];
    // The busy member joins, and then the first member commits: the coordinator begins the generation in between.
    assert!(poll(&mut busy).is_none());
    assert!(poll(&mut members[0]).is_none());
    drop(held);
    members.push(busy);
    assert_settles(&mut members);
    poll_until(&mut members, |_, _| committed(&engine, "g").contains(&(kept, 20)));
}

/// Returns a member that has read ten records of each of two partitions, and has then paused both and moved back to offset 5.
fn paused_at_5(engine: &Engine, config: GroupConsumerConfig) -> GroupConsumer {
    let mut members = vec![member(engine, config)];
    poll_until(&mut members, |_, events| offsets(events, 0).len() == 10 && offsets(events, 1).len() == 10);
    for number in [0, 1] {
        members[0].pause(&partition(number)).unwrap();
        members[0].seek(&partition(number), 5).unwrap();
    }
    members.pop().unwrap()
}

/// Polls for a while. Returns the events.
fn poll_for(length: Duration, members: &mut [GroupConsumer]) -> Vec<(usize, GroupEvent)> {
    let begun = Instant::now();
    poll_until(members, |_, _| begun.elapsed() >= length)
}

#[test]
fn a_cooperative_member_keeps_the_pause_and_the_position_of_a_partition_that_stays() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 2);
    produce(&engine, 0, 10);
    produce(&engine, 1, 10);
    let config = of_assignor(Assignor::CooperativeSticky);
    let mut members = vec![paused_at_5(&engine, config.clone()), member(&engine, config)];
    let mut events = settle(&mut members, vec![1, 1]);
    let [kept, moved] = [0, 1].map(|index: usize| members[index].assignment()[0].partition);
    events.extend(poll_until(&mut members, |_, events| offsets(events, moved).len() >= 10));
    events.extend(poll_for(Duration::from_millis(200), &mut members));
    assert!(offsets(&events, kept).is_empty(), "it is still paused");
    assert_eq!(offsets(&events, moved), (0..10).collect::<Vec<_>>(), "nothing of it was committed");
    assert_eq!(members[0].position(&partition(kept)).unwrap().offset, 5);
    members[0].resume(&partition(kept)).unwrap();
    let events = poll_until(&mut members, |_, events| offsets(events, kept).len() >= 5);
    assert_eq!(offsets(&events, kept), (5..10).collect::<Vec<_>>());
}

#[test]
fn under_range_all_partitions_go_and_those_that_come_back_begin_at_their_commits_and_are_not_paused() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 2);
    produce(&engine, 0, 10);
    produce(&engine, 1, 10);
    let config = of_assignor(Assignor::Range);
    let mut members = vec![paused_at_5(&engine, config.clone())];
    members[0].wait_commit_offsets(vec![commit_of(0, 7), commit_of(1, 7)]).unwrap();
    members.push(member(&engine, config));
    let mut events = settle(&mut members, vec![1, 1]);
    while [0, 1].iter().any(|number| offsets(&events, *number).len() < 3) {
        events.extend(poll_until(&mut members, |_, events| !events.is_empty()));
    }
    let is_revoked =
        |event: &GroupEvent| matches!(event, GroupEvent::Revoked(partitions) if partitions.len() == 2);
    assert!(events.iter().any(|(index, event)| *index == 0 && is_revoked(event)), "{events:?}");
    for number in [0, 1] {
        assert_eq!(offsets(&events, number), [7, 8, 9]);
    }
}
