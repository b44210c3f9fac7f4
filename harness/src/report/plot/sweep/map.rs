//! Maps of two settings: throughput, and p99 response if there was an open load. Every cell shows its value as text.
//! The shade only repeats it.

use crate::num;
use crate::quantity;
use crate::report::facts;
use crate::report::plot::NotDrawn;
use crate::report::plot::axis::Extent;
use crate::report::plot::head::Head;
use crate::report::plot::value::{Cell, CellContent, Hue, Map, Panel, Part, Plot};
use crate::report::setting::Setting;
use crate::report::sweep::table::{three_digits, throughput_unit};
use crate::report::sweep::{Combination, Sweep, is_sound};
use crate::result::{Figure, Recording};
use crate::workload::Metric;

/// The shades span at least this share of the greatest value, so that noise does not look like a difference.
const SPAN_MIN: f64 = 0.25;
/// Values that span more than this factor are shaded by their logarithms.
const LOG_SPAN_MIN: f64 = 4.0;

/// A figure that a map shows.
struct Shown {
    title: String,
    metric: Metric,
    hue: Hue,
    text: fn(f64) -> String,
    divisor: f64,
}

/// The settings of both axes: the one with more values is across.
struct Settings<'a> {
    across: (usize, &'a Setting),
    down: (usize, &'a Setting),
}

/// Returns the chart of two settings.
pub(super) fn plot(recording: &Recording, sweep: &Sweep<'_>) -> Result<Plot, NotDrawn> {
    let [first, second] = &sweep.settings[..] else {
        return Err(NotDrawn::because("a map needs two settings"));
    };
    let settings = if second.values.len() > first.values.len() {
        Settings { across: (1, second), down: (0, first) }
    } else {
        Settings { across: (0, first), down: (1, second) }
    };
    let panels = figures(sweep).into_iter().filter_map(|figure| panel(sweep, &settings, &figure));
    let panels: Vec<Panel> = panels.collect();
    if panels.is_empty() {
        return Err(NotDrawn::because("no combination has a figure to compare"));
    }
    let title = format!("{} × {}", settings.across.1.name, settings.down.1.name);
    let head = Head::of(&recording.result);
    Ok(Plot { panels, ..head.plot("sweep-map", "Results by both settings, as a map", &title) })
}

fn figures(sweep: &Sweep<'_>) -> Vec<Shown> {
    let (divisor, unit) = throughput_unit(sweep);
    let what = if sweep.is_catch_up() { "consumed" } else { "throughput" };
    let title = format!(
        "{what}, {unit}: median of the trials, with its interval or their range below it; darker is more"
    );
    let mut figures =
        vec![Shown { title, metric: sweep.throughput(), hue: Hue::Blue, text: three_digits, divisor }];
    if sweep.has_open() {
        let title = format!("p99 response, open load {}; darker is slower", sweep.rate_words());
        let text = |ns: f64| quantity::ns(num::u64_of(ns));
        figures.push(Shown { title, metric: Metric::ResponseP99, hue: Hue::Orange, text, divisor: 1.0 });
    }
    figures
}

/// Returns the map of one figure; `None` if no combination has it.
fn panel(sweep: &Sweep<'_>, settings: &Settings<'_>, figure: &Shown) -> Option<Panel> {
    let shades = Shades::of(sweep, figure.metric)?;
    let named = |setting: &Setting| {
        (setting.name.clone(), setting.values.iter().map(|value| value.label.clone()).collect())
    };
    let cell = |it: &Combination<'_>| Cell {
        column: it.values[settings.across.0],
        row: it.values[settings.down.0],
        content: content(it, figure, &shades),
    };
    // A point without one of the settings has no cell.
    let (columns, rows) = (settings.across.1.values.len(), settings.down.1.values.len());
    let is_inside = |cell: &Cell| cell.column < columns && cell.row < rows;
    let map = Map {
        across: named(settings.across.1),
        down: named(settings.down.1),
        hue: figure.hue,
        cells: sweep.combinations.iter().map(cell).filter(is_inside).collect(),
    };
    Some(Panel { title: figure.title.clone(), parts: vec![Part::Map(map)], ..Panel::default() })
}

fn content(combination: &Combination<'_>, figure: &Shown, shades: &Shades) -> CellContent {
    let point = combination.point(figure.metric);
    let value = point.filter(|point| is_sound(point)).and_then(|point| point.figure(figure.metric.path()));
    match value {
        Some(value) => CellContent::Value {
            text: facts::median_text(value, |value| (figure.text)(value / figure.divisor)),
            range: range(value, figure),
            shade: shades.shade(value.median),
        },
        None => {
            let unsound = point.filter(|point| !is_sound(point));
            let why = unsound.map_or("–", |point| point.verdict.status.words());
            CellContent::Missing(why.to_owned())
        }
    }
}

/// Returns the interval of a value, or its range if it has none; empty for one trial.
fn range(value: &Figure, figure: &Shown) -> String {
    facts::around(value, |value| (figure.text)(value / figure.divisor)).unwrap_or_default()
}

/// The range of values from the lightest shade to the darkest.
struct Shades {
    low: f64,
    high: f64,
    is_log: bool,
}

impl Shades {
    fn of(sweep: &Sweep<'_>, metric: Metric) -> Option<Self> {
        let medians = sweep.combinations.iter().filter_map(|it| it.sound_median(metric));
        let Extent { low, high } = Extent::of(medians)?;
        let is_log = low > 0.0 && high > low * LOG_SPAN_MIN;
        Some(Self { low: if is_log { low } else { low.min(high * (1.0 - SPAN_MIN)) }, high, is_log })
    }

    /// Returns the darkness of a value, 0 to 1.
    fn shade(&self, value: f64) -> f64 {
        let scaled = |value: f64| if self.is_log { value.ln() } else { value };
        let (low, high) = (scaled(self.low), scaled(self.high));
        if high > low { ((scaled(value) - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 }
    }
}

#[cfg(test)]
mod tests {
    use super::Shades;

    #[test]
    fn noise_stays_pale_and_wide_values_are_shaded_by_their_logarithms() {
        let near = Shades { low: 75.0, high: 100.0, is_log: false };
        assert_eq!([75.0, 87.5, 100.0].map(|value| near.shade(value)), [0.0, 0.5, 1.0]);
        let wide = Shades { low: 1.0, high: 100.0, is_log: true };
        assert!((wide.shade(10.0) - 0.5).abs() < 1e-9);
    }
}
