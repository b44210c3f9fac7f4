//! Allocation: free blocks and free chunks by class. Owned by one shard; only drops come from elsewhere.

use super::region::{Region, UNIT_BYTES};
use super::{CHUNK_BYTES_MAX, CHUNK_CLASSES, ChunkMut, ReadBuffer, Slice};
use crate::num::u32_of;
use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

const UNITS_PER_BLOCK: usize = CHUNK_BYTES_MAX / UNIT_BYTES;
const CLASSES: usize = CHUNK_CLASSES.len();

/// What [`Arena::zeros`] gives, bytes.
const ZEROS_BYTES: usize = 256 << 10;

/// A shard's memory for records: bounded, aligned, shared by reference count.
pub struct Arena {
    region: Arc<Region>,
    free: RefCell<FreeLists>,
    zeros: OnceCell<Slice>,
}

/// How much of an arena is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArenaUsage {
    /// Bytes in all.
    pub capacity_bytes: usize,
    /// Bytes of chunks in use, whoever holds them.
    pub used_bytes: usize,
    /// Bytes of chunks that readers pin.
    pub pinned_bytes: usize,
}

struct FreeLists {
    /// First units of blocks that hold no chunk.
    blocks: Vec<u32>,
    /// First units of free chunks, by class, in blocks of that class.
    chunks: [Vec<u32>; CLASSES],
    /// Chunks in use, by block; a block without any goes back to `blocks`.
    in_use: Vec<u32>,
    used_bytes: usize,
}

impl Arena {
    /// Maps an arena of `bytes`, rounded up to whole 2 MiB blocks.
    ///
    /// # Errors
    /// The kernel refuses the mapping.
    pub fn new(bytes: usize) -> std::io::Result<Self> {
        let bytes = bytes.next_multiple_of(CHUNK_BYTES_MAX).max(CHUNK_BYTES_MAX);
        let region = Arc::new(Region::map(bytes)?);
        let blocks = bytes / CHUNK_BYTES_MAX;
        let free = FreeLists {
            blocks: (0..blocks).rev().map(|block| u32_of(block * UNITS_PER_BLOCK)).collect(),
            chunks: std::array::from_fn(|_| Vec::new()),
            in_use: vec![0; blocks],
            used_bytes: 0,
        };
        Ok(Self { region, free: RefCell::new(free), zeros: OnceCell::new() })
    }

    /// A chunk of at least `bytes`, of the smallest class that holds them; `None` while the arena is used up.
    ///
    /// # Panics
    /// If `bytes` is above [`CHUNK_BYTES_MAX`].
    pub fn allocate(&self, bytes: usize) -> Option<ChunkMut> {
        let class = CHUNK_CLASSES.iter().position(|class_bytes| bytes <= *class_bytes);
        let class = class.expect("callers bound what they ask for by CHUNK_BYTES_MAX");
        let mut free = self.free.borrow_mut();
        if free.chunks[class].is_empty() {
            self.reclaim(&mut free);
        }
        let unit = free.take(class)?;
        let class = u8::try_from(class).expect("there are five classes");
        Some(ChunkMut::new(&self.region, unit, class))
    }

    /// A chunk for a read of up to `bytes`.
    ///
    /// # Panics
    /// If `bytes` is above [`CHUNK_BYTES_MAX`].
    pub fn allocate_read(&self, bytes: usize) -> Option<ReadBuffer> {
        self.allocate(bytes).map(ReadBuffer::new)
    }

    /// Zeros to write into files, 256 KiB, the same for everybody; kept once they were asked for.
    ///
    /// # Panics
    /// If nothing is left and the kernel refuses another 2 MiB.
    pub fn zeros(&self) -> Slice {
        let zeros = self.zeros.get_or_init(|| {
            let mut chunk = self.allocate(ZEROS_BYTES).unwrap_or_else(|| {
                let own = Self::new(CHUNK_BYTES_MAX).expect("2 MiB can be mapped, or nothing works any more");
                own.allocate(ZEROS_BYTES).expect("it is new and large enough")
            });
            chunk.append(&vec![0; ZEROS_BYTES]);
            chunk.slice(0..ZEROS_BYTES)
        });
        zeros.clone()
    }

    /// How much is in use now.
    pub fn usage(&self) -> ArenaUsage {
        let mut free = self.free.borrow_mut();
        self.reclaim(&mut free);
        ArenaUsage {
            capacity_bytes: self.region.bytes(),
            used_bytes: free.used_bytes,
            pinned_bytes: self.region.pinned_bytes(),
        }
    }

    /// Whether `bytes` lie in this arena: what shows that a consumer's records are borrowed, not copied.
    pub fn contains(&self, bytes: &[u8]) -> bool {
        let base = self.region.base().addr();
        let start = bytes.as_ptr().addr();
        start >= base && start + bytes.len() <= base + self.region.bytes()
    }

