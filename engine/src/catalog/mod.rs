//! The catalog of a data directory: its identity in `meta.properties`, and its topics in one snapshot that is replaced
//! as a whole.
//!
//! ```text
//! <data_dir>/meta.properties   version=1, id=<32 hex digits>, shards=<n>
//!            catalog.json      line 1: CRC32C of the rest, 8 hex digits; then the snapshot as JSON
//!            damaged.json      partitions that an open has found damaged
//!            .lock             locked while an engine is open, and by its rings until their last write is done
//! ```
//!
//! A change is durable before the caller gets an answer. Deleting a topic begins with a durable mark, so that an open
//! finds the files that are left and removes them. Creating a topic begins with the same mark, so that the catalog
//! never holds a topic whose files are incomplete. So does adding partitions to a topic.

mod checked;
mod damaged;
mod foreign;
mod lock;
mod meta;
mod partitions;
mod points;
mod points_files;

pub(crate) use checked::{decode, encode};
pub(crate) use damaged::DAMAGED_FILE;
pub use damaged::{DamageRecord, DamageRecords};
pub(crate) use lock::{LockKind, lock};
pub use meta::{FORMAT_VERSION, META_FILE, Meta};
pub(crate) use points::{Point, Points, RecoveryPoints, is_points_file, points_files};

use crate::config::{PARTITIONS_MAX, TopicChanges, TopicConfig};
pub(crate) use crate::disk::TEMPORARY_SUFFIX;
use crate::disk::{DirEntry, Disk, replace_file};
use crate::error::{Corruption, CorruptionKind, DiskError, OpenError, TopicError};
use crate::types::Durability;
use points_files::read_points;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

pub(crate) const CATALOG_FILE: &str = "catalog.json";

/// Name of the lock file.
pub const LOCK_FILE: &str = ".lock";

/// Name of the directory that a repair moves files to.
pub(crate) const REMOVED_DIR: &str = "removed-by-repair";

const TOPIC_NAME_CHARS_MAX: usize = 200;

/// A topic in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// Number of partitions.
    pub partitions: u32,
    /// Configuration of the topic.
    pub config: TopicConfig,
    /// The incarnation in which the topic's durability was last raised to `synced`. Records appended before are durable
    /// only once the next open has sealed them. 0 if the durability was never raised to `synced`.
    #[serde(default)]
    pub synced_after: i32,
    /// Distinguishes the topic from earlier ones of the same name. 0 until the catalog has assigned an id.
    #[serde(default)]
    pub id: u64,
    /// The incarnation in which the topic was created. 0 if that is not known: an older version of this engine, or a repair of
    /// the catalog, has written the entry.
    #[serde(default)]
    pub created_in: i32,
}

impl Topic {
    /// Returns a new topic.
    pub const fn new(partitions: u32, config: TopicConfig) -> Self {
        Self { partitions, config, synced_after: 0, id: 0, created_in: 0 }
    }
}

/// The contents of `catalog.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Number of opens of the directory. It is the leader epoch of the batches that are appended in the current open.
    pub(crate) incarnation: i32,
    /// Every topic. The key is its name.
    pub(crate) topics: BTreeMap<String, Topic>,
    /// The largest id that a topic has or had.
    #[serde(default)]
    pub(crate) last_topic_id: u64,
    /// Topics whose files have to be removed. The value is the number of partitions that a deleted topic had, or that
    /// an unfinished one was created with.
    pub(crate) deleting: BTreeMap<String, u32>,
    /// Topics to which partitions are being added. The value is the number of partitions that the topic will have. The
    /// directories beyond its present number have to be removed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) growing: BTreeMap<String, u32>,
}

/// The catalog of an open data directory; see the module.
#[derive(Debug)]
pub struct Catalog {
    data_dir: PathBuf,
    meta: Meta,
    snapshot: Snapshot,
    /// Topics whose logs are closed, and whose files could not be removed yet.
    left_over: BTreeSet<String>,
    /// The recovery points of the partitions, from when they were last open.
    points: RecoveryPoints,
    /// Count of failed syncs on the device, from when a topic was last announced.
    announced_after: u64,
    /// The damaged partitions, as recorded on the disk.
    damaged: DamageRecords,
}

impl Snapshot {
    /// Gives an id to every topic that has none.
    fn assign_ids(&mut self) {
        for topic in self.topics.values_mut().filter(|topic| topic.id == 0) {
            self.last_topic_id += 1;
            topic.id = self.last_topic_id;
        }
    }
}

