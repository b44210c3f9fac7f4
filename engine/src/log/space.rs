//! A full disk: appends are refused and what was not written is cut off, until there is space again.
//!
//! ```text
//! a write finds no space ─► Draining ─► Cutting ─► Waiting ─► a segment could be made: appends go on
//! a roll finds no space  ────────────────────────────┘
//! ```
//!
//! Nothing that was acked as written or synced is touched, and nothing that was refused ever comes back: producers hear of
//! it only once the files end where the log does. Fetches and retention go on meanwhile. A failed sync is another matter:
//! it latches the log, whatever the reason.

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

/// Whether an error says that the disk is full and nothing worse. Of a sync it says that bytes may be lost.
fn is_only_full(error: &DiskError) -> bool {
    error.is_no_space() && !matches!(error.op, DiskOp::Sync | DiskOp::SyncDir)
}

/// Whether the operation can be tried again later: there was no space, or no descriptor, for it.
pub(super) fn is_passing(error: &DiskError) -> bool {
    is_only_full(error) || error.is_too_many_open()
}

impl<D: Disk, C: Clock, A> Log<D, C, A> {
    /// The time at which the owner calls [`Log::retry`], if background work has found the disk full.
    pub fn retry_due(&self) -> Option<Instant> {
        self.postponed.next_end()
    }

    /// Lets background work that found the disk full try again, where it has waited for 100 ms; whether there is any. To
    /// be called at [`Log::retry_due`]: nothing else tells that somebody made room.
    pub fn retry(&self) -> bool {
        self.postponed.end_due(|| self.context.clock.now())
    }

    /// What appends are refused with, while the disk is full.
    pub fn no_space(&self) -> Option<DiskError> {
        self.state.borrow().no_space()
    }

    /// Background work has failed: for want of space or of a descriptor it is done again later, else the log is latched.
    pub(super) fn work_failed(&self, work: Work, error: DiskError) {
        if is_passing(&error) {
            self.postponed.postpone(work, self.context.clock.now());
        } else {
            self.fail(error);
        }
    }

    /// No segment could be made. What was set aside for it is given back.
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

    /// A write has failed: for want of space the log is cut off before it, else it is latched.
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

    /// Cuts the log's files off behind the last whole batch written, and refuses the appends beyond. An error for want of
    /// space is tried again later, any other latches the log.
    pub async fn cut(self: Rc<Self>) {
        if self.cutting.replace(true) {
            return;
        }
        if let Err(error) = self.cut_off().await {
            self.work_failed(Work::Cut, error);
        }
        self.cutting.set(false);
    }

    /// What is left to cut off before the log may be closed.
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
        // From the last to the first, so that a crash in between leaves no gap that was not there before.
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
        // What a segment without extents could be made of would be full at its first write.
        self.postponed.postpone(Work::Roll, self.context.clock.now());
        Ok(())
    }

    /// Makes the last segment end with the log, durably; its indexes are made anew, as recovery would.
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
            let reason = "what was written reads differently";
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

    /// What appends are refused with, while the disk is full.
    pub(super) fn no_space(&self) -> Option<DiskError> {
        self.full.as_ref().map(|full| full.error.clone())
    }

    /// Whether appends before are not answered yet: those after them wait, so that answers come in order.
    pub(super) fn has_unanswered_appends(&self) -> bool {
        let is_written = self.progress.written_offset() == self.tail.next_offset();
        self.is_cut_under_way() || !is_written || !self.acks.is_empty()
    }

    /// Whether the log may be cut off now, as far as its writes go.
    pub(super) fn is_cut_due(&self) -> bool {
        self.is_cut_under_way() && self.progress.is_quiet()
    }

    /// A new segment takes appends.
    pub(super) fn found_space(&mut self) {
        self.full.take_if(|full| full.stage == Stage::Waiting);
    }

    /// Who was to be refused.
    pub(super) fn take_refused(&mut self) -> Vec<A> {
        self.full.take().map(|full| full.refused).unwrap_or_default()
    }

    /// Ends the log in memory with the last whole batch written; what its files hold beyond.
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
    /// Ends the segment at `next_offset` and stream position `end`; its base offset, if it went on beyond.
    fn cut(&mut self, end: u64, next_offset: i64) -> Option<i64> {
        if self.next_offset <= next_offset {
            return None;
        }
        self.next_offset = next_offset;
        self.size_bytes = end - self.active.stream_base;
        Some(self.active.base_offset)
    }
}
