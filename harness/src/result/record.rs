//! Everything that a run measured, in memory: the result, and the records of its trials over time.

use super::latency::KeptInterval;
use super::{Event, RunResult, SeriesRow};

/// Everything a run measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// `result.json`.
    pub result: RunResult,
    /// What happened over time, one entry a trial, in any order.
    pub trials: Vec<TrialRecord>,
}

/// What happened over time in one trial.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrialRecord {
    /// Index of its point in the result.
    pub point: usize,
    /// Its index in the point.
    pub trial: usize,
    /// One row an interval, ascending.
    pub series: Vec<SeriesRow>,
    /// Ascending.
    pub events: Vec<Event>,
    /// Latencies over time, ascending.
    pub latency: Vec<KeptInterval>,
}

/// A file of the result directory that is drawn from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Where, below the result directory: `report.html`, `charts/throughput.svg`.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
}

impl Recording {
    /// What happened over time in a trial; `None` if nothing was recorded.
    pub fn trial(&self, point: usize, trial: usize) -> Option<&TrialRecord> {
        self.trials.iter().find(|record| (record.point, record.trial) == (point, trial))
    }
}
