//! Draws charts as SVG. The PNG is made from that SVG, at twice the size.

mod axes;
mod canvas;
mod legend;
mod map;
mod rows;

use super::plot::value::{Colour, Panel, Part, Plot};
use anyhow::Context as _;
use canvas::{Align, Canvas, Paint, Type, WIDTH, fitted, wrapped};
use legend::Legend;
use resvg::{tiny_skia, usvg};
use std::sync::Arc;

const PNG_SCALE: f32 = 2.0;
/// The highest picture that is drawn, pixels. A PNG of that height needs 300 MB while it is made.
const HEIGHT_MAX: f64 = 20_000.0;
/// Left and right edge of the texts, pixels.
const LEFT: f64 = 20.0;
const RIGHT: f64 = WIDTH - 24.0;
/// Left edge of the plots, pixels. The labels of the vertical axes are to its left.
const PLOT_LEFT: f64 = 100.0;
/// Right edge of the plots, pixels.
const PLOT_RIGHT: f64 = WIDTH - 32.0;

const TITLE: f64 = 19.0;
const PANEL_TITLE: f64 = 14.5;
/// Size of legends and labels, pixels.
const TEXT: f64 = 12.0;
/// Size of remarks, pixels.
const REMARK: f64 = 11.5;
/// Height of a line of remarks, pixels.
const REMARK_LINE: f64 = 16.0;
/// Space between two panels, and above the first, pixels.
const PANEL_GAP: f64 = 20.0;

/// Returns the SVG document of a chart.
///
/// # Errors
/// The picture would be too high, or a part cannot be drawn.
pub(super) fn picture(plot: &Plot) -> anyhow::Result<String> {
    let sheet = Sheet::of(plot);
    let height = sheet.height();
    anyhow::ensure!(height <= HEIGHT_MAX, "it would be {height:.0} pixels high");
    canvas::picture(height, |canvas| sheet.draw(canvas))
}

/// Returns a picture as a PNG.
///
/// # Errors
/// The text is no SVG document, or its picture does not fit into memory.
pub(super) fn png(svg: &str) -> anyhow::Result<Vec<u8>> {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    let options = usvg::Options {
        fontdb: Arc::new(fonts),
        font_family: "DejaVu Sans".to_owned(),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).context("it is no SVG document")?;
    let size = tree.size().to_int_size().scale_by(PNG_SCALE).context("it has no size")?;
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height()).context("it has no size")?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(PNG_SCALE, PNG_SCALE), &mut pixels.as_mut());
    pixels.encode_png().context("it cannot be encoded as PNG")
}

/// A chart with its texts broken into lines.
struct Sheet<'a> {
    plot: &'a Plot,
    settings: Vec<String>,
    verdict: Vec<String>,
    legend: Legend,
    notes: Vec<String>,
    panels: Vec<Sketch<'a>>,
    footer: Vec<String>,
}

/// A panel with its texts broken into lines.
struct Sketch<'a> {
    panel: &'a Panel,
    title: Vec<String>,
    legend: Legend,
    notes: Vec<String>,
}

const HEAD_TOP: f64 = 16.0;
const TITLE_LINE: f64 = 28.0;
const HEAD_LINE: f64 = 18.0;
const TEXT_WIDTH: f64 = RIGHT - LEFT;

impl<'a> Sheet<'a> {
    fn of(plot: &'a Plot) -> Self {
        let lines = |text: &str, size| wrapped(text, size, TEXT_WIDTH);
        Self {
            plot,
            settings: lines(&plot.settings, TEXT),
            verdict: lines(&plot.verdict, TEXT + 1.0),
            legend: Legend::of(&plot.keys),
            notes: plot.notes.iter().flat_map(|note| lines(note, REMARK)).collect(),
            panels: plot.panels.iter().map(Sketch::of).collect(),
            footer: plot.footer.iter().flat_map(|line| lines(line, REMARK - 1.0)).collect(),
        }
    }

    fn head_height(&self) -> f64 {
        HEAD_TOP + TITLE_LINE + HEAD_LINE * (count(&self.verdict) + count(&self.settings)) + 4.0
    }

    fn height(&self) -> f64 {
        let above = self.head_height() + self.legend.height() + REMARK_LINE * count(&self.notes);
        let panels: f64 = self.panels.iter().map(|panel| PANEL_GAP + panel.height()).sum();
        above + panels + PANEL_GAP + REMARK_LINE * count(&self.footer) + 8.0
    }

