//! What a data directory is and which topics it holds: `meta.properties`, and one snapshot that is replaced as a whole.
//!
//! ```text
//! <data_dir>/meta.properties   version=1, id=<32 hex digits>, shards=<n>
//!            catalog.json      line 1: CRC32C of the rest, 8 hex digits; then the snapshot as JSON
//!            damaged.json      partitions that an open has found damaged
//!            .lock             locked while an engine is open, and by its rings until their last write is done
//! ```
//!
//! A change is durable before it is answered. Deleting a topic is a mark first, so that an open finds what is left of it;
//! creating one begins with the same mark, so that there is no topic whose files are not all there.

mod checked;
mod damaged;
mod foreign;
mod lock;
mod points;

pub(crate) use checked::{decode, encode};
pub(crate) use damaged::DAMAGED_FILE;
pub use damaged::{DamageRecord, DamageRecords};
pub(crate) use lock::{LockKind, lock};
pub(crate) use points::{Point, Points, RecoveryPoints, is_points_file, points_files};

use crate::config::{DIRECTORY_PARTITIONS_MAX, PARTITIONS_MAX, TopicChanges, TopicConfig};
pub(crate) use crate::disk::TEMPORARY_SUFFIX;
use crate::disk::{DirEntry, Disk, replace_file};
use crate::error::{DiskError, OpenError, TopicError};
use crate::types::Durability;
use checked::metadata_corrupt;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The newest format this version reads and writes.
pub const FORMAT_VERSION: u32 = 2;

/// What says what a directory is.
pub const META_FILE: &str = "meta.properties";

pub(crate) const CATALOG_FILE: &str = "catalog.json";

/// Name of the lock file.
pub const LOCK_FILE: &str = ".lock";

/// Directory that takes what a repair moves away.
pub(crate) const REMOVED_DIR: &str = "removed-by-repair";

const TOPIC_NAME_CHARS_MAX: usize = 200;

/// The contents of the file `meta.properties`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Random, 32 hex digits.
    pub id: String,
    /// Number of shards the directory was made for.
    pub shards: u32,
    /// The format that the directory was last written in.
    pub version: u32,
}

/// A topic as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// How many partitions.
    pub partitions: u32,
    /// How it keeps its records.
    pub config: TopicConfig,
    /// The incarnation in which `synced` was last asked of a topic that had not been: what was appended until then is
    /// durable only once the next open has sealed it. 0 if that never happened.
    #[serde(default)]
    pub synced_after: i32,
    /// Tells the topic from others that had its name before; 0 until the catalog has given it one.
    #[serde(default)]
    pub id: u64,
}

impl Topic {
    /// A new one.
    pub const fn new(partitions: u32, config: TopicConfig) -> Self {
        Self { partitions, config, synced_after: 0, id: 0 }
    }
}

/// All that the catalog knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// How often the directory was opened; the leader epoch of batches appended since.
    pub(crate) incarnation: i32,
    pub(crate) topics: BTreeMap<String, Topic>,
    /// The largest id that a topic has or had.
    #[serde(default)]
    pub(crate) last_topic_id: u64,
    /// Topics whose files have to go, and how many partitions they had, or were to get.
    pub(crate) deleting: BTreeMap<String, u32>,
}

/// See the module.
#[derive(Debug)]
pub struct Catalog {
    data_dir: PathBuf,
    meta: Meta,
    snapshot: Snapshot,
    /// Topics that nobody uses any more, whose files could not be removed.
    left_over: BTreeSet<String>,
    /// How far the partitions had come when they were open last.
    points: RecoveryPoints,
    /// Syncs that had failed on the device when a topic was announced last.
    announced_after: u64,
    /// The partitions that are damaged, as the disk has it.
    damaged: DamageRecords,
}

impl Snapshot {
    /// Gives an id to every topic that has none.
    fn name_topics(&mut self) {
        for topic in self.topics.values_mut().filter(|topic| topic.id == 0) {
            self.last_topic_id += 1;
            topic.id = self.last_topic_id;
        }
    }
}

impl Meta {
    fn encode(&self) -> String {
        format!("version={FORMAT_VERSION}\nid={}\nshards={}\n", self.id, self.shards)
    }

