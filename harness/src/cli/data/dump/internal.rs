//! Records of vnotch's own topics. They are shown decoded, beside their bytes.

use super::shown::shown;
use serde::Serialize;
use std::fmt::Write as _;
use vnotch_engine::group::{
    Assignment, CommittedOffset, GroupRecord, GroupValue, MemberValue, OFFSETS_TOPIC, RecordFault,
};

/// Protocol type of consumers, whose assignments can be decoded.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Decodes a record of an internal topic from its key and its value. `None` if it is of a kind that the engine does not use.
pub(super) type Decode =
    fn(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Decoded>, UndecodableRecord>;

/// The internal topics whose records can be decoded.
const DECODERS: &[(&str, Decode)] = &[(OFFSETS_TOPIC, decode_group_record)];

/// Returns the decoder of a topic's records, if it is an internal topic.
pub(super) fn decoder_of(topic: &str) -> Option<Decode> {
    DECODERS.iter().find(|(name, _)| *name == topic).map(|(_, decode)| *decode)
}

/// The reason why a record of an internal topic cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum UndecodableRecord {
    /// The record has no key, and each record of the topic has one.
    #[error("it has no key")]
    NoKey,
    /// The key or the value is damaged.
    #[error(transparent)]
    Fault(#[from] RecordFault),
}

/// A record of `__consumer_offsets`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Decoded {
    /// A committed offset.
    OffsetCommit {
        group: String,
        topic: String,
        partition: i32,
        /// The commit; `None` for a tombstone, which removes it.
        value: Option<Commit>,
    },
    /// A generation of a group.
    GroupMetadata {
        group: String,
        /// The generation; `None` for a tombstone, which removes the group.
        value: Option<Generation>,
    },
}

/// The value of a committed offset.
#[derive(Debug, Serialize)]
pub(super) struct Commit {
    offset: i64,
    /// −1 if the client sent none.
    leader_epoch: i32,
    metadata: String,
    commit_timestamp_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_timestamp_ms: Option<i64>,
}

/// The value of a group.
#[derive(Debug, Serialize)]
pub(super) struct Generation {
    protocol_type: String,
    generation: i32,
    protocol: Option<String>,
    leader: Option<String>,
    state_timestamp_ms: Option<i64>,
    members: Vec<Member>,
}

/// A member of a group.
#[derive(Debug, Serialize)]
pub(super) struct Member {
    id: String,
    instance_id: Option<String>,
    client_id: String,
    client_host: String,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    /// Partitions of the member as `topic-0`; `None` if its assignment cannot be decoded.
    assigned: Option<Vec<String>>,
}

fn decode_group_record(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<Option<Decoded>, UndecodableRecord> {
    let key = key.ok_or(UndecodableRecord::NoKey)?;
    Ok(GroupRecord::decode(key, value)?.map(|record| match record {
        GroupRecord::Offset { key, value } => Decoded::OffsetCommit {
            group: key.group,
            topic: key.topic,
            partition: key.partition,
            value: value.map(Commit::of),
        },
        GroupRecord::Group { group, value } => {
            Decoded::GroupMetadata { group, value: value.map(Generation::of) }
        }
    }))
}

impl Decoded {
    /// Returns the record as text. Text of clients is escaped.
    pub(super) fn text(&self) -> String {
        match self {
            Self::OffsetCommit { group, topic, partition, value } => {
                let value = value.as_ref().map_or_else(|| "tombstone".to_owned(), Commit::text);
                let (group, topic) = (escaped(group), escaped(topic));
                format!("offset_commit group={group} topic={topic} partition={partition} → {value}")
            }
            Self::GroupMetadata { group, value } => {
                let value = value.as_ref().map_or_else(|| "tombstone".to_owned(), Generation::text);
                format!("group_metadata group={} → {value}", escaped(group))
            }
        }
    }
}

impl Commit {
    fn of(value: CommittedOffset) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata,
            commit_timestamp_ms: value.committed_ms,
            expire_timestamp_ms: value.expires_ms,
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "offset={} leaderEpoch={} metadata={} commitTimestamp={}",
            self.offset,
            self.leader_epoch,
            escaped(&self.metadata),
            self.commit_timestamp_ms
        );
        if let Some(expires_ms) = self.expire_timestamp_ms {
            // Writing to a String cannot fail.
            let _ = write!(text, " expireTimestamp={expires_ms}");
        }
        text
    }
}

impl Generation {
    fn of(value: GroupValue) -> Self {
        let is_of_consumers = value.protocol_type == CONSUMER_PROTOCOL_TYPE;
        Self {
            protocol_type: value.protocol_type,
            generation: value.generation,
            protocol: value.protocol,
            leader: value.leader,
            state_timestamp_ms: value.since_ms,
            members: value.members.into_iter().map(|member| Member::of(member, is_of_consumers)).collect(),
        }
    }

    fn text(&self) -> String {
        let members: Vec<String> = self.members.iter().map(Member::text).collect();
        let or_none = |text: &Option<String>| text.as_deref().map_or_else(|| "null".to_owned(), escaped);
        format!(
            "protocolType={} generation={} protocol={} leader={} members=[{}]",
            escaped(&self.protocol_type),
            self.generation,
            or_none(&self.protocol),
            or_none(&self.leader),
            members.join(", ")
        )
    }
}