impl Catalog {
    /// Opens the catalog of `data_dir`, an existing directory, for an engine with `shards` shards. The last open may have had another
    /// number. Makes a catalog if the directory has none. Raises the incarnation, and finishes deletions that were interrupted. Files
    /// that cannot be removed stay, and the next open tries again.
    ///
    /// # Errors
    /// [`OpenError`]: the directory holds foreign files, has a newer format, or is damaged. Or the catalog is missing, or holds a topic
    /// that could not be created.
    pub async fn open<D: Disk>(disk: &D, data_dir: &Path, shards: u32) -> Result<Self, OpenError> {
        let names = disk.list(data_dir).await?;
        let has = |name: &str| names.iter().any(|entry| entry.name == name);
        let mut meta = if has(META_FILE) {
            Meta::decode(data_dir, &disk.read_file(&data_dir.join(META_FILE)).await?)?
        } else if names.iter().any(|entry| !is_leftover(&entry.name)) {
            return Err(OpenError::ForeignDirectory { path: data_dir.to_path_buf() });
        } else {
            let meta = Meta::new(shards)?;
            replace_file(disk, &data_dir.join(META_FILE), meta.encode().into_bytes()).await?;
            meta
        };
        let path = data_dir.join(CATALOG_FILE);
        let snapshot = if has(CATALOG_FILE) {
            decode(&path, &disk.read_file(&path).await?)?
        } else if names.iter().any(is_partition) {
            return Err(OpenError::CatalogMissing { path: data_dir.to_path_buf() });
        } else {
            Snapshot::default()
        };
        check_snapshot(&path, &snapshot)?;
        let files = read_points(disk, data_dir, &names).await?;
        let mut points = RecoveryPoints::default();
        files.iter().filter_map(|(_, points)| points.as_ref()).for_each(|file| points.add(file));
        if let Some(found) = points.newest_incarnation().filter(|found| *found > snapshot.incarnation) {
            let older = CorruptionKind::EpochAhead { found, newest: snapshot.incarnation };
            return Err(OpenError::Corrupt(Corruption { path, position: 0, kind: older }));
        }
        let damaged = DamageRecords::read(disk, data_dir).await?;
        let half_written = format!("{DAMAGED_FILE}{TEMPORARY_SUFFIX}");
        if has(&half_written) {
            disk.remove_file(&data_dir.join(half_written)).await?;
        }
        if meta.version < FORMAT_VERSION || meta.shards != shards {
            meta.shards = shards;
            // This is written before anything else, which an older version would not understand.
            replace_file(disk, &data_dir.join(META_FILE), meta.encode().into_bytes()).await?;
        }
        let left_over = BTreeSet::new();
        let data_dir = data_dir.to_path_buf();
        let mut catalog = Self { data_dir, meta, snapshot, left_over, points, announced_after: 0, damaged };
        let mut next = Snapshot { incarnation: catalog.snapshot.incarnation + 1, ..catalog.snapshot.clone() };
        next.assign_ids();
        catalog.write(disk, next).await?;
        catalog.remove_old_points(disk, &files).await;
        let deleting: Vec<String> = catalog.snapshot.deleting.keys().cloned().collect();
        for name in deleting {
            if let Err(error) = catalog.remove_files(disk, &name).await {
                // The other topics do not depend on this, and the next open tries again.
                tracing::warn!(topic = name, %error, "the files of a deleted topic cannot be removed");
            }
        }
        let growing: Vec<String> = catalog.snapshot.growing.keys().cloned().collect();
        for name in growing {
            if let Err(error) = catalog.remove_added_files(disk, &name).await {
                tracing::warn!(topic = name, %error, "the directories of partitions that were not added cannot be removed");
            }
        }
        Ok(catalog)
    }

    /// Returns the contents of the data directory's `meta.properties`.
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Returns the leader epoch of the batches that are appended in this open.
    pub const fn epoch(&self) -> i32 {
        self.snapshot.incarnation
    }

    /// Returns the id that the next topic gets.
    pub const fn next_topic_id(&self) -> u64 {
        self.snapshot.last_topic_id + 1
    }

    /// Returns the recovery points of the partitions, from when they were last open.
    pub(crate) const fn recovery_points(&self) -> &RecoveryPoints {
        &self.points
    }

    /// Returns the damaged partitions, as recorded on the disk.
    pub const fn damage_records(&self) -> &DamageRecords {
        &self.damaged
    }

    /// Replaces the record of damaged partitions. It is durable when this returns. Nothing is written if it has not
    /// changed.
    ///
    /// # Errors
    /// The disk failed. The file then holds the old record or the new one.
    pub async fn record_damage<D: Disk>(
        &mut self,
        disk: &D,
        damaged: DamageRecords,
    ) -> Result<(), DiskError> {
        if damaged != self.damaged {
            damaged.write(disk, &self.data_dir).await?;
            self.damaged = damaged;
        }
        Ok(())
    }

    /// Returns every topic. The key is its name.
    pub const fn topics(&self) -> &BTreeMap<String, Topic> {
        &self.snapshot.topics
    }

