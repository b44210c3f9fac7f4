//! Builds batches in the caller's thread: records go straight into one buffer behind a reserved header, and the CRC is
//! computed here, not on the shard. Writes no compressed batches.
//!
//! ```text
//! record: length varint │ attributes i8 = 0 │ timestamp delta varlong │ offset delta varint
//!       │ key length varint (−1 = null) │ key │ value length varint (−1 = null) │ value
//!       │ header count varint │ headers: key length varint │ key (UTF-8) │ value length varint (−1 = null) │ value
//! ```

use thiserror::Error;

use super::header::{BATCH_HEADER_BYTES, write_header};
use super::varint::{put_varint, varint_bytes, varlong_bytes, zigzag32, zigzag64};
use super::{Attributes, BatchHeader};

/// The largest batch built, header included. The format's `batch_length` would allow 12 bytes more; up to here every
/// length inside a batch surely fits its i32 too.
pub const BATCH_BYTES_MAX: usize = 0x7FFF_FFFF;

/// One header of a record, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// Its name; names may repeat.
    pub key: &'a str,
    /// Its value, or null.
    pub value: Option<&'a [u8]>,
}

/// One record to append, borrowed from wherever the caller has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordRef<'a> {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null (a tombstone).
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [HeaderRef<'a>],
}

/// The fields an idempotent producer sets; without one, all are −1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerFields {
    /// Producer id.
    pub id: i64,
    /// Producer epoch.
    pub epoch: i16,
    /// Sequence number of the batch's first record.
    pub base_sequence: i32,
}

impl Default for ProducerFields {
    fn default() -> Self {
        Self { id: -1, epoch: -1, base_sequence: -1 }
    }
}

/// The record would make the batch larger than the format can say ([`BATCH_BYTES_MAX`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a batch of {batch_bytes} bytes does not fit the format, which ends at {BATCH_BYTES_MAX} bytes")]
pub struct RecordTooLarge {
    /// What the batch would have had.
    pub batch_bytes: usize,
}

/// A finished batch: base offset 0, leader epoch −1, CRC true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedBatch {
    /// The batch, and nothing else. Hand the buffer back to [`BatchBuilder::finish_with`] when it is done with.
    pub bytes: Vec<u8>,
    /// Records in it; at least 1.
    pub count: u32,
    /// Largest timestamp in it.
    pub max_timestamp_ms: i64,
}

/// Builds one batch after another. Allocates only when a batch outgrows the buffer, or when there is none.
#[derive(Debug)]
pub struct BatchBuilder {
    /// At least a header's bytes; the header is written by finish.
    buffer: Vec<u8>,
    count: u32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
    producer: ProducerFields,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty builder whose buffer grows as records come.
    pub fn new() -> Self {
        Self::with_capacity(BATCH_HEADER_BYTES)
    }

    /// An empty builder with room for a batch of `batch_bytes` before it allocates.
    pub fn with_capacity(batch_bytes: usize) -> Self {
        let mut builder = Self {
            buffer: Vec::with_capacity(batch_bytes + Prefix::BYTES),
            count: 0,
            base_timestamp_ms: 0,
            max_timestamp_ms: 0,
            producer: ProducerFields::default(),
        };
        builder.reset();
        builder
    }

