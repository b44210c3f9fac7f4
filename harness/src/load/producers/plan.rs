//! What a producer is made of, before it runs.

use crate::load::partitioner::Partitioner;
use crate::result::Granularity;
use crate::time::schedule::Schedule;

/// What paces a producer.
#[derive(Debug)]
pub enum Pacing {
    /// Whatever the target takes.
    Max,
    /// This many batches unacked.
    Closed {
        /// Batches.
        in_flight: u32,
    },
    /// Its own schedule.
    Open {
        /// When records are due.
        schedule: Schedule,
        /// How finely intended times are kept.
        granularity: Granularity,
    },
}

/// A producer's part of a backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// Encoded bytes, as fast as acks allow, before the window opens.
    pub bytes: u64,
    /// What it goes on with from there: thousandths of a record a second, and its place among those who share the rate;
    /// `None` = it rests.
    pub then: Option<(u64, u32, u32)>,
}

/// When a batch is closed.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Encoded bytes.
    pub bytes_max: u64,
    /// Records.
    pub records_max: u32,
    /// How long it waits for more, ns.
    pub linger_ns: u64,
}

/// What a producer is made of.
pub struct ProducerPlan {
    /// Its number over all topics.
    pub id: u32,
    /// Its topic's number.
    pub topic: u32,
    /// Its topic's name.
    pub topic_name: String,
    /// Its number within the topic.
    pub number: u32,
    /// Consumer groups that read its topic.
    pub groups: u32,
    /// Partitions of its topic.
    pub partitions: u32,
    /// What paces it.
    pub pacing: Pacing,
    /// Its choice of partitions.
    pub partitioner: Partitioner,
    /// The backlog it builds before the window, if it does.
    pub build: Option<Build>,
    /// When its batches close.
    pub limits: BatchLimits,
}
