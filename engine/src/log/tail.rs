//! The end of a log in memory: runs of batches in arena chunks. The tail knows which runs still have to be written, and
//! which may be evicted. Pure state: it plans writes and does no I/O.
//!
//! ```text
//! file     |<-- block -->|<-- block -->|<-- block -->|
//! run 1    [batch][batch ][bat│zeros   ]               flushed with a padded tail, then closed
//! run 2                   [bat│ch][batch][ba           begins with a copy of the tail block's bytes, in fresh blocks
//! ```
//!
//! A run is contiguous in memory and in the file, and address ≡ position mod 4096. The bytes of a run never change. A
//! block that was written half full is written again from the next run, with the same first bytes. That write never
//! begins while the first one is in flight.
//!
//! A log that is written to its end needs no chunk. [`Tail::release_chunk`] keeps the bytes of the half-full block on
//! the heap, and the next append begins a run in a new chunk.

use crate::buffer::{Arena, BLOCK_BYTES, CHUNK_CLASSES, ChunkMut, Slice};
use crate::num::{align_down, align_up, usize_of};
use crate::record::{self, BatchHeader};
use std::collections::VecDeque;
use std::ops::Deref;
use std::time::{Duration, Instant};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Size of the largest chunk that a run usually gets, bytes. A larger batch gets the chunk that it needs.
const RUN_CHUNK_BYTES_MAX: usize = 1 << 20;

/// A chunk that is filled in less time than this is followed by a larger one. One that takes more than ten times as
/// long is followed by a smaller one.
const FAST_FILL: Duration = Duration::from_millis(50);

/// Batches in memory that are contiguous in one segment's file.
#[derive(Debug)]
pub(super) struct Run {
    /// Base offset of the segment.
    pub(super) segment: i64,
    /// File position of the first byte, a multiple of 4 KiB.
    position: u64,
    /// File position of the first batch that begins here.
    pub(super) first_batch: u64,
    /// File position after the last batch.
    end: u64,
    /// Offset of the first batch that begins here, and the offset after the last batch.
    pub(super) base_offset: i64,
    pub(super) next_offset: i64,
    /// The bytes from `position` to `end`.
    bytes: Slice,
    /// Bytes that the run takes of its chunk. Padding counts, and for the last run of a chunk the unused rest behind
    /// it.
    memory_bytes: usize,
}

impl Run {
    /// Returns the bytes of batches from `position` on.
    pub(super) fn bytes_from(&self, position: u64) -> Slice {
        let from = usize_of(position - self.position);
        self.bytes.part(from..usize_of(self.end - self.position))
    }
}

/// The run that takes appends.
#[derive(Debug)]
struct ActiveRun {
    chunk: ChunkMut,
    /// Byte of the chunk at which the run begins.
    chunk_start: usize,
    position: u64,
    first_batch: u64,
    base_offset: i64,
}

/// The bytes of the half-full last block, at most 4 KiB.
#[derive(Debug)]
enum Carry {
    /// A slice of the chunk of the run before. It keeps that chunk in use.
    Shared(Slice),
    /// A copy on the heap, so that the log holds no chunk.
    Owned(Box<[u8]>),
}

impl Deref for Carry {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A write that the tail has planned.
#[derive(Debug)]
pub(super) struct PlannedWrite {
    /// Base offset of the segment that is written to.
    pub(super) segment: i64,
    /// Position in the file, a multiple of 4 KiB.
    pub(super) position: u64,
    /// The bytes to write; their length is a multiple of 4 KiB.
    pub(super) bytes: Slice,
    /// File position after the last byte of batches in the write. Padding lies beyond.
    pub(super) content_end: u64,
    /// Whether the last block is padded, so that it will be written again.
    pub(super) is_padded: bool,
}

/// Frozen bytes of a closed run that have no planned write yet.
#[derive(Debug)]
struct Unplanned {
    segment: i64,
    position: u64,
    bytes: Slice,
    content_end: u64,
}

/// The tail of a log; see the module.
#[derive(Debug)]
pub(super) struct Tail {
    segment: i64,
    /// File position after the last batch.
    end: u64,
    next_offset: i64,
    active: Option<ActiveRun>,
    /// The bytes of the half-full last block, if no active run holds them.
    carry: Option<Carry>,
    /// Runs that take no more batches, kept for readers.
    closed: VecDeque<Run>,
    /// Bytes that the closed runs take of their chunks.
    closed_bytes: usize,
    unplanned: VecDeque<Unplanned>,
    /// File position up to which writes of the active run are planned, a multiple of 4 KiB.
    planned_to: u64,
    /// File position up to which planned writes hold all batches.
    planned_content: u64,
    /// Index into [`CHUNK_CLASSES`] of the size that the next chunk gets.
    chunk_class: usize,
    /// Time at which the newest chunk was taken.
    chunk_since: Option<Instant>,
}

impl Tail {
    /// The tail of a log whose next record gets `next_offset`. It needs a segment before it takes batches.
    pub(super) const fn new(next_offset: i64) -> Self {
        Self {
            segment: next_offset,
            end: 0,
            next_offset,
            active: None,
            carry: None,
            closed: VecDeque::new(),
            closed_bytes: 0,
            unplanned: VecDeque::new(),
            planned_to: 0,
            planned_content: 0,
            chunk_class: 0,
            chunk_since: None,
        }
    }

