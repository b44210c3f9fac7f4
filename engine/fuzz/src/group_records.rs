//! The records of consumer groups in `__consumer_offsets`.
//!
//! Input: records, one behind the other. A record is one byte (bit 0: it has a value), the length of its key (two bytes), the
//! key, and the same for a value. A length beyond the end of the input means the rest of it.

use vnotch_engine::group::{
    Assignment, CommittedOffset, EncodedRecord, GroupConfig, GroupRecord, GroupValue, Groups, MemberValue,
    Now, OffsetKey, PROTOCOL_VERSION, Subscription,
};
use vnotch_engine::types::TopicPartition;

/// Most records of an input that are used.
const RECORDS_MAX: usize = 64;

/// Decodes and applies the records, as an open of the engine does, and serves the groups.
///
/// # Panics
/// A record that was decoded is another one after it was encoded again, a damaged record changes something, or the written
/// live state of the groups replays to other groups.
pub fn check(input: &[u8]) {
    let mut groups = Groups::new(GroupConfig::default());
    for EncodedRecord { key, value } in records(input) {
        let value = value.as_deref();
        let decoded = GroupRecord::decode(&key, value);
        let before = decoded.is_err().then(|| groups.clone());
        let loaded = groups.load(&key, value);
        assert_eq!(decoded.as_ref().err(), loaded.as_ref().err(), "both decode the same");
        if let Some(before) = before {
            assert_same(&before, &groups);
        }
        if let Ok(Some(record)) = decoded {
            check_record(&record);
        }
    }
    let mut again = Groups::new(GroupConfig::default());
    for EncodedRecord { key, value } in groups.snapshot() {
        again
            .load(&key, value.as_deref())
            .unwrap_or_else(|fault| panic!("the live state does not decode: {fault}"));
    }
    assert_same(&groups, &again);
    serve(groups);
}

/// Checks that a decoded record survives encoding, and that the members' own bytes do no harm.
fn check_record(record: &GroupRecord) {
    let EncodedRecord { key, value } = record.encode();
    let again = GroupRecord::decode(&key, value.as_deref());
    assert_eq!(again.as_ref(), Ok(&Some(record.clone())), "a record survives encoding");
    let GroupRecord::Group { value: Some(value), .. } = record else { return };
    for member in &value.members {
        if let Ok(assignment) = Assignment::decode(&member.assignment) {
            let again = Assignment::decode(&assignment.encode(PROTOCOL_VERSION));
            assert_eq!(again.as_ref(), Ok(&assignment), "an assignment survives encoding");
        }
        if let Ok(subscription) = Subscription::decode(&member.subscription) {
            let again = Subscription::decode(&subscription.encode(PROTOCOL_VERSION));
            assert_eq!(again.as_ref(), Ok(&subscription), "a subscription survives encoding");
        }
    }
}

/// Checks that two coordinators hold the same groups and offsets.
fn assert_same(one: &Groups, other: &Groups) {
    assert!(one.ids().eq(other.ids()), "the same groups");
    for id in one.ids() {
        assert_eq!(one.view(id), other.view(id), "the same group {id}");
        assert_eq!(one.committed(id), other.committed(id), "the same offsets of {id}");
    }
}

/// Serves the groups until all their members have gone and all offsets have expired.
fn serve(mut groups: Groups) {
    let _ = groups.serve(Now { monotonic_ms: 0, unix_ms: 0 });
    let late = Now { monotonic_ms: u64::from(u32::MAX), unix_ms: i64::from(i32::MAX) * 1_000 };
    for _ in 0..3 {
        for append in groups.tick(late).appends {
            let _ = groups.appended(append.id, Ok(()), late);
        }
        for append in groups.expire(late).appends {
            let _ = groups.appended(append.id, Ok(()), late);
        }
    }
    let left = groups.unload();
    assert_eq!(left.replies, [], "nobody has sent a request");
}

