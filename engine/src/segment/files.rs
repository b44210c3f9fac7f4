//! Removal of a segment's files.

use super::{log_path, remove_indexes};
use crate::disk::Disk;
use crate::error::DiskError;
use std::path::Path;

/// Removes a segment's three files: the log file and both indexes. A file that does not exist is no error. The removal
/// is durable only after a sync of the directory.
///
/// # Errors
/// A file exists and cannot be removed.
pub(crate) async fn remove_files<D: Disk>(disk: &D, dir: &Path, base_offset: i64) -> Result<(), DiskError> {
    match disk.remove_file(&log_path(dir, base_offset)).await {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    remove_indexes(disk, dir, base_offset).await
}

/// Removes a segment's three files, those that exist, and syncs the directory. So they do not come back after a crash.
///
/// # Errors
/// A file exists and cannot be removed, or the directory cannot be synced.
pub(crate) async fn remove_files_durably<D: Disk>(
    disk: &D,
    dir: &Path,
    base_offset: i64,
) -> Result<(), DiskError> {
    remove_files(disk, dir, base_offset).await?;
    disk.sync_dir(dir).await
}
