//! The 61-byte header of a RecordBatch v2, and its checks. The records themselves are not decoded here.
//!
//! ```text
//!  byte  0        8         12       16     17     21           23                 27
//!        ┌────────┬─────────┬────────┬──────┬──────┬────────────┬──────────────────┬───
//!        │ base   │ batch   │ leader │magic │ CRC  │ attributes │ last offset      │
//!        │ offset │ length  │ epoch  │ = 2  │ 32C  │            │ delta            │ …
//!        │ i64    │ i32     │ i32    │ i8   │ u32  │ i16        │ i32              │
//!        └────────┴─────────┴────────┴──────┴──────┴────────────┴──────────────────┴───
//!  byte  27          35          43         51         53         57         61
//!     ───┬───────────┬───────────┬──────────┬──────────┬──────────┬──────────┬─────────────
//!        │ base      │ max       │ producer │ producer │ base     │ record   │ records,
//!      … │ timestamp │ timestamp │ id       │ epoch    │ sequence │ count    │ `count` of them
//!        │ i64, ms   │ i64, ms   │ i64      │ i16      │ i32      │ i32      │
//!     ───┴───────────┴───────────┴──────────┴──────────┴──────────┴──────────┴─────────────
//!  All big-endian. `batch length` counts the bytes from `leader epoch` to the end; the CRC32C (Castagnoli) covers those
//!  from `attributes` to the end. So base offset, batch length, leader epoch and magic are outside it, and the log stamps
//!  offset and epoch without recomputing it.
//!  attributes: bits 0–2 codec, 3 timestamp type (1 = log append), 4 transactional, 5 control, 6 delete horizon
//! ```
//!
//! Source: Kafka's documentation, "Record Batch", and `DefaultRecordBatch.java`.

use super::BatchError;
use super::compression::Compression;

/// Size of the header, bytes. The first record begins behind it.
pub const BATCH_HEADER_BYTES: usize = 61;

const MAGIC: u8 = 2;
/// Size of the base offset and the batch length, bytes, which `batch_length` does not count.
const PREAMBLE_BYTES: usize = 12;
/// `batch_length` of a batch without records.
const BATCH_LENGTH_MIN: u32 = 49;
const CRC_AT: usize = 17;
/// First byte the CRC covers.
const CRC_COVERS_FROM: usize = 21;
/// Size of the smallest record, bytes. Length, attributes, two deltas, key length, value length and header count take
/// one byte each.
const RECORD_BYTES_MIN: u32 = 7;

const TIMESTAMP_TYPE_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// The source of a batch's timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer: each record has a timestamp of its own.
    #[default]
    Create,
    /// The log: every record has the batch's max timestamp.
    LogAppend,
}

/// The attributes of a batch. Bits that Kafka does not define are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Codec of the records.
    pub compression: Compression,
    /// The source of the timestamps.
    pub timestamp_type: TimestampType,
    /// Whether the batch is part of a transaction.
    pub transactional: bool,
    /// Whether this is a control batch (transaction markers), which consumers never see.
    pub control: bool,
    /// Whether `base_timestamp_ms` is the time from which on tombstones may be compacted away.
    pub delete_horizon: bool,
}

impl Attributes {
    const fn from_bits(bits: i16) -> Result<Self, BatchError> {
        let compression = match Compression::from_attributes(bits) {
            Ok(compression) => compression,
            Err(code) => return Err(BatchError::BadCompression { code }),
        };
        let log_append = bits & TIMESTAMP_TYPE_BIT != 0;
        Ok(Self {
            compression,
            timestamp_type: if log_append { TimestampType::LogAppend } else { TimestampType::Create },
            transactional: bits & TRANSACTIONAL_BIT != 0,
            control: bits & CONTROL_BIT != 0,
            delete_horizon: bits & DELETE_HORIZON_BIT != 0,
        })
    }

    const fn bits(self) -> i16 {
        let mut bits = self.compression.bits();
        if matches!(self.timestamp_type, TimestampType::LogAppend) {
            bits |= TIMESTAMP_TYPE_BIT;
        }
        if self.transactional {
            bits |= TRANSACTIONAL_BIT;
        }
        if self.control {
            bits |= CONTROL_BIT;
        }
        if self.delete_horizon {
            bits |= DELETE_HORIZON_BIT;
        }
        bits
    }
}

