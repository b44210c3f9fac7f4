//! Protocols of a JoinGroup that are named twice. The first of each name counts.

use crate::rig::{GROUP, Rig, join};
use bytes::Bytes;
use vnotch_engine::group::{GroupState, Protocol, RequestBody};

fn protocol(name: &str, metadata: &'static [u8]) -> Protocol {
    Protocol { name: name.to_owned(), metadata: Bytes::from_static(metadata) }
}

fn join_with(member_id: &str, protocols: Vec<Protocol>) -> RequestBody {
    let RequestBody::Join(mut request) = join(member_id, None) else { panic!("a join") };
    request.protocols = protocols;
    RequestBody::Join(request)
}

fn repeated() -> Vec<Protocol> {
    vec![
        protocol("range", b"first"),
        protocol("roundrobin", b"other"),
        protocol("range", b"second"),
        protocol("range", b"third"),
    ]
}

#[test]
fn a_group_agrees_on_a_protocol_that_a_member_names_twice_and_the_first_metadata_counts() {
    let mut rig = Rig::new();
    let token = rig.call(0, join_with("", repeated()));
    rig.wait(0);
    let joined = rig.joined(token);
    assert_eq!(joined.protocol.as_deref(), Some("range"));
    assert_eq!(joined.members[0].metadata, "first");
}

#[test]
fn a_member_joins_beside_one_that_names_a_protocol_twice() {
    let mut rig = Rig::new();
    let first = rig.call(0, join_with("", repeated()));
    rig.wait(0);
    let first = rig.join_reply(first).unwrap().member_id;
    let second = rig.call(0, join_with("", vec![protocol("range", b"x")]));
    let first = rig.call(5, join_with(&first, repeated()));
    for token in [first, second] {
        assert_eq!(rig.joined(token).protocol.as_deref(), Some("range"));
    }
    assert_eq!(rig.groups.view(GROUP).unwrap().members.len(), 2);
}

#[test]
fn a_member_that_repeats_a_protocol_again_has_not_changed_its_subscription() {
    let mut rig = Rig::new();
    let members = rig.stable(2);
    let leader = rig.groups.view(GROUP).unwrap().leader.unwrap();
    let follower = members.iter().find(|member| member.id != leader).unwrap();
    let RequestBody::Join(same) = join(&follower.id, None) else { panic!("a join") };
    let mut protocols = same.protocols.clone();
    protocols.push(protocol("range", b"second"));
    let token = rig.call(5, join_with(&follower.id, protocols));
    assert_eq!(rig.joined(token).generation, follower.generation);
    assert_eq!(rig.state(), Some(GroupState::Stable), "no rebalance has begun");
}
