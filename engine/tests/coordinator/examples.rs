//! Histories that are made for one fault each.

use crate::restart::{Fate, Restart};
use crate::setup::Setup;
use crate::world::World;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use vnotch_engine::group::{Client, OffsetCommit, PartitionCommit, Request, RequestBody, Token};

/// Sends a commit of a consumer without a group, with `chars` characters of text.
fn commit(world: &mut World, group: &str, offset: i64, chars: usize) {
    let metadata = Some("x".repeat(chars));
    let commit = PartitionCommit { partition: 0, offset, leader_epoch: -1, metadata };
    let body = RequestBody::OffsetCommit(OffsetCommit {
        group: group.to_owned(),
        generation: -1,
        member_id: String::new(),
        instance_id: None,
        retention_ms: None,
        topics: vec![("t0".to_owned(), vec![commit])],
    });
    let token = Token(u64::try_from(offset).unwrap());
    world.send(Request { token, client: Client::default(), api_version: 9, body });
}

fn committed(world: &World, group: &str) -> i64 {
    world.coordinator.look(|groups| groups.committed(group)[0].1.offset)
}

#[test]
fn steps_that_were_held_back_by_a_roll_keep_their_order() {
    for seed in 0..60 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut world = World::new(Setup::of(1).rolling_every(5), seed);
        world.run_to_idle();
        for offset in 0..150 {
            // The model panics if an older commit comes behind a newer one.
            commit(&mut world, "g", offset, 0);
            if random.random_bool(0.5) {
                world.advance(5);
            }
            let count = random.random_range(0..4);
            world.steps(count);
        }
        world.run_to_idle();
        assert_eq!(committed(&world, "g"), 149);
        assert!(world.owner().deletions.get() > 3, "the log was compacted while commits went on");
        world.check_state();
    }
}

#[test]
fn nothing_is_compacted_before_all_records_are_read() {
    const GROUPS: i64 = 60;
    const COMMITS: i64 = 900;
    for turns in 0..8 {
        let mut world = World::new(Setup::of(1).with_long_metadata(), turns);
        world.run_to_idle();
        for offset in 0..COMMITS {
            commit(&mut world, &format!("g{}", offset % GROUPS), offset, 1_900);
            world.run_to_idle();
        }
        assert!(world.log.log_start_offset() > 0, "the log was compacted once");
        // Another coordinator reads the log, which has rolled and takes appends. Each turn asks it to compact.
        world.replace_coordinator();
        world.begin_to_load();
        for _ in 0..turns {
            world.advance(1);
        }
        let is_serving = |world: &World| world.coordinator.look(|groups| groups.is_serving());
        if turns < 3 {
            assert!(!is_serving(&world), "the log is read in several turns");
        }
        if !is_serving(&world) {
            assert!(!world.coordinator.is_compacting(), "the state is not whole");
            assert_eq!(world.owner().deletions.get(), 0, "nothing is deleted");
        }
        world.run_to_idle();
        assert!(is_serving(&world));
        world.restart(&Restart::simple(Fate::Kill, turns));
        world.run_to_idle();
        for offset in COMMITS - GROUPS..COMMITS {
            let group = format!("g{}", offset % GROUPS);
            assert_eq!(committed(&world, &group), offset, "after {turns} turns");
        }
    }
}
