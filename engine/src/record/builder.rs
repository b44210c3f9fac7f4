//! Builds batches in the caller's thread. Records go straight into one buffer, behind the space for the header. The CRC
//! is computed here, not on the shard. Batches are not compressed.
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

/// Size of the largest batch that is built, header included, bytes. The format's `batch_length` would allow 12 bytes
/// more. Up to this size, every length inside a batch surely fits its i32 too.
pub const BATCH_BYTES_MAX: usize = 0x7FFF_FFFF;

/// One header of a record, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// Name of the header. Names may repeat.
    pub key: &'a str,
    /// Value of the header, or null.
    pub value: Option<&'a [u8]>,
}

/// One record to append, borrowed from the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordRef<'a> {
    /// Timestamp, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null (a tombstone).
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [HeaderRef<'a>],
}

/// The fields that an idempotent producer sets. Without such a producer, all are −1.
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

/// The error for a record that would make the batch larger than the format allows ([`BATCH_BYTES_MAX`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a batch of {batch_bytes} bytes does not fit the format, which ends at {BATCH_BYTES_MAX} bytes")]
pub struct RecordTooLarge {
    /// Size that the batch would have had, bytes.
    pub batch_bytes: usize,
}

/// A finished batch, with base offset 0, leader epoch −1, and the right CRC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedBatch {
    /// The bytes of the batch, and nothing else. Pass the buffer to [`BatchBuilder::finish_with`] when you no longer
    /// need it, so that it is reused.
    pub bytes: Vec<u8>,
    /// Number of records in the batch; at least 1.
    pub count: u32,
    /// Largest timestamp in the batch.
    pub max_timestamp_ms: i64,
}

/// Builds one batch after another. Allocates only when a batch outgrows the buffer, or when there is none.
#[derive(Debug)]
pub struct BatchBuilder {
    /// The bytes of the batch. They always begin with the space for the header, which `finish` writes.
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
    /// Returns an empty builder, whose buffer grows with the records.
    pub fn new() -> Self {
        Self::with_capacity(BATCH_HEADER_BYTES)
    }

    /// Returns an empty builder with a buffer for a batch of `batch_bytes`. It allocates again only for a larger batch.
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

    /// Drops the records that were pushed. Keeps the buffer and the producer fields.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.buffer.resize(BATCH_HEADER_BYTES, 0);
        self.count = 0;
    }

    /// Sets the fields of an idempotent producer, for this batch and the ones after it, until they are set again.
    pub fn set_producer(&mut self, producer: ProducerFields) {
        self.producer = producer;
    }

    /// Returns the number of records pushed since the last finish.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether no record was pushed since the last finish.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the current size of the batch, header included, bytes.
    pub const fn len_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the largest timestamp that was pushed; `None` if no record was.
    pub const fn max_timestamp_ms(&self) -> Option<i64> {
        if self.count == 0 { None } else { Some(self.max_timestamp_ms) }
    }

    /// Returns the size in bytes that the batch would have with `record` pushed.
    pub fn encoded_bytes_with(&self, record: &RecordRef<'_>) -> usize {
        let body_bytes = self.body_bytes(record);
        // `push` refuses a body whose length does not fit an i32. So any number will do for it here.
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
    /// [`RecordTooLarge`] if the batch would not fit the format. The batch is then unchanged.
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
        // One check of the capacity for the whole record. A prefix is copied with all its bytes, also unused ones, so
        // they count too.
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

    /// Returns the batch of the records that were pushed. The builder is empty afterwards, and has no buffer.
    ///
    /// # Panics
    /// If nothing was pushed: a batch without records is never sent.
    pub fn finish(&mut self) -> EncodedBatch {
        self.finish_with(Vec::new())
    }

    /// Like [`BatchBuilder::finish`], but builds the next batch in `next_buffer`. Its content is dropped, and its
    /// capacity is used.
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

    /// Returns the size of the record behind its length field, bytes.
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

    /// Returns the record's timestamp relative to the first record's. The difference may wrap around, as in Kafka; the
    /// reader wraps it back.
    fn timestamp_delta(&self, record: &RecordRef<'_>) -> i64 {
        if self.count == 0 { 0 } else { record.timestamp_ms.wrapping_sub(self.base_timestamp_ms) }
    }

    fn offset_delta(&self) -> i32 {
        self.count.cast_signed()
    }
}

/// Returns the size of a nullable byte string with its length, bytes.
#[inline]
fn nullable_bytes(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| length_bytes(bytes.len()) + bytes.len())
}

/// Returns the size of a length as a varint, bytes. A length that does not fit an i32 makes the record too large in any
/// case.
#[inline]
fn length_bytes(length: usize) -> usize {
    i32::try_from(length).map_or(5, varint_bytes)
}

/// Converts a length inside a record whose whole size was checked.
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

/// The small fields in front of a key or a value. They are collected here, so that they reach the buffer in one copy of
/// fixed size.
///
/// They take at most 31 bytes: length 5, attributes 1, timestamp delta 10, offset delta 5, and the null key's 1 with
/// the value's length 5, or the key's length 5. So an index masked to 31 never wraps around, and the mask makes the
/// bounds check needless.
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

    /// Copies all 32 bytes, which the compiler does without a call, and then removes the unused ones.
    #[inline]
    fn append_to(&self, buffer: &mut Vec<u8>) {
        let end = buffer.len() + self.len;
        buffer.extend_from_slice(&self.bytes);
        buffer.truncate(end);
    }
}
