//! The partitions of a data directory. They are found by the catalog and by the names of directories, and then read one by
//! one.

use super::names::{self, Entry, PartitionFiles};
use super::partition::{self, Extent, PartitionContext, Walked};
use super::recorded::Recorded;
use super::report::{DefectKind, Findings, NoteKind, VerifyError};
use super::{PartitionEntry, read};
use crate::catalog::{
    self, CATALOG_FILE, DAMAGED_FILE, LOCK_FILE, META_FILE, Points, REMOVED_DIR, RecoveryPoints, Snapshot,
    TEMPORARY_SUFFIX, partition_dir, partition_of,
};
use crate::clock::boot_id;
use crate::error::{CorruptionKind, DiskError};
use crate::log::checkpoint::{self, Checkpoint};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest leader epoch that is accepted if the catalog cannot be read. No directory is opened that often.
const EPOCH_UNKNOWN_MAX: i32 = 1 << 30;

/// The partitions of a data directory, and the facts from outside that their files are checked against.
pub(super) struct Found<'a> {
    /// The partitions that have a directory, by topic and number.
    pub(super) partitions: Vec<FoundPartition<'a>>,
    /// Partitions that are in the catalog but have no directory: the path that it would have, the topic, and the
    /// number.
    pub(super) missing: Vec<(PathBuf, String, u32)>,
    /// The record of partitions that an open has found damaged.
    pub(super) recorded: Recorded,
    data_dir: &'a Path,
    has_catalog: bool,
    points: RecoveryPoints,
    /// The leader epoch that shows that the catalog is an older copy; `None` if nothing shows that.
    pub(super) newer_epoch: Option<i32>,
    /// The largest leader epoch that a batch may have.
    epoch_max: i32,
    boot_id: u64,
}

/// A partition that has a directory.
pub(super) struct FoundPartition<'a> {
    pub(super) entry: PartitionEntry<'a>,
    dir: PathBuf,
    files: PartitionFiles,
}

impl<'a> Found<'a> {
    /// Finds every partition of the catalog. If the catalog cannot be read, finds every directory that looks like a
    /// partition. `entries` is the list of the data directory.
    pub(super) fn of(
        data_dir: &'a Path,
        snapshot: Option<&'a Snapshot>,
        entries: &'a [Entry],
        findings: &mut Findings<'_>,
    ) -> Result<Self, VerifyError> {
        let mut entries_by_dir: BTreeMap<PathBuf, PartitionEntry<'a>> = BTreeMap::new();
        for (topic, stored) in snapshot.iter().flat_map(|snapshot| &snapshot.topics) {
            for partition in 0..stored.partitions {
                let entry = PartitionEntry { topic, partition, stored: Some(stored) };
                entries_by_dir.insert(partition_dir(data_dir, topic, partition), entry);
            }
        }
        let mut partitions = Vec::new();
        for listed in entries {
            let dir = data_dir.join(&listed.name);
            let entry = if listed.is_dir { entries_by_dir.remove(&dir) } else { None };
            if let Some(entry) = entry.or_else(|| classify(listed, &dir, snapshot, findings)) {
                partitions.push(FoundPartition { files: PartitionFiles::of(&dir, findings)?, dir, entry });
            }
        }
        for (path, entry) in &entries_by_dir {
            let message = format!(
                "the catalog names partition {} of topic {}: its directory and all its records are gone",
                entry.partition, entry.topic
            );
            findings.defect(DefectKind::PartitionMissing, path, 0, message);
        }
        let points = read_points(data_dir, entries)?;
        let newer_epoch = snapshot.and_then(|snapshot| newer_epoch(snapshot, &points, &partitions));
        if let (Some(found), Some(snapshot)) = (newer_epoch, snapshot) {
            let message = CorruptionKind::EpochAhead { found, newest: snapshot.incarnation }.to_string();
            findings.defect(DefectKind::Catalog, &data_dir.join(CATALOG_FILE), 0, message);
        }
        let known = snapshot.filter(|_| newer_epoch.is_none());
        let without_directory =
            entries_by_dir.into_iter().map(|(dir, entry)| (dir, entry.topic.to_owned(), entry.partition));
        findings.total_bytes = partitions.iter().map(|found| found.files.total_bytes()).sum();
        partitions
            .sort_by(|a, b| (a.entry.topic, a.entry.partition).cmp(&(b.entry.topic, b.entry.partition)));
        Ok(Self {
            partitions,
            missing: without_directory.collect(),
            recorded: Recorded::of(data_dir, findings)?,
            data_dir,
            has_catalog: snapshot.is_some(),
            points,
            newer_epoch,
            epoch_max: known.map_or(EPOCH_UNKNOWN_MAX, |snapshot| snapshot.incarnation),
            boot_id: boot_id(),
        })
    }

    /// Reads every partition.
    pub(super) fn walk_all(&self, findings: &mut Findings<'_>) -> Result<Vec<Walked>, DiskError> {
        self.partitions.iter().map(|found| self.walk(found, Extent::Whole, findings)).collect()
    }

    /// Reads one partition.
    pub(super) fn walk(
        &self,
        found: &FoundPartition<'_>,
        extent: Extent,
        findings: &mut Findings<'_>,
    ) -> Result<Walked, DiskError> {
        let PartitionEntry { topic, partition, stored } = found.entry;
        let recovery_point =
            stored.map_or(i64::MIN, |stored| self.points.durable_to(stored.id, partition, self.boot_id));
        let context = PartitionContext {
            topic,
            partition,
            dir: &found.dir,
            extent,
            config: stored.map(|stored| &stored.config),
            synced_after: stored.map_or(0, |stored| stored.synced_after),
            epoch_max: self.epoch_max,
            durable_to: recovery_point.max(self.recorded.durable_to(&found.entry)),
            was_damaged: self.recorded.was_damaged(&found.entry),
            boot_id: self.boot_id,
        };
        let walked = partition::walk(&context, &found.files, findings)?;
        if extent == Extent::Whole {
            self.recorded.note_whole(self.data_dir, &found.entry, &walked, findings);
        }
        Ok(walked)
    }

