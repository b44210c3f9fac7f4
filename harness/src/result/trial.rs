//! The figures of one trial. `None` means "not measured" or "does not apply here", never 0.

use super::latency::figures::{Granularity, LatencyFigures, LatencySet};
use crate::num;
use crate::workload::BacklogCache;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The figures of one trial of a point.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// Time at which the measured window opened, s since the run started.
    pub window_start_s: f64,
    /// Length of the measured window, s: as the workload says, or less if the trial was interrupted.
    pub window_s: f64,
    /// The wall-clock time at which the trial's clock read 0, ms since the Unix epoch; `None` in schema version 1. Intended
    /// times in records' stamps are on the trial's clock.
    #[serde(default)]
    pub clock_zero_unix_ms: Option<i64>,
    /// Speed of the device, measured before and after the trial.
    pub ceiling: CeilingFigures,
    /// Encoded log bytes that reached the device, as a fraction of the like-for-like ceiling.
    pub of_ceiling: OfCeiling,
    /// Encoded log bytes that reached the device, as a fraction of `ceiling.device_write_bytes_per_s`.
    pub of_device: Option<f64>,
    /// The load that the workload asked for; `None` under `max` and `closed`.
    pub offered: Option<Offered>,
    /// Records that were acked inside the window.
    pub produce: Flow,
    /// Records that consumers received inside the window, over all subscriptions; `None` without subscriptions.
    pub consume: Option<Flow>,
    /// Records whose batch failed.
    pub failed_records: u64,
    /// Whether latencies are those of records or of batches.
    pub latency_granularity: Granularity,
    /// Latencies of the records whose intended time is inside the window. Under `max` and `closed` the time of the hand-over
    /// counts instead.
    pub latency_ns: LatencySet,
    /// Sizes of the batches.
    pub batches: Batches,
    /// Sizes and depth of the writes.
    pub writes: Writes,
    /// Figures of each shard; empty for a target that does not report them.
    pub per_shard: Vec<ShardFigures>,
    /// Resources that were used over the window.
    pub resources: Resources,
    /// Results of the integrity checks.
    pub integrity: IntegrityFigures,
    /// Effect of injected stalls (`--inject`); `None` without any.
    #[serde(default)]
    pub stall: Option<StallFigures>,
    /// Time at which retention had deleted a segment of every partition, s since the window opened. It is below 0. `None`
    /// unless the workload required it.
    #[serde(default)]
    pub retention_reached_s: Option<f64>,
    /// The backlog that the consumers started with; `None` without one.
    #[serde(default)]
    pub backlog: Option<BacklogFigures>,
    /// The percentile of `response` that is only an upper bound, because the load generator was late, and that makes the trial
    /// invalid: `p99`, or the one of an SLO. `None` if the generator was in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_percentile: Option<String>,
    /// Earlier attempts at this trial whose generator was late (`late_retries`). They are not in the trial's figures.
    #[serde(default)]
    pub late_attempts: Vec<LateAttempt>,
}

/// An attempt at a trial whose generator was late, so that the trial was measured again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LateAttempt {
    /// Time at which the measured window opened, s since the run started.
    pub window_start_s: f64,
    /// 99th percentile of the pacing lag, which says how late the generator was, ns.
    pub pacing_lag_p99: Option<u64>,
    /// 99th percentile of the response time, ns.
    pub response_p99: Option<u64>,
    /// Share of the machine's CPU time that the hypervisor gave to other virtual machines, 0 to 1.
    pub steal_share: Option<f64>,
}

/// A backlog that was built before the window opened. The window ends when the backlog is consumed. So the window's length
/// is the time that this took, and `consume` is the speed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BacklogFigures {
    /// Records in the backlog.
    pub built_records: u64,
    /// Encoded bytes of those records.
    pub built_bytes: u64,
    /// Time that it took to build the backlog, s.
    pub build_s: f64,
    /// How the caches were prepared before the consumers started.
    pub cache: BacklogCache,
    /// Whether the consumers reached the end of the backlog before `phases.measure` was over.
    pub is_drained: bool,
}

