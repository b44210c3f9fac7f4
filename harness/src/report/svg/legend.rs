//! Legends: names with their symbols, in rows that fill the picture's width.

use super::canvas::{Align, Canvas, Paint, Type, WHITE, fitted, width_of};
use super::{LEFT, RIGHT, TEXT};
use crate::report::plot::value::{Colour, Key, Shape, Symbol};

/// Height of a row, pixels.
const ROW: f64 = 20.0;
/// Width of a symbol with the space behind it, pixels.
const SYMBOL: f64 = 24.0;
/// Distance from a name to the next symbol, pixels.
const BETWEEN: f64 = 20.0;

/// Names with their symbols, each at its place.
pub(super) struct Legend {
    entries: Vec<Entry>,
}

struct Entry {
    key: Key,
    name: String,
    row: f64,
    /// Left edge, pixels.
    x: f64,
    width: f64,
}

impl Legend {
    /// Places the entries one after another. Names that are too long are cut.
    pub(super) fn of(keys: &[Key]) -> Self {
        let (mut x, mut row) = (LEFT, 0.0);
        let mut entries = Vec::new();
        for key in keys {
            let symbol = if key.symbol == Symbol::None { 0.0 } else { SYMBOL };
            let name = fitted(&key.name, TEXT, RIGHT - LEFT - symbol);
            let width = width_of(&name, TEXT) + symbol;
            if x > LEFT && x + width > RIGHT {
                (x, row) = (LEFT, row + 1.0);
            }
            entries.push(Entry { key: key.clone(), name, row, x, width });
            x += width + BETWEEN;
        }
        Self { entries }
    }

    /// Returns the height of all rows, pixels.
    pub(super) fn height(&self) -> f64 {
        self.entries.last().map_or(0.0, |entry| (entry.row + 1.0) * ROW)
    }

    /// Returns the width of the first row, pixels.
    pub(super) fn width(&self) -> f64 {
        self.entries.last().map_or(0.0, |entry| entry.x + entry.width - LEFT)
    }

    /// Tells whether there are entries, all in one row.
    pub(super) fn is_one_row(&self) -> bool {
        self.entries.last().is_some_and(|entry| entry.row == 0.0)
    }

    /// Draws the rows, the first at `top`.
    pub(super) fn draw(&self, canvas: &Canvas<'_>, top: f64) -> anyhow::Result<()> {
        self.entries.iter().try_for_each(|entry| entry.draw(canvas, (entry.x, top + entry.row * ROW)))
    }

    /// Draws one row that ends at the right edge.
    pub(super) fn draw_to_the_right(&self, canvas: &Canvas<'_>, top: f64) -> anyhow::Result<()> {
        let aside = RIGHT - LEFT - self.width();
        self.entries.iter().try_for_each(|entry| entry.draw(canvas, (entry.x + aside, top)))
    }
}

impl Entry {
    fn draw(&self, canvas: &Canvas<'_>, (x, y): (f64, f64)) -> anyhow::Result<()> {
        let (middle, paint) = (y + 7.0, Paint::of(self.key.colour));
        let text = if self.key.symbol == Symbol::None { x } else { x + SYMBOL };
        match self.key.symbol {
            Symbol::Line => canvas.line(&[(x, middle), (x + 18.0, middle)], paint, 3.0)?,
            Symbol::WideLine => canvas.line(&[(x, middle), (x + 18.0, middle)], paint.fade(0.5), 6.0)?,
            Symbol::Fill => canvas.rect((x, middle - 5.0), (x + 18.0, middle + 5.0), paint.fade(0.45))?,
            Symbol::Dot(shape) => mark(canvas, (x + 10.0, middle), shape, Filling::Full(self.key.colour))?,
            Symbol::Ring(shape) => mark(canvas, (x + 10.0, middle), shape, Filling::Hollow(self.key.colour))?,
            Symbol::None => {}
        }
        let style = Type { size: TEXT, paint: Paint::of(Colour::Ink), align: Align::LeftMiddle };
        canvas.text(&self.name, (text, middle), style)
    }
}

/// The filling of a mark.
#[derive(Clone, Copy)]
pub(super) enum Filling {
    Full(Colour),
    Hollow(Colour),
}

/// Draws a mark around a place.
pub(super) fn mark(
    canvas: &Canvas<'_>,
    (x, y): (f64, f64),
    shape: Shape,
    filling: Filling,
) -> anyhow::Result<()> {
    let corners: Vec<(f64, f64)> = corners(shape).into_iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
    let outline: Vec<(f64, f64)> = corners.iter().copied().chain([corners[0]]).collect();
    let (fill, stroke) = match filling {
        Filling::Full(colour) => (Paint::of(colour).fade(0.75), Paint::of(colour)),
        Filling::Hollow(colour) => (WHITE, Paint::of(colour)),
    };
    canvas.polygon(&corners, fill)?;
    canvas.line(&outline, stroke, 1.25)
}

/// Returns the corners of a mark, in pixels around its middle. A circle has many corners.
fn corners(shape: Shape) -> Vec<(f64, f64)> {
    match shape {
        Shape::Circle => {
            let angles = (0..16).map(|corner| f64::from(corner) * std::f64::consts::TAU / 16.0);
            angles.map(|angle| (4.2 * angle.cos(), 4.2 * angle.sin())).collect()
        }
        Shape::Square => vec![(-3.8, -3.8), (3.8, -3.8), (3.8, 3.8), (-3.8, 3.8)],
        Shape::Triangle => vec![(0.0, -4.8), (4.6, 3.6), (-4.6, 3.6)],
        Shape::Diamond => vec![(0.0, -5.4), (4.6, 0.0), (0.0, 5.4), (-4.6, 0.0)],
    }
}
