//! Rolls: the file of the next segment, and the change to it. Also the choice of the background work that is due. No
//! ack waits for any of this, except for the rename that gives a segment its name.

use crate::buffer::BLOCK_BYTES;
use crate::clock::Clock;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::DiskError;
use crate::events::EventKind;
use crate::log::files::{FileName, OpenFile};
use crate::log::space::is_passing;
use crate::log::spare_file::Spare;
use crate::log::state::{Active, Readers, State};
use crate::log::work::Work;
use crate::log::{Log, Wants};
use crate::num::align_up;
use crate::segment::{self, Indexes};
use crate::types::{Durability, Preallocate};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

impl<D: Disk, C: Clock, A> Log<D, C, A> {
    /// Returns the background work that is due and not under way.
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
            && self.may_make_file()
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

    /// Base offset of the segment that takes appends; `None` before the first append, and during a roll.
    pub fn active_base_offset(&self) -> Option<i64> {
        self.state.borrow().active.as_ref().map(|active| active.base_offset)
    }

    /// Whether the active segment's first batch is older than `segment_ms`.
    pub(in crate::log) fn is_aged(&self, state: &State<D::File, A>) -> bool {
        let first_append = state.active.as_ref().and_then(|active| active.first_append.get());
        let (Some(segment_ms), Some(first_append)) = (self.config().segment_ms, first_append) else {
            return false;
        };
        self.context.clock.now().saturating_duration_since(first_append) >= Duration::from_millis(segment_ms)
    }

    /// Whether another segment may begin. While retention is behind, the next segment waits, so that the log's files
    /// take at most `retention_bytes` and two segments. It also waits while its spare is [`Spare::Preparing`].
    fn may_roll(&self, state: &State<D::File, A>) -> bool {
        let config = self.config();
        let is_held_up = [Work::Seal, Work::Retain].iter().any(|work| !self.postponed.allows(*work));
        let Some(retention_bytes) = config.retention_bytes.filter(|_| !is_held_up) else {
            // Roll even if the disk is full: only the roll's failure tells appends about it.
            return true;
        };
        let leaving_bytes = self.leaving_bytes.get();
        let newer_bytes: u64 = self.full_segments(state).skip(1).sum();
        let is_more = self.held_bytes(state) > retention_bytes.saturating_add(config.segment_bytes);
        // Without this condition the log could wait for ever. Retention deletes the oldest segment only when the newer
        // ones hold `retention_bytes`, and the oldest may be larger than all of them.
        let will_be_less = leaving_bytes > 0 || newer_bytes >= retention_bytes;
        let is_behind = is_more && will_be_less;
        !is_behind && !matches!(state.spare, Spare::Preparing(_))
    }

    /// Upper bounds of the sizes of the full segments' files, bytes, oldest first. A file has its largest size until it
    /// is sealed.
    fn full_segments<'a>(
        &self,
        state: &'a State<D::File, A>,
    ) -> impl Iterator<Item = u64> + use<'a, D, C, A> {
        let segment_bytes = self.config().segment_bytes;
        let sealed = state.sealed.iter().map(move |sealed| sealed.size_bytes.unwrap_or(segment_bytes));
        let closing = state.closing.iter();
        sealed.chain(closing.map(|closing| align_up(closing.active.segment_bytes, BLOCK_BYTES as u64)))
    }

    /// Upper bound of the bytes that the files of full segments take. Files that retention has still to remove count
    /// too.
    pub(in crate::log) fn held_bytes(&self, state: &State<D::File, A>) -> u64 {
        self.leaving_bytes.get() + self.full_segments(state).sum::<u64>()
    }

    /// Whether appends wait for a segment. If not, they wait for memory.
    pub fn wants_roll(&self) -> bool {
        let state = self.state.borrow();
        state.roll_wanted || state.full.is_some()
    }

    /// Begins the next segment if one is wanted, or makes its file ahead. If there is no space for the file, appends
    /// are refused until there is. Any other failure latches the log.
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
        // An ack for a written record survives a kill once the rename is done. The segment's first sync, or its seal,
        // makes the name durable. In a synced topic the first write already needs the name, so the name is synced here.
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

    /// Makes the name of the new segment durable. If that has to be tried again, this removes the file. Otherwise a
    /// full disk could end the log at a lower offset, and nothing would remove the file of that name from the middle of
    /// the log.
    async fn sync_new_name(&self, base_offset: i64) -> Result<(), DiskError> {
        let synced = self.context.disk.sync_dir(&self.dir).await;
        if synced.as_ref().is_err_and(is_passing) {
            self.context.disk.remove_file(&segment::log_path(&self.dir, base_offset)).await?;
        }
        synced
    }

    /// Gives the file of the next segment its name. Returns the file and the position below which its extents are
    /// durably written. `None` if no roll is wanted or allowed, and the file was at most made ahead.
    async fn next_file(&self) -> Result<Option<(OpenFile<D::File>, u64)>, DiskError> {
        if self.state.borrow().roll_wanted {
            // Retention may have run since the roll was called for.
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
        // A file that was made before a sync failed may have lost its extents, so it is made again.
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

    /// Size of a segment's file until it is sealed, bytes.
    pub(in crate::log) fn segment_file_bytes(&self) -> u64 {
        align_up(self.config().segment_bytes, BLOCK_BYTES as u64)
    }

    /// Makes the file of the next segment and reserves its extents.
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

    /// Records an event with the present time.
    pub(in crate::log) fn note(&self, kind: EventKind) {
        self.state.borrow_mut().note(self.context.clock.now(), kind);
    }

    /// Records durably what recovery needs to know about the appends of this open: their epoch, the boot of the
    /// machine, and the bytes that may be in flight. It is called before the first segment gets its name, so that it
    /// precedes every batch. A log without appends is opened and closed without a write.
    async fn record_open(&self) -> Result<(), DiskError> {
        if self.is_open_recorded.get() { Ok(()) } else { self.write_checkpoint(|_| {}).await }
    }

    pub(in crate::log) fn fail(&self, error: DiskError) {
        let mut state = self.state.borrow_mut();
        state.latch(error);
        state.collect_acks();
    }
}
