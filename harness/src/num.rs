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

/// The high half of a 64-bit word.
pub const fn high_u32(word: u64) -> u32 {
    (word >> 32) as u32
}

/// The low half of a 64-bit word.
pub const fn low_u32(word: u64) -> u32 {
    word as u32
}

/// A number as an index: this project runs on 64-bit Linux only, where nothing is lost.
pub const fn index(number: u32) -> usize {
    number as usize
}

/// A length in memory as a count: a `usize` has at most 64 bits.
pub const fn count(length: usize) -> u64 {
    length as u64
}

/// A non-negative float rounded to a length; NaN and negatives become 0.
pub const fn index_of_f64(value: f64) -> usize {
    value.round() as usize
}
