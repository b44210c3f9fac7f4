//! Topics: made, altered, described, asked for offsets, deleted. Each change is durable in the catalog before it is answered.

use super::Engine;
use crate::catalog::{Catalog, Topic};
use crate::client::OpenTopic;
use crate::config::{TopicChanges, TopicConfig};
use crate::error::{FetchError, OpenError, TopicError};
use crate::log::Origin;
use crate::types::{EpochEnd, ListedOffset, OffsetSpec};
use std::sync::{MutexGuard, PoisonError};

/// A topic, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// How it keeps its records.
    pub config: TopicConfig,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition, described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionDescription {
    /// The shard that owns it.
    pub shard: u32,
    /// The first offset held.
    pub log_start_offset: i64,
    /// The first offset consumers do not see yet.
    pub high_watermark: i64,
    /// The offset the next record gets.
    pub log_end_offset: i64,
}

impl Engine {
    fn admin(&self) -> MutexGuard<'_, ()> {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a topic; durable when this returns.
    ///
    /// # Errors
    /// [`TopicError`]. Nothing of the topic is left then, with one exception: after [`TopicError::Unconfirmed`] the next
    /// open may find the topic, damaged, as its files are removed.
    pub fn create_topic(&self, name: &str, partitions: u32, config: TopicConfig) -> Result<(), TopicError> {
        let _one_at_a_time = self.admin();
        let mut topic = Topic::new(partitions, config);
        let (own_name, own_topic) = (name.to_owned(), topic.clone());
        topic.id = self.with_catalog(move |shard, mut catalog| async move {
            let announced = catalog.announce(&shard.context.disk, &own_name, &own_topic).await;
            let id = catalog.next_topic_id();
            (catalog, announced.map(|()| id))
        })?;
        let made = self.open_partitions(&[(name.to_owned(), topic.clone())], |_, _| Origin::Created);
        let made = made.map_err(TopicError::from).and_then(|mut opened| {
            let opened = opened.pop().unwrap_or_default();
            self.finish_topic(name, &topic, opened.places)
        });
        match made {
            Ok(places) => {
                self.topics.write().insert(name.to_owned(), OpenTopic { config: topic.config, places });
                Ok(())
            }
            Err(error) => {
                let may_be_used = matches!(
                    error,
                    TopicError::ShardStuck { .. } | TopicError::Open(OpenError::Executor { .. })
                );
                if may_be_used {
                    return Err(error);
                }
                // What cannot be removed now is so by the next open, or before the next topic of that name.
                let removed = self.remove_topic_files(name);
                Err(match error {
                    // The catalog was written once more, without the topic.
                    TopicError::Unconfirmed(error) if removed.is_ok() => error.into(),
                    error => error,
                })
            }
        }
    }

    /// Makes a topic known whose partitions are open.
    fn finish_topic(
        &self,
        name: &str,
        topic: &Topic,
        places: Vec<(usize, usize)>,
    ) -> Result<Vec<(usize, usize)>, TopicError> {
        let (own_name, own_topic) = (name.to_owned(), topic.clone());
        let created = self.with_catalog(move |shard, mut catalog| async move {
            let created = catalog.create(&shard.context.disk, &own_name, own_topic).await;
            (catalog, created)
        });
        match created {
            Ok(()) => Ok(places),
            Err(error) => self.drop_partitions(places).and(Err(error)),
        }
    }

    fn remove_topic_files(&self, name: &str) -> Result<(), TopicError> {
        let own_name = name.to_owned();
        self.with_catalog(move |shard, mut catalog| async move {
            let removed = catalog.remove_files(&shard.context.disk, &own_name).await;
            (catalog, removed.map_err(TopicError::from))
        })
    }

    /// Changes a topic's configuration; durable when this returns, and in force on all its partitions. The answer is the
    /// configuration as it is now. The number of partitions cannot be changed.
    ///
    /// Limits and retention count at once, `segment_bytes`, `index_interval_bytes` and `preallocate` from the next
    /// segment on. Appends that wait for their ack keep the level they were made with.
    ///
    /// # Errors
    /// [`TopicError`]. Nothing has changed then, with two exceptions. After [`TopicError::ShardStuck`] the change is durable,
    /// and the shard that does not answer has it after the next open. After [`TopicError::Unconfirmed`] the topic keeps its
    /// configuration until the engine is closed, and the next open may find either one; the call can be repeated.
    pub fn alter_topic(&self, name: &str, changes: TopicChanges) -> Result<TopicConfig, TopicError> {
        let _one_at_a_time = self.admin();
        let own_name = name.to_owned();
        let config = self.with_catalog(move |shard, mut catalog| async move {
            let altered = catalog.alter(&shard.context.disk, &own_name, &changes).await;
            (catalog, altered.map(|topic| topic.config))
        })?;
        let mut places = Vec::new();
        if let Some(topic) = self.topics.write().get_mut(name) {
            topic.config = config.clone();
            places.clone_from(&topic.places);
        }
        let mut outcome = Ok(config.clone());
        for (shard, slot) in places {
            let config = config.clone();
            let applied =
                self.shards[shard].call(move |shard| async move { shard.alter_partition(slot, config) });
            if applied.is_none() {
                outcome = Err(TopicError::ShardStuck { shard: crate::num::u32_of(shard) });
            }
        }
        outcome
    }

