//! The panels: throughput, write amplification and p99 response against the setting with the most values. Dots are
//! trials; bars are their medians.

use super::super::axes;
use super::super::{
    AXIS, Area, COLOURS, Head, INK, LEFT, VERMILION, drawn, failed, number_text, text, text_centred,
};
use super::REMARK;
use super::axis::{NAMES, PLOT, pixel};
use super::layout::{Layout, Mark, Series};
use crate::num;
use crate::report::sweep::table::throughput_unit;
use crate::report::sweep::{Combination, Metric, RESPONSE_P99, Sweep, WRITE_AMPLIFICATION, is_sound};
use crate::result::Recording;
use crate::stats;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

const PANEL: u32 = 236;
const BOTTOM: u32 = 8;
/// Times that span more than this factor are drawn on a log axis.
const LOG_SPAN_MIN: f64 = 8.0;
/// Half the width of a median's bar, pixels.
const BAR: f64 = 9.0;
/// Trials of one point are spread over this many pixels, so that equal ones can be seen.
const SPREAD: f64 = 8.0;

type Plot<'a, 'b, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, Y>>;

/// A panel: its title, its metric and the unit of its values.
struct Panel {
    title: String,
    metric: Metric,
    divisor: f64,
    unit: &'static str,
    is_time: bool,
}

pub(super) fn draw(recording: &Recording, sweep: &Sweep<'_>) -> anyhow::Result<String> {
    let layout = Layout::of(sweep);
    let panels = panels(sweep);
    let height = layout.legend_height() + PANEL * u32::try_from(panels.len())? + NAMES;
    let swept: Vec<&str> = sweep.settings.iter().map(|setting| setting.name.as_str()).collect();
    drawn(&Head::of(&recording.result), &format!("sweep of {}", swept.join(" × ")), height, |area| {
        let (head, mut rest) = area.split_vertically(layout.legend_height());
        layout.legend(&head);
        for panel in &panels {
            let (upper, lower) = rest.split_vertically(PANEL);
            self::panel(&upper, &layout, panel)?;
            rest = lower;
        }
        layout.axis.draw(&rest, 0);
        Ok(())
    })
}

fn panels(sweep: &Sweep<'_>) -> Vec<Panel> {
    let (divisor, unit) = throughput_unit(sweep);
    let title = if sweep.is_catch_up() { "consumed while catching up" } else { "throughput" }.to_owned();
    let mut panels = vec![Panel { title, metric: sweep.throughput(), divisor, unit, is_time: false }];
    let has_any = |metric| sweep.combinations.iter().any(|it| !it.trials(metric).is_empty());
    if has_any(WRITE_AMPLIFICATION) {
        let title = "write amplification: bytes to the device ÷ bytes produced".to_owned();
        panels.push(Panel { title, metric: WRITE_AMPLIFICATION, divisor: 1.0, unit: "", is_time: false });
    }
    if has_any(RESPONSE_P99) {
        let title = format!("p99 response, open load {}", sweep.rate_words());
        panels.push(Panel { title, metric: RESPONSE_P99, divisor: 1.0, unit: "", is_time: true });
    }
    panels
}

fn panel(area: &Area<'_>, layout: &Layout<'_>, panel: &Panel) -> anyhow::Result<()> {
    let every = || layout.combinations().flat_map(|it| it.trials(panel.metric));
    let (low, high) =
        every().fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let is_log = panel.is_time && high > low * LOG_SPAN_MIN;
    let scale = if is_log { " (log axis)" } else { "" };
    text(area, &format!("{}{scale}", panel.title), (16, 10), (14, INK));
    let mut builder = axes::plot(area, (axes::HEAD, BOTTOM));
    match axes::decades(std::iter::once(low).chain([high]).filter(|_| is_log)) {
        Some(range) => {
            let mut chart = builder.build_cartesian_2d(0.0..1.0, range.log_scale()).map_err(failed)?;
            mesh(&mut chart, panel)?;
            points(&mut chart, layout, panel)?;
        }
        None => {
            let top = (high / panel.divisor * 1.08).max(f64::MIN_POSITIVE);
            let top = if high > 0.0 { top } else { 1.0 };
            let mut chart = builder.build_cartesian_2d(0.0..1.0, 0.0..top).map_err(failed)?;
            mesh(&mut chart, panel)?;
            points(&mut chart, layout, panel)?;
        }
    }
    missing(area, layout, panel);
    Ok(())
}

