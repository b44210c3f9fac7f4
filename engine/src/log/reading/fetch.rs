//! Fetches: from the tail in memory, and from files in extents that begin and end with a batch. Sequential readers get
//! read-ahead. Bytes are copied only if readers would pin too much memory.

use super::extent::{AlignedRead, EXTENT_BYTES, extent_end};
use super::readable::Readable;
use crate::buffer::{BLOCK_BYTES, CHUNK_BYTES_MAX, SharedBytes, Slice};
use crate::clock::Clock;
use crate::disk::Disk;
use crate::error::{Corruption, CorruptionKind, DiskError, FetchError};
use crate::log::Log;
use crate::log::files::IndexSource;
use crate::log::read_cache::{End, Extent, ReadFuture};
use crate::num::{align_down, usize_of};
use crate::record::{BatchError, BatchHeader, batches};
use crate::segment;
use futures_util::FutureExt as _;
use std::rc::Rc;

/// Number of extents to read ahead for a sequential reader. The first number is the least, the second applies if the
/// log's share of memory holds as many. With the extent that the reader waits for, eight reads of 1 MiB are then in
/// flight. A fast disk needs that many.
const READ_AHEAD: [usize; 2] = [2, 7];

/// Number of extents kept in addition to those read ahead, for readers that follow each other.
const KEPT_BEHIND: usize = 3;

/// The result of a fetch from memory.
#[derive(Debug)]
pub enum Fetched {
    /// Whole batches in offset order. The first one holds the offset that was asked for.
    Batches(Vec<SharedBytes>),
    /// No record yet: the offset lies between the high watermark and the log's end, so consumers may not see it.
    Nothing,
    /// The records are in files: call [`Log::fetch_from_disk`].
    OnDisk,
}

/// Reads of extents that follow each other, under way or done.
struct StartedReads {
    /// File position at which the first extent begins, and its read. `None` if that read got no buffer.
    first: Option<(u64, ReadFuture)>,
    /// Number of extents whose reads are under way or done.
    count: usize,
    /// Whether another read can be started.
    memory: Memory,
}