    /// Deletes a topic and its records. Producers and consumers of it get `UnknownPartition` from now on.
    ///
    /// # Errors
    /// [`TopicError`]. After [`TopicError::Unconfirmed`] the topic is gone until the engine is closed, and the next open may
    /// find it with all its records.
    pub fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let _one_at_a_time = self.admin();
        if !self.topics.read().contains_key(name) {
            return Err(TopicError::Unknown(name.to_owned()));
        }
        let own_name = name.to_owned();
        let deleted = self.with_catalog(move |shard, mut catalog| async move {
            let deleted = catalog.delete(&shard.context.disk, &own_name).await;
            (catalog, deleted)
        });
        let may_be_deleted = matches!(deleted, Ok(()) | Err(TopicError::Unconfirmed(_)));
        if !may_be_deleted {
            return deleted;
        }
        // Nothing more is acked that the next open could delete.
        let Some(topic) = self.topics.write().remove(name) else { return deleted };
        self.drop_partitions(topic.places)?;
        deleted?;
        self.remove_topic_files(name)
    }

    /// Runs `work` on the catalog, on shard 0; callers hold `admin`, so one at a time.
    fn with_catalog<R, W, F>(&self, work: W) -> Result<R, TopicError>
    where
        R: Send + 'static,
        W: FnOnce(std::rc::Rc<crate::shard::Shard>, Catalog) -> F + Send + 'static,
        F: Future<Output = (Catalog, Result<R, TopicError>)> + 'static,
    {
        let done = self.shards[0].call(move |shard| async move {
            let Some(catalog) = shard.catalog.take() else { return Err(TopicError::ShardStuck { shard: 0 }) };
            let (catalog, outcome) = work(std::rc::Rc::clone(&shard), catalog).await;
            shard.catalog.replace(Some(catalog));
            outcome
        });
        done.unwrap_or(Err(TopicError::ShardStuck { shard: 0 }))
    }

    /// Names of all topics, in order.
    pub fn list_topics(&self) -> Vec<String> {
        self.topics.read().keys().cloned().collect()
    }

    /// A topic's configuration and the offsets of its partitions.
    ///
    /// # Errors
    /// [`TopicError`].
    pub fn describe_topic(&self, name: &str) -> Result<TopicDescription, TopicError> {
        let topic = self.topic(name)?;
        let described = topic.places.iter().map(|(shard, slot)| {
            let (id, slot) = (crate::num::u32_of(*shard), *slot);
            let offsets = self.shards[*shard].call(move |shard| async move { shard.offsets(slot) }).flatten();
            let (log_start_offset, high_watermark, log_end_offset) =
                offsets.ok_or(TopicError::ShardStuck { shard: id })?;
            Ok(PartitionDescription { shard: id, log_start_offset, high_watermark, log_end_offset })
        });
        let partitions = described.collect::<Result<Vec<_>, TopicError>>()?;
        Ok(TopicDescription { name: name.to_owned(), config: topic.config, partitions })
    }

    /// Offsets of (topic, partition), by place or by time; `None` where no record is as late.
    ///
    /// # Errors
    /// A partition is unknown, its shard does not answer, or reading failed.
    pub fn list_offsets<'a>(
        &self,
        asked: impl IntoIterator<Item = (&'a str, u32, OffsetSpec)>,
    ) -> Result<Vec<Option<ListedOffset>>, FetchError> {
        let listed = asked.into_iter().map(|(name, partition, spec)| {
            let (shard, slot) = self.place(name, partition)?;
            let listed =
                self.shards[shard].call(move |shard| async move { shard.list_offset(slot, spec).await });
            listed.unwrap_or_else(|| Err(FetchError::ShardStuck { shard: crate::num::u32_of(shard) }))
        });
        listed.collect()
    }

    /// Ends of leader epochs of (topic, partition), as Kafka's OffsetForLeaderEpoch: the largest epoch in the log that is not
    /// above the requested one, and the offset at which it ends. `None` if the requested epoch is negative or above the
    /// current one.
    ///
    /// A consumer that was at a larger offset than that, in the requested epoch, has read records that the log lost since.
    /// [`Engine::consumer`] does this check for a saved [`ConsumerPosition`](crate::types::ConsumerPosition).
    ///
    /// # Errors
    /// A partition is unknown, its shard does not answer, reading failed, or the log is damaged where the epoch ends.
    pub fn offsets_for_epochs<'a>(
        &self,
        asked: impl IntoIterator<Item = (&'a str, u32, i32)>,
    ) -> Result<Vec<Option<EpochEnd>>, FetchError> {
        let ends = asked.into_iter().map(|(name, partition, epoch)| {
            let (shard, slot) = self.place(name, partition)?;
            let end = self.shards[shard]
                .call(move |shard| async move { shard.offset_for_epoch(slot, epoch).await });
            end.unwrap_or_else(|| Err(FetchError::ShardStuck { shard: crate::num::u32_of(shard) }))
        });
        ends.collect()
    }

    /// The shard and the slot of a partition.
    fn place(&self, name: &str, partition: u32) -> Result<(usize, usize), FetchError> {
        let topic = self.topic(name).map_err(|_| FetchError::UnknownPartition)?;
        topic.places.get(partition as usize).copied().ok_or(FetchError::UnknownPartition)
    }
}
