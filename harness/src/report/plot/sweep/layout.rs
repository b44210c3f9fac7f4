//! Layout of the panels: one setting is on the axis. Each combination of the others is a series with its own colour and
//! mark, so that series can be told apart without colours.

use super::positions::Positions;
use crate::num;
use crate::report::plot::value::{Colour, Key, Shape, Symbol};
use crate::report::setting::Setting;
use crate::report::sweep::{Combination, Sweep, is_sound};

/// The most series that are drawn. More of them could not be told apart.
const SERIES_MAX: usize = 12;
/// The greatest distance between two series at one value, as a share of the axis.
const ASIDE_MAX: f64 = 0.033;

/// The setting on the axis, and the series.
pub(super) struct Layout<'a> {
    pub(super) positions: Positions,
    /// Whether the values on the axis are numbers, so that a line between them means something.
    pub(super) is_ordered: bool,
    pub(super) series: Vec<Group<'a>>,
    pub(super) remarks: Vec<String>,
}

/// The combinations that share all settings but the one on the axis.
pub(super) struct Group<'a> {
    /// Values of the other settings; empty if there are none.
    pub(super) name: String,
    /// Combination at each value on the axis; `None` if it was not measured.
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
        let series = |values: Vec<usize>| Group {
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
        let points = || sweep.combinations.iter().flat_map(Combination::points);
        let has_interval = points().any(|point| point.summary.values().any(|it| it.interval.is_some()));
        let interval = if has_interval { ", each vertical line its 95 % interval" } else { "" };
        let mut remarks = vec![format!("each mark is a trial, each bar the median{interval}")];
        if points().any(|point| !is_sound(point)) {
            remarks.push("hollow: failed or invalid".to_owned());
        }
        if count > SERIES_MAX {
            remarks.push(format!("{SERIES_MAX} of {count} series are drawn; the table has all"));
        }
        Self {
            positions: Positions::of(setting),
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
        let step = (self.positions.slot() * 0.72 / count).min(ASIDE_MAX);
        (num::f64_of(num::count(series)) - (count - 1.0) / 2.0) * step
    }

    /// Returns the legend; empty if there is only one series.
    pub(super) fn keys(&self) -> Vec<Key> {
        let named = self.series.iter().enumerate().filter(|_| self.series.len() > 1);
        named
            .map(|(number, series)| Key {
                name: series.name.clone(),
                colour: Colour::of_series(number),
                symbol: Symbol::Dot(Shape::of_series(number)),
            })
            .collect()
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
