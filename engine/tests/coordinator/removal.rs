//! Expiry and removal of many offsets: a coordinator looks at a part of them in a turn, and handles requests between.

use crate::setup::Setup;
use crate::world::World;
use std::cell::Cell;
use std::rc::Rc;
use vnotch_engine::group::{
    Client, ListGroups, OffsetCommit, PartitionCommit, ReplyBody, Request, RequestBody, Token,
};
use vnotch_engine::record::batches;

/// Groups and offsets that a coordinator looks at in one turn, at most.
const LOOKS_MAX: usize = 4_000;

const GROUPS: u64 = 2;
const PARTITIONS: i32 = 3_000;

/// Returns a coordinator with many offsets that consumers without a group have committed.
fn with_many_offsets() -> World {
    let mut world = World::new(Setup::of(1).with_large_batches(), 1);
    world.run_to_idle();
    for number in 0..GROUPS {
        let commit = |partition| PartitionCommit { partition, offset: 7, leader_epoch: -1, metadata: None };
        let body = RequestBody::OffsetCommit(OffsetCommit {
            group: format!("g{number}"),
            generation: -1,
            member_id: String::new(),
            instance_id: None,
            retention_ms: None,
            topic_ids: std::collections::BTreeMap::new(),
            topics: vec![("t0".to_owned(), (0..PARTITIONS).map(commit).collect())],
        });
        send(&mut world, number, body);
        world.run_to_idle();
    }
    assert_eq!(offsets(&world), 6_000);
    world
}

fn send(world: &mut World, token: u64, body: RequestBody) {
    world.send(Request { token: Token(token), client: Client::default(), api_version: 5, body });
}

fn offsets(world: &World) -> usize {
    world.coordinator.look(|groups| groups.ids().map(|id| groups.committed(id).len()).sum())
}

/// Returns the number of records that the log has not taken yet.
fn waiting_records(world: &World) -> usize {
    let waiting = world.owner().waiting.borrow();
    let batches = waiting.iter().flat_map(|waiting| batches(&waiting.batch));
    batches.map(|batch| batch.unwrap().records().count()).sum()
}

/// Checks that the first turn of a removal has removed a part, and that a request is answered before the rest.
fn check_first_turn(world: &mut World) {
    let waiting = waiting_records(world);
    assert!((1..=LOOKS_MAX).contains(&waiting), "{waiting} records in one turn");
    let request = RequestBody::ListGroups(ListGroups::default());
    world.coordinator.handle(Request {
        token: Token(99),
        client: Client::default(),
        api_version: 5,
        body: request,
    });
    let replies = world.owner().replies.take();
    assert!(matches!(&replies[0].body, ReplyBody::ListGroups(Ok(groups)) if groups.len() == 2));
}

#[test]
fn offsets_expire_in_parts_and_requests_are_handled_between() {
    let mut world = with_many_offsets();
    // The log takes nothing for now, so that the records of the first turn can be counted.
    world.takes_a_turn = 0;
    let retention_ms = u64::try_from(world.setup.groups.offsets_retention_ms).unwrap();
    let check_ms = world.setup.groups.offsets_retention_check_interval_ms;
    world.advance(retention_ms + check_ms);
    check_first_turn(&mut world);
    world.takes_a_turn = usize::MAX;
    world.run_to_idle();
    assert_eq!(offsets(&world), 0, "one expiry looks at all offsets");
    world.check_state();
    // The groups have more offsets than a part, so the next expiry removes them.
    world.advance(check_ms);
    world.run_to_idle();
    assert_eq!(world.coordinator.look(|groups| groups.ids().count()), 0);
    world.check_state();
}

#[test]
fn the_offsets_of_a_deleted_topic_are_removed_in_parts_and_requests_are_handled_between() {
    let mut world = with_many_offsets();
    world.takes_a_turn = 0;
    let forget = Rc::clone(&world.coordinator).forget_topic("t0".to_owned());
    let is_done = Rc::new(Cell::new(false));
    let done = Rc::clone(&is_done);
    world.spawn(Box::pin(async move { done.set(forget.await) }));
    check_first_turn(&mut world);
    assert!(!is_done.get());
    world.takes_a_turn = usize::MAX;
    world.run_to_idle();
    assert!(is_done.get(), "no offset of the topic is left");
    assert_eq!(offsets(&world), 0);
    world.check_state();
}
