//! Reading: from the tail in memory, and from files in batch-aligned extents with read-ahead. Nothing is copied unless
//! readers would pin too much.

use super::files::{CachedIndex, FileName, OpenFile};
use super::read_cache::{End, Extent, ReadFuture};
use super::state::Readers;
use super::{IndexSource, Log, Sealed, State};
use crate::buffer::{BLOCK_BYTES, CHUNK_BYTES_MAX, ReadBuffer, SharedBytes, Slice};
use crate::clock::Clock;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{Corruption, CorruptionKind, DiskError, FetchError};
use crate::index::OffsetIndex;
use crate::num::{align_down, u32_of, usize_of};
use crate::record::{BatchError, BatchHeader};
use crate::segment;
use futures_util::FutureExt as _;
use std::path::PathBuf;
use std::rc::Rc;

/// Bytes of batches one read from disk aims at; with the alignment around them they fit a 1 MiB chunk.
const EXTENT_BYTES: u64 = (1 << 20) - 2 * BLOCK_BYTES as u64;

/// Extents read ahead of a sequential reader: at least, and where a log has its share of memory for as many. With the one
/// it waits for, eight reads of 1 MiB are in flight then, which is what a fast disk wants.
const READ_AHEAD: [usize; 2] = [2, 7];

/// Extents kept beside those read ahead, for readers that follow each other.
const KEPT_BEHIND: usize = 3;

/// What a fetch found.
#[derive(Debug)]
pub enum Fetched {
    /// Whole batches in offset order; the first one holds the offset asked for.
    Batches(Vec<SharedBytes>),
    /// Consumers may not see a record at the offset yet: it lies between the high watermark and the log's end.
    Nothing,
    /// The records are in files: call [`Log::fetch_from_disk`].
    OnDisk,
}

/// A segment as a reader sees it.
struct Readable<F> {
    base_offset: i64,
    file: OpenFile<F>,
    offsets: Rc<OffsetIndex>,
    index_source: IndexSource,
    /// Batches end here.
    end: u64,
    /// The offset after the last record, where the segment takes no more.
    next_offset: Option<i64>,
    /// Keeps the file from being overwritten.
    readers: Readers,
}

/// The segment that holds an offset.
enum Found<F> {
    /// Its file is open and its index known.
    Readable(Readable<F>),
    /// A sealed segment, by its base offset, that is not open.
    Sealed(i64, i64, Readers),
    /// The same of a segment that is not sealed.
    Unsealed(i64, Readers),
    /// The log does not hold the offset.
    Nothing,
}

