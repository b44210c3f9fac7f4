//! Topics: creating, altering, describing and deleting them. Each change is durable in the catalog before the call
//! returns.

use super::Engine;
use super::groups::refuse_internal;
use super::open::{TopicToOpen, open_topic};
use crate::catalog::{Catalog, Topic};
use crate::config::{TopicChanges, TopicConfig};
use crate::error::{OpenError, TopicError};
use crate::log::Origin;
use crate::shard::{OFFSETS_TOPIC, ShardDisk};
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
    pub(super) fn admin(&self) -> MutexGuard<'_, ()> {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a topic; durable when this returns.
    ///
    /// # Errors
    /// [`TopicError`]. Nothing of the topic is left then, with two exceptions. After [`TopicError::Unconfirmed`] the
    /// next open may find the topic, damaged, as its files are removed. If a shard does not answer
    /// ([`TopicError::ShardStuck`], or [`TopicError::Open`] with [`OpenError::Executor`]), files of the topic stay until
    /// the call is repeated. If it is not, the next open removes them, or finds the topic if shard 0 has finished its
    /// creation after all.
    pub fn create_topic(&self, name: &str, partitions: u32, config: TopicConfig) -> Result<(), TopicError> {
        refuse_internal(name)?;
        self.create_any_topic(name, partitions, config)
    }

    /// Creates a topic, which may be an internal one.
    pub(super) fn create_any_topic(
        &self,
        name: &str,
        partitions: u32,
        config: TopicConfig,
    ) -> Result<(), TopicError> {
        let _one_at_a_time = self.admin();
        self.settle(name)?;
        self.noting(name, self.create_settled(name, partitions, config))
    }

    fn create_settled(&self, name: &str, partitions: u32, config: TopicConfig) -> Result<(), TopicError> {
        let mut topic = Topic::new(partitions, config);
        let (own_name, own_topic) = (name.to_owned(), topic.clone());
        topic.id = self.with_catalog(async move |disk, catalog| {
            catalog.announce(disk, &own_name, &own_topic).await?;
            Ok(catalog.next_topic_id())
        })?;
        topic.created_in = self.epoch;
        let whole = TopicToOpen::whole(name.to_owned(), topic.clone());
        // A crash may have left offsets that groups had committed for an earlier topic of that name.
        let opened = self
            .forget_offsets(name)
            .and_then(|()| Ok(self.open_partitions(&[whole], |_, _| Origin::Created)?));
        let created = opened.and_then(|mut opened| {
            let opened = opened.pop().unwrap_or_default();
            self.finish_topic(name, &topic, opened.places)
        });
        match created {
            Ok(places) => {
                let open = open_topic(topic, places);
                self.topics.write().insert(name.to_owned(), open);
                Ok(())
            }
            Err(error) => {
                if may_be_done(&error) {
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
            Err(error) => self.drop_partitions(name, places).and(Err(error)),
        }
    }

    pub(super) fn remove_topic_files(&self, name: &str) -> Result<(), TopicError> {
        let own_name = name.to_owned();
        self.with_catalog(async move |disk, catalog| Ok(catalog.remove_files(disk, &own_name).await?))
    }

    /// Changes a topic's configuration. The change is durable when this returns, and in force on all the topic's
    /// partitions. Returns the new configuration. [`Engine::create_partitions`] changes the number of partitions.
    ///
    /// Limits and retention apply at once. `segment_bytes`, `index_interval_bytes` and `preallocate` apply from the
    /// next segment on. Appends that wait for their ack keep their durability.
    ///
    /// # Errors
    /// [`TopicError`]. Nothing has changed then, with two exceptions. After [`TopicError::ShardStuck`] the change is
    /// durable, and the shard that does not answer has it after the next open, or once the call is repeated. If that is
    /// shard 0, which owns the catalog, the change may also not be made. After [`TopicError::Unconfirmed`] the topic
    /// keeps its configuration until the engine is closed, and the next open may find either one; the call can be
    /// repeated.
    pub fn alter_topic(&self, name: &str, changes: TopicChanges) -> Result<TopicConfig, TopicError> {
        refuse_internal(name)?;
        let _one_at_a_time = self.admin();
        self.settle(name)?;
        let own_name = name.to_owned();
        let altered =
            self.with_catalog(async move |disk, catalog| catalog.alter(disk, &own_name, &changes).await);
        let config = self.noting(name, altered)?.config;
        let applied = self.apply_config(name, &config);
        self.noting(name, applied).map(|()| config)
    }

    /// Gives all partitions of a topic its configuration, which the catalog has stored.
    pub(super) fn apply_config(&self, name: &str, config: &TopicConfig) -> Result<(), TopicError> {
        let mut places = Vec::new();
        if let Some(topic) = self.topics.write().get_mut(name) {
            topic.config = config.clone();
            places.clone_from(&topic.places);
        }
        let mut outcome = Ok(());
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

    /// Deletes a topic, its records, and the offsets that groups have committed for it. Its producers and consumers get
    /// `UnknownPartition` from now on.
    ///
    /// # Errors
    /// [`TopicError`]. After [`TopicError::Unconfirmed`] the topic is gone until the engine is closed, and the next
    /// open may find it with all its records. After [`TopicError::ShardStuck`] for shard 0, which owns the catalog, the
    /// next open may find the topic deleted or not; the call can be repeated. For another shard the topic is deleted, and
    /// that shard ends its partitions once it moves.
    pub fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        refuse_internal(name)?;
        let _one_at_a_time = self.admin();
        if !self.topics.read().contains_key(name) {
            return Err(TopicError::Unknown(name.to_owned()));
        }
        self.settle(name)?;
        if !self.topics.read().contains_key(name) {
            // An earlier call has deleted it, and had no answer.
            return Ok(());
        }
        self.noting(name, self.delete_settled(name))
    }

    fn delete_settled(&self, name: &str) -> Result<(), TopicError> {
        let own_name = name.to_owned();
        let deleted = self.with_catalog(async move |disk, catalog| catalog.delete(disk, &own_name).await);
        let may_be_deleted = matches!(deleted, Ok(()) | Err(TopicError::Unconfirmed(_)));
        if !may_be_deleted {
            return deleted;
        }
        // The partitions end first: the next open could delete what they would still ack.
        let Some(topic) = self.topics.write().remove(name) else { return deleted };
        self.drop_partitions(name, topic.places)?;
        deleted?;
        self.remove_topic_files(name)?;
        match self.forget_offsets(name) {
            // The topic is deleted. The next one of that name cannot be created before they are gone.
            Err(TopicError::OffsetsLeft(_)) => Ok(()),
            outcome => outcome,
        }
    }

    /// Runs `work` on the catalog, on shard 0. A request that is still running there comes first. If shard 0 does not
    /// answer, it does not begin the work any more; but it may have begun, and finish it.
    pub(super) fn with_catalog<R, W>(&self, work: W) -> Result<R, TopicError>
    where
        R: Send + 'static,
        W: AsyncFnOnce(&ShardDisk, &mut Catalog) -> Result<R, TopicError> + Send + 'static,
    {
        let begun = self.shards[0].begin(move |shard| async move { shard.with_catalog(work).await });
        let done = begun.and_then(|begun| begun.wait_or_withdraw().ok());
        done.flatten().unwrap_or(Err(TopicError::ShardStuck { shard: 0 }))
    }

    /// Returns the names of all topics, in order. Internal topics are left out.
    pub fn list_topics(&self) -> Vec<String> {
        self.list_all_topics().into_iter().filter(|name| name != OFFSETS_TOPIC).collect()
    }

    /// Returns the names of all topics, in order, with `__consumer_offsets` if there is one.
    pub fn list_all_topics(&self) -> Vec<String> {
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
}

/// Whether a shard has not answered, so that what it was asked for may still be done.
pub(super) const fn may_be_done(error: &TopicError) -> bool {
    matches!(error, TopicError::ShardStuck { .. } | TopicError::Open(OpenError::Executor { .. }))
}
