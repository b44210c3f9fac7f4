//! The members that an assignor sees, and their order.

use super::protocol::Subscription;
use crate::types::TopicPartition;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A member, as an assignor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
    /// Topics that the member subscribes to, and partitions that it owns.
    pub subscription: Subscription,
}

/// Compares strings as Java does, by UTF-16 units.
pub(super) fn java_cmp(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// Returns the member ids in Kafka's order: static members by group instance id, then dynamic ones by member id.
pub(super) fn in_order<'a>(
    members: impl Iterator<Item = (&'a String, &'a GroupMember)>,
) -> Vec<(&'a String, &'a GroupMember)> {
    let mut members: Vec<_> = members.collect();
    members.sort_by(|(id, member), (other_id, other)| match (&member.instance_id, &other.instance_id) {
        (Some(instance_id), Some(other)) => java_cmp(instance_id, other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => java_cmp(id, other_id),
    });
    members
}

/// Returns an entry without partitions for each member.
pub(super) fn nothing_assigned(members: &BTreeMap<String, GroupMember>) -> super::Assigned {
    members.keys().map(|id| (id.clone(), Vec::new())).collect()
}

/// Returns the partitions of a topic.
pub(super) fn partitions_of(topic: &str, count: u32) -> impl Iterator<Item = TopicPartition> {
    let topic: Arc<str> = Arc::from(topic);
    (0..count).map(move |partition| TopicPartition { topic: Arc::clone(&topic), partition })
}
