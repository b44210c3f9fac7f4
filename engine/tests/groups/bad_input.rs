//! Requests and records that are refused. Each is answered with its named error, and nothing changes.

use crate::rig::{GROUP, Rig, commit, join, nobody, sync};
use bytes::Bytes;
use vnotch_engine::group::{
    CommittedOffset, GroupConfig, GroupError, GroupRecord, GroupState, GroupValue, Groups, JoinGroup,
    MemberValue, OffsetDelete, OffsetKey, RecordFault, ReplyBody, RequestBody,
};

fn small() -> GroupConfig {
    GroupConfig {
        initial_rebalance_delay_ms: 0,
        groups_max: 1,
        pending_members_max: 1,
        member_metadata_bytes_max: 100,
        assignments_bytes_max: 100,
        offset_metadata_max_chars: 10,
        ..GroupConfig::default()
    }
}

fn changed(change: impl FnOnce(&mut JoinGroup)) -> RequestBody {
    let RequestBody::Join(mut request) = join("", None) else { panic!("a join") };
    change(&mut request);
    RequestBody::Join(request)
}

#[test]
fn joins_that_no_group_takes_are_refused_with_the_named_error() {
    let refused: [(RequestBody, GroupError); 8] = [
        (changed(|join| join.group.clear()), GroupError::InvalidGroupId),
        (changed(|join| join.session_timeout_ms = 5_999), GroupError::InvalidSessionTimeout),
        (changed(|join| join.session_timeout_ms = i32::MAX), GroupError::InvalidSessionTimeout),
        (changed(|join| join.member_id = "stranger".to_owned()), GroupError::UnknownMemberId),
        (changed(|join| join.protocols[0].metadata = Bytes::from(vec![0; 101])), GroupError::MessageTooLarge),
        (changed(|join| join.instance_id = Some("i".repeat(32_731))), GroupError::InvalidRequest),
        (changed(|join| join.group = "g".repeat(40_000)), GroupError::InvalidRequest),
        (changed(|join| join.protocol_type = "p".repeat(40_000)), GroupError::InvalidRequest),
    ];
    for (request, error) in refused {
        let mut rig = Rig::with(small());
        let token = rig.call(5, request);
        assert_eq!(rig.join_error(token), error);
        assert!(rig.log.is_empty() && rig.groups.ids().next().is_none());
    }
}

#[test]
fn a_protocol_that_the_group_does_not_have_is_refused() {
    let mut rig = Rig::new();
    rig.stable(1);
    let before = rig.groups.view(GROUP);
    let others = [
        changed(|join| join.protocol_type = "connect".to_owned()),
        changed(|join| join.protocols.iter_mut().for_each(|protocol| protocol.name.push('x'))),
        changed(|join| join.protocols.clear()),
    ];
    for request in others {
        let token = rig.call(5, request);
        assert_eq!(rig.join_error(token), GroupError::InconsistentGroupProtocol);
    }
    let RequestBody::Sync(mut request) = sync(&rig.member(), Vec::new()) else { panic!("a sync") };
    request.protocol = Some("roundrobin".to_owned());
    let token = rig.call(5, RequestBody::Sync(request));
    assert_eq!(rig.synced(token), Some(Err(GroupError::InconsistentGroupProtocol)));
    assert_eq!(rig.groups.view(GROUP), before);
}

#[test]
fn groups_and_ids_that_wait_are_bounded() {
    let mut rig = Rig::with(small());
    let token = rig.call(5, join("", None));
    assert_eq!(rig.join_error(token), GroupError::MemberIdRequired);
    let token = rig.call(5, join("", None));
    assert_eq!(rig.join_error(token), GroupError::GroupMaxSizeReached);
    let token = rig.call(5, changed(|join| join.group.push('2')));
    assert_eq!(rig.join_error(token), GroupError::PolicyViolation);
    let RequestBody::OffsetCommit(mut request) = commit(&nobody(), 1, None) else { panic!("a commit") };
    request.group.push('2');
    let token = rig.call(9, RequestBody::OffsetCommit(request));
    assert!(format!("{:?}", rig.reply(token)).contains("PolicyViolation"));
    assert_eq!(rig.groups.ids().count(), 1);
}