    /// The whole mapping, to register with a ring: (address, bytes).
    pub fn mapping(&self) -> (*const u8, usize) {
        (self.region.base(), self.region.bytes())
    }

    fn reclaim(&self, free: &mut FreeLists) {
        while let Some((unit, class)) = self.region.pop_returned() {
            free.give_back(unit, usize::from(class));
        }
    }
}

impl FreeLists {
    fn take(&mut self, class: usize) -> Option<u32> {
        if self.chunks[class].is_empty() {
            self.carve(class)?;
        }
        let unit = self.chunks[class].pop()?;
        self.in_use[unit as usize / UNITS_PER_BLOCK] += 1;
        self.used_bytes += CHUNK_CLASSES[class];
        Some(unit)
    }

    fn carve(&mut self, class: usize) -> Option<()> {
        let first = self.blocks.pop()?;
        let step = CHUNK_CLASSES[class] / UNIT_BYTES;
        let units = (0..UNITS_PER_BLOCK).step_by(step).rev();
        self.chunks[class].extend(units.map(|unit| first + u32_of(unit)));
        Some(())
    }

    fn give_back(&mut self, unit: u32, class: usize) {
        self.used_bytes -= CHUNK_CLASSES[class];
        self.chunks[class].push(unit);
        let block = unit as usize / UNITS_PER_BLOCK;
        self.in_use[block] -= 1;
        if self.in_use[block] == 0 {
            self.chunks[class].retain(|unit| *unit as usize / UNITS_PER_BLOCK != block);
            self.blocks.push(u32_of(block * UNITS_PER_BLOCK));
        }
    }
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Arena({} bytes)", self.region.bytes())
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "tests")]
mod tests {
    use super::*;
    use crate::buffer::Slice;
    use proptest::prelude::*;

    #[test]
    fn a_slice_outlives_its_arena_and_is_dropped_anywhere() {
        let arena = Arena::new(CHUNK_BYTES_MAX).unwrap();
        let mut chunk = arena.allocate(100).unwrap();
        chunk.append(b"hello");
        let slice = chunk.slice(0..5);
        assert!(arena.contains(&slice));
        drop((chunk, arena));
        std::thread::spawn(move || assert_eq!(&*slice, b"hello")).join().unwrap();
    }

    #[test]
    fn pins_are_counted_by_chunk_and_bounded() {
        let arena = Arena::new(CHUNK_BYTES_MAX).unwrap();
        let mut chunk = arena.allocate(16 << 10).unwrap();
        chunk.append(b"0123456789");
        let first = chunk.slice(0..5).try_pin(16 << 10).unwrap();
        let second = chunk.slice(5..10).try_pin(16 << 10).unwrap();
        assert_eq!(arena.usage().pinned_bytes, 16 << 10);
        let mut other = arena.allocate(16 << 10).unwrap();
        other.append(b"x");
        assert!(other.slice(0..1).try_pin(16 << 10).is_none());
        drop((first, second));
        assert_eq!(arena.usage().pinned_bytes, 0);
        assert!(other.slice(0..1).try_pin(16 << 10).is_some());
    }

    proptest! {
        /// Chunks never overlap, contents stay what was written, and everything comes back in the end.
        #[test]
        fn chunks_are_disjoint_and_come_back(ops in prop::collection::vec((0usize..5, any::<bool>()), 1..200)) {
            let arena = Arena::new(4 * CHUNK_BYTES_MAX).unwrap();
            let mut held: Vec<(u8, Slice)> = Vec::new();
            for (step, (class, drop_one)) in ops.into_iter().enumerate() {
                if drop_one && !held.is_empty() {
                    held.swap_remove(step % held.len());
                } else if let Some(mut chunk) = arena.allocate(CHUNK_CLASSES[class]) {
                    prop_assert_eq!(chunk.capacity(), CHUNK_CLASSES[class]);
                    let mark = step as u8;
                    chunk.append(&vec![mark; chunk.capacity()]);
                    held.push((mark, chunk.slice(0..chunk.len())));
                }
                let used: usize = held.iter().map(|(_, slice)| slice.len()).sum();
                prop_assert_eq!(arena.usage().used_bytes, used);
            }
            for (mark, slice) in &held {
                prop_assert!(slice.iter().all(|byte| byte == mark));
                prop_assert_eq!(slice.as_ptr().addr() % super::super::BLOCK_BYTES, 0);
            }
            held.clear();
            prop_assert_eq!(arena.usage().used_bytes, 0);
            let whole: Vec<_> = (0..4).map(|_| arena.allocate(CHUNK_BYTES_MAX)).collect();
            prop_assert!(whole.iter().all(Option::is_some));
        }
    }
}
