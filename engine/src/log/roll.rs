//! Background work of a log: the next segment's file, rolling to it, and sealing the one before. Off the ack path, but
//! for the rename that gives a segment its name.

use super::files::{CachedIndex, FileName, OpenFile};
use super::space::{Work, is_passing};
use super::spare::Spare;
use super::state::{Readers, SealedBy};
use super::{Active, Closing, IndexSource, LargestTimestamp, Log, Sealed, State, Wants, checkpoint};
use crate::buffer::BLOCK_BYTES;
use crate::clock::Clock;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::DiskError;
use crate::events::EventKind;
use crate::num::align_up;
use crate::segment::{self, Indexes};
use crate::types::{Durability, Preallocate};
use futures_util::future::join_all;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Segments that are sealed at once, at most.
const SEALED_AT_ONCE: usize = 8;

/// A full segment while its files are seen to.
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

/// What a segment's end failed at.
enum SealError {
    /// Its batches.
    Log(DiskError),
    /// Its indexes: the batches are durable.
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
    /// Which background work is due and not under way.
    pub fn wants(&self) -> Wants {
        let state = self.state.borrow();
        if state.failed.is_some() || state.damaged.is_some() {
            return Wants::default();
        }
        let is_whole = !state.is_cut_under_way();
        let postponed = &self.postponed;
        let half_full = |active: &Active<_>| state.tail.segment_bytes() * 2 > active.segment_bytes;
        let prepare = state.prepared.is_none()
            && state.active.as_ref().is_some_and(half_full)
            && self.has_room()
            && !(self.fills_new_spares() || self.expects_spare(&state));
        let written_to = state.progress.written_to();
        let seal = state.closing.front().is_some_and(|closing| closing.end() <= written_to);
        Wants {
            reopen: is_whole
                && !self.reopening.get()
                && postponed.allows(Work::Reopen)
                && state.file_to_open().is_some(),
            roll: is_whole
                && !self.rolling.get()
                && postponed.allows(Work::Roll)
                && (prepare || state.roll_wanted && self.may_roll(&state)),
            seal: is_whole && !self.sealing.get() && postponed.allows(Work::Seal) && seal,
            retain: self.retention_due.get() && !self.retaining.get() && postponed.allows(Work::Retain),
            cut: state.is_cut_due()
                && !(self.rolling.get() || self.sealing.get() || self.cutting.get())
                && postponed.allows(Work::Cut),
            spare: self.wants_spare(&state),
        }
    }

    /// Whether the active segment's first batch is older than `segment_ms`.
    pub(super) fn is_aged(&self, state: &State<D::File, A>) -> bool {
        let first_append = state.active.as_ref().and_then(|active| active.first_append.get());
        let (Some(segment_ms), Some(first_append)) = (self.config().segment_ms, first_append) else {
            return false;
        };
        self.context.clock.now().saturating_duration_since(first_append) >= Duration::from_millis(segment_ms)
    }

    /// Whether another segment may begin. Where retention is behind, it waits: the log's files take `retention_bytes` and
    /// two segments at most. So it does where a file is about to be its spare.
    fn may_roll(&self, state: &State<D::File, A>) -> bool {
        let config = self.config();
        let is_held_up = [Work::Seal, Work::Retain].iter().any(|work| !self.postponed.allows(*work));
        let Some(retention_bytes) = config.retention_bytes.filter(|_| !is_held_up) else {
            // Of a full disk appends are to hear, and the roll is what finds it.
            return true;
        };
        let leaving_bytes = self.leaving_bytes.get();
        let newer_bytes: u64 = self.full_segments(state).skip(1).sum();
        let is_more = self.held_bytes(state) > retention_bytes.saturating_add(config.segment_bytes);
        // Without that nothing would ever be deleted: the oldest segment may be larger than those that follow.
        let will_be_less = leaving_bytes > 0 || newer_bytes >= retention_bytes;
        let is_behind = is_more && will_be_less;
        !is_behind && !matches!(state.spare, Spare::Coming(_))
    }

