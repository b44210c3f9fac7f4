//! The stored state: recovery, expiry, deletion, and the requests that only read.

use crate::rig::{GROUP, Member, Rig, SESSION_MS, commit, join, nobody, sync};
use std::collections::BTreeMap;
use vnotch_engine::group::{
    AppendFailure, CommittedOffset, DeleteGroups, DescribeGroups, EncodedRecord, GroupConfig, GroupError,
    GroupRecord, GroupState, GroupValue, Groups, Heartbeat, LeaveGroup, LeavingMember, ListGroups,
    OffsetDelete, OffsetFetch, OffsetKey, PartitionCommit, ReplyBody, Request, RequestBody, SnapshotPlace,
    Token,
};

const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

fn expire(rig: &mut Rig) {
    let out = rig.groups.expire(rig.now);
    rig.open.extend(out.appends);
    rig.end_appends(Ok(()));
}

/// Gives the coordinator up, and lets another one load the log.
fn restart(rig: &mut Rig) {
    rig.groups.unload();
    let mut groups = Groups::new(GroupConfig::default());
    for record in &rig.log {
        groups.load(&record.key, record.value.as_deref()).unwrap();
    }
    groups.serve(rig.now);
    rig.groups = groups;
}

#[test]
fn a_recovered_group_is_stable_and_its_members_keep_their_assignments() {
    let mut rig = Rig::new();
    let members = rig.stable(2);
    rig.commit(&members[0], 17).unwrap();
    restart(&mut rig);
    assert_eq!(rig.state(), Some(GroupState::Stable));
    assert_eq!(rig.fetch().offset, 17);
    for member in &members {
        assert_eq!(rig.heartbeat(member), Ok(()));
        let token = rig.call(5, sync(member, Vec::new()));
        assert_eq!(rig.synced(token).unwrap().unwrap().assignment, member.id);
    }
    rig.wait(SESSION_MS);
    assert_eq!(rig.state(), Some(GroupState::Empty), "sessions run from the recovery on");
}

#[test]
fn a_rebalance_is_forgotten_by_a_recovery() {
    let mut rig = Rig::new();
    let members = rig.stable(2);
    let parked = rig.call(5, join(&members[0].id, None));
    let out = rig.groups.unload();
    assert_eq!(out.replies.len(), 1);
    assert_eq!(out.replies[0].token, parked);
    let after = rig.send(4, RequestBody::ListGroups(ListGroups::default()));
    assert_eq!(rig.reply(after), Some(ReplyBody::ListGroups(Err(GroupError::NotCoordinator))));
    restart(&mut rig);
    assert_eq!(rig.heartbeat(&members[1]), Ok(()));
}

#[test]
fn a_coordinator_that_loads_answers_heartbeats_and_nothing_else() {
    let mut groups = Groups::new(GroupConfig::default());
    let now = Rig::new().now;
    let mut ask = |body: RequestBody| {
        let client = vnotch_engine::group::Client::default();
        let out = groups.handle(Request { token: Token(1), client, api_version: 4, body }, now);
        out.replies[0].body.clone()
    };
    let (group, member_id) = (GROUP.to_owned(), "m".to_owned());
    let heartbeat = Heartbeat { group, generation: 1, member_id, instance_id: None };
    assert_eq!(ask(RequestBody::Heartbeat(heartbeat)), ReplyBody::Heartbeat(Ok(())));
    let fetch = OffsetFetch { group: GROUP.to_owned(), topics: None };
    let error = GroupError::CoordinatorLoadInProgress;
    assert_eq!(ask(RequestBody::OffsetFetch(fetch)), ReplyBody::OffsetFetch(Err(error)));
}

#[test]
fn requests_that_wait_for_records_are_answered_when_the_coordinator_is_given_up() {
    let mut rig = Rig::new();
    let tokens = [rig.send(5, join("", None)), rig.send(9, commit(&nobody(), 4, None))];
    let replies = rig.groups.unload().replies;
    let mut answered: Vec<Token> = replies.iter().map(|reply| reply.token).collect();
    answered.sort_unstable();
    assert_eq!(answered, tokens);
    assert!(format!("{replies:?}").matches("NotCoordinator").count() >= 2);
    rig.end_appends(Err(AppendFailure::Storage));
    assert!(rig.replies.is_empty());
}

