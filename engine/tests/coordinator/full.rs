//! A coordinator that holds as many groups as it may.

use crate::restart::{Fate, Restart};
use crate::setup::Setup;
use crate::world::World;
use vnotch_engine::coordinator::Owner as _;
use vnotch_engine::group::{
    Client, DeleteGroups, GroupConfig, GroupRecord, GroupValue, JoinGroup, OffsetCommit, PartitionCommit,
    Protocol, Request, RequestBody, Token,
};
use vnotch_engine::record::{BatchBuilder, RecordRef};

/// Requests that are refused.
const REFUSED: u64 = 1_000;

/// Records of one batch.
const BATCH: usize = 5_000;

/// The first number of the batches that are written here. The coordinator's own numbers are smaller.
const FIRST_NUMBER: u32 = 1 << 20;

/// Stores as many groups as a coordinator may hold.
fn fill(world: &mut World) {
    let ids: Vec<String> =
        (0..GroupConfig::default().groups_max).map(|number| format!("g{number}")).collect();
    for (number, ids) in (FIRST_NUMBER..).zip(ids.chunks(BATCH)) {
        let mut builder = BatchBuilder::new();
        for id in ids {
            let value = Some(GroupValue::without_members(Some(0)));
            let record = GroupRecord::Group { group: id.clone(), value }.encode();
            let (key, value) = (Some(&record.key[..]), record.value.as_deref());
            builder.push(&RecordRef { timestamp_ms: 0, key, value, headers: &[] }).unwrap();
        }
        let batch = builder.finish_with(Vec::new()).bytes;
        world.owner().append(batch, None, number);
        world.run_to_idle();
    }
}

fn commit(group: &str) -> RequestBody {
    let commit = PartitionCommit { partition: 0, offset: 7, leader_epoch: -1, metadata: None };
    RequestBody::OffsetCommit(OffsetCommit {
        group: group.to_owned(),
        generation: -1,
        member_id: String::new(),
        instance_id: None,
        retention_ms: None,
        topic_ids: std::collections::BTreeMap::new(),
        topics: vec![("t0".to_owned(), vec![commit])],
    })
}

fn join(group: &str) -> RequestBody {
    let protocol = Protocol { name: "range".to_owned(), metadata: bytes::Bytes::new() };
    RequestBody::Join(JoinGroup {
        group: group.to_owned(),
        member_id: String::new(),
        instance_id: None,
        random: 7,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
    })
}

fn send(world: &mut World, token: u64, body: RequestBody) {
    world.send(Request { token: Token(token), client: Client::default(), api_version: 9, body });
    world.run_to_idle();
}

#[test]
fn a_full_coordinator_takes_no_further_group() {
    let mut world = World::new(Setup::of(1).with_large_batches(), 1);
    world.run_to_idle();
    fill(&mut world);
    world.restart(&Restart::simple(Fate::Kill, 1));
    world.run_to_idle();
    let refused = |world: &World| world.checks.counts.get("POLICY_VIOLATION").copied().unwrap_or(0);
    for token in 0..REFUSED {
        let group = format!("new-{token}");
        send(&mut world, token, if token % 2 == 0 { commit(&group) } else { join(&group) });
    }
    assert_eq!(refused(&world), REFUSED, "a group that is new has no room");
    send(&mut world, REFUSED, commit("g7"));
    assert_eq!(world.coordinator.look(|groups| groups.committed("g7").len()), 1, "others are served");
    send(&mut world, REFUSED + 1, RequestBody::DeleteGroups(DeleteGroups { groups: vec!["g1".to_owned()] }));
    send(&mut world, REFUSED + 2, commit("new"));
    assert_eq!(
        world.coordinator.look(|groups| groups.committed("new").len()),
        1,
        "a removed group leaves room"
    );
    assert_eq!(refused(&world), REFUSED);
}
