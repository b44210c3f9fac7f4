//! The arena: one aligned mapping a shard, cut into reference-counted chunks that encode, write, tail cache, fetch and
//! socket share. It never copies, never grows, and knows nothing of files.
//!
//! ```text
//! region  | block 2 MiB | block 2 MiB | …            a block holds chunks of one class
//! block   | chunk | chunk | chunk | …                classes: 16 KiB, 64 KiB, 256 KiB, 1 MiB, 2 MiB
//! chunk   | written once, immutable ────► len | free one writer; slices only below len
//! ```
//!
//! A slice owns its region. Its last drop, on any thread, only queues the chunk back to the shard, which reclaims it at
//! its next allocation. Who waits for memory says so ([`Arena::want`]) and is woken by the next chunk that returns.
//!
//! A few blocks are reserved for reads that somebody waits for: a read always gets a buffer in the end, whoever holds the
//! rest, as a reserved block comes back as soon as its bytes are copied.

mod arena;
#[cfg(test)]
mod interleavings;
mod next_read;
mod reads;
mod references;
mod region;
mod sync;

pub use crate::sizes::{BLOCK_BYTES, CHUNK_BYTES_MAX};
pub use arena::{Arena, ArenaUsage};
pub use region::{ChunkMut, PinnedSlice, ReadBuffer, Slice};

/// Chunk sizes, bytes, smallest first.
pub const CHUNK_CLASSES: [usize; 5] = [16 << 10, 64 << 10, 256 << 10, 1 << 20, CHUNK_BYTES_MAX];

/// Bytes as a consumer holds them: in the arena, or copied to the heap where pinning more would slow producers.
#[derive(Debug, Clone)]
pub enum SharedBytes {
    /// Borrowed from the arena, counted against `fetch_pinned_bytes`.
    Arena(PinnedSlice),
    /// A copy.
    Heap(std::sync::Arc<[u8]>),
}

impl std::ops::Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Arena(slice) => slice,
            Self::Heap(bytes) => bytes,
        }
    }
}
