//! Background work of a log: the next segment's file, rolling to it, and sealing the one before. Off the ack path, but
//! for the rename that gives a segment its name.

use super::files::{FileName, OpenFile};
use super::space::is_passing;
use super::spare_file::Spare;
use super::state::{Active, Readers, State};
use super::work::Work;
use super::{Log, Wants};
use crate::buffer::BLOCK_BYTES;
use crate::clock::Clock;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::DiskError;
use crate::events::EventKind;
use crate::num::align_up;
use crate::segment::{self, Indexes};
use crate::types::{Durability, Preallocate};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

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
        !is_behind && !matches!(state.spare, Spare::Preparing(_))
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

    /// Puts down that something happened now.
    pub(super) fn note(&self, kind: EventKind) {
        self.state.borrow_mut().note(self.context.clock.now(), kind);
    }

    /// Records durably what recovery has to know of the appends since this open: their epoch, the boot of the machine, and
    /// how much may be in flight. Called before the first segment gets its name, so that no batch lies in one before. A log
    /// that nobody appends to is opened and closed without a write.
    async fn record_open(&self) -> Result<(), DiskError> {
        if self.is_open_recorded.get() { Ok(()) } else { self.write_checkpoint(|_| {}).await }
    }

    pub(super) fn fail(&self, error: DiskError) {
        let mut state = self.state.borrow_mut();
        state.latch(error);
        state.collect_acks();
    }
}
