//! The figures of one trial. `None` means "not measured" or "does not apply here", never 0.

mod ceiling;
mod errors;
mod groups;
mod limit;
mod resources;

pub use ceiling::{CeilingFigures, DsyncFigures, GridCell, OF_CEILING_MAX, OfCeiling, WriteShape};
pub use errors::{ErrorFigures, ErrorKind};
pub use groups::GroupFigures;
pub use limit::{Limit, LimitKind};
pub use resources::{
    CoreRoundTrip, CpuPart, CpuPerGib, CpuSeconds, ProcessFigures, PumpShares, Resources, ShardFigures,
};

use super::latency::figures::{Granularity, LatencyFigures, LatencySet};
use crate::num;
use crate::workload::BacklogCache;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Records that failed inside the window, and were not acked.
    pub failed_records: u64,
    /// Records that failed at any time of the trial, by the kind of the error; the most frequent kind first. Empty in older
    /// results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorFigures>,
    /// The error that ended the trial early; `None` if it took its time, and in older results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
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
    /// The consumer groups; `None` unless the consumers were group members.
    #[serde(default)]
    pub groups: Option<GroupFigures>,
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
    /// The files of the closed log; `None` unless the trial was read back.
    #[serde(default)]
    pub closed: Option<ClosedFigures>,
    /// The percentile of `response` that is only an upper bound, because the load generator was late, and that makes the trial
    /// invalid: `p99`, or the one of an SLO. `None` if the generator was in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_percentile: Option<String>,
    /// Earlier attempts at this trial whose generator was late (`late_retries`). They are not in the trial's figures.
    #[serde(default)]
    pub late_attempts: Vec<LateAttempt>,
    /// Whether the generator was late in this attempt too. Then the trial is not in the medians of its point.
    #[serde(default)]
    pub is_late: bool,
    /// The limit of a trial under `max`; `None` under other loads, and in schema version 1.
    #[serde(default)]
    pub limit: Option<Limit>,
}

/// An attempt at a trial whose generator was late, so that the trial was measured again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LateAttempt {
    /// Time at which the measured window opened, s since the run started.
    pub window_start_s: f64,
    /// 99th percentile of the pacing lag, which says how late the generator was, ns.
    pub pacing_lag_p99: Option<u64>,
    /// 99th percentile of the response time, ns.
    pub response_p99: Option<u64>,
    /// Share of the time of the cores in use that the hypervisor gave to other virtual machines, 0 to 1.
    pub steal_share: Option<f64>,
    /// Records that were acked inside the window; `None` in older results.
    #[serde(default)]
    pub produce: Option<Flow>,
    /// All latencies; `None` in older results.
    #[serde(default)]
    pub latency_ns: Option<LatencySet>,
}

/// A backlog that was built before the window opened. The window ends when the backlog is consumed. So the window's length
/// is the time that this took, and `consume` is the speed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BacklogFigures {
    /// Records in the backlog.
    pub built_records: u64,
    /// Encoded bytes of those records; bytes of their keys and values if the target does not report encoded ones.
    pub built_bytes: u64,
    /// Time that it took to build the backlog, s.
    pub build_s: f64,
    /// How the caches were prepared before the consumers started.
    pub cache: BacklogCache,
    /// Whether the consumers reached the end of the backlog before `phases.measure` was over.
    pub is_drained: bool,
    /// Bytes that the device gave ÷ encoded bytes that were consumed, in the window. It is near 0 if memory held the backlog.
    /// `None` if it is not known what the device gave.
    #[serde(default)]
    pub from_disk: Option<f64>,
}

/// The files of a log that was closed after its trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClosedFigures {
    /// Number of files.
    pub files: u64,
    /// Time to open the closed log again, s: start of the engine, and recovery of every partition. The log was scanned right
    /// before, so its indexes may be in memory.
    pub reopen_s: f64,
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

/// The results of the integrity checks; `None` for a check that was not made. Consumers make them. A trial that nobody
/// consumed is read back after its last slice.
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
    /// Records that others wrote to the existing topic that was measured. They are not checked, and are not a failure. `None` where
    /// the run made its topics.
    #[serde(default)]
    pub foreign: Option<u64>,
    /// Records that were delivered again after a rebalance. They are not a failure. `None` without group members.
    pub redelivered: Option<u64>,
    /// Acked records below a position from which a group has read on, or which it has committed, that no member has read.
    /// `None` without group members.
    #[serde(default)]
    pub skipped: Option<u64>,
    /// Records that two members have read while both owned the partition in one generation. `None` without group members.
    #[serde(default)]
    pub double_owned: Option<u64>,
    /// Defects that a scan of the closed log found. Only trials that nobody consumed are scanned and read back.
    #[serde(default)]
    pub defects: Option<u64>,
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
            produce: Some(trial.produce),
            latency_ns: Some(trial.latency_ns.clone()),
        }
    }
}

impl Trial {
    /// Whether the generator was late in the first attempt at this trial.
    pub fn was_late(&self) -> bool {
        self.is_late || !self.late_attempts.is_empty()
    }

    /// Returns throughput and latencies of the first attempt at this trial, whether its generator was late or not. `None` if
    /// they were not kept.
    pub fn first_attempt(&self) -> Option<Self> {
        let first = match self.late_attempts.first() {
            Some(first) => Self {
                produce: first.produce?,
                latency_ns: first.latency_ns.clone()?,
                window_start_s: first.window_start_s,
                ..Self::default()
            },
            None => Self {
                produce: self.produce,
                latency_ns: self.latency_ns.clone(),
                window_start_s: self.window_start_s,
                ..Self::default()
            },
        };
        Some(first)
    }
}

impl IntegrityFigures {
    /// Whether a check found anything that counts as a failure.
    pub fn failed(&self) -> bool {
        let records = [self.gaps, self.duplicates, self.reorders, self.corruptions];
        let groups_and_log = [self.skipped, self.double_owned, self.defects];
        records.iter().chain(&groups_and_log).any(|found| found.unwrap_or(0) > 0)
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
        assert!(IntegrityFigures { skipped: Some(1), ..IntegrityFigures::default() }.failed());
        assert!(IntegrityFigures { double_owned: Some(1), ..IntegrityFigures::default() }.failed());
        assert!(
            !IntegrityFigures { undrained: Some(9), redelivered: Some(9), ..Default::default() }.failed()
        );
    }

    #[test]
    fn what_was_not_measured_is_null_in_the_file() {
        let json = serde_json::to_value(Trial::default()).unwrap();
        assert_eq!(json.pointer("/latency_ns/response"), Some(&serde_json::Value::Null));
        assert_eq!(json.pointer("/integrity/gaps"), Some(&serde_json::Value::Null));
        assert_eq!(json.pointer("/ceiling/dsync_4k_ns/p50"), Some(&serde_json::Value::Null));
    }
}
