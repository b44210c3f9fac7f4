//! The spare of a log that recycles segments: the file that the next segment will use. It is a segment file that
//! retention has freed, or a new file. Zeros are written from the end of its data to the full size of a segment. The old
//! records in a freed file stay until appends overwrite them; recovery tells them from new ones by offset and leader
//! epoch (`log/rules.rs`). Each later append overwrites blocks that are written already. So the file system has no size
//! and no extent to change, and a synced append costs only its data and a flush.
//!
//! A log recycles ([`Log::is_recycling`]) with `preallocate: auto` and `recycle`. Only with `recycle` does it also fill
//! new files, while retention has freed none, because that writes each byte of the file twice.
//!
//! No append waits for this work. If filling a file fails, the log has no spare until after its next roll.
//!
//! ```text
//! <base>.log ── retention ──► next.filling ── zeros to the end, synced ──► next.spare ── roll ──► <new base>.log
//! (new file) ── created ────►
//! ```
//!
//! The directory is synced after the first rename, before any byte of the file is overwritten. A log has one spare at
//! most. A roll (the log begins its next segment) may take a spare that is not filled to its end. The file system then
//! reserves the rest. A spare that is still [`Spare::Preparing`], without a file, cannot be taken.
//!
//! Another file may be made before a roll, which this module does not make: the file *prepared* for the next roll
//! (`roll.rs`). It is used where there is no spare.

use crate::buffer::{Arena, BLOCK_BYTES, CHUNK_BYTES_MAX, Slice};
use crate::clock::Clock;
use crate::disk::{DirEntry, Disk, DiskFile, OpenMode, WriteData, WriteSync};
use crate::error::{DiskError, DiskOp};
use crate::events::EventKind;
use crate::log::Log;
use crate::log::files::{FileName, OpenFile};
use crate::log::spare_file::{Spare, SpareFile, SpareNumber};
use crate::log::state::{Sealed, SealedBy, State};
use crate::num::{align_down, usize_of};
use crate::segment;
use crate::types::Preallocate;
use futures_util::lock::Mutex;
use std::cell::Cell;
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;

/// The state of the work on the spare.
#[derive(Default)]
pub(in crate::log) struct SpareWork {
    /// Whether [`Log::prepare_spare`] is running.
    is_running: Cell<bool>,
    /// Lock on the spare's file. It is held during each write of zeros and during each rename, so that a roll cannot take
    /// the file meanwhile.
    file_lock: Mutex<()>,
    /// Number of the spare that was begun last. After a wait, the work compares numbers to learn whether a roll has taken
    /// its spare.
    last_number: Cell<SpareNumber>,
    /// Whether making or filling the last spare has failed. The next roll clears this, so that the log tries again.
    has_failed: Cell<bool>,
    /// Whether the log's files, with one more, take at most `retention_bytes` plus the size of two segments.
    is_new_file_allowed: Cell<bool>,
}

impl SpareWork {
    fn next_number(&self) -> SpareNumber {
        self.last_number.set(self.last_number.get() + 1);
        self.last_number.get()
    }
}

/// The next step of filling a spare.
enum Fill {
    /// Write these zeros at this position.
    Write(u64, Slice),
    /// Sync the file: it is written to its end.
    Sync,
    /// Do nothing: enough is filled for now ([`SpareFile::is_due`]), the log has failed, or a roll has taken the spare.
    Nothing,
}

impl<D: Disk, C: Clock, A> Log<D, C, A> {
    pub(in crate::log) fn is_recycling(&self) -> bool {
        self.config().is_recycling()
    }

    /// Whether the log also fills new files, for the time in which retention has freed none.
    pub(in crate::log) fn fills_new_spares(&self) -> bool {
        self.config().preallocate == Preallocate::Recycle
    }

    /// Whether there is a spare, or retention will free a segment before the active one is full (`retention_at` is the size of
    /// the active segment at which retention runs next).
    pub(in crate::log) fn expects_spare(&self, state: &State<D::File, A>) -> bool {
        let segment_bytes = state.active.as_ref().map_or(0, |active| active.segment_bytes);
        let will_free =
            self.retention_due.get() || self.retaining.get() || self.retention_at.get() < segment_bytes;
        self.is_recycling() && (!matches!(state.spare, Spare::None) || will_free)
    }