/// Injected stalls, and the records that they made late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StallFigures {
    /// Each injected stall.
    pub injected: Vec<InjectedStall>,
    /// The latency above which a record counts as late, ns: a twentieth of the shortest stall.
    pub late_ns: u64,
    /// Fraction of the window's records whose response was late; `None` where records have no intended time.
    pub late_share: Option<f64>,
    /// Fraction of the window's records whose service time was late. Service time begins only when the target accepts a
    /// record.
    pub service_late_share: Option<f64>,
    /// The value of `late_share` that follows from the length of the stalls and the load (docs/methodology.md). `None` with
    /// several shards, and where the load is not a fraction of a measured maximum.
    pub expected_late_share: Option<f64>,
}

/// A stall that was injected into one shard.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InjectedStall {
    /// Number of the shard.
    pub shard: u32,
    /// Start of the stall, s since the measured window opened.
    pub at_s: f64,
    /// Length of the stall, s.
    pub length_s: f64,
}

/// The speed of the device alone, measured by slices of raw io_uring requests before and after the trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CeilingFigures {
    /// Like-for-like write speed: the median of the slices.
    pub write_bytes_per_s: Option<f64>,
    /// Like-for-like read speed; `None` where the trial did not read from the device.
    pub read_bytes_per_s: Option<f64>,
    /// Best write speed of the device: blocks of 1 MiB, depth 8, overwriting.
    pub device_write_bytes_per_s: Option<f64>,
    /// Best read speed of the device: blocks of 1 MiB, depth 8.
    pub device_read_bytes_per_s: Option<f64>,
    /// Latency of one synced 4 KiB write at a time, into fallocated space.
    pub dsync_4k_ns: DsyncFigures,
    /// Speed of each like-for-like write slice, in the order in which they were made.
    pub write_slices_bytes_per_s: Vec<f64>,
    /// The kind of writes that "like for like" stands for.
    pub write_shape: Option<WriteShape>,
}

/// Latency of a synced 4 KiB write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DsyncFigures {
    /// Median, ns.
    pub p50: Option<u64>,
}

/// The kind of writes that a ceiling was measured with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteShape {
    /// Bytes of each write.
    pub block_bytes: u64,
    /// Writes in flight at the same time.
    pub depth: u32,
    /// Files that the writes were spread over.
    pub files: u32,
    /// State of the extents that were written: `fallocated`, `overwrite` or `extending`.
    pub extent: String,
    /// Whether each write was synced (`RWF_DSYNC`).
    pub dsync: bool,
}

/// Fractions of the like-for-like ceiling that the trial reached; `None` for `appended`, and without a ceiling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OfCeiling {
    /// Bytes written ÷ write ceiling.
    pub write: Option<f64>,
    /// Bytes read ÷ read ceiling; `None` where the trial did not read from the device.
    pub read: Option<f64>,
    /// Sum of both: the fraction of the device's time that was used.
    pub combined: Option<f64>,
}

/// The load that an open load asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Offered {
    /// Records whose intended time is inside the window.
    pub records: u64,
    /// Offered records per second of the window.
    pub records_per_s: f64,
    /// Records acked ÷ records offered.
    pub achieved: f64,
}

/// Records that were acked, or consumed, inside the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// Number of records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Bytes of the same records as encoded in the log; `None` where the target does not report them.
    pub encoded_bytes: Option<u64>,
    /// Records ÷ length of the window.
    pub records_per_s: f64,
    /// Bytes ÷ length of the window.
    pub bytes_per_s: f64,
    /// Bytes ÷ (length of the window + time of the final sync); only for runs with buffered I/O.
    pub bytes_per_s_synced: Option<f64>,
}

/// Sizes of the batches that were acked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Batches {
    /// Mean records per batch.
    pub records_mean: Option<f64>,
    /// Median encoded bytes of a batch.
    pub bytes_p50: Option<u64>,
}

/// The writes that reached the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Writes {
    /// Median bytes of a write.
    pub bytes_p50: Option<u64>,
    /// Writes in flight of a shard, as a mean over the time in which it has any.
    pub depth_mean: Option<f64>,
}