/// Extents that are being read, or were.
struct Started {
    /// Where the first one begins, and its read.
    first: Option<(u64, ReadFuture)>,
    count: usize,
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// Reads from `offset` what is in memory, up to `bytes_max` (but at least one batch).
    ///
    /// # Errors
    /// The offset is out of range.
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
        let (mut offset, mut room) = (offset, bytes_max.max(1));
        while offset < visible
            && room > 0
            && let Some(run) = state.tail.run_at(offset)
        {
            let first = pieces.is_empty();
            let bytes = run.bytes_from(run.first_batch);
            let Some(taken) = take_batches(&bytes, offset, visible, room, first) else { break };
            room = room.saturating_sub(taken.len);
            offset = taken.next_offset;
            let piece = bytes.part(taken.start..taken.start + taken.len);
            pieces.push(self.shared(&piece));
            if offset < run.next_offset {
                break;
            }
        }
        Ok(if pieces.is_empty() { Fetched::OnDisk } else { Fetched::Batches(pieces) })
    }

    /// Pins a slice for a reader, or copies it where readers pin too much already.
    fn shared(&self, slice: &Slice) -> SharedBytes {
        let limit = self.context.limits.fetch_pinned_bytes;
        slice.try_pin(limit).map_or_else(|| SharedBytes::Heap(slice.to_vec().into()), SharedBytes::Arena)
    }

    /// Reads from `offset` out of files, up to about `bytes_max`; reads ahead if this goes on where the last fetch ended.
    /// While the arena is used up it waits for a buffer, of which some are reserved for reads.
    ///
    /// # Errors
    /// Reading failed, or what was read is no log.
    pub async fn fetch_from_disk(
        self: Rc<Self>,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Vec<SharedBytes>, FetchError> {
        let segment = self.readable(offset).await?;
        match self.fetch_in(&segment, offset, bytes_max).await {
            // A damaged index shows in where it leads to.
            Err(FetchError::Corrupt(_)) if segment.index_source == IndexSource::File => {
                let segment = self.reindexed(&segment).await?;
                self.fetch_in(&segment, offset, bytes_max).await
            }
            outcome => outcome,
        }
    }

    /// Reads from `offset` in one segment.
    async fn fetch_in(
        &self,
        segment: &Readable<D::File>,
        mut offset: i64,
        bytes_max: usize,
    ) -> Result<Vec<SharedBytes>, FetchError> {
        let mut position = u64::from(segment.offsets.lookup(offset));
        let is_sequential =
            self.state.borrow().read_cache.is_sequential(segment.base_offset, position, offset);
        let ahead = if is_sequential { self.read_ahead() } else { 0 };
        let mut pieces = Vec::new();
        let mut room = bytes_max.max(1);
        let visible = self.high_watermark();
        while room > 0 && offset < visible && position < segment.end {
            let (start, bytes) = self.extent(segment, position, ahead).await?;
            let bytes = bytes.part(usize_of(position - start).min(bytes.len())..bytes.len());
            let Some(taken) = take_batches(&bytes, offset, visible, room, pieces.is_empty()) else {
                if !pieces.is_empty() {
                    break;
                }
                // The index is sparse: it may have led to an extent that ends just before the offset.
                lies_below(&bytes, offset)
                    .map_err(|kind| self.corrupt(segment.base_offset, position, kind))?;
                position += bytes.len() as u64;
                continue;
            };
            if taken.base_offset > offset {
                let kind = CorruptionKind::OffsetGap { expected: offset, found: taken.base_offset };
                return Err(self.corrupt(segment.base_offset, position, kind));
            }
            pieces.push(self.shared(&bytes.part(taken.start..taken.start + taken.len)));
            room = room.saturating_sub(taken.len);
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
        Ok(pieces)
    }

    /// Extents to read ahead, by the log's share of memory.
    fn read_ahead(&self) -> usize {
        let share = self.context.limits.cache_bytes.get() / usize_of(EXTENT_BYTES);
        share.clamp(READ_AHEAD[0], READ_AHEAD[1])
    }

    pub(super) fn corrupt(&self, base_offset: i64, position: u64, kind: CorruptionKind) -> FetchError {
        FetchError::Corrupt(Corruption { path: segment::log_path(&self.dir, base_offset), position, kind })
    }

    /// The bytes of the extent that holds the batch at `position`, and where it begins; starts reads of the `ahead`
    /// extents after it, those of the next segments too if they are open. What is read ahead is what memory has room for.
    async fn extent(
        &self,
        segment: &Readable<D::File>,
        position: u64,
        ahead: usize,
    ) -> Result<(u64, Slice), FetchError> {
        let Started { first, count } = self.start_reads(segment, position, ahead + 1)?;
        let mut left = ahead + 1 - count;
        let mut last = segment.base_offset;
        while left > 0 {
            let Some(following) = self.state.borrow().readable_after(last) else { break };
            // What is wrong there is met by whoever reads it.
            let Ok(started) = self.start_reads(&following, 0, left) else { break };
            left -= started.count;
            last = following.base_offset;
        }
        match first {
            Some((start, read)) => Ok((start, read.await?)),
            None => Ok((position, self.read_uncached(segment, position).await?)),
        }
    }

    /// Reads the extent at `start` into the next buffer there is, and keeps it for nobody else: memory is short.
    async fn read_uncached(&self, segment: &Readable<D::File>, start: u64) -> Result<Slice, DiskError> {
        let reading = Reading::new(start, extent_end(&segment.offsets, start, segment.end));
        let buffer = self.context.arena.next_read_buffer(reading.read_bytes()).await;
        reading.read(&*segment.file, buffer).await
    }

    /// Starts the reads of up to `count_max` extents from `position` on, but for those that were.
    fn start_reads(
        &self,
        segment: &Readable<D::File>,
        position: u64,
        count_max: usize,
    ) -> Result<Started, FetchError> {
        let mut next = position;
        let mut started = Started { first: None, count: 0 };
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
                    // No room for more, of the next segment either.
                    None => return Ok(Started { count: count_max, ..started }),
                },
            };
            started.first.get_or_insert((start, read));
            next = end;
            started.count += 1;
        }
        Ok(started)
    }

    /// Starts reading [start, end) of a segment and puts it into the cache; `None` while the arena has no room.
    fn start_read(&self, segment: &Readable<D::File>, start: u64, end: u64) -> Option<ReadFuture> {
        let reading = Reading::new(start, end);
        let buffer = self.context.arena.allocate_read(reading.read_bytes())?;
        let (file, readers) = (segment.file.clone(), segment.readers.clone());
        let read = async move {
            let outcome = reading.read(&*file, buffer).await;
            drop(readers);
            outcome
        };
        let read = read.boxed_local().shared();
        // Polled once so that it is under way even if nobody waits for it yet.
        let _ = read.clone().now_or_never();
        self.context.files.has_begun(&read);
        let extent = Extent { segment: segment.base_offset, start, end, read: read.clone() };
        self.state.borrow_mut().read_cache.insert(extent, self.read_ahead() + KEPT_BEHIND);
        Some(read)
    }

    /// The segment that holds `offset`, opened and with its index.
    async fn readable(&self, offset: i64) -> Result<Readable<D::File>, FetchError> {
        loop {
            let found = self.state.borrow().find(offset);
            match found {
                Found::Readable(readable) => return Ok(readable),
                Found::Sealed(base_offset, next_offset, readers) => {
                    return self.open_sealed((base_offset, next_offset), readers).await;
                }
                // What it holds is looked at again: it may have been sealed, or have got more batches.
                Found::Unsealed(base_offset, readers) => {
                    self.unsealed_file(base_offset, &readers).await?;
                }
                Found::Nothing => {
                    let (log_start_offset, high_watermark) = (self.log_start_offset(), self.high_watermark());
                    return Err(FetchError::OffsetOutOfRange { offset, log_start_offset, high_watermark });
                }
            }
        }
    }

    /// Opens a sealed segment for reading and loads its index, or rebuilds it by a scan.
    async fn open_sealed(
        &self,
        (base_offset, next_offset): (i64, i64),
        readers: Readers,
    ) -> Result<Readable<D::File>, FetchError> {
        let disk = &self.context.disk;
        let path: PathBuf = segment::log_path(&self.dir, base_offset);
        let file = match self.open_file(&path, OpenMode::Read).await {
            // Retention was quicker.
            Err(error) if error.is_not_found() && base_offset < self.log_start_offset() => {
                let (log_start_offset, high_watermark) = (self.log_start_offset(), self.high_watermark());
                return Err(FetchError::OffsetOutOfRange {
                    offset: base_offset,
                    log_start_offset,
                    high_watermark,
                });
            }
            Err(error) if error.is_not_found() => {
                let kind = CorruptionKind::SegmentMissing { from: base_offset, to: next_offset };
                return Err(self.corrupt(base_offset, 0, kind));
            }
            opened => opened?,
        };
        let size_bytes = file.size().await?;
        let source = self.state.borrow_mut().sealed_at(base_offset).map(|sealed| sealed.index_source);
        let loaded = if source == Some(IndexSource::Batches) {
            None
        } else {
            segment::load_indexes(disk, &self.dir, base_offset, size_bytes).await?
        };
        let (offsets, end, index_source) = match loaded {
            Some(offsets) => (offsets, size_bytes, IndexSource::File),
            None => {
                let (offsets, valid_bytes) = self.scanned_index(base_offset, &file).await?;
                (offsets, valid_bytes, IndexSource::Batches)
            }
        };
        let (offsets, next_offset) = (Rc::new(offsets), Some(next_offset));
        let readable = Readable { base_offset, file, offsets, index_source, end, next_offset, readers };
        self.state.borrow_mut().remember(&readable);
        Ok(readable)
    }

    /// The segment with an index that is made of its batches, instead of the one from its file.
    async fn reindexed(&self, segment: &Readable<D::File>) -> Result<Readable<D::File>, FetchError> {
        let (offsets, end) = self.scanned_index(segment.base_offset, &segment.file).await?;
        let readable = Readable {
            base_offset: segment.base_offset,
            file: segment.file.clone(),
            offsets: Rc::new(offsets),
            index_source: IndexSource::Batches,
            end,
            next_offset: segment.next_offset,
            readers: segment.readers.clone(),
        };
        let mut state = self.state.borrow_mut();
        // Its extents were cut where the old index said.
        state.read_cache.clear();
        if let Some(sealed) = state.sealed_at(segment.base_offset) {
            sealed.index_source = IndexSource::Batches;
        }
        state.remember(&readable);
        Ok(readable)
    }

    /// An offset index made of a segment's batches, and how many bytes of valid batches there are.
    async fn scanned_index(&self, base_offset: i64, file: &D::File) -> Result<(OffsetIndex, u64), DiskError> {
        let request = self.scan_request(base_offset, i32::MIN);
        let scanned = segment::scan(file, &self.context.arena, &request).await?;
        Ok((scanned.indexes.offsets, scanned.valid_bytes))
    }
}

