//! Reading: from the tail in memory, and from files in batch-aligned extents with read-ahead. Nothing is copied unless
//! readers would pin too much.

use super::{Log, Sealed, State};
use crate::buffer::{Arena, BLOCK_BYTES, SharedBytes, Slice};
use crate::clock::Clock;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{Corruption, CorruptionKind, DiskError, FetchError};
use crate::index::OffsetIndex;
use crate::num::{align_down, u32_of, usize_of};
use crate::record::BatchHeader;
use crate::segment;
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};
use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;

/// Bytes of batches one read from disk aims at; with the alignment around them they fit a 1 MiB chunk.
const EXTENT_BYTES: u64 = (1 << 20) - 2 * BLOCK_BYTES as u64;

/// Extents read ahead of a sequential reader.
const READ_AHEAD: usize = 4;

/// Extents kept for readers that follow each other.
const CACHED_EXTENTS: usize = READ_AHEAD + 4;

/// What a fetch found.
#[derive(Debug)]
pub enum Fetched {
    /// Whole batches in offset order; the first one holds the offset asked for.
    Batches(Vec<SharedBytes>),
    /// The offset is the high watermark: there is nothing yet.
    Nothing,
    /// The records are in files: call [`Log::fetch_from_disk`].
    OnDisk,
}

type ReadFuture = Shared<LocalBoxFuture<'static, Result<Option<Slice>, DiskError>>>;

/// Batches of a segment file, in memory or on their way.
struct Extent {
    segment: i64,
    start: u64,
    end: u64,
    read: ReadFuture,
}

/// The extents read last, oldest first.
#[derive(Default)]
pub(super) struct ReadCache {
    extents: VecDeque<Extent>,
    /// Where the last fetch from disk ended: (segment, position). One that begins there is sequential.
    last_end: Option<(i64, u64)>,
}

impl ReadCache {
    pub(super) fn clear(&mut self) {
        self.extents.clear();
    }

    /// The extent that holds the batch at `start`: where it begins and ends, and its read.
    fn find(&self, segment: i64, start: u64) -> Option<(u64, u64, ReadFuture)> {
        let extent = self
            .extents
            .iter()
            .find(|extent| extent.segment == segment && extent.start <= start && start < extent.end)?;
        Some((extent.start, extent.end, extent.read.clone()))
    }

    fn insert(&mut self, extent: Extent) {
        if self.extents.len() == CACHED_EXTENTS {
            self.extents.pop_front();
        }
        self.extents.push_back(extent);
    }
}

