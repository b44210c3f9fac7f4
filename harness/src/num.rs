//! Conversions between number types that may lose information. They all live here, and each says why its loss is
//! acceptable.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "this module exists to hold every lossy cast, each one argued"
)]

use std::time::Duration;

/// Returns a count as a float. It is exact below 2^53, which no count here reaches.
pub const fn f64_of(count: u64) -> f64 {
    count as f64
}

/// Rounds a non-negative float to a count. NaN and negatives become 0; a value that is too large saturates.
pub const fn u64_of(value: f64) -> u64 {
    value.round() as u64
}

/// Returns the nanoseconds of a duration; saturates after 584 years.
pub const fn ns_of(duration: Duration) -> u64 {
    let ns = duration.as_nanos();
    if ns > u64::MAX as u128 { u64::MAX } else { ns as u64 }
}

/// Returns the high half of a 64-bit word.
pub const fn high_u32(word: u64) -> u32 {
    (word >> 32) as u32
}

/// Returns the low half of a 64-bit word.
pub const fn low_u32(word: u64) -> u32 {
    word as u32
}

/// Returns a number as an index. Nothing is lost, because this project runs on 64-bit Linux only.
pub const fn index(number: u32) -> usize {
    number as usize
}

/// Returns a length in memory as a count. Nothing is lost, because a `usize` has at most 64 bits.
pub const fn count(length: usize) -> u64 {
    length as u64
}

/// Rounds a non-negative float to a length. NaN and negatives become 0.
pub const fn index_of_f64(value: f64) -> usize {
    value.round() as usize
}