impl<F: DiskFile, A> State<F, A> {
    /// Keeps what was found out about a sealed segment, if it is still the log's.
    fn remember(&mut self, readable: &Readable<F>) {
        let base_offset = readable.base_offset;
        let sealed = self.sealed_at(base_offset);
        let Some(sealed) = sealed.filter(|sealed| sealed.readers.are_same(&readable.readers)) else { return };
        sealed.size_bytes = Some(readable.end);
        let index = CachedIndex { offsets: Rc::clone(&readable.offsets), source: readable.index_source };
        self.files.put_indexed(FileName::Segment(base_offset), readable.file.clone(), index);
    }

    /// The segment that holds `offset`.
    fn find(&self, offset: i64) -> Found<F> {
        if let Some(found) = self.find_unsealed(offset) {
            return found;
        }
        let after = self.sealed.partition_point(|sealed| sealed.base_offset <= offset);
        let sealed = after.checked_sub(1).and_then(|index| self.sealed.get(index));
        let Some(sealed) = sealed.filter(|sealed| offset < sealed.next_offset) else { return Found::Nothing };
        let closed = || Found::Sealed(sealed.base_offset, sealed.next_offset, sealed.readers.clone());
        self.readable_sealed(sealed).map_or_else(closed, Found::Readable)
    }

