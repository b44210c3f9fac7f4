//! The errors of records: how many records failed, by the kind of the error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of an error because of which records were not acked.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No ack came in time. The records may be in the log.
    TimedOut,
    /// Nothing could be sent, because there was no connection to the system.
    Unreachable,
    /// Too few replicas were in sync. The records may be in the log.
    NotEnoughReplicas,
    /// The disk, or a quota, is full.
    NoSpace,
    /// A write or a sync failed, or the log is damaged.
    Storage,
    /// The record or its batch is larger than the topic allows.
    TooLarge,
    /// The system refused the record for another reason that lies in the record: its timestamp, or its format.
    Invalid,
    /// The client has no right to write to the topic.
    NotAuthorized,
    /// There is no such topic or partition.
    UnknownPartition,
    /// The part of the system that owns the partition does not answer. The records may be in the log.
    Stuck,
    /// Any other error.
    #[default]
    Other,
}

impl ErrorKind {
    /// The kind as the end of a sentence that begins with a number of records.
    pub const fn words(self) -> &'static str {
        match self {
            Self::TimedOut => "timed out",
            Self::Unreachable => "had no connection",
            Self::NotEnoughReplicas => "had too few in-sync replicas",
            Self::NoSpace => "found no space on the disk",
            Self::Storage => "met a failed write or a damaged log",
            Self::TooLarge => "were too large",
            Self::Invalid => "were refused as invalid",
            Self::NotAuthorized => "were refused for lack of rights",
            Self::UnknownPartition => "had no topic or partition",
            Self::Stuck => "met a part of the system that was stuck",
            Self::Other => "met another error",
        }
    }
}

/// The records of a trial that failed with one kind of error. Warm-up and drain are included.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorFigures {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// Number of records.
    pub records: u64,
    /// Time of the first of these errors, s since the window opened; below 0 in the warm-up.
    pub first_s: f64,
    /// Time of the last of these errors, s since the window opened.
    pub last_s: f64,
    /// The first of these errors, in the words of the system or of its client.
    pub example: String,
}
