//! Lines, shapes and texts in pixels of a picture that is 960 wide. Only this file names plotters.
//!
//! plotters has whole coordinates. The canvas is drawn larger than the picture, so that lines may lie between pixels.

use crate::escape::visible;
use crate::report::plot::value::Colour;
use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::element::{PathElement, Polygon, Rectangle};
use plotters::prelude::{Color as _, DrawingArea, IntoDrawingArea as _, IntoFont as _, RGBColor, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, TextStyle, register_font};
use std::sync::Once;

/// Width of every picture, pixels.
pub(super) const WIDTH: f64 = 960.0;
/// Parts of a pixel.
const UNIT: f64 = 4.0;
/// Fonts as in CSS. Browsers without the first one show another, whose widths are close enough to fit.
const FONT: &str = "DejaVu Sans, Verdana, sans-serif";
/// Text between two facts of a line.
const FACTS: &str = " · ";
/// Height of a line of plotters' fonts, as a multiple of the size that the picture names.
const LINE: f64 = 1.24;

/// A picture that is being drawn.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// A colour with its opacity, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Paint {
    pub(super) rgb: (u8, u8, u8),
    pub(super) opacity: f64,
}

/// The look of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Type {
    /// Size of the font, pixels.
    pub(super) size: f64,
    pub(super) paint: Paint,
    pub(super) align: Align,
}

/// The part of a text that stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// The left end of the text's top.
    Left,
    /// The middle of the text's top.
    Centre,
    /// The right end of the text, half-way down.
    RightMiddle,
    /// The left end of the text, half-way down.
    LeftMiddle,
}

impl Paint {
    /// Returns an opaque colour.
    pub(super) const fn of(colour: Colour) -> Self {
        Self { rgb: rgb(colour), opacity: 1.0 }
    }

    /// Returns the colour with this opacity.
    pub(super) const fn fade(self, opacity: f64) -> Self {
        Self { opacity, ..self }
    }
}

pub(super) const WHITE: Paint = Paint { rgb: (255, 255, 255), opacity: 1.0 };
/// Lines across a plot.
pub(super) const GRID: Paint = Paint { rgb: (226, 226, 226), opacity: 1.0 };

const fn rgb(colour: Colour) -> (u8, u8, u8) {
    match colour {
        Colour::Ink => (34, 34, 34),
        Colour::Pale => (104, 104, 104),
        Colour::Blue => (0, 114, 178),
        Colour::Vermilion => (213, 94, 0),
        Colour::Green => (0, 158, 115),
        Colour::Purple => (204, 121, 167),
        Colour::Orange => (230, 159, 0),
        Colour::Sky => (86, 180, 233),
        Colour::Brown => (128, 96, 0),
        Colour::Violet => (110, 60, 130),
        Colour::Gold => (178, 156, 0),
        Colour::Slate => (72, 96, 132),
    }
}

/// Draws a picture of this height. `body` draws its content.
pub(super) fn picture(
    height: f64,
    body: impl FnOnce(&Canvas<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    load_fonts();
    let mut svg = String::new();
    let size = (units(WIDTH).unsigned_abs(), units(height).unsigned_abs());
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let canvas = Canvas { area };
        canvas.rect((0.0, 0.0), (WIDTH, height), WHITE)?;
        body(&canvas)?;
        canvas.area.present().map_err(failed)?;
    }
    // The picture's size is in pixels; only its coordinates are in units.
    let sized = |width: u32, height: u32| format!("width=\"{width}\" height=\"{height}\"");
    let per_pixel = units(1.0).unsigned_abs();
    Ok(svg.replacen(&sized(size.0, size.1), &sized(size.0 / per_pixel, size.1 / per_pixel), 1))
}

impl Canvas<'_> {
    /// Draws a line through the points.
    pub(super) fn line(&self, points: &[(f64, f64)], paint: Paint, width: f64) -> anyhow::Result<()> {
        let style = colour(paint).stroke_width(units(width).unsigned_abs().max(1));
        self.area.draw(&PathElement::new(placed(points), style)).map_err(failed)
    }

    /// Fills a rectangle.
    pub(super) fn rect(&self, from: (f64, f64), to: (f64, f64), paint: Paint) -> anyhow::Result<()> {
        let corners = [from, to].map(|(x, y)| (units(x), units(y)));
        self.area.draw(&Rectangle::new(corners, colour(paint).filled())).map_err(failed)
    }

    /// Fills a polygon.
    pub(super) fn polygon(&self, corners: &[(f64, f64)], paint: Paint) -> anyhow::Result<()> {
        self.area.draw(&Polygon::new(placed(corners), colour(paint).filled())).map_err(failed)
    }

    /// Draws text. Control characters are shown escaped.
    pub(super) fn text(&self, text: &str, at: (f64, f64), style: Type) -> anyhow::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let pos = match style.align {
            Align::Left => Pos::new(HPos::Left, VPos::Top),
            Align::Centre => Pos::new(HPos::Center, VPos::Top),
            Align::RightMiddle => Pos::new(HPos::Right, VPos::Center),
            Align::LeftMiddle => Pos::new(HPos::Left, VPos::Center),
        };
        let font = (FONT, style.size * LINE * UNIT).into_font();
        let colour = colour(style.paint);
        let font = TextStyle::from(font).color(&colour).pos(pos);
        self.area.draw_text(&visible(text), &font, (units(at.0), units(at.1))).map_err(failed)
    }
}

