//! The reference counts of a region's chunks, and the queue in which chunks return. The last drop, on any thread, queues the
//! chunk; the arena's owner takes it from there. No memory is touched here.
//!
//! Every atomic operation on whose order the safety of chunks depends is in this file. `interleavings` compiles it a second
//! time, with loom's atomics, and tries all orders in which threads can meet.

use super::sync::{AtomicBool, AtomicU8, AtomicU32, Ordering, ReturnQueue, fence};
use std::sync::OnceLock;
use std::task::Waker;

/// What is known of a chunk, at the index of its first unit.
struct ChunkMeta {
    /// Slices, writers and reads that keep it.
    refs: AtomicU32,
    /// Index into [`CHUNK_CLASSES`](super::CHUNK_CLASSES); changes only while `refs` is 0.
    class: AtomicU8,
}

/// See the module.
pub(super) struct References {
    chunks: Box<[ChunkMeta]>,
    /// First units of chunks whose last reference is gone; never full, it has room for every unit.
    returned: ReturnQueue,
    /// Whether somebody waits for memory; see [`References::want`].
    is_wanted: AtomicBool,
    /// Woken when memory returns while it is wanted.
    notifier: OnceLock<Waker>,
}

impl References {
    /// Counts for `units` units, none of which is in use.
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

    /// Drops a reference. The last one queues the chunk, and wakes the notifier where memory is wanted.
    pub(super) fn release(&self, unit: u32) {
        if self.meta(unit).refs.fetch_sub(1, Ordering::Release) == 1 {
            // Everything done through the other references happens before the chunk's next life.
            fence(Ordering::Acquire);
            assert!(self.returned.push(unit).is_ok(), "there is room for every unit");
            // Pairs with the fence in `want`. This is the last reference of a chunk, not each slice: it costs little.
            fence(Ordering::SeqCst);
            if self.is_wanted.load(Ordering::Relaxed)
                && self.is_wanted.swap(false, Ordering::Relaxed)
                && let Some(notifier) = self.notifier.get()
            {
                notifier.wake_by_ref();
            }
        }
    }

    /// The next chunk that has returned: its first unit, and its class.
    pub(super) fn pop_returned(&self) -> Option<(u32, u8)> {
        let unit = self.returned.pop()?;
        Some((unit, self.meta(unit).class.load(Ordering::Relaxed)))
    }

    /// Sets the waker that [`References::release`] wakes while memory is wanted. The first one stays.
    pub(super) fn set_notifier(&self, notifier: Waker) {
        let _ = self.notifier.set(notifier);
    }

    /// Has the next release of a chunk, on any thread, wake the notifier, once.
    ///
    /// The order matters on both sides, for a lost wake would leave an append waiting for ever. The side that waits sets the
    /// flag, passes a fence, and then looks at the returned chunks once more. The side that releases queues its chunk,
    /// passes a fence, and then looks at the flag. Of two sequentially consistent fences one comes first. If it is that of
    /// the waiting side, the other side sees the flag and wakes. If it is that of the releasing side, the waiting side sees
    /// the chunk. So the caller tries to allocate again after this call, and only then waits.
    pub(super) fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}
