//! Members come, leave and are lost.

use super::{PATIENCE, member, poll};
use super::{data_dir, offsets, partition, poll_until, produce, settings, settle, with_topic};
use std::time::{Duration, Instant};
use vnotch_engine::client::{ConsumerConfig, GroupConsumer, GroupConsumerConfig, GroupEvent, Subscribe};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::group::Assignor;

#[test]
fn two_members_share_the_partitions_and_one_gets_all_when_the_other_leaves() {
    for assignor in Assignor::ALL {
        let dir = data_dir();
        let engine = with_topic(dir.path(), 4);
        for number in 0..4 {
            produce(&engine, number, 100);
        }
        let config = GroupConsumerConfig { assignors: vec![assignor], ..settings("shared") };
        let mut members = vec![member(&engine, config.clone()), member(&engine, config)];
        let mut events = settle(&mut members, vec![2, 2]);
        events.extend(poll_until(&mut members, |_, seen| {
            let all = |number| offsets(&events, number).into_iter().chain(offsets(seen, number)).max();
            (0..4).all(|number| all(number) == Some(99))
        }));
        members.pop().unwrap().close().unwrap();
        settle(&mut members, vec![4]);
        let admin = engine.group_admin().unwrap();
        assert_eq!(admin.describe("shared").unwrap().members.len(), 1);
        members.pop().unwrap().close().unwrap();
        assert_eq!(admin.describe("shared").unwrap().state, "Empty", "{assignor:?}");
    }
}

#[test]
fn a_member_that_is_dropped_loses_its_partitions_when_its_session_ends() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 2);
    let config = GroupConsumerConfig { session_timeout: Duration::from_millis(300), ..settings("g") };
    let mut members = vec![member(&engine, config.clone()), member(&engine, config)];
    settle(&mut members, vec![1, 1]);
    let dropped = Instant::now();
    drop(members.pop());
    settle(&mut members, vec![2]);
    assert!(dropped.elapsed() >= Duration::from_millis(100), "the session has not ended before");
    assert!(dropped.elapsed() < PATIENCE);
}

#[test]
fn a_member_that_does_not_poll_keeps_its_session_and_leaves_after_the_longest_time_between_polls() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let config = GroupConsumerConfig {
        session_timeout: Duration::from_millis(400),
        max_poll_interval: Duration::from_secs(2),
        ..settings("g")
    };
    let mut members = vec![member(&engine, config)];
    settle(&mut members, vec![1]);
    let admin = engine.group_admin().unwrap();
    let polled = Instant::now();
    while polled.elapsed() < Duration::from_secs(1) {
        assert_eq!(admin.describe("g").unwrap().members.len(), 1, "heartbeats are sent without polls");
        std::thread::sleep(Duration::from_millis(50));
    }
    while !admin.describe("g").unwrap().members.is_empty() {
        assert!(polled.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    let events = poll_until(&mut members, |_, events| {
        events.iter().any(|(_, event)| matches!(event, GroupEvent::Assigned(_)))
    });
    let (_, GroupEvent::Lost(lost)) = &events[0] else { panic!("{events:?}") };
    assert_eq!(*lost, [partition(0)], "and the member joins again");
}

#[test]
fn a_member_whose_last_poll_is_pending_leaves_after_the_longest_time_between_polls() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let config = GroupConsumerConfig { max_poll_interval: Duration::from_secs(1), ..settings("g") };
    let mut members = vec![member(&engine, config)];
    settle(&mut members, vec![1]);
    while poll(&mut members[0]).is_some() {}
    let admin = engine.group_admin().unwrap();
    let polled = Instant::now();
    while !admin.describe("g").unwrap().members.is_empty() {
        assert!(polled.elapsed() < PATIENCE, "the pending poll holds the partition");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(polled.elapsed() >= Duration::from_millis(500), "it had time to poll");
    let Some(GroupEvent::Lost(lost)) = poll(&mut members[0]) else { panic!("the partition is lost") };
    assert_eq!(lost, [partition(0)]);
    settle(&mut members, vec![1]);
}

#[test]
fn a_member_that_waits_for_records_stays_in_its_group() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let config = GroupConsumerConfig {
        max_poll_interval: Duration::from_secs(1),
        fetch: ConsumerConfig { max_wait: Duration::MAX, ..ConsumerConfig::default() },
        ..settings("g")
    };
    let mut members = vec![member(&engine, config)];
    settle(&mut members, vec![1]);
    let mut consumer = members.pop().unwrap();
    let id = consumer.member().unwrap().0.to_owned();
    let waiting = std::thread::spawn(move || (consumer.wait(), consumer));
    let admin = engine.group_admin().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(3_500) {
        let members = admin.describe("g").unwrap().members;
        assert_eq!(members.iter().map(|member| &member.id).collect::<Vec<_>>(), [&id]);
        std::thread::sleep(Duration::from_millis(50));
    }
    produce(&engine, 0, 1);
    let (event, _consumer) = waiting.join().unwrap();
    assert!(matches!(event, Ok(GroupEvent::Records(_))), "{event:?}");
}

