//! The errors in the bytes of a batch, as kinds to match on. The caller adds positions.

use thiserror::Error;

use super::compression::Compression;

/// The reason why a slice of bytes is not a readable RecordBatch v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The slice ends before the header or the batch does.
    #[error("batch is cut short: {needed_bytes} bytes needed, {available_bytes} there")]
    TooShort {
        /// Bytes the header or the whole batch takes.
        needed_bytes: usize,
        /// Bytes the slice has.
        available_bytes: usize,
    },
    /// The magic byte is not 2: an older message format, or no batch at all.
    #[error("magic byte is {magic}, only RecordBatch v2 is supported")]
    BadMagic {
        /// The byte found.
        magic: u8,
    },
    /// `batch_length` is negative, or smaller than the rest of the header.
    #[error("batch length {batch_length} is not possible")]
    BadLength {
        /// The field as found.
        batch_length: i32,
    },
    /// The base offset is negative, or the last offset does not fit 63 bits.
    #[error("base offset {base_offset} is not possible")]
    BadOffset {
        /// The field as found.
        base_offset: i64,
    },
    /// The record count is negative, more than the offsets the batch spans, or more than its bytes can hold.
    #[error("record count {record_count} is not possible with last offset delta {last_offset_delta}")]
    BadCount {
        /// The field as found.
        record_count: i32,
        /// The field as found.
        last_offset_delta: i32,
    },
    /// The attributes name a codec that Kafka does not define.
    #[error("compression codec {code} is unknown")]
    BadCompression {
        /// The three bits found.
        code: u8,
    },
    /// The CRC32C over attributes and records is not the stored one.
    #[error("CRC mismatch: stored {stored:#010x}, computed {computed:#010x}")]
    BadCrc {
        /// The CRC in the header.
        stored: u32,
        /// The CRC of the bytes.
        computed: u32,
    },
    /// The records of a compressed batch were requested. Such a batch passes through unchanged; its records are not
    /// decoded.
    #[error("reading records of a {0} batch is not supported yet")]
    Compressed(Compression),
    /// A record does not decode. If the CRC holds, the writer of the batch made the mistake.
    #[error("record {index} of the batch: {fault}")]
    BadRecord {
        /// Number of the record in its batch, from 0.
        index: u32,
        /// The part of the record that does not decode.
        fault: RecordFault,
    },
    /// Bytes are left after the last record.
    #[error("{bytes} bytes are left after the last record of the batch")]
    TrailingBytes {
        /// Number of these bytes.
        bytes: usize,
    },
}

/// The part of a record that does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordFault {
    /// The record's length is no varint, negative, or beyond the end of the batch.
    #[error("bad length")]
    Length,
    /// The attributes byte is missing.
    #[error("no attributes")]
    Attributes,
    /// The timestamp delta is no varlong.
    #[error("bad timestamp delta")]
    TimestampDelta,
    /// The offset delta is no varint, not above the previous record's, or above the header's last offset delta.
    #[error("bad offset delta")]
    OffsetDelta,
    /// The key's length is no varint, below −1, or beyond the end of the record.
    #[error("bad key length")]
    Key,
    /// The value's length is no varint, below −1, or beyond the end of the record.
    #[error("bad value length")]
    Value,
    /// The header count is no varint, negative, or does not fit the bytes left.
    #[error("bad header count")]
    HeaderCount,
    /// A header's key has a bad length or is not UTF-8.
    #[error("bad header key")]
    HeaderKey,
    /// A header's value has a bad length.
    #[error("bad header value length")]
    HeaderValue,
    /// Bytes are left after the record's last header.
    #[error("bytes left after its last header")]
    TrailingBytes,
}
