//! The forest of a comparison: the ratio of each figure with its interval, over the band in which no difference matters.

use super::axis::{self, Extent};
use super::value::{
    Axes, Axis, Band, BandKind, Colour, Key, Label, Look, Mark, Panel, Part, Plot, Scale, Series, Shape,
    Side, Size, Symbol, Weight,
};
use super::{Chart, NotDrawn, attempt};
use crate::num;
use crate::report::comparison::words;
use crate::result::Interval;
use crate::result::comparison::Comparison;

const ALT: &str = "Ratio of B to A for each figure, with intervals and the band";
/// Space beside the outermost value, as a share of the range.
const MARGIN: f64 = 0.08;

/// Returns the chart of a comparison.
pub(in crate::report) fn charts(comparison: &Comparison) -> Vec<Chart> {
    vec![attempt(ALT, || plot(comparison))]
}

/// A row of the forest.
struct Row<'a> {
    name: &'a str,
    ratio: f64,
    interval: Option<Interval>,
}

fn plot(comparison: &Comparison) -> Result<Plot, NotDrawn> {
    let Some(effect) = &comparison.effect else {
        return Err(NotDrawn::because("there is no effect to show"));
    };
    let mut rows =
        vec![Row { name: &comparison.metric.name, ratio: effect.ratio, interval: effect.interval }];
    rows.extend(comparison.secondary.iter().map(|it| Row {
        name: &it.metric.name,
        ratio: it.ratio,
        interval: it.interval,
    }));
    let build = &comparison.provenance.build;
    let revision: String = build.git_revision.chars().take(10).collect();
    let machine = comparison.provenance.machine_id.as_deref().unwrap_or("unknown");
    let machine: String = machine.chars().take(8).collect();
    Ok(Plot {
        name: "ratio",
        alt: ALT,
        title: format!("{}: B ÷ A", words::change(comparison)),
        verdict: words::verdict(comparison, effect),
        settings: format!("A: {} · B: {}", comparison.a.label, comparison.b.label),
        keys: keys(comparison),
        notes: Vec::new(),
        panels: vec![Panel { parts: vec![Part::Axes(axes(comparison, &rows))], ..Panel::default() }],
        footer: vec![format!(
            "vnotch {} {revision} · machine {machine} · {} · {}",
            build.version,
            comparison.provenance.started_at,
            comparison.id()
        )],
    })
}

fn keys(comparison: &Comparison) -> Vec<Key> {
    let key = |name: &str, colour, symbol| Key { name: name.to_owned(), colour, symbol };
    let mut keys = vec![
        key("ratio with 95 % interval", Colour::Blue, Symbol::Dot(Shape::Square)),
        key("beside it", Colour::Ink, Symbol::Dot(Shape::Square)),
    ];
    if !comparison.counted().is_empty() {
        keys.push(key("one pair", Colour::Pale, Symbol::Ring(Shape::Circle)));
    }
    if comparison.band > 0.0 {
        let name = format!("band of {}: no difference that matters", words::share(comparison.band));
        keys.push(key(&name, Colour::Green, Symbol::Fill));
    }
    keys
}

fn axes(comparison: &Comparison, rows: &[Row<'_>]) -> Axes {
    let count = num::f64_of(num::count(rows.len()));
    // The metric stands at the top.
    let place = |index: usize| count - num::f64_of(num::count(index)) - 0.65;
    let pairs: Vec<f64> = comparison.counted().iter().map(|(a, b)| b / a).collect();
    let mut series = Vec::new();
    if !pairs.is_empty() {
        let points = pairs.iter().map(|ratio| (*ratio, place(0) - 0.2)).collect();
        series.push(Series::new("one pair", Colour::Pale, Look::Rings(Shape::Circle)).with(vec![points]));
    }
    let mut labels = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let (y, colour) = (place(index), if index == 0 { Colour::Blue } else { Colour::Ink });
        if let Some(interval) = row.interval {
            let ends = vec![(interval.low, y), (interval.high, y)];
            series.push(Series::new(row.name, colour, Look::Line(Weight::Normal)).with(vec![ends]));
        }
        series
            .push(Series::new(row.name, colour, Look::Dots(Shape::Square)).with(vec![vec![(row.ratio, y)]]));
        let interval = row.interval.map_or_else(String::new, |it| format!(" ({})", words::range(it)));
        let text = format!("{}: {}{interval}", row.name, words::difference(row.ratio));
        labels.push(Label { at: (row.ratio, y + 0.08), text, colour, side: Side::Above });
    }
    let edge = 1.0 + comparison.band;
    let band = Band { x: (1.0 / edge, edge), y: None, colour: Colour::Green, kind: BandKind::NoDifference };
    let ends = rows.iter().flat_map(|row| {
        let ends = row.interval.map_or([row.ratio; 2], |it| [it.low, it.high]);
        [ends[0], ends[1], row.ratio]
    });
    let extent = Extent::of(ends.chain(pairs.iter().copied()).chain([1.0 / edge, edge]));
    Axes {
        size: if rows.len() > 1 { Size::Tall } else { Size::Full },
        x: across(extent.unwrap_or(Extent { low: 0.9, high: 1.1 })),
        y: Axis {
            scale: Scale::Linear,
            low: 0.0,
            high: count,
            ticks: Vec::new(),
            title: String::new(),
            has_grid: false,
        },
        bands: if comparison.band > 0.0 { vec![band] } else { Vec::new() },
        series,
        marks: vec![Mark { x: 1.0, label: "no change".to_owned(), colour: Colour::Ink }],
        labels,
    }
}

/// Returns the axis of ratios, labelled as differences: `−10 %`.
fn across(extent: Extent) -> Axis {
    let title = "B compared with A";
    if extent.is_wide() {
        return axis::log(title, extent, |ratio| format!("× {}", axis::number(ratio)));
    }
    let margin = ((extent.high - extent.low) * MARGIN).max(0.001);
    let (low, high) = (extent.low - margin, extent.high + margin);
    axis::differences(title, (low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_labelled_as_differences_and_wide_ones_as_multiples() {
        let labels = |low, high| -> Vec<String> {
            across(Extent { low, high }).ticks.into_iter().map(|tick| tick.label).collect()
        };
        let narrow = labels(0.9, 1.05);
        assert!(narrow.contains(&"−10 %".to_owned()) && narrow.contains(&"0 %".to_owned()), "{narrow:?}");
        assert!(narrow.contains(&"+5 %".to_owned()), "{narrow:?}");
        assert!(labels(0.5, 8.0).contains(&"× 1".to_owned()), "{:?}", labels(0.5, 8.0));
    }
}