/// The state of the arena after reads were started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Every read got a buffer.
    Enough,
    /// A read got no buffer. Reads of the next segment would get none either.
    UsedUp,
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// Reads from `offset` the batches in memory: up to `bytes_max`, but at least one batch.
    ///
    /// # Errors
    /// The offset is out of range, or the log is damaged there.
    pub fn fetch(&self, offset: i64, bytes_max: usize) -> Result<Fetched, FetchError> {
        let state = self.state.borrow();
        let visible = state.visible(self.config().durability);
        let log_start_offset = state.checkpoint.log_start_offset;
        if let Some(damage) = state.damaged.as_ref().filter(|damage| offset >= damage.from) {
            return Err(damage.cause.clone().into());
        }
        if offset < log_start_offset || offset > state.tail.next_offset() {
            return Err(FetchError::OffsetOutOfRange { offset, log_start_offset, high_watermark: visible });
        }
        if offset >= visible {
            return Ok(Fetched::Nothing);
        }
        let mut pieces = Vec::new();
        let (mut offset, mut bytes_left) = (offset, bytes_max.max(1));
        while offset < visible
            && bytes_left > 0
            && let Some(run) = state.tail.run_at(offset)
        {
            let first = pieces.is_empty();
            let bytes = run.bytes_from(run.first_batch);
            let Some(taken) = take_batches(&bytes, offset, visible, bytes_left, first) else { break };
            bytes_left = bytes_left.saturating_sub(taken.len);
            offset = taken.next_offset;
            let piece = bytes.part(taken.start..taken.start + taken.len);
            pieces.push(self.shared(&piece));
            if offset < run.next_offset {
                break;
            }
        }
        Ok(if pieces.is_empty() { Fetched::OnDisk } else { Fetched::Batches(pieces) })
    }

    /// Pins a slice for a reader. Copies it instead if readers already pin too much.
    fn shared(&self, slice: &Slice) -> SharedBytes {
        let limit = self.context.limits.fetch_pinned_bytes;
        slice.try_pin(limit).map_or_else(|| SharedBytes::Heap(slice.to_vec().into()), SharedBytes::Arena)
    }

    /// Reads from `offset` out of files, up to about `bytes_max`. Reads ahead if the fetch continues where the last one
    /// ended. If the arena has no free memory it waits for a buffer; some buffers are reserved for reads.
    ///
    /// # Errors
    /// Reading failed, or the bytes read are damaged.
    pub async fn fetch_from_disk(
        self: Rc<Self>,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Vec<SharedBytes>, FetchError> {
        let segment = self.readable(offset).await?;
        let found = match self.fetch_in(&segment, offset, bytes_max).await {
            // A damaged index may have led to a wrong position. The batches make a correct index.
            Err(FetchError::Corrupt(_)) if segment.index_source == IndexSource::File => {
                let segment = self.reindexed(&segment).await?;
                self.fetch_in(&segment, offset, bytes_max).await
            }
            outcome => outcome,
        };
        found.map(|found| found.pieces)
    }

    /// Looks for the damage that a reader has found in the batch that holds `offset`: a fetch does not check the CRCs of batches,
    /// and its answer does not say where in a file they lie.
    ///
    /// # Errors
    /// [`FetchError::Corrupt`], if the batch is damaged. Reading failed.
    pub async fn examine(self: Rc<Self>, offset: i64) -> Result<(), FetchError> {
        let pieces = self.batches_at(offset, 1).await?;
        for batch in pieces.iter().flat_map(|piece| batches(piece)) {
            let checked = batch.and_then(|batch| batch.verify_crc());
            if let Err(error) = checked {
                return Err(self.damage_at(offset, error).await);
            }
        }
        Ok(())
    }

    /// Returns what is wrong with the batch that holds `offset`, with its file and position.
    pub(in crate::log) async fn damage_at(&self, offset: i64, error: BatchError) -> FetchError {
        let segment = match self.readable(offset).await {
            Ok(segment) => segment,
            Err(error) => return error,
        };
        let found = self.fetch_in(&segment, offset, 1).await;
        found.map_or_else(
            |error| error,
            |found| self.corrupt(segment.base_offset, found.position, error.into()),
        )
    }

    /// Reads from `offset` in one segment.
    async fn fetch_in(
        &self,
        segment: &Readable<D::File>,
        mut offset: i64,
        bytes_max: usize,
    ) -> Result<FoundBatches, FetchError> {
        let mut position = u64::from(segment.offsets.lookup(offset));
        let is_sequential =
            self.state.borrow().read_cache.is_sequential(segment.base_offset, position, offset);
        let ahead = if is_sequential { self.read_ahead() } else { 0 };
        let mut pieces = Vec::new();
        let mut first = position;
        let mut bytes_left = bytes_max.max(1);
        let visible = self.high_watermark();
        while bytes_left > 0 && offset < visible && position < segment.end {
            let (start, bytes) = self.extent(segment, position, ahead).await?;
            let bytes = bytes.part(usize_of(position - start).min(bytes.len())..bytes.len());
            let Some(taken) = take_batches(&bytes, offset, visible, bytes_left, pieces.is_empty()) else {
                if !pieces.is_empty() {
                    break;
                }
                // The index is sparse, so it may have led to an extent that ends just before the offset.
                lies_below(&bytes, offset)
                    .map_err(|kind| self.corrupt(segment.base_offset, position, kind))?;
                position += bytes.len() as u64;
                continue;
            };
            if taken.base_offset > offset {
                let kind = CorruptionKind::OffsetGap { expected: offset, found: taken.base_offset };
                return Err(self.corrupt(segment.base_offset, position, kind));
            }
            if pieces.is_empty() {
                first = position + taken.start as u64;
            }
            pieces.push(self.shared(&bytes.part(taken.start..taken.start + taken.len)));
            bytes_left = bytes_left.saturating_sub(taken.len);
            offset = taken.next_offset;
            position += (taken.start + taken.len) as u64;
            if taken.start + taken.len < bytes.len() {
                break;
            }
        }
        if let Some(found) = segment.next_offset.filter(|next_offset| offset < *next_offset)
            && pieces.is_empty()
        {
            let kind = CorruptionKind::EndsEarly { expected: offset, found };
            return Err(self.corrupt(segment.base_offset, position, kind));
        }
        let end = End { segment: segment.base_offset, position, next_offset: offset };
        self.state.borrow_mut().read_cache.last_end = Some(end);
        Ok(FoundBatches { position: first, pieces })
    }

    /// Number of extents to read ahead, by the log's share of memory.
    fn read_ahead(&self) -> usize {
        let share = self.context.limits.cache_bytes.get() / usize_of(EXTENT_BYTES);
        share.clamp(READ_AHEAD[0], READ_AHEAD[1])
    }

    pub(in crate::log) fn corrupt(
        &self,
        base_offset: i64,
        position: u64,
        kind: CorruptionKind,
    ) -> FetchError {
        FetchError::Corrupt(Corruption { path: segment::log_path(&self.dir, base_offset), position, kind })
    }

    /// Returns the start and the bytes of the extent that holds the batch at `position`. Starts reads of the `ahead`
    /// extents after it, also in the next segments if they are open. Reads ahead begin only while memory is free.
    async fn extent(
        &self,
        segment: &Readable<D::File>,
        position: u64,
        ahead: usize,
    ) -> Result<(u64, Slice), FetchError> {
        let StartedReads { first, count, mut memory } = self.start_reads(segment, position, ahead + 1)?;
        let mut left = ahead + 1 - count;
        let mut last = segment.base_offset;
        while left > 0 && memory == Memory::Enough {
            let Some(following) = self.state.borrow().readable_after(last) else { break };
            // Damage in the next segment is an error only for a fetch that reads there.
            let Ok(started) = self.start_reads(&following, 0, left) else { break };
            left -= started.count;
            memory = started.memory;
            last = following.base_offset;
        }
        match first {
            Some((start, read)) => Ok((start, read.await?)),
            None => Ok((position, self.read_uncached(segment, position).await?)),
        }
    }

    /// Reads the extent at `start` into the next free buffer. The cache does not keep it, because memory is short.
    async fn read_uncached(&self, segment: &Readable<D::File>, start: u64) -> Result<Slice, DiskError> {
        let reading = AlignedRead::new(start, extent_end(&segment.offsets, start, segment.end));
        let buffer = self.context.arena.next_read_buffer(reading.read_bytes()).await;
        reading.read(&*segment.file, buffer).await
    }

    /// Starts the reads of up to `count_max` extents from `position` on. Extents in the cache are not read again.
    fn start_reads(
        &self,
        segment: &Readable<D::File>,
        position: u64,
        count_max: usize,
    ) -> Result<StartedReads, FetchError> {
        let mut next = position;
        let mut started = StartedReads { first: None, count: 0, memory: Memory::Enough };
        while started.count < count_max && next < segment.end {
            let end = extent_end(&segment.offsets, next, segment.end);
            let read_bytes = end - align_down(next, BLOCK_BYTES as u64);
            if read_bytes > CHUNK_BYTES_MAX as u64 {
                let reason = format!("the offset index leaves out {read_bytes} bytes");
                return Err(self.corrupt(segment.base_offset, next, CorruptionKind::Metadata(reason)));
            }
            let cached = self.state.borrow().read_cache.find(segment.base_offset, next);
            let (start, end, read) = match cached {
                Some(found) => found,
                None => match self.start_read(segment, next, end) {
                    Some(read) => (next, end, read),
                    None => return Ok(StartedReads { memory: Memory::UsedUp, ..started }),
                },
            };
            started.first.get_or_insert((start, read));
            next = end;
            started.count += 1;
        }
        Ok(started)
    }

    /// Starts reading the bytes [start, end) of a segment and puts the read into the cache. `None` if the arena has no
    /// buffer.
    fn start_read(&self, segment: &Readable<D::File>, start: u64, end: u64) -> Option<ReadFuture> {
        let reading = AlignedRead::new(start, end);
        let buffer = self.context.arena.allocate_read(reading.read_bytes())?;
        let (file, readers) = (segment.file.clone(), segment.readers.clone());
        let read = async move {
            let outcome = reading.read(&*file, buffer).await;
            drop(readers);
            outcome
        };
        let read = read.boxed_local().shared();
        // The first poll submits the read, even if nobody waits for it yet.
        let _ = read.clone().now_or_never();
        self.context.files.has_begun(&read);
        let extent = Extent { segment: segment.base_offset, start, end, read: read.clone() };
        self.state.borrow_mut().read_cache.insert(extent, self.read_ahead() + KEPT_BEHIND);
        Some(read)
    }
}

