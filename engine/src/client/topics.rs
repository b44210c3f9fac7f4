//! The topics of an open engine. All threads look them up, also those of the shards. So no code waits for anything
//! while it holds the lock.

use crate::config::TopicConfig;
use crate::types::TopicPartition;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// An open topic.
#[derive(Debug, Clone)]
pub(crate) struct OpenTopic {
    pub(crate) config: TopicConfig,
    /// Shard and slot of each partition, by number.
    pub(crate) places: Vec<(usize, usize)>,
}

/// The open topics, by name.
#[derive(Debug, Default)]
pub(crate) struct Topics(RwLock<BTreeMap<String, OpenTopic>>);

impl Topics {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, OpenTopic>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, OpenTopic>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, name: &str) -> Option<OpenTopic> {
        self.read().get(name).cloned()
    }

    /// Whether the partition exists.
    pub(crate) fn has(&self, partition: &TopicPartition) -> bool {
        let number = partition.partition as usize;
        self.read().get(&*partition.topic).is_some_and(|topic| number < topic.places.len())
    }
}
