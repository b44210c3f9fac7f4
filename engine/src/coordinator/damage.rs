//! Damage of the stored records of groups. A damaged partition of `__consumer_offsets` serves no group; all else is served.

use crate::error::FetchError;
use crate::group::RecordFault;
use crate::record::BatchError;
use crate::types::TopicPartition;
use std::fmt;
use thiserror::Error;

/// The reason why the groups of one partition of `__consumer_offsets` are not served.
#[derive(Debug, Clone, Error)]
#[error("the stored groups of {partition} are damaged at offset {offset}: {cause}")]
pub struct OffsetsDamage {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset that cannot be read.
    pub offset: i64,
    /// The fault that was found.
    pub cause: OffsetsFault,
}

/// The fault of a partition of `__consumer_offsets`.
#[derive(Debug, Clone)]
pub enum OffsetsFault {
    /// The log cannot be read.
    Log(FetchError),
    /// A batch is damaged, or compressed.
    Batch(BatchError),
    /// A record has no key.
    NoKey,
    /// The key or value of a record cannot be read.
    Record(RecordFault),
}

impl fmt::Display for OffsetsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => error.fmt(f),
            Self::Batch(error) => error.fmt(f),
            Self::NoKey => f.write_str("a record has no key"),
            Self::Record(fault) => fault.fmt(f),
        }
    }
}

impl From<FetchError> for OffsetsFault {
    fn from(error: FetchError) -> Self {
        Self::Log(error)
    }
}

impl From<BatchError> for OffsetsFault {
    fn from(error: BatchError) -> Self {
        Self::Batch(error)
    }
}

impl From<RecordFault> for OffsetsFault {
    fn from(fault: RecordFault) -> Self {
        Self::Record(fault)
    }
}
