//! Deleting the records below an offset, on a caller's request. The log's start is raised durably. Whole segments below
//! the new start are then removed or recycled by retention (`retention.rs`).

use crate::clock::Clock;
use crate::disk::Disk;
use crate::error::DeleteRecordsError;
use crate::log::Log;
use crate::log::space::is_passing;
use crate::log::work::Work;
use std::rc::Rc;

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// The reason why [`Log::delete_records`] has deleted nothing.
#[derive(Debug)]
pub enum NotDeleted {
    /// Some of the records are not written yet. Try again after the next completion.
    NotYet,
    /// The records cannot be deleted; trying again at once does not help.
    Failed(DeleteRecordsError),
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// Deletes all records below `offset`, or below the high watermark if `offset` is -1. Returns the offset at which
    /// the log begins now. If it begins there or later already, nothing changes. The deletion is durable when this
    /// returns.
    ///
    /// A start inside of a batch is possible: the batch stays, and readers leave out its first records.
    ///
    /// # Errors
    /// [`NotDeleted`]. A failed write or sync latches the log, except for a lack of space or of descriptors.
    pub async fn delete_records(self: Rc<Self>, offset: i64) -> Result<i64, NotDeleted> {
        let new_start = self.new_start(offset)?;
        let start = self.log_start_offset();
        // The start may have been read from a file that no sync has covered since, as after a kill.
        let is_durable = start == 0 || self.is_open_recorded.get();
        if new_start <= start && is_durable {
            return Ok(start);
        }
        let raised = self.write_checkpoint(|checkpoint| {
            checkpoint.log_start_offset = checkpoint.log_start_offset.max(new_start);
        });
        if let Err(error) = raised.await {
            return Err(NotDeleted::Failed(if is_passing(&error) {
                DeleteRecordsError::Disk(error)
            } else {
                self.fail(error.clone());
                DeleteRecordsError::StorageFailed(error)
            }));
        }
        self.look_at_retention();
        Ok(self.log_start_offset())
    }

    /// Whether segments of deleted records are still to be removed. `false` if that has failed and is tried again later.
    pub fn is_deleting(&self) -> bool {
        let state = self.state.borrow();
        let sealed = state.sealed.front().map(|sealed| sealed.next_offset);
        let oldest = sealed.or_else(|| state.closing.front().map(|closing| closing.next_offset));
        let is_left = oldest.is_some_and(|next_offset| next_offset <= state.checkpoint.log_start_offset);
        (is_left || self.leaving_bytes.get() > 0)
            && state.failed.is_none()
            && self.postponed.allows(Work::Retain)
            && self.postponed.allows(Work::Seal)
    }

    /// Returns the offset below which the request deletes.
    fn new_start(&self, offset: i64) -> Result<i64, NotDeleted> {
        let state = self.state.borrow();
        if let Some(error) = &state.failed {
            return Err(NotDeleted::Failed(DeleteRecordsError::StorageFailed(error.clone())));
        }
        if let Some(damage) = &state.damaged {
            return Err(NotDeleted::Failed(damage.cause.clone().into()));
        }
        let high_watermark = state.visible(self.config().durability);
        let new_start = if offset == HIGH_WATERMARK { high_watermark } else { offset };
        if !(0..=high_watermark).contains(&new_start) {
            let log_start_offset = state.checkpoint.log_start_offset;
            let refused = DeleteRecordsError::OffsetOutOfRange { offset, log_start_offset, high_watermark };
            return Err(NotDeleted::Failed(refused));
        }
        // A log that is cut, because of a kill or a full disk, keeps all that was written. So its start is never beyond
        // its end.
        if new_start > state.progress.written_offset() {
            return Err(NotDeleted::NotYet);
        }
        Ok(new_start)
    }
}
