//! The round-robin assignor: the partitions of all topics are dealt out in turn.

use super::member_order::{GroupMember, in_order, nothing_assigned, partitions_of};
use super::{Assigned, PartitionCounts};
use std::collections::BTreeMap;

/// Deals out the partitions, ordered by topic and number. A member that does not subscribe to a topic is passed over.
pub(super) fn assign(counts: &PartitionCounts, members: &BTreeMap<String, GroupMember>) -> Assigned {
    let mut assigned = nothing_assigned(members);
    let members = in_order(members.iter());
    let mut turn = 0;
    for (topic, count) in counts {
        for partition in partitions_of(topic, *count) {
            // Each topic has a subscriber, so this ends within one round.
            while !members[turn].1.subscription.topics.contains(topic) {
                turn = (turn + 1) % members.len();
            }
            assigned.entry(members[turn].0.clone()).or_default().push(partition);
            turn = (turn + 1) % members.len();
        }
    }
    assigned
}
