//! Layout of names in rows that fill the picture's width, each with space for a swatch before it.

use super::{Area, COLOURS, INK, TITLE_WIDTH, fitted, text, width_of};
use plotters::prelude::*;

/// Height of a row, pixels.
pub(super) const ROW: i32 = 20;
/// Size of the names.
pub(super) const FONT: i32 = 12;
/// Width of the space for a swatch, pixels.
pub(super) const SWATCH: i32 = 14;
const LEFT: i32 = 16;
/// Distance from a name to the next swatch, pixels.
const BETWEEN: i32 = 22;

/// A name, and the position of its swatch.
pub(super) struct Placed {
    pub(super) name: String,
    pub(super) x: i32,
    pub(super) y: i32,
}

/// Places names one after another. Names that are too long are cut.
pub(super) fn flow(names: impl Iterator<Item = String>) -> Vec<Placed> {
    let end = i32::try_from(TITLE_WIDTH).unwrap_or(i32::MAX);
    let (mut x, mut y) = (LEFT, 0);
    let mut placed = Vec::new();
    for name in names {
        let name = fitted(&name, FONT, TITLE_WIDTH - 20);
        let width = i32::try_from(width_of(&name, FONT)).unwrap_or(0) + SWATCH;
        if x > LEFT && x + width > end {
            (x, y) = (LEFT, y + ROW);
        }
        placed.push(Placed { name, x, y });
        x += width + BETWEEN;
    }
    placed
}

/// Returns the height of all rows, pixels.
pub(super) fn height(placed: &[Placed]) -> i32 {
    placed.iter().map(|it| it.y + ROW).max().unwrap_or(0)
}

/// Names, each with the colour of its line.
pub(super) struct Legend {
    placed: Vec<Placed>,
    /// Colour of each name; empty if the names stand for no lines.
    colours: Vec<usize>,
}

impl Legend {
    /// Returns a legend of names, each with the number of its colour.
    pub(super) fn of(names: impl Iterator<Item = (String, usize)>) -> Self {
        let (names, colours): (Vec<String>, Vec<usize>) = names.unzip();
        Self { placed: flow(names.into_iter()), colours }
    }

    /// Returns a legend of names without colours, for panels that have titles.
    pub(super) fn of_titles(names: impl Iterator<Item = String>) -> Self {
        Self { placed: flow(names), colours: Vec::new() }
    }

    /// Returns the height, pixels.
    pub(super) fn height(&self) -> u32 {
        u32::try_from(height(&self.placed)).unwrap_or(0)
    }

    pub(super) fn draw(&self, area: &Area<'_>) {
        for (index, it) in self.placed.iter().enumerate() {
            let Some(colour) = self.colours.get(index) else {
                text(area, &it.name, (it.x, it.y), (FONT, INK));
                continue;
            };
            let swatch = [(it.x, it.y + 2), (it.x + 9, it.y + 10)];
            // A swatch that cannot be drawn is left out rather than the chart.
            let _ = area.draw(&Rectangle::new(swatch, COLOURS[colour % COLOURS.len()].filled()));
            text(area, &it.name, (it.x + SWATCH, it.y), (FONT, INK));
        }
    }
}
