//! Commits, positions and resets.

use super::{
    committed, data_dir, member, offsets, open, partition, poll_until, produce, settings, settle, with_topic,
};
use std::time::{Duration, Instant};
use vnotch_engine::client::{AutoOffsetReset, Commit, GroupConsumerConfig, GroupEvent, GroupsError};
use vnotch_engine::types::ConsumerPosition;

#[test]
fn a_restarted_member_resumes_where_it_had_committed() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 2);
    produce(&engine, 0, 50);
    let mut members = vec![member(&engine, settings("g"))];
    // The position in the empty partition is asked for as well, and may be known later.
    poll_until(&mut members, |members, events| {
        offsets(events, 0).len() == 50 && members[0].position(&partition(1)).is_some()
    });
    assert_eq!(members[0].position(&partition(0)).unwrap().offset, 50);
    assert_eq!(members[0].lag(&partition(0)), Some(0));
    members[0].wait_commit().unwrap();
    assert_eq!(members[0].committed(&[partition(0), partition(1)]).unwrap().len(), 2);
    members.pop().unwrap().close().unwrap();
    engine.close().unwrap();
    let engine = open(dir.path());
    assert_eq!(committed(&engine, "g"), [(0, 50), (1, 0)]);
    let mut members = vec![member(&engine, settings("g"))];
    // A member that finds no record knows that it lags behind none.
    poll_until(&mut members, |members, _| members[0].lag(&partition(0)) == Some(0));
    produce(&engine, 0, 10);
    let events = poll_until(&mut members, |_, events| offsets(events, 0).len() == 10);
    assert_eq!(offsets(&events, 0), (50..60).collect::<Vec<_>>());
}

#[test]
fn an_automatic_commit_waits_for_the_answer_to_the_one_before() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    produce(&engine, 0, 30);
    let auto_commit = Some(Duration::from_nanos(1));
    let config = GroupConsumerConfig { auto_commit, reports_commits: true, ..settings("g") };
    let mut members = vec![member(&engine, config)];
    poll_until(&mut members, |_, events| offsets(events, 0).len() == 30);
    // The next poll commits the records. The shard answers after the stall.
    engine.stall_shard(0, Duration::from_millis(200)).unwrap();
    let is_committed = |events: &[(usize, GroupEvent)]| {
        events.iter().filter(|(_, event)| matches!(event, GroupEvent::Committed { .. })).count()
    };
    let begun = Instant::now();
    let mut events = Vec::new();
    while begun.elapsed() < Duration::from_millis(100) {
        events.extend(super::poll(&mut members[0]).map(|event| (0, event)));
    }
    if is_committed(&events) == 0 {
        events.extend(poll_until(&mut members, |_, events| is_committed(events) > 0));
    }
    assert!(is_committed(&events) <= 3, "{} commits", is_committed(&events));
}

#[test]
fn an_automatic_commit_covers_only_what_an_earlier_poll_has_returned() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    produce(&engine, 0, 30);
    let config = GroupConsumerConfig { auto_commit: Some(Duration::from_nanos(1)), ..settings("g") };
    let mut members = vec![member(&engine, config)];
    poll_until(&mut members, |_, events| !offsets(events, 0).is_empty());
    // The records were returned by the last poll, so nobody has said yet that they are processed.
    let before: i64 = committed(&engine, "g").iter().map(|(_, offset)| *offset).sum();
    assert_eq!(before, 0);
    poll_until(&mut members, |_, _| committed(&engine, "g").iter().any(|(_, offset)| *offset > 0));
    let position = members[0].position(&partition(0)).unwrap().offset;
    members.pop().unwrap().close().unwrap();
    assert_eq!(committed(&engine, "g"), [(0, position)], "the close commits what was read");
}

