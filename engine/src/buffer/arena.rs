//! Allocation from free blocks, and from the free chunks of each class. One shard owns the arena; other threads only
//! drop references.

use super::reads::ReadQueue;
use super::region::{Region, UNIT_BYTES, UNITS_PER_BLOCK};
use super::{CHUNK_BYTES_MAX, CHUNK_CLASSES, ChunkMut, ReadBuffer, Slice};
use crate::num::u32_of;
use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;
use std::task::Waker;

const CLASSES: usize = CHUNK_CLASSES.len();

/// Size of the slice that [`Arena::zeros`] returns, bytes.
const ZEROS_BYTES: usize = 256 << 10;

/// One block out of this many is reserved for reads.
const RESERVED_SHARE: usize = 8;

/// Largest number of blocks that are reserved for reads. Each allows one read of up to 2 MiB in flight while nothing
/// else is free.
const RESERVED_BLOCKS_MAX: usize = 4;

/// A shard's memory for records. It is bounded, aligned, and shared by reference count.
pub struct Arena {
    region: Arc<Region>,
    free: RefCell<FreeLists>,
    zeros: OnceCell<Slice>,
    /// Reads that wait for a buffer.
    pub(super) reads: ReadQueue,
    /// Whether appends wait for memory. While they do, reads leave returning memory to the appends.
    has_waiting_appends: Cell<bool>,
}

/// The usage of an arena's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArenaUsage {
    /// Size of the arena, bytes.
    pub capacity_bytes: usize,
    /// Bytes of all chunks in use: those of clients, logs and caches together.
    pub used_bytes: usize,
    /// Bytes of the 2 MiB blocks in which readers pin slices.
    pub pinned_bytes: usize,
}

struct FreeLists {
    /// First units of blocks that hold no chunk.
    blocks: Vec<u32>,
    /// First units of the blocks that are reserved for reads and not in use.
    reserve: Vec<u32>,
    /// Number of blocks that are not reserved; the reserved ones come after them.
    block_count: usize,
    /// First units of free chunks, by class, in blocks of that class.
    chunks: [Vec<u32>; CLASSES],
    /// Count of the chunks in use, for each block. A block without any goes back to `blocks`.
    in_use: Vec<u32>,
    used_bytes: usize,
}

impl Arena {
    /// Maps an arena of `bytes`, rounded up to whole 2 MiB blocks. One block in eight, four at most, is reserved for reads.
    ///
    /// # Errors
    /// The kernel refuses the mapping.
    pub fn new(bytes: usize) -> std::io::Result<Self> {
        let bytes = bytes.next_multiple_of(CHUNK_BYTES_MAX).max(CHUNK_BYTES_MAX);
        let blocks = bytes / CHUNK_BYTES_MAX;
        let reserved = (blocks / RESERVED_SHARE).min(RESERVED_BLOCKS_MAX);
        let region = Arc::new(Region::map(bytes, reserved * CHUNK_BYTES_MAX)?);
        let block_count = blocks - reserved;
        let first_unit = |block| u32_of(block * UNITS_PER_BLOCK);
        let free = FreeLists {
            blocks: (0..block_count).rev().map(first_unit).collect(),
            reserve: (block_count..blocks).map(first_unit).collect(),
            block_count,
            chunks: std::array::from_fn(|_| Vec::new()),
            in_use: vec![0; blocks],
            used_bytes: 0,
        };
        Ok(Self {
            region,
            free: RefCell::new(free),
            zeros: OnceCell::new(),
            reads: ReadQueue::default(),
            has_waiting_appends: Cell::new(false),
        })
    }

    /// Returns a chunk of at least `bytes`, of the smallest class that is large enough and has a free chunk. Returns
    /// `None` while the arena is used up.
    ///
    /// # Panics
    /// If `bytes` is above [`CHUNK_BYTES_MAX`].
    pub fn allocate(&self, bytes: usize) -> Option<ChunkMut> {
        let class = class_of(bytes);
        let mut free = self.free.borrow_mut();
        if free.chunks[class].is_empty() {
            self.reclaim(&mut free);
        }
        let (unit, class) = free.take(class)?;
        Some(self.chunk(unit, class))
    }