    /// Reads `meta.properties` of `data_dir` from its bytes.
    ///
    /// # Errors
    /// It is of a newer version, or does not say what it must.
    pub fn decode(data_dir: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let values: BTreeMap<&str, &str> = lines.filter_map(|line| line.split_once('=')).collect();
        let value = |key: &str| values.get(key).copied();
        let corrupt = |what: &str| metadata_corrupt(&data_dir.join(META_FILE), what.to_owned());
        let number = |key: &str| value(key).and_then(|text| text.parse::<u32>().ok());
        let found = number("version").ok_or_else(|| corrupt("no version=<number>"))?;
        if found > FORMAT_VERSION {
            let path = data_dir.to_path_buf();
            return Err(OpenError::NewerFormat { path, found, supported: FORMAT_VERSION });
        }
        Ok(Self {
            id: value("id").ok_or_else(|| corrupt("no id="))?.to_owned(),
            shards: number("shards").ok_or_else(|| corrupt("no shards=<number>"))?,
            version: found,
        })
    }
}

impl Catalog {
    /// Opens the catalog of `data_dir`, a directory, making it if there is none; raises the incarnation and finishes
    /// deletions that were interrupted. Files that cannot be removed stay, and the next open tries again.
    ///
    /// # Errors
    /// [`OpenError`]: the directory is somebody else's, of a newer format, for another number of shards, or damaged; or
    /// the catalog is missing, or holds what could not be created.
    pub async fn open<D: Disk>(disk: &D, data_dir: &Path, shards: u32) -> Result<Self, OpenError> {
        let names = disk.list(data_dir).await?;
        let has = |name: &str| names.iter().any(|entry| entry.name == name);
        let meta = if has(META_FILE) {
            Meta::decode(data_dir, &disk.read_file(&data_dir.join(META_FILE)).await?)?
        } else if names.iter().any(|entry| !is_leftover(&entry.name)) {
            return Err(OpenError::ForeignDirectory { path: data_dir.to_path_buf() });
        } else {
            let meta = Meta { id: random_id()?, shards, version: FORMAT_VERSION };
            replace_file(disk, &data_dir.join(META_FILE), meta.encode().into_bytes()).await?;
            meta
        };
        if meta.shards != shards {
            let path = data_dir.to_path_buf();
            return Err(OpenError::ShardsDiffer { path, found: meta.shards, asked: shards });
        }
        let path = data_dir.join(CATALOG_FILE);
        let snapshot = if has(CATALOG_FILE) {
            decode(&path, &disk.read_file(&path).await?)?
        } else if names.iter().any(is_partition) {
            return Err(OpenError::CatalogMissing { path: data_dir.to_path_buf() });
        } else {
            Snapshot::default()
        };
        check_snapshot(&path, &snapshot)?;
        let damaged = DamageRecords::read(disk, data_dir).await?;
        let half_written = format!("{DAMAGED_FILE}{TEMPORARY_SUFFIX}");
        if has(&half_written) {
            disk.remove_file(&data_dir.join(half_written)).await?;
        }
        if meta.version < FORMAT_VERSION {
            // Before anything else is written: an older version would not understand it.
            replace_file(disk, &data_dir.join(META_FILE), meta.encode().into_bytes()).await?;
        }
        let points = read_points(disk, data_dir, shards).await?;
        let left_over = BTreeSet::new();
        let data_dir = data_dir.to_path_buf();
        let mut catalog = Self { data_dir, meta, snapshot, left_over, points, announced_after: 0, damaged };
        let mut next = Snapshot { incarnation: catalog.snapshot.incarnation + 1, ..catalog.snapshot.clone() };
        next.name_topics();
        catalog.write(disk, next).await?;
        let deleting: Vec<String> = catalog.snapshot.deleting.keys().cloned().collect();
        for name in deleting {
            if let Err(error) = catalog.remove_files(disk, &name).await {
                // The topics that are there do not depend on it, and the next open tries again.
                tracing::warn!(topic = name, %error, "the files of a deleted topic cannot be removed");
            }
        }
        Ok(catalog)
    }

    /// The contents of the data directory's `meta.properties`.
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The leader epoch of batches appended from this open on.
    pub const fn epoch(&self) -> i32 {
        self.snapshot.incarnation
    }