#[test]
fn an_assignment_that_is_too_large_is_refused() {
    let mut rig = Rig::with(small());
    let member = rig.stable(1).remove(0);
    let token = rig.call(5, sync(&member, vec![(member.id.clone(), Bytes::from(vec![0; 101]))]));
    assert_eq!(rig.synced(token), Some(Err(GroupError::MessageTooLarge)));
    assert_eq!(rig.state(), Some(GroupState::Stable));
}

#[test]
fn metadata_of_an_offset_is_bounded_for_each_partition() {
    let mut rig = Rig::with(small());
    let token = rig.call(9, commit(&nobody(), 1, Some("0123456789".to_owned())));
    assert!(format!("{:?}", rig.reply(token)).contains("Ok(())"));
    let token = rig.call(9, commit(&nobody(), 2, Some("0123456789a".to_owned())));
    assert!(format!("{:?}", rig.reply(token)).contains("OffsetMetadataTooLarge"));
    let fetched = rig.fetch();
    assert_eq!((fetched.offset, fetched.metadata.as_str()), (1, "0123456789"));
}

#[test]
fn commits_of_a_generation_to_a_group_that_does_not_exist_are_refused_by_version() {
    let mut rig = Rig::new();
    let member = crate::rig::Member { id: "m".to_owned(), instance_id: None, generation: 3 };
    for (version, error) in [(9, "GroupIdNotFound"), (8, "IllegalGeneration")] {
        let token = rig.call(version, commit(&member, 1, None));
        assert!(format!("{:?}", rig.reply(token)).contains(error));
    }
    assert!(rig.log.is_empty() && rig.state().is_none());
}

#[test]
fn offsets_of_unknown_groups_and_groups_without_an_id_are_refused() {
    let mut rig = Rig::new();
    for (group, error) in [("", GroupError::InvalidGroupId), ("nobody", GroupError::GroupIdNotFound)] {
        let token =
            rig.call(0, RequestBody::OffsetDelete(OffsetDelete { group: group.to_owned(), topics: vec![] }));
        assert_eq!(rig.reply(token), Some(ReplyBody::OffsetDelete(Err(error))));
    }
}

#[test]
fn a_commit_beyond_the_end_of_the_log_is_accepted() {
    let mut rig = Rig::new();
    assert_eq!(rig.commit(&nobody(), i64::MAX), Ok(()));
    assert_eq!(rig.fetch().offset, i64::MAX);
}

fn records() -> Vec<GroupRecord> {
    let key = OffsetKey { group: "g".to_owned(), topic: "t".to_owned(), partition: 3 };
    let offset = |expires_ms: Option<i64>| CommittedOffset {
        offset: 7,
        leader_epoch: if expires_ms.is_some() { -1 } else { 2 },
        metadata: "m".to_owned(),
        committed_ms: 11,
        expires_ms,
    };
    let member = MemberValue {
        id: "m-1".to_owned(),
        instance_id: Some("i0".to_owned()),
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        rebalance_timeout_ms: 5,
        session_timeout_ms: 6,
        subscription: Bytes::from("sub"),
        assignment: Bytes::from("ass"),
    };
    let value = GroupValue {
        protocol_type: "consumer".to_owned(),
        generation: 4,
        protocol: Some("range".to_owned()),
        leader: Some("m-1".to_owned()),
        since_ms: Some(9),
        members: vec![member.clone(), MemberValue { id: "m-2".to_owned(), instance_id: None, ..member }],
    };
    let group = "g".to_owned();
    vec![
        GroupRecord::Offset { key: key.clone(), value: Some(offset(None)) },
        GroupRecord::Offset { key: key.clone(), value: Some(offset(Some(99))) },
        GroupRecord::Offset { key, value: None },
        GroupRecord::Group { group: group.clone(), value: Some(value) },
        GroupRecord::Group { group: group.clone(), value: Some(GroupValue::without_members(None)) },
        GroupRecord::Group { group, value: None },
    ]
}

