//! Limits and sizes that validation, the estimate and the load generator share.

use std::time::Duration;

/// The conditions of `require` may take this many times the warm-up, and at least [`REQUIREMENT_WAIT_MIN`].
pub const WARMUP_TIMES_MAX: u32 = 10;
/// The conditions of `require` may take this long, however short the warm-up is: a slow disk needs it to fill a log. The fake disk
/// of unit tests does not.
pub const REQUIREMENT_WAIT_MIN: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 30 });

/// Returns how long the conditions of `require` may take, for a warm-up of this length.
pub fn requirement_wait(warmup: Duration) -> Duration {
    warmup.saturating_mul(WARMUP_TIMES_MAX).max(REQUIREMENT_WAIT_MIN)
}

/// Length of a stamp in bytes, and so the smallest random value that can hold one.
pub const STAMP_BYTES: usize = 24;

/// Largest size of a pool of random values in bytes. Larger values mean fewer of them, but at least [`POOL_ENTRIES_MIN`].
pub const POOL_BYTES_MAX: u64 = 64 << 20;
/// Number of values in a pool if [`POOL_BYTES_MAX`] allows fewer, unless the workload asks for fewer.
pub const POOL_ENTRIES_MIN: u64 = 4;

/// Producers of one run are fewer than this, over all topics: a stamp has 20 bits for the producer's number.
pub const PRODUCERS_MAX: u32 = 1 << 20;

/// The most partitions of one run, over all topics: as many as one data directory of the engine holds.
pub const PARTITIONS_MAX: u64 = 1 << 18;

/// The highest rate of an open load, in records a second, at the peak of its profile.
pub const RATE_MAX: f64 = 1e9;

/// Most bytes of files that the device's ceiling is measured on.
pub const CEILING_BYTES_MAX: u64 = 1 << 30;