    /// Says whether an open reads the partition: the catalog names it, or cannot be read.
    pub(super) fn is_served(&self, found: &FoundPartition<'_>) -> bool {
        !self.has_catalog || found.entry.stored.is_some()
    }

    /// Returns the number of partitions that the topic of a partition has, if the catalog says so.
    pub(super) fn partitions_of(&self, found: &FoundPartition<'_>) -> Option<u32> {
        found.entry.stored.map(|stored| stored.partitions)
    }

    /// Returns the incarnation in which a topic was created, if the catalog and a directory have the topic; 0 if that is not known.
    pub(super) fn created_in(&self, topic: &str) -> Option<i32> {
        let first = self.partitions.partition_point(|found| found.entry.topic < topic);
        let entry = &self.partitions.get(first)?.entry;
        (entry.topic == topic).then_some(entry.stored?.created_in)
    }
}

/// Returns the newest leader epoch of the recovery points and checkpoints, if the catalog does not know it: then the catalog is an older
/// copy.
fn newer_epoch(
    snapshot: &Snapshot,
    points: &RecoveryPoints,
    partitions: &[FoundPartition<'_>],
) -> Option<i32> {
    let served = partitions.iter().filter(|partition| partition.entry.stored.is_some());
    let checkpoints = served.filter_map(|partition| {
        // One that cannot be read is reported with its partition.
        let bytes = read(&checkpoint::checkpoint_path(&partition.dir)).ok().flatten()?;
        let newest = Checkpoint::newest(&bytes)?;
        (newest.sequence <= checkpoint::SEQUENCE_MAX).then_some(newest.epoch)
    });
    let newest = checkpoints.chain(points.newest_incarnation()).max();
    newest.filter(|epoch| (snapshot.incarnation + 1..EPOCH_UNKNOWN_MAX).contains(epoch))
}

/// Reads the recovery points of all shards. A torn file has none.
fn read_points(data_dir: &Path, entries: &[Entry]) -> Result<RecoveryPoints, DiskError> {
    let mut all = RecoveryPoints::default();
    let names = entries.iter().filter_map(|entry| entry.name.to_str());
    for name in names.filter(|name| catalog::is_points_file(name)) {
        let bytes = read(&data_dir.join(name))?.unwrap_or_default();
        Points::decode(&bytes).iter().for_each(|points| all.add(points));
    }
    Ok(all)
}

/// Classifies an entry of the data directory that is no partition of the catalog, and reports what is wrong with it.
/// Returns it as a partition if it looks like one, and the catalog cannot be read or does not have it.
fn classify<'a>(
    entry: &'a Entry,
    path: &Path,
    snapshot: Option<&Snapshot>,
    findings: &mut Findings<'_>,
) -> Option<PartitionEntry<'a>> {
    let name = entry.name.to_str().unwrap_or_default();
    let is_temporary = |file: &str| name.strip_suffix(TEMPORARY_SUFFIX) == Some(file);
    let is_named =
        [META_FILE, CATALOG_FILE, DAMAGED_FILE, LOCK_FILE].contains(&name) || catalog::is_points_file(name);
    let is_known = entry.is_file && is_named;
    if is_known || (entry.is_dir && name == "lost+found") {
        return None;
    }
    if entry.is_file && [META_FILE, CATALOG_FILE, DAMAGED_FILE].into_iter().any(is_temporary) {
        let message = "a file that was being replaced when the process ended; the next open writes it anew or removes it";
        findings.note(NoteKind::Leftover, path, 0, message);
        return None;
    }
    if entry.is_dir && name == REMOVED_DIR {
        let message = "moved away by `vnotch repair`; delete it once it is not needed";
        findings.note(NoteKind::Leftover, path, 0, message);
        return None;
    }
    let Some((topic, partition)) =
        partition_of(name).filter(|_| entry.is_dir && looks_like_a_partition(path))
    else {
        names::report_foreign(path, findings);
        return None;
    };
    let Some(snapshot) = snapshot else { return Some(PartitionEntry { topic, partition, stored: None }) };
    if snapshot.deleting.get(topic).is_some_and(|partitions| partition < *partitions) {
        let message = "its topic was being created or deleted; the next open removes it";
        findings.note(NoteKind::Leftover, path, 0, message);
        return None;
    }
    // The present partitions of the topic are not classified here.
    if snapshot.growing.get(topic).is_some_and(|partitions| partition < *partitions) {
        let message = "it was being added to its topic; the next open removes it";
        findings.note(NoteKind::Leftover, path, 0, message);
        return None;
    }
    let message = "it looks like a partition, and the catalog names none such: no open reads it";
    findings.defect(DefectKind::PartitionUnknown, path, 0, message);
    Some(PartitionEntry { topic, partition, stored: None })
}

fn looks_like_a_partition(path: &Path) -> bool {
    let is_ours = |entry: &Entry| {
        let name = entry.name.to_str().unwrap_or_default();
        name == "checkpoint" || crate::segment::base_offset_of(name).is_some()
    };
    names::list(path).is_ok_and(|entries| entries.is_empty() || entries.iter().any(is_ours))
}