    /// Begins the segment that starts with the next offset, at file position 0.
    ///
    /// # Panics
    /// If the segment before was not closed.
    pub(super) fn begin_segment(&mut self) {
        assert!(self.active.is_none() && self.carry.is_none(), "the segment before is closed");
        self.segment = self.next_offset;
        self.end = 0;
        self.planned_to = 0;
        self.planned_content = 0;
    }

    /// Ends the current segment. The rest of its bytes is padded and may be written at once.
    pub(super) fn close_segment(&mut self) {
        if let Some(mut active) = self.active.take() {
            active.chunk.pad_to_block();
            self.freeze_rest(&active, self.end);
            self.close_run(&active, ChunkUse::Ends);
        }
        self.carry = None;
    }

    /// Size of the current segment, bytes.
    pub(super) const fn segment_bytes(&self) -> u64 {
        self.end
    }

    /// Offset of the next record.
    pub(super) const fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Copies a batch in and stamps it with its offset and the epoch. Returns false and changes nothing if the arena
    /// has no chunk for it.
    pub(super) fn append(&mut self, arena: &Arena, batch: &[u8], header: &BatchHeader, stamp: Stamp) -> bool {
        if !self.ensure_chunk(arena, batch.len(), stamp) {
            return false;
        }
        let base_offset = self.next_offset;
        let active = self.active.as_mut().expect("ensure_chunk has begun a run");
        active.chunk.append_with(batch, |bytes| record::stamp(bytes, base_offset, stamp.epoch));
        self.end += batch.len() as u64;
        self.next_offset = base_offset + header.next_offset() - header.base_offset;
        true
    }

    fn ensure_chunk(&mut self, arena: &Arena, batch_bytes: usize, stamp: Stamp) -> bool {
        let Some(needed_bytes) = self.chunk_bytes_for(batch_bytes) else { return true };
        let Some(chunk) = self.next_chunk(arena, needed_bytes, stamp) else { return false };
        if self.active.is_some() {
            self.leave_chunk();
        }
        self.begin_run(chunk);
        true
    }

    /// Closes the active run at the end of its chunk. Its full blocks are written from this run, the half-full block
    /// from the next one.
    fn leave_chunk(&mut self) {
        let active = self.active.take().expect("only a log with an active run leaves a chunk");
        let block_end = align_down(self.end, BLOCK);
        self.freeze_rest(&active, block_end);
        self.keep_carry(&active);
        self.close_run(&active, ChunkUse::Ends);
    }

    /// Releases the chunk of a log that is written to its end. Its batches become evictable, and the bytes of its
    /// half-full block move to the heap.
    ///
    /// # Panics
    /// If bytes are left to write. No write may be in flight either, because the next run writes the half-full block
    /// again.
    pub(super) fn release_chunk(&mut self) {
        assert!(
            self.unplanned.is_empty() && self.planned_content >= self.end,
            "the log is written to its end"
        );
        if let Some(active) = self.active.take() {
            self.keep_carry(&active);
            self.close_run(&active, ChunkUse::Ends);
        }
        if let Some(Carry::Shared(bytes)) = &self.carry {
            self.carry = Some(Carry::Owned(bytes.to_vec().into_boxed_slice()));
        }
        // A log whose chunk is released appends little, so it begins again with a small one.
        (self.chunk_class, self.chunk_since) = (0, None);
    }

    /// Bytes of the new chunk that an append of `batch_bytes` needs. `None` if the chunk in use has space for the
    /// batch.
    pub(super) fn chunk_bytes_for(&self, batch_bytes: usize) -> Option<usize> {
        let fits = self.active.as_ref().is_some_and(|active| fits(&active.chunk, batch_bytes));
        (!fits).then_some(batch_bytes + 2 * BLOCK_BYTES)
    }