    fn chunk(&self, unit: u32, class: usize) -> ChunkMut {
        let class = u8::try_from(class).expect("there are five classes");
        ChunkMut::new(&self.region, unit, class)
    }

    /// Whether [`Arena::allocate`] would return a chunk of `bytes` now.
    ///
    /// # Panics
    /// If `bytes` is above [`CHUNK_BYTES_MAX`].
    pub fn has_room(&self, bytes: usize) -> bool {
        let class = class_of(bytes);
        let mut free = self.free.borrow_mut();
        if free.class_for(class).is_none() {
            self.reclaim(&mut free);
        }
        free.class_for(class).is_some()
    }

    /// Returns a chunk for a read of up to `bytes` that the caller can do without. Returns `None` while memory is
    /// short.
    ///
    /// # Panics
    /// If `bytes` is above [`CHUNK_BYTES_MAX`].
    pub fn allocate_read(&self, bytes: usize) -> Option<ReadBuffer> {
        if self.reads.is_empty() { self.unreserved_read(bytes) } else { None }
    }

    fn unreserved_read(&self, bytes: usize) -> Option<ReadBuffer> {
        if self.has_waiting_appends.get() { None } else { self.allocate(bytes).map(ReadBuffer::new) }
    }

    /// Returns the buffer for the read that is next in the queue. Returns `None` while there is no memory.
    pub(super) fn take_read_buffer(&self, bytes: usize) -> Option<ReadBuffer> {
        self.unreserved_read(bytes).or_else(|| {
            let mut free = self.free.borrow_mut();
            self.reclaim(&mut free);
            let unit = free.take_reserved()?;
            Some(ReadBuffer::new(self.chunk(unit, CLASSES - 1)))
        })
    }

    /// Sets the waker that is woken, from any thread, when memory returns after [`Arena::want`]. The waker's owner then
    /// calls [`Arena::wake_reads`], and repeats its other operations that wait for memory.
    pub fn set_notifier(&self, notifier: Waker) {
        self.region.references().set_notifier(notifier);
    }

    /// Makes the next chunk that returns wake the notifier. Memory may have returned before this call. So the caller
    /// has to try again after it, and only then may wait.
    pub fn want(&self) {
        self.region.references().want();
    }

    /// Wakes the read that has waited longest, which then tries again. Each read that succeeds wakes the next one.
    pub fn wake_reads(&self) {
        self.reads.wake_next();
    }

    /// Sets whether appends wait for memory. While they do, reads use only the reserved blocks.
    pub fn set_waiting_appends(&self, has_waiting: bool) {
        self.has_waiting_appends.set(has_waiting);
    }

    /// Returns 256 KiB of zeros, to write into files. The first call makes the slice, and every call shares it.
    ///
    /// # Panics
    /// If the arena is used up and the kernel refuses another 2 MiB.
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

    /// Returns the current usage.
    pub fn usage(&self) -> ArenaUsage {
        let mut free = self.free.borrow_mut();
        self.reclaim(&mut free);
        ArenaUsage {
            capacity_bytes: self.region.bytes(),
            used_bytes: free.used_bytes,
            pinned_bytes: self.region.pinned_bytes(),
        }
    }

    /// Whether `bytes` lie in this arena. This shows that a consumer's records are borrowed, and not copied.
    pub fn contains(&self, bytes: &[u8]) -> bool {
        let base = self.region.base().addr();
        let start = bytes.as_ptr().addr();
        start >= base && start + bytes.len() <= base + self.region.bytes()
    }

    /// Returns the address and the size of the whole mapping, to register it with a ring.
    pub fn mapping(&self) -> (*const u8, usize) {
        (self.region.base(), self.region.bytes())
    }

    fn reclaim(&self, free: &mut FreeLists) {
        while let Some((unit, class)) = self.region.references().pop_returned() {
            free.give_back(unit, usize::from(class));
        }
    }
}

