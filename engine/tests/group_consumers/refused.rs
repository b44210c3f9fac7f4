//! Requests that are refused: each with the error of Kafka, and nothing changes.

use super::{data_dir, member, partition, settings, settle, with_topic};
use bytes::Bytes;
use std::sync::mpsc;
use std::time::Duration;
use vnotch_engine::client::{Commit, GroupAdmin, GroupConsumerConfig, GroupEvent, GroupsError, Subscribe};
use vnotch_engine::config::EngineConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::group::{
    Assignor, GroupError, Heartbeat, JoinGroup, JoinReply, Protocol, ReplyBody, RequestBody,
};
use vnotch_engine::types::TopicPartition;

fn commit(metadata: Option<String>) -> Commit {
    Commit { partition: partition(0), position: 1.into(), metadata }
}

fn beat(admin: &GroupAdmin, member_id: &str, generation: i32) -> Result<(), GroupError> {
    let (group, member_id) = ("g".to_owned(), member_id.to_owned());
    let request = Heartbeat { group, generation, member_id, instance_id: None };
    match admin.call("g", &RequestBody::Heartbeat(request)).unwrap() {
        ReplyBody::Heartbeat(outcome) => outcome,
        reply => panic!("{reply:?}"),
    }
}

fn join(admin: &GroupAdmin, name: &str, metadata_bytes: usize) -> GroupError {
    let request = JoinGroup {
        group: "g".into(),
        member_id: String::new(),
        instance_id: None,
        random: 1,
        protocol_type: "consumer".into(),
        protocols: vec![Protocol { name: name.into(), metadata: Bytes::from(vec![0; metadata_bytes]) }],
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
    };
    match admin.call("g", &RequestBody::Join(request)).unwrap() {
        ReplyBody::Join(JoinReply { outcome, .. }) => outcome.unwrap_err(),
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn a_bad_request_gets_its_named_error_and_changes_nothing() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let mut members = vec![member(&engine, settings("g"))];
    settle(&mut members, vec![1]);
    let admin = engine.group_admin().unwrap();
    let before = admin.describe("g").unwrap();
    let (id, generation) = members[0].member().unwrap();
    let (id, generation) = (id.to_owned(), generation);
    assert_eq!(beat(&admin, "nobody", generation), Err(GroupError::UnknownMemberId));
    assert_eq!(beat(&admin, &id, generation + 1), Err(GroupError::IllegalGeneration));
    assert_eq!(beat(&admin, &id, generation), Ok(()));
    assert_eq!(join(&admin, "unheard-of", 8), GroupError::InconsistentGroupProtocol);
    assert_eq!(join(&admin, "range", 1 << 20), GroupError::MessageTooLarge);
    let refused = |outcome: Result<(), GroupsError>| match outcome {
        Err(GroupsError::Refused(error)) => error,
        outcome => panic!("{outcome:?}"),
    };
    assert_eq!(refused(admin.commit("g", &[commit(None)])), GroupError::UnknownMemberId);
    let long = commit(Some("x".repeat(5_000)));
    assert_eq!(refused(members[0].wait_commit_offsets(vec![long])), GroupError::OffsetMetadataTooLarge);
    assert_eq!(refused(admin.delete("g")), GroupError::NonEmptyGroup);
    assert_eq!(refused(admin.delete("no-such-group")), GroupError::GroupIdNotFound);
    assert_eq!(admin.describe("g").unwrap(), before);
    assert!(admin.offsets("g").unwrap().is_empty());
}

#[test]
fn an_empty_group_id_is_refused() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let made = engine.group_consumer(GroupConsumerConfig::new(""), Subscribe::topics(["t"]));
    assert!(matches!(made, Err(GroupsError::Refused(GroupError::InvalidGroupId))));
}

#[test]
fn a_request_to_another_shards_coordinator_is_refused() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let admin = engine.group_admin().unwrap();
    // The two groups belong to different partitions: the hash of "a" is 97, that of "b" is 98.
    let request =
        RequestBody::OffsetFetch(vnotch_engine::group::OffsetFetch { group: "b".into(), topics: None });
    let reply = admin.call("a", &request).unwrap();
    assert_eq!(reply, ReplyBody::OffsetFetch(Err(GroupError::NotCoordinator)));
}

/// Returns the partition that a commit was refused for.
fn unknown(outcome: Result<(), GroupsError>) -> String {
    match outcome {
        Err(GroupsError::UnknownPartition { partition }) => partition.to_string(),
        outcome => panic!("{outcome:?}"),
    }
}

#[test]
fn a_commit_for_a_partition_that_does_not_exist_is_refused_whole() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let admin = engine.group_admin().unwrap();
    let mut members = vec![member(&engine, settings("g"))];
    settle(&mut members, vec![1]);
    let of = |partition| Commit { partition, position: 3.into(), metadata: None };
    let no_topic = TopicPartition { topic: "no-topic".into(), partition: 0 };
    for (name, missing) in [("t-1", partition(1)), ("no-topic-0", no_topic)] {
        let commits = [of(partition(0)), of(missing)];
        assert_eq!(unknown(admin.commit("alone", &commits)), name);
        assert_eq!(unknown(members[0].wait_commit_offsets(commits.to_vec())), name);
        assert!(matches!(admin.describe("alone"), Err(GroupsError::Refused(GroupError::GroupIdNotFound))));
        assert!(admin.offsets("g").unwrap().is_empty());
    }
    admin.commit("alone", &[of(partition(0))]).unwrap();
    members[0].wait_commit_offsets(vec![of(partition(0))]).unwrap();
    assert_eq!(admin.offsets("g").unwrap(), [of(partition(0))]);
    // Offsets can also be deleted.
    admin.delete_offsets("alone", &[partition(0)]).unwrap();
    assert!(admin.offsets("alone").unwrap().is_empty());
}

