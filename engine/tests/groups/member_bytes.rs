//! The bytes of a group's members are bounded, so that the group's record is one batch that the log takes.

use crate::rig::{GROUP, Member, Rig, join, sync};
use bytes::Bytes;
use vnotch_engine::config::BATCH_BYTES_MAX;
use vnotch_engine::group::{
    EncodedRecord, GroupConfig, GroupError, GroupState, JoinGroup, Protocol, RequestBody, Token,
};
use vnotch_engine::record::{BatchBuilder, RecordRef};

/// Bytes of the longest strings that a request may hold.
const LONG: usize = 32_767 - 37;

fn changed(member_id: &str, change: impl FnOnce(&mut JoinGroup)) -> RequestBody {
    let RequestBody::Join(mut request) = join(member_id, None) else { panic!("a join") };
    change(&mut request);
    RequestBody::Join(request)
}

/// Returns a join with one protocol, and `bytes` of metadata.
fn large(member_id: &str, bytes: usize) -> RequestBody {
    changed(member_id, |join| {
        join.protocols.truncate(1);
        join.protocols[0].metadata = Bytes::from(vec![7; bytes]);
    })
}

/// Returns the bytes of a batch with this record alone.
fn batch_bytes(record: &EncodedRecord) -> usize {
    let mut builder = BatchBuilder::new();
    let (key, value) = (Some(&record.key[..]), record.value.as_deref());
    builder.push(&RecordRef { timestamp_ms: i64::MAX / 2, key, value, headers: &[] }).unwrap();
    builder.finish_with(Vec::new()).bytes.len()
}

/// Returns a coordinator whose groups wait for members before their first generation.
fn patient(config: GroupConfig) -> Rig {
    Rig::with(GroupConfig { initial_rebalance_delay_ms: 3_000, ..config })
}

/// Joins members until one is refused. Returns the JoinGroups of the others. `request` gets the number of the member.
fn fill(rig: &mut Rig, group: &str, request: impl Fn(usize) -> RequestBody) -> Vec<Token> {
    let mut tokens = Vec::new();
    for number in 0..64 {
        let before = rig.groups.view(group);
        let token = rig.call(0, request(number));
        if let Some(reply) = rig.join_reply(token) {
            assert_eq!(reply.outcome, Err(GroupError::MessageTooLarge));
            assert_eq!(rig.groups.view(group), before, "nothing changes for the others");
            return tokens;
        }
        tokens.push(token);
    }
    panic!("no member is refused");
}

/// Brings members into a generation, and stores it with as many bytes of assignments as a group may have. Returns the bytes of
/// the batch with its record.
fn store(rig: &mut Rig, group: &str, tokens: &[Token]) -> usize {
    while rig.groups.view(group).unwrap().state == GroupState::PreparingRebalance {
        rig.wait(3_000);
    }
    let leader = rig.groups.view(group).unwrap().leader.unwrap();
    for token in tokens {
        let reply = rig.join_reply(*token).unwrap();
        let generation = reply.outcome.unwrap().generation;
        let member = Member { id: reply.member_id, instance_id: None, generation };
        let is_leader = member.id == leader;
        let assignments = is_leader
            .then(|| (leader.clone(), Bytes::from(vec![1; GroupConfig::default().assignments_bytes_max])));
        let RequestBody::Sync(mut request) = sync(&member, assignments.into_iter().collect()) else {
            panic!("a sync")
        };
        group.clone_into(&mut request.group);
        rig.call(5, RequestBody::Sync(request));
    }
    assert_eq!(rig.groups.view(group).unwrap().state, GroupState::Stable);
    assert_eq!(rig.groups.view(group).unwrap().members.len(), tokens.len());
    batch_bytes(rig.log.last().unwrap())
}

#[test]
fn a_member_is_refused_whose_metadata_would_make_the_groups_record_too_large() {
    let mut rig = patient(GroupConfig::default());
    let tokens = fill(&mut rig, GROUP, |_| large("", 200 << 10));
    assert_eq!(tokens.len(), 6);
    let bytes = store(&mut rig, GROUP, &tokens);
    assert!(bytes <= BATCH_BYTES_MAX, "{bytes}");
    assert!(bytes + (400 << 10) > BATCH_BYTES_MAX, "{bytes}: there was no room for one more");
}

