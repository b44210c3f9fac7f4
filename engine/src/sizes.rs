//! Sizes that the configuration and several folders share.

/// Alignment of chunks, and of every address, position and length of direct I/O, bytes.
pub const BLOCK_BYTES: usize = 4096;

/// Size of the largest chunk, bytes. No more than this is contiguous in memory.
pub const CHUNK_BYTES_MAX: usize = 2 << 20;
