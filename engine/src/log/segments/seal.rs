//! Sealing: a full segment gets its final size and its indexes, and the checkpoint moves past it. A clean close seals
//! the last segment too. All of this is off the ack path.

use crate::clock::Clock;
use crate::disk::{Disk, DiskFile};
use crate::error::DiskError;
use crate::events::EventKind;
use crate::log::files::{CachedIndex, FileName, IndexSource};
use crate::log::state::{Closing, LargestTimestamp, Readers, Sealed, SealedBy};
use crate::log::work::Work;
use crate::log::{Log, checkpoint};
use crate::segment::{self, Indexes};
use futures_util::future::join_all;
use std::rc::Rc;

/// Number of segments that are sealed at the same time, at most.
const SEALED_AT_ONCE: usize = 8;

/// A full segment that is being sealed.
struct Sealing {
    base_offset: i64,
    next_offset: i64,
    size_bytes: u64,
    readers: Readers,
    indexes: Indexes,
}

impl Sealing {
    fn of<F>(closing: &Closing<F>) -> Self {
        let Closing { active, next_offset, size_bytes } = closing;
        Self {
            base_offset: active.base_offset,
            next_offset: *next_offset,
            size_bytes: *size_bytes,
            readers: active.readers.clone(),
            indexes: active.indexes.clone(),
        }
    }
}

/// The step of sealing a segment that has failed.
enum SealError {
    /// The log file could not be trimmed or synced.
    Log(DiskError),
    /// The indexes could not be written. The batches are durable.
    Indexes(DiskError),
}

impl From<SealError> for DiskError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Log(error) | SealError::Indexes(error) => error,
        }
    }
}

impl<D: Disk, C: Clock, A> Log<D, C, A> {
    /// Seals the full segments whose writes are complete, several at the same time. It trims them, writes their
    /// indexes, makes everything durable, and moves the checkpoint past them. A lack of space or of descriptors is
    /// tried again later; any other failure latches the log.
    pub async fn seal(self: Rc<Self>) {
        if self.sealing.replace(true) {
            return;
        }
        let complete = {
            let state = self.state.borrow();
            let written_to = state.progress.written_to();
            state.closing.iter().take_while(|closing| closing.end() <= written_to).count()
        };
        if let Err(error) = self.seal_oldest(complete.min(SEALED_AT_ONCE)).await {
            self.work_failed(Work::Seal, error);
        }
        self.state.borrow_mut().release_files();
        self.sealing.set(false);
    }

    /// Seals the `count` oldest full segments. Their files are trimmed and synced at the same time; the directory and
    /// the checkpoint are written once for all. One by one, on a busy disk, sealing would be slower than appends that
    /// fill small segments.
    async fn seal_oldest(&self, count: usize) -> Result<(), DiskError> {
        let failed_syncs = self.failed_syncs_before();
        let mut ends: Vec<Sealing> = {
            let state = self.state.borrow();
            state.closing.iter().take(count).map(Sealing::of).collect()
        };
        let ended = join_all(ends.iter_mut().map(|end| self.end_files(end, failed_syncs))).await;
        let whole = ended.iter().take_while(|ended| ended.is_ok()).count();
        self.context.disk.sync_dir(&self.dir).await?;
        self.check_syncs(failed_syncs)?;
        let failed = ended.into_iter().nth(whole).and_then(Result::err);
        if let (Some(SealError::Indexes(_)), Some(end)) = (&failed, ends.get(whole)) {
            // Appends that wait for the segment to be durable need not wait until there is space for its indexes.
            self.state.borrow_mut().synced_to_end_of(end.base_offset);
        }
        ends.truncate(whole);
        let recovery_offset = ends.last().map(|end| end.next_offset);
        ends.into_iter().for_each(|end| self.sealed(end));
        if let Some(recovery_offset) = recovery_offset {
            self.state.borrow_mut().collect_acks();
            self.look_at_retention();
            // Retention may have moved it further.
            let advance = |checkpoint: &mut checkpoint::Checkpoint| {
                checkpoint.recovery_offset = checkpoint.recovery_offset.max(recovery_offset);
            };
            self.write_checkpoint(advance).await?;
        }
        failed.map_or(Ok(()), |failed| Err(failed.into()))
    }

    /// Trims a segment's log file, makes it durable, and writes the indexes. `failed_syncs` is the number of syncs that
    /// had failed on the device before the log's oldest change that is not durable.
    async fn end_files(&self, end: &mut Sealing, failed_syncs: u64) -> Result<(), SealError> {
        self.end_log_file(end, failed_syncs).await.map_err(SealError::Log)?;
        self.note(EventKind::Sync);
        let disk = &self.context.disk;
        let _permit = disk.metadata_permit().await;
        let written = segment::write_indexes(disk, &self.dir, end.base_offset, &mut end.indexes).await;
        written.map_err(SealError::Indexes)
    }

