//! Closing partitions of a shard, several at the same time.

use crate::error::{AppendError, DiskError, FetchError};
use crate::shard::{Partition, Shard, next_turn};
use futures_util::stream::{StreamExt as _, iter};
use std::rc::Rc;

impl Shard {
    /// Closes all partitions, several at the same time, so that their flushes share commits of the file system's
    /// journal. The other partitions are closed even if one fails.
    ///
    /// # Errors
    /// The error of the first partition that failed, in the order of the slots.
    pub(crate) async fn close_partitions(self: Rc<Self>) -> Result<(), DiskError> {
        self.is_closing.set(true);
        // Appends that were sent before the close are taken first. Each turn takes at least one.
        for _ in 0..self.mailbox.waiting_appends() {
            next_turn().await;
        }
        self.end_compactions().await;
        self.refuses_new.set(true);
        let slots = self.slots();
        // First for all partitions: no partition closes while another one's appends may still get memory from it.
        for slot in &slots {
            self.put_all_waiting(*slot).await;
        }
        let closed = iter(slots).map(|slot| {
            let shard = Rc::clone(&self);
            async move { shard.close_partition(slot, true).await.err().map(|error| (slot, error)) }
        });
        let failed: Vec<Option<(usize, DiskError)>> =
            closed.buffer_unordered(self.partitions_at_once()).collect().await;
        let first = failed.into_iter().flatten().min_by_key(|(slot, _)| *slot);
        first.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Waits until the appends that wait at a partition are in its log. Gives up if only readers hold the memory that
    /// they need: nobody knows when readers return it.
    async fn put_all_waiting(&self, slot: usize) {
        let Some(partition) = self.open_at(slot) else { return };
        while !partition.waiting.borrow().is_empty() && partition.log.failed().is_none() {
            self.list(slot);
            next_turn().await;
            if self.is_out_of_memory(slot) {
                break;
            }
        }
    }

    /// Ends a partition whose files will be removed, and waits until nothing uses them. A failure of its log is no error.
    pub(crate) async fn end_partition(self: Rc<Self>, slot: usize) {
        // The engine has forgotten the partition, so it hears of no error.
        let _ = Rc::clone(&self).close_partition(slot, false).await;
        // Another request may be ending it.
        while self.partition(slot).is_some() {
            next_turn().await;
        }
    }

    /// Ends a partition: refuses the waiting calls, lets its writes finish, and seals the log if `is_kept`. Its slot
    /// stays empty.
    async fn close_partition(self: Rc<Self>, slot: usize, is_kept: bool) -> Result<(), DiskError> {
        // A partition that is being deleted is not found here: its deletion ends it.
        let Some(partition) = self.open_at(slot) else { return Ok(()) };
        partition.is_leaving.set(!is_kept);
        if is_kept {
            self.put_all_waiting(slot).await;
        }
        self.refuse(&partition);
        while partition.tasks.get() > 0 || !partition.log.is_idle() {
            self.drive(slot, &partition);
            next_turn().await;
        }
        self.deliver(&partition);
        // From here on only this function drives the log.
        self.partitions.borrow_mut()[slot] = None;
        self.timers.remove(slot, &partition.timers);
        let closed = if is_kept { Rc::clone(&partition.log).close().await } else { Ok(()) };
        self.deliver(&partition);
        for reply in partition.log.abandon() {
            self.answer(reply, Err(self.not_open_errors().0));
        }
        self.end_coordinator(slot);
        for late in partition.late.take() {
            self.mailbox.release_bytes(late.batch.len());
            self.answer(late.reply, Err(self.not_open_errors().0));
        }
        self.collect_events(&partition);
        self.dropped_events.set(self.dropped_events.get() + partition.log.dropped_events());
        closed
    }

    /// Returns the errors for appends and fetches whose partition is not open on this shard.
    pub(in crate::shard) fn not_open_errors(&self) -> (AppendError, FetchError) {
        if self.is_closing.get() {
            (AppendError::Closed, FetchError::Closed)
        } else {
            (AppendError::UnknownPartition, FetchError::UnknownPartition)
        }
    }

    fn refuse(&self, partition: &Partition) {
        self.deliver(partition);
        let (append, fetch) = self.not_open_errors();
        for waiting in partition.refuse_fetches_and_take_appends(&fetch) {
            self.mailbox.release_bytes(waiting.batch.len());
            self.answer(waiting.reply, Err(append.clone()));
        }
    }

    /// Slots of all open partitions.
    fn slots(&self) -> Vec<usize> {
        let partitions = self.partitions.borrow();
        (0..partitions.len()).filter(|slot| partitions[*slot].is_some()).collect()
    }
}
