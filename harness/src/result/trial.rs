//! What one trial came to. `None` is "not measured" or "means nothing here", never 0.

use crate::num;
use crate::workload::BacklogCache;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One trial of a point.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// When its measured window opened, s since the run started.
    pub window_start_s: f64,
    /// Length of its measured window, s: as the workload says, less if it was interrupted.
    pub window_s: f64,
    /// What the device could do beside it.
    pub ceiling: CeilingFigures,
    /// Encoded log bytes that reached the device, as a share of the like-for-like ceiling.
    pub of_ceiling: OfCeiling,
    /// Encoded log bytes that reached the device, as a share of `ceiling.device_write_bytes_per_s`.
    pub of_device: Option<f64>,
    /// What was asked for; `None` under `max` and `closed`.
    pub offered: Option<Offered>,
    /// Acked inside the window.
    pub produce: Flow,
    /// In the consumers' hands inside the window, all subscriptions together; `None` without any.
    pub consume: Option<Flow>,
    /// Records whose batch failed.
    pub failed_records: u64,
    /// What latencies are of.
    pub latency_granularity: Granularity,
    /// Of the records intended (under `max` and `closed`: handed over) inside the window.
    pub latency_ns: LatencySet,
    /// The batches they travelled in.
    pub batches: Batches,
    /// The writes they became.
    pub writes: Writes,
    /// One a shard; empty for a target that does not tell.
    pub per_shard: Vec<ShardFigures>,
    /// What it took, over the window.
    pub resources: Resources,
    /// What the consumers found.
    pub integrity: IntegrityFigures,
    /// What stalls on purpose did (`--inject`); `None` without any.
    #[serde(default)]
    pub stall: Option<StallFigures>,
    /// When retention had deleted a segment of every partition, s since the window opened, so below 0; `None` unless that
    /// was required.
    #[serde(default)]
    pub retention_reached_s: Option<f64>,
    /// The backlog that the consumers started with; `None` without one.
    #[serde(default)]
    pub backlog: Option<BacklogFigures>,
    /// What was measured in its place before and is not in its figures, as the generator was late (`late_retries`).
    #[serde(default)]
    pub late_attempts: Vec<LateAttempt>,
}

/// A trial whose generator was late, so that it was measured again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LateAttempt {
    /// When its measured window opened, s since the run started.
    pub window_start_s: f64,
    /// How late its generator was, ns.
    pub pacing_lag_p99: Option<u64>,
    /// Response time, ns.
    pub response_p99: Option<u64>,
    /// Share of the machine's CPU time that the hypervisor gave to others, 0 to 1.
    pub steal_share: Option<f64>,
}

/// A backlog, built before the window opened. The window ends when it is consumed: its length is the time that took, and
/// `consume` the speed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BacklogFigures {
    /// Records in it.
    pub built_records: u64,
    /// Their encoded bytes.
    pub built_bytes: u64,
    /// How long it took to build, s.
    pub build_s: f64,
    /// What was done to the caches before the consumers started.
    pub cache: BacklogCache,
    /// Whether the consumers came to its end before `phases.measure` was over.
    pub is_drained: bool,
}

/// Stalls on purpose, and the records they made late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StallFigures {
    /// Each of them.
    pub injected: Vec<InjectedStall>,
    /// A record counts as late beyond this, ns: a twentieth of the shortest stall.
    pub late_ns: u64,
    /// Share of the window's records whose response was late; `None` where nothing is intended.
    pub late_share: Option<f64>,
    /// The same by their service time, which begins only once the target accepts a record.
    pub service_late_share: Option<f64>,
    /// What `late_share` follows to from the length of the stalls and the load (docs/methodology.md); `None` where the load
    /// is no share of a measured maximum, and with several shards.
    pub expected_late_share: Option<f64>,
}

/// A shard that was made to stand still.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InjectedStall {
    /// Which shard.
    pub shard: u32,
    /// When, s since the measured window opened.
    pub at_s: f64,
    /// For how long, s.
    pub length_s: f64,
}

/// The device's own ceiling, from raw io_uring slices that bracket the trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CeilingFigures {
    /// Like for like: median of the slices.
    pub write_bytes_per_s: Option<f64>,
    /// Like for like; `None` where the trial did not read from the device.
    pub read_bytes_per_s: Option<f64>,
    /// The device's best: 1 MiB, depth 8, overwriting.
    pub device_write_bytes_per_s: Option<f64>,
    /// The device's best: 1 MiB, depth 8.
    pub device_read_bytes_per_s: Option<f64>,
    /// One synced 4 KiB write at a time, into fallocated space.
    pub dsync_4k_ns: DsyncFigures,
    /// Each like-for-like write slice, in the order they were made.
    pub write_slices_bytes_per_s: Vec<f64>,
    /// What "like for like" was for writes.
    pub write_shape: Option<WriteShape>,
}

