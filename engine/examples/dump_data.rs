//! Makes a closed data directory whose files have all that `vnotch dump` shows: records with and without keys, values and
//! headers, several segments with indexes, committed offsets, generations of groups, and tombstones.
//!
//! usage: `cargo run -p vnotch-engine --example dump_data -- DIRECTORY`

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing example says enough by its panic")]

use bytes::Bytes;
use std::path::{Path, PathBuf};
use vnotch_engine::client::{Commit, GroupAdmin, ProducerConfig};
use vnotch_engine::config::{EngineConfig, GroupsConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::group::{
    Assignment, JoinGroup, JoinReply, Protocol, ReplyBody, RequestBody, Subscription, SyncGroup,
};
use vnotch_engine::record::{HeaderRef, RecordRef};
use vnotch_engine::types::{ConsumerPosition, TopicPartition};

fn main() {
    let dir = std::env::args().nth(1).map(PathBuf::from).expect("the first argument is the directory");
    let engine = open(&dir);
    let topic = TopicConfig {
        segment_bytes: 1 << 20,
        max_message_bytes: 64 << 10,
        index_interval_bytes: 4096,
        ..TopicConfig::default()
    };
    engine.create_topic("orders", 2, topic).unwrap();
    produce(&engine);
    let admin = engine.group_admin().unwrap();
    commits(&admin);
    generations(&admin);
    engine.close().unwrap();
}

fn open(dir: &Path) -> Engine {
    let groups = GroupsConfig { group_initial_rebalance_delay_ms: 0, ..GroupsConfig::default() };
    Engine::open(EngineConfig { arena_bytes: 32 << 20, groups, ..EngineConfig::new(dir) }).unwrap()
}

/// Appends records of several forms, more than a segment holds.
fn produce(engine: &Engine) {
    let config = ProducerConfig { linger: None, batch_records_max: 7, ..ProducerConfig::default() };
    let mut producer = engine.producer("orders", config).unwrap();
    let headers = [
        HeaderRef { key: "trace", value: Some(b"1") },
        HeaderRef { key: "empty", value: Some(b"") },
        HeaderRef { key: "null", value: None },
    ];
    let long = vec![b'v'; 900];
    for number in 0..8_000_i64 {
        let key = format!("key-{number}");
        let record = RecordRef {
            timestamp_ms: 1_700_000_000_000 + number * 7 % 1_000,
            key: (number % 3 != 0).then_some(key.as_bytes()),
            value: match number % 5 {
                0 => None,
                1 => Some(b""),
                _ => Some(&long[..usize::try_from(number % 900).unwrap()]),
            },
            headers: if number % 4 == 0 { &headers } else { &[] },
        };
        while producer.try_send(Some(u32::from(number % 10 == 0)), &record).is_err() {
            producer.wait_ack().unwrap().result.unwrap();
        }
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
}

/// Commits of groups without members: with and without epoch and text, overwritten, and deleted.
fn commits(admin: &GroupAdmin) {
    let partition = |number| TopicPartition { topic: "orders".into(), partition: number };
    for number in 0..20 {
        let group = format!("system-orders-service{number}-group");
        let position = |offset| ConsumerPosition { offset, leader_epoch: (number % 2 == 0).then_some(1) };
        let metadata = (number % 3 == 0).then(|| format!("text {number}"));
        let commit = |offset, of| Commit {
            partition: partition(of),
            position: position(offset),
            metadata: metadata.clone(),
        };
        admin.commit(&group, &[commit(i64::from(number), 0), commit(5, 1)]).unwrap();
        admin.commit(&group, &[commit(100, 0)]).unwrap();
        if number % 4 == 0 {
            admin.delete_offsets(&group, &[partition(1)]).unwrap();
        }
    }
    admin.delete("system-orders-service3-group").unwrap();
}

/// Generations of groups with a dynamic or a static member.
fn generations(admin: &GroupAdmin) {
    for (group, instance_id) in [("dynamic-group", None), ("static-group", Some("member-1".to_owned()))] {
        let subscription = Subscription { topics: vec!["orders".into()], ..Subscription::default() };
        let mut join = JoinGroup {
            group: group.into(),
            member_id: String::new(),
            instance_id: instance_id.clone(),
            random: 7,
            protocol_type: "consumer".into(),
            protocols: vec![Protocol { name: "range".into(), metadata: Bytes::from(subscription.encode(1)) }],
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
        };
        let (member_id, joined) = loop {
            match admin.call(group, &RequestBody::Join(join.clone())).unwrap() {
                ReplyBody::Join(JoinReply { member_id, outcome: Ok(joined) }) => break (member_id, joined),
                ReplyBody::Join(JoinReply { member_id, .. }) if join.member_id.is_empty() => {
                    join.member_id = member_id;
                }
                reply => panic!("{reply:?}"),
            }
        };
        let partitions = (0..2).map(|partition| TopicPartition { topic: "orders".into(), partition });
        let assignment = Assignment { partitions: partitions.collect(), user_data: None }.encode(1);
        let sync = SyncGroup {
            group: group.into(),
            generation: joined.generation,
            member_id: member_id.clone(),
            instance_id,
            protocol_type: None,
            protocol: None,
            assignments: vec![(member_id, Bytes::from(assignment))],
        };
        let reply = admin.call(group, &RequestBody::Sync(sync)).unwrap();
        assert!(matches!(reply, ReplyBody::Sync(Ok(_))), "{reply:?}");
    }
}
