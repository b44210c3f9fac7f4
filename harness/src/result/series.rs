//! Measurements over time: the rows of `series.csv` and the lines of `events.jsonl`.

use super::latency::percentile::Bound;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One interval of a trial, as in `series.csv`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeriesRow {
    /// Start of the interval, s since the measured window opened: negative in the warm-up.
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
    /// Median of the headline latency, ns. The headline latency is `response`, and under `max` and `closed` `service`. A
    /// percentile is `None` unless ten distinct acks of the interval lie at or beyond it.
    pub p50_ns: Option<u64>,
    /// 99th percentile of the headline latency, ns.
    pub p99_ns: Option<u64>,
    /// Largest value of the headline latency, ns.
    pub max_ns: Option<u64>,
    /// Bytes written to the device.
    pub device_bytes: Option<u64>,
    /// CPU time of the process ÷ length of the interval: 1 means one busy core.
    pub cpu: Option<f64>,
    /// Resident memory of the process at the interval's end, bytes.
    pub rss_bytes: Option<u64>,
    /// Disk space of the target's files at the interval's end, bytes. It is read once a second; `None` in between.
    pub data_bytes: Option<u64>,
    /// Whether `p50_ns` is only an upper bound, because the load generator was late. Absent in schema version 1.
    #[serde(default)]
    pub p50_bound: Option<Bound>,
    /// The same for `p99_ns`.
    #[serde(default)]
    pub p99_bound: Option<Bound>,
    /// The same for `max_ns`.
    #[serde(default)]
    pub max_bound: Option<Bound>,
    /// Records that are acked and that their group has not read, at the interval's end, over all groups and partitions; `None`
    /// without group members.
    #[serde(default)]
    pub lag: Option<u64>,
}

/// An event inside the target, as in `events.jsonl`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Time of the event, s since the measured window opened.
    pub t_s: f64,
    /// Length of the event, s; `None` for an event without length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_s: Option<f64>,
    /// Kind of event: `roll`, `seal`, `sync`, `retention`, `stall`, `recovery`, `rebalance`, `revocation`, `commit`…
    pub kind: String,
    /// The shard of the event; `None` if it concerns no single shard.
    pub shard: Option<u32>,
    /// The topic of the event, if it concerns one.
    pub topic: Option<String>,
    /// The partition of the event, if it concerns one.
    pub partition: Option<u32>,
    /// Id of the consumer group of the event, if it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The group's generation that a rebalance has led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i32>,
    /// Further details, in words.
    pub detail: Option<String>,
}

impl Event {
    /// The end of the event, s since the measured window opened.
    pub fn end_s(&self) -> f64 {
        self.t_s + self.length_s.unwrap_or(0.0)
    }
}