impl Member {
    fn of(value: MemberValue, is_of_consumer: bool) -> Self {
        let assignment = is_of_consumer.then(|| Assignment::decode(&value.assignment).ok()).flatten();
        let assigned = assignment.map(|assignment| assignment.partitions);
        Self {
            id: value.id,
            instance_id: value.instance_id,
            client_id: value.client_id,
            client_host: value.client_host,
            session_timeout_ms: value.session_timeout_ms,
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            assigned: assigned.map(|partitions| partitions.iter().map(ToString::to_string).collect()),
        }
    }

    fn text(&self) -> String {
        let instance = self.instance_id.as_deref();
        let instance = instance.map_or_else(String::new, |id| format!(" groupInstanceId={}", escaped(id)));
        let assigned = self.assigned.as_ref();
        let assigned = assigned.map_or_else(|| "?".to_owned(), |names| escaped(&names.join(",")));
        format!(
            "{}(clientId={} clientHost={}{instance} assigned={assigned})",
            escaped(&self.id),
            escaped(&self.client_id),
            escaped(&self.client_host)
        )
    }
}

fn escaped(text: &str) -> String {
    shown(text.as_bytes(), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vnotch_engine::group::OffsetKey;
    use vnotch_engine::types::TopicPartition;

    fn decoded(record: &GroupRecord) -> Decoded {
        let bytes = record.encode();
        let decode = decoder_of("__consumer_offsets").unwrap();
        decode(Some(&bytes.key), bytes.value.as_deref()).unwrap().unwrap()
    }

    fn offset(value: Option<CommittedOffset>) -> GroupRecord {
        let key = OffsetKey { group: "bil\nling".into(), topic: "orders".into(), partition: 3 };
        GroupRecord::Offset { key, value }
    }

    fn commit() -> CommittedOffset {
        CommittedOffset {
            offset: 120,
            leader_epoch: 2,
            metadata: "a\u{1b}b".into(),
            committed_ms: 1_700_000_000_000,
            expires_ms: None,
        }
    }

    fn group() -> GroupRecord {
        let partitions = vec![TopicPartition { topic: "orders".into(), partition: 3 }];
        let assignment = Assignment { partitions, user_data: None }.encode(3).into();
        let member = MemberValue {
            id: "bench0-1".into(),
            instance_id: Some("i1".into()),
            client_id: "bench0".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 10_000,
            subscription: Vec::new().into(),
            assignment,
        };
        let broken = MemberValue {
            id: "bench0-2".into(),
            instance_id: None,
            assignment: vec![0, 1, 0xff].into(),
            ..member.clone()
        };
        let value = GroupValue {
            protocol_type: "consumer".into(),
            generation: 7,
            protocol: Some("range".into()),
            leader: None,
            since_ms: Some(5),
            members: vec![member, broken],
        };
        GroupRecord::Group { group: "billing".into(), value: Some(value) }
    }

    #[test]
    fn commits_groups_and_tombstones_are_shown_in_words() {
        assert_eq!(
            decoded(&offset(Some(commit()))).text(),
            "offset_commit group=bil\\nling topic=orders partition=3 → offset=120 leaderEpoch=2 metadata=a\\u{1b}b \
             commitTimestamp=1700000000000"
        );
        assert_eq!(
            decoded(&offset(None)).text(),
            "offset_commit group=bil\\nling topic=orders partition=3 → tombstone"
        );
        assert_eq!(
            decoded(&group()).text(),
            "group_metadata group=billing → protocolType=consumer generation=7 protocol=range leader=null \
             members=[bench0-1(clientId=bench0 clientHost=/127.0.0.1 groupInstanceId=i1 assigned=orders-3), \
             bench0-2(clientId=bench0 clientHost=/127.0.0.1 assigned=?)]"
        );
        let tombstone = GroupRecord::Group { group: "billing".into(), value: None };
        assert_eq!(decoded(&tombstone).text(), "group_metadata group=billing → tombstone");
    }

    #[test]
    fn json_has_the_fields_by_name() {
        let json = serde_json::to_value(decoded(&group())).unwrap();
        assert_eq!((&json["type"], &json["group"]), (&"group_metadata".into(), &"billing".into()));
        assert_eq!(json["value"]["members"][0]["assigned"], serde_json::json!(["orders-3"]));
        assert_eq!(json["value"]["members"][1]["assigned"], serde_json::Value::Null);
        let json = serde_json::to_value(decoded(&offset(Some(commit())))).unwrap();
        assert_eq!((&json["value"]["offset"], &json["partition"]), (&120.into(), &3.into()));
        assert_eq!(json["value"]["metadata"], "a\u{1b}b");
    }

    #[test]
    fn damaged_records_have_a_fault_and_newer_kinds_are_not_decoded() {
        let decode = decoder_of("__consumer_offsets").unwrap();
        assert!(decoder_of("orders").is_none());
        assert_eq!(decode(None, None).unwrap_err().to_string(), "it has no key");
        let bytes = offset(Some(commit())).encode();
        let value = bytes.value.unwrap();
        let fault = decode(Some(&bytes.key), Some(&value[..5])).unwrap_err().to_string();
        assert!(fault.starts_with("the record is cut short"), "{fault}");
        assert!(decode(Some(&[0, 3, 1, 2]), None).unwrap().is_none());
    }
}