/// Latency of a synced 4 KiB write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DsyncFigures {
    /// Median, ns.
    pub p50: Option<u64>,
}

/// How the writes of a ceiling were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteShape {
    /// Bytes of each.
    pub block_bytes: u64,
    /// In flight at once.
    pub depth: u32,
    /// Files they were spread over.
    pub files: u32,
    /// What they met: `fallocated`, `overwrite` or `extending`.
    pub extent: String,
    /// Whether each was synced (`RWF_DSYNC`).
    pub dsync: bool,
}

/// Shares of the like-for-like ceiling; `None` for `appended`, and without a ceiling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OfCeiling {
    /// Written ÷ write ceiling.
    pub write: Option<f64>,
    /// Read ÷ read ceiling; `None` where the trial did not read from the device.
    pub read: Option<f64>,
    /// Their sum: the share of the device's time.
    pub combined: Option<f64>,
}

/// What an open load asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Offered {
    /// Records intended inside the window.
    pub records: u64,
    /// Per second of the window.
    pub records_per_s: f64,
    /// Acked ÷ offered.
    pub achieved: f64,
}

/// Records that passed a point inside the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// How many.
    pub records: u64,
    /// Their keys and values.
    pub bytes: u64,
    /// The same as encoded log bytes; `None` where the target does not tell.
    pub encoded_bytes: Option<u64>,
    /// Records ÷ length of the window.
    pub records_per_s: f64,
    /// Bytes ÷ length of the window.
    pub bytes_per_s: f64,
    /// Bytes ÷ (length of the window + the final sync); buffered runs only.
    pub bytes_per_s_synced: Option<f64>,
}

/// What a latency is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// Each record has its own.
    #[default]
    Record,
    /// A batch has its oldest record's, for all of its records: an upper bound.
    BatchOldest,
}

/// One set of figures a histogram, ns. Those that begin at an intended time are `None` under `max` and `closed`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencySet {
    /// Due → the generator got to it.
    pub pacing_lag: Option<LatencyFigures>,
    /// Ready → accepted by the target: back-pressure.
    pub blocked: Option<LatencyFigures>,
    /// Accepted → ack.
    pub service: Option<LatencyFigures>,
    /// Intended → ack.
    pub response: Option<LatencyFigures>,
    /// Intended → in the consumer's hands.
    pub end_to_end: Option<LatencyFigures>,
}

/// Figures of one histogram, ns. A percentile is `None` unless ten distinct acks lie at it or beyond.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyFigures {
    /// Values, censored ones included.
    pub count: u64,
    /// Records still outstanding when the drain ended, entered at their age.
    pub censored: u64,
    /// Values too large for the histogram: counted here, in no percentile.
    pub overflows: u64,
    /// The least.
    pub min: Option<u64>,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<u64>,
    /// 90 % are at or below.
    pub p90: Option<u64>,
    /// 95 % are.
    pub p95: Option<u64>,
    /// 99 % are.
    pub p99: Option<u64>,
    /// 99.9 % are.
    pub p99_9: Option<u64>,
    /// 99.99 % are.
    pub p99_99: Option<u64>,
    /// The greatest.
    pub max: Option<u64>,
}

/// The batches records travelled in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Batches {
    /// Mean records a batch.
    pub records_mean: Option<f64>,
    /// Median encoded bytes of a batch.
    pub bytes_p50: Option<u64>,
}

/// The writes that reached the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Writes {
    /// Median bytes of a write.
    pub bytes_p50: Option<u64>,
    /// Mean writes in flight of a shard while it has any, by time.
    pub depth_mean: Option<f64>,
}

/// What one shard did during the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShardFigures {
    /// Which.
    pub shard: u32,
    /// Working, s.
    pub work_s: f64,
    /// Polling for completions or messages, s.
    pub poll_s: f64,
    /// Asleep, s.
    pub parked_s: f64,
    /// Encoded bytes written, padding and rewritten tails included.
    pub write_bytes: u64,
    /// Writes.
    pub writes: u64,
    /// Median bytes of a write.
    pub write_bytes_p50: Option<u64>,
    /// Mean writes in flight of a shard while it has any, by time.
    pub write_depth_mean: Option<f64>,
    /// Device flushes and synced writes.
    pub syncs: u64,
    /// Writes that met extents which were written already, as in recycled segments.
    #[serde(default)]
    pub overwrites: u64,
    /// Bytes read from the device.
    pub read_bytes: u64,
}

