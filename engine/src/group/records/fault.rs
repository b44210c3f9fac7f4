//! The faults in the bytes of a record of `__consumer_offsets`, as kinds to match on.

use thiserror::Error;

/// The reason why a key or a value of `__consumer_offsets` cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordFault {
    /// The bytes end before a field does.
    #[error("the record is cut short: {needed_bytes} bytes needed, {available_bytes} there")]
    TooShort {
        /// Bytes that the field takes.
        needed_bytes: usize,
        /// Bytes that are left.
        available_bytes: usize,
    },
    /// Bytes follow after the last field.
    #[error("{bytes} bytes follow after the last field")]
    TrailingBytes {
        /// Bytes that follow.
        bytes: usize,
    },
    /// A length or count is negative where the field must not be null, or larger than the bytes that follow.
    #[error("a length or count of {value} is not possible")]
    BadLength {
        /// The length or count as found.
        value: i64,
    },
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    BadString,
    /// The version of the key or value is not known.
    #[error("version {version} of the {part} is not known")]
    UnknownVersion {
        /// `key`, `offset` or `group`.
        part: &'static str,
        /// The version as found.
        version: i16,
    },
}