#[test]
fn offsets_of_consumers_without_a_group_expire_a_week_after_their_commit() {
    let mut rig = Rig::new();
    rig.commit(&nobody(), 5).unwrap();
    rig.wait(WEEK_MS - 1);
    expire(&mut rig);
    assert_eq!(rig.fetch().offset, 5);
    rig.wait(1);
    expire(&mut rig);
    assert_eq!((rig.fetch().offset, rig.state()), (-1, None));
    restart(&mut rig);
    assert_eq!(rig.state(), None);
}

#[test]
fn offsets_of_a_group_expire_a_week_after_the_last_member_has_left() {
    let mut rig = Rig::new();
    let member = rig.stable(1).remove(0);
    rig.commit(&member, 5).unwrap();
    for _ in 0..3 {
        rig.now.unix_ms += i64::try_from(WEEK_MS).unwrap();
        expire(&mut rig);
        assert_eq!(rig.fetch().offset, 5, "the group has a member that subscribes to the topic");
    }
    rig.leave(&member);
    rig.wait(WEEK_MS - 1);
    expire(&mut rig);
    assert_eq!(rig.fetch().offset, 5);
    rig.wait(1);
    expire(&mut rig);
    assert_eq!((rig.fetch().offset, rig.state()), (-1, None));
}

#[test]
fn an_offset_that_is_being_committed_does_not_expire() {
    let mut rig = Rig::new();
    rig.commit(&nobody(), 5).unwrap();
    rig.wait(WEEK_MS);
    rig.send(9, commit(&nobody(), 6, None));
    let out = rig.groups.expire(rig.now);
    assert_eq!(out.appends, []);
    rig.end_appends(Ok(()));
    assert_eq!(rig.fetch().offset, 6);
}

#[test]
fn a_group_with_members_is_not_deleted_and_an_empty_one_goes_with_its_offsets() {
    let mut rig = Rig::new();
    let member = rig.stable(1).remove(0);
    rig.commit(&member, 5).unwrap();
    let delete =
        || RequestBody::DeleteGroups(DeleteGroups { groups: vec![GROUP.to_owned(), "nobody".to_owned()] });
    let outcome = |rig: &mut Rig| {
        let token = rig.call(2, delete());
        match rig.reply(token).unwrap() {
            ReplyBody::DeleteGroups(groups) => {
                groups.into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>()
            }
            other => panic!("{other:?} is no reply to a deletion"),
        }
    };
    let missing = Err(GroupError::GroupIdNotFound);
    assert_eq!(outcome(&mut rig), [Err(GroupError::NonEmptyGroup), missing]);
    rig.leave(&member);
    let token = rig.send(2, delete());
    assert_eq!(rig.reply(token), None);
    rig.end_appends(Err(AppendFailure::Unavailable));
    assert!(format!("{:?}", rig.reply(token)).contains("CoordinatorNotAvailable"));
    assert_eq!(rig.fetch().offset, 5);
    assert_eq!(outcome(&mut rig), [Ok(()), missing]);
    assert_eq!((rig.fetch().offset, rig.state()), (-1, None));
    restart(&mut rig);
    assert_eq!(rig.groups.snapshot().count(), 0);
}

/// A coordinator with a group that has committed offsets of 20,000 partitions.
fn with_many_offsets() -> Rig {
    let mut rig = Rig::new();
    let RequestBody::OffsetCommit(mut many) = commit(&nobody(), 17, None) else { panic!("a commit") };
    let one = many.topics[0].1[0].clone();
    many.topics[0].1 = (0..20_000).map(|partition| PartitionCommit { partition, ..one.clone() }).collect();
    rig.call(9, RequestBody::OffsetCommit(many));
    assert_eq!(rig.fetch().offset, 17);
    rig.replies.clear();
    rig
}

/// Checks that the log takes each of the open appends, and that there are several.
fn assert_small(rig: &Rig) {
    let bytes = |record: &EncodedRecord| record.key.len() + record.value.as_ref().map_or(0, |it| it.len());
    let largest = rig.open.iter().map(|append| append.records.iter().map(bytes).sum::<usize>()).max();
    assert!(rig.open.len() > 5 && largest < Some(256 << 10), "{} batches, {largest:?}", rig.open.len());
}

#[test]
fn a_group_with_many_offsets_expires_in_batches_that_the_log_takes() {
    let mut rig = with_many_offsets();
    rig.now.unix_ms += i64::try_from(WEEK_MS).unwrap();
    let out = rig.groups.expire(rig.now);
    rig.open.extend(out.appends);
    assert_small(&rig);
    rig.end_appends(Ok(()));
    assert_eq!((rig.fetch().offset, rig.state()), (-1, None));
}

