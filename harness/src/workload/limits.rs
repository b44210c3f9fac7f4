//! Limits and sizes that validation, the estimate and the load generator share.

/// The warm-up is extended to this many times its length at most.
pub const WARMUP_TIMES_MAX: u32 = 10;

/// Length of a stamp in bytes, and so the smallest random value.
pub const STAMP_BYTES: usize = 24;

/// Producers of one run are fewer than this, over all topics: a stamp has 20 bits for the producer's number.
pub const PRODUCERS_MAX: u32 = 1 << 20;

/// Most bytes of files that the device's ceiling is measured on.
pub const CEILING_BYTES_MAX: u64 = 1 << 30;
