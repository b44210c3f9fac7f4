//! The cooperative-sticky assignor: balanced, with as few moves as possible, and in two steps.
//!
//! Kafka has two algorithms, and so has this module. If all members subscribe to the same topics, the number of partitions that each
//! member gets is known beforehand (`equal.rs`). Otherwise partitions are moved one by one as long as the balance gains (`general.rs`).
//! Both keep what members own. A partition that has to move to another member is given to nobody at first: its owner finds that it is
//! gone, stops to read it and joins again, and the next generation gives it to its new owner.

mod claims;
mod equal;
mod general;
mod movements;

use super::member_order::GroupMember;
use super::{Assigned, PartitionCounts};
use crate::types::TopicPartition;
use claims::Claims;
use std::collections::{BTreeMap, BTreeSet};

/// Assigns partitions, without those that their owners have to give up first.
pub(super) fn assign_cooperatively(
    counts: &PartitionCounts,
    members: &BTreeMap<String, GroupMember>,
) -> Assigned {
    let claims = Claims::new(counts, members);
    let (mut assigned, moving) = if claims.are_subscriptions_equal {
        equal::assign(counts, &claims)
    } else {
        let assigned = general::assign(counts, members, &claims);
        let moving = moving(&assigned, members);
        (assigned, moving)
    };
    for partitions in assigned.values_mut() {
        partitions.retain(|partition| !moving.contains(partition));
    }
    assigned
}

/// Returns the partitions that one member gets and another one has to give up.
fn moving(assigned: &Assigned, members: &BTreeMap<String, GroupMember>) -> BTreeSet<TopicPartition> {
    let mut added = BTreeSet::new();
    let mut revoked = BTreeSet::new();
    for (id, partitions) in assigned {
        let owned: BTreeSet<&TopicPartition> =
            members.get(id).into_iter().flat_map(|member| &member.subscription.owned).collect();
        let gets: BTreeSet<&TopicPartition> = partitions.iter().collect();
        added.extend(gets.difference(&owned).map(|partition| (*partition).clone()));
        revoked.extend(owned.difference(&gets).map(|partition| (*partition).clone()));
    }
    added.intersection(&revoked).cloned().collect()
}