#[test]
fn a_group_with_many_offsets_is_deleted_once_its_last_batch_is_in_the_log() {
    let mut rig = with_many_offsets();
    let token = rig.send(2, RequestBody::DeleteGroups(DeleteGroups { groups: vec![GROUP.to_owned()] }));
    assert_small(&rig);
    let last = rig.open.pop().unwrap();
    rig.end_appends(Ok(()));
    assert_eq!(rig.reply(token), None, "the last batch is not in the log");
    rig.open.push(last);
    rig.end_appends(Ok(()));
    let deleted = ReplyBody::DeleteGroups(vec![(GROUP.to_owned(), Ok(()))]);
    assert_eq!(rig.reply(token), Some(deleted));
    assert_eq!((rig.fetch().offset, rig.state()), (-1, None));
    restart(&mut rig);
    assert_eq!(rig.state(), None, "the log says so too");
}

#[test]
fn a_deletion_takes_the_offsets_along_that_are_being_committed() {
    let mut rig = Rig::new();
    let member = rig.stable(1).remove(0);
    rig.leave(&member);
    rig.send(9, commit(&nobody(), 2, None));
    rig.send(2, RequestBody::DeleteGroups(DeleteGroups { groups: vec![GROUP.to_owned()] }));
    rig.end_appends(Ok(()));
    assert_eq!((rig.fetch().offset, rig.state()), (-1, None));
    // Compaction keeps the newest record of each key. Without a removal of its own, the offset would outlive its group there.
    let newest: BTreeMap<_, _> = rig.log.iter().map(|record| (&record.key, &record.value)).collect();
    assert!(newest.len() > 1 && newest.values().all(|value| value.is_none()), "{newest:?}");
    restart(&mut rig);
    assert_eq!(rig.groups.snapshot().count(), 0);
}

#[test]
fn a_member_that_joins_during_a_deletion_stays() {
    let mut rig = Rig::new();
    rig.commit(&nobody(), 1).unwrap();
    rig.send(2, RequestBody::DeleteGroups(DeleteGroups { groups: vec![GROUP.to_owned()] }));
    let token = rig.send(0, join("", None));
    rig.end_appends(Ok(()));
    rig.wait(0);
    let reply = rig.join_reply(token).unwrap();
    let member =
        Member { id: reply.member_id, instance_id: None, generation: reply.outcome.unwrap().generation };
    rig.sync_all(std::slice::from_ref(&member));
    assert_eq!(rig.heartbeat(&member), Ok(()));
    assert_eq!(rig.fetch().offset, -1);
}

#[test]
fn a_member_that_comes_and_goes_during_a_deletion_is_not_left_behind() {
    let mut rig = Rig::new();
    rig.commit(&nobody(), 3).unwrap();
    let deletion = DeleteGroups { groups: vec![GROUP.to_owned()] };
    rig.send(2, RequestBody::DeleteGroups(deletion));
    rig.send(0, join("", None));
    let out = rig.groups.tick(rig.now);
    rig.replies.extend(out.replies);
    let member = rig.member();
    rig.send(5, sync(&member, vec![(member.id.clone(), member.id.clone().into())]));
    let leaving = LeavingMember { member_id: member.id.clone(), instance_id: None };
    rig.send(5, RequestBody::Leave(LeaveGroup { group: GROUP.to_owned(), members: vec![leaving] }));
    rig.end_appends(Ok(()));
    assert_eq!(rig.state(), Some(GroupState::Empty), "the member has left");
    let stored: Vec<_> = rig.groups.snapshot().collect();
    restart(&mut rig);
    assert_eq!(rig.groups.snapshot().collect::<Vec<_>>(), stored, "the log gives the same state");
    assert_eq!(rig.state(), Some(GroupState::Empty));
}

#[test]
fn offsets_of_a_topic_in_use_are_not_deleted() {
    let mut rig = Rig::new();
    let member = rig.stable(1).remove(0);
    rig.commit(&member, 5).unwrap();
    let topics = vec![("orders".to_owned(), vec![0]), ("other".to_owned(), vec![0])];
    let delete = RequestBody::OffsetDelete(OffsetDelete { group: GROUP.to_owned(), topics });
    let token = rig.call(0, delete.clone());
    let used = ("orders".to_owned(), vec![(0, Err(GroupError::GroupSubscribedToTopic))]);
    let unused = ("other".to_owned(), vec![(0, Ok(()))]);
    assert_eq!(rig.reply(token), Some(ReplyBody::OffsetDelete(Ok(vec![used, unused.clone()]))));
    rig.leave(&member);
    let token = rig.call(0, delete);
    let now_unused = ("orders".to_owned(), vec![(0, Ok(()))]);
    assert_eq!(rig.reply(token), Some(ReplyBody::OffsetDelete(Ok(vec![now_unused, unused]))));
    assert_eq!(rig.fetch().offset, -1);
}

