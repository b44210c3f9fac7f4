//! Conversions of numbers that need a check or lose something. All such conversions are here, each with the reason why
//! it is right.

/// Returns `value` as a size in memory. Lossless: vnotch runs on 64-bit Linux only.
pub const fn usize_of(value: u64) -> usize {
    const { assert!(usize::BITS == 64, "vnotch needs a 64-bit machine") };
    #[allow(clippy::cast_possible_truncation, reason = "usize has 64 bits, asserted above")]
    {
        value as usize
    }
}

/// Returns `value` as a 32-bit number.
///
/// # Panics
/// If it does not fit. Callers hold sizes that are bounded far below 4 GiB: chunks, writes, batches.
pub fn u32_of(value: usize) -> u32 {
    u32::try_from(value).expect("sizes of chunks, writes and batches are bounded far below 4 GiB")
}

/// Returns an offset as an unsigned count, for arithmetic that cannot become negative. Negative values become 0.
pub const fn u64_of_offset(offset: i64) -> u64 {
    if offset < 0 { 0 } else { offset.unsigned_abs() }
}

/// Returns the nanoseconds of a duration. Saturates after 584 years.
pub const fn ns_of(duration: std::time::Duration) -> u64 {
    let ns = duration.as_nanos();
    #[allow(clippy::cast_possible_truncation, reason = "bounded by the comparison")]
    {
        if ns > u64::MAX as u128 { u64::MAX } else { ns as u64 }
    }
}

/// Returns `value` rounded up to a multiple of `align`, a power of two.
pub const fn align_up(value: u64, align: u64) -> u64 {
    (value + align - 1) & !(align - 1)
}

/// Returns `value` rounded down to a multiple of `align`, a power of two.
pub const fn align_down(value: u64, align: u64) -> u64 {
    value & !(align - 1)
}
