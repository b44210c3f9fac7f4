//! A pair of axes with its bands, series, marks and labels.

use super::canvas::{Align, Canvas, GRID, Paint, Type, WIDTH, fitted, width_of};
use super::legend::{Filling, mark};
use super::{LEFT, PLOT_LEFT, PLOT_RIGHT, REMARK, TEXT};
use crate::report::plot::value::{
    Axes, Axis, Band, BandKind, Colour, Label, Look, Mark, Series, Side, Size, Tick, Weight,
};

/// Space between a vertical axis and its labels, pixels.
const LABEL_GAP: f64 = 9.0;
/// Height of a row of labels below a horizontal axis, pixels.
const LABEL_ROW: f64 = 16.0;
/// Height of the name of an axis, pixels.
const NAME: f64 = 20.0;
/// Least distance between two labels of a vertical axis, pixels.
const LABELS_APART: f64 = 13.0;
/// Half the width of a bar, pixels.
const BAR: f64 = 10.0;
/// Size of a text above a place, pixels.
const ABOVE: f64 = 14.0;
/// Least distance between two texts below each other, pixels.
const LABEL_LINE: f64 = 14.0;
/// Space below a plot without labels, pixels.
const BELOW: f64 = 8.0;

/// Returns the height of the axes with their labels, pixels.
pub(super) fn height(axes: &Axes) -> f64 {
    Frame::of(axes, 0.0).end
}

/// Draws the axes with everything on them.
pub(super) fn draw(canvas: &Canvas<'_>, axes: &Axes, top: f64) -> anyhow::Result<()> {
    let frame = Frame::of(axes, top);
    axes.bands.iter().try_for_each(|band| frame.band(canvas, band))?;
    frame.vertical_axis(canvas)?;
    frame.horizontal_axis(canvas)?;
    axes.marks.iter().try_for_each(|mark| frame.mark(canvas, mark))?;
    axes.series.iter().try_for_each(|series| frame.series(canvas, series))?;
    let places = apart(&axes.labels, |label| frame.at(label.at));
    axes.labels.iter().zip(places).try_for_each(|(label, at)| label_at(canvas, label, at))
}

/// The place of a pair of axes in the picture, pixels.
struct Frame<'a> {
    x: &'a Axis,
    y: &'a Axis,
    /// Top of the name of the vertical axis.
    name: f64,
    top: f64,
    bottom: f64,
    /// Labels of the horizontal axis, each with its place and row.
    names: Vec<Placed>,
    /// Bottom of everything.
    end: f64,
}

/// A label of a horizontal axis.
struct Placed {
    text: String,
    x: f64,
    row: f64,
}

