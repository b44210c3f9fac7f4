//! Reads and writes the fields of Kafka's messages. Each length and count is checked before anything is allocated.

use super::fault::RecordFault;
use bytes::Bytes;

/// Longest string, in bytes: its length is an int16.
const STRING_BYTES_MAX: i64 = i16::MAX as i64;

/// A cursor over the fields of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Lengths and counts are unsigned varints plus 1, and structures end with tagged fields.
    is_flexible: bool,
}

impl<'a> Reader<'a> {
    /// Returns a cursor at the first field.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, is_flexible: false }
    }

    /// Returns the same cursor for fields in the flexible form.
    pub(crate) const fn flexible(self) -> Self {
        Self { is_flexible: true, ..self }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], RecordFault> {
        let Some((taken, rest)) = self.rest.split_at_checked(bytes) else {
            return Err(RecordFault::TooShort { needed_bytes: bytes, available_bytes: self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordFault> {
        let available_bytes = self.rest.len();
        self.take(N)?.try_into().map_err(|_| RecordFault::TooShort { needed_bytes: N, available_bytes })
    }

    /// Takes an int16.
    pub(crate) fn i16(&mut self) -> Result<i16, RecordFault> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    /// Takes an int32.
    pub(crate) fn i32(&mut self) -> Result<i32, RecordFault> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Takes an int64.
    pub(crate) fn i64(&mut self) -> Result<i64, RecordFault> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// Takes an unsigned varint of at most 32 bits.
    fn varint(&mut self) -> Result<u32, RecordFault> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                let long = i64::try_from(value).unwrap_or(i64::MAX);
                return u32::try_from(value).map_err(|_| RecordFault::BadLength { value: long });
            }
        }
        Err(RecordFault::BadLength { value: i64::try_from(value).unwrap_or(i64::MAX) })
    }

    /// Takes a length or count, −1 for null.
    fn length(
        &mut self,
        long_form: impl FnOnce(&mut Self) -> Result<i64, RecordFault>,
    ) -> Result<i64, RecordFault> {
        if self.is_flexible { Ok(i64::from(self.varint()?) - 1) } else { long_form(self) }
    }

    /// Takes the bytes of a field with `length`; `None` if it is null.
    fn field(&mut self, length: i64, longest: i64) -> Result<Option<&'a [u8]>, RecordFault> {
        if length == -1 {
            return Ok(None);
        }
        if length > longest {
            return Err(RecordFault::BadLength { value: length });
        }
        let bytes = usize::try_from(length).map_err(|_| RecordFault::BadLength { value: length })?;
        self.take(bytes).map(Some)
    }

    /// Takes a string; `None` if it is null.
    pub(crate) fn nullable_string(&mut self) -> Result<Option<String>, RecordFault> {
        let length = self.length(|reader| reader.i16().map(i64::from))?;
        let Some(bytes) = self.field(length, STRING_BYTES_MAX)? else { return Ok(None) };
        std::str::from_utf8(bytes).map(|text| Some(text.to_owned())).map_err(|_| RecordFault::BadString)
    }

    /// Takes a string that must not be null.
    pub(crate) fn string(&mut self) -> Result<String, RecordFault> {
        self.nullable_string()?.ok_or(RecordFault::BadLength { value: -1 })
    }

    /// Takes bytes; `None` if they are null.
    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<Bytes>, RecordFault> {
        let length = self.length(|reader| reader.i32().map(i64::from))?;
        Ok(self.field(length, i64::from(i32::MAX))?.map(Bytes::copy_from_slice))
    }

    /// Takes bytes that must not be null.
    pub(crate) fn bytes(&mut self) -> Result<Bytes, RecordFault> {
        self.nullable_bytes()?.ok_or(RecordFault::BadLength { value: -1 })
    }

    /// Takes the count of an array whose elements take at least `element_bytes_min` bytes, 1 or more.
    pub(crate) fn count(&mut self, element_bytes_min: usize) -> Result<usize, RecordFault> {
        let value = self.length(|reader| reader.i32().map(i64::from))?;
        let count = usize::try_from(value).map_err(|_| RecordFault::BadLength { value })?;
        if count > self.rest.len() / element_bytes_min {
            return Err(RecordFault::BadLength { value });
        }
        Ok(count)
    }

    /// Skips the tagged fields at the end of a structure, if the form is flexible.
    pub(crate) fn tagged_fields(&mut self) -> Result<(), RecordFault> {
        if self.is_flexible {
            for _ in 0..self.varint()? {
                let _tag = self.varint()?;
                let length = self.varint()?;
                self.field(i64::from(length), i64::from(i32::MAX))?;
            }
        }
        Ok(())
    }

    /// Checks that nothing follows.
    pub(crate) const fn end(self) -> Result<(), RecordFault> {
        if self.rest.is_empty() { Ok(()) } else { Err(RecordFault::TrailingBytes { bytes: self.rest.len() }) }
    }
}

/// Appends a string.
///
/// # Panics
/// If it is longer than 32,767 bytes.
pub(crate) fn put_string(buffer: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).expect("requests with longer strings are refused");
    buffer.extend(length.to_be_bytes());
    buffer.extend(text.as_bytes());
}

/// Appends a string that may be null.
///
/// # Panics
/// If it is longer than 32,767 bytes.
pub(crate) fn put_nullable_string(buffer: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_string(buffer, text),
        None => buffer.extend((-1_i16).to_be_bytes()),
    }
}

/// Appends the count of an array, or the length of bytes.
///
/// # Panics
/// If it is above 2³¹ − 1.
pub(crate) fn put_count(buffer: &mut Vec<u8>, count: usize) {
    let count = i32::try_from(count).expect("bytes of members and assignments are bounded far below 2 GiB");
    buffer.extend(count.to_be_bytes());
}

/// Appends bytes.
///
/// # Panics
/// If there are more than 2³¹ − 1.
pub(crate) fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put_count(buffer, bytes.len());
    buffer.extend(bytes);
}
