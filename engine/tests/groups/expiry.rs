//! Expiry and removal in parts: together the parts do what one expiry does, and each is small.

use crate::rig::{Rig, commit, nobody};
use vnotch_engine::group::{
    Append, CommittedOffset, EncodedRecord, GroupConfig, GroupRecord, Groups, OffsetKey, OffsetsPlace,
    Output, PartitionCommit, RequestBody,
};

const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// Most looks of a part in these tests.
const LOOKS: usize = 50;

fn offset(group: &str, topic: &str, partition: i32, committed_ms: i64) -> EncodedRecord {
    let key = OffsetKey { group: group.to_owned(), topic: topic.to_owned(), partition };
    let metadata = String::new();
    let value = CommittedOffset { offset: 5, leader_epoch: -1, metadata, committed_ms, expires_ms: None };
    GroupRecord::Offset { key, value: Some(value) }.encode()
}

/// Returns a coordinator with 60 groups. Most have six offsets of two topics, of which every fifth group's are fresh. `g30` has
/// 220 offsets.
fn with_groups() -> Rig {
    let mut rig = Rig::new();
    let mut groups = Groups::new(GroupConfig::default());
    for number in 0..60 {
        let id = format!("g{number}");
        let committed_ms = if number % 5 == 1 { rig.now.unix_ms } else { rig.now.unix_ms - WEEK_MS };
        for partition in 0..if number == 30 { 110 } else { 3 } {
            for topic in ["t", "u"] {
                rig.log.push(offset(&id, topic, partition, committed_ms));
            }
        }
    }
    for record in &rig.log {
        groups.load(&record.key, record.value.as_deref()).unwrap();
    }
    groups.serve(rig.now);
    rig.groups = groups;
    rig
}

fn records(appends: &[Append]) -> Vec<EncodedRecord> {
    appends.iter().flat_map(|append| append.records.clone()).collect()
}

/// Carries out all parts. `between` is called before each but the first.
fn in_parts(
    rig: &mut Rig,
    part: impl Fn(&mut Rig, &OffsetsPlace) -> (Output, Option<OffsetsPlace>),
    mut between: impl FnMut(&mut Rig),
) -> (Vec<EncodedRecord>, usize) {
    let (mut all, mut count, mut place) = (Vec::new(), 0, Some(OffsetsPlace::default()));
    while let Some(from) = place {
        if count > 0 {
            between(rig);
        }
        let (out, next) = part(rig, &from);
        let of_part = records(&out.appends);
        assert!(of_part.len() <= 2 * LOOKS, "{} records", of_part.len());
        all.extend(of_part);
        rig.open.extend(out.appends);
        rig.end_appends(Ok(()));
        (count, place) = (count + 1, next);
    }
    (all, count)
}

fn expire_part(rig: &mut Rig, from: &OffsetsPlace) -> (Output, Option<OffsetsPlace>) {
    rig.groups.expire_part(rig.now, from, LOOKS)
}

#[test]
fn the_parts_of_an_expiry_remove_what_one_expiry_removes() {
    let mut whole = with_groups();
    let out = whole.groups.expire(whole.now);
    let mut expected = records(&out.appends);
    let mut rig = with_groups();
    let (removed, parts) = in_parts(&mut rig, expire_part, |_| {});
    assert!(parts >= 6, "{parts}");
    // The group that one part does not hold is removed by the next expiry.
    let of_large = GroupRecord::Group { group: "g30".to_owned(), value: None }.encode();
    expected.retain(|record| *record != of_large);
    assert_eq!(removed, expected);
    assert_eq!(rig.groups.ids().filter(|id| *id != "g30").count(), 12, "the fresh ones");
    let (removed, _) = in_parts(&mut rig, expire_part, |_| {});
    assert_eq!(removed, [of_large]);
    assert_eq!(rig.groups.ids().count(), 12);
}

#[test]
fn an_offset_that_is_committed_between_two_parts_stays_with_its_group() {
    let mut rig = with_groups();
    let commit_all = |rig: &mut Rig| {
        for group in ["g0", "g30", "g59"] {
            let RequestBody::OffsetCommit(mut request) = commit(&nobody(), 9, None) else {
                panic!("a commit")
            };
            group.clone_into(&mut request.group);
            request.topics = vec![(
                "t".to_owned(),
                vec![PartitionCommit { partition: 0, offset: 9, leader_epoch: -1, metadata: None }],
            )];
            rig.call(9, RequestBody::OffsetCommit(request));
        }
    };
    in_parts(&mut rig, expire_part, commit_all);
    for group in ["g0", "g30", "g59"] {
        let left = rig.groups.committed(group);
        assert_eq!(left.iter().map(|(_, value)| value.offset).collect::<Vec<_>>(), [9], "{group}");
    }
}

#[test]
fn the_parts_of_a_removal_forget_a_topic_and_nothing_else() {
    let mut rig = with_groups();
    assert_eq!(rig.groups.topics_with_offsets().collect::<Vec<_>>(), ["t", "u"]);
    let forget =
        |rig: &mut Rig, from: &OffsetsPlace| rig.groups.forget_part(from, LOOKS, |name, _| name == "t");
    let (removed, parts) = in_parts(&mut rig, forget, |_| {});
    assert!(parts >= 6, "{parts}");
    assert_eq!(removed.len(), 59 * 3 + 110);
    assert!(!rig.groups.has_offsets_of("t"));
    assert_eq!(rig.groups.topics_with_offsets().collect::<Vec<_>>(), ["u"]);
    assert_eq!(rig.groups.ids().map(|id| rig.groups.committed(id).len()).sum::<usize>(), 59 * 3 + 110);
    let (removed, parts) = in_parts(&mut rig, forget, |_| {});
    assert!(removed.is_empty() && parts >= 3, "{parts}");
}

#[test]
fn a_removal_gets_the_time_of_each_commit_and_none_for_one_that_is_being_committed() {
    let mut rig = with_groups();
    let now_ms = rig.now.unix_ms;
    rig.send(9, commit(&nobody(), 9, None));
    let is_gone = |name: &str, at_ms: Option<i64>| match at_ms {
        Some(at_ms) => at_ms < now_ms && name == "t",
        None => name == "orders",
    };
    let (out, next) = rig.groups.forget_part(&OffsetsPlace::default(), usize::MAX, is_gone);
    assert_eq!((records(&out.appends).len(), next), (47 * 3 + 110 + 1, None));
    rig.open.extend(out.appends);
    rig.end_appends(Ok(()));
    assert!(rig.groups.has_offsets_of("t"), "the fresh ones stay");
    assert!(!rig.groups.has_offsets_of("orders"));
}
