//! The topics of an open engine. All threads look them up, also those of the shards. So no code waits for anything
//! while it holds the lock.

use crate::config::TopicConfig;
use crate::types::TopicPartition;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// An open topic.
#[derive(Debug, Clone)]
pub(crate) struct OpenTopic {
    /// Distinguishes the topic from earlier ones of the same name.
    pub(crate) id: u64,
    /// The incarnation in which the topic was created; 0 if that is not known.
    pub(crate) created_in: i32,
    pub(crate) config: TopicConfig,
    /// Shard and slot of each partition, by number.
    pub(crate) places: Vec<(usize, usize)>,
}

/// The open topics, by name.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: RwLock<BTreeMap<String, OpenTopic>>,
    changes: AtomicU64,
}

impl Topics {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, OpenTopic>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, OpenTopic>> {
        let topics = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        // Counted under the lock: a reader that sees the new count and looks then also sees the change.
        self.changes.fetch_add(1, Ordering::Release);
        topics
    }

    /// Returns the number of changes so far. While it stays the same, no topic has come, gone or changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(crate) fn get(&self, name: &str) -> Option<OpenTopic> {
        self.read().get(name).cloned()
    }

    /// Returns the id of the topic with this name, if there is one.
    pub(crate) fn id(&self, name: &str) -> Option<u64> {
        self.read().get(name).map(|topic| topic.id)
    }

    /// Whether the partition exists.
    pub(crate) fn has(&self, partition: &TopicPartition) -> bool {
        let number = partition.partition as usize;
        self.read().get(&*partition.topic).is_some_and(|topic| number < topic.places.len())
    }
}
