//! Valid bytes: batches, segments with their indexes, checkpoints, and the examples of docs/format.md.

use super::repair::crc_of;
use vnotch_engine::num::u32_of;
use vnotch_engine::record::{BatchBuilder, BatchHeader, RecordRef, stamp};
use vnotch_engine::segment::Indexes;

const FORMAT: &str = include_str!("../../../docs/format.md");

/// The timestamp of the record at offset 0; the record at offset `n` is `n` ms later.
pub const FIRST_TIMESTAMP_MS: i64 = 1_700_000_000_000;

/// Bytes of batches between two index entries of a [`Segment`].
const INDEX_INTERVAL_BYTES: u32 = 1024;

/// Returns the bytes of the first `hex` block after a heading of docs/format.md.
pub fn documented_bytes(heading: &str) -> Vec<u8> {
    let section = FORMAT.split_once(&format!("{heading}\n")).expect("docs/format.md has the heading").1;
    let block = section.split_once("```hex\n").expect("the section has a hex block").1;
    let block = block.split_once("```").expect("the block ends").0;
    let bytes = block.lines().flat_map(|line| line.split(';').next().unwrap_or_default().split_whitespace());
    bytes.map(|byte| u8::from_str_radix(byte, 16).expect("two hex digits")).collect()
}

/// Returns a batch of `count` records with values of `value_bytes`, as a log of this leader epoch keeps it.
pub fn batch(base_offset: i64, count: i64, value_bytes: usize, leader_epoch: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    let value = vec![b'v'; value_bytes];
    for offset in base_offset..base_offset + count {
        let key = offset.to_string();
        let record = RecordRef {
            timestamp_ms: FIRST_TIMESTAMP_MS + offset,
            key: Some(key.as_bytes()),
            value: Some(&value),
            headers: &[],
        };
        builder.push(&record).expect("the record is small");
    }
    let mut bytes = builder.finish().bytes;
    stamp(&mut bytes, base_offset, leader_epoch);
    bytes
}

/// Returns a batch of one record that claims the offsets up to `base_offset + last_offset_delta`, as compaction may
/// leave one.
pub fn sparse_batch(base_offset: i64, last_offset_delta: i32) -> Vec<u8> {
    let mut bytes = batch(base_offset, 1, 10, 1);
    bytes[23..27].copy_from_slice(&last_offset_delta.to_be_bytes());
    let crc = crc_of(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// A sealed segment.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset after the last record.
    pub next_offset: i64,
    /// The bytes of the batches.
    pub log: Vec<u8>,
    /// The bytes of the offset index.
    pub offset_index: Vec<u8>,
    /// The bytes of the time index.
    pub time_index: Vec<u8>,
}

/// Returns a sealed segment of `batches` batches, each with 3 records of about 200 bytes.
pub fn segment(base_offset: i64, batches: i64, leader_epoch: i32) -> Segment {
    let mut log = Vec::new();
    let mut indexes = Indexes::new(base_offset);
    let mut next_offset = base_offset;
    for _ in 0..batches {
        let bytes = batch(next_offset, 3, 180, leader_epoch);
        let header = BatchHeader::parse(&bytes).expect("the builder makes valid batches");
        indexes.observe(&header, u32_of(log.len()), INDEX_INTERVAL_BYTES);
        next_offset = header.next_offset();
        log.extend_from_slice(&bytes);
    }
    indexes.times.index_largest();
    let (offset_index, time_index) = (indexes.offsets.encode(), indexes.times.encode());
    Segment { base_offset, next_offset, log, offset_index, time_index }
}

/// The fields of a checkpoint, as docs/format.md lists them.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoint {
    /// Number of the write, raised by one at each write. Its parity decides the slot.
    pub sequence: u64,
    /// Every segment that begins below this offset is sealed.
    pub recovery_offset: i64,
    /// The first offset of the log.
    pub log_start_offset: i64,
    /// How many bytes behind a gap can have been written.
    pub in_flight_bytes: u64,
    /// The boot of the machine in which the checkpoint was written.
    pub boot_id: u64,
    /// Leader epoch of the last batch below the recovery offset.
    pub epoch: i32,
}

impl Checkpoint {
    /// Returns the bytes of a slot, without the zeros behind them.
    pub fn slot(&self) -> Vec<u8> {
        let mut bytes = b"vncp\0\0\0\x01".to_vec();
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.recovery_offset.to_be_bytes());
        bytes.extend_from_slice(&self.log_start_offset.to_be_bytes());
        bytes.extend_from_slice(&self.in_flight_bytes.to_be_bytes());
        bytes.extend_from_slice(&self.boot_id.to_be_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&crc_of(&bytes).to_be_bytes());
        bytes
    }
}

/// Returns a checkpoint file of two slots, each padded or cut to 4096 bytes.
pub fn checkpoint_file(slots: [&[u8]; 2]) -> Vec<u8> {
    let mut file = vec![0; 8192];
    for (slot, bytes) in file.chunks_mut(4096).zip(slots) {
        let len = bytes.len().min(slot.len());
        slot[..len].copy_from_slice(&bytes[..len]);
    }
    file
}