fn static_member(engine: &Engine, name: &str, subscribe: Subscribe) -> GroupConsumer {
    let config = GroupConsumerConfig { group_instance_id: Some(name.to_owned()), ..settings("g") };
    engine.group_consumer(config, subscribe).unwrap()
}

#[test]
fn partitions_that_were_added_while_a_static_leader_was_away_are_read() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 2);
    let mut members = vec![static_member(&engine, "a", Subscribe::topics(["t"]))];
    settle(&mut members, vec![2]);
    members.pop();
    engine.create_partitions("t", 3).unwrap();
    produce(&engine, 2, 5);
    let mut members = vec![static_member(&engine, "a", Subscribe::topics(["t"]))];
    poll_until(&mut members, |_, events| offsets(events, 2).len() == 5);
}

#[test]
fn a_static_leader_that_returns_keeps_the_generation_if_nothing_was_added() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 2);
    let mut members = vec![static_member(&engine, "a", Subscribe::topics(["t"]))];
    settle(&mut members, vec![2]);
    let generation = members.pop().unwrap().member().unwrap().1;
    let mut members = vec![static_member(&engine, "a", Subscribe::topics(["t"]))];
    settle(&mut members, vec![2]);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        poll(&mut members[0]);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(members[0].member().unwrap().1, generation);
}

#[test]
fn a_topic_that_was_created_while_a_static_member_was_away_is_read() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let mut members = vec![
        static_member(&engine, "a", Subscribe::topics(["t"])),
        static_member(&engine, "b", Subscribe::prefix("u")),
    ];
    settle(&mut members, vec![0, 1]);
    // The one that leads stays, and does not mean the new topic.
    members.pop();
    engine.create_topic("u", 1, TopicConfig::default()).unwrap();
    members.push(static_member(&engine, "b", Subscribe::prefix("u")));
    settle(&mut members, vec![1, 1]);
}

#[test]
fn a_cooperative_member_reads_on_while_another_joins_and_only_what_moves_is_revoked() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 4);
    let config = GroupConsumerConfig { assignors: vec![Assignor::CooperativeSticky], ..settings("g") };
    let mut members = vec![member(&engine, config.clone())];
    settle(&mut members, vec![4]);
    members.push(member(&engine, config));
    let events = settle(&mut members, vec![2, 2]);
    let revoked: Vec<usize> = events
        .iter()
        .filter_map(|(_, event)| match event {
            GroupEvent::Revoked(partitions) => Some(partitions.len()),
            _ => None,
        })
        .collect();
    assert_eq!(revoked, [2]);
}

#[test]
fn a_pattern_finds_topics_that_are_created_later_and_partitions_that_are_added() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let config = GroupConsumerConfig { metadata_max_age: Duration::from_millis(20), ..settings("g") };
    let mut members = vec![engine.group_consumer(config, Subscribe::prefix("t")).unwrap()];
    settle(&mut members, vec![1]);
    engine.create_topic("t2", 2, TopicConfig::default()).unwrap();
    engine.create_topic("other", 2, TopicConfig::default()).unwrap();
    settle(&mut members, vec![3]);
    engine.create_partitions("t", 3).unwrap();
    settle(&mut members, vec![5]);
}
