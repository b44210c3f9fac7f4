//! The changes that put a log in order that was judged to be whole. They may be interrupted at any step: the next open
//! judges the log the same.

use super::judge::{RecoveryPlan, UnsealedSegment};
use crate::clock::Clock;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::DiskError;
use crate::log::spare_file::Spare;
use crate::log::state::{Sealed, SealedBy};
use crate::log::{Log, checkpoint};
use crate::segment;
use checkpoint::Checkpoint;
use std::collections::{BTreeSet, VecDeque};

/// The result: a log in order.
pub(super) struct OrderedLog {
    pub(super) checkpoint: Checkpoint,
    pub(super) sealed: VecDeque<Sealed>,
    pub(super) next_offset: i64,
    pub(super) spare: Spare,
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// Carries out `plan`: trims and seals the segments that are kept, removes the rest, and makes all of that durable.
    ///
    /// # Errors
    /// The disk failed, or another sync on the device failed since the log was read.
    pub(super) async fn apply(&self, plan: RecoveryPlan) -> Result<OrderedLog, DiskError> {
        let (disk, dir) = (&self.context.disk, &self.dir);
        if plan.names.iter().any(|entry| entry.name == segment::PREPARING) {
            disk.remove_file(&dir.join(segment::PREPARING)).await?;
        }
        self.finish_deletion(&plan).await?;
        let spare = self.adopt_spare(&plan.names).await?;
        for read in &plan.kept {
            self.trim(read).await?;
        }
        self.check_syncs(plan.failed_syncs)?;
        // The order is from the last to the first, so that a crash in between leaves no new gap.
        for base_offset in plan.behind.iter().rev().copied() {
            segment::remove_files_durably(disk, dir, base_offset).await?;
        }
        self.remove_orphans(&plan).await?;
        // Other removals need no sync: if a name comes back, the next open removes it again.
        let has_kept = !plan.kept.is_empty();
        let trusted = plan.trusted.iter();
        let mut sealed: VecDeque<Sealed> =
            trusted.map(|(base, next)| Sealed::closed(*base, *next, SealedBy::Log)).collect();
        for mut read in plan.kept {
            let base_offset = read.examined.base_offset;
            if read.examined.valid_bytes == 0 {
                segment::remove_files_durably(disk, dir, base_offset).await?;
                continue;
            }
            // Indexes state that a segment is whole, so they are written last.
            segment::write_indexes(disk, dir, base_offset, &mut read.indexes).await?;
            let closed = Sealed::closed(base_offset, read.examined.next_offset, SealedBy::Recovery);
            sealed.push_back(Sealed { epoch: Some(read.epoch), ..closed });
        }
        if has_kept {
            disk.sync_dir(dir).await?;
        }
        self.check_syncs(plan.failed_syncs)?;
        Ok(OrderedLog { checkpoint: plan.checkpoint, sealed, next_offset: plan.next_offset, spare })
    }

    /// Finishes a deletion that was interrupted.
    async fn finish_deletion(&self, plan: &RecoveryPlan) -> Result<(), DiskError> {
        if plan.retired.is_empty() {
            return Ok(());
        }
        // If a power loss took the checkpoint and left the deletion, that would look like damage.
        checkpoint::sync(&self.context.disk, &self.dir).await?;
        self.check_syncs(plan.failed_syncs)?;
        for base_offset in plan.retired.iter().copied() {
            segment::remove_files_durably(&self.context.disk, &self.dir, base_offset).await?;
        }
        Ok(())
    }

    /// Cuts a segment's file behind its last batch and makes it durable.
    async fn trim(&self, read: &UnsealedSegment) -> Result<(), DiskError> {
        if read.is_sealed() {
            return Ok(());
        }
        let path = segment::log_path(&self.dir, read.examined.base_offset);
        let file = self.context.disk.open(&path, OpenMode::ReadWrite, self.context.limits.io).await?;
        if read.examined.valid_bytes < read.file_bytes {
            file.truncate(read.examined.valid_bytes).await?;
        }
        file.sync().await
    }

    /// Removes indexes whose segment does not exist. With them, a later segment of that name would seem to be sealed.
    async fn remove_orphans(&self, plan: &RecoveryPlan) -> Result<(), DiskError> {
        let bases = |of: fn(&str) -> Option<i64>| plan.names.iter().filter_map(move |entry| of(&entry.name));
        let logs: BTreeSet<i64> = bases(segment::base_offset_of).collect();
        let orphans: BTreeSet<i64> =
            bases(segment::index_base_offset_of).filter(|base| !logs.contains(base)).collect();
        for base_offset in &orphans {
            segment::remove_indexes(&self.context.disk, &self.dir, *base_offset).await?;
        }
        if orphans.is_empty() { Ok(()) } else { self.context.disk.sync_dir(&self.dir).await }
    }
}
