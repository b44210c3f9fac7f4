//! Which settings the panels show: one on the axis, the combinations of the others as series, each with a colour and a
//! mark of its own, so that they can be told apart without colours.

use super::REMARK;
use super::axis::{PLOT, XAxis};
use crate::num;
use crate::report::charts::{Area, COLOURS, INK, TITLE_WIDTH, fitted, flow, text};
use crate::report::setting::Setting;
use crate::report::sweep::{Combination, Sweep, is_sound};
use plotters::element::ComposedElement;
use plotters::prelude::*;

/// With more series than this nobody could tell them apart.
const SERIES_MAX: usize = 12;

/// What is drawn where.
pub(super) struct Layout<'a> {
    pub(super) axis: XAxis,
    /// Whether the values on the axis are numbers.
    pub(super) is_ordered: bool,
    pub(super) series: Vec<Series<'a>>,
    remarks: Vec<String>,
}

/// One combination of the settings that are not on the axis.
pub(super) struct Series<'a> {
    name: String,
    /// By the value on the axis; `None` where it was not made.
    pub(super) combinations: Vec<Option<&'a Combination<'a>>>,
}

impl<'a> Layout<'a> {
    pub(super) fn of(sweep: &'a Sweep<'a>) -> Self {
        let settings = &sweep.settings;
        // The first of those with the most values.
        let x = (0..settings.len()).rev().max_by_key(|index| settings[*index].values.len()).unwrap_or(0);
        let setting = &settings[x];
        let mut others: Vec<Vec<usize>> =
            sweep.combinations.iter().map(|it| without(&it.values, x)).collect();
        others.sort();
        others.dedup();
        let count = others.len();
        others.truncate(SERIES_MAX);
        let series = |values: Vec<usize>| Series {
            name: name(settings, x, &values),
            combinations: (0..setting.values.len())
                .map(|at| {
                    sweep
                        .combinations
                        .iter()
                        .find(|it| it.values[x] == at && without(&it.values, x) == values)
                })
                .collect(),
        };
        let mut remarks = vec!["each mark is a trial, each bar the median".to_owned()];
        if sweep.combinations.iter().flat_map(Combination::points).any(|point| !is_sound(point)) {
            remarks.push("hollow: failed or invalid".to_owned());
        }
        if count > SERIES_MAX {
            remarks.push(format!("drawn are {SERIES_MAX} of {count} series, the table has them all"));
        }
        Self {
            axis: XAxis::of(setting),
            is_ordered: setting.numbers().is_some(),
            series: others.into_iter().map(series).collect(),
            remarks,
        }
    }

    /// Everything that is drawn.
    pub(super) fn combinations(&self) -> impl Iterator<Item = &Combination<'a>> {
        self.series.iter().flat_map(|series| series.combinations.iter().flatten().copied())
    }

    /// How far a series is moved aside, 0 to 1 along the axis, so that none hides another.
    pub(super) fn aside(&self, series: usize) -> f64 {
        let count = num::f64_of(num::count(self.series.len()));
        let step = (self.axis.slot() * 0.72 / count).min(28.0);
        (num::f64_of(num::count(series)) - (count - 1.0) / 2.0) * step / PLOT
    }

    /// Height of the legend, pixels.
    pub(super) fn legend_height(&self) -> u32 {
        u32::try_from(flow::height(&self.entries()) + flow::ROW).unwrap_or(0)
    }

    /// Names of the series, and remarks below them.
    pub(super) fn legend(&self, area: &Area<'_>) {
        let entries = self.entries();
        for (number, it) in entries.iter().enumerate() {
            let mark = Mark::of(number).element((it.x + 4, it.y + 6), COLOURS[number % COLOURS.len()], true);
            // A swatch that cannot be drawn is left out rather than the chart.
            let _ = area.draw(&mark);
            text(area, &it.name, (it.x + flow::SWATCH, it.y), (flow::FONT, INK));
        }
        let remarks = fitted(&self.remarks.join(" · "), REMARK.0, TITLE_WIDTH);
        text(area, &remarks, (16, flow::height(&entries)), REMARK);
    }

    /// Each series with where it stands in the legend; none if there is but one.
    fn entries(&self) -> Vec<flow::Placed> {
        let told = self.series.iter().filter(|_| self.series.len() > 1);
        flow::flow(told.map(|series| series.name.clone()))
    }
}

fn without(values: &[usize], index: usize) -> Vec<usize> {
    values.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, value)| *value).collect()
}

fn name(settings: &[Setting], x: usize, values: &[usize]) -> String {
    let others = settings.iter().enumerate().filter(|(at, _)| *at != x).map(|(_, setting)| setting);
    let named = others.zip(values).map(|(setting, value)| {
        let label = setting.values.get(*value).map_or("–", |value| &value.label);
        format!("{} {label}", setting.name)
    });
    named.collect::<Vec<_>>().join(", ")
}

/// Pixels, filled and outlined, at a place of a plot or of the picture.
type Element<C, DB> = ComposedElement<C, DB, Polygon<(i32, i32)>, PathElement<(i32, i32)>>;

/// The shape of a series' marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Mark {
    /// Of the n-th series: a colour that comes again comes with another shape.
    pub(super) const fn of(series: usize) -> Self {
        match (series + series / COLOURS.len()) % 4 {
            0 => Self::Circle,
            1 => Self::Square,
            2 => Self::Triangle,
            _ => Self::Diamond,
        }
    }

    /// At a place of a plot, filled or hollow.
    pub(super) fn element<DB: DrawingBackend, C: Clone>(
        self,
        at: C,
        colour: RGBColor,
        is_filled: bool,
    ) -> Element<C, DB> {
        let fill = if is_filled { colour.mix(0.75) } else { WHITE.mix(1.0) };
        let corners = self.corners();
        let outline = corners.iter().copied().chain([corners[0]]).collect::<Vec<_>>();
        EmptyElement::at(at) + Polygon::new(corners, fill) + PathElement::new(outline, colour.stroke_width(1))
    }

    /// Pixels around its middle.
    fn corners(self) -> Vec<(i32, i32)> {
        match self {
            Self::Circle => vec![(-1, -4), (1, -4), (4, -1), (4, 1), (1, 4), (-1, 4), (-4, 1), (-4, -1)],
            Self::Square => vec![(-3, -3), (3, -3), (3, 3), (-3, 3)],
            Self::Triangle => vec![(0, -4), (4, 3), (-4, 3)],
            Self::Diamond => vec![(0, -5), (4, 0), (0, 5), (-4, 0)],
        }
    }
}
