//! The case of different subscriptions: partitions are moved one by one, as long as the balance gains.

use super::claims::Claims;
use super::movements::Movements;
use crate::group::assign::member_order::{GroupMember, java_cmp, partitions_of};
use crate::group::assign::{Assigned, PartitionCounts};
use crate::types::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The progress of an assignment. Members are named by their index in Kafka's order of ids.
struct Builder<'a> {
    counts: &'a PartitionCounts,
    ids: Vec<&'a String>,
    /// Topics that exist, by member.
    topics_of: Vec<BTreeSet<&'a str>>,
    /// Subscribers by topic.
    members_of: BTreeMap<&'a str, Vec<usize>>,
    /// Partitions of each member.
    assigned: Vec<Vec<TopicPartition>>,
    owner: BTreeMap<TopicPartition, usize>,
    /// Members that take part, by the number of their partitions.
    by_size: BTreeSet<(usize, usize)>,
    /// Members of earlier generations that claim a partition.
    earlier_owners: BTreeMap<&'a TopicPartition, usize>,
    movements: Movements,
}

/// The assignment at one time, to return to.
struct Saved {
    assigned: Vec<Vec<TopicPartition>>,
    owner: BTreeMap<TopicPartition, usize>,
}

/// Assigns all partitions that have a subscriber.
pub(super) fn assign(
    counts: &PartitionCounts,
    members: &BTreeMap<String, GroupMember>,
    claims: &Claims,
) -> Assigned {
    let mut builder = Builder::new(counts, members, claims);
    let must_revoke = builder.keep(claims);
    // Topics with few subscribers come first, because there is little choice for them.
    let mut topics: Vec<(usize, &str)> =
        builder.members_of.iter().map(|(topic, members)| (members.len(), *topic)).collect();
    topics.sort_unstable();
    let all: Vec<TopicPartition> =
        topics.iter().flat_map(|(_, topic)| partitions_of(topic, counts[*topic])).collect();
    let unassigned: Vec<TopicPartition> =
        all.iter().filter(|partition| !builder.owner.contains_key(*partition)).cloned().collect();
    let is_initial = builder.assigned.iter().all(Vec::is_empty);
    for partition in &unassigned {
        builder.give(partition);
    }
    builder.leave_out_fixed_members();
    let can_move = |partition: &&TopicPartition| builder.members_of[&*partition.topic].len() > 1;
    let movable: Vec<TopicPartition> = all.iter().filter(can_move).cloned().collect();
    let new: Vec<TopicPartition> = unassigned.iter().filter(can_move).cloned().collect();
    builder.balance(&movable, if must_revoke { &[] } else { &new }, is_initial);
    builder.ids.iter().map(|id| (*id).clone()).zip(builder.assigned).collect()
}

impl<'a> Builder<'a> {
    fn new(
        counts: &'a PartitionCounts,
        members: &'a BTreeMap<String, GroupMember>,
        claims: &'a Claims,
    ) -> Self {
        let mut ids: Vec<&String> = members.keys().collect();
        ids.sort_by(|a, b| java_cmp(a, b));
        let mut members_of: BTreeMap<&str, Vec<usize>> =
            counts.keys().map(|topic| (topic.as_str(), Vec::new())).collect();
        let mut topics_of = Vec::with_capacity(ids.len());
        for (index, id) in ids.iter().enumerate() {
            let mut topics = BTreeSet::new();
            for topic in &members[*id].subscription.topics {
                if let Some(members) = members_of.get_mut(topic.as_str())
                    && topics.insert(topic.as_str())
                {
                    members.push(index);
                }
            }
            topics_of.push(topics);
        }
        let index_of: BTreeMap<&str, usize> =
            ids.iter().enumerate().map(|(index, id)| (id.as_str(), index)).collect();
        let earlier = claims.earlier_owners.iter();
        let earlier_owners = earlier.map(|(tp, id)| (tp, index_of[id.as_str()])).collect();
        let assigned = vec![Vec::new(); ids.len()];
        let (owner, by_size, movements) = (BTreeMap::new(), BTreeSet::new(), Movements::default());
        Self { counts, ids, topics_of, members_of, assigned, owner, by_size, earlier_owners, movements }
    }

    /// Lets each member keep what it owns and still subscribes to. Returns whether a member has to give up a partition because it does
    /// not subscribe to the topic any more.
    fn keep(&mut self, claims: &Claims) -> bool {
        let mut must_revoke = false;
        for index in 0..self.ids.len() {
            for partition in &claims.owned[self.ids[index]] {
                if self.topics_of[index].contains(&*partition.topic) {
                    self.assigned[index].push(partition.clone());
                    self.owner.insert(partition.clone(), index);
                } else {
                    must_revoke = true;
                }
            }
            self.by_size.insert((self.assigned[index].len(), index));
        }
        must_revoke
    }

    /// Returns the subscriber of the topic that takes part and has the fewest partitions.
    fn smallest_subscriber(&self, topic: &str) -> Option<usize> {
        self.by_size.iter().map(|(_, index)| *index).find(|index| self.topics_of[*index].contains(topic))
    }

