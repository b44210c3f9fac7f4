//! Offsets that nobody uses expire: the shard looks for them by itself.

use super::{PATIENCE, commit_of, committed, config, data_dir, member, settings, settle};
use std::path::Path;
use std::time::{Duration, Instant};
use vnotch_engine::client::GroupsError;
use vnotch_engine::config::{EngineConfig, GroupsConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::group::GroupError;

/// Time after which the offsets expire.
const RETENTION: Duration = Duration::from_millis(400);

fn expiring(path: &Path) -> Engine {
    let config = config(path, 2);
    let groups = GroupsConfig {
        offsets_retention_ms: i64::try_from(RETENTION.as_millis()).unwrap(),
        offsets_retention_check_interval_ms: 20,
        ..config.groups
    };
    Engine::open(EngineConfig { groups, ..config }).unwrap()
}

/// Waits until the group has no offset.
fn wait_for_expiry(engine: &Engine, group: &str) {
    let begun = Instant::now();
    while !committed(engine, group).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "the offsets do not expire");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_offsets_of_an_unused_group_expire_and_the_group_with_them() {
    let dir = data_dir();
    let engine = expiring(dir.path());
    engine.create_topic("t", 2, TopicConfig::default()).unwrap();
    let admin = engine.group_admin().unwrap();
    let begun = Instant::now();
    admin.commit("g", &[commit_of(0, 5), commit_of(1, 6)]).unwrap();
    wait_for_expiry(&engine, "g");
    // The wall clock, by which offsets expire, may differ a little.
    assert!(begun.elapsed() > RETENTION / 2, "{:?}", begun.elapsed());
    let described = admin.describe("g");
    assert!(matches!(described, Err(GroupsError::Refused(GroupError::GroupIdNotFound))), "{described:?}");
    engine.close().unwrap();
    assert!(committed(&expiring(dir.path()), "g").is_empty(), "the removal is stored");
}

#[test]
fn the_offsets_of_a_group_with_members_stay_and_their_time_counts_from_when_the_last_one_leaves() {
    let dir = data_dir();
    let engine = expiring(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let mut members = vec![member(&engine, settings("g"))];
    settle(&mut members, vec![1]);
    members[0].wait_commit_offsets(vec![commit_of(0, 5)]).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < 3 * RETENTION {
        super::poll(&mut members[0]);
        assert_eq!(committed(&engine, "g"), [(0, 5)]);
        std::thread::sleep(Duration::from_millis(10));
    }
    // The member leaves later than this. On a busy machine its close may return much later still.
    let begun = Instant::now();
    members.pop().unwrap().close().unwrap();
    wait_for_expiry(&engine, "g");
    assert!(begun.elapsed() > RETENTION / 2, "{:?}", begun.elapsed());
}
