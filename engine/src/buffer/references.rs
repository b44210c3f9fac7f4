//! The reference counts of a region's chunks, and the queue in which chunks return. Dropping the last reference, on any
//! thread, queues the chunk. The arena's owner takes it out of the queue. This code never touches a chunk's memory.
//!
//! Every atomic operation on whose order the safety of chunks depends is in this file. `interleavings` compiles it a
//! second time, with loom's atomics, and tries all orders in which threads can interleave.

use super::sync::{AtomicBool, AtomicU8, AtomicU32, Ordering, ReturnQueue, fence};
use std::sync::OnceLock;
use std::task::Waker;

/// The state of a chunk, stored at the index of its first unit.
struct ChunkMeta {
    /// Count of the slices, writers and reads that keep the chunk.
    refs: AtomicU32,
    /// Index into [`CHUNK_CLASSES`](super::CHUNK_CLASSES); changes only while `refs` is 0.
    class: AtomicU8,
}

/// The reference counts of a region's chunks; see the module.
pub(super) struct References {
    chunks: Box<[ChunkMeta]>,
    /// First units of the chunks whose last reference was dropped. The queue has room for every unit, so it is never
    /// full.
    returned: ReturnQueue,
    /// Whether an append or a read waits for memory; see [`References::want`].
    is_wanted: AtomicBool,
    /// Woken when memory returns while it is wanted.
    notifier: OnceLock<Waker>,
}

impl References {
    /// Returns the counts of `units` units, none of which is in use.
    pub(super) fn new(units: usize) -> Self {
        let free = |_| ChunkMeta { refs: AtomicU32::new(0), class: AtomicU8::new(0) };
        Self {
            chunks: (0..units).map(free).collect(),
            returned: ReturnQueue::new(units.max(1)),
            is_wanted: AtomicBool::new(false),
            notifier: OnceLock::new(),
        }
    }

    fn meta(&self, unit: u32) -> &ChunkMeta {
        &self.chunks[unit as usize]
    }

    /// Gives a free chunk its first reference.
    pub(super) fn take(&self, unit: u32, class: u8) {
        let meta = self.meta(unit);
        meta.class.store(class, Ordering::Relaxed);
        let before = meta.refs.swap(1, Ordering::Relaxed);
        assert_eq!(before, 0, "a free chunk has no references");
    }

    /// Adds a reference to a chunk that has one.
    pub(super) fn retain(&self, unit: u32) {
        let before = self.meta(unit).refs.fetch_add(1, Ordering::Relaxed);
        assert!(before > 0 && before < u32::MAX / 2, "a chunk is retained through a live reference");
    }

    /// Drops a reference. Dropping the last one queues the chunk, and wakes the notifier if memory is wanted.
    pub(super) fn release(&self, unit: u32) {
        if self.meta(unit).refs.fetch_sub(1, Ordering::Release) == 1 {
            // Everything done through the other references happens before the chunk is used again.
            fence(Ordering::Acquire);
            assert!(self.returned.push(unit).is_ok(), "there is room for every unit");
            // Pairs with the fence in `want`. It costs little: it runs once for a chunk, not once for each slice.
            fence(Ordering::SeqCst);
            if self.is_wanted.load(Ordering::Relaxed)
                && self.is_wanted.swap(false, Ordering::Relaxed)
                && let Some(notifier) = self.notifier.get()
            {
                notifier.wake_by_ref();
            }
        }
    }

    /// Takes the next chunk out of the queue. Returns its first unit and its class.
    pub(super) fn pop_returned(&self) -> Option<(u32, u8)> {
        let unit = self.returned.pop()?;
        Some((unit, self.meta(unit).class.load(Ordering::Relaxed)))
    }

    /// Sets the waker that [`References::release`] wakes while memory is wanted. A second call changes nothing.
    pub(super) fn set_notifier(&self, notifier: Waker) {
        let _ = self.notifier.set(notifier);
    }

    /// Makes the next chunk that returns, on any thread, wake the notifier, once.
    ///
    /// The order matters on both sides: a lost wake would leave an append waiting for ever. The side that waits sets
    /// the flag, passes a fence, and then looks at the returned chunks once more. The side that releases queues its
    /// chunk, passes a fence, and then looks at the flag. Of two sequentially consistent fences one comes first. If it
    /// is that of the waiting side, the other side sees the flag and wakes. If it is that of the releasing side, the
    /// waiting side sees the chunk. So the caller tries to allocate again after this call, and only then waits.
    pub(super) fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}