impl<'a> Frame<'a> {
    fn of(axes: &'a Axes, name: f64) -> Self {
        let is_named = !axes.y.title.is_empty() || axes.marks.iter().any(|mark| !mark.label.is_empty());
        let top = name + if is_named { NAME + 4.0 } else { 8.0 };
        let bottom = top
            + match axes.size {
                Size::Tall => 330.0,
                Size::Full => 200.0,
                Size::Strip => 46.0,
            };
        let names = placed(&axes.x);
        let rows = names.iter().map(|it| it.row + 1.0).fold(0.0, f64::max);
        let title = if axes.x.title.is_empty() { 0.0 } else { NAME };
        let below = if names.is_empty() { BELOW } else { 6.0 + LABEL_ROW * rows + 4.0 };
        Self { x: &axes.x, y: &axes.y, name, top, bottom, names, end: bottom + below + title }
    }

    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.across(x), self.bottom - self.y.share(y) * (self.bottom - self.top))
    }

    fn across(&self, x: f64) -> f64 {
        across(self.x, x)
    }

    fn vertical_axis(&self, canvas: &Canvas<'_>) -> anyhow::Result<()> {
        if !self.y.title.is_empty() {
            let style = Type { size: REMARK, paint: Paint::of(Colour::Pale), align: Align::Left };
            // The name begins above the labels, so that it cannot be taken for one of the plot's texts.
            let width = width_of(&self.y.title, REMARK);
            let left = (PLOT_LEFT - LABEL_GAP - width).max(LEFT);
            canvas.text(&self.y.title, (left, self.name), style)?;
        }
        let style = Type { size: TEXT, paint: Paint::of(Colour::Ink), align: Align::RightMiddle };
        let mut last = f64::INFINITY;
        for tick in &self.y.ticks {
            let (_, y) = self.at((self.x.low, tick.at));
            if self.y.has_grid {
                canvas.line(&[(PLOT_LEFT, y), (PLOT_RIGHT, y)], GRID, 1.0)?;
            }
            if last - y >= LABELS_APART {
                canvas.text(&tick.label, (PLOT_LEFT - LABEL_GAP, y), style)?;
                last = y;
            }
        }
        canvas.line(&[(PLOT_LEFT, self.top), (PLOT_LEFT, self.bottom)], Paint::of(Colour::Pale), 1.0)
    }

    fn horizontal_axis(&self, canvas: &Canvas<'_>) -> anyhow::Result<()> {
        let pale = Paint::of(Colour::Pale);
        for Tick { at, .. } in &self.x.ticks {
            let x = self.across(*at);
            if self.x.has_grid {
                canvas.line(&[(x, self.top), (x, self.bottom)], GRID, 1.0)?;
            }
            canvas.line(&[(x, self.bottom), (x, self.bottom + 4.0)], pale, 1.0)?;
        }
        canvas.line(&[(PLOT_LEFT, self.bottom), (PLOT_RIGHT, self.bottom)], pale, 1.0)?;
        let style = Type { size: TEXT, paint: Paint::of(Colour::Ink), align: Align::Centre };
        for it in &self.names {
            canvas.text(&it.text, (it.x, self.bottom + 7.0 + it.row * LABEL_ROW), style)?;
        }
        let middle = f64::midpoint(PLOT_LEFT, PLOT_RIGHT);
        let style = Type { size: REMARK, paint: pale, align: Align::Centre };
        canvas.text(&self.x.title, (middle, self.end - NAME + 2.0), style)
    }

    fn band(&self, canvas: &Canvas<'_>, band: &Band) -> anyhow::Result<()> {
        let (low, high) = band.y.unwrap_or((self.y.low, self.y.high));
        let ((left, mut bottom), (right, mut top)) = (self.at((band.x.0, low)), self.at((band.x.1, high)));
        // A band without height or width could not be seen.
        if bottom - top < 3.0 {
            (top, bottom) = (top - 1.5, bottom + 1.5);
        }
        let opacity = match band.kind {
            BandKind::OutsideWindow => 0.06,
            BandKind::Event | BandKind::NoDifference => 0.18,
            BandKind::Ceiling => 0.35,
        };
        canvas.rect((left, top), (right.max(left + 1.0), bottom), Paint::of(band.colour).fade(opacity))
    }

    fn mark(&self, canvas: &Canvas<'_>, mark: &Mark) -> anyhow::Result<()> {
        let (x, paint) = (self.across(mark.x), Paint::of(mark.colour));
        canvas.line(&[(x, self.top), (x, self.bottom)], paint.fade(0.35), 1.0)?;
        let style = Type { size: REMARK, paint, align: Align::Centre };
        canvas.text(&mark.label, (x, self.top - 15.0), style)
    }

    fn series(&self, canvas: &Canvas<'_>, series: &Series) -> anyhow::Result<()> {
        let paint = Paint::of(series.colour);
        for stretch in &series.stretches {
            let points: Vec<(f64, f64)> = stretch.iter().map(|point| self.at(*point)).collect();
            match series.look {
                Look::Line(weight) => self.line(canvas, &points, (paint, weight))?,
                Look::Area => self.area(canvas, &points, paint)?,
                Look::Dots(shape) => points
                    .iter()
                    .try_for_each(|point| mark(canvas, *point, shape, Filling::Full(series.colour)))?,
                Look::Rings(shape) => points
                    .iter()
                    .try_for_each(|point| mark(canvas, *point, shape, Filling::Hollow(series.colour)))?,
                Look::Bars(weight) => points.iter().try_for_each(|(x, y)| {
                    self.line(canvas, &[(x - BAR, *y), (x + BAR, *y)], (paint, bar(weight)))
                })?,
            }
        }
        Ok(())
    }

    fn line(
        &self,
        canvas: &Canvas<'_>,
        points: &[(f64, f64)],
        (paint, weight): (Paint, Weight),
    ) -> anyhow::Result<()> {
        let (opacity, width) = match weight {
            Weight::Faint => (0.45, 1.0),
            Weight::Thin => (0.9, 1.25),
            Weight::Normal => (0.9, 2.0),
            Weight::Wide => (0.5, 5.0),
        };
        canvas.line(points, paint.fade(opacity), width)
    }

    fn area(&self, canvas: &Canvas<'_>, points: &[(f64, f64)], paint: Paint) -> anyhow::Result<()> {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(()) };
        let foot = [(last.0, self.bottom), (first.0, self.bottom)];
        let corners: Vec<(f64, f64)> = points.iter().copied().chain(foot).collect();
        canvas.polygon(&corners, paint.fade(0.4))?;
        canvas.line(points, paint, 1.0)
    }
}

