//! Topics that are deleted and created again while groups read them, and after a crash.

use super::{
    PATIENCE, data_dir, member, offsets, open, partition, poll, poll_until, produce, settings, settle,
    with_topic,
};
use std::path::Path;
use std::time::{Duration, Instant};
use vnotch_engine::client::{Commit, GroupConsumerConfig, GroupEvent, GroupsError, Subscribe};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::group::Assignor;

fn create_again(engine: &Engine, partitions: u32) {
    engine.delete_topic("t").unwrap();
    engine.create_topic("t", partitions, TopicConfig::default()).unwrap();
}

fn committed(engine: &Engine) -> Vec<Commit> {
    engine.group_admin().unwrap().offsets("g").unwrap()
}

fn lost(events: &[(usize, GroupEvent)]) -> usize {
    let lost = |(_, event): &(usize, GroupEvent)| match event {
        GroupEvent::Lost(partitions) => partitions.len(),
        _ => 0,
    };
    events.iter().map(lost).sum()
}

#[test]
fn a_living_member_reads_a_topic_that_is_created_again_from_its_beginning() {
    for (assignor, auto_commit) in
        [(Assignor::Range, None), (Assignor::CooperativeSticky, Some(Duration::from_nanos(1)))]
    {
        let dir = data_dir();
        let engine = with_topic(dir.path(), 1);
        produce(&engine, 0, 50);
        let config = GroupConsumerConfig { assignors: vec![assignor], auto_commit, ..settings("g") };
        let mut members = vec![member(&engine, config)];
        poll_until(&mut members, |_, events| offsets(events, 0).len() == 50);
        members[0].wait_commit().unwrap();
        create_again(&engine, 1);
        assert!(committed(&engine).is_empty());
        produce(&engine, 0, 80);
        let events = poll_until(&mut members, |_, events| offsets(events, 0).len() >= 80);
        assert_eq!(lost(&events), 1, "{events:?}");
        assert_eq!(offsets(&events, 0), (0..80).collect::<Vec<_>>());
        let reset = events.iter().find(|(_, event)| matches!(event, GroupEvent::Reset { .. }));
        assert!(reset.is_none(), "{reset:?}");
        members[0].wait_commit().unwrap();
        assert_eq!(committed(&engine)[0].position.offset, 80);
    }
}

#[test]
fn a_living_member_waits_for_its_topic_to_be_created_again() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    engine.create_topic("u", 1, TopicConfig::default()).unwrap();
    produce(&engine, 0, 50);
    let mut members = vec![engine.group_consumer(settings("g"), Subscribe::topics(["t", "u"])).unwrap()];
    poll_until(&mut members, |_, events| offsets(events, 0).len() == 50);
    engine.delete_topic("t").unwrap();
    let events = settle(&mut members, vec![1]);
    assert_eq!(lost(&events), 1, "{events:?}");
    // The group has assigned without the topic. The member is woken when it is there again.
    let begun = Instant::now();
    while poll(&mut members[0]).is_some() || members[0].is_rebalancing() {
        assert!(begun.elapsed() < PATIENCE);
    }
    let mut consumer = members.pop().unwrap();
    let waiting = std::thread::spawn(move || {
        loop {
            let event = consumer.wait().unwrap();
            if let GroupEvent::Records(records) = event {
                return (records.partition.clone(), records.fetched.from_offset);
            }
        }
    });
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    produce(&engine, 0, 80);
    assert_eq!(waiting.join().unwrap(), (partition(0), 0));
}

#[test]
fn a_group_shares_the_partitions_of_a_topic_that_is_created_again_with_more_of_them() {
    for assignor in Assignor::ALL {
        let dir = data_dir();
        let engine = with_topic(dir.path(), 2);
        let config = GroupConsumerConfig { assignors: vec![assignor], ..settings("g") };
        let mut members = vec![member(&engine, config.clone()), member(&engine, config)];
        settle(&mut members, vec![1, 1]);
        create_again(&engine, 4);
        for number in 0..4 {
            produce(&engine, number, 10);
        }
        let mut events = settle(&mut members, vec![2, 2]);
        let is_read =
            |events: &[(usize, GroupEvent)]| (0..4).all(|number| offsets(events, number).len() >= 10);
        while !is_read(&events) {
            events.extend(poll_until(&mut members, |_, events| !events.is_empty()));
        }
        for number in 0..4 {
            assert_eq!(offsets(&events, number), (0..10).collect::<Vec<_>>(), "{assignor:?}");
        }
    }
}

#[test]
fn positions_in_an_earlier_topic_of_the_same_name_are_not_committed() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    produce(&engine, 0, 50);
    let mut members = vec![member(&engine, settings("g"))];
    poll_until(&mut members, |_, events| offsets(events, 0).len() == 50);
    create_again(&engine, 1);
    // The consumer has not looked at the topics since.
    members[0].wait_commit().unwrap();
    let given = Commit { partition: partition(0), position: 50.into(), metadata: None };
    let outcome = members[0].wait_commit_offsets(vec![given.clone()]);
    assert!(
        matches!(&outcome, Err(GroupsError::UnknownPartition { partition: unknown }) if *unknown == partition(0)),
        "{outcome:?}"
    );
    assert!(committed(&engine).is_empty());
    poll_until(&mut members, |members, _| {
        members[0].position(&partition(0)).is_some_and(|at| at.offset == 0)
    });
    members[0].wait_commit_offsets(vec![given.clone()]).unwrap();
    assert_eq!(committed(&engine), [given]);
}

/// Makes `copy` the data directory of an engine that crashed after the deletion of topic t was durable, and before anything
/// else of it was.
fn crash_in_deletion(copy: &Path) {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    engine.create_topic("u", 1, TopicConfig::default()).unwrap();
    produce(&engine, 0, 50);
    let commit = |topic: &str| Commit {
        partition: vnotch_engine::types::TopicPartition { topic: topic.into(), partition: 0 },
        position: 50.into(),
        metadata: None,
    };
    engine.group_admin().unwrap().commit("g", &[commit("t"), commit("u")]).unwrap();
    engine.close().unwrap();
    copy_all(dir.path(), copy);
    let engine = open(dir.path());
    engine.delete_topic("t").unwrap();
    engine.close().unwrap();
    std::fs::copy(dir.path().join("catalog.json"), copy.join("catalog.json")).unwrap();
    std::fs::remove_dir_all(copy.join("t-0")).unwrap();
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn offsets_of_a_deleted_topic_that_a_crash_has_left_are_removed_by_the_next_open() {
    let dir = data_dir();
    let copy = dir.path().join("data");
    crash_in_deletion(&copy);
    let engine = open(&copy);
    let begun = Instant::now();
    loop {
        let topics: Vec<_> = committed(&engine).into_iter().map(|commit| commit.partition.topic).collect();
        if topics == ["u".into()] {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{topics:?}");
    }
    engine.close().unwrap();
    let engine = open(&copy);
    assert_eq!(committed(&engine).len(), 1, "the removal is stored");
}

#[test]
fn offsets_of_a_deleted_topic_that_a_crash_has_left_are_not_used_for_the_next_topic_of_its_name() {
    let dir = data_dir();
    let copy = dir.path().join("data");
    crash_in_deletion(&copy);
    let engine = open(&copy);
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    assert!(committed(&engine).iter().all(|commit| &*commit.partition.topic == "u"));
    produce(&engine, 0, 80);
    let mut members = vec![member(&engine, settings("g"))];
    let events = poll_until(&mut members, |_, events| offsets(events, 0).len() >= 30);
    assert_eq!(offsets(&events, 0)[0], 0);
}
