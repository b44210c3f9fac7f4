//! A window over a file that moves forward. Its first reads are small, as most logs that a process left behind are
//! short. Then it reads ahead, so that the device has several reads at the same time.

use crate::buffer::{Arena, BLOCK_BYTES, ReadBuffer};
use crate::disk::DiskFile;
use crate::error::DiskError;
use crate::num::{align_down, usize_of};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt as _};

/// Size of the largest read, bytes.
pub(super) const READ_BYTES_MAX: usize = 1 << 20;

/// Size of the first read, bytes. Each further read is four times as large as the one before, up to the largest size.
const READ_BYTES_MIN: usize = 16 << 10;

/// Largest number of reads in flight, once they have the largest size.
const READS_AHEAD: usize = 4;

type Read<'a> = LocalBoxFuture<'a, Result<(ReadBuffer, usize), DiskError>>;

/// A window over a file; see the module.
pub(super) struct Window<'a, F> {
    file: &'a F,
    arena: &'a Arena,
    /// The bytes of the file from [`Window::position`] on.
    pub(super) bytes: Vec<u8>,
    /// Position in the file of `bytes[0]`.
    pub(super) position: u64,
    /// Position in the file at which reading ends.
    file_bytes: u64,
    /// Reads in flight, in the file's order.
    reads: FuturesOrdered<Read<'a>>,
    /// Position of the next read to begin.
    next_read: u64,
    /// Size of the next read to begin, bytes.
    read_bytes: usize,
    /// Bytes of the next read that lie before the window, as every read begins at a block.
    skip: usize,
}

impl<'a, F: DiskFile> Window<'a, F> {
    /// Returns an empty window that begins at `position` of a file of `file_bytes`.
    pub(super) fn new(file: &'a F, arena: &'a Arena, position: u64, file_bytes: u64) -> Self {
        let next_read = align_down(position, BLOCK_BYTES as u64);
        Self {
            file,
            arena,
            bytes: Vec::new(),
            position,
            file_bytes,
            reads: FuturesOrdered::new(),
            next_read,
            read_bytes: READ_BYTES_MIN,
            skip: usize_of(position - next_read),
        }
    }

    /// Reads until the window has `wanted` bytes, or the file ends.
    pub(super) async fn fill(&mut self, wanted: usize) -> Result<(), DiskError> {
        while self.bytes.len() < wanted {
            self.begin_reads();
            let Some(read) = self.reads.next().await else { break };
            let (buffer, read_bytes) = read?;
            let slice = buffer.freeze(read_bytes);
            let skip = std::mem::take(&mut self.skip);
            self.bytes.extend_from_slice(slice.get(skip..).unwrap_or_default());
            // A read may bring bytes behind the end, as its size is a multiple of a block.
            let left = usize_of(self.file_bytes - self.position);
            self.bytes.truncate(left);
        }
        Ok(())
    }

    /// Begins reads, at least one if none is in flight. Reads beyond the first are left out if the arena has no memory
    /// for them.
    fn begin_reads(&mut self) {
        let depth = if self.read_bytes < READ_BYTES_MAX { 1 } else { READS_AHEAD };
        while self.reads.len() < depth && self.next_read < self.file_bytes {
            let buffer = match self.arena.allocate_read(self.read_bytes) {
                Some(buffer) => buffer,
                None if self.reads.is_empty() => own_buffer(),
                None => break,
            };
            self.reads.push_back(self.file.read(buffer, self.next_read, self.read_bytes).boxed_local());
            self.next_read += self.read_bytes as u64;
            self.read_bytes = (self.read_bytes * 4).min(READ_BYTES_MAX);
        }
    }

    /// Drops the first `bytes` of the window.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
        self.position += bytes as u64;
    }
}

/// Returns memory for one read, in a mapping of its own. It is for times when the arena is used up.
fn own_buffer() -> ReadBuffer {
    let own = Arena::new(READ_BYTES_MAX).expect("2 MiB can be mapped, or nothing works any more");
    own.allocate_read(READ_BYTES_MAX).expect("it is new and large enough")
}
