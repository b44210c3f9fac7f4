//! The committed offsets of all groups.

use crate::group::records::{CommittedOffset, OffsetKey};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Offsets of one group, by topic and partition.
pub(crate) type GroupOffsets = BTreeMap<String, BTreeMap<i32, CommittedOffset>>;

/// The committed offsets of all groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offsets {
    by_group: BTreeMap<String, GroupOffsets>,
    /// Number of groups that have an offset of each topic.
    groups_by_topic: BTreeMap<String, usize>,
}

impl Offsets {
    /// Returns the offsets of a group, if it has any.
    pub(crate) fn group(&self, group: &str) -> Option<&GroupOffsets> {
        self.by_group.get(group)
    }

    /// Returns one offset.
    pub(crate) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.by_group.get(group)?.get(topic)?.get(&partition)
    }

    /// Whether a group has an offset of the topic.
    pub(crate) fn has_topic(&self, topic: &str) -> bool {
        self.groups_by_topic.contains_key(topic)
    }

    /// Returns the topics of which a group has an offset, by name.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        self.groups_by_topic.keys()
    }

    /// Stores an offset, or removes it if `value` is `None`.
    pub(crate) fn apply(&mut self, key: &OffsetKey, value: Option<CommittedOffset>) {
        let Some(value) = value else { return self.remove(key) };
        let topics = self.by_group.entry(key.group.clone()).or_default();
        let partitions = topics.entry(key.topic.clone()).or_default();
        if partitions.is_empty() {
            *self.groups_by_topic.entry(key.topic.clone()).or_default() += 1;
        }
        partitions.insert(key.partition, value);
    }

    /// Removes all offsets of a group.
    pub(crate) fn remove_group(&mut self, group: &str) {
        for topic in self.by_group.remove(group).into_iter().flatten().map(|(topic, _)| topic) {
            self.count_out(&topic);
        }
    }

    fn remove(&mut self, key: &OffsetKey) {
        let Some(topics) = self.by_group.get_mut(&key.group) else { return };
        let Some(partitions) = topics.get_mut(&key.topic) else { return };
        partitions.remove(&key.partition);
        if !partitions.is_empty() {
            return;
        }
        topics.remove(&key.topic);
        if topics.is_empty() {
            self.by_group.remove(&key.group);
        }
        self.count_out(&key.topic);
    }

    /// Counts one group less for a topic.
    fn count_out(&mut self, topic: &str) {
        if let Some(count) = self.groups_by_topic.get_mut(topic) {
            *count -= 1;
            if *count == 0 {
                self.groups_by_topic.remove(topic);
            }
        }
    }

    /// Returns the keys and values of a group, in the order of topic and partition.
    pub(crate) fn of_group(&self, group: &str) -> Vec<(OffsetKey, &CommittedOffset)> {
        let key = |topic: &str, partition: i32| OffsetKey {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition,
        };
        let offsets = self.by_group.get(group).into_iter().flat_map(|topics| topics_behind(topics, None));
        offsets.map(|(topic, partition, offset)| (key(topic, partition), offset)).collect()
    }

    /// Returns the groups that have offsets, from the id `first` on, in the order of their ids.
    pub(crate) fn groups_from(&self, first: &str) -> impl Iterator<Item = (&String, &GroupOffsets)> {
        self.by_group.range::<str, _>((Bound::Included(first), Bound::Unbounded))
    }

    /// Returns the keys and values of all offsets behind `last`, or of all offsets, in the order of their keys.
    pub(crate) fn behind<'a>(
        &'a self,
        last: Option<&'a OffsetKey>,
    ) -> impl Iterator<Item = (OffsetKey, &'a CommittedOffset)> + 'a {
        let from = last.map_or("", |last| last.group.as_str());
        self.groups_from(from).flat_map(move |(group, topics)| {
            let last = last.filter(|last| last.group == *group);
            let last = last.map(|last| (last.topic.as_str(), last.partition));
            topics_behind(topics, last).map(move |(topic, partition, offset)| {
                (OffsetKey { group: group.clone(), topic: topic.clone(), partition }, offset)
            })
        })
    }
}

/// Returns the offsets of a group behind the topic and partition `last`, or all of them, in the order of topic and partition.
pub(crate) fn topics_behind<'a>(
    topics: &'a GroupOffsets,
    last: Option<(&'a str, i32)>,
) -> impl Iterator<Item = (&'a String, i32, &'a CommittedOffset)> + 'a {
    let from = last.map_or(Bound::Unbounded, |(topic, _)| Bound::Included(topic));
    topics.range::<str, _>((from, Bound::Unbounded)).flat_map(move |(topic, partitions)| {
        let last = last.filter(|(last, _)| *last == topic.as_str());
        let from = last.map_or(Bound::Unbounded, |(_, partition)| Bound::Excluded(partition));
        let partitions = partitions.range((from, Bound::Unbounded));
        partitions.map(move |(partition, offset)| (topic, *partition, offset))
    })
}
