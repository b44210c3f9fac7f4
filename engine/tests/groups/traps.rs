//! The traps that coordinators of groups have met, a test for each clause.

use crate::rig::{GROUP, Member, REBALANCE_MS, Rig, SESSION_MS, commit, join, nobody, sync};
use bytes::Bytes;
use vnotch_engine::group::{
    AppendFailure, GroupConfig, GroupError, GroupState, JoinGroup, LeaveGroup, LeavingMember, RequestBody,
    Token,
};

/// Joins a member with a request that needs no id.
fn enter(rig: &mut Rig) -> Token {
    rig.call(0, join("", None))
}

fn rejoin(rig: &mut Rig, member: &Member) -> Token {
    rig.call(5, join(&member.id, member.instance_id.as_deref()))
}

fn with_topics(body: RequestBody, change: impl FnOnce(&mut JoinGroup)) -> RequestBody {
    let RequestBody::Join(mut join) = body else { panic!("a join") };
    change(&mut join);
    RequestBody::Join(join)
}

#[test]
fn no_group_exists_before_its_record_is_appended() {
    let mut rig = Rig::new();
    let token = rig.send(5, join("", None));
    assert_eq!(rig.open.len(), 1);
    assert_eq!(rig.open[0].waiting, [token]);
    assert_eq!(rig.state(), None);
    assert_eq!(rig.reply(token), None);
    rig.end_appends(Ok(()));
    assert_eq!(rig.state(), Some(GroupState::Empty));
    assert_eq!(rig.join_error(token), GroupError::MemberIdRequired);
}

#[test]
fn no_offset_is_committed_before_its_record_is_appended() {
    let mut rig = Rig::new();
    let token = rig.send(9, commit(&nobody(), 40, None));
    assert_eq!(rig.open[0].waiting, [token]);
    assert_eq!(rig.fetch().offset, -1);
    assert_eq!(rig.reply(token), None);
    rig.end_appends(Ok(()));
    assert!(rig.reply(token).is_some());
    let fetched = rig.fetch();
    assert_eq!((fetched.offset, fetched.leader_epoch), (40, 7));
}

#[test]
fn no_member_has_an_assignment_before_the_generation_is_appended() {
    let mut rig = Rig::new();
    let token = enter(&mut rig);
    rig.wait(0);
    let reply = rig.join_reply(token).unwrap();
    let leader = Member { id: reply.member_id, instance_id: None, generation: 1 };
    let token = rig.send(5, sync(&leader, vec![(leader.id.clone(), Bytes::from("p0"))]));
    assert_eq!(rig.open[0].waiting, [token]);
    assert_eq!(rig.state(), Some(GroupState::CompletingRebalance));
    assert_eq!(rig.synced(token), None);
    // A repeated request waits for the same records.
    let repeated = rig.send(5, sync(&leader, vec![(leader.id.clone(), Bytes::from("p1"))]));
    assert_eq!(rig.open.len(), 1);
    assert_eq!(rig.synced(token), Some(Err(GroupError::NotCoordinator)));
    rig.end_appends(Ok(()));
    assert_eq!(rig.state(), Some(GroupState::Stable));
    assert_eq!(rig.synced(repeated).unwrap().unwrap().assignment, "p0");
}

#[test]
fn a_failed_append_changes_nothing() {
    let mut rig = Rig::new();
    let join_token = rig.send(5, join("", None));
    rig.end_appends(Err(AppendFailure::Unavailable));
    assert_eq!(rig.join_error(join_token), GroupError::CoordinatorNotAvailable);
    assert_eq!(rig.state(), None);
    let commit_token = rig.send(9, commit(&nobody(), 40, None));
    rig.end_appends(Err(AppendFailure::Storage));
    assert!(format!("{:?}", rig.reply(commit_token)).contains("NotCoordinator"));
    assert_eq!((rig.state(), rig.fetch().offset), (None, -1));
}

