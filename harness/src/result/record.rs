//! The measurements of a run in memory: the result, and the record of each trial.

use super::latency::{KeptInterval, TrialHistograms};
use super::{Event, RunResult, SeriesRow};
use std::collections::BTreeMap;

/// All measurements of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The content of `result.json`.
    pub result: RunResult,
    /// The record of each trial, in any order.
    pub trials: Vec<TrialRecord>,
}

/// The measurements of one trial that are not in `result.json`: over time, and its histograms.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrialRecord {
    /// Index of its point in the result.
    pub point: usize,
    /// Index of the trial in its point.
    pub trial: usize,
    /// A row for each interval, ascending by time.
    pub series: Vec<SeriesRow>,
    /// The lag of each group at the end of each row of `series`, by the group's id; empty without group members.
    pub group_lags: BTreeMap<String, Vec<Option<u64>>>,
    /// Events, ascending by time.
    pub events: Vec<Event>,
    /// Histograms of intervals, ascending by time.
    pub latency: Vec<KeptInterval>,
    /// Histograms of the whole trial; empty in results of schema version 1.
    pub histograms: TrialHistograms,
}

/// A file of the result directory that is drawn from the measurements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Path below the result directory, such as `report.html` or `charts/throughput.svg`.
    pub path: String,
    /// Content of the file.
    pub content: Vec<u8>,
}

impl Recording {
    /// Returns the record of a trial; `None` if nothing was recorded.
    pub fn trial(&self, point: usize, trial: usize) -> Option<&TrialRecord> {
        self.trials.iter().find(|record| (record.point, record.trial) == (point, trial))
    }
}