    /// Trims a segment's log file and makes it durable. It holds the file no longer, because others may wait for the
    /// permit to open one.
    async fn end_log_file(&self, end: &Sealing, failed_syncs: u64) -> Result<(), DiskError> {
        let file = self.unsealed_file(end.base_offset, &end.readers).await?;
        file.truncate(end.size_bytes).await?;
        file.sync().await?;
        // This check comes before the indexes, because they state that the segment is whole.
        self.check_syncs(failed_syncs)
    }

    /// Moves the oldest closing segment to the sealed ones.
    fn sealed(&self, end: Sealing) {
        let mut state = self.state.borrow_mut();
        let Closing { active, .. } = state.closing.pop_front().expect("only seal removes closing segments");
        assert_eq!(active.base_offset, end.base_offset, "segments are sealed in their order");
        state.progress.sealed(active.stream_base + end.size_bytes);
        let changed_ms = self.wall_ms_at(active.last_append.get());
        let largest_timestamp = LargestTimestamp::Known(end.indexes.times.max_timestamp_ms());
        let name = FileName::Segment(end.base_offset);
        if let Some(file) = state.files.take(name) {
            let (offsets, source) = (Rc::new(end.indexes.offsets), IndexSource::Batches);
            state.files.put_indexed(name, file, CachedIndex { offsets, source });
        }
        state.sealed.push_back(Sealed {
            base_offset: end.base_offset,
            next_offset: end.next_offset,
            size_bytes: Some(end.size_bytes),
            index_source: IndexSource::File,
            largest_timestamp,
            changed_ms,
            epoch: Some(self.epoch),
            nothing_from_ms: i64::MAX,
            sealed_by: SealedBy::Log,
            readers: active.readers,
        });
        state.note(self.context.clock.now(), EventKind::Seal);
    }

    /// Changes the checkpoint with `change` and writes it durably.
    pub(in crate::log) async fn write_checkpoint(
        &self,
        change: impl FnOnce(&mut checkpoint::Checkpoint),
    ) -> Result<(), DiskError> {
        let _alone = self.checkpointing.lock().await;
        let next = {
            let mut next = self.state.borrow().checkpoint;
            change(&mut next);
            // If the write fails, the next attempt uses the same slot, because the other slot holds the last good
            // checkpoint.
            next.sequence += 1;
            next.epoch = self.epoch;
            next.boot_id = self.context.limits.boot_id;
            next.in_flight_bytes_max = self.context.limits.in_flight_bytes_max();
            next
        };
        let _permit = self.context.disk.metadata_permit().await;
        let failed_syncs = self.failures.count();
        checkpoint::write(&self.context.disk, &self.dir, &next).await?;
        self.check_syncs(failed_syncs)?;
        // Only now can readers see the new start of the log: a crash cannot take it back.
        self.state.borrow_mut().checkpoint = next;
        self.is_open_recorded.set(true);
        Ok(())
    }

    /// Ends the log cleanly: seals the last segment, so that the next open has nothing to scan. Call it once
    /// [`Log::is_idle`] is true and no background work runs.
    ///
    /// # Errors
    /// The log has failed before, or sealing fails now. Acked records keep the durability that they have.
    pub async fn close(self: Rc<Self>) -> Result<(), DiskError> {
        let disk = &self.context.disk;
        let is_prepared = {
            let mut state = self.state.borrow_mut();
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.damaged.is_some() {
                return Ok(());
            }
            state.prepared.take().is_some()
        };
        let written = match self.end_cut().await {
            Ok(()) => self.write_held_up().await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            self.fail(error.clone());
            return Err(error);
        }
        self.state.borrow_mut().close_active();
        while !self.state.borrow().closing.is_empty() {
            self.seal_oldest(SEALED_AT_ONCE).await?;
        }
        if is_prepared {
            disk.remove_file(&self.dir.join(segment::PREPARING)).await?;
            disk.sync_dir(&self.dir).await?;
        }
        self.remove_unfinished_spare().await?;
        self.remove_empty_segments().await
    }

    /// Removes the files of segments that took no batch.
    async fn remove_empty_segments(&self) -> Result<(), DiskError> {
        let empty: Vec<i64> = {
            let mut state = self.state.borrow_mut();
            let bases = state.sealed.iter().filter(|sealed| sealed.next_offset == sealed.base_offset);
            let bases = bases.map(|sealed| sealed.base_offset).collect();
            state.sealed.retain(|sealed| sealed.next_offset > sealed.base_offset);
            bases
        };
        for base_offset in empty {
            segment::remove_files_durably(&self.context.disk, &self.dir, base_offset).await?;
        }
        Ok(())
    }
}