    fn keep_carry(&mut self, active: &ActiveRun) {
        let block_end = align_down(self.end, BLOCK);
        self.carry = (self.end > block_end).then(|| {
            let at = active.chunk_start + usize_of(block_end - active.position);
            Carry::Shared(active.chunk.slice(at..at + usize_of(self.end - block_end)))
        });
    }

    /// Queues the bytes of the active run that have no planned write yet, up to `content_end` and the end of its block.
    fn freeze_rest(&mut self, active: &ActiveRun, content_end: u64) {
        let to = align_up(content_end, BLOCK);
        if to <= self.planned_to || content_end <= self.planned_content {
            return;
        }
        let at = active.chunk_start + usize_of(self.planned_to - active.position);
        self.unplanned.push_back(Unplanned {
            segment: self.segment,
            position: self.planned_to,
            bytes: active.chunk.slice(at..at + usize_of(to - self.planned_to)),
            content_end,
        });
        self.planned_to = to;
        self.planned_content = content_end;
    }

    fn close_run(&mut self, active: &ActiveRun, chunk_use: ChunkUse) {
        let end = match chunk_use {
            ChunkUse::Continues => active.chunk.len(),
            ChunkUse::Ends => active.chunk.capacity(),
        };
        let memory_bytes = end - active.chunk_start;
        if let Some(run) = self.run_of(active) {
            self.closed_bytes += memory_bytes;
            self.closed.push_back(Run { memory_bytes, ..run });
        }
    }

    /// The active run as readers see it. `None` if no batch begins in it.
    fn run_of(&self, active: &ActiveRun) -> Option<Run> {
        if active.base_offset == self.next_offset {
            return None;
        }
        let len = usize_of(self.end - active.position);
        Some(Run {
            segment: self.segment,
            position: active.position,
            first_batch: active.first_batch,
            end: self.end,
            base_offset: active.base_offset,
            next_offset: self.next_offset,
            bytes: active.chunk.slice(active.chunk_start..active.chunk_start + len),
            memory_bytes: 0,
        })
    }

    /// Allocates a chunk of the size that fits the partition's rate of appends. If the arena has none, allocates the
    /// smallest one that is large enough.
    fn next_chunk(&mut self, arena: &Arena, needed_bytes: usize, stamp: Stamp) -> Option<ChunkMut> {
        if let Some(since) = self.chunk_since {
            let filled_in = stamp.now.saturating_duration_since(since);
            let largest =
                CHUNK_CLASSES.iter().filter(|bytes| **bytes <= stamp.chunk_bytes_max).count().max(1) - 1;
            if filled_in < FAST_FILL {
                self.chunk_class = (self.chunk_class + 1).min(largest);
            } else if filled_in > FAST_FILL * 10 {
                self.chunk_class = self.chunk_class.saturating_sub(1);
            }
        }
        let wanted = CHUNK_CLASSES[self.chunk_class].min(RUN_CHUNK_BYTES_MAX).max(needed_bytes);
        let chunk = arena.allocate(wanted).or_else(|| arena.allocate(needed_bytes))?;
        self.chunk_since = Some(stamp.now);
        Some(chunk)
    }

    /// Begins a run at the chunk's next block with a copy of the half-full block's bytes.
    fn begin_run(&mut self, mut chunk: ChunkMut) {
        assert_eq!(chunk.len() % BLOCK_BYTES, 0, "address and position agree mod 4096");
        let chunk_start = chunk.len();
        if let Some(carry) = self.carry.take() {
            chunk.append(&carry);
        }
        let position = align_down(self.end, BLOCK);
        self.planned_to = position;
        self.active = Some(ActiveRun {
            chunk,
            chunk_start,
            position,
            first_batch: self.end,
            base_offset: self.next_offset,
        });
    }

    /// Returns the next write, of at most `bytes_max`. Full writes may begin at any time. The rest of the tail is
    /// written only with [`TailFlush::Allowed`], which the caller may pass while nothing is in flight.
    pub(super) fn next_write(&mut self, bytes_max: usize, flush: TailFlush) -> Option<PlannedWrite> {
        if let Some(write) = self.next_unplanned(bytes_max) {
            return Some(write);
        }
        let active = self.active.as_ref()?;
        let full = usize_of(align_down(self.end, BLOCK).saturating_sub(self.planned_to));
        if full >= bytes_max {
            let at = active.chunk_start + usize_of(self.planned_to - active.position);
            let write = PlannedWrite {
                segment: self.segment,
                position: self.planned_to,
                bytes: active.chunk.slice(at..at + bytes_max),
                content_end: self.planned_to + bytes_max as u64,
                is_padded: false,
            };
            self.planned_to += bytes_max as u64;
            self.planned_content = self.planned_to;
            return Some(write);
        }
        if flush == TailFlush::Held || self.end <= self.planned_content {
            return None;
        }
        self.flush_tail();
        self.next_unplanned(usize::MAX)
    }