#[test]
fn groups_are_described_and_listed_with_kafkas_words() {
    let mut rig = Rig::new();
    let member = rig.stable(1).remove(0);
    let describe = |rig: &mut Rig, version: i16| {
        let groups = vec![GROUP.to_owned(), "nobody".to_owned()];
        let token = rig.call(version, RequestBody::DescribeGroups(DescribeGroups { groups }));
        match rig.reply(token).unwrap() {
            ReplyBody::DescribeGroups(groups) => groups,
            other => panic!("{other:?} is no description"),
        }
    };
    let described = describe(&mut rig, 5);
    assert_eq!((described[0].state, described[0].protocol.as_str()), ("Stable", "range"));
    assert_eq!(described[0].members[0].assignment, member.id);
    assert!(!described[0].members[0].metadata.is_empty());
    assert_eq!((described[1].state, described[1].error), ("Dead", None));
    assert_eq!(describe(&mut rig, 6)[1].error, Some(GroupError::GroupIdNotFound));
    rig.call(0, join("", None));
    let described = describe(&mut rig, 5);
    assert_eq!((described[0].state, described[0].protocol.as_str()), ("PreparingRebalance", ""));
    assert!(described[0].members[0].metadata.is_empty());
    let mut list = |states: &[&str], types: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let request = ListGroups { states: owned(states), types: owned(types) };
        let token = rig.call(5, RequestBody::ListGroups(request));
        match rig.reply(token).unwrap() {
            ReplyBody::ListGroups(Ok(groups)) => groups.len(),
            other => panic!("{other:?} is no list"),
        }
    };
    assert_eq!(list(&[], &[]), 1);
    assert_eq!(list(&["preparingrebalance"], &["Classic"]), 1);
    assert_eq!(list(&["Stable"], &[]), 0);
    assert_eq!(list(&[], &["consumer"]), 0);
}

fn offset(group: &str, topic: &str, partition: i32) -> GroupRecord {
    let key = OffsetKey { group: group.into(), topic: topic.into(), partition };
    let metadata = String::new();
    let value = CommittedOffset { offset: 5, leader_epoch: -1, metadata, committed_ms: 1, expires_ms: None };
    GroupRecord::Offset { key, value: Some(value) }
}

fn loaded(records: &[GroupRecord]) -> Groups {
    let mut groups = Groups::new(GroupConfig::default());
    for EncodedRecord { key, value } in records.iter().map(GroupRecord::encode) {
        groups.load(&key, value.as_deref()).unwrap();
    }
    groups
}

#[test]
fn an_offset_that_is_older_than_the_topic_of_its_name_is_passed_over() {
    let EncodedRecord { key, value } = offset("g", "t", 0).encode();
    for (epoch, created_in, is_kept) in
        [(4, Some(5), false), (5, Some(5), true), (1, Some(0), true), (4, None, true)]
    {
        let mut groups = Groups::new(GroupConfig::default());
        groups.load_of_epoch(&key, value.as_deref(), epoch, |_| created_in).unwrap();
        assert_eq!(groups.has_offsets_of("t"), is_kept, "{epoch} {created_in:?}");
    }
}

#[test]
fn the_removal_of_a_group_removes_the_offsets_that_its_log_has_left() {
    let removed = GroupRecord::Group { group: "g".into(), value: None };
    let groups = loaded(&[offset("g", "t", 0), offset("h", "t", 0), removed]);
    assert_eq!(groups.ids().collect::<Vec<_>>(), ["h"]);
    assert!(groups.committed("g").is_empty());
    assert_eq!(groups.snapshot().collect::<Vec<_>>(), [offset("h", "t", 0).encode()]);
}

