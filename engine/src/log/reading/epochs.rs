//! The offsets at which leader epochs end. They show whether a saved position is still in the log.
//!
//! Each open raises the epoch, and appends then go to new segments. So all batches of a segment have one epoch, and
//! epochs rise from segment to segment:
//!
//! ```text
//! segments   0        100      250      300      420  (log end at the open)
//!            epoch 3  epoch 3  epoch 5  epoch 8  epoch 9, the current one
//! end of     3: 250   4: 250   5: 300   6: 300   9: the log's end
//! ```
//!
//! The epoch of a segment is read from its first batch when it is needed for the first time, and then kept in memory.
//! An open reads nothing for it. [`Log::offset_for_epoch`] answers as Kafka's OffsetForLeaderEpoch does.

use super::extent::AlignedRead;
use crate::clock::Clock;
use crate::disk::{Disk, DiskFile};
use crate::error::{CorruptionKind, FetchError};
use crate::log::Log;
use crate::log::state::{Readers, Sealed, State};
use crate::record::{BATCH_HEADER_BYTES, BatchHeader};
use crate::types::EpochEnd;

/// The result of a search among the epochs in memory.
enum LookUp {
    /// The end of the epoch.
    End(EpochEnd),
    /// A segment whose epoch has to be read first.
    Unread(Unread),
}

/// A sealed segment whose epoch is not read yet.
struct Unread {
    base_offset: i64,
    next_offset: i64,
    /// Keeps the file from being overwritten while its epoch is read.
    readers: Readers,
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// The leader epoch of the batches that this open appends.
    pub const fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The largest epoch up to `epoch` that the log holds, and the offset at which it ends. `None` if `epoch` is
    /// negative or above the current one.
    ///
    /// Retention may have deleted all batches of this epoch and lower ones. Then the answer is `epoch` itself, with the
    /// first offset of the next larger epoch in the log.
    ///
    /// # Errors
    /// Reading failed, or the log is damaged at the end of that epoch.
    pub async fn offset_for_epoch(&self, epoch: i32) -> Result<Option<EpochEnd>, FetchError> {
        let end = self.end_of_epoch(epoch).await?;
        match (end, self.damage()) {
            // The damaged part may hold records of that epoch.
            (Some(end), Some(damage)) if end.end_offset >= damage.from => Err(damage.cause.into()),
            _ => Ok(end),
        }
    }

    /// Checks a consumer's position: whether the log still holds the records before it. The consumer stands at
    /// `offset`, and read its last batch in `epoch`. An offset below the log's start passes, because a fetch there
    /// fails with its own error.
    ///
    /// # Errors
    /// [`FetchError::LogTruncated`] if the log was cut below the offset. [`FetchError::UnknownLeaderEpoch`] if the
    /// epoch is none of this log. Or reading failed, or the log is damaged below the offset.
    pub async fn check_position(&self, offset: i64, epoch: i32) -> Result<(), FetchError> {
        let Some(end) = self.end_of_epoch(epoch).await? else {
            return Err(FetchError::UnknownLeaderEpoch { epoch, newest: self.epoch });
        };
        if offset <= end.end_offset {
            return Ok(());
        }
        match self.damage() {
            Some(damage) if end.end_offset >= damage.from => Err(damage.cause.into()),
            _ => Err(FetchError::LogTruncated { position: offset, epoch, cut_to: end.end_offset }),
        }
    }

    /// The end of an epoch, in the part of the log that can be read.
    async fn end_of_epoch(&self, epoch: i32) -> Result<Option<EpochEnd>, FetchError> {
        if !(0..=self.epoch).contains(&epoch) {
            return Ok(None);
        }
        // Each round reads the epoch of a segment, or finds that retention has raised the log's start.
        loop {
            let unread = match self.look_up(epoch) {
                LookUp::End(end) => return Ok(Some(end)),
                LookUp::Unread(unread) => unread,
            };
            let log_start_offset = self.log_start_offset();
            match self.read_epoch(&unread).await {
                Ok(found) => self.state.borrow_mut().learn_epoch(&unread, found),
                Err(_) if self.log_start_offset() > log_start_offset => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Searches for the first segment whose epoch is above `epoch`: a binary search. It stops at a segment whose epoch
    /// is not read yet.
    fn look_up(&self, epoch: i32) -> LookUp {
        let state = self.state.borrow();
        if epoch == self.epoch {
            return LookUp::End(EpochEnd { leader_epoch: epoch, end_offset: state.tail.next_offset() });
        }
        // Segments from `epoch_start` on have the current epoch.
        let older = state.sealed.partition_point(|sealed| sealed.base_offset < self.epoch_start);
        let (mut low, mut high) = (0, older);
        while low < high {
            let middle = low + (high - low) / 2;
            let sealed = &state.sealed[middle];
            match sealed.epoch {
                None => return LookUp::Unread(Unread::of(sealed)),
                Some(found) if found <= epoch => low = middle + 1,
                Some(_) => high = middle,
            }
        }
        let last = low.checked_sub(1).and_then(|last| state.sealed[last].epoch);
        let end_offset = if low < older { state.sealed[low].base_offset } else { self.epoch_start };
        LookUp::End(EpochEnd { leader_epoch: last.unwrap_or(epoch), end_offset })
    }

    /// Reads the epoch of a segment from its first batch.
    async fn read_epoch(&self, segment: &Unread) -> Result<i32, FetchError> {
        let Unread { base_offset, next_offset, .. } = *segment;
        let file = match self.opened(base_offset).await {
            Err(error) if error.is_not_found() => {
                let kind = CorruptionKind::SegmentMissing { from: base_offset, to: next_offset };
                return Err(self.corrupt(base_offset, 0, kind));
            }
            opened => opened?,
        };
        let reading = AlignedRead::new(0, BATCH_HEADER_BYTES as u64);
        let buffer = self.context.arena.next_read_buffer(reading.read_bytes()).await;
        let bytes = reading.read(&*file, buffer).await?;
        self.epoch_of(base_offset, &bytes).map_err(|kind| self.corrupt(base_offset, 0, kind))
    }

    /// The epoch in the header of a segment's first batch. No checksum covers it, so its value is checked against the
    /// possible ones.
    fn epoch_of(&self, base_offset: i64, bytes: &[u8]) -> Result<i32, CorruptionKind> {
        let header = BatchHeader::parse(bytes)?;
        if header.base_offset != base_offset {
            return Err(CorruptionKind::OffsetGap { expected: base_offset, found: header.base_offset });
        }
        let (epoch, newest) = (header.partition_leader_epoch, self.epoch);
        if !(0..newest).contains(&epoch) {
            return Err(CorruptionKind::Metadata(format!("leader epoch {epoch} is outside 0..{newest}")));
        }
        Ok(epoch)
    }
}

impl<F: DiskFile, A> State<F, A> {
    /// Keeps the epoch of a segment in memory, if the log still has the segment.
    fn learn_epoch(&mut self, segment: &Unread, epoch: i32) {
        let sealed = self.sealed_at(segment.base_offset);
        if let Some(sealed) = sealed.filter(|sealed| sealed.readers.are_same(&segment.readers)) {
            sealed.epoch = Some(epoch);
        }
    }
}

impl Unread {
    fn of(sealed: &Sealed) -> Self {
        let Sealed { base_offset, next_offset, .. } = *sealed;
        Self { base_offset, next_offset, readers: sealed.readers.clone() }
    }
}
