//! The case of equal subscriptions: the number of partitions of each member is known, and only who gets one more is open.

use super::claims::Claims;
use crate::group::assign::member_order::{java_cmp, partitions_of};
use crate::group::assign::{Assigned, PartitionCounts};
use crate::types::TopicPartition;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The progress of an assignment.
struct Builder<'a> {
    claims: &'a Claims,
    /// Partitions that each member gets.
    quota: usize,
    /// Members that get one more.
    larger: usize,
    /// Members that have got one more.
    larger_so_far: usize,
    assigned: Assigned,
    /// Partitions that their owners have to give up, with these owners.
    given_up: BTreeMap<TopicPartition, String>,
    /// Members below the quota.
    below: Vec<String>,
    /// Members at the quota that may get one more.
    at: VecDeque<String>,
}

/// Assigns all partitions. Returns also those that move from one member to another.
pub(super) fn assign(counts: &PartitionCounts, claims: &Claims) -> (Assigned, BTreeSet<TopicPartition>) {
    let all: Vec<TopicPartition> =
        counts.iter().flat_map(|(topic, count)| partitions_of(topic, *count)).collect();
    let members = claims.owned.len();
    let mut builder = Builder {
        claims,
        quota: all.len() / members,
        larger: all.len() % members,
        larger_so_far: 0,
        assigned: claims.owned.keys().map(|id| (id.clone(), Vec::new())).collect(),
        given_up: BTreeMap::new(),
        below: Vec::new(),
        at: VecDeque::new(),
    };
    for (id, owned) in &claims.owned {
        builder.keep(id, owned);
    }
    let kept: BTreeSet<TopicPartition> = builder.assigned.values().flatten().cloned().collect();
    builder.below.sort_by(|a, b| java_cmp(a, b));
    builder.at.make_contiguous().sort_by(|a, b| java_cmp(a, b));
    let moving = builder.fill(all.into_iter().filter(|partition| !kept.contains(partition)));
    (builder.assigned, moving)
}

impl Builder<'_> {
    /// Lets a member keep what it owns, up to what it gets. Low partition numbers are kept first.
    fn keep(&mut self, id: &str, owned: &[TopicPartition]) {
        let mut owned: Vec<TopicPartition> =
            owned.iter().filter(|partition| !self.claims.contested.contains(*partition)).cloned().collect();
        owned.sort_by(|a, b| a.partition.cmp(&b.partition).then_with(|| a.topic.cmp(&b.topic)));
        let may_be_larger = self.larger_so_far < self.larger;
        let kept = if owned.len() > self.quota && may_be_larger {
            self.larger_so_far += 1;
            if self.larger_so_far == self.larger {
                self.at.clear();
            }
            self.quota + 1
        } else {
            if owned.len() < self.quota {
                self.below.push(id.to_owned());
            } else if may_be_larger {
                self.at.push_back(id.to_owned());
            }
            self.quota
        };
        let rest = owned.split_off(kept.min(owned.len()));
        self.given_up.extend(rest.into_iter().map(|partition| (partition, id.to_owned())));
        self.assigned.insert(id.to_owned(), owned);
    }

    /// Deals out the other partitions: in turn to the members below the quota, and then one each to members at it.
    fn fill(&mut self, partitions: impl Iterator<Item = TopicPartition>) -> BTreeSet<TopicPartition> {
        let mut moving = BTreeSet::new();
        let mut turn = 0;
        for partition in partitions {
            let is_below = !self.below.is_empty();
            if turn >= self.below.len() {
                turn = 0;
            }
            let id = if is_below { Some(self.below[turn].clone()) } else { self.at.pop_front() };
            let id = id.expect("quotas add up to the number of partitions");
            let owner = self.given_up.get(&partition);
            if owner.is_some_and(|owner| *owner != id) || self.claims.contested.contains(&partition) {
                moving.insert(partition.clone());
            }
            let assigned = self.assigned.entry(id.clone()).or_default();
            assigned.push(partition);
            if is_below && assigned.len() == self.quota {
                self.below.remove(turn);
                self.at.push_back(id);
            } else if is_below {
                turn += 1;
            }
        }
        moving
    }
}