#[test]
fn the_parts_of_a_snapshot_are_the_whole_and_each_is_small() {
    let mut records = Vec::new();
    for group in ["a", "b", "c", "d"] {
        if group != "b" {
            let value = GroupValue { generation: 3, ..GroupValue::without_members(Some(7)) };
            records.push(GroupRecord::Group { group: group.into(), value: Some(value) });
        }
        for topic in ["t", "u"] {
            records.extend(
                (0..if group == "c" { 40 } else { 2 }).map(|partition| offset(group, topic, partition)),
            );
        }
    }
    let groups = loaded(&records);
    let whole: Vec<EncodedRecord> = groups.snapshot().collect();
    assert_eq!(whole.len(), records.len());
    let bytes = |record: &EncodedRecord| record.key.len() + record.value.as_ref().map_or(0, Vec::len);
    let largest = whole.iter().map(bytes).max().unwrap();
    for bytes_max in [1, 50, 200, 1_000, 100_000] {
        let (mut parts, mut place) = (Vec::new(), Some(SnapshotPlace::default()));
        while let Some(from) = place {
            let (part, next) = groups.snapshot_part(&from, bytes_max);
            assert!(!part.is_empty() && part.iter().map(bytes).sum::<usize>() <= bytes_max + largest);
            parts.extend(part);
            place = next;
        }
        assert_eq!(parts, whole, "{bytes_max}");
    }
    let (part, next) = loaded(&[]).snapshot_part(&SnapshotPlace::default(), 1);
    assert_eq!((part, next), (Vec::new(), None));
}

#[test]
fn the_offsets_of_a_deleted_topic_are_forgotten_and_others_stay() {
    let mut rig = Rig::new();
    let members = rig.stable(1);
    rig.commit(&members[0], 17).unwrap();
    assert!(rig.groups.forget_topic("other").appends.is_empty());
    // One that is being committed goes, too.
    rig.send(9, commit(&members[0], 18, None));
    let out = rig.groups.forget_topic("orders");
    assert_eq!(out.appends.len(), 1);
    let id = out.appends[0].id;
    rig.open.extend(out.appends);
    assert_eq!(rig.fetch().offset, 17, "nothing has changed before the records are stored");
    assert!(rig.groups.is_appending(id));
    rig.end_appends(Ok(()));
    assert!(!rig.groups.is_appending(id));
    assert_eq!(rig.fetch().offset, -1);
    restart(&mut rig);
    assert_eq!(rig.fetch().offset, -1);
    assert_eq!(rig.state(), Some(GroupState::Stable));
}

#[test]
fn nothing_expires_while_records_are_still_being_loaded() {
    let mut rig = Rig::new();
    rig.commit(&nobody(), 17).unwrap();
    let late = vnotch_engine::group::Now {
        unix_ms: rig.now.unix_ms + i64::try_from(2 * WEEK_MS).unwrap(),
        ..rig.now
    };
    let mut groups = Groups::new(GroupConfig::default());
    for record in &rig.log {
        groups.load(&record.key, record.value.as_deref()).unwrap();
    }
    // Later records of the log may say that the offset is fresh.
    assert!(!groups.is_serving());
    assert!(groups.expire(late).appends.is_empty());
    groups.serve(late);
    assert!(groups.is_serving());
    assert_eq!(groups.expire(late).appends.len(), 1);
}

#[test]
fn the_offsets_of_a_deleted_topic_are_removed_in_batches_that_every_log_takes() {
    const PARTITIONS: i32 = 3_000;
    let mut rig = Rig::new();
    let mut groups = Groups::new(GroupConfig::default());
    let id = "g".repeat(200);
    for topic in ["kept", "deleted"] {
        for partition in 0..PARTITIONS {
            let key = OffsetKey { group: id.clone(), topic: topic.to_owned(), partition };
            let value = CommittedOffset {
                offset: 1,
                leader_epoch: -1,
                metadata: String::new(),
                committed_ms: 0,
                expires_ms: None,
            };
            let record = GroupRecord::Offset { key, value: Some(value) }.encode();
            groups.load(&record.key, record.value.as_deref()).unwrap();
        }
    }
    groups.serve(rig.now);
    rig.groups = groups;
    assert!(rig.groups.has_offsets_of("deleted"));
    let out = rig.groups.forget_topic("deleted");
    assert!(out.appends.len() > 5, "{} batches", out.appends.len());
    for append in &out.appends {
        let bytes: usize = append.records.iter().map(|record| record.key.len()).sum();
        assert!(bytes < 128 << 10, "{bytes} bytes");
    }
    rig.open.extend(out.appends);
    rig.end_appends(Ok(()));
    assert!(!rig.groups.has_offsets_of("deleted"));
    assert_eq!(rig.groups.committed(&id).len(), usize::try_from(PARTITIONS).unwrap());
}