#[test]
fn members_get_the_error_if_the_assignment_cannot_be_appended() {
    let mut rig = Rig::new();
    let members = rig.stable(2);
    let tokens = [rejoin(&mut rig, &members[0]), rejoin(&mut rig, &members[1])];
    let members: Vec<Member> = tokens
        .into_iter()
        .zip(members)
        .map(|(token, member)| Member { generation: rig.joined(token).generation, ..member })
        .collect();
    let leader = rig.groups.view(GROUP).unwrap().leader.unwrap();
    let tokens: Vec<Token> = members
        .iter()
        .filter(|member| member.id != leader)
        .chain(members.iter().filter(|member| member.id == leader))
        .map(|member| rig.send(5, sync(member, Vec::new())))
        .collect();
    rig.end_appends(Err(AppendFailure::TooLarge));
    for token in tokens {
        assert_eq!(rig.synced(token), Some(Err(GroupError::UnknownServerError)));
    }
    assert_eq!(rig.state(), Some(GroupState::PreparingRebalance));
    assert_eq!(rig.heartbeat(&members[0]), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_second_join_of_a_member_answers_the_first() {
    let mut rig = Rig::new();
    let members = rig.stable(2);
    let first = rejoin(&mut rig, &members[0]);
    assert_eq!(rig.state(), Some(GroupState::PreparingRebalance));
    let second = rejoin(&mut rig, &members[0]);
    let reply = rig.join_reply(first).unwrap();
    assert_eq!((reply.member_id, reply.outcome), (members[0].id.clone(), Err(GroupError::NotCoordinator)));
    assert_eq!(rig.join_reply(second), None);
    rejoin(&mut rig, &members[1]);
    assert_eq!(rig.joined(second).generation, members[0].generation + 1);
    assert_eq!(rig.join_reply(first), None);
}

/// Returns the member of a group of two that does not lead. Both have joined a new generation, and none has synced.
fn follower_that_has_joined(rig: &mut Rig) -> Member {
    let members = rig.stable(2);
    let tokens = [rejoin(rig, &members[0]), rejoin(rig, &members[1])];
    let leader = rig.groups.view(GROUP).unwrap().leader.unwrap();
    let follower = usize::from(members[0].id == leader);
    let generation = rig.joined(tokens[follower]).generation;
    Member { generation, ..members[follower].clone() }
}

#[test]
fn a_second_sync_of_a_member_answers_the_first() {
    let mut rig = Rig::new();
    let follower = follower_that_has_joined(&mut rig);
    let first = rig.call(5, sync(&follower, Vec::new()));
    let second = rig.call(5, sync(&follower, Vec::new()));
    assert_eq!(rig.synced(first), Some(Err(GroupError::NotCoordinator)));
    assert_eq!(rig.synced(second), None);
}

#[test]
fn a_member_that_leaves_completes_the_join_of_the_others() {
    let mut rig = Rig::new();
    let members = rig.stable(3);
    let tokens = [rejoin(&mut rig, &members[0]), rejoin(&mut rig, &members[1])];
    assert_eq!(rig.state(), Some(GroupState::PreparingRebalance));
    rig.leave(&members[2]);
    assert_eq!(rig.state(), Some(GroupState::CompletingRebalance));
    for token in tokens {
        assert_eq!(rig.joined(token).generation, members[0].generation + 1);
    }
}

#[test]
fn a_member_whose_session_ends_completes_the_join_of_the_others() {
    let mut rig = Rig::new();
    let members = rig.stable(2);
    rig.wait(SESSION_MS - 1);
    let token = rejoin(&mut rig, &members[0]);
    assert_eq!(rig.join_reply(token), None);
    rig.wait(1);
    assert_eq!(rig.joined(token).generation, members[0].generation + 1);
}

#[test]
fn a_session_that_ends_after_the_time_of_the_tick_is_left_to_the_next() {
    let mut rig = Rig::new();
    let member = rig.stable(1).remove(0);
    let end_ms = rig.now.monotonic_ms + SESSION_MS;
    rig.now.monotonic_ms = end_ms + 5_000;
    rig.groups.tick_until(end_ms - 1, rig.now);
    // A heartbeat that was sent meanwhile is handled now.
    assert_eq!(rig.heartbeat(&member), Ok(()));
    rig.groups.tick_until(rig.now.monotonic_ms, rig.now);
    assert_eq!(rig.state(), Some(GroupState::Stable));
    rig.wait(SESSION_MS);
    assert_eq!(rig.state(), Some(GroupState::Empty));
}

#[test]
fn an_id_that_is_never_used_completes_the_join_of_the_others_when_it_expires() {
    let mut rig = Rig::new();
    let members = rig.stable(1);
    let required = rig.call(5, join("", None));
    let reply = rig.join_reply(required).unwrap();
    assert_eq!(reply.outcome, Err(GroupError::MemberIdRequired));
    let token = rejoin(&mut rig, &members[0]);
    rig.wait(SESSION_MS - 1);
    assert_eq!(rig.join_reply(token), None, "the rebalance waits for the id that was handed out");
    rig.wait(1);
    assert_eq!(rig.joined(token).generation, members[0].generation + 1);
    let late = rig.call(5, join(&reply.member_id, None));
    assert_eq!(rig.join_error(late), GroupError::UnknownMemberId);
}

/// Kafka's timeout of that rebalance is the longest one of the members. Without members it is 0.
#[test]
fn a_group_whose_last_member_goes_waits_for_no_id_that_was_handed_out() {
    let mut rig = Rig::new();
    let member = rig.stable(1).remove(0);
    let required = rig.call(5, join("", None));
    assert_eq!(rig.join_error(required), GroupError::MemberIdRequired);
    rig.leave(&member);
    rig.wait(0);
    assert_eq!(rig.state(), Some(GroupState::Empty));
}

#[test]
fn an_id_that_is_given_back_completes_the_join_of_the_others() {
    let mut rig = Rig::new();
    let members = rig.stable(1);
    let required = rig.call(5, join("", None));
    let id = rig.join_reply(required).unwrap().member_id;
    let token = rejoin(&mut rig, &members[0]);
    assert_eq!(rig.join_reply(token), None);
    rig.leave(&Member { id, instance_id: None, generation: -1 });
    assert_eq!(rig.joined(token).generation, members[0].generation + 1);
}

#[test]
fn a_member_for_which_there_is_no_room_completes_the_join_of_the_others() {
    let config = GroupConfig { initial_rebalance_delay_ms: 0, group_max_size: 2, ..GroupConfig::default() };
    let mut rig = Rig::with(config);
    let members = rig.stable(2);
    let required = rig.call(5, join("", None));
    // A full stable group hands out no ids.
    assert_eq!(rig.join_error(required), GroupError::GroupMaxSizeReached);
    rig.leave(&members[1]);
    let required = rig.call(5, join("", None));
    let id = rig.join_reply(required).unwrap().member_id;
    let tokens = [rejoin(&mut rig, &members[0]), enter(&mut rig)];
    let refused = rig.call(5, join(&id, None));
    assert_eq!(rig.join_error(refused), GroupError::GroupMaxSizeReached);
    for token in tokens {
        assert_eq!(rig.joined(token).generation, members[0].generation + 1);
    }
}

#[test]
fn membership_is_checked_before_the_generation() {
    let mut rig = Rig::new();
    let member = rig.stable(1).remove(0);
    let stranger = Member { id: "stranger".to_owned(), generation: 99, ..member.clone() };
    let late = Member { generation: member.generation - 1, ..member.clone() };
    let claims_instance = Member { instance_id: Some("i0".to_owned()), generation: 99, ..member };
    for (member, error) in [
        (stranger, GroupError::UnknownMemberId),
        (late, GroupError::IllegalGeneration),
        (claims_instance, GroupError::UnknownMemberId),
    ] {
        assert_eq!(rig.heartbeat(&member), Err(error));
        assert_eq!(rig.commit(&member, 1), Err(error));
        let token = rig.call(5, sync(&member, Vec::new()));
        assert_eq!(rig.synced(token), Some(Err(error)));
    }
    assert_eq!(rig.fetch().offset, -1);
}

#[test]
fn consumers_without_a_generation_commit_only_to_an_empty_group() {
    let mut rig = Rig::new();
    assert_eq!(rig.commit(&nobody(), 10), Ok(()));
    let member = rig.stable(1).remove(0);
    assert_eq!(rig.commit(&nobody(), 20), Err(GroupError::UnknownMemberId));
    assert_eq!(rig.commit(&member, 30), Ok(()));
    assert_eq!(rig.fetch().offset, 30);
    rig.leave(&member);
    assert_eq!(rig.state(), Some(GroupState::Empty));
    assert_eq!(rig.commit(&nobody(), 20), Ok(()));
    assert_eq!(rig.fetch().offset, 20);
}

#[test]
fn members_commit_from_the_generation_before_while_others_join_but_not_before_their_assignment() {
    let mut rig = Rig::new();
    let members = rig.stable(2);
    let token = rejoin(&mut rig, &members[0]);
    assert_eq!(rig.commit(&members[1], 5), Ok(()));
    let other = rejoin(&mut rig, &members[1]);
    let generation = rig.joined(token).generation;
    rig.joined(other);
    let member = Member { generation, ..members[1].clone() };
    assert_eq!(rig.commit(&member, 6), Err(GroupError::RebalanceInProgress));
    assert_eq!(rig.fetch().offset, 5);
}

#[test]
fn the_first_rebalance_waits_three_seconds_and_longer_for_more_members() {
    let mut rig = Rig::with(GroupConfig::default());
    let first = enter(&mut rig);
    rig.wait(2_999);
    let second = enter(&mut rig);
    rig.wait(1);
    assert_eq!(rig.join_reply(first), None, "the second member extends the wait");
    rig.wait(2_999);
    assert_eq!(rig.join_reply(first), None);
    rig.wait(1);
    let [first, second] = [first, second].map(|token| rig.joined(token));
    assert_eq!((first.generation, second.generation), (1, 1));
    let leads = [&first, &second].map(|joined| joined.members.len());
    assert_eq!(leads.iter().sum::<usize>(), 2, "the leader alone gets the members");
}

#[test]
fn a_member_that_leaves_with_a_parked_sync_is_answered() {
    let mut rig = Rig::new();
    let follower = follower_that_has_joined(&mut rig);
    let parked = rig.call(5, sync(&follower, Vec::new()));
    rig.leave(&follower);
    assert_eq!(rig.synced(parked), Some(Err(GroupError::UnknownMemberId)));
    assert_eq!(rig.state(), Some(GroupState::PreparingRebalance));
}

#[test]
fn members_that_do_not_sync_are_removed() {
    let mut rig = Rig::new();
    let members = rig.stable(2);
    let tokens = [rejoin(&mut rig, &members[0]), rejoin(&mut rig, &members[1])];
    let generation = rig.joined(tokens[0]).generation;
    let members: Vec<Member> = members.into_iter().map(|member| Member { generation, ..member }).collect();
    let parked = rig.call(5, sync(&members[1], Vec::new()));
    for _ in 0..REBALANCE_MS / 5_000 {
        rig.heartbeat(&members[0]).unwrap();
        rig.wait(5_000);
    }
    if rig.groups.view(GROUP).unwrap().members.len() == 1 {
        assert!(rig.synced(parked).is_some_and(|outcome| outcome.is_err()));
        assert_eq!(rig.heartbeat(&members[0]), Err(GroupError::UnknownMemberId));
    } else {
        panic!("the member that sent no SyncGroup is still there");
    }
}

#[test]
fn a_changed_subscription_starts_a_rebalance_and_the_same_one_does_not() {
    let mut rig = Rig::new();
    let members = rig.stable(2);
    let leader = rig.groups.view(GROUP).unwrap().leader.unwrap();
    let follower = members.iter().find(|member| member.id != leader).unwrap().clone();
    let token = rejoin(&mut rig, &follower);
    assert_eq!(rig.joined(token).generation, follower.generation);
    let changed = with_topics(join(&follower.id, None), |join| {
        join.protocols.truncate(1);
    });
    let token = rig.call(5, changed);
    assert_eq!(rig.join_reply(token), None);
    assert_eq!(rig.state(), Some(GroupState::PreparingRebalance));
}

#[test]
fn several_members_leave_with_one_request() {
    let mut rig = Rig::new();
    let members = rig.stable(2);
    let leaving = |id: &str| LeavingMember { member_id: id.to_owned(), instance_id: None };
    let request = LeaveGroup {
        group: GROUP.to_owned(),
        members: vec![leaving(&members[0].id), leaving("stranger"), leaving(&members[1].id), leaving("")],
    };
    let token = rig.send(5, RequestBody::Leave(request));
    assert_eq!(rig.open[0].waiting, [token], "the reply waits for the record of the empty group");
    rig.end_appends(Ok(()));
    let reply = format!("{:?}", rig.reply(token).unwrap());
    assert_eq!(reply.matches("outcome: Ok(())").count(), 2, "{reply}");
    assert_eq!(reply.matches("outcome: Err(UnknownMemberId)").count(), 2, "{reply}");
    assert_eq!(rig.state(), Some(GroupState::Empty));
}