#[test]
fn records_have_kafkas_bytes() {
    let encoded = records()[0].encode();
    assert_eq!(encoded.key, b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x03");
    let value =
        b"\x00\x03\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x02\x00\x01m\x00\x00\x00\x00\x00\x00\x00\x0b";
    assert_eq!(encoded.value.unwrap(), value);
    let encoded = records()[4].encode();
    assert_eq!(encoded.key, b"\x00\x02\x00\x01g");
    let value =
        b"\x00\x03\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00";
    assert_eq!(encoded.value.unwrap(), value);
}

#[test]
fn records_survive_encoding() {
    for record in records() {
        let encoded = record.encode();
        assert_eq!(GroupRecord::decode(&encoded.key, encoded.value.as_deref()), Ok(Some(record)));
    }
}

#[test]
fn flexible_values_of_newer_kafkas_are_read() {
    let key = b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x03";
    // Offset 7, epoch 2, metadata "m", time 11, one tagged field (a topic id of 16 bytes).
    let mut value =
        b"\x00\x04\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x02\x02m\x00\x00\x00\x00\x00\x00\x00\x0b"
            .to_vec();
    value.extend(b"\x01\x00\x10");
    value.extend([0xAB; 16]);
    assert_eq!(GroupRecord::decode(key, Some(&value)), Ok(Some(records()[0].clone())));
    // A group without members, in the flexible form.
    let value = b"\x00\x04\x01\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00";
    assert_eq!(GroupRecord::decode(b"\x00\x02\x00\x01g", Some(value)), Ok(Some(records()[4].clone())));
    // Keys of the newer group protocols are passed over.
    assert_eq!(GroupRecord::decode(b"\x00\x05\x00\x01g", Some(b"")), Ok(None));
}

#[test]
fn damaged_records_are_named_errors_and_change_nothing() {
    for record in records() {
        let encoded = record.encode();
        for cut in 0..encoded.key.len() {
            assert!(GroupRecord::decode(&encoded.key[..cut], encoded.value.as_deref()).is_err());
        }
        let Some(value) = encoded.value else { continue };
        for cut in 0..value.len() {
            let damaged = GroupRecord::decode(&encoded.key, Some(&value[..cut]));
            assert!(matches!(damaged, Err(RecordFault::TooShort { .. } | RecordFault::BadLength { .. })));
            let mut groups = Groups::new(GroupConfig::default());
            groups.load(&encoded.key, Some(&value[..cut])).unwrap_err();
            assert_eq!(groups.snapshot().count(), 0);
        }
        let mut longer = value.clone();
        longer.push(0);
        assert_eq!(
            GroupRecord::decode(&encoded.key, Some(&longer)),
            Err(RecordFault::TrailingBytes { bytes: 1 })
        );
    }
    let key = b"\x00\x02\x00\x01g";
    let huge_count =
        b"\x00\x03\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff";
    assert_eq!(
        GroupRecord::decode(key, Some(huge_count)),
        Err(RecordFault::BadLength { value: i64::from(i32::MAX) })
    );
    assert_eq!(
        GroupRecord::decode(key, Some(b"\x00\x05")),
        Err(RecordFault::UnknownVersion { part: "group", version: 5 })
    );
    assert_eq!(
        GroupRecord::decode(b"\xff\xff", None),
        Err(RecordFault::UnknownVersion { part: "key", version: -1 })
    );
    assert_eq!(GroupRecord::decode(b"\x00\x02\x00\x01\xff", None), Err(RecordFault::BadString));
}
