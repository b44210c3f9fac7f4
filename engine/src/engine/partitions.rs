//! Adding partitions to a topic.

use super::Engine;
use super::admin::may_be_done;
use super::groups::refuse_internal;
use super::open::TopicToOpen;
use crate::error::TopicError;
use crate::log::Origin;
use crate::num::{u32_of, usize_of};

impl Engine {
    /// Adds partitions to a topic, so that it has `total` of them, as Kafka's CreatePartitions does. Durable when this
    /// returns: after a crash the topic has the old number of partitions or the new one.
    ///
    /// The new partitions are spread over the shards as if the topic had been created with them. Records stay where
    /// they are. Consumers and producers continue with the partitions that they have. A producer gets the new ones with
    /// [`Producer::refresh`](crate::client::Producer::refresh). From then on it may send a key to another partition
    /// than before.
    ///
    /// # Errors
    /// [`TopicError`]. The topic keeps its number of partitions then, with two exceptions. After
    /// [`TopicError::Unconfirmed`] the next open may find the new partitions, without records. If a shard does not
    /// answer ([`TopicError::ShardStuck`], or [`TopicError::Open`] with
    /// [`OpenError::Executor`](crate::error::OpenError::Executor)), directories of the new partitions stay until the
    /// call is repeated. If it is not, the next open removes them, or finds the new partitions if shard 0 has finished
    /// the change after all.
    pub fn create_partitions(&self, name: &str, total: u32) -> Result<(), TopicError> {
        refuse_internal(name)?;
        let _one_at_a_time = self.admin();
        let before = self.topic(name)?.places.len();
        self.settle(name)?;
        let present = self.topic(name)?.places.len();
        if present > before && present == usize_of(u64::from(total)) {
            // An earlier call has added them, and had no answer.
            return Ok(());
        }
        self.noting(name, self.add_settled(name, u32_of(present), total))
    }

    fn add_settled(&self, name: &str, present: u32, total: u32) -> Result<(), TopicError> {
        let own_name = name.to_owned();
        let topic = self.with_catalog(async move |disk, catalog| {
            catalog.announce_partitions(disk, &own_name, total).await
        })?;
        let added = TopicToOpen { name: name.to_owned(), topic, numbers: present..total };
        let opened = self.open_partitions(&[added], |_, _| Origin::Created);
        let added = opened.map_err(TopicError::from).and_then(|mut opened| {
            let opened = opened.pop().unwrap_or_default();
            self.finish_partitions(name, opened.places)
        });
        match added {
            Ok(places) => {
                if let Some(open) = self.topics.write().get_mut(name) {
                    open.places.extend(places);
                }
                Ok(())
            }
            Err(error) if may_be_done(&error) => Err(error),
            Err(error) => {
                // Directories that cannot be removed now are removed by the next open, or before the next addition.
                let own_name = name.to_owned();
                let removed = self.with_catalog(async move |disk, catalog| {
                    Ok(catalog.remove_added_files(disk, &own_name).await?)
                });
                Err(match error {
                    // Removing the directories has written the catalog again, without the new partitions.
                    TopicError::Unconfirmed(error) if removed.is_ok() => error.into(),
                    error => error,
                })
            }
        }
    }

    /// Adds the announced partitions to the catalog. They are open.
    fn finish_partitions(
        &self,
        name: &str,
        places: Vec<(usize, usize)>,
    ) -> Result<Vec<(usize, usize)>, TopicError> {
        let own_name = name.to_owned();
        let added =
            self.with_catalog(async move |disk, catalog| catalog.add_partitions(disk, &own_name).await);
        match added {
            Ok(()) => Ok(places),
            Err(error) => self.drop_partitions(name, places).and(Err(error)),
        }
    }
}
