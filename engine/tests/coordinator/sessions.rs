//! Sessions of a coordinator that has requests to handle before it ends them.

use crate::setup::Setup;
use crate::world::World;
use bytes::Bytes;
use std::time::Duration;
use vnotch_engine::clock::Clock as _;
use vnotch_engine::group::{Client, JoinGroup, Protocol, Request, RequestBody, Token};

const SESSION: Duration = Duration::from_secs(10);

fn members(world: &World) -> usize {
    world.coordinator.look(|groups| groups.view("g").map_or(0, |group| group.members.len()))
}

/// Returns a coordinator with a member whose session has just begun.
fn with_member() -> World {
    let mut world = World::new(Setup::of(1).with_large_batches(), 1);
    world.run_to_idle();
    let body = RequestBody::Join(JoinGroup {
        group: "g".to_owned(),
        member_id: String::new(),
        instance_id: None,
        random: 7,
        protocol_type: "consumer".to_owned(),
        protocols: vec![Protocol { name: "range".to_owned(), metadata: Bytes::new() }],
        session_timeout_ms: i32::try_from(SESSION.as_millis()).unwrap(),
        rebalance_timeout_ms: 60_000,
    });
    world.send(Request { token: Token(1), client: Client::default(), api_version: 0, body });
    while !world.requests.is_empty() {
        world.advance(500);
        world.run_to_idle();
    }
    assert_eq!(members(&world), 1);
    world
}

#[test]
fn a_tick_for_an_earlier_time_leaves_the_sessions_that_have_ended_since() {
    let world = with_member();
    let before = world.clock.now();
    world.clock.advance(2 * SESSION);
    world.coordinator.tick_due_at(before);
    assert_eq!(members(&world), 1, "a heartbeat may wait that was sent since");
    world.coordinator.tick_due_at(before + SESSION);
    assert_eq!(members(&world), 0);
}
