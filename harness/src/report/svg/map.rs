//! A table of coloured cells. The colour, one hue from light to dark, only repeats the text.

use super::canvas::{Align, Canvas, Paint, Type, WHITE, fitted, width_of};
use super::{LEFT, PLOT_RIGHT, REMARK, TEXT};
use crate::num;
use crate::report::plot::value::{Cell, CellContent, Colour, Hue, Map};

const ABOVE: f64 = 22.0;
const ROW: f64 = 48.0;
const BELOW: f64 = 48.0;
/// The most pixels for the names of the rows.
const ROW_NAMES_MAX: f64 = 180.0;
const VALUE: f64 = 14.5;
/// Space between two cells, pixels.
const GAP: f64 = 2.0;

const BLUES: [(u8, u8, u8); 3] = [(239, 246, 252), (107, 174, 214), (8, 48, 107)];
const ORANGES: [(u8, u8, u8); 3] = [(255, 245, 235), (253, 174, 97), (127, 39, 4)];

/// Returns the height of the map with its names, pixels.
pub(super) fn height(map: &Map) -> f64 {
    ABOVE + ROW * super::count(&map.down.1) + BELOW
}

/// Draws the map with its names.
pub(super) fn draw(canvas: &Canvas<'_>, map: &Map, top: f64) -> anyhow::Result<()> {
    let names = map.down.1.iter().map(|name| width_of(name, TEXT)).fold(0.0, f64::max);
    let names = names.max(width_of(&map.down.0, REMARK)).min(ROW_NAMES_MAX);
    let left = LEFT + names + 14.0;
    let width = (PLOT_RIGHT - left) / super::count(&map.across.1).max(1.0);
    let style = |size, colour, align| Type { size, paint: Paint::of(colour), align };
    let head = fitted(&map.down.0, REMARK, names);
    canvas.text(&head, (LEFT, top + 2.0), style(REMARK, Colour::Pale, Align::Left))?;
    let mut y = top + ABOVE;
    for name in &map.down.1 {
        let middle = (LEFT, y + (ROW - GAP) / 2.0);
        canvas.text(&fitted(name, TEXT, names), middle, style(TEXT, Colour::Ink, Align::LeftMiddle))?;
        y += ROW;
    }
    let mut x = left;
    for name in &map.across.1 {
        let name = fitted(name, TEXT, width - 8.0);
        canvas.text(&name, (x + width / 2.0, y + 4.0), style(TEXT, Colour::Ink, Align::Centre))?;
        x += width;
    }
    let middle = f64::midpoint(left, PLOT_RIGHT);
    canvas.text(&map.across.0, (middle, y + 24.0), style(REMARK, Colour::Pale, Align::Centre))?;
    for cell in &map.cells {
        let column = num::f64_of(num::count(cell.column));
        let row = num::f64_of(num::count(cell.row));
        self::cell(canvas, cell, map.hue, (left + column * width, top + ABOVE + row * ROW, width))?;
    }
    Ok(())
}

/// Draws a cell at a place with a width.
fn cell(canvas: &Canvas<'_>, cell: &Cell, hue: Hue, (x, y, width): (f64, f64, f64)) -> anyhow::Result<()> {
    let to = (x + width - GAP, y + ROW - GAP);
    let (middle, room) = (x + (width - GAP) / 2.0, width - 8.0);
    match &cell.content {
        CellContent::Missing(why) => {
            canvas.rect((x, y), to, Paint::of(Colour::Pale).fade(0.18))?;
            let paint = Paint::of(Colour::Vermilion);
            let style = Type { size: TEXT, paint, align: Align::Centre };
            canvas.text(&fitted(why, TEXT, room), (middle, y + 17.0), style)
        }
        CellContent::Value { text, range, shade } => {
            let (fill, is_dark) = colour(*shade, hue);
            canvas.rect((x, y), to, fill)?;
            let paint = if is_dark { WHITE } else { Paint::of(Colour::Ink) };
            let has_range = !range.is_empty() && width_of(range, REMARK) <= room;
            let style = Type { size: VALUE, paint, align: Align::Centre };
            let top = if has_range { y + 8.0 } else { y + 16.0 };
            canvas.text(&fitted(text, VALUE, room), (middle, top), style)?;
            if has_range {
                canvas.text(range, (middle, y + 28.0), Type { size: REMARK, ..style })?;
            }
            Ok(())
        }
    }
}

/// Returns the colour of a shade from 0 to 1, and whether text on it must be light.
fn colour(shade: f64, hue: Hue) -> (Paint, bool) {
    let [light, middle, dark] = match hue {
        Hue::Blue => BLUES,
        Hue::Orange => ORANGES,
    };
    let (from, to, share) =
        if shade < 0.5 { (light, middle, shade * 2.0) } else { (middle, dark, shade * 2.0 - 1.0) };
    let between = |from: u8, to: u8| {
        let mixed = f64::from(from) + (f64::from(to) - f64::from(from)) * share;
        u8::try_from(num::u64_of(mixed)).unwrap_or(u8::MAX)
    };
    let rgb = (between(from.0, to.0), between(from.1, to.1), between(from.2, to.2));
    (Paint { rgb, opacity: 1.0 }, lightness(rgb) < 140.0)
}

fn lightness((red, green, blue): (u8, u8, u8)) -> f64 {
    0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_on_every_shade_stays_readable() {
        for hue in [Hue::Blue, Hue::Orange] {
            for step in 0..=20 {
                let (Paint { rgb, .. }, is_dark) = colour(f64::from(step) / 20.0, hue);
                let ink = if is_dark { 255.0 } else { 34.0 };
                assert!((ink - lightness(rgb)).abs() > 90.0, "{hue:?} {step}: {rgb:?}");
            }
        }
        assert_eq!(colour(1.0, Hue::Blue).0.rgb, BLUES[2]);
    }
}
