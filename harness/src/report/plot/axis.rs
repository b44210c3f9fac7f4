//! Axes: their ranges, their ticks, and the choice between a linear and a log scale.

use super::value::{Axis, Scale, Tick};
use crate::num;

/// Values that span this factor or more are drawn on a log axis.
const LOG_SPAN_MIN: f64 = 4.0;
/// Space above the greatest value of a linear axis, as a factor.
const HEADROOM: f64 = 1.06;
/// About as many ticks as a linear axis has.
const TICKS: f64 = 6.0;
/// About as many ticks as a time axis has.
const TIME_TICKS: f64 = 12.0;
/// The most decades for which a log axis has ticks at 2 and 5, too.
const FINE_DECADES_MAX: f64 = 3.01;

/// The least and the greatest of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Extent {
    /// Returns the extent of the finite values; `None` if there are none.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let each = values.filter(|value| value.is_finite()).map(|value| Self { low: value, high: value });
        each.reduce(|a, b| Self { low: a.low.min(b.low), high: a.high.max(b.high) })
    }

    /// Tells whether values of this extent need a log axis. Only positive values can have one.
    pub(super) fn is_wide(self) -> bool {
        self.low > 0.0 && self.high >= self.low * LOG_SPAN_MIN
    }
}

/// Returns an axis from 0 to a little above `top`.
pub(super) fn from_zero(title: &str, top: f64, label: impl Fn(f64) -> String) -> Axis {
    let high = if top > 0.0 && top.is_finite() { top * HEADROOM } else { 1.0 };
    stepped(title, (0.0, high), (round_step(high / TICKS), label))
}

/// Returns a linear axis of this range with a tick at each multiple of a step.
fn stepped(title: &str, (low, high): (f64, f64), (step, label): (f64, impl Fn(f64) -> String)) -> Axis {
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let count = num::index_of_f64(last - first);
    let ticks = (0..=count).map(|index| {
        let at = (first + num::f64_of(num::count(index))) * step;
        // Adding 0 turns -0 into 0.
        let at = (if at.abs() < step * 1e-9 { 0.0 } else { at }).clamp(low, high) + 0.0;
        Tick { at, label: label(at) }
    });
    Axis { scale: Scale::Linear, low, high, ticks: distinct(ticks), title: title.to_owned(), has_grid: true }
}

