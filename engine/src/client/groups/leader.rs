//! The assignment that the leader of a group makes, and the metadata that members send it.

use crate::client::Topics;
use crate::group::{
    Assignment, Assignor, GroupMember, Joined, PROTOCOL_VERSION, PartitionCounts, Protocol, RecordFault,
    Subscription,
};
use crate::num::u32_of;
use crate::types::TopicPartition;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Returns the protocols of a member, one for each assignor.
pub(super) fn protocols(assignors: &[Assignor], subscription: &Subscription) -> Vec<Protocol> {
    let metadata = Bytes::from(subscription.encode(PROTOCOL_VERSION));
    let protocol =
        |assignor: &Assignor| Protocol { name: assignor.name().to_owned(), metadata: metadata.clone() };
    assignors.iter().map(protocol).collect()
}

/// Returns the number of partitions of those of `names` that exist.
pub(super) fn counts<'a>(topics: &Topics, names: impl Iterator<Item = &'a String>) -> PartitionCounts {
    let topics = topics.read();
    let count = |name: &String| Some((name.clone(), u32_of(topics.get(name)?.places.len())));
    names.filter_map(count).collect()
}

/// Returns the ids of those of `names` that exist.
pub(super) fn ids(topics: &Topics, names: &BTreeSet<String>) -> BTreeMap<String, u64> {
    let topics = topics.read();
    names.iter().filter_map(|name| Some((name.clone(), topics.get(name)?.id))).collect()
}

/// The topics that the assignment of a generation covers.
#[derive(Debug)]
pub(super) struct Led {
    /// All topics that members subscribe to.
    pub(super) topics: BTreeSet<String>,
    /// Ids of those that existed.
    pub(super) ids: BTreeMap<String, u64>,
    /// Number of partitions that were assigned, by topic.
    pub(super) counts: PartitionCounts,
}

/// An assignment of all members, encoded, with what it was made from.
pub(super) struct Made {
    /// Assignments by member id.
    pub(super) assignments: Vec<(String, Bytes)>,
    /// What it was made from.
    pub(super) led: Led,
}

/// Makes the assignment of a generation.
///
/// # Errors
/// The metadata of a member cannot be read.
pub(super) fn assign(joined: &Joined, topics: &Topics) -> Result<Made, RecordFault> {
    let mut members = BTreeMap::new();
    for member in &joined.members {
        let subscription = Subscription::decode(&member.metadata)?;
        members
            .insert(member.id.clone(), GroupMember { instance_id: member.instance_id.clone(), subscription });
    }
    let names: BTreeSet<String> =
        members.values().flat_map(|member| member.subscription.topics.iter().cloned()).collect();
    // If a topic changes between the two, the leader notices that its ids or counts differ.
    let ids = ids(topics, &names);
    let counts = counts(topics, names.iter());
    let assignor = joined.protocol.as_deref().and_then(Assignor::from_name).unwrap_or(Assignor::Range);
    let encode = |(id, partitions): (String, Vec<TopicPartition>)| {
        let assignment = Assignment { partitions, user_data: None };
        (id, Bytes::from(assignment.encode(PROTOCOL_VERSION)))
    };
    let assignments = assignor.assign(&counts, &members).into_iter().map(encode).collect();
    Ok(Made { assignments, led: Led { topics: names, ids, counts } })
}
