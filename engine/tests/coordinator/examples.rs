//! Histories that are made for one fault each.

use crate::restart::{Fate, Restart};
use crate::setup::Setup;
use crate::world::World;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use std::cell::Cell;
use std::rc::Rc;
use vnotch_engine::group::{
    Client, DeleteGroups, OffsetCommit, OffsetDelete, PartitionCommit, Request, RequestBody, Token,
};
use vnotch_engine::types::Durability;

/// Sends a commit of a consumer without a group for `partitions`, with `chars` characters of text for each.
fn commit(world: &mut World, group: &str, offset: i64, (partitions, chars): (i32, usize)) {
    let commit = |partition| {
        let metadata = Some("x".repeat(chars));
        PartitionCommit { partition, offset, leader_epoch: -1, metadata }
    };
    let body = RequestBody::OffsetCommit(OffsetCommit {
        group: group.to_owned(),
        generation: -1,
        member_id: String::new(),
        instance_id: None,
        retention_ms: None,
        topic_ids: std::collections::BTreeMap::new(),
        topics: vec![("t0".to_owned(), (0..partitions).map(commit).collect())],
    });
    let token = Token(u64::try_from(offset).unwrap());
    world.send(Request { token, client: Client::default(), api_version: 9, body });
}

fn committed(world: &World, group: &str) -> i64 {
    world.coordinator.look(|groups| groups.committed(group)[0].1.offset)
}

#[test]
fn steps_that_were_held_back_by_a_roll_keep_their_order() {
    const COMMITS: i64 = 60;
    let mut compactions = 0;
    for seed in 0..24 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut world = World::new(Setup::of(1).with_metadata(30_000), seed);
        // Between two batches that the log takes, other requests arrive.
        world.takes_a_turn = 1;
        world.run_to_idle();
        for offset in 0..COMMITS {
            // Two batches fill a segment. While the log rolls, more of them wait, and the next roll begins with one of these.
            let partitions = if random.random_bool(0.7) { 15 } else { 1 };
            // The model panics if an older commit comes behind a newer one.
            commit(&mut world, "g", offset, (partitions, 29_000));
            let count = random.random_range(0..6);
            world.steps(count);
        }
        world.run_to_idle();
        assert_eq!(committed(&world, "g"), COMMITS - 1);
        world.check_state();
        compactions += world.owner().deletions.get();
    }
    assert!(compactions > 24, "the logs were compacted while commits arrived: {compactions}");
}

