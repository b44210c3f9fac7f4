//! Requests to delete records of a simulated log.

use super::Rig;
use crate::tally;
use futures_util::stream::StreamExt as _;
use std::rc::Rc;
use std::task::{Context, Poll};
use vnotch_engine::error::DeleteRecordsError;
use vnotch_engine::log::NotDeleted;

impl Rig {
    /// Asks the log to delete the records below `offset`, which is at most the high watermark. The request runs while the
    /// log does other work.
    pub(crate) fn delete_records(&mut self, offset: i64) {
        self.model.deletions.insert(offset);
        self.begin_deletion(offset);
        self.turn();
    }

    fn begin_deletion(&self, offset: i64) {
        let deletion = Rc::clone(&self.log).delete_records(offset);
        self.deletions.push(Box::pin(async move { (offset, deletion.await) }));
    }

    /// Tries the requests again that came before their records were written.
    pub(super) fn repeat_deletions(&mut self) {
        for offset in std::mem::take(&mut self.early_deletions) {
            self.begin_deletion(offset);
        }
    }

    /// Whether a request has no answer yet.
    pub(crate) fn is_deleting(&self) -> bool {
        !self.deletions.is_empty() || !self.early_deletions.is_empty()
    }

    /// Takes the answers of requests. Returns whether there were any.
    pub(super) fn poll_deletions(&mut self, context: &mut Context<'_>) -> bool {
        let mut has_moved = false;
        while let Poll::Ready(Some((offset, outcome))) = self.deletions.poll_next_unpin(context) {
            has_moved |= !matches!(outcome, Err(NotDeleted::NotYet));
            match outcome {
                Ok(start) => {
                    assert!(start >= offset && start <= self.log.log_start_offset());
                    self.model.deleted_to = self.model.deleted_to.max(start);
                    tally::count("deletion: answered");
                }
                Err(NotDeleted::NotYet) => self.early_deletions.push(offset),
                Err(NotDeleted::Failed(DeleteRecordsError::OffsetOutOfRange { high_watermark, .. })) => {
                    // A full disk has cut the log meanwhile.
                    assert!(offset > high_watermark, "{offset} is refused, and visible is {high_watermark}");
                }
                Err(NotDeleted::Failed(DeleteRecordsError::Disk(error))) => {
                    assert!(error.is_no_space() || error.is_too_many_open(), "{error}");
                }
                Err(NotDeleted::Failed(DeleteRecordsError::StorageFailed(error))) => {
                    assert!(self.log.failed().is_some(), "{error}");
                    tally::count("deletion: the disk failed");
                }
                Err(NotDeleted::Failed(error)) => panic!("records cannot be deleted: {error}"),
            }
        }
        has_moved
    }
}
