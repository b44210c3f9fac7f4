//! Making a missing or damaged catalog again, from the directories of the partitions.

use super::{CatalogRepair, OlderCatalog, RepairError, Step, Steps};
use crate::catalog::{self, Snapshot, Topic, partition_dir};
use crate::config::TopicConfig;
use crate::error::OpenError;
use crate::verify::Walked;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The state of the catalog on disk.
pub(super) enum Stored {
    Whole(Snapshot),
    Damaged { reason: String },
    Missing,
}

/// Reads the catalog.
///
/// # Errors
/// Reading failed, or the catalog is whole and holds settings that this version does not accept.
pub(super) fn read(path: &Path) -> Result<Stored, RepairError> {
    let Some(bytes) = super::read(path)? else { return Ok(Stored::Missing) };
    let decoded = catalog::decode(path, &bytes);
    match decoded.and_then(|snapshot| catalog::check_snapshot(path, &snapshot).map(|()| snapshot)) {
        Ok(snapshot) => Ok(Stored::Whole(snapshot)),
        Err(OpenError::Corrupt(corruption)) => Ok(Stored::Damaged { reason: corruption.kind.to_string() }),
        Err(OpenError::Catalog { path, reason }) => Err(RepairError::Catalog { path, reason }),
        Err(error) => Err(RepairError::Catalog { path: path.to_path_buf(), reason: error.to_string() }),
    }
}

impl Stored {
    pub(super) const fn snapshot(&self) -> Option<&Snapshot> {
        match self {
            Self::Whole(snapshot) => Some(snapshot),
            Self::Damaged { .. } | Self::Missing => None,
        }
    }

    /// Makes the catalog from the partitions' directories. Returns `None` if the catalog on disk can stay. It cannot if `newer_epoch`
    /// shows that it is an older copy.
    pub(super) fn rebuild(
        self,
        path: &Path,
        partitions: &[Walked],
        newer_epoch: Option<i32>,
    ) -> Option<CatalogRepair> {
        let epochs = partitions.iter().map(|walked| walked.epoch_found).chain(newer_epoch);
        let incarnation = epochs.max().unwrap_or(0).max(0);
        let damage = match self {
            Self::Whole(snapshot) if newer_epoch.is_some() => {
                let topics = snapshot.topics.iter().map(|(name, topic)| (name.clone(), topic.partitions));
                let topics = topics.collect();
                return Some(CatalogRepair {
                    path: path.to_path_buf(),
                    damage: None,
                    topics,
                    incarnation,
                    older: Some(OlderCatalog(snapshot)),
                });
            }
            Self::Whole(_) => return None,
            Self::Damaged { reason } => Some(reason),
            // The first open was interrupted, and the next one finishes it.
            Self::Missing if partitions.is_empty() => return None,
            Self::Missing => None,
        };
        let mut topics: BTreeMap<String, u32> = BTreeMap::new();
        for walked in partitions {
            let count = topics.entry(walked.report.topic.clone()).or_default();
            *count = (*count).max(walked.report.partition + 1);
        }
        Some(CatalogRepair { path: path.to_path_buf(), damage, topics, incarnation, older: None })
    }
}

/// Returns the partitions that are in the new catalog but have no directory.
pub(super) fn missing(
    data_dir: &Path,
    repair: Option<&CatalogRepair>,
    partitions: &[Walked],
) -> Vec<(PathBuf, String, u32)> {
    let found: BTreeSet<&Path> = partitions.iter().map(|walked| walked.dir.as_path()).collect();
    let topics = repair.iter().flat_map(|repair| &repair.topics);
    let numbers = topics.flat_map(|(topic, count)| (0..*count).map(move |number| (topic, number)));
    let all = numbers.map(|(topic, number)| (partition_dir(data_dir, topic, number), topic.clone(), number));
    all.filter(|(dir, ..)| !found.contains(dir.as_path())).collect()
}

/// Adds the steps that write the catalog. A damaged one is moved away first.
pub(super) fn write(repair: &CatalogRepair, steps: &mut Steps<'_>) {
    if repair.damage.is_some() {
        let to = steps.removed_dir.to_path_buf();
        steps.make_removed_dir(&to);
        steps.move_into(repair.path.clone(), &to);
    }
    let incarnation = repair.incarnation;
    // Nothing shows that records which were appended before the repair are durable.
    let unsynced = |topic: Topic| Topic { synced_after: incarnation, ..topic };
    let snapshot = if let Some(OlderCatalog(older)) = &repair.older {
        let topics = older.topics.iter().map(|(name, topic)| (name.clone(), unsynced(topic.clone())));
        // What the older catalog was about to delete may be in use again.
        Snapshot {
            incarnation,
            topics: topics.collect(),
            deleting: BTreeMap::new(),
            growing: BTreeMap::new(),
            ..older.clone()
        }
    } else {
        let new = |partitions| unsynced(Topic::new(partitions, TopicConfig::default()));
        let topics = repair.topics.iter().map(|(name, partitions)| (name.clone(), new(*partitions)));
        Snapshot { incarnation, topics: topics.collect(), ..Snapshot::default() }
    };
    let bytes = catalog::encode(&snapshot).into_bytes();
    steps.push(Step::Replace { path: repair.path.clone(), bytes });
}
