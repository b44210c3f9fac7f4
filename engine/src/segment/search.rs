//! A search for batches behind a gap in a segment. No I/O: the caller reads the file and passes its bytes.
//!
//! Behind the end of a log, its file holds zeros. A recycled file holds the batches of an earlier segment there. A
//! record's value may hold any bytes, even valid batches. So the search never looks into a batch: where it finds one,
//! it continues behind it.
//!
//! ```text
//! file   [batch][batch][gap…   ][rest of an old batch][old batch][old batch][zeros
//!                       search ──►  byte by byte      ──► batch by batch
//! ```
//!
//! In the rest of an old batch, whose head was overwritten, the search may take bytes of a value for a batch. A batch
//! is at most [`BATCH_BYTES_MAX`](crate::config::BATCH_BYTES_MAX) long. So a batch counts only if it begins at
//! [`SearchRequest::from`] or later, a position that the caller places beyond that rest.

use crate::record::{self, BATCH_HEADER_BYTES, BatchHeader};

/// Position of the magic number in a batch, and the number.
const MAGIC_AT: usize = 16;
const MAGIC: u8 = 2;

/// Largest number of bytes that one step checksums, not counting its last batch. So a step never takes long, even if
/// the file is full of candidates.
const CHECKSUM_BYTES_A_STEP: usize = 16 << 20;

/// The batches that are searched for.
#[derive(Debug, Clone, Copy)]
pub struct SearchRequest {
    /// File position from which on a batch counts.
    pub from: u64,
    /// The least base offset of a batch that counts.
    pub offset_min: i64,
    /// The least leader epoch of a batch that counts.
    pub epoch_min: i32,
    /// The greatest leader epoch of a batch that counts.
    pub epoch_max: i32,
    /// The size of the largest batch that can have been written, bytes.
    pub batch_bytes_max: usize,
}

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchStep {
    /// No batch was found. The next step begins this many bytes behind the first byte of this one.
    Continue(usize),
    /// A batch that counts was found: how many bytes behind the first byte it begins, and its base offset.
    Found(usize, i64),
}

impl SearchRequest {
    /// Looks for a batch that begins in the first `starts` bytes of `bytes`, which lie at file position `position`.
    /// `bytes` has to reach [`SearchRequest::batch_bytes_max`] beyond `starts`, or to the file's end.
    pub fn step(&self, position: u64, bytes: &[u8], starts: usize) -> SearchStep {
        let mut at = 0;
        let mut checksummed_bytes = 0;
        while at < starts && checksummed_bytes < CHECKSUM_BYTES_A_STEP {
            let Some(candidate) = next_candidate(bytes, at, starts) else {
                return SearchStep::Continue(starts);
            };
            at = candidate;
            let Some(header) = self.parse(&bytes[at..]) else {
                at += 1;
                continue;
            };
            checksummed_bytes += header.total_bytes();
            if record::verify_crc(&bytes[at..at + header.total_bytes()]).is_err() {
                at += 1;
                continue;
            }
            if position + at as u64 >= self.from && self.counts(&header) {
                return SearchStep::Found(at, header.base_offset);
            }
            at += header.total_bytes();
        }
        SearchStep::Continue(at)
    }

    fn parse(&self, bytes: &[u8]) -> Option<BatchHeader> {
        let header = BatchHeader::parse(bytes).ok()?;
        let is_whole = header.total_bytes() <= bytes.len().min(self.batch_bytes_max);
        is_whole.then_some(header)
    }

    fn counts(&self, header: &BatchHeader) -> bool {
        let epochs = self.epoch_min..=self.epoch_max;
        header.base_offset >= self.offset_min && epochs.contains(&header.partition_leader_epoch)
    }
}

/// Returns the first position from `at` on, below `starts`, whose bytes can be a batch's header.
fn next_candidate(bytes: &[u8], at: usize, starts: usize) -> Option<usize> {
    let last = starts.min((bytes.len() + 1).saturating_sub(BATCH_HEADER_BYTES));
    let magics = bytes.get(at + MAGIC_AT..last + MAGIC_AT)?;
    memchr::memchr(MAGIC, magics).map(|found| at + found)
}
