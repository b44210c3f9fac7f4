//! The error because of which a record was not acked.

use crate::result::ErrorKind;
use std::fmt;

/// The reason why records were not acked. Some kinds leave open whether the records are in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The error in the words of the system or of its client.
    pub message: String,
}

impl RecordError {
    /// Makes an error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RecordError {}