    /// Throws away what was pushed; keeps the buffer and the producer fields.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.buffer.resize(BATCH_HEADER_BYTES, 0);
        self.count = 0;
    }

    /// Sets the fields of an idempotent producer, for this batch and those after it until set again.
    pub fn set_producer(&mut self, producer: ProducerFields) {
        self.producer = producer;
    }

    /// Records pushed since the last finish.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether nothing was pushed since the last finish.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch as it stands, header included.
    pub const fn len_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Largest timestamp pushed, if any record was.
    pub const fn max_timestamp_ms(&self) -> Option<i64> {
        if self.count == 0 { None } else { Some(self.max_timestamp_ms) }
    }

    /// Bytes the batch would have with `record` pushed.
    pub fn encoded_bytes_with(&self, record: &RecordRef<'_>) -> usize {
        let body_bytes = self.body_bytes(record);
        // A body beyond i32 is refused by push; five bytes is then as good as any length.
        let length_bytes = i32::try_from(body_bytes).map_or(5, varint_bytes);
        self.buffer.len() + length_bytes + body_bytes
    }

    /// Whether the batch with `record` pushed would be larger than `max_bytes`.
    pub fn would_exceed(&self, record: &RecordRef<'_>, max_bytes: usize) -> bool {
        self.encoded_bytes_with(record) > max_bytes
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`RecordTooLarge`] if the batch would not fit the format; the batch is then as it was.
    pub fn push(&mut self, record: &RecordRef<'_>) -> Result<(), RecordTooLarge> {
        let body_bytes = self.body_bytes(record);
        let batch_bytes = self.buffer.len() + 5 + body_bytes;
        if batch_bytes > BATCH_BYTES_MAX {
            return Err(RecordTooLarge { batch_bytes });
        }
        if self.count == 0 {
            self.base_timestamp_ms = record.timestamp_ms;
            self.max_timestamp_ms = record.timestamp_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(record.timestamp_ms);
        // One check for the whole record, the prefix's slack included.
        self.buffer.reserve(5 + body_bytes + Prefix::BYTES);

        let mut prefix = Prefix::new();
        prefix.varint(len_i32(body_bytes));
        prefix.byte(0);
        prefix.varlong(self.timestamp_delta(record));
        prefix.varint(self.offset_delta());
        if let Some(key) = record.key {
            prefix.varint(len_i32(key.len()));
            prefix.append_to(&mut self.buffer);
            self.buffer.extend_from_slice(key);
            prefix = Prefix::new();
        } else {
            prefix.varint(-1);
        }
        prefix.varint(record.value.map_or(-1, |value| len_i32(value.len())));
        prefix.append_to(&mut self.buffer);
        self.buffer.extend_from_slice(record.value.unwrap_or_default());
        put_headers(&mut self.buffer, record.headers);
        self.count += 1;
        Ok(())
    }

    /// The batch of what was pushed; the builder is empty again, without a buffer.
    ///
    /// # Panics
    /// If nothing was pushed: a batch without records is never sent.
    pub fn finish(&mut self) -> EncodedBatch {
        self.finish_with(Vec::new())
    }

    /// Like [`BatchBuilder::finish`], and goes on in `next_buffer`, whose contents are dropped and whose room is used.
    ///
    /// # Panics
    /// If nothing was pushed.
    pub fn finish_with(&mut self, next_buffer: Vec<u8>) -> EncodedBatch {
        assert!(self.count > 0, "a batch without records is never sent");
        let (count, max_timestamp_ms) = (self.count, self.max_timestamp_ms);
        self.write_header();
        let bytes = std::mem::replace(&mut self.buffer, next_buffer);
        self.reset();
        EncodedBatch { bytes, count, max_timestamp_ms }
    }

    fn write_header(&mut self) {
        let batch_length = u32::try_from(self.buffer.len() - 12).expect("push keeps the batch under 2 GiB");
        let header = BatchHeader {
            base_offset: 0,
            batch_length,
            partition_leader_epoch: -1,
            crc: 0,
            attributes: Attributes::default(),
            last_offset_delta: self.count - 1,
            base_timestamp_ms: self.base_timestamp_ms,
            max_timestamp_ms: self.max_timestamp_ms,
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            base_sequence: self.producer.base_sequence,
            record_count: self.count,
        };
        write_header(&mut self.buffer, &header);
    }

    /// Bytes of the record after its length.
    #[inline]
    fn body_bytes(&self, record: &RecordRef<'_>) -> usize {
        let headers_bytes: usize = record
            .headers
            .iter()
            .map(|header| nullable_bytes(Some(header.key.as_bytes())) + nullable_bytes(header.value))
            .sum();
        1 + varlong_bytes(self.timestamp_delta(record))
            + varint_bytes(self.offset_delta())
            + nullable_bytes(record.key)
            + nullable_bytes(record.value)
            + length_bytes(record.headers.len())
            + headers_bytes
    }

    /// Wraps between the ends of i64, as Kafka's does; the reader wraps back.
    fn timestamp_delta(&self, record: &RecordRef<'_>) -> i64 {
        if self.count == 0 { 0 } else { record.timestamp_ms.wrapping_sub(self.base_timestamp_ms) }
    }

    fn offset_delta(&self) -> i32 {
        self.count.cast_signed()
    }
}

/// Bytes of a nullable byte string with its length.
#[inline]
fn nullable_bytes(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| length_bytes(bytes.len()) + bytes.len())
}

/// Bytes of a length as varint; one that is beyond i32 makes the record too large whatever it takes.
#[inline]
fn length_bytes(length: usize) -> usize {
    i32::try_from(length).map_or(5, varint_bytes)
}

/// A length inside a record whose whole size was checked.
#[inline]
fn len_i32(length: usize) -> i32 {
    i32::try_from(length).expect("push refuses records of more than i32::MAX bytes")
}

fn put_headers(buffer: &mut Vec<u8>, headers: &[HeaderRef<'_>]) {
    if headers.is_empty() {
        buffer.push(0);
        return;
    }
    put_varint(buffer, len_i32(headers.len()));
    for header in headers {
        put_varint(buffer, len_i32(header.key.len()));
        buffer.extend_from_slice(header.key.as_bytes());
        put_varint(buffer, header.value.map_or(-1, |value| len_i32(value.len())));
        buffer.extend_from_slice(header.value.unwrap_or_default());
    }
}

/// The small fields in front of a key or value, gathered so that they reach the buffer in one fixed-size copy.
///
/// At most 31 bytes: length 5, attributes 1, timestamp delta 10, offset delta 5, and the null key's 1 with the value's
/// length 5, or the key's length 5. So a cursor masked to 31 never wraps, and the mask spares the bounds check.
struct Prefix {
    bytes: [u8; Self::BYTES],
    len: usize,
}

impl Prefix {
    const BYTES: usize = 32;

    #[inline]
    const fn new() -> Self {
        Self { bytes: [0; Self::BYTES], len: 0 }
    }

    #[inline]
    const fn byte(&mut self, byte: u8) {
        self.bytes[self.len & (Self::BYTES - 1)] = byte;
        self.len += 1;
    }

    #[inline]
    fn varint(&mut self, value: i32) {
        let mut rest = zigzag32(value);
        while rest >= 0x80 {
            self.byte(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        self.byte(rest.to_le_bytes()[0]);
    }

    #[inline]
    fn varlong(&mut self, value: i64) {
        let mut rest = zigzag64(value);
        while rest >= 0x80 {
            self.byte(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        self.byte(rest.to_le_bytes()[0]);
    }

    /// Copies all 32 bytes, which needs no call, and takes back what is too many.
    #[inline]
    fn append_to(&self, buffer: &mut Vec<u8>) {
        let end = buffer.len() + self.len;
        buffer.extend_from_slice(&self.bytes);
        buffer.truncate(end);
    }
}
