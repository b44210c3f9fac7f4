//! What happened over time: one row an interval, one event a line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One interval of a trial, as in `series.csv`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeriesRow {
    /// Where the interval begins, s since the measured window opened: negative in the warm-up.
    pub t_s: f64,
    /// Length of the interval, s.
    pub interval_s: f64,
    /// Records that became due; `None` under `max` and `closed`.
    pub offered: Option<u64>,
    /// Records acked.
    pub achieved: u64,
    /// Records consumed, over all subscriptions.
    pub consumed: u64,
    /// Records acked and not yet consumed at the interval's end, over all subscriptions; `None` without any.
    pub backlog_records: Option<u64>,
    /// Median of the headline latency (`response`; under `max` and `closed` `service`), ns; `None` without values.
    pub p50_ns: Option<u64>,
    /// Its 99th percentile, ns.
    pub p99_ns: Option<u64>,
    /// Its greatest, ns.
    pub max_ns: Option<u64>,
    /// Bytes written to the device.
    pub device_bytes: Option<u64>,
    /// CPU time of the process ÷ length of the interval: 1 is one core.
    pub cpu: Option<f64>,
    /// Resident memory of the process at the interval's end, bytes.
    pub rss_bytes: Option<u64>,
    /// What the target's files take of the disk at the interval's end, bytes; looked at once a second.
    pub data_bytes: Option<u64>,
}

/// Something that happened inside the target, as in `events.jsonl`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When, s since the measured window opened.
    pub t_s: f64,
    /// How long it lasted, s; `None` of a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_s: Option<f64>,
    /// `roll`, `seal`, `sync`, `retention`, `stall`, `recovery`…
    pub kind: String,
    /// The shard it happened on.
    pub shard: Option<u32>,
    /// The topic it concerns.
    pub topic: Option<String>,
    /// The partition it concerns.
    pub partition: Option<u32>,
    /// Anything else, in words.
    pub detail: Option<String>,
}

impl Event {
    /// When it was over, s since the measured window opened.
    pub fn end_s(&self) -> f64 {
        self.t_s + self.length_s.unwrap_or(0.0)
    }
}
