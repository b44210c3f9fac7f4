//! The search for the first record at or after a time. Time indexes say where it begins. Their files have no checksum,
//! so each entry is compared with its batch before it is used.

use crate::buffer::SharedBytes;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::error::FetchError;
use crate::index::{TimeEntry, TimeIndex};
use crate::log::Log;
use crate::log::state::LargestTimestamp;
use crate::record::{BATCH_HEADER_BYTES, BatchError, RecordBatch, batches};
use crate::segment;
use crate::types::{ListedOffset, OffsetSpec};
use std::rc::Rc;

/// Bytes of batches that one step of a search reads.
const STEP_BYTES: usize = 256 << 10;

/// A segment that the search may have to read.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    base_offset: i64,
    next_offset: i64,
    times: Times,
}

/// The times of a segment, as known without a read.
#[derive(Debug, Clone, Copy)]
enum Times {
    /// Read from the index in memory: the start of the search, or `None` if the segment has no such record.
    Begin(Option<Begin>),
    /// In the segment's index file. The largest timestamp may be known.
    File(LargestTimestamp),
}

/// The start of a search in a segment.
#[derive(Debug, Clone, Copy)]
struct Begin {
    offset: i64,
    /// Whether the index says that the segment holds a record at or after the time.
    is_promised: bool,
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// Returns the offset that `spec` asks for. `None` if consumers may see no record at or after that time.
    ///
    /// # Errors
    /// Reading failed, or the bytes read are damaged.
    pub async fn list_offset(self: Rc<Self>, spec: OffsetSpec) -> Result<Option<ListedOffset>, FetchError> {
        let known = |offset| Ok(Some(ListedOffset { offset, timestamp_ms: None }));
        match spec {
            OffsetSpec::Earliest => known(self.log_start_offset()),
            OffsetSpec::Latest => known(self.high_watermark()),
            OffsetSpec::Timestamp(timestamp_ms) => self.offset_for_time(timestamp_ms.max(0)).await,
        }
    }

    async fn offset_for_time(self: &Rc<Self>, timestamp_ms: i64) -> Result<Option<ListedOffset>, FetchError> {
        loop {
            let (log_start_offset, cuts) = (self.log_start_offset(), self.cuts.get());
            let found = self.search(timestamp_ms).await;
            if self.cuts.get() > cuts {
                // The search may have used records that a cut has removed, and other records may have got their
                // offsets.
                continue;
            }
            match found {
                // Retention deleted the segment during the search. The rest of the log may hold the answer.
                Err(FetchError::OffsetOutOfRange { .. }) if self.log_start_offset() > log_start_offset => {}
                found => return found,
            }
        }
    }

    async fn search(self: &Rc<Self>, timestamp_ms: i64) -> Result<Option<ListedOffset>, FetchError> {
        let (visible, log_start_offset) = (self.high_watermark(), self.log_start_offset());
        for segment in self.candidates(timestamp_ms) {
            let base_offset = segment.base_offset.max(log_start_offset);
            let end = segment.next_offset.min(visible);
            let begin = match segment.times {
                Times::Begin(begin) => begin,
                Times::File(largest) => self.begin_in_file(&segment, largest, timestamp_ms).await?,
            };
            let Some(begin) = begin else { continue };
            let mut found = self.scan_for(begin.offset.max(base_offset), end, timestamp_ms).await?;
            if found.is_none() && begin.is_promised && begin.offset > base_offset {
                // The index names a record that is not there, so its start may be wrong as well.
                found = self.scan_for(base_offset, end, timestamp_ms).await?;
            }
            if found.is_some() {
                return Ok(found);
            }
            // An unsealed segment may have got more records and been sealed since the search began.
            if matches!(segment.times, Times::File(_)) {
                self.found_nothing(segment.base_offset, timestamp_ms);
            }
        }
        // The damaged part may hold later records.
        match &self.state.borrow().damaged {
            Some(damage) => Err(damage.cause.clone().into()),
            None => Ok(None),
        }
    }

    /// Remembers that a sealed segment holds no record of this time or later.
    fn found_nothing(&self, base_offset: i64, timestamp_ms: i64) {
        let mut state = self.state.borrow_mut();
        if let Some(sealed) = state.sealed.iter_mut().find(|sealed| sealed.base_offset == base_offset) {
            sealed.nothing_from_ms = sealed.nothing_from_ms.min(timestamp_ms);
        }
    }

    /// Returns all segments that may hold a record of this time or later, in order.
    fn candidates(&self, timestamp_ms: i64) -> Vec<Candidate> {
        let state = self.state.borrow();
        let sealed = state.sealed.iter().filter(|sealed| timestamp_ms < sealed.nothing_from_ms);
        let sealed = sealed.map(|sealed| Candidate {
            base_offset: sealed.base_offset,
            next_offset: sealed.next_offset,
            times: Times::File(sealed.largest_timestamp),
        });
        let closing = state.closing.iter().map(|closing| (&closing.active, closing.next_offset));
        let active = state.active.iter().map(|active| (active, state.tail.next_offset()));
        let unsealed = closing.chain(active).map(|(segment, next_offset)| {
            let times = &segment.indexes.times;
            let is_there = times.max_timestamp_ms().is_some_and(|largest_ms| largest_ms >= timestamp_ms);
            Candidate {
                base_offset: segment.base_offset,
                next_offset,
                times: Times::Begin(
                    is_there.then(|| Begin { offset: times.lookup(timestamp_ms), is_promised: true }),
                ),
            }
        });
        sealed.chain(unsealed).collect()
    }