/// Draws a text at a place in the plot.
fn label_at(canvas: &Canvas<'_>, label: &Label, (x, y): (f64, f64)) -> anyhow::Result<()> {
    let paint = Paint::of(label.colour);
    match label.side {
        Side::Above => {
            let style = Type { size: ABOVE, paint, align: Align::Centre };
            // A long text at an edge is moved into the plot.
            let half = width_of(&label.text, ABOVE) / 2.0;
            let x = x.clamp(PLOT_LEFT + half, (PLOT_RIGHT - half).max(PLOT_LEFT + half));
            canvas.text(&label.text, (x, y - 16.0), style)
        }
        Side::Right => {
            let style = Type { size: TEXT, paint, align: Align::LeftMiddle };
            canvas.text(&label.text, (x + BAR + 3.0, y), style)
        }
    }
}

/// Returns the places of labels. Of texts to the right of their places that would overlap, the lower one is moved down.
fn apart(labels: &[Label], at: impl Fn(&Label) -> (f64, f64)) -> Vec<(f64, f64)> {
    let mut places: Vec<(f64, f64)> = labels.iter().map(at).collect();
    let mut order: Vec<usize> = (0..labels.len()).filter(|it| labels[*it].side == Side::Right).collect();
    order.sort_by(|a, b| places[*a].1.total_cmp(&places[*b].1));
    for (rank, index) in order.iter().enumerate() {
        let (x, mut y) = places[*index];
        for other in &order[..rank] {
            let left = if places[*other].0 < x { *other } else { *index };
            let is_beside = (places[*other].0 - x).abs() > width_of(&labels[left].text, TEXT);
            if !is_beside && y - places[*other].1 < LABEL_LINE {
                y = places[*other].1 + LABEL_LINE;
            }
        }
        places[*index].1 = y;
    }
    places
}

/// Returns the weight of the line that a bar is drawn with.
const fn bar(weight: Weight) -> Weight {
    match weight {
        Weight::Faint => Weight::Faint,
        _ => Weight::Normal,
    }
}

/// Returns the place of a value of a horizontal axis, pixels.
fn across(axis: &Axis, value: f64) -> f64 {
    PLOT_LEFT + axis.share(value) * (PLOT_RIGHT - PLOT_LEFT)
}