    /// Records durably that a topic is being created. Until [`Catalog::create`], an open removes the topic's files.
    ///
    /// # Errors
    /// The name, the number of partitions or the configuration is not allowed. Or the topic exists, a directory of one
    /// of its partitions holds files that belong to no topic, or the disk failed.
    pub async fn announce<D: Disk>(&mut self, disk: &D, name: &str, topic: &Topic) -> Result<(), TopicError> {
        check_topic(name, topic)?;
        self.check_room(topic.partitions)?;
        if self.left_over.contains(name) {
            self.remove_files(disk, name).await?;
        }
        if self.snapshot.topics.contains_key(name) || self.snapshot.deleting.contains_key(name) {
            return Err(TopicError::Exists(name.to_owned()));
        }
        self.refuse_foreign_files(disk, name, 0..topic.partitions).await?;
        self.announced_after = disk.sync_failures(&self.data_dir)?.count();
        let mut next = self.snapshot.clone();
        next.deleting.insert(name.to_owned(), topic.partitions);
        Ok(self.write(disk, next).await?)
    }

    /// Adds the announced topic, whose directories exist. The topic and the directories' names are durable when this
    /// returns.
    ///
    /// # Errors
    /// The disk failed. The topic is not added, unless the error is [`TopicError::Unconfirmed`].
    pub async fn create<D: Disk>(&mut self, disk: &D, name: &str, topic: Topic) -> Result<(), TopicError> {
        // The names of the partitions' directories have to be durable before the catalog names the topic.
        disk.sync_dir(&self.data_dir).await?;
        disk.sync_failures(&self.data_dir)?.check(self.announced_after, &self.data_dir)?;
        let mut next = self.snapshot.clone();
        next.deleting.remove(name);
        next.topics.insert(name.to_owned(), topic);
        next.last_topic_id = next.last_topic_id.max(next.topics[name].id);
        self.write(disk, next).await.map_err(TopicError::of_catalog_write)
    }

    /// Changes a topic's configuration. The change is durable when this returns. Returns the changed topic.
    ///
    /// # Errors
    /// The topic is unknown, the configuration is not allowed, or the disk failed. This catalog keeps the old
    /// configuration. So does the one on disk, unless the error is [`TopicError::Unconfirmed`]. Then the next
    /// successful change of any topic writes the old configuration again.
    pub async fn alter<D: Disk>(
        &mut self,
        disk: &D,
        name: &str,
        changes: &TopicChanges,
    ) -> Result<Topic, TopicError> {
        let mut next = self.snapshot.clone();
        let topic = next.topics.get_mut(name).ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        let config = changes.applied_to(&topic.config);
        config.validate().map_err(TopicError::Config)?;
        if config.durability == Durability::Synced && topic.config.durability != Durability::Synced {
            topic.synced_after = next.incarnation;
        }
        topic.config = config;
        let altered = topic.clone();
        if next != self.snapshot {
            self.write(disk, next).await.map_err(TopicError::of_catalog_write)?;
        }
        Ok(altered)
    }

    /// Removes a topic from the catalog. The removal is durable when this returns. The topic's files still exist:
    /// [`Catalog::remove_files`] removes them.
    ///
    /// # Errors
    /// The topic is unknown, or the disk failed. This catalog keeps the topic. So does the one on disk, unless the
    /// error is [`TopicError::Unconfirmed`].
    pub async fn delete<D: Disk>(&mut self, disk: &D, name: &str) -> Result<(), TopicError> {
        let mut next = self.snapshot.clone();
        let topic = next.topics.remove(name).ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        let announced = next.growing.remove(name).unwrap_or(0);
        next.deleting.insert(name.to_owned(), topic.partitions.max(announced));
        self.write(disk, next).await.map_err(TopicError::of_catalog_write)
    }

    /// Removes the files of a topic that was deleted, or whose creation did not finish. Its logs must be closed.
    ///
    /// # Errors
    /// The disk failed. The files that can be removed are removed all the same. The others are tried again by the next
    /// open, and before a topic of that name is created.
    pub async fn remove_files<D: Disk>(&mut self, disk: &D, name: &str) -> Result<(), DiskError> {
        let Some(partitions) = self.snapshot.deleting.get(name).copied() else { return Ok(()) };
        self.left_over.insert(name.to_owned());
        self.remove_directories(disk, name, 0..partitions).await?;
        self.record_damage(disk, self.damaged.without(name)).await?;
        let mut next = self.snapshot.clone();
        next.deleting.remove(name);
        self.write(disk, next).await?;
        self.left_over.remove(name);
        Ok(())
    }

