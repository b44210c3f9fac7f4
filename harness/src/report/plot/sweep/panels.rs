//! The panels: the metrics of the answer against the setting with the most values. Marks are trials, bars are their medians,
//! and vertical lines are the intervals of the medians.

use super::layout::{Group, Layout};
use crate::num;
use crate::report::facts;
use crate::report::plot::NotDrawn;
use crate::report::plot::axis::{self, Extent};
use crate::report::plot::head::Head;
use crate::report::plot::value::{
    Axes, Axis, Colour, Label, Look, Panel, Part, Plot, Series, Shape, Side, Size, Weight,
};
use crate::report::sweep::metric::name;
use crate::report::sweep::table::throughput_unit;
use crate::report::sweep::{Combination, Sweep, is_sound};
use crate::result::{Bound, Interval, Recording};
use crate::stats;
use crate::workload::Metric;

/// Write amplification that spans less than this factor is in the table only.
const AMPLIFICATION_SPAN_MIN: f64 = 1.5;
const BYTES_PER_MIB: f64 = 1_048_576.0;
const NS_PER_S: f64 = 1e9;
/// Trials of one point are spread over this share of the axis, so that equal ones can be seen.
const SPREAD: f64 = 0.0095;

/// Marks a combination that has no value.
const MISSING: &str = "×";

/// A figure that a panel shows: its title, its metric and the unit of its values.
struct Shown {
    title: String,
    metric: Metric,
    divisor: f64,
    unit: &'static str,
    is_time: bool,
}

/// Returns the chart.
pub(super) fn plot(recording: &Recording, sweep: &Sweep<'_>) -> Result<Plot, NotDrawn> {
    let layout = Layout::of(sweep);
    let figures = figures(sweep);
    let last = figures.len().saturating_sub(1);
    let panels = figures.iter().enumerate().map(|(index, figure)| panel(&layout, figure, index == last));
    let panels: Vec<Panel> = panels.collect();
    if panels.is_empty() {
        return Err(NotDrawn::because("no combination has a figure to compare"));
    }
    let swept: Vec<&str> = sweep.settings.iter().map(|setting| setting.name.as_str()).collect();
    let head = Head::of(&recording.result);
    let plot = head.plot("sweep", "Results by setting", &format!("sweep of {}", swept.join(" × ")));
    let labels = || panels.iter().flat_map(Panel::axes).flat_map(|axes| &axes.labels);
    let mut remarks = layout.remarks.clone();
    let is_missing = labels().any(|label| label.text == MISSING);
    remarks.extend(is_missing.then(|| "×: failed, or too few acks for this figure".to_owned()));
    for bound in [Bound::Upper, Bound::Lower] {
        let is_shown = labels().any(|label| label.text == bound.sign().trim());
        remarks.extend(is_shown.then(|| facts::bound_note(bound).trim_end_matches('.').to_owned()));
    }
    Ok(Plot { keys: layout.keys(), notes: vec![remarks.join(" · ")], panels, ..plot })
}

/// Returns the figures that any combination has: those that the sweep has an answer for, and write amplification where it varies.
fn figures(sweep: &Sweep<'_>) -> Vec<Shown> {
    let extent = |metric| Extent::of(sweep.combinations.iter().flat_map(|it| it.trials(metric)));
    let mut metrics = sweep.metrics();
    let varies =
        extent(Metric::WriteAmplification).is_some_and(|it| it.high >= it.low * AMPLIFICATION_SPAN_MIN);
    if varies && !metrics.contains(&Metric::WriteAmplification) {
        metrics.insert(1.min(metrics.len()), Metric::WriteAmplification);
    }
    metrics.retain(|metric| extent(*metric).is_some());
    metrics.into_iter().map(|metric| shown(sweep, metric)).collect()
}