/// Returns the smallest class whose chunks hold `bytes`.
fn class_of(bytes: usize) -> usize {
    let class = CHUNK_CLASSES.iter().position(|class_bytes| bytes <= *class_bytes);
    class.expect("callers bound what they ask for by CHUNK_BYTES_MAX")
}

impl FreeLists {
    /// Returns the class to take a chunk of at least `class` from: that class, or a larger one if its chunks and the
    /// blocks are used up.
    fn class_for(&self, class: usize) -> Option<usize> {
        if !self.blocks.is_empty() {
            return Some(class);
        }
        (class..CLASSES).find(|class| !self.chunks[*class].is_empty())
    }

    /// Takes a free chunk of at least `class`. Returns its first unit and its class.
    fn take(&mut self, class: usize) -> Option<(u32, usize)> {
        let class = if self.chunks[class].is_empty() { self.class_for(class)? } else { class };
        if self.chunks[class].is_empty() {
            self.carve(class)?;
        }
        let unit = self.chunks[class].pop()?;
        self.count_taken(unit, class);
        Some((unit, class))
    }

    fn take_reserved(&mut self) -> Option<u32> {
        let unit = self.reserve.pop()?;
        self.count_taken(unit, CLASSES - 1);
        Some(unit)
    }

    fn count_taken(&mut self, unit: u32, class: usize) {
        self.in_use[unit as usize / UNITS_PER_BLOCK] += 1;
        self.used_bytes += CHUNK_CLASSES[class];
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
        let block = unit as usize / UNITS_PER_BLOCK;
        self.in_use[block] -= 1;
        if block >= self.block_count {
            self.reserve.push(unit);
            return;
        }
        self.chunks[class].push(unit);
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
    use futures_util::FutureExt as _;
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

    /// Returns an arena with one reserved block, and 2 MiB chunks that use up all its other blocks.
    fn used_up() -> (Arena, Vec<ChunkMut>) {
        let arena = Arena::new(RESERVED_SHARE * CHUNK_BYTES_MAX).unwrap();
        let held: Vec<_> = std::iter::from_fn(|| arena.allocate(CHUNK_BYTES_MAX)).collect();
        assert_eq!(held.len(), RESERVED_SHARE - 1);
        (arena, held)
    }

    #[test]
    fn pins_are_counted_by_block_and_bounded() {
        let arena = Arena::new(4 * CHUNK_BYTES_MAX).unwrap();
        let mut chunk = arena.allocate(16 << 10).unwrap();
        chunk.append(b"0123456789");
        let first = chunk.slice(0..5).try_pin(CHUNK_BYTES_MAX).unwrap();
        let second = chunk.slice(5..10).try_pin(CHUNK_BYTES_MAX).unwrap();
        let mut neighbour = arena.allocate(16 << 10).unwrap();
        neighbour.append(b"x");
        let third = neighbour.slice(0..1).try_pin(CHUNK_BYTES_MAX).unwrap();
        assert_eq!(arena.usage().pinned_bytes, CHUNK_BYTES_MAX);
        let mut other = arena.allocate(64 << 10).unwrap();
        other.append(b"x");
        assert!(other.slice(0..1).try_pin(CHUNK_BYTES_MAX).is_none());
        drop((first, second));
        assert_eq!(arena.usage().pinned_bytes, CHUNK_BYTES_MAX);
        drop(third);
        assert_eq!(arena.usage().pinned_bytes, 0);
        assert!(other.slice(0..1).try_pin(CHUNK_BYTES_MAX).is_some());
    }

    #[test]
    fn a_small_chunk_comes_out_of_a_larger_class_where_nothing_else_is_free() {
        let arena = Arena::new(CHUNK_BYTES_MAX).unwrap();
        let large = arena.allocate(1 << 20).unwrap();
        assert!(arena.has_room(1) && arena.has_room(1 << 20) && !arena.has_room(CHUNK_BYTES_MAX));
        let small = arena.allocate(1).unwrap();
        assert_eq!(small.capacity(), 1 << 20);
        assert!(!arena.has_room(1) && arena.allocate(1).is_none());
        drop((large, small));
        assert!(arena.has_room(CHUNK_BYTES_MAX) && arena.usage().used_bytes == 0);
    }

    #[test]
    fn a_read_finds_a_buffer_though_everything_else_is_held_and_the_next_one_waits_for_it() {
        let (arena, held) = used_up();
        assert!(arena.allocate(1).is_none() && arena.allocate_read(1).is_none());
        let read = arena.next_read_buffer(1 << 20).now_or_never().expect("a block is reserved for reads");
        let mut waiting = [Box::pin(arena.next_read_buffer(1)), Box::pin(arena.next_read_buffer(1))];
        assert!(waiting.iter_mut().all(|read| read.now_or_never().is_none()));
        let slice = read.freeze(10);
        assert!(slice.try_pin(usize::MAX).is_none(), "a reader may not keep a reserved block");
        drop(slice);
        assert!(
            (&mut waiting[1]).now_or_never().is_none(),
            "reads get memory in the order in which they came"
        );
        let first = (&mut waiting[0]).now_or_never().expect("the reserved block is back");
        assert!((&mut waiting[1]).now_or_never().is_none());
        drop(first);
        assert!((&mut waiting[1]).now_or_never().is_some());
        drop(held);
    }

    #[test]
    fn reads_leave_memory_to_appends_that_wait() {
        let (arena, mut held) = used_up();
        arena.set_waiting_appends(true);
        held.pop();
        assert!(arena.allocate_read(1).is_none());
        let reserved = arena.next_read_buffer(1).now_or_never();
        assert!(reserved.is_some() && arena.has_room(CHUNK_BYTES_MAX));
        arena.set_waiting_appends(false);
        assert!(arena.allocate_read(CHUNK_BYTES_MAX).is_some());
    }

    /// A waker that counts its wakes.
    #[derive(Default)]
    struct Counter(std::sync::atomic::AtomicUsize);

    impl std::task::Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[test]
    fn memory_that_is_wanted_wakes_the_notifier_once_on_any_thread() {
        let (arena, mut held) = used_up();
        let counter = Arc::new(Counter::default());
        let woken = || counter.0.load(std::sync::atomic::Ordering::SeqCst);
        arena.set_notifier(Waker::from(Arc::clone(&counter)));
        let (first, second) = (held.pop(), held.pop());
        drop(first);
        assert_eq!(woken(), 0, "nobody waits");
        arena.want();
        std::thread::spawn(move || drop(second)).join().unwrap();
        assert_eq!(woken(), 1);
        drop(held);
        assert_eq!(woken(), 1, "one wake is enough until memory is wanted again");
    }

    #[test]
    fn no_wake_is_lost_between_a_release_and_a_wait() {
        let arena = Arena::new(CHUNK_BYTES_MAX).unwrap();
        let counter = Arc::new(Counter::default());
        arena.set_notifier(Waker::from(Arc::clone(&counter)));
        let (chunks, released) = std::sync::mpsc::channel::<ChunkMut>();
        let releasing = std::thread::spawn(move || released.into_iter().for_each(drop));
        let wakes = || counter.0.load(std::sync::atomic::Ordering::SeqCst);
        for round in 0..20_000 {
            chunks.send(arena.allocate(CHUNK_BYTES_MAX).unwrap()).unwrap();
            let begun = std::time::Instant::now();
            loop {
                let before = wakes();
                arena.want();
                // The chunk is looked for once, as if the thread then slept: only a wake ends the wait.
                if arena.has_room(CHUNK_BYTES_MAX) {
                    break;
                }
                // This may be the wake of the round before, which found its chunk without a wake. Then the loop looks
                // again.
                while wakes() == before {
                    assert!(begun.elapsed().as_secs() < 60, "the wake of round {round} is lost");
                    std::thread::yield_now();
                }
            }
        }
        drop(chunks);
        releasing.join().unwrap();
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
                    prop_assert!(CHUNK_CLASSES[class..].contains(&chunk.capacity()));
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