#[test]
fn the_record_of_a_group_with_the_longest_names_fits_a_batch() {
    let group = "g".repeat(LONG);
    let request = |number: usize| {
        changed("", |join| {
            join.group.clone_from(&group);
            join.instance_id = Some(format!("{number:0LONG$}"));
            join.protocol_type = "t".repeat(LONG);
            join.protocols.truncate(1);
            join.protocols[0] = Protocol { name: "p".repeat(LONG), metadata: Bytes::from(vec![7; 9_000]) };
        })
    };
    let mut rig = patient(GroupConfig::default());
    let tokens = fill(&mut rig, &group, request);
    let bytes = store(&mut rig, &group, &tokens);
    assert!(bytes <= BATCH_BYTES_MAX, "{bytes}");
    assert!(bytes + (100 << 10) > BATCH_BYTES_MAX, "{bytes}: there was no room for one more");
}

#[test]
fn the_protocols_of_all_members_are_bounded_with_their_names() {
    // Two protocols with 28 bytes of metadata each, and 6 bytes beside: 83 bytes a member.
    let mut rig = patient(GroupConfig { group_metadata_bytes_max: 12 * 83, ..GroupConfig::default() });
    assert_eq!(fill(&mut rig, GROUP, |_| join("", None)).len(), 12);
}

#[test]
fn the_names_of_a_members_protocols_count() {
    let config = GroupConfig { member_metadata_bytes_max: 100, ..GroupConfig::default() };
    for (name, is_refused) in [("range", false), ("r".repeat(100).as_str(), true)] {
        let mut rig = Rig::with(config.clone());
        let token = rig.call(5, changed("", |join| name.clone_into(&mut join.protocols[0].name)));
        let error = rig.join_error(token);
        assert_eq!(error == GroupError::MessageTooLarge, is_refused, "{name}: {error:?}");
    }
}

/// Returns a coordinator whose groups have room for two members of these tests, with 111 bytes each.
fn narrow() -> Rig {
    Rig::with(GroupConfig {
        initial_rebalance_delay_ms: 0,
        group_members_bytes_max: 300,
        ..GroupConfig::default()
    })
}

#[test]
fn a_member_that_joins_again_with_more_than_fits_stays_as_it_was() {
    let mut rig = narrow();
    let members = rig.stable(2);
    let before = rig.groups.view(GROUP);
    let token = rig.call(5, large(&members[1].id, 150));
    let reply = rig.join_reply(token).unwrap();
    assert_eq!((reply.member_id, reply.outcome), (members[1].id.clone(), Err(GroupError::MessageTooLarge)));
    assert_eq!(rig.groups.view(GROUP), before);
    assert!(members.iter().all(|member| rig.heartbeat(member) == Ok(())));
}

#[test]
fn no_id_is_handed_out_to_a_member_that_does_not_fit() {
    let mut rig = narrow();
    rig.stable(2);
    let token = rig.call(5, join("", None));
    assert_eq!(rig.join_error(token), GroupError::MessageTooLarge);
    assert!(rig.groups.view(GROUP).unwrap().pending.is_empty());
}

#[test]
fn an_id_is_taken_back_if_its_member_does_not_fit_any_more() {
    let mut rig = narrow();
    let members = rig.stable(1);
    let required = rig.call(5, join("", None));
    let id = rig.join_reply(required).unwrap().member_id;
    let others = [rig.call(0, join("", None)), rig.call(5, join(&members[0].id, None))];
    assert_eq!(rig.state(), Some(GroupState::PreparingRebalance), "the group waits for the id");
    let token = rig.call(5, join(&id, None));
    assert_eq!(rig.join_error(token), GroupError::MessageTooLarge);
    for token in others {
        rig.joined(token);
    }
    assert_eq!(rig.groups.view(GROUP).unwrap().members.len(), 2);
}

#[test]
fn members_of_a_group_beyond_the_bound_join_again_with_no_more_bytes_than_before() {
    let mut rig = Rig::new();
    let members = rig.stable(2);
    let config =
        GroupConfig { initial_rebalance_delay_ms: 0, group_members_bytes_max: 10, ..GroupConfig::default() };
    let mut groups = vnotch_engine::group::Groups::new(config);
    for record in &rig.log {
        groups.load(&record.key, record.value.as_deref()).unwrap();
    }
    groups.serve(rig.now);
    rig.groups = groups;
    for member in &members {
        let token = rig.call(5, changed(&member.id, |join| join.protocols.truncate(1)));
        assert!(rig.join_reply(token).is_none_or(|reply| reply.outcome.is_ok()));
    }
    assert_eq!(rig.groups.view(GROUP).unwrap().members.len(), 2);
}