/// A checked header. For every header that [`BatchHeader::parse`] accepts, no method panics or overflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 or more. Outside the CRC.
    pub base_offset: i64,
    /// Bytes after this field: [`BatchHeader::total_bytes`] − 12.
    pub batch_length: u32,
    /// Epoch of the log that appended the batch; −1 before. Outside the CRC.
    pub partition_leader_epoch: i32,
    /// The stored CRC32C, unverified: see [`verify_crc`].
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: Attributes,
    /// Last offset − base offset. More than `record_count` − 1 in a compacted batch.
    pub last_offset_delta: u32,
    /// Timestamp to which the records' timestamp deltas are relative: the first record's.
    pub base_timestamp_ms: i64,
    /// Largest timestamp of the batch.
    pub max_timestamp_ms: i64,
    /// Idempotent producer's id, or −1.
    pub producer_id: i64,
    /// Idempotent producer's epoch, or −1.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or −1.
    pub base_sequence: i32,
    /// Records in the batch.
    pub record_count: u32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`, which need not hold the records.
    ///
    /// # Errors
    /// [`BatchError::TooShort`] under 61 bytes; `BadMagic`, `BadLength`, `BadOffset`, `BadCompression` and `BadCount` for
    /// fields that no writer produces. The CRC is not checked: see [`verify_crc`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(header) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(BatchError::TooShort {
                needed_bytes: BATCH_HEADER_BYTES,
                available_bytes: bytes.len(),
            });
        };
        if header[16] != MAGIC {
            return Err(BatchError::BadMagic { magic: header[16] });
        }
        let batch_length = check_batch_length(i32::from_be_bytes(field(header, 8)))?;
        let attributes = Attributes::from_bits(i16::from_be_bytes(field(header, 21)))?;
        let base_offset = i64::from_be_bytes(field(header, 0));
        let last_offset_delta = i32::from_be_bytes(field(header, 23));
        // The number behind the last offset must be a valid offset too, as it becomes the log end offset.
        if base_offset < 0 || base_offset.checked_add(i64::from(last_offset_delta) + 1).is_none() {
            return Err(BatchError::BadOffset { base_offset });
        }
        let record_count = i32::from_be_bytes(field(header, 57));
        let (record_count, last_offset_delta) =
            check_counts(record_count, last_offset_delta, batch_length, attributes.compression)?;
        Ok(Self {
            base_offset,
            batch_length,
            partition_leader_epoch: i32::from_be_bytes(field(header, 12)),
            crc: u32::from_be_bytes(field(header, CRC_AT)),
            attributes,
            last_offset_delta,
            base_timestamp_ms: i64::from_be_bytes(field(header, 27)),
            max_timestamp_ms: i64::from_be_bytes(field(header, 35)),
            producer_id: i64::from_be_bytes(field(header, 43)),
            producer_epoch: i16::from_be_bytes(field(header, 51)),
            base_sequence: i32::from_be_bytes(field(header, 53)),
            record_count,
        })
    }

    /// Returns the size of the whole batch, header included, bytes.
    pub const fn total_bytes(&self) -> usize {
        PREAMBLE_BYTES + self.batch_length as usize
    }

    /// Returns the offset of the last record.
    pub const fn last_offset(&self) -> i64 {
        self.base_offset + self.last_offset_delta as i64
    }

    /// Returns the offset after the last one, at which the next batch of a log begins.
    pub const fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// Whether every offset of the batch has its record, as in every batch that a producer sends. Compaction leaves gaps.
    pub const fn is_dense(&self) -> bool {
        self.record_count as u64 == self.last_offset_delta as u64 + 1
    }

    /// Returns the codec of the records.
    pub const fn compression(&self) -> Compression {
        self.attributes.compression
    }

    /// Returns the source of the batch's timestamps.
    pub const fn timestamp_type(&self) -> TimestampType {
        self.attributes.timestamp_type
    }

    /// Whether the batch is part of a transaction.
    pub const fn is_transactional(&self) -> bool {
        self.attributes.transactional
    }

    /// Whether this is a control batch, which consumers never see.
    pub const fn is_control(&self) -> bool {
        self.attributes.control
    }

    /// Returns the header as bytes. The CRC in it is `self.crc`, which is not computed again.
    pub(super) fn to_bytes(self) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        bytes[16] = MAGIC;
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.bits().to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp_ms.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp_ms.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        bytes
    }
}

/// Returns `N` bytes of the header from `at` on. The range is constant and inside the array, so the compiler removes
/// the check.
fn field<const N: usize>(header: &[u8; BATCH_HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

fn check_batch_length(batch_length: i32) -> Result<u32, BatchError> {
    match u32::try_from(batch_length) {
        Ok(length) if length >= BATCH_LENGTH_MIN => Ok(length),
        _ => Err(BatchError::BadLength { batch_length }),
    }
}

/// Returns the record count and the last offset delta, if a batch of this length can have them.
fn check_counts(
    record_count: i32,
    last_offset_delta: i32,
    batch_length: u32,
    compression: Compression,
) -> Result<(u32, u32), BatchError> {
    let bad = BatchError::BadCount { record_count, last_offset_delta };
    let count = u32::try_from(record_count).map_err(|_| bad)?;
    let delta = u32::try_from(last_offset_delta).map_err(|_| bad)?;
    let records_max = match compression {
        Compression::None => (batch_length - BATCH_LENGTH_MIN) / RECORD_BYTES_MIN,
        _ => u32::MAX,
    };
    // Compaction may leave fewer records than offsets, even none.
    if count > records_max || u64::from(count) > u64::from(delta) + 1 {
        return Err(bad);
    }
    Ok((count, delta))
}

/// Returns the size in bytes of the batch that `bytes` begins with. Only its first 12 bytes are needed.
///
/// # Errors
/// [`BatchError::TooShort`] under 12 bytes, [`BatchError::BadLength`] if no batch can have this length.
pub fn peek_total_bytes(bytes: &[u8]) -> Result<usize, BatchError> {
    let Some(preamble) = bytes.first_chunk::<PREAMBLE_BYTES>() else {
        return Err(BatchError::TooShort { needed_bytes: PREAMBLE_BYTES, available_bytes: bytes.len() });
    };
    let [.., a, b, c, d] = *preamble;
    Ok(PREAMBLE_BYTES + check_batch_length(i32::from_be_bytes([a, b, c, d]))? as usize)
}

/// Writes base offset and leader epoch into the batch at the front of `batch`, in place. The CRC covers neither of
/// them, so it stays right.
///
/// # Panics
/// If `batch` is shorter than a header: callers parse before they stamp.
pub fn stamp(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    assert!(batch.len() >= BATCH_HEADER_BYTES, "stamp of {} bytes, which are no batch", batch.len());
    batch[0..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Checks the CRC32C of the batch at the front of `bytes`. Bytes behind the batch are ignored.
///
/// # Errors
/// [`BatchError::TooShort`] if the batch is not whole, [`BatchError::BadLength`], [`BatchError::BadCrc`].
pub fn verify_crc(bytes: &[u8]) -> Result<(), BatchError> {
    let total_bytes = peek_total_bytes(bytes)?;
    let Some(batch) = bytes.get(..total_bytes) else {
        return Err(BatchError::TooShort { needed_bytes: total_bytes, available_bytes: bytes.len() });
    };
    let stored = u32::from_be_bytes([batch[17], batch[18], batch[19], batch[20]]);
    let computed = crc_of(batch);
    if stored == computed { Ok(()) } else { Err(BatchError::BadCrc { stored, computed }) }
}

/// Returns the CRC32C of a whole batch, from `attributes` to its end.
fn crc_of(batch: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(&batch[CRC_COVERS_FROM..])
}

/// Writes `header` over the first 61 bytes of `batch`, and then the CRC of the batch.
///
/// # Panics
/// If `batch` is shorter than a header, or its length is not the one that `header` gives.
pub(super) fn write_header(batch: &mut [u8], header: &BatchHeader) {
    assert_eq!(batch.len(), header.total_bytes(), "a batch is as long as its header says");
    batch[..BATCH_HEADER_BYTES].copy_from_slice(&header.to_bytes());
    let crc = crc_of(batch);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}