fn shown(sweep: &Sweep<'_>, metric: Metric) -> Shown {
    let (rate, rate_unit) = throughput_unit(sweep);
    let of = |title: String, divisor, unit| Shown { title, metric, divisor, unit, is_time: unit.is_empty() };
    let named = name(metric).to_owned();
    match metric {
        Metric::Throughput => of(named, rate, rate_unit),
        Metric::CatchUp => of("consumed while catching up".to_owned(), rate, rate_unit),
        Metric::WriteAmplification => {
            let title = "write amplification: bytes to the device ÷ bytes produced".to_owned();
            Shown { is_time: false, ..of(title, 1.0, "") }
        }
        Metric::DiskPeak => of(named, BYTES_PER_MIB, "MiB"),
        Metric::Reopen => of(named, 1.0 / NS_PER_S, ""),
        Metric::ResponseP50 | Metric::ResponseP99 | Metric::ResponseP999 | Metric::EndToEndP99 => {
            of(format!("{named}, open load {}", sweep.rate_words()), 1.0, "")
        }
    }
}

fn panel(layout: &Layout<'_>, figure: &Shown, is_last: bool) -> Panel {
    let y = y_axis(layout, figure);
    let x = &layout.positions.axis;
    let groups = || layout.series.iter().enumerate();
    let low = y.low;
    let labels = groups().flat_map(|group| missing(layout, group, figure));
    let labels = labels.map(|x| Label {
        at: (x, low),
        text: MISSING.to_owned(),
        colour: Colour::Vermilion,
        side: Side::Above,
    });
    let labels = labels.chain(groups().flat_map(|group| signs(layout, group, figure)));
    let axes = Axes {
        size: Size::Full,
        // All panels share the axis below the last one.
        x: if is_last { x.clone() } else { axis::bare(x) },
        labels: labels.collect(),
        y,
        bands: Vec::new(),
        series: groups().flat_map(|group| series(layout, group, figure)).collect(),
        marks: Vec::new(),
    };
    Panel { title: figure.title.clone(), parts: vec![Part::Axes(axes)], ..Panel::default() }
}

/// Returns the vertical axis: a log axis if the trials span a factor of 4 or more, otherwise one from 0.
fn y_axis(layout: &Layout<'_>, figure: &Shown) -> Axis {
    let values = layout.combinations().flat_map(|it| it.trials(figure.metric));
    let extent = Extent::of(values.map(|value| value / figure.divisor));
    let label = if figure.is_time { axis::ns_label } else { axis::number };
    match extent {
        Some(extent) if extent.is_wide() => axis::log(figure.unit, extent, label),
        extent => axis::from_zero(figure.unit, extent.map_or(0.0, |extent| extent.high), label),
    }
}

/// Returns the combinations of a series, each with its position on the axis.
fn placed<'a>(
    layout: &'a Layout<'_>,
    (number, group): (usize, &'a Group<'_>),
) -> impl Iterator<Item = (f64, Option<&'a Combination<'a>>)> {
    let aside = layout.aside(number);
    layout.positions.positions.iter().zip(&group.combinations).map(move |(x, it)| (x + aside, *it))
}