#[test]
fn automatic_commits_are_reported_if_the_caller_asks_for_it() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    produce(&engine, 0, 30);
    let config = GroupConsumerConfig {
        auto_commit: Some(Duration::from_nanos(1)),
        reports_commits: true,
        ..settings("g")
    };
    let clients = engine.group_clients().unwrap();
    let mut members =
        vec![clients.consumer(config, vnotch_engine::client::Subscribe::topics(["t"])).unwrap()];
    assert!(members[0].is_rebalancing(), "it has not joined");
    let last = |event: &GroupEvent| match event {
        GroupEvent::Committed { commits, .. } => commits.iter().map(|commit| commit.position.offset).max(),
        _ => None,
    };
    poll_until(&mut members, |_, events| events.iter().any(|(_, event)| last(event) == Some(30)));
    assert!(!members[0].is_rebalancing());
    assert_eq!(committed(&engine, "g"), [(0, 30)]);
}

#[test]
fn a_commit_beyond_the_end_is_accepted_and_reset_when_the_group_resumes() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    produce(&engine, 0, 20);
    let admin = engine.group_admin().unwrap();
    let position = ConsumerPosition { offset: 500, leader_epoch: None };
    admin.commit("g", &[Commit { partition: partition(0), position, metadata: None }]).unwrap();
    for (reset, expected) in [(AutoOffsetReset::Earliest, 0), (AutoOffsetReset::Latest, 20)] {
        let mut members =
            vec![member(&engine, GroupConsumerConfig { auto_offset_reset: reset, ..settings("g") })];
        let is_reset =
            |event: &GroupEvent| matches!(event, GroupEvent::Reset { from: 500, to, .. } if *to == expected);
        poll_until(&mut members, |_, events| events.iter().any(|(_, event)| is_reset(event)));
        members.pop().unwrap().close().unwrap();
    }
    let config = GroupConsumerConfig { auto_offset_reset: AutoOffsetReset::None, ..settings("g") };
    let mut consumer = member(&engine, config);
    assert!(matches!(consumer.wait().unwrap(), GroupEvent::Assigned(_)));
    assert!(matches!(consumer.wait(), Err(GroupsError::Fetch { .. })));
    consumer.seek(&partition(0), 5).unwrap();
    let GroupEvent::Records(records) = consumer.wait().unwrap() else { panic!("records follow a seek") };
    assert_eq!(records.fetched.from_offset, 5);
}

#[test]
fn without_a_commit_and_without_a_reset_the_caller_is_told() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let config = GroupConsumerConfig { auto_offset_reset: AutoOffsetReset::None, ..settings("g") };
    let mut consumer = member(&engine, config);
    assert!(matches!(consumer.wait().unwrap(), GroupEvent::Assigned(_)));
    let error = consumer.wait().unwrap_err();
    assert!(
        matches!(&error, GroupsError::NoOffset { partition: found } if *found == partition(0)),
        "{error}"
    );
}

#[test]
fn a_log_that_was_cut_below_a_commit_is_reported() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    produce(&engine, 0, 20);
    let admin = engine.group_admin().unwrap();
    // The end of a log that has lost records: the commit was made at offset 100 in the epoch of this open.
    let position = ConsumerPosition { offset: 100, leader_epoch: Some(1) };
    admin.commit("g", &[Commit { partition: partition(0), position, metadata: None }]).unwrap();
    let mut consumer = member(&engine, settings("g"));
    assert!(matches!(consumer.wait().unwrap(), GroupEvent::Assigned(_)));
    let error = consumer.wait().unwrap_err();
    let GroupsError::Fetch { error, .. } = error else { panic!("{error}") };
    let expected =
        matches!(error, vnotch_engine::error::FetchError::LogTruncated { position: 100, cut_to: 20, .. });
    assert!(expected, "{error}");
}