    /// The sealed segment as a reader sees it, if its file is open and its index known.
    fn readable_sealed(&self, sealed: &Sealed) -> Option<Readable<F>> {
        let end = sealed.size_bytes?;
        let (file, index) = self.files.get_indexed(FileName::Segment(sealed.base_offset))?;
        let CachedIndex { offsets, source: index_source } = index;
        let (base_offset, readers) = (sealed.base_offset, sealed.readers.clone());
        let next_offset = Some(sealed.next_offset);
        Some(Readable { base_offset, file, offsets, index_source, end, next_offset, readers })
    }

    /// The segment after the sealed one at `base_offset`, if its file is open and its index known.
    fn readable_after(&self, base_offset: i64) -> Option<Readable<F>> {
        let after = self.sealed.partition_point(|sealed| sealed.base_offset <= base_offset);
        match self.sealed.get(after) {
            Some(sealed) => self.readable_sealed(sealed),
            None => {
                let last = self.sealed.back().filter(|last| last.base_offset == base_offset)?;
                match self.find_unsealed(last.next_offset)? {
                    Found::Readable(readable) => Some(readable),
                    _ => None,
                }
            }
        }
    }

    /// The closing or active segment that holds `offset`; readable up to where memory takes over.
    fn find_unsealed(&self, offset: i64) -> Option<Found<F>> {
        let closing = self.closing.iter().map(|closing| (&closing.active, closing.size_bytes));
        let active = self.active.iter().map(|active| (active, self.tail.segment_bytes()));
        let (segment, size_bytes) =
            closing.chain(active).filter(|(segment, _)| segment.base_offset <= offset).last()?;
        // What memory holds may not be written yet; a reader comes back for it through memory, and who reads ahead out of the
        // segment before this one comes here while memory begins in that.
        let end = match self.tail.cached_from() {
            Some((base, ..)) if base < segment.base_offset => 0,
            Some((base, position, _)) if base == segment.base_offset => position,
            _ => size_bytes,
        };
        let (base_offset, readers) = (segment.base_offset, segment.readers.clone());
        let Some(file) = self.files.get(FileName::Segment(base_offset)) else {
            return Some(Found::Unsealed(base_offset, readers));
        };
        let offsets = Rc::new(segment.indexes.offsets.clone());
        let (index_source, next_offset) = (IndexSource::Batches, None);
        Some(Found::Readable(Readable {
            base_offset,
            file,
            offsets,
            index_source,
            end,
            next_offset,
            readers,
        }))
    }
}

