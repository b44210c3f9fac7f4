//! The arena: one aligned memory mapping for each shard, cut into reference-counted chunks. Encoding, writes, the tail
//! cache, fetches and sockets share the chunks. The arena never copies, never grows, and knows nothing about files.
//!
//! ```text
//! region  | block 2 MiB | block 2 MiB | …            a block holds chunks of one class
//! block   | chunk | chunk | chunk | …                classes: 16 KiB, 64 KiB, 256 KiB, 1 MiB, 2 MiB
//! chunk   | written once, immutable ────► len | free |   one writer; slices only below len
//! ```
//!
//! A slice keeps its region alive. Dropping the last reference of a chunk, on any thread, only queues the chunk. The
//! shard reclaims it at its next allocation. Code that waits for memory calls [`Arena::want`], and the next chunk that
//! returns wakes it.
//!
//! A few blocks are reserved for reads that a caller waits for. Such a read always gets a buffer in the end, even if
//! all other blocks stay in use: a reserved block comes back as soon as its bytes are copied.

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

/// Bytes that a consumer holds: in the arena, or copied to the heap if pinning more of the arena would slow producers.
#[derive(Debug, Clone)]
pub enum SharedBytes {
    /// Borrowed from the arena, counted against `fetch_pinned_bytes`.
    Arena(PinnedSlice),
    /// A copy on the heap.
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
