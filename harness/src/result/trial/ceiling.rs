//! The ceiling of one trial: the speed of the device alone, and the trial's share of that speed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Largest share of the ceiling up to which the slices are a ceiling. Below it a share above 1 may be the noise between a trial
/// and its slices.
pub const OF_CEILING_MAX: f64 = 1.05;

/// The speed of the device alone, measured by slices of raw io_uring requests before and after the trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CeilingFigures {
    /// Like-for-like write speed: the median of the slices. It counts the bytes that the device took.
    pub write_bytes_per_s: Option<f64>,
    /// Like-for-like read speed; `None` where the trial did not read from the device.
    pub read_bytes_per_s: Option<f64>,
    /// Best write speed of the device: that of the best cell of a grid, overwriting, before and after the run.
    pub device_write_bytes_per_s: Option<f64>,
    /// Best read speed of the device: that of the best cell of the grid, before and after the run.
    pub device_read_bytes_per_s: Option<f64>,
    /// The cell of the grid with the best write speed; `None` in older results.
    #[serde(default)]
    pub device_write_cell: Option<GridCell>,
    /// The cell of the grid with the best read speed; `None` in older results.
    #[serde(default)]
    pub device_read_cell: Option<GridCell>,
    /// Latency of one synced 4 KiB write at a time, into fallocated space, beside this trial.
    pub dsync_4k_ns: DsyncFigures,
    /// Speed of each like-for-like write slice: before the trial and after it. Each is the better of a thread that waits for
    /// completions and one that polls for them.
    pub write_slices_bytes_per_s: Vec<f64>,
    /// Speed of each slice of reads, in the same order; empty in older results.
    #[serde(default)]
    pub read_slices_bytes_per_s: Vec<f64>,
    /// Whether only the slice after the trial counts, because the trial did other writes than the setting's trial before
    /// it.
    #[serde(default)]
    pub is_after_only: bool,
    /// The kind of writes that "like for like" stands for: those of this trial.
    pub write_shape: Option<WriteShape>,
    /// The reads that the slices repeat: those of this trial. `None` where it did not read from the device, and in older
    /// results, whose slices read 1 MiB with 8 in flight.
    #[serde(default)]
    pub read_shape: Option<GridCell>,
}

/// Latency of a synced 4 KiB write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DsyncFigures {
    /// Median, ns.
    pub p50: Option<u64>,
}

/// Size and depth of operations: a cell of the grid in which the device's best is looked for, or reads like those of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GridCell {
    /// Bytes of each operation.
    pub block_bytes: u32,
    /// Operations in flight at the same time.
    pub depth: u32,
}

/// The kind of writes that a ceiling was measured with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WriteShape {
    /// Mean bytes of a write. In results of schema version 1: the median.
    pub block_bytes: u64,
    /// Number of writes of each size, as pairs of bytes and number, ascending by bytes; empty in older results.
    #[serde(default)]
    pub sizes: Vec<(u32, u64)>,
    /// Writes in flight at the same time, over all shards.
    pub depth: f64,
    /// Files that the writes were spread over.
    pub files: u32,
    /// State of most of the extents that were written: `fallocated`, `overwrite` or `extending`.
    pub extent: String,
    /// Share of the writes to extents that were written before, 0 to 1; `None` in older results.
    #[serde(default)]
    pub overwrites: Option<f64>,
    /// Whether the writes were synced.
    pub dsync: bool,
    /// Share of the writes that shared a flush, 0 to 1; `None` in older results. The other synced writes carried
    /// `RWF_DSYNC`.
    #[serde(default)]
    pub shared: Option<f64>,
    /// Mean number of writes that one flush covered; `None` where no writes shared one.
    #[serde(default)]
    pub shared_writes_mean: Option<f64>,
    /// Mean bytes written between two flushes of the device that no write waited for; `None` for synced writes, where there were
    /// none, and in older results.
    #[serde(default)]
    pub flush_every_bytes: Option<u64>,
}

/// Fractions of the like-for-like ceiling that the trial reached; `None` for `appended`, and without a ceiling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OfCeiling {
    /// Bytes that the device took in the window ÷ write ceiling.
    pub write: Option<f64>,
    /// Bytes that the device gave in the window ÷ read ceiling; `None` where the trial did not read from the device.
    pub read: Option<f64>,
    /// Sum of both: the fraction of the device's time that was used.
    pub combined: Option<f64>,
}
