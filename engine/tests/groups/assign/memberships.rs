//! Random memberships for assignors, and what a generation makes of them.

#![allow(dead_code, reason = "tests and the example use different parts of this module")]

use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom as _, IteratorRandom as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vnotch_engine::group::{Assigned, GroupMember, PartitionCounts, Subscription};
use vnotch_engine::types::TopicPartition;

/// A group as an assignor sees it.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub counts: PartitionCounts,
    pub members: BTreeMap<String, GroupMember>,
}

pub(crate) fn counts(topics: &[(&str, u32)]) -> PartitionCounts {
    topics.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
}

pub(crate) fn member(instance_id: Option<&str>, topics: &[&str]) -> GroupMember {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let subscription = Subscription { topics, ..Subscription::default() };
    GroupMember { instance_id: instance_id.map(str::to_owned), subscription }
}

pub(crate) fn partition(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition { topic: Arc::from(topic), partition }
}

pub(crate) fn names(partitions: &[TopicPartition]) -> Vec<String> {
    let mut sorted = partitions.to_vec();
    sorted.sort();
    sorted.iter().map(ToString::to_string).collect()
}

impl Membership {
    /// Returns a random group. All members subscribe to the same topics, or each chooses for itself.
    pub(crate) fn random(random: &mut SmallRng) -> Self {
        let topics: Vec<String> =
            (0..random.random_range(1..=4)).map(|number| format!("topic{number}")).collect();
        let counts = topics.iter().map(|topic| (topic.clone(), random.random_range(1..=9))).collect();
        let mut membership = Self { counts, members: BTreeMap::new() };
        let is_equal = random.random_bool(0.5);
        for _ in 0..random.random_range(1..=7) {
            membership.add(is_equal, random);
        }
        membership
    }

    /// Adds a member.
    pub(crate) fn add(&mut self, is_equal: bool, random: &mut SmallRng) {
        let id = format!("consumer-{:08x}", random.random::<u32>());
        let all = self.counts.keys().cloned();
        let topics: Vec<String> =
            if is_equal { all.collect() } else { all.filter(|_| random.random_bool(0.6)).collect() };
        let instance_id = random.random_bool(0.2).then(|| format!("instance-{:04x}", random.random::<u16>()));
        let subscription = Subscription { topics, ..Subscription::default() };
        self.members.insert(id, GroupMember { instance_id, subscription });
    }

    /// Changes the group: members come, go or subscribe differently, and topics grow.
    pub(crate) fn change(&mut self, random: &mut SmallRng) {
        match random.random_range(0..8) {
            0..3 => {
                let is_equal = self.is_equal();
                self.add(is_equal, random);
            }
            3..6 if self.members.len() > 1 => {
                let id = self.members.keys().choose(random).unwrap().clone();
                self.members.remove(&id);
            }
            6 => {
                let topic = self.counts.keys().choose(random).unwrap().clone();
                *self.counts.get_mut(&topic).unwrap() += 2;
            }
            _ if !self.is_equal() => {
                let topics: Vec<String> =
                    self.counts.keys().filter(|_| random.random_bool(0.6)).cloned().collect();
                let id = self.members.keys().choose(random).unwrap().clone();
                self.members.get_mut(&id).unwrap().subscription.topics = topics;
            }
            _ => {}
        }
    }

    /// Says whether all members subscribe to the same topics.
    pub(crate) fn is_equal(&self) -> bool {
        let topics: BTreeSet<BTreeSet<&String>> =
            self.members.values().map(|member| member.subscription.topics.iter().collect()).collect();
        topics.len() <= 1
    }

    /// Lets the members own what `assigned` gives them, in generation `generation`. One member may miss the news: it keeps what it had.
    pub(crate) fn own(&mut self, assigned: &Assigned, generation: i32, misses: Option<&str>) {
        for (id, member) in &mut self.members {
            if misses != Some(id.as_str()) {
                member.subscription.owned = assigned.get(id).cloned().unwrap_or_default();
                member.subscription.generation = Some(generation);
            }
        }
    }

    /// Returns the id of any member.
    pub(crate) fn any(&self, random: &mut SmallRng) -> String {
        let ids: Vec<&String> = self.members.keys().collect();
        (*ids.choose(random).unwrap()).clone()
    }

    /// Returns the partitions that a member subscribes to.
    pub(crate) fn wanted(&self) -> BTreeSet<TopicPartition> {
        let topics: BTreeSet<&String> =
            self.members.values().flat_map(|member| &member.subscription.topics).collect();
        let topics = topics.into_iter().filter_map(|topic| Some((topic, *self.counts.get(topic)?)));
        topics.flat_map(|(topic, count)| (0..count).map(move |number| partition(topic, number))).collect()
    }
}
