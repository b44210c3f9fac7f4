//! Topics: creating, altering, describing and deleting them, and looking up offsets. Each change is durable in the
//! catalog before the call returns.

use super::Engine;
use crate::catalog::{Catalog, Topic};
use crate::client::OpenTopic;
use crate::config::{TopicChanges, TopicConfig};
use crate::error::{FetchError, OpenError, TopicError};
use crate::log::Origin;
use crate::shard::ShardDisk;
use crate::types::{EpochEnd, ListedOffset, OffsetSpec};
use std::sync::{MutexGuard, PoisonError};

/// A topic's configuration and partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Name of the topic.
    pub name: String,
    /// The topic's configuration.
    pub config: TopicConfig,
    /// The topic's partitions, by number.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition's shard and offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionDescription {
    /// The shard that owns it.
    pub shard: u32,
    /// The first offset that the log holds.
    pub log_start_offset: i64,
    /// The first offset that consumers do not see yet.
    pub high_watermark: i64,
    /// The offset that the next record gets.
    pub log_end_offset: i64,
}

impl Engine {
    fn admin(&self) -> MutexGuard<'_, ()> {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a topic; durable when this returns.
    ///
    /// # Errors
    /// [`TopicError`]. Nothing of the topic is left then, with two exceptions. After [`TopicError::Unconfirmed`] the
    /// next open may find the topic, damaged, as its files are removed. If a shard does not answer
    /// ([`TopicError::ShardStuck`], or [`TopicError::Open`] with [`OpenError::Executor`]), files of the topic stay: the
    /// next open removes them, or finds the topic if shard 0 has finished its creation after all.
    pub fn create_topic(&self, name: &str, partitions: u32, config: TopicConfig) -> Result<(), TopicError> {
        let _one_at_a_time = self.admin();
        let mut topic = Topic::new(partitions, config);
        let (own_name, own_topic) = (name.to_owned(), topic.clone());
        topic.id = self.with_catalog(async move |disk, catalog| {
            catalog.announce(disk, &own_name, &own_topic).await?;
            Ok(catalog.next_topic_id())
        })?;
        let opened = self.open_partitions(&[(name.to_owned(), topic.clone())], |_, _| Origin::Created);
        let created = opened.map_err(TopicError::from).and_then(|mut opened| {
            let opened = opened.pop().unwrap_or_default();
            self.finish_topic(name, &topic, opened.places)
        });
        match created {
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
                // Files that cannot be removed now are removed by the next open, or before the next topic of that name
                // is created.
                let removed = self.remove_topic_files(name);
                Err(match error {
                    // Removing the files has written the catalog again, without the topic.
                    TopicError::Unconfirmed(error) if removed.is_ok() => error.into(),
                    error => error,
                })
            }
        }
    }

    /// Adds a topic to the catalog. Its partitions are open.
    fn finish_topic(
        &self,
        name: &str,
        topic: &Topic,
        places: Vec<(usize, usize)>,
    ) -> Result<Vec<(usize, usize)>, TopicError> {
        let (own_name, own_topic) = (name.to_owned(), topic.clone());
        let created =
            self.with_catalog(async move |disk, catalog| catalog.create(disk, &own_name, own_topic).await);
        match created {
            Ok(()) => Ok(places),
            Err(error) => self.drop_partitions(places).and(Err(error)),
        }
    }

    fn remove_topic_files(&self, name: &str) -> Result<(), TopicError> {
        let own_name = name.to_owned();
        self.with_catalog(async move |disk, catalog| Ok(catalog.remove_files(disk, &own_name).await?))
    }

    /// Changes a topic's configuration. The change is durable when this returns, and in force on all the topic's
    /// partitions. Returns the new configuration. The number of partitions cannot be changed.
    ///
    /// Limits and retention apply at once. `segment_bytes`, `index_interval_bytes` and `preallocate` apply from the
    /// next segment on. Appends that wait for their ack keep their durability.
    ///
    /// # Errors
    /// [`TopicError`]. Nothing has changed then, with two exceptions. After [`TopicError::ShardStuck`] the change is
    /// durable, and the shard that does not answer has it after the next open. If that is shard 0, which owns the
    /// catalog, the change may also not be made. After [`TopicError::Unconfirmed`] the topic keeps its configuration
    /// until the engine is closed, and the next open may find either one; the call can be repeated.
    pub fn alter_topic(&self, name: &str, changes: TopicChanges) -> Result<TopicConfig, TopicError> {
        let _one_at_a_time = self.admin();
        let own_name = name.to_owned();
        let altered =
            self.with_catalog(async move |disk, catalog| catalog.alter(disk, &own_name, &changes).await)?;
        let config = altered.config;
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

    /// Deletes a topic and its records. Its producers and consumers get `UnknownPartition` from now on.
    ///
    /// # Errors
    /// [`TopicError`]. After [`TopicError::Unconfirmed`] the topic is gone until the engine is closed, and the next
    /// open may find it with all its records. After [`TopicError::ShardStuck`] for shard 0, which owns the catalog, the
    /// next open may find the topic deleted or not.
    pub fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let _one_at_a_time = self.admin();
        if !self.topics.read().contains_key(name) {
            return Err(TopicError::Unknown(name.to_owned()));
        }
        let own_name = name.to_owned();
        let deleted = self.with_catalog(async move |disk, catalog| catalog.delete(disk, &own_name).await);
        let may_be_deleted = matches!(deleted, Ok(()) | Err(TopicError::Unconfirmed(_)));
        if !may_be_deleted {
            return deleted;
        }
        // The partitions end first: the next open could delete what they would still ack.
        let Some(topic) = self.topics.write().remove(name) else { return deleted };
        self.drop_partitions(topic.places)?;
        deleted?;
        self.remove_topic_files(name)
    }

    /// Runs `work` on the catalog, on shard 0. A request that is still running there comes first.
    fn with_catalog<R, W>(&self, work: W) -> Result<R, TopicError>
    where
        R: Send + 'static,
        W: AsyncFnOnce(&ShardDisk, &mut Catalog) -> Result<R, TopicError> + Send + 'static,
    {
        let done = self.shards[0].call(move |shard| async move { shard.with_catalog(work).await });
        done.flatten().unwrap_or(Err(TopicError::ShardStuck { shard: 0 }))
    }

    /// Returns the names of all topics, in order.
    pub fn list_topics(&self) -> Vec<String> {
        self.topics.read().keys().cloned().collect()
    }

    /// Returns a topic's configuration and the offsets of its partitions.
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

    /// Looks up offsets in a list of (topic, partition, offset to look up). An answer is `None` if no record has a
    /// timestamp as late as the requested one.
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

    /// Looks up ends of leader epochs in a list of (topic, partition, epoch), as Kafka's OffsetForLeaderEpoch. An
    /// answer holds the largest epoch in the log that is not above the requested one, and the offset at which it ends.
    /// It is `None` if the requested epoch is negative or above the current one.
    ///
    /// A consumer that was at a larger offset than that, in the requested epoch, has read records that the log has lost
    /// since. [`Engine::consumer`] does this check for a saved [`ConsumerPosition`](crate::types::ConsumerPosition).
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

    /// Returns the shard and the slot of a partition.
    fn place(&self, name: &str, partition: u32) -> Result<(usize, usize), FetchError> {
        let topic = self.topic(name).map_err(|_| FetchError::UnknownPartition)?;
        topic.places.get(partition as usize).copied().ok_or(FetchError::UnknownPartition)
    }
}
