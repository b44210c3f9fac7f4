//! The memory that a slice reads into and writes from. It is page-aligned, already touched, and filled with bytes that
//! do not compress.

use super::DeviceError;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, SeedableRng as _};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::io;
use std::ptr::{self, NonNull};

/// Size of a huge page in bytes. A mapping is aligned to it, so that the kernel can use huge pages for it.
const HUGE_PAGE: usize = 2 << 20;

/// One private anonymous mapping, owned by one thread at a time.
#[derive(Debug)]
pub(super) struct Buffers {
    mapping: NonNull<u8>,
    mapped: usize,
    /// The first boundary of a huge page in the mapping. The usable bytes begin here.
    start: NonNull<u8>,
    length: usize,
}

impl Buffers {
    /// Maps `length` bytes (at least 1) and fills them with random bytes. So the first operations are neither slowed
    /// down by the first touch of a page, nor sped up by a device that compresses. The same bytes are written again and
    /// again: a device that removes duplicates would look better than it is.
    ///
    /// The memory lies on huge pages if the kernel has some, as an engine's memory would. A virtual disk was seen to
    /// read twice as fast into huge pages, and a ceiling must not be lower than the systems that are compared with it.
    pub(super) fn new(length: usize) -> Result<Self, DeviceError> {
        assert!(length > 0, "a mapping has at least one byte");
        let mapped = length.next_multiple_of(HUGE_PAGE) + HUGE_PAGE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let mapping = unsafe { mmap_anonymous(ptr::null_mut(), mapped, protection, MapFlags::PRIVATE) };
        let mapping = mapping
            .map_err(io::Error::from)
            .map_err(|source| DeviceError::Ring { action: "map its buffers", source })?;
        // SAFETY: the advice covers exactly the mapping that was just made, and changes none of its bytes. Its result is
        // ignored, because the mapping also works without huge pages.
        let _ = unsafe { madvise(mapping, mapped, Advice::LinuxHugepage) };
        let mapping = NonNull::new(mapping.cast::<u8>()).expect("mmap never returns null without MAP_FIXED");
        let skipped = mapping.as_ptr().align_offset(HUGE_PAGE);
        assert!(skipped < HUGE_PAGE, "an address of bytes can be aligned to anything");
        // SAFETY: `skipped` is less than the huge page that was mapped beyond `length`.
        let start = unsafe { mapping.add(skipped) };
        let mut buffers = Self { mapping, mapped, start, length };
        Xoshiro256PlusPlus::seed_from_u64(0x5eed).fill_bytes(buffers.bytes_mut());
        Ok(buffers)
    }

    /// Returns the address of the byte at `offset`.
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.length, "an operation lies within the buffers");
        // SAFETY: `start` lies in one mapping that has `length` bytes from there on, and `offset` is less than `length`.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// Returns the usable length in bytes.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Returns all usable bytes. No operation of a ring may be in flight, as those use raw addresses from [`Buffers::at`].
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is `length` initialised (zeroed) bytes, lives as long as self, and is borrowed mutably
        // here. A ring that operates on it owns it (`Ring` never hands it out), so the kernel is not writing to it.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`, to which no reference outlives self.
        let unmapped = unsafe { munmap(self.mapping.as_ptr().cast(), self.mapped) };
        debug_assert!(unmapped.is_ok(), "the mapping made in new is still there");
    }
}
