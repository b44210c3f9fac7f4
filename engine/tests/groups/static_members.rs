//! Static members: restarts without a rebalance, and fencing.

use crate::rig::{GROUP, Member, REBALANCE_MS, Rig, SESSION_MS, join, protocols, sync};
use vnotch_engine::group::{AppendFailure, GroupError, GroupState, JoinGroup, JoinReply, RequestBody, Token};

/// Brings a group of the static members `i0` and `i1` to a stable generation.
fn stable(rig: &mut Rig) -> Vec<Member> {
    let tokens: Vec<(Token, &str)> =
        ["i0", "i1"].map(|instance| (rig.call(9, join("", Some(instance))), instance)).into();
    rig.wait(0);
    let first_round: Vec<Member> =
        tokens.into_iter().filter_map(|(token, instance)| joined(rig, token, instance)).collect();
    if first_round.len() == 2 {
        rig.sync_all(&first_round);
        return first_round;
    }
    panic!("both members are in the first generation: {first_round:?}");
}

fn joined(rig: &mut Rig, token: Token, instance: &str) -> Option<Member> {
    let JoinReply { member_id, outcome } = rig.join_reply(token)?;
    let generation = outcome.ok()?.generation;
    Some(Member { id: member_id, instance_id: Some(instance.to_owned()), generation })
}

fn leader(rig: &Rig) -> String {
    rig.groups.view(GROUP).unwrap().leader.unwrap()
}

#[test]
fn a_restarted_member_keeps_its_assignment_without_a_rebalance() {
    let mut rig = Rig::new();
    let members = stable(&mut rig);
    let leader = leader(&rig);
    for member in &members {
        let instance = member.instance_id.as_deref().unwrap();
        let token = rig.send(9, join("", Some(instance)));
        assert_eq!(
            rig.heartbeat_without_append(member),
            Ok(()),
            "the old id is in force until the record is there"
        );
        rig.end_appends(Ok(()));
        let reply = rig.join_reply(token).unwrap();
        let outcome = reply.outcome.unwrap();
        assert_eq!(outcome.generation, member.generation);
        assert_eq!(outcome.skips_assignment, member.id == leader);
        assert_eq!(outcome.members.is_empty(), member.id != leader);
        assert_eq!(rig.state(), Some(GroupState::Stable));
        let back = Member { id: reply.member_id, ..member.clone() };
        let token = rig.call(5, sync(&back, Vec::new()));
        assert_eq!(rig.synced(token).unwrap().unwrap().assignment, member.id);
        assert_eq!(rig.heartbeat(member), Err(GroupError::FencedInstanceId));
        assert_eq!(rig.commit(member, 1), Err(GroupError::FencedInstanceId));
        assert_eq!(rig.heartbeat(&back), Ok(()));
    }
}

#[test]
fn an_old_client_that_led_is_told_its_old_id_as_the_leader() {
    let mut rig = Rig::new();
    let members = stable(&mut rig);
    let leader = leader(&rig);
    let member = members.iter().find(|member| member.id == leader).unwrap();
    let token = rig.call(5, join("", member.instance_id.as_deref()));
    let joined = rig.joined(token);
    assert_eq!(joined.leader, leader, "so it does not assign anew");
    assert!(!joined.skips_assignment && joined.members.is_empty());
}

#[test]
fn a_member_that_cannot_take_over_its_old_id_changes_nothing() {
    let mut rig = Rig::new();
    let members = stable(&mut rig);
    let before = rig.groups.view(GROUP);
    let token = rig.send(9, join("", Some("i0")));
    rig.end_appends(Err(AppendFailure::Storage));
    assert_eq!(rig.join_error(token), GroupError::NotCoordinator);
    assert_eq!(rig.groups.view(GROUP), before);
    assert_eq!(rig.heartbeat(&members[0]), Ok(()));
}

#[test]
fn two_members_that_restart_at_once_do_not_undo_each_other() {
    let mut rig = Rig::new();
    stable(&mut rig);
    let tokens = [rig.send(9, join("", Some("i0"))), rig.send(9, join("", Some("i1")))];
    rig.end_appends(Ok(()));
    let ids: Vec<String> = tokens.map(|token| rig.join_reply(token).unwrap().member_id).into();
    let view = rig.groups.view(GROUP).unwrap();
    assert_eq!(view.state, GroupState::Stable);
    for id in &ids {
        assert!(view.members.iter().any(|member| member.id == *id), "{id} of {view:?}");
    }
}

#[test]
fn a_member_that_restarts_while_its_record_is_appended_is_answered_after_a_rebalance_has_begun() {
    let mut rig = Rig::new();
    let members = stable(&mut rig);
    let token = rig.send(9, join("", Some("i0")));
    let other = rig.send(0, join("", None));
    assert_eq!(rig.state(), Some(GroupState::PreparingRebalance));
    rig.end_appends(Ok(()));
    assert_eq!(rig.join_reply(token), None, "it takes part in the rebalance");
    assert_eq!(rig.heartbeat(&members[0]), Err(GroupError::FencedInstanceId));
    rig.call(9, join(&members[1].id, Some("i1")));
    assert_eq!(rig.joined(token).generation, members[0].generation + 1);
    rig.joined(other);
}

