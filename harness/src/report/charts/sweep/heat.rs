//! Heat maps for two settings: throughput, and p99 response if there was an open load. Every cell shows its value as
//! text. The colour, one hue from light to dark, only repeats it.

use super::REMARK;
use crate::report::charts::{
    Area, Head, INK, LEFT, PALE, RIGHT, VERMILION, WIDTH, drawn, failed, fitted, text, text_centred, width_of,
};
use crate::report::setting::Setting;
use crate::report::sweep::table::{three_digits, throughput_unit};
use crate::report::sweep::{Combination, Metric, RESPONSE_P99, Sweep, is_sound};
use crate::result::{Figure, Recording};
use crate::{num, quantity};
use plotters::prelude::*;

const HEAD: u32 = 52;
const FOOT: u32 = 52;
const CELL_HEIGHT: u32 = 46;
const ROW_NAMES_MAX: u32 = 170;
const FONT: i32 = 12;
/// The colours span at least this share of the greatest value, so that noise does not look like a difference.
const SPAN_MIN: f64 = 0.25;
/// Values that span more than this factor are coloured by their logarithms.
const LOG_SPAN_MIN: f64 = 8.0;

const BLUES: [(u8, u8, u8); 3] = [(239, 246, 252), (107, 174, 214), (8, 48, 107)];
const ORANGES: [(u8, u8, u8); 3] = [(255, 245, 235), (253, 174, 97), (127, 39, 4)];

struct Map {
    title: String,
    metric: Metric,
    colours: [(u8, u8, u8); 3],
    text: fn(f64, f64) -> String,
    divisor: f64,
}