fn records(mut input: &[u8]) -> Vec<EncodedRecord> {
    let mut records = Vec::new();
    while let Some((flags, rest)) = input.split_first()
        && records.len() < RECORDS_MAX
    {
        input = rest;
        let key = take(&mut input);
        let value = (flags & 1 == 1).then(|| take(&mut input));
        records.push(EncodedRecord { key, value });
    }
    records
}

fn take(input: &mut &[u8]) -> Vec<u8> {
    let (length, rest) = input.split_at(input.len().min(2));
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let (bytes, rest) = rest.split_at(length.min(rest.len()));
    *input = rest;
    bytes.to_vec()
}

/// Returns an input with these records.
fn input(records: &[EncodedRecord]) -> Vec<u8> {
    let mut input = Vec::new();
    for EncodedRecord { key, value } in records {
        input.push(u8::from(value.is_some()));
        for bytes in [Some(key), value.as_ref()].into_iter().flatten() {
            let length = u16::try_from(bytes.len()).expect("the records of seeds are short");
            input.extend(length.to_be_bytes());
            input.extend(bytes);
        }
    }
    input
}

/// Returns commits, a commit with an expiry and its removal, a generation with two members, and values in older and in
/// flexible forms.
pub fn seeds() -> Vec<Vec<u8>> {
    let key = |group: &str, partition| OffsetKey { group: group.into(), topic: "orders".into(), partition };
    let commit = |group: &str, partition, expires_ms: Option<i64>| GroupRecord::Offset {
        key: key(group, partition),
        value: Some(CommittedOffset {
            offset: 7,
            leader_epoch: if expires_ms.is_some() { -1 } else { 3 },
            metadata: "m".into(),
            committed_ms: 1_700_000_000_000,
            expires_ms,
        }),
    };
    let removed = GroupRecord::Offset { key: key("g", 1), value: None };
    let generation = GroupRecord::Group { group: "g".into(), value: Some(generation()) };
    let ended = GroupRecord::Group { group: "g".into(), value: None };
    let of =
        |records: &[&GroupRecord]| input(&records.iter().map(|record| record.encode()).collect::<Vec<_>>());
    let with_value = |record: &GroupRecord, value: Vec<u8>| {
        input(&[EncodedRecord { value: Some(value), ..record.encode() }])
    };
    let oldest_offset = [&[0, 0][..], &7_i64.to_be_bytes(), &[0, 1, b'm'], &1_i64.to_be_bytes()].concat();
    let flexible_offset =
        [&[0, 4][..], &7_i64.to_be_bytes(), &3_i32.to_be_bytes(), &[2, b'm'], &1_i64.to_be_bytes(), &[0]]
            .concat();
    let flexible_group =
        [&[0, 4, 1][..], &4_i32.to_be_bytes(), &[0, 0], &1_i64.to_be_bytes(), &[1, 0]].concat();
    vec![
        of(&[&commit("g", 0, None)]),
        of(&[&commit("g", 0, None), &commit("g", 1, Some(1)), &removed]),
        of(&[&generation, &commit("g", 0, None), &commit("h", 2, None), &ended]),
        with_value(&commit("g", 0, None), oldest_offset),
        with_value(&commit("g", 0, None), flexible_offset),
        with_value(&generation, flexible_group),
    ]
}

fn generation() -> GroupValue {
    let member = |id: &str, instance_id: Option<&str>, partition| {
        let partitions = vec![TopicPartition { topic: "orders".into(), partition }];
        let subscription = Subscription { topics: vec!["orders".into()], ..Subscription::default() };
        MemberValue {
            id: id.into(),
            instance_id: instance_id.map(Into::into),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 10_000,
            subscription: subscription.encode(1).into(),
            assignment: Assignment { partitions, user_data: None }.encode(1).into(),
        }
    };
    GroupValue {
        protocol_type: "consumer".into(),
        generation: 4,
        protocol: Some("range".into()),
        leader: Some("a".into()),
        since_ms: Some(1_700_000_000_000),
        members: vec![member("a", None, 0), member("b", Some("static"), 1)],
    }
}