#[test]
fn a_member_that_restarts_before_its_assignment_starts_a_rebalance() {
    let mut rig = Rig::new();
    let tokens = ["i0", "i1"].map(|instance| rig.call(9, join("", Some(instance))));
    rig.wait(0);
    let members: Vec<Member> = tokens
        .into_iter()
        .zip(["i0", "i1"])
        .map(|(token, instance)| joined(&mut rig, token, instance).unwrap())
        .collect();
    assert_eq!(rig.state(), Some(GroupState::CompletingRebalance));
    let leader = leader(&rig);
    let follower = members.iter().find(|member| member.id != leader).unwrap();
    let parked = rig.call(5, sync(follower, Vec::new()));
    let token = rig.call(9, join("", follower.instance_id.as_deref()));
    assert_eq!(rig.state(), Some(GroupState::PreparingRebalance));
    assert_eq!(rig.synced(parked), Some(Err(GroupError::FencedInstanceId)));
    assert_eq!(rig.join_reply(token), None);
    let other = members.iter().find(|member| member.id == leader).unwrap();
    rig.call(9, join(&other.id, other.instance_id.as_deref()));
    assert_eq!(rig.joined(token).generation, members[0].generation + 1);
}

#[test]
fn a_restart_while_others_join_fences_the_parked_join() {
    let mut rig = Rig::new();
    let members = stable(&mut rig);
    rig.call(0, join("", None));
    let parked = rig.call(9, join(&members[0].id, Some("i0")));
    let token = rig.call(9, join("", Some("i0")));
    let reply = rig.join_reply(parked).unwrap();
    assert_eq!((reply.member_id, reply.outcome), (members[0].id.clone(), Err(GroupError::FencedInstanceId)));
    assert_eq!(rig.join_reply(token), None);
}

#[test]
fn a_restart_with_another_protocol_starts_a_rebalance() {
    let mut rig = Rig::new();
    let members = stable(&mut rig);
    let RequestBody::Join(mut request) = join("", Some("i0")) else { panic!("a join") };
    request.protocols = protocols(&["roundrobin"]);
    let token = rig.call(9, RequestBody::Join(request));
    assert_eq!(rig.state(), Some(GroupState::PreparingRebalance));
    rig.call(9, join(&members[1].id, Some("i1")));
    assert_eq!(rig.joined(token).protocol.as_deref(), Some("roundrobin"));
}

#[test]
fn static_members_are_kept_until_their_sessions_end() {
    let mut rig = Rig::new();
    let members = stable(&mut rig);
    rig.wait(SESSION_MS / 2);
    rig.heartbeat(&members[0]).unwrap();
    rig.heartbeat(&members[1]).unwrap();
    rig.leave_as_operator("i1");
    assert_eq!(rig.state(), Some(GroupState::PreparingRebalance));
    // Nobody joins: the phase is extended, because the member that is left may come back.
    rig.heartbeat(&members[0]).unwrap_err();
    rig.wait(REBALANCE_MS.min(SESSION_MS) - 1);
    assert_eq!(rig.groups.view(GROUP).unwrap().members.len(), 1);
    rig.wait(1);
    assert_eq!(rig.state(), Some(GroupState::Empty));
}

/// Returns a JoinGroup of a static member with this rebalance timeout.
fn join_within(member_id: &str, instance: &str, rebalance_timeout_ms: i32) -> RequestBody {
    match join(member_id, Some(instance)) {
        RequestBody::Join(request) => RequestBody::Join(JoinGroup { rebalance_timeout_ms, ..request }),
        other => other,
    }
}

#[test]
fn a_rebalance_timeout_of_zero_or_less_does_not_count_beside_a_longer_one() {
    let mut rig = Rig::new();
    let tokens = [("i0", 0), ("i1", 1_000)]
        .map(|(name, timeout_ms)| (rig.call(9, join_within("", name, timeout_ms)), name));
    rig.wait(0);
    let members: Vec<Member> =
        tokens.into_iter().filter_map(|(token, name)| joined(&mut rig, token, name)).collect();
    rig.sync_all(&members);
    // The phase ends with the member that has joined. The other one is static, so it stays.
    let token = rig.call(9, join_within("", "i2", -1));
    rig.wait(999);
    assert_eq!(rig.join_reply(token), None);
    rig.wait(1);
    assert_eq!(rig.joined(token).generation, members[0].generation + 1);
}

#[test]
fn a_rebalance_timeout_of_zero_or_less_counts_as_the_session_timeout_if_all_have_such() {
    for timeout_ms in [0, -1, i32::MIN] {
        let mut rig = Rig::new();
        let tokens = ["i0", "i1"].map(|name| (rig.call(9, join_within("", name, timeout_ms)), name));
        rig.wait(0);
        let members: Vec<Member> =
            tokens.into_iter().filter_map(|(token, name)| joined(&mut rig, token, name)).collect();
        assert_eq!(members.len(), 2);
        rig.sync_all(&members);
        // Another topic list begins a rebalance, and its only member in it is removed while others are silent.
        rig.call(9, join_within("", "i2", timeout_ms));
        assert_eq!(rig.state(), Some(GroupState::PreparingRebalance));
        rig.leave_as_operator("i2");
        for _ in 0..3 {
            rig.wait(0);
            assert_eq!(rig.state(), Some(GroupState::PreparingRebalance), "no static member has joined");
        }
        rig.wait(SESSION_MS);
        rig.wait(SESSION_MS);
        assert_eq!(rig.state(), Some(GroupState::Empty));
    }
}
