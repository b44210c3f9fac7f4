//! A full disk: the log refuses appends and cuts off what was not written, until there is space again.
//!
//! ```text
//! a write finds no space ─► Draining ─► Cutting ─► Waiting ─► a segment could be made: appends are taken again
//! a roll finds no space  ────────────────────────────┘
//! ```
//!
//! Records that were acked as written or synced stay. Refused records never come back: producers get the error only
//! once the files end where the log ends. Fetches and retention continue meanwhile. A failed sync is different: it
//! latches the log, even if the disk was full.

use super::files::FileName;
use super::state::{Closing, State};
use super::tail::Tail;
use super::work::{Excess, Full, Stage, Work};
use super::{FlightId, Log};
use crate::clock::Clock;
use crate::disk::{Disk, DiskFile};
use crate::error::{AppendError, DiskError, DiskOp};
use crate::segment;
use std::io;
use std::rc::Rc;
use std::time::Instant;

/// Whether an error says only that the disk is full. A sync with that error may have lost bytes, so it does not count.
fn is_only_full(error: &DiskError) -> bool {
    error.is_no_space() && !matches!(error.op, DiskOp::Sync | DiskOp::SyncDir)
}

/// Whether the operation can be tried again later: it failed for lack of space or of a descriptor.
pub(super) fn is_passing(error: &DiskError) -> bool {
    is_only_full(error) || error.is_too_many_open()
}

impl<D: Disk, C: Clock, A> Log<D, C, A> {
    /// The time at which the owner has to call [`Log::retry`]. `None` if no background work waits.
    pub fn retry_due(&self) -> Option<Instant> {
        self.postponed.next_end()
    }

    /// Lets background work try again that has waited long enough: 100 ms after it found the disk full, or 1 s to 60 s
    /// after retention could not read a file. Returns whether there is any. Call it at [`Log::retry_due`], because no
    /// event says that the disk has space again.
    pub fn retry(&self) -> bool {
        self.postponed.end_due(|| self.context.clock.now())
    }

    /// The error that appends get while the disk is full.
    pub fn no_space(&self) -> Option<DiskError> {
        self.state.borrow().no_space()
    }

    /// Takes the failure of background work. After a lack of space or of a descriptor the work is tried again later;
    /// any other error latches the log.
    pub(super) fn work_failed(&self, work: Work, error: DiskError) {
        if is_passing(&error) {
            self.postponed.postpone(work, self.context.clock.now());
        } else {
            self.fail(error);
        }
    }

    /// Takes the failure to make a segment. Removes the file that was made for it.
    pub(super) async fn roll_failed(&self, error: DiskError) {
        let is_passing = is_passing(&error);
        self.work_failed(Work::Roll, error.clone());
        if is_passing {
            let _ = self.context.disk.remove_file(&self.dir.join(segment::PREPARING)).await;
            let mut state = self.state.borrow_mut();
            state.prepared = None;
            state.files.remove(FileName::Prepared);
            if state.roll_wanted && state.full.is_none() {
                state.full = Some(Full { error, stage: Stage::Waiting, refused: Vec::new() });
            }
        }
    }

    /// Takes the failure of a write. After a lack of space the log is cut off before that write; any other error
    /// latches it.
    pub(super) fn write_failed(&self, id: FlightId, error: DiskError) {
        let mut state = self.state.borrow_mut();
        if state.failed.is_none() && is_only_full(&error) {
            state.progress.write_failed(id);
            let full = Full { error, stage: Stage::Draining, refused: Vec::new() };
            state.full.get_or_insert(full).stage = Stage::Draining;
        } else {
            state.latch(error);
        }
    }

    /// Cuts the log's files off behind the last whole batch that was written, and refuses the appends beyond. After a
    /// lack of space it is tried again later; any other error latches the log.
    pub async fn cut(self: Rc<Self>) {
        if self.cutting.replace(true) {
            return;
        }
        if let Err(error) = self.cut_off().await {
            self.work_failed(Work::Cut, error);
        }
        self.cutting.set(false);
    }

    /// Finishes a cut that is under way, so that the log can be closed.
    pub(super) async fn end_cut(&self) -> Result<(), DiskError> {
        let is_under_way = self.state.borrow().full.as_ref().is_some_and(|full| full.stage != Stage::Waiting);
        if is_under_way { self.cut_off().await } else { Ok(()) }
    }

    async fn cut_off(&self) -> Result<(), DiskError> {
        let excess = self.state.borrow_mut().cut();
        self.cuts.set(self.cuts.get() + 1);
        if let Some(base_offset) = excess.torn {
            self.cut_segment(base_offset).await?;
        }
        // The order is from the last to the first, so that a crash in between leaves no new gap.
        for base_offset in excess.discarded.iter().rev().copied() {
            segment::remove_files_durably(&self.context.disk, &self.dir, base_offset).await?;
        }
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if let Some(full) = &mut state.full {
            full.stage = Stage::Waiting;
            let refused = full.refused.drain(..);
            state.acks.extend(refused.map(|ack| (ack, Err(AppendError::no_segment(full.error.clone())))));
        }
        state.roll_wanted = true;
        // Making a segment may need no space, and then its first write would find the disk full again. So the roll
        // waits.
        self.postponed.postpone(Work::Roll, self.context.clock.now());
        Ok(())
    }

