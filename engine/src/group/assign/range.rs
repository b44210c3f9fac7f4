//! The range assignor: each member of a topic gets a range of its partitions.

use super::member_order::{GroupMember, in_order, nothing_assigned, partitions_of};
use super::{Assigned, PartitionCounts};
use std::collections::BTreeMap;

/// Assigns each topic on its own. The first members get one partition more, if the partitions cannot be shared equally.
pub(super) fn assign(counts: &PartitionCounts, members: &BTreeMap<String, GroupMember>) -> Assigned {
    let mut assigned = nothing_assigned(members);
    for (topic, count) in counts {
        let subscribers =
            in_order(members.iter().filter(|(_, member)| member.subscription.topics.contains(topic)));
        let mut partitions = partitions_of(topic, *count);
        for (place, (id, _)) in subscribers.iter().enumerate() {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            let extra = usize::from(place < count % subscribers.len());
            let range = partitions.by_ref().take(count / subscribers.len() + extra);
            assigned.entry((*id).clone()).or_default().extend(range);
        }
    }
    assigned
}
