//! Partitions that are added to an existing topic. A mark in the catalog comes before the first new directory. So an
//! open finds the directories of an addition that was interrupted, and removes them.

use super::{Catalog, Topic, check_topic};
use crate::config::DIRECTORY_PARTITIONS_MAX;
use crate::disk::Disk;
use crate::error::{DiskError, TopicError};

impl Catalog {
    /// Records durably that a topic is getting more partitions, `total` of them in all. Until
    /// [`Catalog::add_partitions`], an open removes the directories of the new ones. Returns the topic as it will be.
    ///
    /// # Errors
    /// The topic is unknown, has as many partitions already, or may not have so many. Or a directory of a new partition
    /// holds files that belong to no topic, or the disk failed.
    pub async fn announce_partitions<D: Disk>(
        &mut self,
        disk: &D,
        name: &str,
        total: u32,
    ) -> Result<Topic, TopicError> {
        let topic = self.snapshot.topics.get(name).ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        let present = topic.partitions;
        if total <= present {
            return Err(TopicError::NotMorePartitions { topic: name.to_owned(), present, asked: total });
        }
        let grown = Topic { partitions: total, ..topic.clone() };
        check_topic(name, &grown)?;
        self.check_room(total - present)?;
        self.remove_added_files(disk, name).await?;
        self.refuse_foreign_files(disk, name, present..total).await?;
        self.announced_after = disk.sync_failures(&self.data_dir)?.count();
        let mut next = self.snapshot.clone();
        next.growing.insert(name.to_owned(), total);
        self.write(disk, next).await?;
        Ok(grown)
    }

    /// Adds the announced partitions of a topic, whose directories exist. The partitions and the directories' names are
    /// durable when this returns.
    ///
    /// # Errors
    /// No partitions were announced, or the disk failed. The partitions are not added, unless the error is
    /// [`TopicError::Unconfirmed`].
    pub async fn add_partitions<D: Disk>(&mut self, disk: &D, name: &str) -> Result<(), TopicError> {
        // The names of the partitions' directories have to be durable before the catalog names the partitions.
        disk.sync_dir(&self.data_dir).await?;
        disk.sync_failures(&self.data_dir)?.check(self.announced_after, &self.data_dir)?;
        let unknown = || TopicError::Unknown(name.to_owned());
        let mut next = self.snapshot.clone();
        let total = next.growing.remove(name).ok_or_else(unknown)?;
        next.topics.get_mut(name).ok_or_else(unknown)?.partitions = total;
        self.write(disk, next).await.map_err(TopicError::of_catalog_write)
    }

    /// Removes the directories of partitions that were announced and not added. Their logs must be closed.
    ///
    /// # Errors
    /// The disk failed. The next open tries again, and so does the next announcement for that topic.
    pub async fn remove_added_files<D: Disk>(&mut self, disk: &D, name: &str) -> Result<(), DiskError> {
        let Some(total) = self.snapshot.growing.get(name).copied() else { return Ok(()) };
        // If the sync of its name failed, the catalog on disk may be one that names the new partitions.
        self.write(disk, self.snapshot.clone()).await?;
        if let Some(present) = self.snapshot.topics.get(name).map(|topic| topic.partitions) {
            self.remove_directories(disk, name, present..total).await?;
        }
        let mut next = self.snapshot.clone();
        next.growing.remove(name);
        self.write(disk, next).await
    }

    /// Refuses `added` more partitions if the data directory would have too many.
    pub(super) fn check_room(&self, added: u32) -> Result<(), TopicError> {
        let partitions: u64 = self.snapshot.topics.values().map(|topic| u64::from(topic.partitions)).sum();
        if partitions + u64::from(added) <= u64::from(DIRECTORY_PARTITIONS_MAX) {
            return Ok(());
        }
        Err(TopicError::Config(format!(
            "partitions: {added} new ones and the {partitions} of this data directory are more than \
             {DIRECTORY_PARTITIONS_MAX}: delete a topic, or use another data directory"
        )))
    }
}
