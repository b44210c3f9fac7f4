//! The memory a slice reads into and writes from: page-aligned, touched, filled with bytes that do not compress.

use super::DeviceError;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, SeedableRng as _};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::io;
use std::ptr::{self, NonNull};

/// A huge page, and what a mapping is aligned to so that it can have some.
const HUGE_PAGE: usize = 2 << 20;

/// One private anonymous mapping, owned by one thread at a time.
#[derive(Debug)]
pub(super) struct Buffers {
    mapping: NonNull<u8>,
    mapped: usize,
    /// The first huge page's boundary in the mapping.
    start: NonNull<u8>,
    length: usize,
}

impl Buffers {
    /// Maps `length` bytes (not 0) and fills them with random ones, so that neither the first touch of a page nor a
    /// compressing device flatters or spoils the first operations. They are written again and again as they are: a
    /// device that removes duplicates would look better than it is.
    ///
    /// On huge pages where the kernel has some, as an engine's own would be: a virtual disk was seen to read twice as fast
    /// into those, and a ceiling must not be lower than what runs below it.
    pub(super) fn new(length: usize) -> Result<Self, DeviceError> {
        assert!(length > 0, "a mapping has at least one byte");
        let mapped = length.next_multiple_of(HUGE_PAGE) + HUGE_PAGE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let mapping = unsafe { mmap_anonymous(ptr::null_mut(), mapped, protection, MapFlags::PRIVATE) };
        let mapping = mapping
            .map_err(io::Error::from)
            .map_err(|source| DeviceError::Ring { action: "map its buffers", source })?;
        // SAFETY: advice about all of a mapping that was just made. It is no more than that: without huge pages it works
        // too, so what the kernel says to it does not matter.
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

    /// Where the byte at `offset` lies.
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.length, "an operation lies within the buffers");
        // SAFETY: offset is less than the length of the one mapping that start lies in, with `length` bytes from there on.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// Bytes mapped.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// All of it, while no operation of a ring is in flight (those take raw addresses from [`Buffers::at`]).
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
