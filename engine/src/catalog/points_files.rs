//! The files of recovery points in a data directory: they are read by an open, and those of shards that are no more are removed.

use super::Catalog;
use super::points::{Points, is_points_file, shard_of_points_file};
use crate::disk::{DirEntry, Disk};
use crate::error::DiskError;
use std::collections::BTreeSet;
use std::path::Path;

impl Catalog {
    /// Removes the recovery points of shards that are no more, once other files have newer points of their partitions.
    pub(super) async fn remove_old_points<D: Disk>(&self, disk: &D, files: &[(String, Option<Points>)]) {
        let ids: BTreeSet<u64> = self.snapshot.topics.values().map(|topic| topic.id).collect();
        for (name, points) in files {
            let is_of_a_shard = shard_of_points_file(name).is_none_or(|shard| shard < self.meta.shards);
            let is_needed =
                points.as_ref().is_some_and(|points| !self.points.supersede(points, |id| ids.contains(&id)));
            if is_of_a_shard || is_needed {
                continue;
            }
            if let Err(error) = disk.remove_file(&self.data_dir.join(name)).await {
                tracing::warn!(file = name, %error, "old recovery points cannot be removed");
            }
        }
    }
}

/// Reads the files of recovery points among `names`. The points of a file that is torn or unreadable are `None`.
pub(super) async fn read_points<D: Disk>(
    disk: &D,
    data_dir: &Path,
    names: &[DirEntry],
) -> Result<Vec<(String, Option<Points>)>, DiskError> {
    let mut files = Vec::new();
    for entry in names.iter().filter(|entry| is_points_file(&entry.name)) {
        match disk.read_file(&data_dir.join(&entry.name)).await {
            Ok(bytes) => files.push((entry.name.clone(), Points::decode(&bytes))),
            Err(error) if error.is_of_this_file() => files.push((entry.name.clone(), None)),
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}