/// Returns the drawn parts of a series: the line between its medians, their intervals and bars, and its trials.
fn series(layout: &Layout<'_>, group: (usize, &Group<'_>), figure: &Shown) -> Vec<Series> {
    let (number, Group { name, .. }) = group;
    let (colour, shape) = (Colour::of_series(number), Shape::of_series(number));
    let of = |look| Series::new(name.clone(), colour, look);
    let medians = medians(layout, group, figure);
    let (sound, unsound): (Vec<Median>, Vec<Median>) =
        medians.iter().flatten().copied().partition(|median| median.is_sound);
    let bars = |medians: Vec<Median>| vec![medians.into_iter().map(|median| median.at).collect()];
    let mut parts = Vec::new();
    // Names have no order, so a line between them would mean nothing.
    if layout.is_ordered {
        let is_gap = |median: &Option<Median>| !median.is_some_and(|median| median.is_sound);
        let runs = medians.split(is_gap).filter(|run| run.len() > 1);
        let lines = runs.map(|run| run.iter().flatten().map(|median| median.at).collect());
        parts.push(of(Look::Line(Weight::Faint)).with(lines.collect()));
    }
    let whisker = |median: &Median| Some(median.interval?.map(|end| (median.at.0, end)).to_vec());
    parts.push(of(Look::Line(Weight::Thin)).with(sound.iter().filter_map(whisker).collect()));
    parts.push(of(Look::Bars(Weight::Normal)).with(bars(sound)));
    parts.push(of(Look::Bars(Weight::Faint)).with(bars(unsound)));
    let (sound, unsound) = dots(layout, group, figure);
    parts.push(of(Look::Dots(shape)).with(vec![sound]));
    parts.push(of(Look::Rings(shape)).with(vec![unsound]));
    parts.retain(|part| part.values().next().is_some());
    parts
}

/// Returns a sign beside each median that is only a bound.
fn signs(layout: &Layout<'_>, group: (usize, &Group<'_>), figure: &Shown) -> Vec<Label> {
    let sign = |(x, combination): (f64, Option<&Combination<'_>>)| {
        let median = combination?.point(figure.metric)?.figure(figure.metric.path())?;
        Some(Label {
            at: (x, median.median / figure.divisor),
            text: median.bound?.sign().trim().to_owned(),
            colour: Colour::of_series(group.0),
            side: Side::Right,
        })
    };
    placed(layout, group).filter_map(sign).collect()
}

/// The median of a combination, at its place.
#[derive(Clone, Copy)]
struct Median {
    at: (f64, f64),
    /// Ends of the interval; `None` with too few trials.
    interval: Option<[f64; 2]>,
    is_sound: bool,
}

fn medians(layout: &Layout<'_>, group: (usize, &Group<'_>), figure: &Shown) -> Vec<Option<Median>> {
    placed(layout, group)
        .map(|(x, combination)| {
            let combination = combination?;
            let trials = combination.trials(figure.metric);
            let median = stats::median(&trials)?;
            let ends = |it: Interval| [it.low, it.high].map(|end| end / figure.divisor);
            let interval = stats::interval(&trials).map(ends);
            let is_sound = combination.point(figure.metric).is_some_and(is_sound);
            Some(Median { at: (x, median / figure.divisor), interval, is_sound })
        })
        .collect()
}

/// Places of trials that may be compared, and of those that may not.
type Dots = (Vec<(f64, f64)>, Vec<(f64, f64)>);

/// Returns the place of each trial.
fn dots(layout: &Layout<'_>, group: (usize, &Group<'_>), figure: &Shown) -> Dots {
    let mut dots = Dots::default();
    for (x, combination) in placed(layout, group) {
        let Some(combination) = combination else { continue };
        let is_sound = combination.point(figure.metric).is_some_and(is_sound);
        let trials = combination.trials(figure.metric);
        let last = num::f64_of(num::count(trials.len().max(2) - 1));
        for (trial, value) in trials.iter().enumerate() {
            let spread = if trials.len() == 1 { 0.0 } else { num::f64_of(num::count(trial)) / last - 0.5 };
            let own = if is_sound { &mut dots.0 } else { &mut dots.1 };
            own.push(((x + spread * SPREAD).clamp(0.0, 1.0), value / figure.divisor));
        }
    }
    dots
}

/// Returns the places of combinations that have no value for this metric.
fn missing<'a>(
    layout: &'a Layout<'_>,
    group: (usize, &'a Group<'_>),
    figure: &Shown,
) -> impl Iterator<Item = f64> + 'a {
    let metric = figure.metric;
    let without = placed(layout, group)
        .filter(move |(_, it)| it.is_some_and(|combination| combination.trials(metric).is_empty()));
    without.map(|(x, _)| x)
}
