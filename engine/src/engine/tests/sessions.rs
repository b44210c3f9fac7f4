//! Sessions of the members of a group while their shard stands still.

use super::{PATIENCE, impatient};
use crate::client::{AutoOffsetReset, GroupConsumer, GroupConsumerConfig, GroupEvent, Subscribe};
use crate::config::{EngineConfig, GroupsConfig, TopicConfig};
use crate::engine::Engine;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Session timeout of the member. A busy machine keeps the thread that sends heartbeats waiting for less.
const SESSION: Duration = Duration::from_secs(1);

fn poll(member: &mut GroupConsumer) -> Option<GroupEvent> {
    match member.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event.unwrap()),
        Poll::Pending => None,
    }
}

/// Returns the only member of the group, once it has its partitions.
fn member(engine: &Engine) -> GroupConsumer {
    let config = GroupConsumerConfig {
        session_timeout: SESSION,
        heartbeat_interval: Duration::from_millis(20),
        auto_commit: None,
        auto_offset_reset: AutoOffsetReset::Earliest,
        ..GroupConsumerConfig::new("g")
    };
    let mut member = engine.group_consumer(config, Subscribe::topics(["t"])).unwrap();
    let begun = Instant::now();
    while !matches!(poll(&mut member), Some(GroupEvent::Assigned(_))) {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    member
}

fn ids(engine: &Engine) -> Vec<String> {
    let members = engine.group_admin().unwrap().describe("g").unwrap().members;
    members.into_iter().map(|member| member.id).collect()
}

#[test]
fn a_member_whose_heartbeats_waited_while_its_shard_stood_still_stays_in_the_group() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig {
        stuck_after: PATIENCE,
        groups: GroupsConfig {
            offsets_topic_partitions: 1,
            group_initial_rebalance_delay_ms: 0,
            group_min_session_timeout_ms: 100,
            ..GroupsConfig::default()
        },
        ..impatient(dir.path())
    };
    let engine = Engine::open(config).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let mut member = member(&engine);
    let before = ids(&engine);
    assert_eq!(before.len(), 1);
    // The shard's own work stands still, so the timers are the first thing that it looks at afterwards.
    let stood_still = engine.shards[0].call(|_| async { std::thread::sleep(2 * SESSION) });
    assert!(stood_still.is_some());
    let begun = Instant::now();
    while begun.elapsed() < SESSION {
        let event = poll(&mut member);
        assert!(!matches!(event, Some(GroupEvent::Lost(_) | GroupEvent::Revoked(_))), "{event:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ids(&engine), before, "the member was not removed");
    // A member that sends no heartbeats is still removed.
    drop(member);
    while !ids(&engine).is_empty() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    engine.close().unwrap();
}