/// A segment as a reader sees it.
struct Readable<F> {
    base_offset: i64,
    file: F,
    offsets: Rc<OffsetIndex>,
    /// Batches end here.
    end: u64,
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// Reads from `offset` what is in memory, up to `bytes_max` (but at least one batch).
    ///
    /// # Errors
    /// The offset is out of range.
    pub fn fetch(&self, offset: i64, bytes_max: usize) -> Result<Fetched, FetchError> {
        let state = self.state.borrow();
        let visible = state.visible(self.config.durability);
        let log_start_offset = state.checkpoint.log_start_offset;
        if offset < log_start_offset || offset > visible {
            return Err(FetchError::OffsetOutOfRange { offset, log_start_offset, high_watermark: visible });
        }
        if offset == visible {
            return Ok(Fetched::Nothing);
        }
        let mut pieces = Vec::new();
        let (mut offset, mut room) = (offset, bytes_max);
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
    /// An empty result means that memory is short: try again.
    ///
    /// # Errors
    /// Reading failed, or what was read is no log.
    pub async fn fetch_from_disk(
        self: Rc<Self>,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Vec<SharedBytes>, FetchError> {
        let segment = self.readable(offset).await?;
        let mut position = u64::from(segment.offsets.lookup(offset));
        let read_ahead = {
            let state = self.state.borrow();
            state.read_cache.last_end.is_none_or(|(base, end)| base == segment.base_offset && end >= position)
        };
        let ahead = if read_ahead { READ_AHEAD } else { 0 };
        let mut pieces = Vec::new();
        let (mut offset, mut room) = (offset, bytes_max);
        let visible = self.high_watermark();
        while room > 0 && position < segment.end {
            let Some((start, bytes)) = self.extent(&segment, position, ahead).await? else { break };
            let from = usize_of(position - start);
            let bytes = bytes.part(from..bytes.len());
            let Some(taken) = take_batches(&bytes, offset, visible, room, pieces.is_empty()) else {
                // The index is sparse: it may have led to an extent that ends just before the offset.
                if lies_below(&bytes, offset) {
                    position += bytes.len() as u64;
                    continue;
                }
                self.check_untaken(segment.base_offset, position, &bytes, offset..visible)?;
                break;
            };
            pieces.push(self.shared(&bytes.part(taken.start..taken.start + taken.len)));
            room = room.saturating_sub(taken.len);
            offset = taken.next_offset;
            position += (taken.start + taken.len) as u64;
            if taken.start + taken.len < bytes.len() {
                break;
            }
        }
        self.state.borrow_mut().read_cache.last_end = Some((segment.base_offset, position));
        Ok(pieces)
    }

    /// Why no batch could be taken of `bytes` at `position`: the room or the visible part ends there, which is fine, or
    /// they are no batches of this log.
    fn check_untaken(
        &self,
        base_offset: i64,
        position: u64,
        bytes: &[u8],
        offsets: Range<i64>,
    ) -> Result<(), FetchError> {
        match BatchHeader::parse(bytes) {
            Ok(header) if header.base_offset <= offsets.start || offsets.is_empty() => Ok(()),
            Ok(header) => {
                let kind = CorruptionKind::OffsetGap { expected: offsets.start, found: header.base_offset };
                Err(self.corrupt(base_offset, position, kind))
            }
            Err(error) => Err(self.corrupt(base_offset, position, error.into())),
        }
    }

    fn corrupt(&self, base_offset: i64, position: u64, kind: CorruptionKind) -> FetchError {
        FetchError::Corrupt(Corruption { path: segment::log_path(&self.dir, base_offset), position, kind })
    }

    /// The bytes of the extent that holds the batch at `position`, and where it begins; starts reads of the `ahead`
    /// extents after it. `None` while the arena has no room.
    async fn extent(
        &self,
        segment: &Readable<D::File>,
        position: u64,
        ahead: usize,
    ) -> Result<Option<(u64, Slice)>, DiskError> {
        let mut next = position;
        let mut wanted = None;
        for _ in 0..=ahead {
            if next >= segment.end {
                break;
            }
            let end = extent_end(&segment.offsets, next, segment.end);
            let cached = self.state.borrow().read_cache.find(segment.base_offset, next);
            let (start, end, read) = match cached {
                Some(found) => found,
                None => match self.start_read(segment, next, end) {
                    Some(read) => (next, end, read),
                    None => break,
                },
            };
            wanted.get_or_insert((start, read));
            next = end;
        }
        let Some((start, read)) = wanted else { return Ok(None) };
        Ok(read.await?.map(|bytes| (start, bytes)))
    }

    /// Starts reading [start, end) of a segment and puts it into the cache; `None` while the arena has no room.
    fn start_read(&self, segment: &Readable<D::File>, start: u64, end: u64) -> Option<ReadFuture> {
        let aligned = align_down(start, BLOCK_BYTES as u64);
        let skip = usize_of(start - aligned);
        let wanted = usize_of(end - aligned);
        let read_bytes = wanted.next_multiple_of(BLOCK_BYTES);
        let buffer = allocate_read(&self.context.arena, read_bytes)?;
        let file = segment.file.clone();
        let read = async move {
            let (buffer, got) = file.read(buffer, aligned, read_bytes).await?;
            // A file shorter than its index says is met as damage by whoever parses this.
            let got = got.min(wanted);
            Ok((got > skip).then(|| buffer.freeze(got).part(skip..got)))
        };
        let read = read.boxed_local().shared();
        // Polled once so that it is under way even if nobody waits for it yet.
        let _ = read.clone().now_or_never();
        let extent = Extent { segment: segment.base_offset, start, end, read: read.clone() };
        self.state.borrow_mut().read_cache.insert(extent);
        Some(read)
    }

    /// The segment that holds `offset`, opened and with its index.
    async fn readable(&self, offset: i64) -> Result<Readable<D::File>, FetchError> {
        if let Some(readable) = self.state.borrow().readable_unsealed(offset) {
            return Ok(readable);
        }
        let base_offset = {
            let state = self.state.borrow();
            let after = state.sealed.partition_point(|sealed| sealed.base_offset <= offset);
            let sealed = after.checked_sub(1).and_then(|index| state.sealed.get(index));
            let Some(sealed) = sealed.filter(|sealed| offset < sealed.next_offset) else {
                let high_watermark = state.visible(self.config.durability);
                let log_start_offset = state.checkpoint.log_start_offset;
                return Err(FetchError::OffsetOutOfRange { offset, log_start_offset, high_watermark });
            };
            if let Some(readable) = sealed.readable() {
                return Ok(readable);
            }
            sealed.base_offset
        };
        self.open_sealed(base_offset).await
    }

    /// Opens a sealed segment for reading and loads its index, or rebuilds it by a scan.
    async fn open_sealed(&self, base_offset: i64) -> Result<Readable<D::File>, FetchError> {
        let disk = &self.context.disk;
        let path: PathBuf = segment::log_path(&self.dir, base_offset);
        let file = disk.open(&path, OpenMode::Read, self.context.limits.io).await?;
        let size_bytes = file.size().await?;
        let offsets = match segment::load_indexes(disk, &self.dir, base_offset, size_bytes).await? {
            Some(offsets) => offsets,
            None => {
                let request = self.scan_request(base_offset, i32::MIN);
                segment::scan(&file, &self.context.arena, &request).await?.indexes.offsets
            }
        };
        let offsets = Rc::new(offsets);
        let mut state = self.state.borrow_mut();
        if let Some(sealed) = state.sealed.iter_mut().find(|sealed| sealed.base_offset == base_offset) {
            sealed.file = Some(file.clone());
            sealed.offsets = Some(Rc::clone(&offsets));
            sealed.size_bytes = Some(size_bytes);
        }
        Ok(Readable { base_offset, file, offsets, end: size_bytes })
    }
}

impl<F: DiskFile> Sealed<F> {
    fn readable(&self) -> Option<Readable<F>> {
        Some(Readable {
            base_offset: self.base_offset,
            file: self.file.clone()?,
            offsets: Rc::clone(self.offsets.as_ref()?),
            end: self.size_bytes?,
        })
    }
}

impl<F: DiskFile, A> State<F, A> {
    /// The closing or active segment that holds `offset`; readable up to where memory takes over.
    fn readable_unsealed(&self, offset: i64) -> Option<Readable<F>> {
        let closing = self.closing.iter().map(|closing| (&closing.active, closing.size_bytes));
        let active = self.active.iter().map(|active| (active, self.tail.segment_bytes()));
        let (segment, size_bytes) =
            closing.chain(active).filter(|(segment, _)| segment.base_offset <= offset).last()?;
        // What memory holds may not be written yet; a reader comes back for it through memory.
        let end = match self.tail.cached_from() {
            Some((base, position, _)) if base == segment.base_offset => position,
            _ => size_bytes,
        };
        let offsets = Rc::new(segment.indexes.offsets.clone());
        Some(Readable { base_offset: segment.base_offset, file: segment.file.clone(), offsets, end })
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

/// A read buffer, if it fits a chunk at all and the arena has one.
fn allocate_read(arena: &Arena, bytes: usize) -> Option<crate::buffer::ReadBuffer> {
    if bytes > crate::buffer::CHUNK_BYTES_MAX {
        return None;
    }
    arena.allocate_read(bytes)
}

struct Taken {
    start: usize,
    len: usize,
    next_offset: i64,
}

/// Whether `bytes` are whole batches whose records all come before `offset`.
fn lies_below(bytes: &[u8], offset: i64) -> bool {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match BatchHeader::parse(rest) {
            Ok(header) if header.next_offset() <= offset => at += header.total_bytes(),
            _ => return false,
        }
    }
    at == bytes.len()
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
                    taken = Some(Taken { start: at, len: total, next_offset: header.next_offset() });
                }
                Some(taken) if taken.len + total <= room => {
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