/// Places the labels of a horizontal axis in one row, or in two if they would touch. Labels that are still too long are
/// cut, and none leaves the picture.
fn placed(axis: &Axis) -> Vec<Placed> {
    const GAP: f64 = 8.0;
    let places: Vec<f64> = axis.ticks.iter().map(|tick| across(axis, tick.at)).collect();
    let widths: Vec<f64> = axis.ticks.iter().map(|tick| width_of(&tick.label, TEXT)).collect();
    let touch = |step: usize| {
        (step..places.len()).any(|right| {
            let room = places[right] - places[right - step];
            room < (widths[right] + widths[right - step]) / 2.0 + GAP
        })
    };
    let rows = if touch(1) { 2 } else { 1 };
    let is_cut = rows == 2 && touch(2);
    let nearest =
        (rows..places.len()).map(|right| places[right] - places[right - rows]).fold(PLOT_RIGHT, f64::min);
    let label = |(index, tick): (usize, &Tick)| {
        let text = if is_cut { fitted(&tick.label, TEXT, nearest - GAP) } else { tick.label.clone() };
        let half = width_of(&text, TEXT) / 2.0;
        let x = places[index].clamp(half + 4.0, (WIDTH - half - 4.0).max(half + 4.0));
        Placed { text, x, row: if rows == 2 && index % 2 == 1 { 1.0 } else { 0.0 } }
    };
    axis.ticks.iter().enumerate().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::value::Scale;

    fn axis(labels: &[(f64, &str)]) -> Axis {
        let ticks = labels.iter().map(|(at, label)| Tick { at: *at, label: (*label).to_owned() }).collect();
        Axis { scale: Scale::Linear, low: 0.0, high: 1.0, ticks, title: String::new(), has_grid: false }
    }

    #[test]
    fn texts_at_the_same_place_stand_below_each_other() {
        let label = |text: &str, side| Label { at: (0.0, 0.0), text: text.into(), colour: Colour::Ink, side };
        let labels = ["A", "B", "C", "D"].map(|text| label(text, Side::Right));
        let at = |label: &Label| (10.0, if label.text == "D" { 200.0 } else { 50.0 });
        let mut below: Vec<f64> = apart(&labels, at).into_iter().map(|(_, y)| y).collect();
        below.sort_by(f64::total_cmp);
        assert_eq!(below, [50.0, 64.0, 78.0, 200.0]);
        let beside = |label: &Label| (if label.text == "A" { 10.0 } else { 100.0 }, 50.0);
        assert_eq!(apart(&labels[..2], beside), [(10.0, 50.0), (100.0, 50.0)]);
        let above = [label("A", Side::Above), label("B", Side::Above)];
        assert_eq!(apart(&above, |_| (1.0, 2.0)), [(1.0, 2.0); 2], "values above their marks are not moved");
    }

    #[test]
    fn labels_stay_in_the_picture_and_never_touch() {
        let long = "a label that is as long as a path";
        let axes = [
            axis(&[(0.0, "0 %"), (0.5, "99 %"), (1.0, "99.999999 %")]),
            axis(&[(0.2, long), (0.4, long), (0.6, long), (0.8, long), (1.0, long)]),
        ];
        for axis in axes {
            let placed = placed(&axis);
            for it in &placed {
                let half = width_of(&it.text, TEXT) / 2.0;
                assert!(it.x - half >= 0.0 && it.x + half <= WIDTH, "{}", it.text);
            }
            for row in [0.0, 1.0] {
                let own: Vec<&Placed> = placed.iter().filter(|it| it.row == row).collect();
                for pair in own.windows(2) {
                    let halves = (width_of(&pair[0].text, TEXT) + width_of(&pair[1].text, TEXT)) / 2.0;
                    // The last label may be moved to the left, into its gap.
                    assert!(pair[1].x - pair[0].x >= halves - 1.0, "{} | {}", pair[0].text, pair[1].text);
                }
            }
        }
    }
}