fn mesh<Y>(chart: &mut Plot<'_, '_, Y>, panel: &Panel) -> anyhow::Result<()>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let text = |value: &f64| if panel.is_time { axes::ns_text(value) } else { number_text(*value) };
    let mut mesh = chart.configure_mesh();
    axes::quiet(&mut mesh);
    mesh.x_labels(0).y_labels(7).y_desc(panel.unit).y_label_formatter(&text);
    mesh.draw().map_err(failed)
}

fn points<Y>(chart: &mut Plot<'_, '_, Y>, layout: &Layout<'_>, panel: &Panel) -> anyhow::Result<()>
where
    Y: Ranged<ValueType = f64>,
{
    for (number, series) in layout.series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let medians = medians(layout, (number, series), panel);
        // Names have no order, so a line between them would mean nothing.
        if layout.is_ordered {
            let is_gap = |median: &Option<Median>| !median.is_some_and(|(_, _, is_sound)| is_sound);
            for run in medians.split(is_gap).filter(|run| run.len() > 1) {
                let line = run.iter().flatten().map(|(x, y, _)| (*x, *y));
                chart.draw_series(LineSeries::new(line, colour.mix(0.45).stroke_width(1))).map_err(failed)?;
            }
        }
        for (x, y, is_sound) in medians.into_iter().flatten() {
            let colour = if is_sound { colour.mix(1.0) } else { colour.mix(0.35) };
            let bar = [(x - BAR / PLOT, y), (x + BAR / PLOT, y)];
            let bar = PathElement::new(bar, colour.stroke_width(3));
            chart.draw_series(std::iter::once(bar)).map_err(failed)?;
        }
        let marks = dots(layout, (number, series), panel).into_iter();
        let marks = marks.map(|(at, is_sound)| Mark::of(number).element(at, colour, is_sound));
        chart.draw_series(marks).map_err(failed)?;
    }
    Ok(())
}

/// Returns the combinations of a series, each with its position on the axis.
fn placed<'a>(
    layout: &'a Layout<'_>,
    (number, series): (usize, &'a Series<'_>),
) -> impl Iterator<Item = (f64, Option<&'a Combination<'a>>)> {
    let aside = layout.aside(number);
    layout.axis.positions.iter().zip(&series.combinations).map(move |(x, it)| (x + aside, *it))
}

type Median = (f64, f64, bool);

fn medians(layout: &Layout<'_>, series: (usize, &Series<'_>), panel: &Panel) -> Vec<Option<Median>> {
    placed(layout, series)
        .map(|(x, combination)| {
            let combination = combination?;
            let median = stats::median(&combination.trials(panel.metric))?;
            Some((x, median / panel.divisor, combination.point(panel.metric).is_some_and(is_sound)))
        })
        .collect()
}

fn dots(layout: &Layout<'_>, series: (usize, &Series<'_>), panel: &Panel) -> Vec<((f64, f64), bool)> {
    let mut dots = Vec::new();
    for (x, combination) in placed(layout, series) {
        let Some(combination) = combination else { continue };
        let is_sound = combination.point(panel.metric).is_some_and(is_sound);
        let trials = combination.trials(panel.metric);
        let last = num::f64_of(num::count(trials.len().max(2) - 1));
        for (trial, value) in trials.iter().enumerate() {
            let spread = if trials.len() == 1 { 0.0 } else { num::f64_of(num::count(trial)) / last - 0.5 };
            dots.push(((x + spread * SPREAD / PLOT, value / panel.divisor), is_sound));
        }
    }
    dots
}

/// Marks combinations that have no value for this metric, at the bottom of the panel.
fn missing(area: &Area<'_>, layout: &Layout<'_>, panel: &Panel) {
    let mut some = false;
    for series in layout.series.iter().enumerate() {
        for (x, combination) in placed(layout, series) {
            let Some(combination) = combination else { continue };
            if combination.trials(panel.metric).is_empty() {
                let bottom = i32::try_from(PANEL - BOTTOM - 16).unwrap_or(0);
                text_centred(area, "×", (pixel(x), bottom), (14, VERMILION));
                some = true;
            }
        }
    }
    if some {
        let at = i32::try_from(LEFT + AXIS).unwrap_or(0) + 6;
        text(area, "× failed, or too few acks for this figure", (at, 30), REMARK);
    }
}