/// Returns the width of text, pixels; 0 if it cannot be measured.
pub(super) fn width_of(text: &str, size: f64) -> f64 {
    load_fonts();
    let font = (FONT, size * LINE * UNIT).into_font();
    font.box_size(&visible(text)).map_or(0.0, |(width, _)| f64::from(width) / UNIT)
}

/// Returns as much of a text as fits into `width` pixels, with an ellipsis for the rest.
pub(super) fn fitted(text: &str, size: f64, width: f64) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let ends = text.char_indices().rev().map(|(end, _)| format!("{}…", text[..end].trim_end()));
    ends.into_iter().find(|cut| width_of(cut, size) <= width).unwrap_or_default()
}

/// Breaks a text into lines of at most `width` pixels: between its facts (` · `) if possible, otherwise at spaces. A
/// longer word is cut.
pub(super) fn wrapped(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for fact in text.split(FACTS).filter(|fact| !fact.is_empty()) {
        if !extend(&mut lines, &format!("{FACTS}{fact}"), (size, width)) {
            let mut own: Vec<String> = Vec::new();
            for word in fact.split(' ').filter(|word| !word.is_empty()) {
                if !extend(&mut own, &format!(" {word}"), (size, width)) {
                    own.push(fitted(word, size, width));
                }
            }
            lines.extend(own);
        }
    }
    lines
}

/// Adds a text to the last line, if there is one and the text fits.
fn extend(lines: &mut [String], text: &str, (size, width): (f64, f64)) -> bool {
    let Some(last) = lines.last_mut() else { return false };
    let longer = format!("{last}{text}");
    let fits = width_of(&longer, size) <= width;
    if fits {
        *last = longer;
    }
    fits
}

fn load_fonts() {
    static FONTS: Once = Once::new();
    FONTS.call_once(|| {
        // This fails only for data that is no font; the tests use this font.
        let _ = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
    });
}

fn colour(paint: Paint) -> plotters::style::RGBAColor {
    let (red, green, blue) = paint.rgb;
    RGBColor(red, green, blue).mix(paint.opacity)
}

fn placed(points: &[(f64, f64)]) -> Vec<(i32, i32)> {
    points.iter().map(|(x, y)| (units(*x), units(*y))).collect()
}

/// Returns pixels in units of the canvas. What is left of or above the picture is moved to its edge.
fn units(pixels: f64) -> i32 {
    i32::try_from(crate::num::u64_of(pixels * UNIT)).unwrap_or(i32::MAX)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_to_its_room() {
        let long = "ä long line of settings ".repeat(20);
        let cut = fitted(&long, 12.0, 200.0);
        assert!(cut.ends_with('…') && width_of(&cut, 12.0) <= 200.0, "{cut}");
        assert_eq!(fitted("short", 12.0, 200.0), "short");
        assert_eq!(fitted("no room", 12.0, 0.0), "");
    }

    #[test]
    fn text_is_broken_at_spaces() {
        let lines = wrapped("one two  three four", 12.0, width_of("one two", 12.0) + 1.0);
        assert_eq!(lines, ["one two", "three", "four"]);
        assert!(wrapped("", 12.0, 100.0).is_empty());
        let facts = wrapped(
            "io direct · poll adaptive · ext4 on vda",
            12.0,
            width_of("io direct · poll", 12.0) + 9.0,
        );
        assert_eq!(facts, ["io direct", "poll adaptive", "ext4 on vda"]);
    }

    #[test]
    fn a_picture_is_as_large_as_its_pixels_and_holds_no_control_character() {
        let style = Type { size: 12.0, paint: Paint::of(Colour::Ink), align: Align::Left };
        let svg = picture(50.0, |canvas| canvas.text("a\u{1b}<b>\n", (0.0, 0.0), style)).unwrap();
        assert!(svg.contains("width=\"960\" height=\"50\" viewBox=\"0 0 3840 200\""), "{svg}");
        assert!(svg.contains("a\\u{1b}&lt;b&gt;\\n"), "{svg}");
        resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default()).unwrap();
    }
}