    /// The id that the next topic gets.
    pub const fn next_topic_id(&self) -> u64 {
        self.snapshot.last_topic_id + 1
    }

    /// How far the partitions had come when they were open last.
    pub(crate) const fn recovery_points(&self) -> &RecoveryPoints {
        &self.points
    }

    /// The partitions that are damaged, as the disk has it.
    pub const fn damage_records(&self) -> &DamageRecords {
        &self.damaged
    }

    /// Replaces the record of damaged partitions; durable when this returns. Nothing is written if it has not changed.
    ///
    /// # Errors
    /// The disk failed. The old record or the new one is there.
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

    /// Every topic, by name.
    pub const fn topics(&self) -> &BTreeMap<String, Topic> {
        &self.snapshot.topics
    }

    /// Says durably that a topic is being made: until [`Catalog::create`], an open removes what files there are of it.
    ///
    /// # Errors
    /// Its name or configuration cannot be, it exists, a directory of it holds files that are no topic's, or the disk failed.
    pub async fn announce<D: Disk>(&mut self, disk: &D, name: &str, topic: &Topic) -> Result<(), TopicError> {
        check_topic(name, topic)?;
        let partitions: u64 = self.snapshot.topics.values().map(|topic| u64::from(topic.partitions)).sum();
        if partitions + u64::from(topic.partitions) > u64::from(DIRECTORY_PARTITIONS_MAX) {
            return Err(TopicError::Config(format!(
                "partitions {} must be at most {DIRECTORY_PARTITIONS_MAX} together with the {partitions} of the other \
                 topics: delete a topic, or use another data directory",
                topic.partitions
            )));
        }
        if self.left_over.contains(name) {
            self.remove_files(disk, name).await?;
        }
        if self.snapshot.topics.contains_key(name) || self.snapshot.deleting.contains_key(name) {
            return Err(TopicError::Exists(name.to_owned()));
        }
        self.refuse_foreign_files(disk, name, topic.partitions).await?;
        self.announced_after = disk.sync_failures(&self.data_dir)?.count();
        let mut next = self.snapshot.clone();
        next.deleting.insert(name.to_owned(), topic.partitions);
        Ok(self.write(disk, next).await?)
    }

    /// Adds the topic that was announced, whose directories are there; durable when this returns, and so are their names.
    ///
    /// # Errors
    /// The disk failed; the topic is not there, unless the error is [`TopicError::Unconfirmed`].
    pub async fn create<D: Disk>(&mut self, disk: &D, name: &str, topic: Topic) -> Result<(), TopicError> {
        // The names of the partitions' directories, before the catalog says that they are there.
        disk.sync_dir(&self.data_dir).await?;
        disk.sync_failures(&self.data_dir)?.check(self.announced_after, &self.data_dir)?;
        let mut next = self.snapshot.clone();
        next.deleting.remove(name);
        next.topics.insert(name.to_owned(), topic);
        next.last_topic_id = next.last_topic_id.max(next.topics[name].id);
        self.write(disk, next).await.map_err(TopicError::of_catalog_write)
    }

    /// Changes a topic's configuration; durable when this returns. The answer is the topic as it is now.
    ///
    /// # Errors
    /// It is unknown, its configuration cannot be, or the disk failed. This catalog keeps the topic as it was. So does the
    /// one on disk, unless the error is [`TopicError::Unconfirmed`]; then the next change that succeeds, of any topic, writes
    /// it as it was.
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

    /// Takes a topic out; durable when this returns. Its files are still there: [`Catalog::remove_files`].
    ///
    /// # Errors
    /// It is unknown, or the disk failed. This catalog keeps the topic. So does the one on disk, unless the error is
    /// [`TopicError::Unconfirmed`].
    pub async fn delete<D: Disk>(&mut self, disk: &D, name: &str) -> Result<(), TopicError> {
        let mut next = self.snapshot.clone();
        let topic = next.topics.remove(name).ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        next.deleting.insert(name.to_owned(), topic.partitions);
        self.write(disk, next).await.map_err(TopicError::of_catalog_write)
    }