    /// Whether the limits on the log's size allow one more file before the next roll: a new spare, or the file prepared for the
    /// roll. This is the answer of the last [`Log::update_new_file_allowed`].
    pub(in crate::log) fn may_make_file(&self) -> bool {
        self.spare_work.is_new_file_allowed.get()
    }

    /// Whether [`Log::prepare_spare`] has something to do.
    pub(in crate::log) fn wants_spare(&self, state: &State<D::File, A>) -> bool {
        let work = &self.spare_work;
        if !self.is_recycling() || state.full.is_some() || work.has_failed.get() || work.is_running.get() {
            return false;
        }
        let appended_bytes = state.active_bytes();
        match &state.spare {
            Spare::None => self.should_make_spare(state),
            Spare::Filling(spare) => spare.is_due(appended_bytes),
            Spare::Preparing(_) | Spare::Ready(_) => false,
        }
    }

    /// Whether a new file should be made and filled now.
    fn should_make_spare(&self, state: &State<D::File, A>) -> bool {
        self.fills_new_spares() && state.active_bytes() > 0 && self.spare_work.is_new_file_allowed.get()
    }

    /// Computes again whether the limits on the log's size allow one more file. Call this when the log's files have changed.
    pub(in crate::log) fn update_new_file_allowed(&self, state: &State<D::File, A>) {
        self.spare_work.is_new_file_allowed.set(self.fits_with_spare(state));
    }

    /// Whether the log's files, with one spare added, take at most `retention_bytes` plus the size of two segments. The active
    /// segment's file and a prepared file count with their full size. If the log has no active segment and no roll is making
    /// one, that segment does not count, because it will use the spare as its file.
    fn fits_with_spare(&self, state: &State<D::File, A>) -> bool {
        let Some(retention_bytes) = self.config().retention_bytes else { return true };
        let is_made_ahead = state.prepared.is_some() || self.is_preparing.get();
        let has_active = state.active.is_some() || (self.rolling.get() && state.roll_wanted);
        let files = u64::from(has_active) + u64::from(is_made_ahead) + 1;
        let segment_bytes = self.segment_file_bytes();
        self.held_bytes(state) + files * segment_bytes <= retention_bytes.saturating_add(2 * segment_bytes)
    }

    /// Reserves a segment that retention has just removed from the log, to be the next spare. Returns the spare's number, or
    /// `None` if the segment cannot be used. The conditions: no reader has it open, this open of the log has sealed it, its
    /// file is not larger than a segment's file is now, there is no other spare, and the size limit allows one.
    pub(in crate::log) fn claim_freed(
        &self,
        state: &mut State<D::File, A>,
        freed: &Sealed,
    ) -> Option<SpareNumber> {
        let is_suitable = self.is_recycling()
            && matches!(state.spare, Spare::None)
            && freed.sealed_by == SealedBy::Log
            && freed.size_bytes.is_some_and(|size_bytes| size_bytes <= self.segment_file_bytes())
            && self.fits_with_spare(state);
        if !is_suitable {
            return None;
        }
        state.read_cache.poll_reads(freed.base_offset);
        if !freed.readers.are_none() {
            return None;
        }
        let number = self.spare_work.next_number();
        state.spare = Spare::Preparing(number);
        Some(number)
    }

    /// Makes a spare of the freed segment that [`Log::claim_freed`] has taken. If the segment's file is missing, there
    /// is no spare; that is no error.
    pub(in crate::log) async fn recycle(
        &self,
        base_offset: i64,
        number: SpareNumber,
    ) -> Result<(), DiskError> {
        let recycled = self.recycled(base_offset, number).await;
        self.state.borrow_mut().spare = match &recycled {
            Ok(Some(spare)) => Spare::Filling(*spare),
            Ok(None) | Err(_) => Spare::None,
        };
        recycled.map(drop)
    }