    /// What the files of the full segments take at most, bytes, oldest first. Until it is sealed, one has room for more.
    fn full_segments<'a>(
        &self,
        state: &'a State<D::File, A>,
    ) -> impl Iterator<Item = u64> + use<'a, D, C, A> {
        let segment_bytes = self.config().segment_bytes;
        let sealed = state.sealed.iter().map(move |sealed| sealed.size_bytes.unwrap_or(segment_bytes));
        let closing = state.closing.iter();
        sealed.chain(closing.map(|closing| align_up(closing.active.segment_bytes, BLOCK_BYTES as u64)))
    }

    /// What the files of full segments take at most, bytes, with those that are to be removed.
    pub(super) fn held_bytes(&self, state: &State<D::File, A>) -> u64 {
        self.leaving_bytes.get() + self.full_segments(state).sum::<u64>()
    }

    /// Whether appends wait for a segment, and not for memory.
    pub fn wants_roll(&self) -> bool {
        let state = self.state.borrow();
        state.roll_wanted || state.full.is_some()
    }

    /// Rolls if a roll is wanted, and prepares the next segment's file. Where there is no space for it, appends are refused
    /// until there is; any other failure latches the log.
    pub async fn roll(self: Rc<Self>) {
        if self.rolling.replace(true) {
            return;
        }
        if let Err(error) = self.roll_or_prepare().await {
            self.roll_failed(error).await;
        }
        self.rolling.set(false);
    }

    async fn roll_or_prepare(&self) -> Result<(), DiskError> {
        let failed_syncs = self.failures.count();
        let Some((file, written_to)) = self.next_file().await? else { return Ok(()) };
        let base_offset = self.log_end_offset();
        // Written acks survive a kill as the rename is done; the first sync of the segment makes its name durable, or its
        // seal. In a synced topic every write is an ack's, so the name comes first.
        let config = self.config();
        let is_synced = config.durability == Durability::Synced;
        if is_synced {
            self.sync_new_name(base_offset).await?;
            self.check_syncs(failed_syncs)?;
        }
        let mut state = self.state.borrow_mut();
        let stream_base = state.next_stream_base();
        state.progress.file_begins(stream_base, failed_syncs);
        state.tail.begin_segment();
        let indexes = Indexes::new(base_offset);
        let is_named = Rc::new(Cell::new(is_synced));
        let (first_append, last_append) = (Cell::new(None), Cell::new(None));
        let readers = Readers::default();
        state.files.put(FileName::Segment(base_offset), file.clone());
        state.active = Some(Active {
            base_offset,
            file: Some(file),
            stream_base,
            segment_bytes: config.segment_bytes,
            index_interval_bytes: config.index_interval_bytes,
            indexes,
            is_named,
            first_append,
            last_append,
            written_to,
            readers,
        });
        state.roll_wanted = false;
        state.found_space();
        let at = self.context.clock.now();
        state.note(at, EventKind::Roll);
        if self.fills_new_spares() && written_to < self.segment_file_bytes() {
            state.note(at, EventKind::NoSpare);
        }
        drop(state);
        self.weigh();
        Ok(())
    }

    /// Makes the name of the segment that begins now durable. Where that has to be tried again, the file is removed: a full
    /// disk may end the log at a lower offset meanwhile, and then nothing else would remove a file of that name from the
    /// middle of the log.
    async fn sync_new_name(&self, base_offset: i64) -> Result<(), DiskError> {
        let synced = self.context.disk.sync_dir(&self.dir).await;
        if synced.as_ref().is_err_and(is_passing) {
            self.context.disk.remove_file(&segment::log_path(&self.dir, base_offset)).await?;
        }
        synced
    }

    /// The file of the segment that begins now, under its name, and up to where its extents are written; `None` if no roll
    /// is wanted, and the file was only prepared.
    async fn next_file(&self) -> Result<Option<(OpenFile<D::File>, u64)>, DiskError> {
        if self.state.borrow().roll_wanted {
            // Retention may have taken a turn since the roll was called for.
            if !self.may_roll(&self.state.borrow()) {
                return Ok(None);
            }
            self.record_open().await?;
            if let Some(spare) = self.take_spare(self.log_end_offset()).await? {
                return Ok(Some(spare));
            }
        } else if self.fills_new_spares() {
            return Ok(None);
        }
        let failed_syncs = self.failures.count();
        // One that was made before a sync failed may have lost its extents: it is made again.
        let file = if self.state.borrow().prepared == Some(failed_syncs) {
            self.prepared_file().await?
        } else {
            self.is_preparing.set(true);
            let made = self.prepare().await;
            self.is_preparing.set(false);
            made?
        };
        if !self.state.borrow().roll_wanted {
            let mut state = self.state.borrow_mut();
            state.prepared = Some(failed_syncs);
            state.files.put(FileName::Prepared, file);
            return Ok(None);
        }
        self.record_open().await?;
        {
            let mut state = self.state.borrow_mut();
            state.prepared = None;
            state.files.remove(FileName::Prepared);
        }
        let path = segment::log_path(&self.dir, self.log_end_offset());
        self.context.disk.rename(&self.dir.join(segment::PREPARING), &path).await?;
        Ok(Some((file, 0)))
    }

    /// Size of a segment's file until it is sealed.
    pub(super) fn segment_file_bytes(&self) -> u64 {
        align_up(self.config().segment_bytes, BLOCK_BYTES as u64)
    }

    /// Makes the file of the segment after the active one, with its extents.
    async fn prepare(&self) -> Result<OpenFile<D::File>, DiskError> {
        let path = self.dir.join(segment::PREPARING);
        let file = self.open_file(&path, OpenMode::Replace).await?;
        if self.config().preallocate != Preallocate::None {
            file.allocate(self.segment_file_bytes()).await?;
        }
        Ok(file)
    }

    /// The file that was made ahead of this roll.
    async fn prepared_file(&self) -> Result<OpenFile<D::File>, DiskError> {
        let open = self.state.borrow().files.get(FileName::Prepared);
        match open {
            Some(file) => Ok(file),
            None => self.open_file(&self.dir.join(segment::PREPARING), OpenMode::ReadWrite).await,
        }
    }

    /// Seals the full segments whose writes are complete, several at once: trims them, writes their indexes, makes
    /// everything durable, and moves the checkpoint past them. A failure latches the log, but for one that only wants
    /// space.
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

    /// Seals the `count` oldest full segments. Their files are seen to side by side, and the directory and the checkpoint
    /// once for all: one by one, with the disk busy, small segments came faster than they went.
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
            // Whoever waits for the segment to be durable need not wait for the space that its indexes take.
            self.state.borrow_mut().synced_to_end_of(end.base_offset);
        }
        ends.truncate(whole);
        let recovery_offset = ends.last().map(|end| end.next_offset);
        ends.into_iter().for_each(|end| self.sealed(end));
        if let Some(recovery_offset) = recovery_offset {
            self.state.borrow_mut().collect_acks();
            self.look_at_retention();
            self.write_checkpoint(|checkpoint| checkpoint.recovery_offset = recovery_offset).await?;
        }
        failed.map_or(Ok(()), |failed| Err(failed.into()))
    }

    /// Trims a segment's file and makes it durable, and writes its indexes. `failed_syncs` had failed before the oldest change
    /// of the log that is not durable.
    async fn end_files(&self, end: &mut Sealing, failed_syncs: u64) -> Result<(), SealError> {
        self.end_log_file(end, failed_syncs).await.map_err(SealError::Log)?;
        self.note(EventKind::Sync);
        let disk = &self.context.disk;
        let _permit = disk.metadata_permit().await;
        let written = segment::write_indexes(disk, &self.dir, end.base_offset, &mut end.indexes).await;
        written.map_err(SealError::Indexes)
    }

    /// Trims a segment's log file and makes it durable. The file is not held any longer than that takes: others may wait
    /// for its place.
    async fn end_log_file(&self, end: &Sealing, failed_syncs: u64) -> Result<(), DiskError> {
        let file = self.unsealed_file(end.base_offset, &end.readers).await?;
        file.truncate(end.size_bytes).await?;
        file.sync().await?;
        // Before its indexes say that the segment is whole.
        self.check_syncs(failed_syncs)
    }

    /// Puts down that something happened now.
    pub(super) fn note(&self, kind: EventKind) {
        self.state.borrow_mut().note(self.context.clock.now(), kind);
    }

    /// Counts the oldest closing segment among the sealed ones.
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

    /// Records durably what `change` makes of the checkpoint.
    pub(super) async fn write_checkpoint(
        &self,
        change: impl FnOnce(&mut checkpoint::Checkpoint),
    ) -> Result<(), DiskError> {
        let _alone = self.checkpointing.lock().await;
        let next = {
            let mut next = self.state.borrow().checkpoint;
            change(&mut next);
            // Retention deletes sealed segments only, also such whose own checkpoint has failed.
            next.recovery_offset = next.recovery_offset.max(next.log_start_offset);
            // Another attempt goes to the same slot, as the other holds the last good one.
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
        // Nobody sees a start of the log that a crash would take back.
        self.state.borrow_mut().checkpoint = next;
        self.is_open_recorded.set(true);
        Ok(())
    }

    /// Records durably what recovery has to know of the appends since this open: their epoch, the boot of the machine, and
    /// how much may be in flight. Called before the first segment gets its name, so that no batch lies in one before. A log
    /// that nobody appends to is opened and closed without a write.
    async fn record_open(&self) -> Result<(), DiskError> {
        if self.is_open_recorded.get() { Ok(()) } else { self.write_checkpoint(|_| {}).await }
    }

    /// Ends the log cleanly: seals the last segment, so that the next open has nothing to scan. Call it once
    /// [`Log::is_idle`] holds and no background work runs.
    ///
    /// # Errors
    /// The log has failed, or sealing does now. Acked records are as durable as they were.
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
        self.leave_spare().await?;
        self.remove_empty_segments().await
    }

    /// A segment that took no batch leaves no file behind.
    async fn remove_empty_segments(&self) -> Result<(), DiskError> {
        let empty: Vec<i64> = {
            let mut state = self.state.borrow_mut();
            let bases = state.sealed.iter().filter(|sealed| sealed.next_offset == sealed.base_offset);
            let bases = bases.map(|sealed| sealed.base_offset).collect();
            state.sealed.retain(|sealed| sealed.next_offset > sealed.base_offset);
            bases
        };
        for base_offset in empty {
            segment_files_removed(&self.context.disk, &self.dir, base_offset).await?;
        }
        Ok(())
    }

    pub(super) fn fail(&self, error: DiskError) {
        let mut state = self.state.borrow_mut();
        state.latch(error);
        state.collect_acks();
    }
}

/// Removes a segment's three files, those that exist.
pub(super) async fn remove_segment_files<D: Disk>(
    disk: &D,
    dir: &std::path::Path,
    base_offset: i64,
) -> Result<(), DiskError> {
    match disk.remove_file(&segment::log_path(dir, base_offset)).await {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    segment::remove_indexes(disk, dir, base_offset).await
}

/// Removes a segment's three files, those that exist, and makes that durable.
pub(super) async fn segment_files_removed<D: Disk>(
    disk: &D,
    dir: &std::path::Path,
    base_offset: i64,
) -> Result<(), DiskError> {
    remove_segment_files(disk, dir, base_offset).await?;
    disk.sync_dir(dir).await
}

impl<F> Closing<F> {
    /// Stream position after its last batch.
    pub(super) const fn end(&self) -> u64 {
        self.active.stream_base + self.size_bytes
    }
}