/// The figures of one shard over the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShardFigures {
    /// Number of the shard.
    pub shard: u32,
    /// Time spent working, s.
    pub work_s: f64,
    /// Time spent polling for completions or messages, s.
    pub poll_s: f64,
    /// Time spent asleep, s.
    pub parked_s: f64,
    /// Encoded bytes that were written, padding and rewritten tails included.
    pub write_bytes: u64,
    /// Number of writes.
    pub writes: u64,
    /// Median bytes of a write.
    pub write_bytes_p50: Option<u64>,
    /// Writes in flight, as a mean over the time in which the shard has any.
    pub write_depth_mean: Option<f64>,
    /// Device flushes and synced writes.
    pub syncs: u64,
    /// Writes to extents that were written before, as in recycled segments.
    #[serde(default)]
    pub overwrites: u64,
    /// Bytes read from the device.
    pub read_bytes: u64,
}

/// The resources that a trial used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// CPU time by part.
    pub cpu_s: CpuSeconds,
    /// Largest resident memory of the process, bytes.
    pub rss_max_bytes: Option<u64>,
    /// Largest disk space of the target's files, preallocated space included, bytes. It is read once a second.
    pub data_max_bytes: Option<u64>,
    /// Bytes written to the device.
    pub device_write_bytes: Option<u64>,
    /// Bytes read from the device.
    pub device_read_bytes: Option<u64>,
    /// Bytes written to the device ÷ bytes of the keys and values produced.
    pub write_amplification: Option<f64>,
    /// Device flushes and synced writes.
    pub syncs: Option<u64>,
    /// Share of the machine's CPU time that the hypervisor gave to other virtual machines, 0 to 1.
    pub steal_share: Option<f64>,
    /// Mean number of cores that other processes and kernel threads kept busy. Some of those kernel threads worked for the
    /// trial's own I/O.
    pub others_cores: Option<f64>,
    /// Time for which a quota of CPU time (cgroup) stopped the process's threads, s. `None` without a quota, and in schema
    /// version 1.
    #[serde(default)]
    pub throttled_s: Option<f64>,
    /// Memory that was touched before the trial so that the trial did not measure page faults, bytes.
    pub warmed_bytes: Option<u64>,
    /// Interrupts of the disk, by the core that handled them.
    pub disk_interrupts: BTreeMap<u32, u64>,
}

/// CPU time by part, s; `None` for a part that could not be measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CpuSeconds {
    /// Time of shards at work.
    pub shard_work: Option<f64>,
    /// Time of shards polling.
    pub shard_poll: Option<f64>,
    /// Time of the load threads.
    pub load: Option<f64>,
    /// Time of the kernel on behalf of this process.
    pub kernel: Option<f64>,
}

/// The results of the consumers' integrity checks; `None` for a check that was not made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IntegrityFigures {
    /// Records that were checked.
    pub checked: Option<u64>,
    /// Records that are missing between two that arrived.
    pub gaps: Option<u64>,
    /// Records that arrived more than once.
    pub duplicates: Option<u64>,
    /// Records that arrived after a later one.
    pub reorders: Option<u64>,
    /// Records whose content differs from the content that was sent.
    pub corruptions: Option<u64>,
    /// Records that were acked but not consumed when the drain ended. They are not a failure.
    pub undrained: Option<u64>,
    /// Records that retention deleted before they were consumed. They are not a failure.
    pub lost_to_retention: Option<u64>,
    /// Records that were delivered again after a rebalance. They are not a failure.
    pub redelivered: Option<u64>,
}

impl Flow {
    /// Returns counts and their rates over a window of `window_s`. The rates are 0 if the window never opened.
    pub fn over(window_s: f64, records: u64, bytes: u64, encoded_bytes: Option<u64>) -> Self {
        let rate = |count| if window_s > 0.0 { num::f64_of(count) / window_s } else { 0.0 };
        let (records_per_s, bytes_per_s) = (rate(records), rate(bytes));
        Self { records, bytes, encoded_bytes, records_per_s, bytes_per_s, bytes_per_s_synced: None }
    }
}

impl LateAttempt {
    /// Returns the figures that are kept of a trial that is measured again.
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
    /// Whether a check found anything that counts as a failure.
    pub fn failed(&self) -> bool {
        [self.gaps, self.duplicates, self.reorders, self.corruptions]
            .iter()
            .any(|found| found.unwrap_or(0) > 0)
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
