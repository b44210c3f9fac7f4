//! Chart 3: median, p99 and maximum over time, with the events inside the target.

use super::events::{self, Kind};
use super::latency::headline;
use super::{
    Area, BLUE, Head, INK, Moment, ORANGE, Panels, Shown, VERMILION, axes, failed, legend, note,
    shade_outside_window, stretches, text, widest,
};
use crate::num;
use crate::result::{Recording, SeriesRow};
use plotters::prelude::*;
use std::ops::Range;

/// Height of a panel without the rows of its events, pixels.
const PANEL_HEIGHT: u32 = 310;

pub(super) fn draw(recording: &Recording) -> anyhow::Result<String> {
    let shown = Shown::of_all(recording);
    let panels = Panels { head: &Head::of(&recording.result), legend: None, shown: &shown };
    draw_panels(&panels, |shown| Scale::of(std::iter::once(shown)))
}

/// Draws several runs on the same axes.
pub(super) fn overlay(panels: &Panels<'_, '_>) -> anyhow::Result<String> {
    draw_panels(panels, |_| Scale::of(panels.shown.iter()))
}

fn draw_panels(panels: &Panels<'_, '_>, scale: impl Fn(&Shown<'_>) -> Scale) -> anyhow::Result<String> {
    let mut names: Vec<_> =
        panels.shown.iter().map(|shown| headline(shown.point).name().replace('_', " ")).collect();
    names.dedup();
    let title = format!("{} time over time", names.join(" and "));
    // All panels are as high as the one with the most kinds of events.
    let rows = |shown: &Shown<'_>| events::height(&events::kinds(&shown.record.events, &scale(shown).span));
    let height = PANEL_HEIGHT + panels.shown.iter().map(rows).max().unwrap_or(0);
    panels.draw(&title, height, |area, shown| panel(area, shown, &scale(shown)))
}

/// The ranges of both axes.
struct Scale {
    span: Range<f64>,
    /// Range of the latency axis, ns; `None` if there is no latency.
    decades: Option<Range<f64>>,
}

impl Scale {
    fn of<'s, 'a: 's>(shown: impl Iterator<Item = &'s Shown<'a>> + Clone) -> Self {
        let rows = shown.clone().flat_map(|shown| &shown.record.series);
        let values = rows.flat_map(|row| [row.p50_ns, row.p99_ns, row.max_ns]).flatten();
        Self { span: widest(shown.map(Shown::span)), decades: axes::decades(values.map(num::f64_of)) }
    }
}

fn panel(area: &Area<'_>, shown: &Shown<'_>, scale: &Scale) -> anyhow::Result<()> {
    let kinds = events::kinds(&shown.record.events, &scale.span);
    let (upper, lower) = area.split_vertically(PANEL_HEIGHT);
    let head = format!("{}: {}", shown.title(), headline(shown.point).name().replace('_', " "));
    text(area, &head, (16, 6), (14, INK));
    lines(&upper, shown, scale, &kinds)?;
    events::rows(&lower, &kinds, &scale.span)
}

fn lines(area: &Area<'_>, shown: &Shown<'_>, scale: &Scale, kinds: &[Kind<'_>]) -> anyhow::Result<()> {
    let rows = &shown.record.series;
    let Some(decades) = scale.decades.clone() else {
        note(area, "no latency was measured");
        return Ok(());
    };
    let (low, high) = (decades.start, decades.end);
    let mut chart = axes::plot(area, (axes::HEAD, axes::X_AXIS))
        .build_cartesian_2d(scale.span.clone(), decades.log_scale())
        .map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    axes::quiet(&mut mesh);
    axes::of_time(&mut mesh);
    mesh.y_label_formatter(&axes::ns_text);
    mesh.draw().map_err(failed)?;
    shade_outside_window(&mut chart, (&scale.span, shown.trial.window_s), (low, high))?;
    events::mark(&mut chart, kinds, &scale.span, (low, high))?;
    let mut line = |colour: RGBColor, width: u32, ns: &dyn Fn(&SeriesRow) -> Option<u64>| {
        // During a stall nothing has a latency. A line across it would claim that all was well.
        for points in stretches(rows, Moment::Middle, |row| Some(num::f64_of(ns(row)?.max(1)))) {
            chart.draw_series(LineSeries::new(points, colour.stroke_width(width))).map_err(failed)?;
        }
        anyhow::Ok(())
    };
    line(ORANGE, 1, &|row| row.max_ns)?;
    line(VERMILION, 2, &|row| row.p99_ns)?;
    line(BLUE, 2, &|row| row.p50_ns)?;
    legend(area, &[("p50", BLUE), ("p99", VERMILION), ("max", ORANGE)]);
    Ok(())
}