#[test]
fn a_caller_can_commit_before_its_partitions_go() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 2);
    produce(&engine, 0, 10);
    produce(&engine, 1, 10);
    let mut members = vec![member(&engine, settings("g"))];
    poll_until(&mut members, |_, events| offsets(events, 0).len() == 10 && offsets(events, 1).len() == 10);
    members.push(member(&engine, settings("g")));
    let mut has_committed = false;
    while !has_committed {
        for consumer in &mut members {
            if let Some(GroupEvent::Revoked(partitions)) = super::poll(consumer) {
                assert_eq!(partitions, [partition(0), partition(1)]);
                consumer.wait_commit().unwrap();
                has_committed = true;
            }
        }
    }
    assert_eq!(committed(&engine, "g"), [(0, 10), (1, 10)]);
    let events = settle(&mut members, vec![1, 1]);
    assert!(offsets(&events, 0).is_empty() && offsets(&events, 1).is_empty(), "nothing is read twice");
}

#[test]
fn a_topic_that_is_created_again_is_read_from_its_beginning() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    produce(&engine, 0, 50);
    let mut members = vec![member(&engine, settings("g"))];
    poll_until(&mut members, |_, events| offsets(events, 0).len() == 50);
    members[0].wait_commit().unwrap();
    members.pop().unwrap().close().unwrap();
    assert_eq!(committed(&engine, "g"), [(0, 50)]);
    engine.delete_topic("t").unwrap();
    assert!(committed(&engine, "g").is_empty());
    engine.create_topic("t", 1, vnotch_engine::config::TopicConfig::default()).unwrap();
    produce(&engine, 0, 80);
    let mut members = vec![member(&engine, settings("g"))];
    let events = poll_until(&mut members, |_, events| offsets(events, 0).len() == 80);
    assert_eq!(offsets(&events, 0), (0..80).collect::<Vec<_>>());
}

#[test]
fn a_member_that_the_group_has_removed_cannot_commit() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    produce(&engine, 0, 10);
    let config = GroupConsumerConfig { max_poll_interval: Duration::from_millis(500), ..settings("g") };
    let mut members = vec![member(&engine, config)];
    let not_yet = members[0].wait_commit();
    assert!(matches!(not_yet, Err(GroupsError::NotMember)), "{not_yet:?}");
    poll_until(&mut members, |_, events| offsets(events, 0).len() >= 10);
    let admin = engine.group_admin().unwrap();
    let begun = std::time::Instant::now();
    while !admin.describe("g").unwrap().members.is_empty() {
        assert!(begun.elapsed() < super::PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    // Another consumer has read on meanwhile. The group is empty, so it takes commits without a member.
    let position = ConsumerPosition { offset: 10, leader_epoch: None };
    admin.commit("g", &[Commit { partition: partition(0), position, metadata: None }]).unwrap();
    assert!(matches!(super::poll(&mut members[0]), Some(GroupEvent::Lost(_))));
    let old = Commit { partition: partition(0), position: 3.into(), metadata: None };
    for outcome in [members[0].wait_commit_offsets(vec![old]), members[0].wait_commit()] {
        assert!(matches!(outcome, Err(GroupsError::NotMember)), "{outcome:?}");
    }
    assert_eq!(committed(&engine, "g"), [(0, 10)]);
}

#[test]
fn a_member_can_ask_for_offsets_while_the_groups_are_still_being_read() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let admin = engine.group_admin().unwrap();
    let commit = Commit { partition: partition(0), position: 7.into(), metadata: Some("x".repeat(4_000)) };
    for _ in 0..200 {
        admin.commit("g", std::slice::from_ref(&commit)).unwrap();
    }
    engine.close().unwrap();
    let engine = open(dir.path());
    let mut consumer = member(&engine, settings("g"));
    assert_eq!(consumer.committed(&[partition(0)]).unwrap(), [commit]);
}

#[test]
fn a_paused_partition_returns_nothing_until_it_is_resumed() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 2);
    let mut members = vec![member(&engine, settings("g"))];
    settle(&mut members, vec![2]);
    members[0].pause(&partition(0)).unwrap();
    produce(&engine, 0, 10);
    produce(&engine, 1, 10);
    let events = poll_until(&mut members, |_, events| offsets(events, 1).len() == 10);
    assert!(offsets(&events, 0).is_empty());
    members[0].resume(&partition(0)).unwrap();
    poll_until(&mut members, |_, events| offsets(events, 0).len() == 10);
}
