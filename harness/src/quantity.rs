//! Text of measured quantities: three significant digits and always a unit.

/// Numbers of things below this one are printed with all their digits.
const COUNT_WHOLE_MAX: f64 = 9_999.5;

/// Formats bytes, with units in powers of 1024: `512 B`, `1.43 GiB`.
pub fn bytes(count: u64) -> String {
    binary(crate::num::f64_of(count))
}

/// Formats a rate in bytes: `1.43 GiB/s`.
pub fn bytes_per_s(rate: f64) -> String {
    format!("{}/s", binary(rate))
}

/// Formats a rate in operations or records: `22.9 k/s`.
pub fn per_s(rate: f64) -> String {
    let (value, prefix) = scaled(rate, 1000.0, &["", " k", " M", " G"]);
    format!("{}{prefix}/s", digits(value))
}

/// Formats a number of things: `1204`, `12.4 k`.
pub fn count(count: f64) -> String {
    if count < COUNT_WHOLE_MAX {
        return format!("{count:.0}");
    }
    let (value, prefix) = scaled(count, 1000.0, &["", " k", " M", " G"]);
    format!("{}{prefix}", digits(value))
}

/// Formats a time given in nanoseconds: `45.2 µs`.
pub fn ns(time_ns: u64) -> String {
    let time_ns = crate::num::f64_of(time_ns);
    if rounds_up_to(time_ns, 1e9) {
        return format!("{} s", digits(time_ns / 1e9));
    }
    let (value, prefix) = scaled(time_ns, 1000.0, &["n", "µ", "m"]);
    format!("{} {prefix}s", digits(value))
}

/// Formats a rough duration: `45 s`, `3 min 20 s`, `2 h 5 min`, `12 days`.
pub fn duration(seconds: f64) -> String {
    let whole = crate::num::u64_of(seconds);
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        7200..172_800 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} days", whole / 86_400),
    }
}

/// Formats a share (0 to 1) as a percentage: `93.1 %`.
pub fn percent(share: f64) -> String {
    format!("{} %", digits(share * 100.0))
}

fn binary(value: f64) -> String {
    let (value, unit) = scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]);
    format!("{} {unit}", digits(value))
}

/// Divides `value` by `step` until the printed value is below `step`. Returns the quotient and its unit.
fn scaled<'a>(mut value: f64, step: f64, units: &[&'a str]) -> (f64, &'a str) {
    let mut index = 0;
    while index + 1 < units.len() && rounds_up_to(value, step) {
        value /= step;
        index += 1;
    }
    (value, units[index])
}

/// Tells whether three digits of `value` print as `limit` or more. The next unit is used then: 999.9 becomes 1.00.
fn rounds_up_to(value: f64, limit: f64) -> bool {
    value.abs() >= limit * 0.9995
}

/// Formats a number with three significant digits. Digits before the point are never dropped; 0 has no decimals.
fn digits(value: f64) -> String {
    let size = value.abs();
    let decimals = if size == 0.0 || size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_the_unit_that_suits() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(4096), "4.00 KiB");
        assert_eq!(bytes_per_s(1.43 * 1024.0 * 1024.0 * 1024.0), "1.43 GiB/s");
        assert_eq!(per_s(850.0), "850/s");
        assert_eq!(per_s(22_940.0), "22.9 k/s");
        assert_eq!(per_s(5_000_000.0), "5.00 M/s");
        assert_eq!(
            [0.0, 1204.0, 9_999.4, 9_999.6, 1.45e6].map(count),
            ["0", "1204", "9999", "10.0 k", "1.45 M"]
        );
        assert_eq!(ns(45_249), "45.2 µs");
        assert_eq!(ns(999), "999 ns");
        assert_eq!(ns(1_999_600_000), "2.00 s");
        assert_eq!(percent(0.931), "93.1 %");
        assert_eq!([59.6, 200.0, 7500.0, 1e6].map(duration), ["60 s", "3 min 20 s", "2 h 5 min", "11 days"]);
    }

    #[test]
    fn rounding_never_prints_a_full_step_of_the_smaller_unit() {
        assert_eq!(ns(999_960), "1.00 ms");
        assert_eq!(ns(999_960_000), "1.00 s");
        assert_eq!(bytes((1 << 20) - 1), "1.00 MiB");
        assert_eq!(per_s(999.96), "1.00 k/s");
        assert_eq!(per_s(9.996), "10.0/s");
    }
}