#[test]
fn positions_in_a_deleted_topic_are_left_out_of_commits() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    engine.create_topic("u", 1, vnotch_engine::config::TopicConfig::default()).unwrap();
    let mut consumer = engine.group_consumer(settings("g"), Subscribe::topics(["t", "u"])).unwrap();
    let is_known = |consumer: &vnotch_engine::client::GroupConsumer| {
        consumer.assignment().len() == 2
            && consumer.assignment().iter().all(|partition| consumer.position(partition).is_some())
    };
    let begun = std::time::Instant::now();
    while !is_known(&consumer) {
        assert!(begun.elapsed() < super::PATIENCE);
        super::poll(&mut consumer);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    engine.delete_topic("u").unwrap();
    consumer.wait_commit().unwrap();
    let committed = engine.group_admin().unwrap().offsets("g").unwrap();
    let names: Vec<String> = committed.iter().map(|commit| commit.partition.to_string()).collect();
    assert_eq!(names, ["t-0"]);
}

#[test]
fn a_group_has_the_usual_id_or_any_other_that_is_not_empty() {
    let usual = GroupConsumerConfig::for_service("register", "reg.student.engineering", "hostelservice");
    assert_eq!(usual.group_id, "register-reg.student.engineering-hostelservice-group");
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let admin = engine.group_admin().unwrap();
    let ids = [usual.group_id.as_str(), " ", "a/b:c\u{0}", "каталог", &"long".repeat(2_000)];
    for id in ids {
        let mut members = vec![member(&engine, settings(id))];
        settle(&mut members, vec![1]);
        members[0].wait_commit_offsets(vec![commit(None)]).unwrap();
        members.pop().unwrap().close().unwrap();
        assert_eq!(admin.offsets(id).unwrap(), [commit(None)]);
    }
    let mut listed: Vec<String> = admin.list().unwrap().groups.into_iter().map(|group| group.group).collect();
    listed.sort_unstable();
    let mut expected = ids.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(listed, expected);
}

#[test]
fn a_poll_fails_once_while_the_coordinator_is_stuck_and_a_later_one_goes_on() {
    let dir = data_dir();
    let stuck_after = Duration::from_millis(300);
    let engine = Engine::open(EngineConfig { stuck_after, ..super::config(dir.path(), 1) }).unwrap();
    engine.create_topic("t", 1, vnotch_engine::config::TopicConfig::default()).unwrap();
    let mut consumer = member(&engine, settings("g"));
    // The first poll sends a JoinGroup. On a busy machine its reply can come within the poll, which then sends the next request.
    // An assignment takes two more requests.
    assert!(super::poll(&mut consumer).is_none());
    std::thread::sleep(Duration::from_millis(200));
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let task = engine.run_on(0, move |_| async move {
        begin.send(()).unwrap();
        let _ = released.recv_timeout(super::PATIENCE);
    });
    begun.recv_timeout(super::PATIENCE).unwrap();
    let (report, reported) = mpsc::channel();
    // This thread is not joined, as it may hang.
    std::thread::spawn(move || {
        for _ in 0..3 {
            let outcome = consumer.wait();
            let _ = report.send((outcome, None));
        }
        let _ = report.send((Ok(GroupEvent::Assigned(Vec::new())), Some(consumer)));
    });
    for _ in 0..3 {
        let (outcome, _) = reported.recv_timeout(super::PATIENCE).expect("the poll returns");
        assert!(matches!(outcome, Err(GroupsError::ShardStuck { shard: 0 })), "{outcome:?}");
    }
    let consumer = reported.recv_timeout(super::PATIENCE).unwrap().1.unwrap();
    release.send(()).unwrap();
    task.unwrap().wait().unwrap();
    let (mut consumer, begun) = (consumer, std::time::Instant::now());
    while consumer.assignment().is_empty() {
        assert!(begun.elapsed() < super::PATIENCE);
        let _ = consumer.wait();
    }
}

#[test]
fn a_poll_interval_below_one_millisecond_is_refused() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let config = GroupConsumerConfig { max_poll_interval: Duration::from_micros(999), ..settings("g") };
    let made = engine.group_consumer(config, Subscribe::topics(["t"]));
    let Err(GroupsError::Config(message)) = made else { panic!("{made:?}") };
    assert!(message.contains("max_poll_interval"), "{message}");
}

#[test]
fn an_assignor_that_is_named_twice_is_refused() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    let assignors = vec![Assignor::RoundRobin, Assignor::Range, Assignor::RoundRobin];
    let config = GroupConsumerConfig { assignors, ..settings("g") };
    let made = engine.group_consumer(config, Subscribe::topics(["t"]));
    let Err(GroupsError::Config(message)) = made else { panic!("{made:?}") };
    assert_eq!(message, "assignors names roundrobin more than once");
}
