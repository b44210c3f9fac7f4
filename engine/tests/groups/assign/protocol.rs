//! The bytes of subscriptions and assignments, against another implementation.

use super::memberships::partition;
use bytes::Bytes;
use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, StrBytes};
use vnotch_engine::group::{Assignment, PROTOCOL_VERSION, RecordFault, Subscription};

fn subscription() -> Subscription {
    Subscription {
        topics: vec!["t0".to_owned(), "t1".to_owned()],
        user_data: Some(Bytes::from("data")),
        owned: vec![partition("t0", 0), partition("t0", 2), partition("t1", 1)],
        generation: Some(7),
        rack: Some("rack".to_owned()),
    }
}

/// Returns the subscription without the fields that a version lacks.
fn in_version(version: i16) -> Subscription {
    let mut expected = subscription();
    if version < 3 {
        expected.rack = None;
    }
    if version < 2 {
        expected.generation = None;
    }
    if version < 1 {
        expected.owned.clear();
    }
    expected
}

#[test]
fn subscriptions_survive_each_version() {
    for version in 0..=PROTOCOL_VERSION {
        let bytes = subscription().encode(version);
        assert_eq!(Subscription::decode(&bytes), Ok(in_version(version)));
        let other =
            ConsumerProtocolSubscription::decode(&mut Bytes::from(bytes).slice(2..), version).unwrap();
        let topics: Vec<&str> = other.topics.iter().map(|topic| &**topic).collect();
        assert_eq!(topics, ["t0", "t1"]);
        assert_eq!(other.user_data.as_deref(), Some(&b"data"[..]));
        assert_eq!(other.owned_partitions.len(), if version < 1 { 0 } else { 2 });
        assert_eq!(other.generation_id, if version < 2 { -1 } else { 7 });
    }
}

#[test]
fn subscriptions_of_another_implementation_are_read() {
    for version in 0..=PROTOCOL_VERSION {
        let mut bytes = version.to_be_bytes().to_vec();
        ConsumerProtocolSubscription::default()
            .with_topics(vec![StrBytes::from_static_str("t9")])
            .encode(&mut bytes, version)
            .unwrap();
        let decoded = Subscription::decode(&bytes).unwrap();
        assert_eq!(
            (decoded.topics, decoded.user_data, decoded.generation),
            (vec!["t9".to_owned()], None, None)
        );
    }
}

#[test]
fn assignments_survive_and_an_empty_one_has_bytes() {
    let assignment = Assignment { partitions: subscription().owned, user_data: None };
    for version in 0..=PROTOCOL_VERSION {
        let bytes = assignment.encode(version);
        assert_eq!(Assignment::decode(&bytes), Ok(assignment.clone()));
        let other = ConsumerProtocolAssignment::decode(&mut Bytes::from(bytes).slice(2..), version).unwrap();
        assert_eq!(other.assigned_partitions.len(), 2);
        assert_eq!(other.assigned_partitions[0].topic, TopicName(StrBytes::from_static_str("t0")));
        assert_eq!(other.assigned_partitions[0].partitions, [0, 2]);
        let empty = Assignment::default().encode(version);
        assert_eq!(empty.len(), 10, "a version, a count and no user data");
        assert_eq!(Assignment::decode(&empty), Ok(Assignment::default()));
    }
    assert_eq!(Assignment::decode(&[]), Ok(Assignment::default()));
}

#[test]
fn a_newer_version_is_read_as_the_newest_known_one() {
    let mut bytes = subscription().encode(3);
    bytes[1] = 9;
    bytes.extend([1, 2, 3]);
    assert_eq!(Subscription::decode(&bytes), Ok(subscription()));
}

#[test]
fn damaged_metadata_is_a_named_error() {
    let bytes = subscription().encode(3);
    for cut in 0..bytes.len() {
        let damaged = Subscription::decode(&bytes[..cut]);
        assert!(
            matches!(damaged, Err(RecordFault::TooShort { .. } | RecordFault::BadLength { .. })),
            "{cut}"
        );
    }
    let negative_version = Subscription::decode(&[0xFF, 0xFF]);
    assert!(matches!(negative_version, Err(RecordFault::UnknownVersion { version: -1, .. })));
    let huge_count = Assignment::decode(&[0, 1, 0x7F, 0xFF, 0xFF, 0xFF]);
    assert_eq!(huge_count, Err(RecordFault::BadLength { value: i64::from(i32::MAX) }));
    let negative_partition = Assignment::decode(
        b"\x00\x00\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff",
    );
    assert_eq!(negative_partition, Err(RecordFault::BadLength { value: -1 }));
}