/// Returns a log axis around positive values. It begins and ends at a tick.
pub(super) fn log(title: &str, extent: Extent, label: impl Fn(f64) -> String) -> Axis {
    let below = |value: f64| ladder(value, |step| step * (1.0 - 1e-9) <= value).unwrap_or(value);
    let above = |value: f64| {
        let decade = decade_below(value);
        [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|step| step * (1.0 + 1e-9) >= value)
    };
    let (mut low, mut high) = (below(extent.low), above(extent.high).unwrap_or(extent.high));
    if high <= low * 1.5 {
        high = above(low * 2.0).unwrap_or(low * 2.0);
    }
    let is_fine = (high / low).log10() <= FINE_DECADES_MAX;
    if !is_fine {
        low = decade_below(extent.low);
        high = decade_below(extent.high);
        high = if high < extent.high * (1.0 - 1e-9) { high * 10.0 } else { high };
    }
    let steps: &[f64] = if is_fine { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let from = num::index_of_f64((decade_below(low).log10() + 400.0).round());
    let to = num::index_of_f64((decade_below(high).log10() + 400.0).round());
    let decades = (from..=to).map(|exponent| 10.0_f64.powf(num::f64_of(num::count(exponent)) - 400.0));
    let all = decades.flat_map(|decade| steps.iter().map(move |step| step * decade));
    let inside = all.filter(|at| *at >= low * (1.0 - 1e-9) && *at <= high * (1.0 + 1e-9));
    let ticks = inside.map(|at| Tick { at: at.clamp(low, high), label: label(at) });
    let title = if title.is_empty() { "log axis".to_owned() } else { format!("{title} (log axis)") };
    Axis { scale: Scale::Log, low, high, ticks: distinct(ticks), title, has_grid: true }
}

/// Returns the axis of latencies in nanoseconds, which is always a log axis; `None` if there are none.
pub(super) fn latency(ns: impl Iterator<Item = f64>) -> Option<Axis> {
    let extent = Extent::of(ns.map(|ns| ns.max(1.0)))?;
    Some(Axis { title: String::new(), ..log("", extent, ns_label) })
}

/// Returns the axis of times since the window opened.
pub(super) fn time(span: (f64, f64)) -> Axis {
    let step = round_step((span.1 - span.0) / TIME_TICKS);
    Axis { has_grid: false, ..stepped("s since the window opened", span, (step, number)) }
}

/// Returns a linear axis of ratios, labelled as differences from 1: `−10 %`.
pub(super) fn differences(title: &str, (low, high): (f64, f64)) -> Axis {
    let step = round_step((high - low) / TICKS);
    let label = |ratio: f64| {
        let percent = number(((ratio - 1.0) * 100.0 * 1e6).round() / 1e6);
        match percent.strip_prefix('-') {
            Some(less) => format!("−{less} %"),
            None if percent == "0" => "0 %".to_owned(),
            None => format!("+{percent} %"),
        }
    };
    stepped(title, (low, high), (step, label))
}

/// Returns the same axis without ticks and title, for a plot above another one with that axis.
pub(super) fn bare(axis: &Axis) -> Axis {
    Axis { ticks: Vec::new(), title: String::new(), ..axis.clone() }
}

/// Formats a number for an axis, with as many decimals as it needs.
pub(super) fn number(number: f64) -> String {
    let decimals = (0..6).find(|decimals| {
        let scaled = number * 10.0_f64.powi(*decimals);
        (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1.0)
    });
    let decimals = num::index_of_f64(f64::from(decimals.unwrap_or(6)));
    let text = format!("{:.decimals$}", number + 0.0);
    if text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') { "0".to_owned() } else { text }
}

/// Formats a count for an axis: `20 k`.
pub(super) fn count(count: f64) -> String {
    let (divisor, unit) = match count {
        c if c >= 1e9 => (1e9, " G"),
        c if c >= 1e6 => (1e6, " M"),
        c if c >= 1e4 => (1e3, " k"),
        _ => (1.0, ""),
    };
    format!("{}{unit}", number(count / divisor))
}

/// Formats a time in nanoseconds for an axis: `200 µs`.
pub(super) fn ns_label(ns: f64) -> String {
    if ns <= 0.0 {
        return "0".to_owned();
    }
    let (divisor, unit) = match ns * (1.0 + 1e-9) {
        ns if ns >= 1e9 => (1e9, "s"),
        ns if ns >= 1e6 => (1e6, "ms"),
        ns if ns >= 1e3 => (1e3, "µs"),
        _ => (1.0, "ns"),
    };
    format!("{} {unit}", number(ns / divisor))
}

/// Returns the unit of a throughput axis that reaches `top` bytes per second: its bytes per second, and its name.
pub(super) fn throughput_unit(top: f64) -> (f64, &'static str) {
    if top >= 1e9 { (1_073_741_824.0, "GiB/s") } else { (1_048_576.0, "MiB/s") }
}

/// Returns the least of 1, 2, 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let decade = decade_below(step);
    let round = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
    round.into_iter().find(|round| *round >= step * (1.0 - 1e-9)).unwrap_or(step)
}

/// Returns the greatest power of ten that is at most `value`.
fn decade_below(value: f64) -> f64 {
    10.0_f64.powf((value.log10() + 1e-9).floor())
}

/// Returns the greatest of 5, 2, 1 times the decade below a value that passes the test.
fn ladder(value: f64, passes: impl Fn(f64) -> bool) -> Option<f64> {
    let decade = decade_below(value);
    [5.0, 2.0, 1.0].map(|step| step * decade).into_iter().find(|step| passes(*step))
}

