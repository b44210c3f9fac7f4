//! Topics as the open engine knows them. Looked up from every thread, the shards' own among them, so the lock is never
//! held while anything is waited for.

use crate::config::TopicConfig;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// An open topic.
#[derive(Debug, Clone)]
pub(crate) struct OpenTopic {
    pub(crate) config: TopicConfig,
    /// (shard, slot) of each partition.
    pub(crate) places: Vec<(usize, usize)>,
}

/// See the module.
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
}
