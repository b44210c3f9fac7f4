//! A window over a file that moves forward. It begins with small reads, as most logs that a process left behind are short,
//! and then reads ahead, so that the device has several reads to do at the same time.

use crate::buffer::{Arena, BLOCK_BYTES, ReadBuffer};
use crate::disk::DiskFile;
use crate::error::DiskError;
use crate::num::{align_down, usize_of};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt as _};

/// Bytes of the largest read.
pub(super) const READ_BYTES_MAX: usize = 1 << 20;

/// Bytes of the first read. Each further one is four times as large as the one before, up to the largest.
const READ_BYTES_MIN: usize = 16 << 10;

/// Most reads in flight, once they are of the largest size.
const READS_AHEAD: usize = 4;

type Read<'a> = LocalBoxFuture<'a, Result<(ReadBuffer, usize), DiskError>>;

/// See the module.
pub(super) struct Window<'a, F> {
    file: &'a F,
    arena: &'a Arena,
    /// Bytes of the file from [`Window::position`] on.
    pub(super) bytes: Vec<u8>,
    /// Position in the file of `bytes[0]`.
    pub(super) position: u64,
    file_bytes: u64,
    /// Reads in flight, in the file's order.
    reads: FuturesOrdered<Read<'a>>,
    /// Position of the next read to begin.
    next_read: u64,
    /// Bytes of the next read to begin.
    read_bytes: usize,
    /// Bytes of the next read that lie before the window: it begins at a block.
    skip: usize,
}

impl<'a, F: DiskFile> Window<'a, F> {
    /// A window that begins, empty, at `position` of a file of `file_bytes`.
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

    /// Reads on until `wanted` bytes are there, or the file ends.
    pub(super) async fn fill(&mut self, wanted: usize) -> Result<(), DiskError> {
        while self.bytes.len() < wanted {
            self.begin_reads();
            let Some(read) = self.reads.next().await else { break };
            let (buffer, read_bytes) = read?;
            let slice = buffer.freeze(read_bytes);
            let skip = std::mem::take(&mut self.skip);
            self.bytes.extend_from_slice(slice.get(skip..).unwrap_or_default());
            // The size may have been asked before the file's end was cut, and a read goes to the end of a block.
            let left = usize_of(self.file_bytes - self.position);
            self.bytes.truncate(left);
        }
        Ok(())
    }

    /// Begins reads, one at least if none is in flight. Those beyond the first are left out where the arena has no memory for
    /// them.
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

    pub(super) fn advance(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
        self.position += bytes as u64;
    }
}

/// Memory for one read in a mapping of its own, while the arena is used up.
fn own_buffer() -> ReadBuffer {
    let own = Arena::new(READ_BYTES_MAX).expect("2 MiB can be mapped, or nothing works any more");
    own.allocate_read(READ_BYTES_MAX).expect("it is new and large enough")
}
