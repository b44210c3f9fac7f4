//! The horizontal axis of a sweep's panels: the positions of a setting's values, and their names.

use crate::num;
use crate::report::charts::{AXIS, Area, INK, LEFT, PALE, RIGHT, WIDTH, fitted, text_centred, width_of};
use crate::report::setting::Setting;

/// Width of a panel's plot, pixels.
pub(super) const PLOT: f64 = (WIDTH - LEFT - AXIS - RIGHT) as f64;
/// Height of the names of the values, in two rows if needed, and of the setting's name, pixels.
pub(super) const NAMES: u32 = 62;
const FONT: i32 = 12;
/// Distance between two names side by side, pixels.
const GAP: u32 = 12;
/// Values that span more than this factor are placed on a log axis.
const LOG_SPAN_MIN: f64 = 3.9;

/// Positions of the values, 0 to 1 along the axis, and their names.
pub(super) struct XAxis {
    pub(super) positions: Vec<f64>,
    labels: Vec<String>,
    title: String,
}

/// The spacing of values on the axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spacing {
    /// Even: for names, or for numbers whose names would touch each other.
    Even,
    Linear,
    Log,
}

impl XAxis {
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
        Self { positions, labels, title: format!("{}{scale}", setting.key) }
    }

    /// Returns the pixels between the two nearest values, or the width of the whole axis if there is one value.
    pub(super) fn slot(&self) -> f64 {
        let gaps = self.positions.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.fold(1.0_f64, f64::min) * PLOT
    }

    /// Draws the names below a plot whose bottom is at `top`.
    pub(super) fn draw(&self, area: &Area<'_>, top: i32) {
        let widest = self.labels.iter().map(|label| width_of(label, FONT)).max().unwrap_or(0);
        let is_tight = f64::from(widest + GAP) > self.slot();
        let room = num::u64_of(self.slot() * if is_tight { 2.0 } else { 1.0 }).saturating_sub(u64::from(GAP));
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        for (index, (label, position)) in self.labels.iter().zip(&self.positions).enumerate() {
            let row = if is_tight && index % 2 == 1 { 16 } else { 0 };
            let label = fitted(label, FONT, room);
            text_centred(area, &label, (pixel(*position), top + 6 + row), (FONT, INK));
        }
        text_centred(area, &self.title, (pixel(0.5), top + if is_tight { 40 } else { 24 }), (FONT, PALE));
    }
}

/// Returns a position as a pixel of the panel.
pub(super) fn pixel(position: f64) -> i32 {
    let pixels = f64::from(LEFT + AXIS) + position * PLOT;
    i32::try_from(num::u64_of(pixels)).unwrap_or(i32::MAX)
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
    let half = |label: &String| f64::from(width_of(label, FONT)) / 2.0;
    positions.windows(2).zip(labels.windows(2)).all(|(positions, labels)| {
        (positions[1] - positions[0]) * PLOT >= half(&labels[0]) + half(&labels[1]) + f64::from(GAP)
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
        super::super::super::load_fonts();
        let labels: Vec<String> = ["1 MiB", "1.1 MiB", "1 GiB"].map(String::from).into();
        let (positions, _) = by_number(&[1.0, 1.1, 1024.0]);
        assert!(!have_room(&positions, &labels));
        assert!(have_room(&[0.1, 0.5, 0.9], &labels));
    }
}
