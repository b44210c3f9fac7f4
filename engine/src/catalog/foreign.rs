//! Directories that are named like a partition's and belong to no topic of the catalog. Their files are never read or
//! changed.

use super::{Catalog, is_of_topic};
use crate::disk::Disk;
use crate::error::TopicError;
use std::ops::Range;

impl Catalog {
    /// Refuses new partitions `numbers` of a topic if a directory of one of them holds files. The files of an earlier
    /// topic of that name were removed before, so these files belong to no topic of the catalog. The new partition would
    /// begin with their records, or a failed creation would delete them.
    ///
    /// # Errors
    /// [`TopicError::ForeignFiles`], or a directory could not be listed.
    pub(super) async fn refuse_foreign_files<D: Disk>(
        &self,
        disk: &D,
        name: &str,
        numbers: Range<u32>,
    ) -> Result<(), TopicError> {
        for entry in disk.list(&self.data_dir).await? {
            if !entry.is_dir || !is_of_topic(&entry.name, name, &numbers) {
                continue;
            }
            let path = self.data_dir.join(&entry.name);
            if !disk.list(&path).await?.is_empty() {
                return Err(TopicError::ForeignFiles { path });
            }
        }
        Ok(())
    }
}