    /// Removes the directories of some partitions of a topic, with their files, durably.
    async fn remove_directories<D: Disk>(
        &self,
        disk: &D,
        name: &str,
        numbers: Range<u32>,
    ) -> Result<(), DiskError> {
        let failures = disk.sync_failures(&self.data_dir)?;
        let failed_syncs = failures.count();
        let mut outcome = Ok(());
        // Only directories that exist are looked at: an interrupted creation may have made few of a large number of
        // partitions.
        for entry in disk.list(&self.data_dir).await? {
            if entry.is_dir && is_of_topic(&entry.name, name, &numbers) {
                let removed = remove_partition(disk, &self.data_dir.join(&entry.name)).await;
                outcome = outcome.and(removed);
            }
        }
        outcome?;
        disk.sync_dir(&self.data_dir).await?;
        failures.check(failed_syncs, &self.data_dir)
    }

    /// Replaces the catalog on disk by `next`. If that fails, the next change starts from the old snapshot.
    async fn write<D: Disk>(&mut self, disk: &D, next: Snapshot) -> Result<(), DiskError> {
        replace_file(disk, &self.data_dir.join(CATALOG_FILE), encode(&next).into_bytes()).await?;
        self.snapshot = next;
        Ok(())
    }
}

/// Returns the path of a partition's directory.
pub fn partition_dir(data_dir: &Path, topic: &str, partition: u32) -> PathBuf {
    data_dir.join(format!("{topic}-{partition}"))
}

/// Returns the topic and the number in the name of a partition's directory; `None` for any other name.
pub(crate) fn partition_of(name: &str) -> Option<(&str, u32)> {
    let (topic, number) = name.rsplit_once('-')?;
    let partition: u32 = number.parse().ok()?;
    let is_canonical = partition.to_string() == number && is_topic_name(topic);
    is_canonical.then_some((topic, partition))
}

/// Whether a directory named `dir_name` belongs to one of the partitions `numbers` of a topic named `topic`.
fn is_of_topic(dir_name: &str, topic: &str, numbers: &Range<u32>) -> bool {
    partition_of(dir_name).is_some_and(|(name, partition)| name == topic && numbers.contains(&partition))
}

fn is_partition(entry: &DirEntry) -> bool {
    entry.is_dir && partition_of(&entry.name).is_some()
}

/// Removes a partition's directory with its files. If a file cannot be removed, the others are removed all the same. If the
/// directory is a link to another one, that one stays, empty, and the link goes.
async fn remove_partition<D: Disk>(disk: &D, dir: &Path) -> Result<(), DiskError> {
    let mut outcome = Ok(());
    for entry in disk.list(dir).await? {
        let removed = disk.remove_file(&dir.join(entry.name)).await;
        outcome = outcome.and(removed);
    }
    outcome?;
    match disk.remove_dir(dir).await {
        Err(error) if error.source.kind() == std::io::ErrorKind::NotADirectory => disk.remove_file(dir).await,
        removed => removed,
    }
}

/// Whether a directory without `meta.properties` may hold an entry of this name and still count as empty. An
/// interrupted open leaves such entries, a new file system has one, and a repair makes one for the files that it moves.
pub fn is_leftover(name: &str) -> bool {
    [LOCK_FILE, "lost+found", "meta.properties.tmp", REMOVED_DIR].contains(&name)
}

/// Refuses a topic whose name, number of partitions or configuration is not allowed.
fn check_topic(name: &str, topic: &Topic) -> Result<(), TopicError> {
    if !is_topic_name(name) {
        return Err(TopicError::BadName(name.to_owned()));
    }
    if !(1..=PARTITIONS_MAX).contains(&topic.partitions) {
        let partitions = topic.partitions;
        return Err(TopicError::Config(format!(
            "partitions {partitions} must be from 1 to {PARTITIONS_MAX}"
        )));
    }
    topic.config.validate().map_err(TopicError::Config)
}

/// Refuses a stored snapshot with a topic that could not be created: another version wrote it, or somebody edited it.
/// Also refuses a snapshot whose incarnations are used up.
///
/// # Errors
/// [`OpenError::Catalog`].
pub(crate) fn check_snapshot(path: &Path, snapshot: &Snapshot) -> Result<(), OpenError> {
    let refused = |reason: String| Err(OpenError::Catalog { path: path.to_path_buf(), reason });
    for (name, topic) in &snapshot.topics {
        if let Err(error) = check_topic(name, topic) {
            return refused(format!(
                "topic {name:?} is stored with what this version does not accept: {error}; open the directory with the \
                 version of vnotch that wrote it, and alter or delete the topic there"
            ));
        }
    }
    let incarnation = snapshot.incarnation;
    if !(0..i32::MAX).contains(&incarnation) {
        return refused(format!(
            "the directory cannot be opened another time after {incarnation} times, as its epochs are used up: copy its \
             records to a new directory"
        ));
    }
    Ok(())
}

/// Whether a topic can have this name.
pub(crate) fn is_topic_name(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fits = (1..=TOPIC_NAME_CHARS_MAX).contains(&name.len());
    fits && name != "." && name != ".." && name.bytes().all(is_legal)
}