    /// Returns the start of the search in a sealed segment. `None` if the segment holds no record at or after the time.
    async fn begin_in_file(
        self: &Rc<Self>,
        segment: &Candidate,
        largest: LargestTimestamp,
        timestamp_ms: i64,
    ) -> Result<Option<Begin>, FetchError> {
        let base_offset = segment.base_offset;
        let from_start = Some(Begin { offset: base_offset, is_promised: false });
        if let LargestTimestamp::Known(largest_ms) = largest
            && largest_ms.is_none_or(|largest_ms| largest_ms < timestamp_ms)
        {
            return Ok(None);
        }
        let Some(times) = self.time_index(base_offset).await? else { return Ok(from_start) };
        let entries = times.entries();
        let below = entries.partition_point(|entry| entry.timestamp_ms < timestamp_ms);
        let Some(entry) = below.checked_sub(1).map(|last| entries[last]) else {
            return Ok(from_start);
        };
        if !self.is_true(base_offset, &entry, segment.next_offset).await? {
            return Ok(from_start);
        }
        // This holds for the last entry too: the file may have lost entries, so only the segment's batches tell.
        let offset = base_offset + i64::from(entry.relative_offset);
        Ok(Some(Begin { offset, is_promised: below < entries.len() }))
    }

    /// Reads the time index of a sealed segment. `None` if its file is missing or not valid.
    async fn time_index(&self, base_offset: i64) -> Result<Option<TimeIndex>, FetchError> {
        match self.context.disk.read_file(&segment::time_index_path(&self.dir, base_offset)).await {
            Ok(bytes) => Ok(TimeIndex::decode(base_offset, &bytes).ok()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a batch ends at the entry's offset and has the entry's timestamp.
    async fn is_true(
        self: &Rc<Self>,
        base_offset: i64,
        entry: &TimeEntry,
        next_offset: i64,
    ) -> Result<bool, FetchError> {
        let offset = base_offset + i64::from(entry.relative_offset);
        if offset >= next_offset || offset < self.log_start_offset() {
            return Ok(false);
        }
        let pieces = self.batches_at(offset, 1).await?;
        let batch = pieces.iter().flat_map(|piece| batches(piece)).next();
        Ok(batch.is_some_and(|batch| {
            batch.is_ok_and(|batch| {
                let header = batch.header();
                header.last_offset() == offset && header.max_timestamp_ms == entry.timestamp_ms
            })
        }))
    }

    /// Finds the first record at or after a time in `offset..end`.
    async fn scan_for(
        self: &Rc<Self>,
        mut offset: i64,
        end: i64,
        timestamp_ms: i64,
    ) -> Result<Option<ListedOffset>, FetchError> {
        let log_start_offset = self.log_start_offset();
        while offset < end {
            let pieces = self.batches_at(offset, STEP_BYTES).await?;
            for batch in pieces.iter().flat_map(|piece| batches(piece)) {
                let found = batch.and_then(|batch| {
                    batch.verify_crc()?;
                    let found = first_at(&batch, timestamp_ms, log_start_offset)?;
                    Ok((found, batch.header().next_offset()))
                });
                let (found, next_offset) = match found {
                    Ok(found) => found,
                    Err(error) => return Err(self.damage_at(offset, error).await),
                };
                if found.is_some() {
                    return Ok(found);
                }
                offset = next_offset;
                if offset >= end {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Reads batches from the one that holds `offset`. The offset must be visible.
    pub(in crate::log) async fn batches_at(
        self: &Rc<Self>,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Vec<SharedBytes>, FetchError> {
        let pieces = match self.fetch(offset, bytes_max)? {
            super::fetch::Fetched::Batches(pieces) => pieces,
            super::fetch::Fetched::Nothing => Vec::new(),
            super::fetch::Fetched::OnDisk => Rc::clone(self).fetch_from_disk(offset, bytes_max).await?,
        };
        if pieces.is_empty() {
            // A visible offset has a batch, so this is damage.
            let missing = BatchError::TooShort { needed_bytes: BATCH_HEADER_BYTES, available_bytes: 0 };
            return Err(self.damage_at(offset, missing).await);
        }
        Ok(pieces)
    }
}

/// Returns the first record of a batch from `offset_min` on that has a timestamp of `timestamp_ms` or later. For a
/// compressed batch, returns its first offset from `offset_min` on, with the batch's largest timestamp.
fn first_at(
    batch: &RecordBatch<'_>,
    timestamp_ms: i64,
    offset_min: i64,
) -> Result<Option<ListedOffset>, BatchError> {
    if batch.header().max_timestamp_ms < timestamp_ms {
        return Ok(None);
    }
    for record in batch.records() {
        match record {
            Ok(record) if record.offset >= offset_min && record.timestamp_ms >= timestamp_ms => {
                let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
                return Ok(Some(ListedOffset { offset, timestamp_ms: Some(timestamp_ms) }));
            }
            Ok(_) => {}
            Err(BatchError::Compressed(_)) => {
                let offset = batch.header().base_offset.max(offset_min);
                let timestamp_ms = batch.header().max_timestamp_ms;
                return Ok(Some(ListedOffset { offset, timestamp_ms: Some(timestamp_ms) }));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