/// A read of an extent, in whole blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// File position of the first block.
    aligned: u64,
    /// Bytes of the first block before the extent.
    skip: usize,
    /// Bytes from the first block to the extent's end.
    wanted: usize,
}

impl Reading {
    /// The read of [start, end).
    pub(super) fn new(start: u64, end: u64) -> Self {
        let aligned = align_down(start, BLOCK_BYTES as u64);
        Self { aligned, skip: usize_of(start - aligned), wanted: usize_of(end - aligned) }
    }

    /// Bytes of the buffer that it needs.
    pub(super) const fn read_bytes(self) -> usize {
        self.wanted.next_multiple_of(BLOCK_BYTES)
    }

    /// The extent's bytes; short where the file is, which whoever parses them meets as damage.
    pub(super) async fn read<F: DiskFile>(self, file: &F, buffer: ReadBuffer) -> Result<Slice, DiskError> {
        let (buffer, got) = file.read(buffer, self.aligned, self.read_bytes()).await?;
        let got = got.min(self.wanted);
        Ok(buffer.freeze(got).part(self.skip.min(got)..got))
    }
}

/// Where the extent that begins with the batch at `start` ends: at a batch, so that no batch lies across two.
fn extent_end(offsets: &OffsetIndex, start: u64, segment_end: u64) -> u64 {
    if segment_end - start <= EXTENT_BYTES {
        return segment_end;
    }
    let limit = u32_of(usize_of(start + EXTENT_BYTES));
    let end = u64::from(offsets.last_position_up_to(limit));
    if end > start {
        return end.min(segment_end);
    }
    let start = u32_of(usize_of(start));
    offsets.first_position_after(start).map_or(segment_end, |end| u64::from(end).min(segment_end))
}

struct Taken {
    base_offset: i64,
    start: usize,
    len: usize,
    next_offset: i64,
}

/// Checks that `bytes` are whole batches whose records all come before `offset`; what else they are if not.
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

/// The whole batches of `bytes` from the one that holds `offset`, below `visible` and within `room` (one at least if
/// `first`).
fn take_batches(bytes: &[u8], offset: i64, visible: i64, room: usize, first: bool) -> Option<Taken> {
    let mut at = 0;
    let mut taken: Option<Taken> = None;
    while at < bytes.len() {
        let Ok(header) = BatchHeader::parse(&bytes[at..]) else { break };
        let total = header.total_bytes();
        if at + total > bytes.len() || header.next_offset() > visible {
            break;
        }
        if header.next_offset() > offset {
            match &mut taken {
                None if total <= room || first => {
                    let (base_offset, next_offset) = (header.base_offset, header.next_offset());
                    taken = Some(Taken { base_offset, start: at, len: total, next_offset });
                }
                Some(taken) if taken.len + total <= room && taken.next_offset == header.base_offset => {
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
