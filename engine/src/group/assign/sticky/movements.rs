//! The moves of partitions during one assignment. They show when two members would swap partitions of one topic for nothing.

use crate::types::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};

/// A member that gives a partition, and the one that gets it.
type Pair = (usize, usize);

/// The moves of partitions during one assignment. Members are named by their index.
#[derive(Debug, Default)]
pub(super) struct Movements {
    by_partition: BTreeMap<TopicPartition, Pair>,
    by_pair: BTreeMap<(Pair, std::sync::Arc<str>), BTreeSet<TopicPartition>>,
}

impl Movements {
    /// Notes a move. Several moves of one partition count as one, from its first owner to the last.
    pub(super) fn note(&mut self, partition: &TopicPartition, from: usize, to: usize) {
        let first = self.forget(partition).map_or(from, |(first, _)| first);
        if first == to {
            return;
        }
        self.by_partition.insert(partition.clone(), (first, to));
        let key = ((first, to), std::sync::Arc::clone(&partition.topic));
        self.by_pair.entry(key).or_default().insert(partition.clone());
    }

    fn forget(&mut self, partition: &TopicPartition) -> Option<Pair> {
        let pair = self.by_partition.remove(partition)?;
        let key = (pair, std::sync::Arc::clone(&partition.topic));
        if let Some(partitions) = self.by_pair.get_mut(&key) {
            partitions.remove(partition);
            if partitions.is_empty() {
                self.by_pair.remove(&key);
            }
        }
        Some(pair)
    }

    /// Returns the partition to move instead of `partition`: one of the same topic that has moved the other way before, if there
    /// is one. Moving it back undoes a move instead of adding one.
    pub(super) fn instead_of(&self, partition: &TopicPartition, from: usize, to: usize) -> TopicPartition {
        let first = self.by_partition.get(partition).map_or(from, |(first, _)| *first);
        let key = ((to, first), std::sync::Arc::clone(&partition.topic));
        let back = self.by_pair.get(&key).and_then(BTreeSet::first);
        back.unwrap_or(partition).clone()
    }
}
