//! Reads batches and their records in place: every result borrows from the caller's slice. Never copies, never
//! decompresses, and does not panic for any bytes.

use super::BATCH_HEADER_BYTES;
use super::varint::{take_varint, take_varlong};
use super::{BatchError, BatchHeader, Compression, HeaderRef, RecordFault, TimestampType, verify_crc};

/// Returns an iterator over the batches that lie one after another in `bytes`.
///
/// The iterator ends without an error before a batch that is cut short, as the last one of a fetch may be.
/// [`Batches::rest`] then returns the bytes that are left. CRCs are not checked: see [`RecordBatch::verify_crc`].
pub const fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes, failed: false }
}

/// Iterator over consecutive batches; see [`batches`]. After an error it ends.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    rest: &'a [u8],
    failed: bool,
}

impl<'a> Batches<'a> {
    /// Returns the bytes that have not been read: none, a partial batch, or, after an error, the bytes that could not
    /// be read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<RecordBatch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match RecordBatch::parse(self.rest) {
            Ok(batch) => {
                self.rest = &self.rest[batch.bytes.len()..];
                Some(Ok(batch))
            }
            Err(BatchError::TooShort { .. }) => None,
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

/// A whole batch in the caller's memory.
#[derive(Debug, Clone, Copy)]
pub struct RecordBatch<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> RecordBatch<'a> {
    /// Reads the batch at the front of `bytes`. Bytes behind the batch are ignored.
    ///
    /// # Errors
    /// Those of [`BatchHeader::parse`], and [`BatchError::TooShort`] if the batch is not whole.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let needed_bytes = header.total_bytes();
        match bytes.get(..needed_bytes) {
            Some(bytes) => Ok(Self { header, bytes }),
            None => Err(BatchError::TooShort { needed_bytes, available_bytes: bytes.len() }),
        }
    }

    /// Returns the header of the batch.
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Returns the bytes of the whole batch, header included.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Checks the CRC32C of the batch.
    ///
    /// # Errors
    /// [`BatchError::BadCrc`].
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        verify_crc(self.bytes)
    }

    /// Returns an iterator over the records, in order. For a compressed batch, it returns one
    /// [`BatchError::Compressed`].
    pub fn records(&self) -> Records<'a> {
        Records {
            header: self.header,
            rest: &self.bytes[BATCH_HEADER_BYTES..],
            index: 0,
            next_delta_min: 0,
            ended: false,
        }
    }
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// Offset of the record in its partition.
    pub offset: i64,
    /// Timestamp of the record, in milliseconds since 1970. The batch says whether the log or the producer set it.
    pub timestamp_ms: i64,
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null.
    pub value: Option<&'a [u8]>,
    /// The headers, which are decoded while they are iterated.
    pub headers: Headers<'a>,
}

/// Iterator over the records of a batch. After an error it ends.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    header: BatchHeader,
    rest: &'a [u8],
    index: u32,
    next_delta_min: u32,
    ended: bool,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.decode_next();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // One more than the records that are left, for an error at the end.
        (0, Some((self.header.record_count - self.index) as usize + 1))
    }
}

impl<'a> Records<'a> {
    #[inline]
    fn decode_next(&mut self) -> Option<Result<Record<'a>, BatchError>> {
        if self.header.compression() != Compression::None {
            return Some(Err(BatchError::Compressed(self.header.compression())));
        }
        if self.index == self.header.record_count {
            let bytes = self.rest.len();
            return (bytes > 0).then_some(Err(BatchError::TrailingBytes { bytes }));
        }
        let index = self.index;
        self.index += 1;
        Some(self.decode_record(index).map_err(|fault| BatchError::BadRecord { index, fault }))
    }

    #[inline]
    fn decode_record(&mut self, index: u32) -> Result<Record<'a>, RecordFault> {
        let mut body = take_varint(&mut self.rest)
            .and_then(|length| usize::try_from(length).ok())
            .and_then(|length| self.rest.split_off(..length))
            .ok_or(RecordFault::Length)?;
        // The attributes byte has no meaning yet; Kafka ignores it too.
        body.split_off_first().ok_or(RecordFault::Attributes)?;
        let timestamp_delta = take_varlong(&mut body).ok_or(RecordFault::TimestampDelta)?;
        let offset_delta = take_varint(&mut body)
            .and_then(|delta| u32::try_from(delta).ok())
            .filter(|delta| (self.next_delta_min..=self.header.last_offset_delta).contains(delta))
            .ok_or(RecordFault::OffsetDelta)?;
        self.next_delta_min = offset_delta + 1;
        let key = take_nullable(&mut body).ok_or(RecordFault::Key)?;
        let value = take_nullable(&mut body).ok_or(RecordFault::Value)?;
        let headers = Headers::parse(body, index)?;
        let timestamp_ms = match self.header.timestamp_type() {
            TimestampType::Create => self.header.base_timestamp_ms.wrapping_add(timestamp_delta),
            TimestampType::LogAppend => self.header.max_timestamp_ms,
        };
        Ok(Record {
            offset: self.header.base_offset + i64::from(offset_delta),
            timestamp_ms,
            key,
            value,
            headers,
        })
    }
}

/// Takes a byte string with its length off the front of `bytes`. A length of −1 means null. The outer `None` means that
/// it does not decode.
#[inline]
fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_varint(bytes)? {
        -1 => Some(None),
        length => bytes.split_off(..usize::try_from(length).ok()?).map(Some),
    }
}

/// Iterator over the headers of a record. After an error it ends.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: u32,
    record_index: u32,
}

impl<'a> Headers<'a> {
    /// Returns the headers in `bytes`, which follow the record's value. Only their count is decoded here.
    #[inline]
    fn parse(mut bytes: &'a [u8], record_index: u32) -> Result<Self, RecordFault> {
        let count = take_varint(&mut bytes)
            .and_then(|count| u32::try_from(count).ok())
            // A header takes two bytes at least.
            .filter(|count| *count as usize <= bytes.len() / 2)
            .ok_or(RecordFault::HeaderCount)?;
        if count == 0 && !bytes.is_empty() {
            return Err(RecordFault::TrailingBytes);
        }
        Ok(Self { rest: bytes, left: count, record_index })
    }

    /// Returns the number of headers that are left, if the record's count is right.
    pub const fn count_left(&self) -> u32 {
        self.left
    }

    fn decode_next(&mut self) -> Result<HeaderRef<'a>, RecordFault> {
        let key = take_nullable(&mut self.rest)
            .flatten()
            .and_then(|key| std::str::from_utf8(key).ok())
            .ok_or(RecordFault::HeaderKey)?;
        let value = take_nullable(&mut self.rest).ok_or(RecordFault::HeaderValue)?;
        if self.left == 1 && !self.rest.is_empty() {
            return Err(RecordFault::TrailingBytes);
        }
        Ok(HeaderRef { key, value })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<HeaderRef<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let header = self.decode_next();
        self.left = if header.is_ok() { self.left - 1 } else { 0 };
        Some(header.map_err(|fault| BatchError::BadRecord { index: self.record_index, fault }))
    }
}
