//! The horizontal axis of a sweep's panels: the positions of a setting's values, and their names.

use crate::num;
use crate::report::plot::value::{Axis, Scale, Tick};
use crate::report::setting::Setting;

/// Values that span more than this factor are placed on a log axis.
const LOG_SPAN_MIN: f64 = 3.9;
/// Width of a character of a name, as a share of the axis. It is a rough value for the usual width of a chart.
const CHARACTER: f64 = 0.009;

/// Positions of the values, 0 to 1 along the axis.
pub(super) struct Positions {
    pub(super) positions: Vec<f64>,
    pub(super) axis: Axis,
}

/// The spacing of values on the axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spacing {
    /// Even: for names, or for numbers whose names would touch each other.
    Even,
    Linear,
    Log,
}

impl Positions {
    pub(super) fn of(setting: &Setting) -> Self {
        let labels: Vec<String> = setting.values.iter().map(|value| value.label.clone()).collect();
        let even = (0..labels.len()).map(|index| center(index, labels.len())).collect();
        let by_number =
            setting.numbers().filter(|numbers| numbers.len() > 1).map(|numbers| by_number(&numbers));
        let (positions, spacing) = match by_number {
            Some((positions, spacing)) if have_room(&positions, &labels) => (positions, spacing),
            _ => (even, Spacing::Even),
        };
        let scale = if spacing == Spacing::Log { " (log axis)" } else { "" };
        let ticks = positions.iter().zip(labels).map(|(at, label)| Tick { at: *at, label });
        let axis = Axis {
            scale: Scale::Linear,
            low: 0.0,
            high: 1.0,
            ticks: ticks.collect(),
            title: format!("{}{scale}", setting.key),
            has_grid: false,
        };
        Self { positions, axis }
    }

    /// Returns the distance between the two nearest values, or the whole axis if there is one value.
    pub(super) fn slot(&self) -> f64 {
        self.positions.windows(2).map(|pair| pair[1] - pair[0]).fold(1.0_f64, f64::min)
    }
}

/// Returns the middle of slot `index` of `of` slots.
fn center(index: usize, of: usize) -> f64 {
    (num::f64_of(num::count(index)) + 0.5) / num::f64_of(num::count(of.max(1)))
}

fn by_number(numbers: &[f64]) -> (Vec<f64>, Spacing) {
    let (low, high) = (numbers[0], numbers[numbers.len() - 1]);
    let spacing = if low > 0.0 && high / low >= LOG_SPAN_MIN { Spacing::Log } else { Spacing::Linear };
    let scaled = |number: f64| if spacing == Spacing::Log { number.ln() } else { number };
    let (low, high) = (scaled(low), scaled(high));
    let (first, last) = (center(0, numbers.len()), center(numbers.len() - 1, numbers.len()));
    let share = |number: f64| if high > low { (scaled(number) - low) / (high - low) } else { 0.5 };
    (numbers.iter().map(|number| first + share(*number) * (last - first)).collect(), spacing)
}

/// Tells whether no two names side by side touch.
fn have_room(positions: &[f64], labels: &[String]) -> bool {
    let half = |label: &String| num::f64_of(num::count(label.chars().count())) * CHARACTER / 2.0;
    positions.windows(2).zip(labels.windows(2)).all(|(positions, labels)| {
        positions[1] - positions[0] >= half(&labels[0]) + half(&labels[1]) + 2.0 * CHARACTER
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_double_are_evenly_apart_on_a_log_axis() {
        let (positions, spacing) = by_number(&[1.0, 2.0, 4.0, 8.0]);
        assert_eq!(spacing, Spacing::Log);
        for (position, expected) in positions.iter().zip([0.125, 0.375, 0.625, 0.875]) {
            assert!((position - expected).abs() < 1e-9, "{positions:?}");
        }
    }

    #[test]
    fn numbers_near_each_other_and_zero_are_linear() {
        assert_eq!(by_number(&[1.0, 2.0, 3.0]).1, Spacing::Linear);
        let (positions, spacing) = by_number(&[0.0, 10.0, 100.0]);
        assert_eq!(spacing, Spacing::Linear);
        assert!(positions[1] - positions[0] < (positions[2] - positions[1]) / 8.0);
    }

    #[test]
    fn names_that_would_touch_are_set_out_evenly() {
        let labels: Vec<String> = ["1 MiB", "1.1 MiB", "1 GiB"].map(String::from).into();
        let (positions, _) = by_number(&[1.0, 1.1, 1024.0]);
        assert!(!have_room(&positions, &labels));
        assert!(have_room(&[0.1, 0.5, 0.9], &labels));
    }
}