    async fn recycled(&self, base_offset: i64, number: SpareNumber) -> Result<Option<SpareFile>, DiskError> {
        let disk = &self.context.disk;
        let failed_syncs = self.failures.count();
        segment::remove_indexes(disk, &self.dir, base_offset).await?;
        let path = self.dir.join(segment::FILLING);
        let is_there = match disk.rename(&segment::log_path(&self.dir, base_offset), &path).await {
            Ok(()) => true,
            // Another process has removed the file. Fetches of this segment report that. Nothing is left to free here.
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error),
        };
        // This comes before anything is overwritten. Otherwise the old name could show the new bytes after a power
        // loss.
        disk.sync_dir(&self.dir).await?;
        self.check_syncs(failed_syncs)?;
        if !is_there {
            return Ok(None);
        }
        let spare = self.freed_spare(&path, number, failed_syncs).await;
        if spare.is_err() {
            // If the file cannot be opened, the log continues without a spare.
            disk.remove_file(&path).await?;
        }
        Ok(spare.ok())
    }

    /// Opens the file of a freed segment at `path`, so that it can be filled.
    async fn freed_spare(
        &self,
        path: &Path,
        number: SpareNumber,
        failed_syncs: u64,
    ) -> Result<SpareFile, DiskError> {
        let file = self.open_file(path, OpenMode::ReadWrite).await?;
        // All bytes of a sealed segment are synced.
        let synced_to = align_down(file.size().await?, BLOCK_BYTES as u64);
        let written_to = self.fill_last_block(&file, path).await?;
        self.state.borrow().files.put(FileName::Spare, file);
        // The segment size may have become smaller since `claim_freed`. Then `take_spare` removes this file.
        let size_bytes = self.segment_file_bytes().max(written_to);
        Ok(SpareFile { number, size_bytes, written_to, synced_to, failed_syncs })
    }

    /// Writes the last block of a freed file again, with zeros behind its data. So the last batch in the file stays whole, and a
    /// search behind the end of a log steps over it instead of looking into its values. Returns the position behind that block.
    async fn fill_last_block(&self, file: &OpenFile<D::File>, path: &Path) -> Result<u64, DiskError> {
        let bytes = file.size().await?;
        let position = align_down(bytes, BLOCK_BYTES as u64);
        let data_bytes = usize_of(bytes - position);
        if data_bytes == 0 {
            return Ok(position);
        }
        let no_memory = || DiskError::new(DiskOp::Read, path, position, ErrorKind::OutOfMemory.into());
        let memory = |arena: &Arena| arena.allocate_read(BLOCK_BYTES).zip(arena.allocate(BLOCK_BYTES));
        // Appends may have used up the arena. That is no reason to go without a spare, so the block gets memory of its own then.
        let own = || Arena::new(CHUNK_BYTES_MAX).ok().as_ref().and_then(memory);
        let (buffer, mut block) = memory(&self.context.arena).or_else(own).ok_or_else(no_memory)?;
        let (buffer, read_bytes) = file.read(buffer, position, BLOCK_BYTES).await?;
        let data = buffer.freeze(read_bytes);
        block.append(&data[..data_bytes.min(read_bytes)]);
        block.pad_to_block();
        file.write(WriteData::Slice(block.slice(0..BLOCK_BYTES)), position, WriteSync::None).await?;
        Ok(position + BLOCK_BYTES as u64)
    }

    /// Makes a spare or fills one, if there is something to do. If this fails, the log has no spare until after its next roll.
    pub async fn prepare_spare(self: Rc<Self>) {
        if self.spare_work.is_running.replace(true) {
            return;
        }
        let (number, is_new) = {
            let mut state = self.state.borrow_mut();
            let held = state.spare.number();
            // Since this work was scheduled, a roll may have taken the spare.
            if held.is_none() && !self.should_make_spare(&state) {
                self.spare_work.is_running.set(false);
                return;
            }
            let number = held.unwrap_or_else(|| self.spare_work.next_number());
            if held.is_none() {
                state.spare = Spare::Preparing(number);
            }
            (number, held.is_none())
        };
        let made = if is_new { self.make_spare(number).await } else { Ok(()) };
        let filled = match made {
            Ok(()) => self.fill_spare(number).await,
            Err(error) => Err(error),
        };
        if filled.is_err() {
            self.drop_spare(number).await;
        }
        self.spare_work.is_running.set(false);
    }

    async fn make_spare(&self, number: SpareNumber) -> Result<(), DiskError> {
        let path = self.dir.join(segment::FILLING);
        let failed_syncs = self.failures.count();
        let file = self.open_file(&path, OpenMode::CreateNew).await?;
        let size_bytes = self.segment_file_bytes();
        let spare = SpareFile { number, size_bytes, written_to: 0, synced_to: 0, failed_syncs };
        let mut state = self.state.borrow_mut();
        state.files.put(FileName::Spare, file);
        state.spare = Spare::Filling(spare);
        Ok(())
    }

    /// Writes zeros until the spare is ready, or enough is filled for now. In a shard only one log at a time writes zeros, and
    /// only one chunk; then another log gets its turn.
    async fn fill_spare(&self, number: SpareNumber) -> Result<(), DiskError> {
        loop {
            let turn = self.context.limits.filling.lock().await;
            let file_guard = self.spare_work.file_lock.lock().await;
            match self.next_fill(number) {
                Fill::Write(position, zeros) => {
                    let file = self.spare_file(segment::FILLING).await?;
                    let written_to = position + zeros.len() as u64;
                    file.write(WriteData::Slice(zeros), position, WriteSync::None).await?;
                    if let Spare::Filling(spare) = &mut self.state.borrow_mut().spare {
                        spare.written_to = written_to;
                    }
                }
                Fill::Sync => break self.finish_spare(number, (turn, file_guard)).await,
                Fill::Nothing => break Ok(()),
            }
        }
    }

    fn next_fill(&self, number: SpareNumber) -> Fill {
        let state = self.state.borrow();
        let Spare::Filling(spare) = &state.spare else { return Fill::Nothing };
        if spare.number != number || state.failed.is_some() || !spare.is_due(state.active_bytes()) {
            return Fill::Nothing;
        }
        let left_bytes = usize_of(spare.size_bytes - spare.written_to);
        if left_bytes == 0 {
            return Fill::Sync;
        }
        let zeros = self.context.arena.zeros();
        let zeros = zeros.part(0..left_bytes.min(zeros.len()));
        Fill::Write(spare.written_to, zeros)
    }

    /// Syncs the filled file, then gives it the name of a ready spare. `guards`, the two locks of [`Log::fill_spare`], are
    /// released during the sync, so that a roll need not wait for it. If a roll takes the spare meanwhile, nothing is renamed.
    async fn finish_spare<G>(&self, number: SpareNumber, guards: G) -> Result<(), DiskError> {
        let file = self.spare_file(segment::FILLING).await?;
        drop(guards);
        file.sync().await?;
        self.note(EventKind::Sync);
        let _alone = self.spare_work.file_lock.lock().await;
        let failed_syncs = match &self.state.borrow().spare {
            Spare::Filling(spare) if spare.number == number => spare.failed_syncs,
            _ => return Ok(()),
        };
        self.check_syncs(failed_syncs)?;
        let disk = &self.context.disk;
        disk.rename(&self.dir.join(segment::FILLING), &self.dir.join(segment::SPARE)).await?;
        let mut state = self.state.borrow_mut();
        if let Spare::Filling(spare) = std::mem::replace(&mut state.spare, Spare::None) {
            let synced_to = spare.written_to;
            state.spare = Spare::Ready(SpareFile { synced_to, ..spare });
        }
        Ok(())
    }

    /// Returns the spare's open file; opens the file `name` if none is open. The caller must hold [`SpareWork::file_lock`].
    async fn spare_file(&self, name: &str) -> Result<OpenFile<D::File>, DiskError> {
        let open = self.state.borrow().files.get(FileName::Spare);
        if let Some(file) = open {
            return Ok(file);
        }
        let file = self.open_file(&self.dir.join(name), OpenMode::ReadWrite).await?;
        self.state.borrow().files.put(FileName::Spare, file.clone());
        Ok(file)
    }

    /// Drops a spare that could not be made or filled.
    async fn drop_spare(&self, number: SpareNumber) {
        let _alone = self.spare_work.file_lock.lock().await;
        if self.state.borrow().spare.number() != Some(number) {
            return;
        }
        self.spare_work.has_failed.set(true);
        // If this fails too, the next open removes the file.
        let _ = self.context.disk.remove_file(&self.dir.join(segment::FILLING)).await;
        let mut state = self.state.borrow_mut();
        state.files.remove(FileName::Spare);
        state.spare = Spare::None;
    }

    /// Gives the spare the name of the segment that begins at `base_offset`. Returns its file, and the position up to which
    /// the file is written and synced. `None` if there is no spare that can be used.
    ///
    /// # Errors
    /// The file cannot be opened, renamed or removed.
    pub(in crate::log) async fn take_spare(
        &self,
        base_offset: i64,
    ) -> Result<Option<(OpenFile<D::File>, u64)>, DiskError> {
        self.spare_work.has_failed.set(false);
        let _alone = self.spare_work.file_lock.lock().await;
        let disk = &self.context.disk;
        let (spare, name) = match &self.state.borrow().spare {
            Spare::Filling(spare) => (*spare, segment::FILLING),
            Spare::Ready(spare) => (*spare, segment::SPARE),
            Spare::None | Spare::Preparing(_) => return Ok(None),
        };
        let file = self.spare_file(name).await?;
        {
            let mut state = self.state.borrow_mut();
            state.spare = Spare::None;
            state.files.remove(FileName::Spare);
        }
        let path = self.dir.join(name);
        // The topic's configuration may have changed since the spare was begun. After a failed sync, the device may have lost
        // bytes of the file that were not synced yet. What is not filled has to be reserved.
        let is_usable = self.is_recycling()
            && (spare.synced_to == spare.size_bytes || spare.failed_syncs == self.failures.count())
            && spare.size_bytes == self.segment_file_bytes()
            && (spare.written_to == spare.size_bytes || file.allocate(spare.size_bytes).await.is_ok());
        if !is_usable {
            disk.remove_file(&path).await?;
            return Ok(None);
        }
        disk.rename(&path, &segment::log_path(&self.dir, base_offset)).await?;
        Ok(Some((file, spare.synced_to)))
    }

    /// Takes over a spare of an earlier process, if it was ready and has the right size. Removes all other spare files.
    pub(in crate::log) async fn adopt_spare(&self, names: &[DirEntry]) -> Result<Spare, DiskError> {
        let disk = &self.context.disk;
        let is_there = |name: &str| names.iter().any(|entry| entry.name == name);
        if is_there(segment::FILLING) {
            disk.remove_file(&self.dir.join(segment::FILLING)).await?;
        }
        if !is_there(segment::SPARE) {
            return Ok(Spare::None);
        }
        let path = self.dir.join(segment::SPARE);
        let size_bytes = self.segment_file_bytes();
        if self.is_recycling() {
            let size = match self.open_file(&path, OpenMode::Read).await {
                Ok(file) => file.size().await,
                Err(error) => Err(error),
            };
            match size {
                Ok(size) if size == size_bytes => {
                    let number = self.spare_work.next_number();
                    let (written_to, synced_to) = (size_bytes, size_bytes);
                    let failed_syncs = self.failures.count();
                    return Ok(Spare::Ready(SpareFile {
                        number,
                        size_bytes,
                        written_to,
                        synced_to,
                        failed_syncs,
                    }));
                }
                Err(error) if error.is_too_many_open() => return Err(error),
                // A file of another size, or one that cannot be opened, cannot be used.
                _ => {}
            }
        }
        disk.remove_file(&path).await?;
        Ok(Spare::None)
    }

    /// Removes a spare that is not filled to its end, and syncs the directory. Called when the log closes: the next open would
    /// not continue to fill it. No other work of the log may run during this call.
    pub(in crate::log) async fn remove_unfinished_spare(&self) -> Result<(), DiskError> {
        let is_unfinished = matches!(self.state.borrow().spare, Spare::Filling(_));
        if is_unfinished {
            {
                let mut state = self.state.borrow_mut();
                state.spare = Spare::None;
                state.files.remove(FileName::Spare);
            }
            self.context.disk.remove_file(&self.dir.join(segment::FILLING)).await?;
            self.context.disk.sync_dir(&self.dir).await?;
        }
        Ok(())
    }
}
