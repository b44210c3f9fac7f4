//! Words for a change of a metric: in percent, or as a factor where it is large.

use super::metric::better;
use crate::stats::Better;
use crate::workload::Metric;

/// Factors below this one have three decimals. Greater ones are at least 0.10 with two.
const SMALL_MAX: f64 = 0.095;

/// Formats a factor with two decimals, or with three if it is small.
pub(in crate::report) fn factor(factor: f64) -> String {
    if factor < SMALL_MAX { format!("{factor:.3}") } else { format!("{factor:.2}") }
}

/// Returns the words for a change of a metric from the best value: `12 % less (8 to 16 %)`. Large changes are factors.
pub(in crate::report) fn change(ratio: f64, interval: Option<(f64, f64)>, metric: Metric) -> String {
    if !(0.5..=2.0).contains(&ratio) {
        let range = interval.map(|(low, high)| format!(" ({} to {})", factor(low), factor(high)));
        return format!("{} times as much{}", factor(ratio), range.unwrap_or_default());
    }
    let is_more = better(metric) == Better::More;
    let worse = |ratio: f64| if is_more { 1.0 - ratio } else { ratio - 1.0 };
    let word = match (is_more, worse(ratio) >= 0.0) {
        (true, true) | (false, false) => "less",
        _ => "more",
    };
    let sign = if worse(ratio) >= 0.0 { 1.0 } else { -1.0 };
    let percent = |ratio: f64| number(sign * worse(ratio) * 100.0);
    let range = interval.map(|(low, high)| {
        let (near, far) = if is_more == (sign > 0.0) { (high, low) } else { (low, high) };
        format!(" ({} to {} %)", percent(near), percent(far))
    });
    format!("{} % {word}{}", percent(ratio), range.unwrap_or_default())
}

/// Formats a percentage: one decimal below 10.
pub(in crate::report) fn number(percent: f64) -> String {
    let text = if percent.abs() < 9.95 { format!("{percent:.1}") } else { format!("{percent:.0}") };
    let plain = text.strip_suffix(".0").unwrap_or(&text).replace('-', "−");
    if plain == "−0" { "0".to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_factor_has_a_decimal_more() {
        assert_eq!(
            [0.0421, 0.0948, 0.0952, 0.0998, 0.104, 2.0].map(factor),
            ["0.042", "0.095", "0.10", "0.10", "0.10", "2.00"]
        );
    }

    #[test]
    fn a_change_is_told_by_how_much_worse_it_is() {
        let throughput = |ratio, interval| change(ratio, interval, Metric::Throughput);
        assert_eq!(throughput(0.88, Some((0.84, 0.92))), "12 % less (8 to 16 %)");
        assert_eq!(throughput(0.99, Some((0.95, 1.03))), "1 % less (−3 to 5 %)");
        assert_eq!(throughput(0.88, None), "12 % less");
        assert_eq!(throughput(0.2, Some((0.19, 0.214))), "0.20 times as much (0.19 to 0.21)");
        let p99 = |ratio, interval| change(ratio, interval, Metric::ResponseP99);
        assert_eq!(p99(1.35, Some((1.202, 1.52))), "35 % more (20 to 52 %)");
        assert_eq!(p99(1.02, Some((0.97, 1.07))), "2 % more (−3 to 7 %)");
        assert_eq!(p99(3.0, Some((2.0, 4.5))), "3.00 times as much (2.00 to 4.50)");
    }
}
