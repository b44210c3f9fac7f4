//! The memory mapping, and the handles that point into it. All unsafe code of the arena is in this file.

use super::references::References;
use super::{BLOCK_BYTES, CHUNK_BYTES_MAX, CHUNK_CLASSES};
use crate::num::u32_of;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::fmt;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Size of a unit, bytes: the smallest class of chunks. The chunk table has an entry for each unit.
pub(super) const UNIT_BYTES: usize = CHUNK_CLASSES[0];

pub(super) const UNITS_PER_BLOCK: usize = CHUNK_BYTES_MAX / UNIT_BYTES;

/// One aligned anonymous mapping, cut into units.
pub(super) struct Region {
    base: NonNull<u8>,
    bytes: usize,
    references: References,
    /// First unit of the blocks that are reserved for reads; readers never pin these.
    reserved_from: u32,
    /// Count of the pinned slices of each block. A pin counts as its whole block. Otherwise pins of small chunks in
    /// many blocks could keep all these blocks from holding a large chunk.
    pins: Box<[AtomicU32]>,
    /// Bytes of the blocks that have a pinned slice.
    pinned_bytes: AtomicUsize,
}

// SAFETY: the mapping lives as long as the region. A `ChunkMut` is the only writer of its chunk, above its `len`. A
// `Slice` reads below it. The counters are atomic.
unsafe impl Send for Region {}
// SAFETY: as above; shared access only reads immutable bytes and touches atomics.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `bytes`, a multiple of [`CHUNK_BYTES_MAX`]. The mapping is aligned to that size, and uses huge pages where
    /// the kernel has some. The last `reserved_bytes` are for reads alone.
    pub(super) fn map(bytes: usize, reserved_bytes: usize) -> std::io::Result<Self> {
        assert_eq!(bytes % CHUNK_BYTES_MAX, 0, "the arena is whole blocks");
        let spare = CHUNK_BYTES_MAX;
        // SAFETY: a fresh private anonymous mapping at an address of the kernel's choice aliases nothing.
        let mapping = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                bytes + spare,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let skip = mapping.align_offset(CHUNK_BYTES_MAX);
        // SAFETY: `skip` is less than `spare`, so the result stays within the mapping; the unaligned ends go back.
        let base = unsafe {
            if skip > 0 {
                rustix::mm::munmap(mapping, skip)?;
            }
            let base = mapping.cast::<u8>().add(skip);
            if spare > skip {
                rustix::mm::munmap(base.add(bytes).cast(), spare - skip)?;
            }
            // This is only advice: without huge pages the arena works too, a little slower.
            let _ = rustix::mm::madvise(base.cast(), bytes, Advice::LinuxHugepage);
            base
        };
        let units = bytes / UNIT_BYTES;
        Ok(Self {
            base: NonNull::new(base).expect("mmap does not return null"),
            bytes,
            references: References::new(units),
            reserved_from: u32_of((bytes - reserved_bytes) / UNIT_BYTES),
            pins: (0..bytes / CHUNK_BYTES_MAX).map(|_| AtomicU32::new(0)).collect(),
            pinned_bytes: AtomicUsize::new(0),
        })
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn pinned_bytes(&self) -> usize {
        self.pinned_bytes.load(Ordering::Relaxed)
    }

    pub(super) const fn base(&self) -> *const u8 {
        self.base.as_ptr()
    }

    /// Returns the reference counts of the chunks, with the queue of the chunks that have returned.
    pub(super) const fn references(&self) -> &References {
        &self.references
    }

    /// Whether a unit lies in the blocks that are reserved for reads.
    pub(super) const fn is_reserved(&self, unit: u32) -> bool {
        unit >= self.reserved_from
    }

    /// Returns the count of pinned slices of the block that a unit lies in.
    fn pins(&self, unit: u32) -> &AtomicU32 {
        &self.pins[unit as usize / UNITS_PER_BLOCK]
    }

    fn unit_ptr(&self, unit: u32) -> *mut u8 {
        // SAFETY: units come from this region's table, so the result is inside the mapping.
        unsafe { self.base.as_ptr().add(unit as usize * UNIT_BYTES) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped in `map`, and nothing points here any more: every slice owns the region.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "the region was mapped with these bounds");
    }
}

/// The only writer of a chunk. It only appends: bytes below [`ChunkMut::len`] never change again.
pub struct ChunkMut {
    region: Arc<Region>,
    unit: u32,
    len: usize,
    capacity: usize,
}

impl ChunkMut {
    /// Takes a free chunk into use.
    pub(super) fn new(region: &Arc<Region>, unit: u32, class: u8) -> Self {
        region.references.take(unit, class);
        Self { region: Arc::clone(region), unit, len: 0, capacity: CHUNK_CLASSES[usize::from(class)] }
    }

    /// Returns the number of bytes written.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is written yet.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of bytes that still fit.
    pub const fn remaining(&self) -> usize {
        self.capacity - self.len
    }