/// Leaves out ticks whose label is that of the tick before.
fn distinct(ticks: impl Iterator<Item = Tick>) -> Vec<Tick> {
    let mut kept: Vec<Tick> = ticks.collect();
    kept.dedup_by(|a, b| a.label == b.label);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(&from_zero("", 290.0, number)), ["0", "100", "200", "300"]);
        assert_eq!(labels(&from_zero("", 1.4, number)), ["0", "0.5", "1"]);
        assert_eq!(
            labels(&time((-2.0, 10.0))),
            ["-2", "-1", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]
        );
        assert_eq!(
            labels(&log("", Extent { low: 250e3, high: 3e6 }, ns_label)),
            ["200 µs", "500 µs", "1 ms", "2 ms", "5 ms"]
        );
        assert_eq!(
            labels(&log("", Extent { low: 13.0, high: 290_000.0 }, number)),
            ["10", "100", "1000", "10000", "100000", "1000000"]
        );
    }

    #[test]
    fn a_log_axis_needs_positive_values_that_span_a_factor_of_four() {
        let is_wide = |values: &[f64]| Extent::of(values.iter().copied()).unwrap().is_wide();
        assert!(is_wide(&[1.0, 4.0]) && is_wide(&[14.0, 298.0]));
        assert!(!is_wide(&[1.0, 3.9]) && !is_wide(&[0.0, 100.0]) && !is_wide(&[-1.0, 100.0]));
        assert_eq!(Extent::of([f64::NAN, f64::INFINITY].into_iter()), None);
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!([-0.0, -1e-12, 0.5, -2.0].map(number), ["0", "0", "0.5", "-2"]);
        assert_eq!([500.0, 20_000.0, 1.5e6].map(count), ["500", "20 k", "1.5 M"]);
    }

    fn is_sound(axis: &Axis) -> Result<(), TestCaseError> {
        prop_assert!(axis.high > axis.low, "{axis:?}");
        prop_assert!(axis.ticks.len() >= 2, "{axis:?}");
        prop_assert!(axis.ticks.iter().all(|tick| axis.holds(tick.at)), "{axis:?}");
        prop_assert!(axis.ticks.windows(2).all(|pair| pair[0].at < pair[1].at), "{axis:?}");
        let mut labels: Vec<_> = axis.ticks.iter().map(|tick| &tick.label).collect();
        labels.sort();
        labels.dedup();
        prop_assert_eq!(labels.len(), axis.ticks.len(), "{:?}", axis);
        Ok(())
    }

    proptest! {
        #[test]
        fn an_axis_holds_its_values_and_its_ticks_differ(low in 1e-3f64..1e12, factor in 1.0f64..1e9) {
            let extent = Extent { low, high: low * factor };
            let axis = log("", extent, number);
            is_sound(&axis)?;
            prop_assert!(axis.holds(extent.low) && axis.holds(extent.high) && axis.low > 0.0, "{:?}", axis);
            let axis = from_zero("", extent.high, number);
            is_sound(&axis)?;
            prop_assert!(axis.holds(0.0) && axis.holds(extent.high));
            let axis = latency([low, low * factor].into_iter()).unwrap();
            is_sound(&axis)?;
            prop_assert!(axis.holds(low.max(1.0)) && axis.holds((low * factor).max(1.0)), "{:?}", axis);
        }

        #[test]
        fn shares_ascend_from_zero_to_one(low in 1e-3f64..1e6, factor in 1.5f64..1e6, at in 0.0f64..1.0) {
            let extent = Extent { low, high: low * factor };
            for axis in [log("", extent, number), from_zero("", extent.high, number)] {
                let value = axis.low + at * (axis.high - axis.low);
                prop_assert!(axis.share(axis.low) == 0.0 && axis.share(axis.high) == 1.0);
                prop_assert!((0.0..=1.0).contains(&axis.share(value)));
                prop_assert!(axis.share(value) <= axis.share(value * 1.5));
            }
        }
    }
}
