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
        self.by_group.values().any(|topics| topics.contains_key(topic))
    }

    /// Stores an offset, or removes it if `value` is `None`.
    pub(crate) fn apply(&mut self, key: &OffsetKey, value: Option<CommittedOffset>) {
        let Some(value) = value else { return self.remove(key) };
        let topics = self.by_group.entry(key.group.clone()).or_default();
        topics.entry(key.topic.clone()).or_default().insert(key.partition, value);
    }

    /// Removes all offsets of a group.
    pub(crate) fn remove_group(&mut self, group: &str) {
        self.by_group.remove(group);
    }

    fn remove(&mut self, key: &OffsetKey) {
        let Some(topics) = self.by_group.get_mut(&key.group) else { return };
        if let Some(partitions) = topics.get_mut(&key.topic) {
            partitions.remove(&key.partition);
            if partitions.is_empty() {
                topics.remove(&key.topic);
            }
        }
        if topics.is_empty() {
            self.by_group.remove(&key.group);
        }
    }

    /// Returns the keys and values of a group, in the order of topic and partition.
    pub(crate) fn of_group(&self, group: &str) -> Vec<(OffsetKey, &CommittedOffset)> {
        let key = |topic: &str, partition: i32| OffsetKey {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition,
        };
        let topics = self.by_group.get(group).into_iter().flatten();
        topics
            .flat_map(|(topic, partitions)| {
                partitions.iter().map(move |(partition, offset)| (key(topic, *partition), offset))
            })
            .collect()
    }

    /// Returns the keys and values of all offsets behind `last`, or of all offsets, in the order of their keys.
    pub(crate) fn behind<'a>(
        &'a self,
        last: Option<&'a OffsetKey>,
    ) -> impl Iterator<Item = (OffsetKey, &'a CommittedOffset)> + 'a {
        let from = last.map_or(Bound::Unbounded, |last| Bound::Included(last.group.as_str()));
        self.by_group.range::<str, _>((from, Bound::Unbounded)).flat_map(move |(group, topics)| {
            let last = last.filter(|last| last.group == *group);
            let from = last.map_or(Bound::Unbounded, |last| Bound::Included(last.topic.as_str()));
            topics.range::<str, _>((from, Bound::Unbounded)).flat_map(move |(topic, partitions)| {
                let last = last.filter(|last| last.topic == *topic);
                let from = last.map_or(Bound::Unbounded, |last| Bound::Excluded(last.partition));
                let key =
                    move |partition: i32| OffsetKey { group: group.clone(), topic: topic.clone(), partition };
                partitions
                    .range((from, Bound::Unbounded))
                    .map(move |(partition, offset)| (key(*partition), offset))
            })
        })
    }
}