#[test]
fn nothing_is_compacted_before_all_records_are_read() {
    const GROUPS: i64 = 60;
    const COMMITS: i64 = 900;
    for turns in 0..8 {
        let mut world = World::new(Setup::of(1).with_metadata(2_000), turns);
        world.run_to_idle();
        for offset in 0..COMMITS {
            commit(&mut world, &format!("g{}", offset % GROUPS), offset, (1, 1_900));
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

/// Sends a request under a token of its own, and lets it take effect.
fn send(world: &mut World, token: u64, body: RequestBody) {
    world.send(Request { token: Token(token), client: Client::default(), api_version: 9, body });
    world.run_to_idle();
}

#[test]
fn a_removal_that_is_answered_survives_a_power_loss() {
    for seed in 0..24 {
        let mut setup = Setup::of(seed).with_large_batches();
        setup.topic.durability = Durability::Written;
        let mut world = World::new(setup, seed);
        world.run_to_idle();
        for (offset, group) in (0..).zip(["deleted", "offsets", "topic", "kept"]) {
            commit(&mut world, group, offset, (2, 10));
            world.run_to_idle();
        }
        // What is stored now is durable.
        world.restart(&Restart::simple(Fate::Kill, seed));
        world.run_to_idle();
        let groups = vec!["deleted".to_owned()];
        send(&mut world, 100, RequestBody::DeleteGroups(DeleteGroups { groups }));
        let topics = vec![("t0".to_owned(), vec![0])];
        send(
            &mut world,
            101,
            RequestBody::OffsetDelete(OffsetDelete { group: "offsets".to_owned(), topics }),
        );
        world.restart(&Restart::simple(Fate::PowerLoss, seed));
        world.run_to_idle();
        let stored = |world: &World, group: &str| {
            world
                .coordinator
                .look(|groups| groups.committed(group).iter().map(|(_, it)| it.offset).collect::<Vec<_>>())
        };
        assert!(stored(&world, "deleted").is_empty(), "seed {seed}");
        assert_eq!(stored(&world, "offsets"), [1], "seed {seed}");
        assert_eq!(stored(&world, "kept"), [3, 3], "seed {seed}");
        let forget = Rc::clone(&world.coordinator).forget_topic("t0".to_owned());
        let is_done = Rc::new(Cell::new(false));
        let done = Rc::clone(&is_done);
        world.spawn(Box::pin(async move { done.set(forget.await) }));
        world.run_to_idle();
        assert!(is_done.get(), "no offset of the topic is left");
        world.restart(&Restart::simple(Fate::PowerLoss, seed));
        world.run_to_idle();
        assert!(["topic", "kept"].iter().all(|group| stored(&world, group).is_empty()), "seed {seed}");
    }
}

#[test]
fn a_commit_behind_a_removal_does_not_take_effect_before_it() {
    for seed in 0..24 {
        let mut setup = Setup::of(seed).with_large_batches();
        setup.topic.durability = Durability::Written;
        let mut world = World::new(setup, seed);
        world.run_to_idle();
        commit(&mut world, "g", 1, (2, 10));
        world.run_to_idle();
        let groups = vec!["g".to_owned()];
        let body = RequestBody::DeleteGroups(DeleteGroups { groups });
        world.send(Request { token: Token(100), client: Client::default(), api_version: 9, body });
        // The removal is synced, and a commit is acked once it is written.
        commit(&mut world, "g", 2, (1, 10));
        while world.disk.outstanding() > 0 {
            world.steps(1);
            world.check_state();
        }
        world.run_to_idle();
        world.check_state();
        let stored = world.coordinator.look(|groups| groups.committed("g"));
        assert_eq!(stored.iter().map(|(_, it)| it.offset).collect::<Vec<_>>(), [2], "seed {seed}");
    }
}

#[test]
fn offsets_of_topics_that_do_not_exist_are_removed_when_the_records_are_read() {
    let mut world = World::new(Setup::of(1).with_large_batches(), 1);
    world.run_to_idle();
    commit(&mut world, "g", 7, (2, 10));
    world.run_to_idle();
    world.replace_coordinator();
    world.owner().missing_topics.borrow_mut().insert("t0".to_owned());
    world.begin_to_load();
    world.run_to_idle();
    assert!(world.coordinator.look(|groups| groups.committed("g").is_empty()));
    world.restart(&Restart::simple(Fate::PowerLoss, 1));
    world.run_to_idle();
    assert!(world.coordinator.look(|groups| groups.committed("g").is_empty()), "the removal is durable");
}

#[test]
fn a_commit_of_a_consumer_of_an_earlier_topic_of_the_same_name_is_refused() {
    let mut world = World::new(Setup::of(1).with_large_batches(), 1);
    world.run_to_idle();
    for (token, id, expected) in [(1, 1, 1), (2, 7, 1)] {
        let commit = PartitionCommit { partition: 0, offset: token, leader_epoch: -1, metadata: None };
        let body = RequestBody::OffsetCommit(OffsetCommit {
            group: "g".to_owned(),
            generation: -1,
            member_id: String::new(),
            instance_id: None,
            retention_ms: None,
            topic_ids: [("t0".to_owned(), id)].into(),
            topics: vec![("t0".to_owned(), vec![commit])],
        });
        send(&mut world, u64::try_from(token).unwrap(), body);
        assert_eq!(committed(&world, "g"), expected);
    }
    assert_eq!(world.checks.counts.get("UNKNOWN_TOPIC_OR_PARTITION"), Some(&1));
}