    /// Returns the size of the chunk, bytes.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Appends a copy of `bytes`. `finish` may change the copy before it becomes immutable.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn append_with(&mut self, bytes: &[u8], finish: impl FnOnce(&mut [u8])) {
        assert!(bytes.len() <= self.remaining(), "callers ask `remaining` first");
        // SAFETY: [len, len + bytes) lies in this chunk, above everything a slice may show, and `&mut self` is the
        // chunk's only writer.
        let room = unsafe {
            std::slice::from_raw_parts_mut(self.region.unit_ptr(self.unit).add(self.len), bytes.len())
        };
        room.copy_from_slice(bytes);
        finish(room);
        self.len += bytes.len();
    }

    /// Appends `bytes`.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn append(&mut self, bytes: &[u8]) {
        self.append_with(bytes, |_| {});
    }

    /// Appends zeros up to the next block boundary.
    pub fn pad_to_block(&mut self) {
        const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
        let pad = self.len.next_multiple_of(BLOCK_BYTES) - self.len;
        self.append(&ZEROS[..pad]);
    }

    /// Returns a shared view of bytes that are already written.
    ///
    /// # Panics
    /// If `range` reaches beyond [`ChunkMut::len`].
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.len, "slices show written bytes only");
        self.region.references.retain(self.unit);
        Slice {
            region: Arc::clone(&self.region),
            unit: self.unit,
            start: u32_of(range.start),
            len: u32_of(range.end - range.start),
        }
    }
}

impl Drop for ChunkMut {
    fn drop(&mut self) {
        self.region.references.release(self.unit);
    }
}

impl fmt::Debug for ChunkMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkMut({} of {} bytes)", self.len, self.capacity)
    }
}

/// Immutable bytes of a chunk, shared by reference count. A slice keeps its chunk and its region alive.
pub struct Slice {
    region: Arc<Region>,
    unit: u32,
    start: u32,
    len: u32,
}

impl Slice {
    /// Returns a part of this slice.
    ///
    /// # Panics
    /// If `range` is not inside it.
    pub fn part(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len(), "a part lies inside");
        let mut part = self.clone();
        part.start += u32_of(range.start);
        part.len = u32_of(range.end - range.start);
        part
    }

    /// Pins the slice for a reader: its block counts as pinned. Returns `None` if all pinned blocks together would
    /// exceed `limit_bytes`, or if the block is reserved for reads.
    pub fn try_pin(&self, limit_bytes: usize) -> Option<PinnedSlice> {
        let region = &self.region;
        let is_pinned = region.pins(self.unit).load(Ordering::Relaxed) > 0;
        let is_too_much = !is_pinned && region.pinned_bytes() + CHUNK_BYTES_MAX > limit_bytes;
        if is_too_much || region.is_reserved(self.unit) {
            return None;
        }
        Some(PinnedSlice::new(self.clone()))
    }
}

impl Clone for Slice {
    fn clone(&self) -> Self {
        self.region.references.retain(self.unit);
        Self { region: Arc::clone(&self.region), unit: self.unit, start: self.start, len: self.len }
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        self.region.references.release(self.unit);
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: slices are made of written bytes (`ChunkMut::slice`, `ReadBuffer::freeze`), which nobody writes again
        // while a reference to the chunk lives, and this is one.
        unsafe {
            std::slice::from_raw_parts(
                self.region.unit_ptr(self.unit).add(self.start as usize),
                self.len as usize,
            )
        }
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({} bytes)", self.len)
    }
}

/// A slice that a reader holds. Its block counts as pinned until the last pinned slice of the block is dropped.
#[derive(Debug)]
pub struct PinnedSlice(Slice);

impl PinnedSlice {
    fn new(slice: Slice) -> Self {
        let region = &slice.region;
        if region.pins(slice.unit).fetch_add(1, Ordering::Relaxed) == 0 {
            region.pinned_bytes.fetch_add(CHUNK_BYTES_MAX, Ordering::Relaxed);
        }
        Self(slice)
    }
}

impl Clone for PinnedSlice {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl Drop for PinnedSlice {
    fn drop(&mut self) {
        let region = &self.0.region;
        if region.pins(self.0.unit).fetch_sub(1, Ordering::Relaxed) == 1 {
            region.pinned_bytes.fetch_sub(CHUNK_BYTES_MAX, Ordering::Relaxed);
        }
    }
}

impl Deref for PinnedSlice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A whole chunk that one read from the disk fills. It is immutable once frozen.
pub struct ReadBuffer {
    chunk: ChunkMut,
}

impl ReadBuffer {
    pub(super) const fn new(chunk: ChunkMut) -> Self {
        Self { chunk }
    }

    /// Returns the number of bytes that fit.
    pub const fn capacity(&self) -> usize {
        self.chunk.capacity
    }

    /// Returns the address at which the kernel may write `capacity` bytes while it owns this buffer.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.chunk.region.unit_ptr(self.chunk.unit)
    }

    /// Copies `bytes` to byte `at` of the buffer. A simulated disk fills buffers with this; for a real disk, the kernel
    /// does it.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn fill(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.capacity(), "a read fits its buffer");
        // SAFETY: inside the chunk, of which nothing is shown yet (`len` is 0), and `&mut self` is its only owner.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.as_mut_ptr().add(at), bytes.len());
        }
    }

    /// Returns the first `len_bytes`, which are immutable from now on. Bytes that no read has filled keep their earlier
    /// content.
    ///
    /// # Panics
    /// If the buffer is smaller.
    pub fn freeze(mut self, len_bytes: usize) -> Slice {
        assert!(len_bytes <= self.capacity(), "a read fits its buffer");
        // Anonymous memory is always initialised, so showing bytes that no read filled is not unsound.
        self.chunk.len = len_bytes;
        self.chunk.slice(0..len_bytes)
    }
}

impl fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadBuffer({} bytes)", self.capacity())
    }
}
