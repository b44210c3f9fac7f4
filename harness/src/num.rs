//! The one place where numbers are converted with loss, each with the reason why that is right.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "this module exists to hold every lossy cast, each one argued"
)]

use std::time::Duration;

/// A count as a float: exact below 2^53, which no count here reaches.
pub const fn f64_of(count: u64) -> f64 {
    count as f64
}

/// A non-negative float rounded to a count; NaN and negatives become 0, too large a value saturates.
pub const fn u64_of(value: f64) -> u64 {
    value.round() as u64
}

/// Nanoseconds of a duration; saturates after 584 years.
pub const fn ns_of(duration: Duration) -> u64 {
    let ns = duration.as_nanos();
    if ns > u64::MAX as u128 { u64::MAX } else { ns as u64 }
}