    /// Makes the file of the last segment end where the log ends, durably. Its indexes are made again from its batches,
    /// as recovery does.
    async fn cut_segment(&self, base_offset: i64) -> Result<(), DiskError> {
        let failed_syncs = self.failed_syncs_before();
        let (readers, size_bytes, next_offset) = {
            let state = self.state.borrow();
            let torn = state.closing.back().expect("nothing is sealed while the log is cut off");
            (torn.active.readers.clone(), torn.size_bytes, torn.next_offset)
        };
        let file = self.unsealed_file(base_offset, &readers).await?;
        file.truncate(size_bytes).await?;
        file.sync().await?;
        self.check_syncs(failed_syncs)?;
        let request = self.scan_request(base_offset, i32::MIN);
        let scanned = segment::scan(&*file, &self.context.arena, &request).await?;
        if (scanned.valid_bytes, scanned.next_offset) != (size_bytes, next_offset) {
            let reason = "the bytes read are not those that were written";
            let source = io::Error::new(io::ErrorKind::InvalidData, reason);
            let path = segment::log_path(&self.dir, base_offset);
            return Err(DiskError::new(DiskOp::Read, &path, scanned.valid_bytes, source));
        }
        if let Some(torn) = self.state.borrow_mut().closing.back_mut() {
            torn.active.indexes = scanned.indexes;
        }
        Ok(())
    }
}

impl<F: DiskFile, A> State<F, A> {
    /// Whether a full disk keeps writes, rolls and seals from beginning.
    pub(super) fn is_cut_under_way(&self) -> bool {
        self.full.as_ref().is_some_and(|full| full.stage != Stage::Waiting)
    }

    /// The error that appends get while the disk is full.
    pub(super) fn no_space(&self) -> Option<DiskError> {
        self.full.as_ref().map(|full| full.error.clone())
    }

    /// Whether earlier appends are not answered yet. Later ones wait for them, so that answers come in order.
    pub(super) fn has_unanswered_appends(&self) -> bool {
        let is_written = self.progress.written_offset() == self.tail.next_offset();
        self.is_cut_under_way() || !is_written || !self.acks.is_empty()
    }

    /// Whether a cut is needed and no write or sync is in flight.
    pub(super) fn is_cut_due(&self) -> bool {
        self.is_cut_under_way() && self.progress.is_quiet()
    }

    /// Ends the state of a full disk, because a new segment takes appends.
    pub(super) fn found_space(&mut self) {
        self.full.take_if(|full| full.stage == Stage::Waiting);
    }

    /// Takes the acks of the appends that were cut off and not answered yet.
    pub(super) fn take_refused(&mut self) -> Vec<A> {
        self.full.take().map(|full| full.refused).unwrap_or_default()
    }

    /// Ends the log in memory with the last whole batch that was written. Returns the parts of its files that lie
    /// beyond.
    fn cut(&mut self) -> Excess {
        match &self.full {
            Some(Full { stage: Stage::Cutting(excess), .. }) => return excess.clone(),
            Some(Full { stage: Stage::Draining, .. }) => {}
            _ => return Excess { torn: None, discarded: Vec::new() },
        }
        self.collect_acks();
        self.close_active();
        let (end, next_offset) = self.progress.written_end();
        let refused = self.progress.cut();
        let kept = self.closing.partition_point(|closing| closing.active.base_offset < next_offset);
        let discarded: Vec<i64> =
            self.closing.drain(kept..).map(|closing| closing.active.base_offset).collect();
        discarded.iter().for_each(|base_offset| self.files.remove(FileName::Segment(*base_offset)));
        let torn = self.closing.back_mut().and_then(|last| last.cut(end, next_offset));
        self.tail = Tail::new(next_offset);
        self.visible_floor = self.visible_floor.min(next_offset);
        self.read_cache.clear();
        self.writing_segment = next_offset;
        let excess = Excess { torn, discarded };
        if let Some(full) = &mut self.full {
            full.refused = refused;
            full.stage = Stage::Cutting(excess.clone());
        }
        excess
    }
}

impl<F> Closing<F> {
    /// Ends the segment at `next_offset`, which is stream position `end`. Returns its base offset if it was longer.
    fn cut(&mut self, end: u64, next_offset: i64) -> Option<i64> {
        if self.next_offset <= next_offset {
            return None;
        }
        self.next_offset = next_offset;
        self.size_bytes = end - self.active.stream_base;
        Some(self.active.base_offset)
    }
}
