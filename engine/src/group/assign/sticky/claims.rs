//! The partitions that members claim to own, and those that they may keep.

use crate::group::assign::PartitionCounts;
use crate::group::assign::member_order::GroupMember;
use crate::types::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};

/// The generation of members that name none.
const NO_GENERATION: i32 = -1;

/// The partitions that members claim to own.
#[derive(Debug)]
pub(super) struct Claims {
    /// Partitions that exist and that each member may keep. If two members claim a partition, the one of the later generation has it.
    pub owned: BTreeMap<String, Vec<TopicPartition>>,
    /// Partitions that two members of the latest generation claim. Neither keeps them.
    pub contested: BTreeSet<TopicPartition>,
    /// All members subscribe to the same topics.
    pub are_subscriptions_equal: bool,
    /// For each partition, the member of the latest generation that is not current and that claims it.
    pub earlier_owners: BTreeMap<TopicPartition, String>,
}

/// Returns the generation that the member's claims are from.
fn generation_of(member: &GroupMember) -> Option<i32> {
    let subscription = &member.subscription;
    subscription.generation.or_else(|| {
        // Before version 2 of the subscription the assignor wrote the generation into its own bytes.
        let user_data = subscription.user_data.as_ref()?;
        let bytes = user_data.first_chunk::<4>();
        Some(bytes.map_or(NO_GENERATION, |bytes| i32::from_be_bytes(*bytes)))
    })
}

impl Claims {
    /// Looks at the claims of all members on partitions that exist.
    pub(super) fn new(counts: &PartitionCounts, members: &BTreeMap<String, GroupMember>) -> Self {
        let mut claims = Self {
            owned: members.keys().map(|id| (id.clone(), Vec::new())).collect(),
            contested: BTreeSet::new(),
            are_subscriptions_equal: are_equal(members),
            earlier_owners: BTreeMap::new(),
        };
        let exists = |tp: &TopicPartition| counts.get(&*tp.topic).is_some_and(|count| tp.partition < *count);
        // The latest generation that claims each partition, and the members that claim it in that generation.
        let mut latest: BTreeMap<&TopicPartition, (i32, BTreeSet<&String>)> = BTreeMap::new();
        for (id, member) in members {
            let generation = generation_of(member).unwrap_or(NO_GENERATION);
            for tp in member.subscription.owned.iter().filter(|tp| exists(tp)) {
                let claim = latest.entry(tp).or_insert_with(|| (generation, BTreeSet::new()));
                if generation > claim.0 {
                    *claim = (generation, BTreeSet::new());
                }
                if generation == claim.0 {
                    claim.1.insert(id);
                }
            }
        }
        for (tp, (_, ids)) in latest {
            if let (Some(id), 1) = (ids.first(), ids.len()) {
                claims.owned.entry((*id).clone()).or_default().push(tp.clone());
            } else {
                claims.contested.insert(tp.clone());
            }
        }
        claims.find_earlier_owners(members);
        claims
    }

    fn find_earlier_owners(&mut self, members: &BTreeMap<String, GroupMember>) {
        let generations = members.values().filter_map(generation_of);
        let latest = generations.max().unwrap_or(NO_GENERATION).max(NO_GENERATION);
        let mut found: BTreeMap<&TopicPartition, (i32, &str)> = BTreeMap::new();
        for (id, member) in members {
            let generation = generation_of(member).unwrap_or(NO_GENERATION);
            if generation >= latest {
                continue;
            }
            for tp in &member.subscription.owned {
                if found.get(tp).is_none_or(|(earlier, _)| generation > *earlier) {
                    found.insert(tp, (generation, id));
                }
            }
        }
        self.earlier_owners = found.into_iter().map(|(tp, (_, id))| (tp.clone(), id.to_owned())).collect();
    }
}

fn are_equal(members: &BTreeMap<String, GroupMember>) -> bool {
    let topics = |member: &GroupMember| member.subscription.topics.iter().cloned().collect::<BTreeSet<_>>();
    let mut subscriptions = members.values().map(topics);
    let first = subscriptions.next();
    subscriptions.all(|topics| Some(&topics) == first.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::assign::Subscription;

    fn claims(generations: &[(&str, i32)]) -> Claims {
        let owned = vec![TopicPartition { topic: "t".into(), partition: 0 }];
        let member = |generation: i32| {
            let (topics, owned) = (vec!["t".to_owned()], owned.clone());
            let subscription =
                Subscription { topics, owned, generation: Some(generation), ..Subscription::default() };
            GroupMember { instance_id: None, subscription }
        };
        let members = generations.iter().map(|(id, generation)| ((*id).to_owned(), member(*generation)));
        Claims::new(&[("t".to_owned(), 1)].into(), &members.collect())
    }

    #[test]
    fn the_claim_of_the_latest_generation_counts_whichever_member_makes_it() {
        for (generations, owner) in [([2, 1, 1], "a"), ([1, 2, 1], "b"), ([1, 1, 2], "c")] {
            let ids = ["a", "b", "c"];
            let claims = claims(&ids.into_iter().zip(generations).collect::<Vec<_>>());
            assert!(claims.contested.is_empty(), "{generations:?}");
            let owners: Vec<&str> = ids.into_iter().filter(|id| !claims.owned[*id].is_empty()).collect();
            assert_eq!(owners, [owner], "{generations:?}");
        }
    }

    #[test]
    fn nobody_keeps_what_two_members_of_the_latest_generation_claim() {
        let claims = claims(&[("a", 2), ("b", 1), ("c", 2)]);
        assert_eq!(claims.contested.len(), 1);
        assert!(claims.owned.values().all(Vec::is_empty));
    }
}