    /// Removes the files of a topic that was deleted or never finished, whose logs must be closed.
    ///
    /// # Errors
    /// The disk failed. What can be removed is removed all the same; the rest is tried again by the next open, and before
    /// a topic of that name is created.
    pub async fn remove_files<D: Disk>(&mut self, disk: &D, name: &str) -> Result<(), DiskError> {
        let Some(partitions) = self.snapshot.deleting.get(name).copied() else { return Ok(()) };
        self.left_over.insert(name.to_owned());
        let failures = disk.sync_failures(&self.data_dir)?;
        let failed_syncs = failures.count();
        let mut outcome = Ok(());
        // The directories that exist: a creation that was interrupted may have been meant to make far more.
        for entry in disk.list(&self.data_dir).await? {
            if entry.is_dir && is_of_topic(&entry.name, name, partitions) {
                let removed = remove_partition(disk, &self.data_dir.join(&entry.name)).await;
                outcome = outcome.and(removed);
            }
        }
        outcome?;
        disk.sync_dir(&self.data_dir).await?;
        failures.check(failed_syncs, &self.data_dir)?;
        self.record_damage(disk, self.damaged.without(name)).await?;
        let mut next = self.snapshot.clone();
        next.deleting.remove(name);
        self.write(disk, next).await?;
        self.left_over.remove(name);
        Ok(())
    }

    /// Replaces the catalog on disk by `next`. Where that fails, the next write begins with the snapshot from before.
    async fn write<D: Disk>(&mut self, disk: &D, next: Snapshot) -> Result<(), DiskError> {
        replace_file(disk, &self.data_dir.join(CATALOG_FILE), encode(&next).into_bytes()).await?;
        self.snapshot = next;
        Ok(())
    }
}

/// Reads the recovery points of every shard. A file that is missing, torn or cannot be read says nothing.
async fn read_points<D: Disk>(disk: &D, data_dir: &Path, shards: u32) -> Result<RecoveryPoints, DiskError> {
    let mut all = RecoveryPoints::default();
    for name in (0..shards).flat_map(points_files) {
        match disk.read_file(&data_dir.join(name)).await {
            Ok(bytes) => Points::decode(&bytes).iter().for_each(|points| all.add(points)),
            Err(error) if error.is_of_this_file() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// The directory of a partition.
pub fn partition_dir(data_dir: &Path, topic: &str, partition: u32) -> PathBuf {
    data_dir.join(format!("{topic}-{partition}"))
}

/// Topic and number in the name of a partition's directory.
pub(crate) fn partition_of(name: &str) -> Option<(&str, u32)> {
    let (topic, number) = name.rsplit_once('-')?;
    let partition: u32 = number.parse().ok()?;
    let is_canonical = partition.to_string() == number && is_topic_name(topic);
    is_canonical.then_some((topic, partition))
}

/// Whether a directory of this name belongs to a topic of so many partitions.
fn is_of_topic(dir_name: &str, topic: &str, partitions: u32) -> bool {
    partition_of(dir_name).is_some_and(|(name, partition)| name == topic && partition < partitions)
}

fn is_partition(entry: &DirEntry) -> bool {
    entry.is_dir && partition_of(&entry.name).is_some()
}

/// Removes a partition's directory with its files. A file that cannot be removed does not keep the others.
async fn remove_partition<D: Disk>(disk: &D, dir: &Path) -> Result<(), DiskError> {
    let mut outcome = Ok(());
    for entry in disk.list(dir).await? {
        let removed = disk.remove_file(&dir.join(entry.name)).await;
        outcome = outcome.and(removed);
    }
    outcome?;
    disk.remove_dir(dir).await
}

/// Whether a directory without `meta.properties` may hold this and still count as empty: what an open that was
/// interrupted leaves, what a new file system has, and what a repair has moved away.
pub fn is_leftover(name: &str) -> bool {
    [LOCK_FILE, "lost+found", "meta.properties.tmp", REMOVED_DIR].contains(&name)
}

/// Refuses a topic that cannot be.
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

/// Refuses a stored snapshot that holds what could not be created: another version wrote it, or somebody edited it.
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

fn random_id() -> Result<String, OpenError> {
    let mut bytes = [0u8; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    filled.map_err(|error| OpenError::Config(format!("the kernel gives no random bytes: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