/// What a trial took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// CPU time, split.
    pub cpu_s: CpuSeconds,
    /// The process's largest resident set.
    pub rss_max_bytes: Option<u64>,
    /// The most that the target's files took of the disk, preallocated space included; looked at once a second.
    pub data_max_bytes: Option<u64>,
    /// Written to the device.
    pub device_write_bytes: Option<u64>,
    /// Read from the device.
    pub device_read_bytes: Option<u64>,
    /// Written to the device ÷ keys and values produced.
    pub write_amplification: Option<f64>,
    /// Device flushes and synced writes.
    pub syncs: Option<u64>,
    /// Share of the machine's CPU time that the hypervisor gave to others, 0 to 1.
    pub steal_share: Option<f64>,
    /// Cores that other processes and kernel threads kept busy; some of the latter worked for the trial's own I/O.
    pub others_cores: Option<f64>,
    /// Memory touched before the trial, so that it did not measure page faults, bytes.
    pub warmed_bytes: Option<u64>,
    /// The disk's interrupts by the core that took them.
    pub disk_interrupts: BTreeMap<u32, u64>,
}

/// CPU time, s; a part that could not be told is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CpuSeconds {
    /// Shards working.
    pub shard_work: Option<f64>,
    /// Shards polling.
    pub shard_poll: Option<f64>,
    /// Load threads.
    pub load: Option<f64>,
    /// The kernel on our behalf.
    pub kernel: Option<f64>,
}

/// What the consumers found; a check that was not made is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IntegrityFigures {
    /// Records looked at.
    pub checked: Option<u64>,
    /// Records missing between two that arrived.
    pub gaps: Option<u64>,
    /// Records seen twice.
    pub duplicates: Option<u64>,
    /// Records seen after a later one.
    pub reorders: Option<u64>,
    /// Records whose content is not what was sent.
    pub corruptions: Option<u64>,
    /// Acked but not consumed when the drain ended; no failure.
    pub undrained: Option<u64>,
    /// Deleted by retention before they were consumed; no failure.
    pub lost_to_retention: Option<u64>,
    /// Delivered again after a rebalance; no failure.
    pub redelivered: Option<u64>,
}

impl Flow {
    /// Rates over a window of `window_s`; 0 if it never opened.
    pub fn over(window_s: f64, records: u64, bytes: u64, encoded_bytes: Option<u64>) -> Self {
        let rate = |count| if window_s > 0.0 { num::f64_of(count) / window_s } else { 0.0 };
        let (records_per_s, bytes_per_s) = (rate(records), rate(bytes));
        Self { records, bytes, encoded_bytes, records_per_s, bytes_per_s, bytes_per_s_synced: None }
    }
}

impl LateAttempt {
    /// What is left of a trial that is measured again.
    pub fn of(trial: &Trial) -> Self {
        let p99 = |figures: &Option<LatencyFigures>| figures.as_ref().and_then(|figures| figures.p99);
        Self {
            window_start_s: trial.window_start_s,
            pacing_lag_p99: p99(&trial.latency_ns.pacing_lag),
            response_p99: p99(&trial.latency_ns.response),
            steal_share: trial.resources.steal_share,
        }
    }
}

impl IntegrityFigures {
    /// Whether anything that counts as a failure was found.
    pub fn failed(&self) -> bool {
        [self.gaps, self.duplicates, self.reorders, self.corruptions]
            .iter()
            .any(|found| found.unwrap_or(0) > 0)
    }
}

impl LatencySet {
    /// Each histogram's figures with its name, in the order of the first screen.
    pub fn named(&self) -> [(&'static str, Option<&LatencyFigures>); 5] {
        [
            ("response", self.response.as_ref()),
            ("pacing_lag", self.pacing_lag.as_ref()),
            ("blocked", self.blocked.as_ref()),
            ("service", self.service.as_ref()),
            ("end_to_end", self.end_to_end.as_ref()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_never_opened_has_no_rate() {
        let flow = Flow::over(0.0, 0, 0, None);
        assert_eq!((flow.records_per_s, flow.bytes_per_s), (0.0, 0.0));
    }

    #[test]
    fn what_was_not_checked_is_no_failure() {
        assert!(!IntegrityFigures::default().failed());
        assert!(IntegrityFigures { gaps: Some(1), ..IntegrityFigures::default() }.failed());
        assert!(!IntegrityFigures { undrained: Some(9), ..IntegrityFigures::default() }.failed());
    }

    #[test]
    fn what_was_not_measured_is_null_in_the_file() {
        let json = serde_json::to_value(Trial::default()).unwrap();
        assert_eq!(json.pointer("/latency_ns/response"), Some(&serde_json::Value::Null));
        assert_eq!(json.pointer("/integrity/gaps"), Some(&serde_json::Value::Null));
        assert_eq!(json.pointer("/ceiling/dsync_4k_ns/p50"), Some(&serde_json::Value::Null));
    }
}
