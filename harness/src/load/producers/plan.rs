//! The settings of a producer.

use crate::load::partitioner::Partitioner;
use crate::result::Granularity;
use crate::time::schedule::Schedule;
use crate::workload::{OnError, RecordRate};

/// The pace of a producer.
#[derive(Debug)]
pub enum Pacing {
    /// As fast as the system accepts records.
    Max,
    /// A fixed number of batches may be unacked.
    Closed {
        /// Number of batches that may be unacked.
        in_flight: u32,
    },
    /// Records are due at the times of the producer's own schedule.
    Open {
        /// The times at which records are due.
        schedule: Schedule,
        /// Precision with which intended times are kept.
        granularity: Granularity,
    },
}

/// A producer's part of a backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacklogPart {
    /// Encoded bytes to send before the window opens, as fast as acks allow.
    pub bytes: u64,
    /// The load after the window has opened. `None` if this producer sends no records then.
    pub rate_in_window: Option<ShareOfRate>,
}

/// One producer's share of a rate that several producers send at together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareOfRate {
    /// Rate of all producers together.
    pub rate: RecordRate,
    /// Number of this producer among those that share the rate, from 0.
    pub index: u32,
    /// Number of producers that share the rate.
    pub of: u32,
}

/// The limits at which a batch is closed.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Largest encoded size in bytes.
    pub bytes_max: u64,
    /// Largest number of records.
    pub records_max: u32,
    /// Longest time that a batch waits for more records, in ns.
    pub linger_ns: u64,
}

/// The settings of a producer.
pub struct ProducerPlan {
    /// Number of the producer, counted over all topics.
    pub id: u32,
    /// Number of the producer in the stamps of its records.
    pub sender: u32,
    /// Number of the producer's topic.
    pub topic: u32,
    /// Name of the producer's topic.
    pub topic_name: String,
    /// Number of the producer within its topic.
    pub number: u32,
    /// Number of consumer groups that read the topic.
    pub groups: u32,
    /// Number of partitions of the topic.
    pub partitions: u32,
    /// The pace at which the producer sends.
    pub pacing: Pacing,
    /// The pace from the time on at which the start of the window is known. `None` if it does not change then.
    pub later_pacing: Option<Pacing>,
    /// The choice of a partition for each record.
    pub partitioner: Partitioner,
    /// The part of the backlog that the producer sends before the window. `None` if there is no backlog.
    pub backlog_part: Option<BacklogPart>,
    /// What an error of a record does to the run.
    pub on_error: OnError,
    /// The limits at which a batch is closed.
    pub limits: BatchLimits,
}
