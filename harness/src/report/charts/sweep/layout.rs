//! Layout of the panels: one setting is on the axis. Each combination of the others is a series with its own colour and
//! mark, so that series can be told apart without colours.

use super::REMARK;
use super::axis::{PLOT, XAxis};
use crate::num;
use crate::report::charts::{Area, COLOURS, INK, TITLE_WIDTH, fitted, flow, text};
use crate::report::setting::Setting;
use crate::report::sweep::{Combination, Sweep, is_sound};
use plotters::element::ComposedElement;
use plotters::prelude::*;

/// The most series that are drawn. More of them could not be told apart.
const SERIES_MAX: usize = 12;

/// The axis, the series and the remarks of the panels.
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
    /// Combinations by the value on the axis; `None` if one was not measured.
    pub(super) combinations: Vec<Option<&'a Combination<'a>>>,
}

impl<'a> Layout<'a> {
    pub(super) fn of(sweep: &'a Sweep<'a>) -> Self {
        let settings = &sweep.settings;
        // Of the settings with the most values, the first is on the axis.
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
            remarks.push(format!("{SERIES_MAX} of {count} series are drawn; the table has all"));
        }
        Self {
            axis: XAxis::of(setting),
            is_ordered: setting.numbers().is_some(),
            series: others.into_iter().map(series).collect(),
            remarks,
        }
    }

    /// Returns every combination that is drawn.
    pub(super) fn combinations(&self) -> impl Iterator<Item = &Combination<'a>> {
        self.series.iter().flat_map(|series| series.combinations.iter().flatten().copied())
    }

    /// Returns how far a series is moved to the side, as a share of the axis, so that no series hides another.
    pub(super) fn aside(&self, series: usize) -> f64 {
        let count = num::f64_of(num::count(self.series.len()));
        let step = (self.axis.slot() * 0.72 / count).min(28.0);
        (num::f64_of(num::count(series)) - (count - 1.0) / 2.0) * step / PLOT
    }

    /// Returns the height of the legend, pixels.
    pub(super) fn legend_height(&self) -> u32 {
        u32::try_from(flow::height(&self.entries()) + flow::ROW).unwrap_or(0)
    }

    /// Draws the names of the series, and the remarks below them.
    pub(super) fn legend(&self, area: &Area<'_>) {
        let entries = self.entries();
        for (number, it) in entries.iter().enumerate() {
            let mark = Mark::of(number).element((it.x + 4, it.y + 6), COLOURS[number % COLOURS.len()], true);
            // If a swatch cannot be drawn, it is left out, so that the chart is not lost.
            let _ = area.draw(&mark);
            text(area, &it.name, (it.x + flow::SWATCH, it.y), (flow::FONT, INK));
        }
        let remarks = fitted(&self.remarks.join(" · "), REMARK.0, TITLE_WIDTH);
        text(area, &remarks, (16, flow::height(&entries)), REMARK);
    }

    /// Returns each series with its position in the legend; empty if there is only one.
    fn entries(&self) -> Vec<flow::Placed> {
        let named = self.series.iter().filter(|_| self.series.len() > 1);
        flow::flow(named.map(|series| series.name.clone()))
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

/// A filled and outlined shape in pixels, at a position in a plot or in the picture.
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
    /// Returns the mark of a series. If a colour is used again, it gets another shape.
    pub(super) const fn of(series: usize) -> Self {
        match (series + series / COLOURS.len()) % 4 {
            0 => Self::Circle,
            1 => Self::Square,
            2 => Self::Triangle,
            _ => Self::Diamond,
        }
    }

    /// Returns the mark at a position in a plot, filled or hollow.
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

    /// Returns the corners in pixels around the middle.
    fn corners(self) -> Vec<(i32, i32)> {
        match self {
            Self::Circle => vec![(-1, -4), (1, -4), (4, -1), (4, 1), (1, 4), (-1, 4), (-4, 1), (-4, -1)],
            Self::Square => vec![(-3, -3), (3, -3), (3, 3), (-3, 3)],
            Self::Triangle => vec![(0, -4), (4, 3), (-4, 3)],
            Self::Diamond => vec![(0, -5), (4, 0), (0, 5), (-4, 0)],
        }
    }
}