    /// Freezes all bytes up to the last batch, and pads the last block in place. Later appends use fresh blocks.
    fn flush_tail(&mut self) {
        let mut active = self.active.take().expect("next_write has checked that there is one");
        self.keep_carry(&active);
        active.chunk.pad_to_block();
        self.freeze_rest(&active, self.end);
        let is_used_up = active.chunk.remaining() < 2 * BLOCK_BYTES;
        self.close_run(&active, if is_used_up { ChunkUse::Ends } else { ChunkUse::Continues });
        if !is_used_up {
            self.begin_run(active.chunk);
        }
    }

    /// Base offset of the segment that the next write belongs to.
    pub(super) fn next_write_segment(&self) -> i64 {
        self.unplanned.front().map_or(self.segment, |unplanned| unplanned.segment)
    }

    fn next_unplanned(&mut self, bytes_max: usize) -> Option<PlannedWrite> {
        let front = self.unplanned.front_mut()?;
        if front.bytes.len() > bytes_max {
            let bytes = front.bytes.part(0..bytes_max);
            let write = PlannedWrite {
                segment: front.segment,
                position: front.position,
                bytes,
                content_end: front.position + bytes_max as u64,
                is_padded: false,
            };
            front.bytes = front.bytes.part(bytes_max..front.bytes.len());
            front.position += bytes_max as u64;
            return Some(write);
        }
        let last = self.unplanned.pop_front()?;
        let is_padded = last.content_end % BLOCK != 0;
        let Unplanned { segment, position, bytes, content_end } = last;
        Some(PlannedWrite { segment, position, bytes, content_end, is_padded })
    }

    /// The run that holds `offset`, if it is in memory.
    pub(super) fn run_at(&self, offset: i64) -> Option<RunRef<'_>> {
        if let Some(active) = &self.active
            && offset >= active.base_offset
        {
            return self.run_of(active).filter(|run| offset < run.next_offset).map(RunRef::Active);
        }
        let after = self.closed.partition_point(|run| run.base_offset <= offset);
        let run = self.closed.get(after.checked_sub(1)?)?;
        (offset < run.next_offset).then_some(RunRef::Closed(run))
    }

    /// The segment, position and offset of the first batch in memory. `None` if no batch is in memory.
    pub(super) fn cached_from(&self) -> Option<(i64, u64, i64)> {
        if let Some(run) = self.closed.front() {
            return Some((run.segment, run.first_batch, run.base_offset));
        }
        let active = self.active.as_ref()?;
        (active.base_offset < self.next_offset).then_some((
            self.segment,
            active.first_batch,
            active.base_offset,
        ))
    }

    /// Evicts the oldest runs that end at or below `written_offset`, until at most `keep_bytes` are held.
    pub(super) fn evict(&mut self, keep_bytes: usize, written_offset: i64) {
        while self.closed_bytes > keep_bytes
            && let Some(run) = self.closed.front()
            && run.next_offset <= written_offset
        {
            self.closed_bytes -= run.memory_bytes;
            self.closed.pop_front();
        }
    }
}

/// Whether a chunk has space for a batch. One block stays free, so that the tail can always be padded in place.
const fn fits(chunk: &ChunkMut, batch_bytes: usize) -> bool {
    chunk.remaining() >= batch_bytes + BLOCK_BYTES
}

/// Whether appends use a chunk after the run that ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkUse {
    Continues,
    Ends,
}

/// A run found by [`Tail::run_at`].
pub(super) enum RunRef<'a> {
    Closed(&'a Run),
    Active(Run),
}

impl std::ops::Deref for RunRef<'_> {
    type Target = Run;

    fn deref(&self) -> &Run {
        match self {
            Self::Closed(run) => run,
            Self::Active(run) => run,
        }
    }
}

/// The values that an append is stamped with, and those that decide the size of its chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) epoch: i32,
    pub(super) now: Instant,
    pub(super) chunk_bytes_max: usize,
}

/// Whether a half-full block may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TailFlush {
    Allowed,
    Held,
}