    /// Gives a partition to the subscriber that has the fewest.
    fn give(&mut self, partition: &TopicPartition) {
        if let Some(index) = self.smallest_subscriber(&partition.topic) {
            self.by_size.remove(&(self.assigned[index].len(), index));
            self.assigned[index].push(partition.clone());
            self.owner.insert(partition.clone(), index);
            self.by_size.insert((self.assigned[index].len(), index));
        }
    }

    /// Returns the number of partitions that a member can have at most.
    fn most_of(&self, index: usize) -> usize {
        let counts = self.topics_of[index].iter().map(|topic| self.counts[*topic]);
        counts.map(|count| usize::try_from(count).unwrap_or(usize::MAX)).sum()
    }

    /// Leaves out the members that have all they can get, and share no topic with another member.
    fn leave_out_fixed_members(&mut self) {
        for index in 0..self.ids.len() {
            let shares = |tp: &TopicPartition| self.members_of[&*tp.topic].len() > 1;
            let assigned = &self.assigned[index];
            if assigned.len() >= self.most_of(index) && !assigned.iter().any(shares) {
                self.by_size.remove(&(assigned.len(), index));
            }
        }
    }

    /// Moves partitions until the balance cannot gain. New partitions are moved first. The moves are undone if the balance is no better
    /// for them.
    fn balance(&mut self, movable: &[TopicPartition], new: &[TopicPartition], is_initial: bool) {
        let saved = Saved { assigned: self.assigned.clone(), owner: self.owner.clone() };
        let score = self.score();
        self.reassign(new);
        let has_moved = self.reassign(movable);
        if !is_initial && has_moved && self.score() >= score {
            self.assigned = saved.assigned;
            self.owner = saved.owner;
        }
    }

    /// Returns the sum of the differences between any two members that take part. Less is better.
    fn score(&self) -> usize {
        let sizes: Vec<usize> = self.by_size.iter().map(|(size, _)| *size).collect();
        // Ascending sizes: each is subtracted from the later ones, and the earlier ones are subtracted from it.
        let mut below = 0;
        sizes.iter().enumerate().fold(0, |score, (place, size)| {
            let score = score + size * place - below;
            below += size;
            score
        })
    }

    /// Says whether no partition can move so that the balance gains.
    fn is_balanced(&self) -> bool {
        let (Some((least, _)), Some((most, _))) = (self.by_size.first(), self.by_size.last()) else {
            return true;
        };
        if least + 1 >= *most {
            return true;
        }
        let mut largest_owner: BTreeMap<&str, usize> = BTreeMap::new();
        for (size, index) in &self.by_size {
            for partition in &self.assigned[*index] {
                let largest = largest_owner.entry(&*partition.topic).or_default();
                *largest = (*largest).max(*size);
            }
        }
        self.by_size.iter().all(|(size, index)| {
            let mut topics = self.topics_of[*index].iter();
            topics.all(|topic| largest_owner.get(topic).is_none_or(|largest| size + 1 >= *largest))
        })
    }

    /// Moves partitions from members with more to members with fewer, as often as one moves. Returns whether one has moved.
    fn reassign(&mut self, partitions: &[TopicPartition]) -> bool {
        let mut has_moved = false;
        let mut is_balanced = self.is_balanced();
        loop {
            let mut has_moved_now = false;
            for partition in partitions {
                if is_balanced {
                    break;
                }
                if let Some(to) = self.better_owner(partition) {
                    self.move_or_undo(partition, to);
                    has_moved_now = true;
                    is_balanced = self.is_balanced();
                }
            }
            has_moved |= has_moved_now;
            if !has_moved_now {
                return has_moved;
            }
        }
    }

    /// Returns the member that should have the partition instead of its owner, if that makes the sizes more even. A member that owned it
    /// in an earlier generation comes first.
    fn better_owner(&self, partition: &TopicPartition) -> Option<usize> {
        let owner = *self.owner.get(partition)?;
        let size = self.assigned[owner].len();
        let gains = |index: usize| size > self.assigned[index].len() + 1;
        let topic = &*partition.topic;
        let earlier = self.earlier_owners.get(partition).copied();
        let takes_part = |index: usize| self.by_size.contains(&(self.assigned[index].len(), index));
        if let Some(earlier) = earlier
            && self.topics_of[earlier].contains(topic)
            && takes_part(earlier)
            && gains(earlier)
        {
            return Some(earlier);
        }
        self.smallest_subscriber(topic).filter(|index| gains(*index))
    }

    /// Moves a partition, or one of the same topic that has moved the other way before.
    fn move_or_undo(&mut self, partition: &TopicPartition, to: usize) {
        let partition = self.movements.instead_of(partition, self.owner[partition], to);
        let from = self.owner[&partition];
        self.movements.note(&partition, from, to);
        for index in [from, to] {
            self.by_size.remove(&(self.assigned[index].len(), index));
        }
        self.assigned[from].retain(|owned| *owned != partition);
        self.assigned[to].push(partition.clone());
        for index in [from, to] {
            self.by_size.insert((self.assigned[index].len(), index));
        }
        self.owner.insert(TopicPartition { topic: Arc::clone(&partition.topic), ..partition }, to);
    }
}
