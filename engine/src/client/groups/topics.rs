//! What follows for a consumer in a group when topics come, go and grow.
//!
//! The positions of a consumer and the assignment of its group name topics. A topic that was deleted, and another one that has
//! its name now, have different ids. So ids are compared where a name alone could mean either.

use super::consumer::{GroupConsumer, GroupEvent, Phase};
use super::error::GroupsError;
use super::leader::{self, Led};
use super::link::RETRY_AFTER;
use super::offsets::Commit;
use crate::clock::after;
use crate::error::FetchError;
use crate::group::{
    Assignment, DescribeGroups, DescribedGroup, PartitionCounts, RecordFault, ReplyBody, RequestBody,
};
use crate::types::TopicPartition;
use std::collections::BTreeSet;
use std::time::Instant;

/// Name of the state of a group in which each member has its assignment.
const STABLE: &str = "Stable";

impl GroupConsumer {
    pub(super) fn wanted_topics(&self) -> BTreeSet<String> {
        self.subscribe.resolve(self.directory.topics.read().keys())
    }

    /// Gives up the partitions of topics that were deleted, if topics have changed since the last look.
    pub(super) fn look_at_topics(&mut self) {
        let changes = self.directory.topics.changes();
        if self.looked_at != changes {
            self.looked_at = changes;
            self.has_news_of_topics = true;
            self.drop_deleted();
        }
    }

    /// Gives up the partitions of topics that were deleted. There is nobody left to read their records or commits.
    pub(super) fn drop_deleted(&mut self) {
        let gone = self.owned.remove_deleted(&self.directory.topics);
        if !gone.is_empty() {
            self.events.push_back(Ok(GroupEvent::Lost(gone)));
        }
    }

    /// Whether the partition can be committed and read on: a partition that the consumer reads has to be of the topic that
    /// has this name now.
    pub(super) fn is_current(&self, partition: &TopicPartition) -> bool {
        let topics = &self.directory.topics;
        let read = self.owned.topic_id(&partition.topic);
        topics.has(partition) && (read.is_none() || read == topics.id(&partition.topic))
    }

    /// Removes the commits of partitions whose topic was deleted: nobody can resume there.
    pub(super) fn retain_existing(&self, commits: &mut Vec<Commit>) {
        commits.retain(|commit| self.is_current(&commit.partition));
    }

    /// Whether a fetch has failed because its topic was deleted.
    pub(super) fn is_of_deleted_topic(&self, error: &GroupsError) -> bool {
        match error {
            GroupsError::Fetch { partition, error: FetchError::UnknownPartition } => {
                !self.is_current(partition)
            }
            _ => false,
        }
    }

    /// Takes note of the topics of an assignment, before the committed offsets of new partitions are asked for. Where the
    /// consumer reads on, it is the topic that it reads.
    pub(super) fn note_assigned(&mut self, assigned: &[TopicPartition]) {
        let topics = &self.directory.topics;
        let id = |topic: &str| self.owned.topic_id(topic).or_else(|| topics.id(topic));
        self.assigned = assigned.iter().map(|name| (name.topic.clone(), id(&name.topic))).collect();
        self.has_news_of_topics = true;
    }

    /// Whether a topic of the assignment was deleted or created since, so that the group has to assign anew. The leader looks
    /// at all topics of the group, and each member at those of its own partitions.
    pub(super) fn is_assignment_outdated(&mut self) -> bool {
        if !std::mem::take(&mut self.has_news_of_topics) {
            return false;
        }
        let topics = &self.directory.topics;
        self.assigned.iter().any(|(name, id)| topics.id(name) != *id)
            || self.led.as_ref().is_some_and(|led| led.ids != leader::ids(topics, &led.topics))
    }

    /// Returns the time of the next look at topics. A topic that members name and that does not exist is looked for soon, as
    /// Kafka's consumers do.
    pub(super) fn next_look_at(&self, now: Instant) -> Instant {
        let lacks_topic = self.led.as_ref().is_some_and(|led| led.ids.len() < led.topics.len());
        let next = self.next_look;
        if lacks_topic { next.min(after(now, RETRY_AFTER)) } else { next }
    }

    /// Whether the topics that this member means have changed, or the partitions that the leader has to assign.
    pub(super) fn has_metadata_changed(&self) -> bool {
        let topics = &self.directory.topics;
        let differs = |led: &Led| leader::counts(topics, led.topics.iter()) != led.counts;
        self.wanted_topics() != self.joined_topics || self.led.as_ref().is_some_and(differs)
    }

    /// Asks for the assignments of all members. A static member that returns gets its old assignment without a rebalance, and
    /// topics may have grown while it was away.
    pub(super) fn ask_for_assignments(&mut self) {
        let request = DescribeGroups { groups: vec![self.config.group_id.clone()] };
        let ticket = self.link.send(RequestBody::DescribeGroups(request));
        self.describing = Some((ticket, self.generation));
    }

    /// Compares the assignments of all members with the partitions that exist. Has the group assign anew if some partition
    /// has no owner.
    pub(super) fn described(&mut self, generation: i32, outcome: Result<ReplyBody, GroupsError>) {
        if self.phase != Phase::Stable || self.generation != generation {
            return;
        }
        let group = match outcome {
            Ok(ReplyBody::DescribeGroups(mut groups)) => groups.pop(),
            _ => None,
        };
        // A group that rebalances assigns anew in any case.
        let counts = match group {
            Some(group) if group.state == STABLE => covered(&group).unwrap_or_default(),
            Some(group) if group.error.is_none() => return,
            _ => PartitionCounts::new(),
        };
        let mut names = self.joined_topics.clone();
        if let Some(led) = &mut self.led {
            names.extend(led.topics.iter().cloned());
            led.counts.clone_from(&counts);
        }
        let existing = leader::counts(&self.directory.topics, names.iter());
        if existing.iter().any(|(topic, count)| counts.get(topic) != Some(count)) {
            self.begin_rebalance();
        }
    }
}

/// Returns the number of partitions that have an owner, by topic.
fn covered(group: &DescribedGroup) -> Result<PartitionCounts, RecordFault> {
    let mut owned = BTreeSet::new();
    for member in &group.members {
        owned.extend(Assignment::decode(&member.assignment)?.partitions);
    }
    let mut counts = PartitionCounts::new();
    for partition in owned {
        *counts.entry(partition.topic.to_string()).or_default() += 1;
    }
    Ok(counts)
}
