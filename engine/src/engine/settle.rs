//! Changes of topics that a stuck shard has not answered. The shard may finish its part once it moves. The next change of
//! that topic first brings the engine and the catalog to the same state.

use super::Engine;
use super::admin::may_be_done;
use super::open::TopicToOpen;
use crate::catalog::Topic;
use crate::client::OpenTopic;
use crate::error::TopicError;
use crate::log::Origin;
use crate::num::u32_of;
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

/// The topics of which the last change was not answered, by name. The value holds the shards and slots of partitions that
/// may not have ended yet.
pub(super) type Unsettled = BTreeMap<String, Vec<(usize, usize)>>;

impl Engine {
    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a topic if the outcome of its change says that a shard did not answer. Returns the outcome.
    pub(super) fn noting<T>(&self, name: &str, outcome: Result<T, TopicError>) -> Result<T, TopicError> {
        if outcome.as_ref().is_err_and(may_be_done) {
            self.unsettled().entry(name.to_owned()).or_default();
        }
        outcome
    }

    /// Brings a topic to the same state in the engine and in the catalog, if its last change was not answered. A
    /// deletion or an addition of partitions that shard 0 has finished is completed. A creation is undone.
    ///
    /// # Errors
    /// A shard still does not answer, or the disk failed. The next call tries again.
    pub(super) fn settle(&self, name: &str) -> Result<(), TopicError> {
        let Some(places) = self.unsettled().get_mut(name).map(std::mem::take) else { return Ok(()) };
        self.drop_partitions(name, places)?;
        let own_name = name.to_owned();
        // This waits for the work on the catalog that is still running.
        let stored =
            self.with_catalog(async move |_, catalog| Ok(catalog.topics().get(&own_name).cloned()))?;
        let open = self.topics.get(name);
        match (open, stored) {
            (None, None) => self.remove_topic_files(name)?,
            (None, Some(_)) => {
                let own_name = name.to_owned();
                self.with_catalog(async move |disk, catalog| catalog.delete(disk, &own_name).await)?;
                self.remove_topic_files(name)?;
            }
            (Some(open), None) => {
                self.topics.write().remove(name);
                self.drop_partitions(name, open.places)?;
                self.remove_topic_files(name)?;
            }
            (Some(open), Some(stored)) => self.take_over(name, &open, stored)?,
        }
        self.unsettled().remove(name);
        Ok(())
    }

    /// Takes over what the catalog says about an open topic: its configuration, and partitions that were added.
    fn take_over(&self, name: &str, open: &OpenTopic, stored: Topic) -> Result<(), TopicError> {
        // The engine may have the configuration already, and a shard may not.
        self.apply_config(name, &stored.config)?;
        let (present, total) = (u32_of(open.places.len()), stored.partitions);
        if total > present {
            let added = TopicToOpen { name: name.to_owned(), topic: stored, numbers: present..total };
            let origin = Origin::Existing { durable_to: i64::MIN, was_damaged: false };
            let opened = self.open_partitions(&[added], |_, _| origin)?.pop().unwrap_or_default();
            if let Some(open) = self.topics.write().get_mut(name) {
                open.places.extend(opened.places);
            }
            return Ok(());
        }
        let own_name = name.to_owned();
        self.with_catalog(async move |disk, catalog| Ok(catalog.remove_added_files(disk, &own_name).await?))
    }

    /// Ends partitions of a topic whose files will be removed. A failure of their logs is no error. A stuck shard ends
    /// its partitions once it moves; until then the topic is unsettled.
    pub(super) fn drop_partitions(&self, name: &str, places: Vec<(usize, usize)>) -> Result<(), TopicError> {
        let mut left = Vec::new();
        for (shard, slot) in places {
            let handle = &self.shards[shard];
            let ended = handle.begin_once_it_moves(move |shard| shard.end_partition(slot));
            let ended = if handle.mailbox.is_stuck() { None } else { ended.and_then(|ended| ended.wait()) };
            if ended.is_none() {
                left.push((shard, slot));
            }
        }
        let Some((shard, _)) = left.first().copied() else { return Ok(()) };
        self.unsettled().entry(name.to_owned()).or_default().extend(left);
        Err(TopicError::ShardStuck { shard: u32_of(shard) })
    }
}