/// The settings of both axes: the one with more values is across.
struct Axes<'a> {
    across: (usize, &'a Setting),
    down: (usize, &'a Setting),
}

/// Returns `None` if there are not two settings to map.
pub(super) fn draw(recording: &Recording, sweep: &Sweep<'_>) -> anyhow::Result<Option<String>> {
    let [first, second] = &sweep.settings[..] else { return Ok(None) };
    let axes = if second.values.len() > first.values.len() {
        Axes { across: (1, second), down: (0, first) }
    } else {
        Axes { across: (0, first), down: (1, second) }
    };
    let maps = maps(sweep);
    let one = HEAD + FOOT + CELL_HEIGHT * u32::try_from(axes.down.1.values.len())?;
    let title = format!("{} × {}", axes.across.1.name, axes.down.1.name);
    let height = one * u32::try_from(maps.len())?;
    let svg = drawn(&Head::of(&recording.result), &title, height, |area| {
        let mut rest = area.clone();
        for map in &maps {
            let (upper, lower) = rest.split_vertically(one);
            map.draw(&upper, sweep, &axes)?;
            rest = lower;
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

fn maps(sweep: &Sweep<'_>) -> Vec<Map> {
    let (divisor, unit) = throughput_unit(sweep);
    let text = |value: f64, divisor: f64| three_digits(value / divisor);
    let what = if sweep.is_catch_up() { "consumed" } else { "throughput" };
    let title = format!("{what}, {unit}: median of the trials, with their range below it; darker is more");
    let mut maps = vec![Map { title, metric: sweep.throughput(), colours: BLUES, text, divisor }];
    if sweep.has_open() {
        let title = format!("p99 response, open load {}; darker is slower", sweep.rate_words());
        let text = |ns: f64, _| quantity::ns(num::u64_of(ns));
        maps.push(Map { title, metric: RESPONSE_P99, colours: ORANGES, text, divisor: 1.0 });
    }
    maps
}

impl Map {
    fn draw(&self, area: &Area<'_>, sweep: &Sweep<'_>, axes: &Axes<'_>) -> anyhow::Result<()> {
        text(area, &self.title, (16, 10), (14, INK));
        let names = axes.down.1.values.iter().map(|value| width_of(&value.label, FONT)).max().unwrap_or(0);
        let names = names.max(width_of(&axes.down.1.name, FONT)).min(ROW_NAMES_MAX);
        text(area, &fitted(&axes.down.1.name, FONT, names), (16, 34), (FONT, PALE));
        let left = LEFT + names + 14;
        let columns = u32::try_from(axes.across.1.values.len().max(1))?;
        let width = (WIDTH - RIGHT - left) / columns;
        let scale = Scale::of(sweep, self.metric);
        for (row, value) in (0u32..).zip(&axes.down.1.values) {
            let y = i32::try_from(HEAD + row * CELL_HEIGHT)?;
            text(area, &fitted(&value.label, FONT, names), (16, y + 16), (FONT, INK));
            for column in 0..columns {
                let x = i32::try_from(left + column * width)?;
                let is_it = |it: &&Combination<'_>| {
                    it.values[axes.across.0] == num::index(column)
                        && it.values[axes.down.0] == num::index(row)
                };
                let found = sweep.combinations.iter().find(is_it);
                self.cell(area, found, (x, y, i32::try_from(width)?), &scale)?;
            }
        }
        let below = i32::try_from(HEAD + CELL_HEIGHT * u32::try_from(axes.down.1.values.len())?)? + 6;
        for (column, value) in (0u32..).zip(&axes.across.1.values) {
            let x = i32::try_from(left + column * width + width / 2)?;
            text_centred(area, &fitted(&value.label, FONT, width.saturating_sub(8)), (x, below), (FONT, INK));
        }
        let middle = i32::try_from(left + (WIDTH - RIGHT - left) / 2)?;
        text_centred(area, &axes.across.1.name, (middle, below + 18), (FONT, PALE));
        Ok(())
    }

    fn cell(
        &self,
        area: &Area<'_>,
        combination: Option<&Combination<'_>>,
        (x, y, width): (i32, i32, i32),
        scale: &Scale,
    ) -> anyhow::Result<()> {
        let Some(combination) = combination else { return Ok(()) };
        let corners = [(x, y), (x + width - 2, y + i32::try_from(CELL_HEIGHT)? - 2)];
        let middle = x + width / 2;
        let point = combination.point(self.metric);
        let figure = point.and_then(|point| point.figure(self.metric.path));
        let Some(figure) = figure.filter(|_| point.is_some_and(is_sound)) else {
            area.draw(&Rectangle::new(corners, PALE.mix(0.18).filled())).map_err(failed)?;
            let why =
                point.filter(|point| !is_sound(point)).map_or("–", |point| point.verdict.status.words());
            text_centred(area, why, (middle, y + 14), (FONT, VERMILION));
            return Ok(());
        };
        let (colour, is_dark) = scale.colour(figure.median, self.colours);
        area.draw(&Rectangle::new(corners, colour.filled())).map_err(failed)?;
        let ink = if is_dark { WHITE } else { INK };
        let room = u32::try_from(width - 6)?;
        let range = self.range(figure).filter(|range| width_of(range, REMARK.0) <= room);
        let median = (self.text)(figure.median, self.divisor);
        let at = if range.is_some() { y + 5 } else { y + 14 };
        text_centred(area, &fitted(&median, 14, room), (middle, at), (14, ink));
        if let Some(range) = range {
            text_centred(area, &range, (middle, y + 26), (REMARK.0, ink));
        }
        Ok(())
    }

    fn range(&self, figure: &Figure) -> Option<String> {
        let text = |value| (self.text)(value, self.divisor);
        (figure.trials > 1).then(|| format!("{}–{}", text(figure.min), text(figure.max)))
    }
}

/// The range of values from the lightest colour to the darkest.
struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
}

impl Scale {
    fn of(sweep: &Sweep<'_>, metric: Metric) -> Self {
        let values = || sweep.combinations.iter().filter_map(|it| it.sound_median(metric));
        let (low, high) =
            values().fold((f64::INFINITY, 0.0_f64), |(l, h), value| (l.min(value), h.max(value)));
        let is_log = low > 0.0 && high > low * LOG_SPAN_MIN;
        Self { low: if is_log { low } else { low.min(high * (1.0 - SPAN_MIN)) }, high, is_log }
    }

    /// Returns the colour, and whether text on it must be light.
    fn colour(&self, value: f64, [light, middle, dark]: [(u8, u8, u8); 3]) -> (RGBColor, bool) {
        let scaled = |value: f64| if self.is_log { value.ln() } else { value };
        let (low, high) = (scaled(self.low), scaled(self.high));
        let share = if high > low { ((scaled(value) - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        let (from, to, share) =
            if share < 0.5 { (light, middle, share * 2.0) } else { (middle, dark, share * 2.0 - 1.0) };
        let between = |from: u8, to: u8| {
            let mixed = f64::from(from) + (f64::from(to) - f64::from(from)) * share;
            u8::try_from(num::u64_of(mixed)).unwrap_or(u8::MAX)
        };
        let (red, green, blue) = (between(from.0, to.0), between(from.1, to.1), between(from.2, to.2));
        let lightness = 0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue);
        (RGBColor(red, green, blue), lightness < 140.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_stays_pale_and_text_stays_readable() {
        let scale = Scale { low: 75.0, high: 100.0, is_log: false };
        for value in [75.0, 80.0, 90.0, 95.0, 100.0] {
            let (RGBColor(r, g, b), is_dark) = scale.colour(value, BLUES);
            let lightness = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
            let ink = if is_dark { 255.0 } else { 34.0 };
            assert!((ink - lightness).abs() > 90.0, "{value}: {lightness}");
        }
        assert_eq!(scale.colour(100.0, BLUES).0, RGBColor(8, 48, 107));
    }
}