/// Whole batches of a segment.
struct FoundBatches {
    /// File position of the first one.
    position: u64,
    pieces: Vec<SharedBytes>,
}

/// Whole batches that follow each other in a buffer.
struct TakenBatches {
    base_offset: i64,
    /// Byte of the buffer at which the first batch begins.
    start: usize,
    len: usize,
    next_offset: i64,
}

/// Checks that `bytes` are whole batches whose records all come before `offset`. The error says what is wrong.
fn lies_below(bytes: &[u8], offset: i64) -> Result<(), CorruptionKind> {
    let mut at = 0;
    while at < bytes.len().max(1) {
        let rest = &bytes[at..];
        let header = BatchHeader::parse(rest)?;
        if header.total_bytes() > rest.len() {
            let (needed_bytes, available_bytes) = (header.total_bytes(), rest.len());
            return Err(BatchError::TooShort { needed_bytes, available_bytes }.into());
        }
        if header.next_offset() > offset {
            return Err(CorruptionKind::OffsetGap { expected: offset, found: header.base_offset });
        }
        at += header.total_bytes();
    }
    Ok(())
}

/// Takes whole batches of `bytes`, from the one that holds `offset`, below `visible`, and of `bytes_max` at most. If
/// `first`, at least one batch is taken, even a larger one.
fn take_batches(
    bytes: &[u8],
    offset: i64,
    visible: i64,
    bytes_max: usize,
    first: bool,
) -> Option<TakenBatches> {
    let mut at = 0;
    let mut taken: Option<TakenBatches> = None;
    while at < bytes.len() {
        let Ok(header) = BatchHeader::parse(&bytes[at..]) else { break };
        let total = header.total_bytes();
        if at + total > bytes.len() || header.next_offset() > visible {
            break;
        }
        if header.next_offset() > offset {
            match &mut taken {
                None if total <= bytes_max || first => {
                    let (base_offset, next_offset) = (header.base_offset, header.next_offset());
                    taken = Some(TakenBatches { base_offset, start: at, len: total, next_offset });
                }
                Some(taken) if taken.len + total <= bytes_max && taken.next_offset == header.base_offset => {
                    taken.len += total;
                    taken.next_offset = header.next_offset();
                }
                _ => break,
            }
        }
        at += total;
    }
    taken
}