    fn draw(&self, canvas: &Canvas<'_>) -> anyhow::Result<()> {
        let mut y = HEAD_TOP;
        // What the chart shows is never cut; a long name is.
        let (name, what) = self.plot.title.rsplit_once(": ").unwrap_or(("", &self.plot.title));
        let what = if name.is_empty() { what.to_owned() } else { format!(": {what}") };
        let room = TEXT_WIDTH - canvas::width_of(&what, TITLE);
        canvas.text(
            &format!("{}{what}", fitted(name, TITLE, room)),
            (LEFT, y),
            type_of(TITLE, Colour::Ink),
        )?;
        y += TITLE_LINE;
        y = lines(canvas, &self.verdict, (y, HEAD_LINE), type_of(TEXT + 1.0, Colour::Ink))?;
        y = lines(canvas, &self.settings, (y, HEAD_LINE), type_of(TEXT, Colour::Pale))?;
        y += 4.0;
        self.legend.draw(canvas, y)?;
        y += self.legend.height();
        y = lines(canvas, &self.notes, (y, REMARK_LINE), type_of(REMARK, Colour::Pale))?;
        for panel in &self.panels {
            y += PANEL_GAP;
            panel.draw(canvas, y)?;
            y += panel.height();
        }
        y += PANEL_GAP;
        canvas.line(&[(LEFT, y - 6.0), (RIGHT, y - 6.0)], canvas::GRID, 1.0)?;
        lines(canvas, &self.footer, (y, REMARK_LINE), type_of(REMARK - 1.0, Colour::Pale))?;
        Ok(())
    }
}

const PANEL_TITLE_LINE: f64 = 21.0;

impl<'a> Sketch<'a> {
    fn of(panel: &'a Panel) -> Self {
        Self {
            panel,
            title: wrapped(&panel.title, PANEL_TITLE, TEXT_WIDTH),
            legend: Legend::of(&panel.keys),
            notes: panel.notes.iter().flat_map(|note| wrapped(note, REMARK, TEXT_WIDTH)).collect(),
        }
    }

    /// Tells whether the legend has room to the right of the title.
    fn is_beside(&self) -> bool {
        let title = self.title.last().map_or(0.0, |line| canvas::width_of(line, PANEL_TITLE));
        !self.title.is_empty() && self.legend.is_one_row() && title + 24.0 + self.legend.width() <= TEXT_WIDTH
    }

    fn head_height(&self) -> f64 {
        let legend = if self.is_beside() { 0.0 } else { self.legend.height() };
        PANEL_TITLE_LINE * count(&self.title) + legend + REMARK_LINE * count(&self.notes)
    }

    fn height(&self) -> f64 {
        let parts = self.panel.parts.iter().map(|part| match part {
            Part::Axes(it) => axes::height(it),
            Part::Rows(it) => rows::height(it),
            Part::Map(it) => map::height(it),
        });
        self.head_height() + parts.sum::<f64>()
    }

    fn draw(&self, canvas: &Canvas<'_>, top: f64) -> anyhow::Result<()> {
        let mut y = lines(canvas, &self.title, (top, PANEL_TITLE_LINE), type_of(PANEL_TITLE, Colour::Ink))?;
        if self.is_beside() {
            self.legend.draw_to_the_right(canvas, y - PANEL_TITLE_LINE + 2.0)?;
        } else {
            self.legend.draw(canvas, y)?;
            y += self.legend.height();
        }
        y = lines(canvas, &self.notes, (y, REMARK_LINE), type_of(REMARK, Colour::Pale))?;
        for part in &self.panel.parts {
            match part {
                Part::Axes(it) => {
                    axes::draw(canvas, it, y)?;
                    y += axes::height(it);
                }
                Part::Rows(it) => {
                    rows::draw(canvas, it, y)?;
                    y += rows::height(it);
                }
                Part::Map(it) => {
                    map::draw(canvas, it, y)?;
                    y += map::height(it);
                }
            }
        }
        Ok(())
    }
}

/// Draws lines of text, the first at `y`. Returns the place below the last.
fn lines(
    canvas: &Canvas<'_>,
    texts: &[String],
    (mut y, height): (f64, f64),
    style: Type,
) -> anyhow::Result<f64> {
    for text in texts {
        canvas.text(text, (LEFT, y), style)?;
        y += height;
    }
    Ok(y)
}

const fn type_of(size: f64, colour: Colour) -> Type {
    Type { size, paint: Paint::of(colour), align: Align::Left }
}

/// Returns a length as a factor.
fn count<T>(of: &[T]) -> f64 {
    crate::num::f64_of(crate::num::count(of.len()))
}
