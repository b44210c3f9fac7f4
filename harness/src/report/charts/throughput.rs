//! Chart 2: offered, acked and consumed rates over time, with the ceiling as a band and the backlog below.

use super::{
    Area, BLUE, Head, INK, Moment, ORANGE, PALE, PURPLE, Panels, Shown, VERMILION, axes, count_text, failed,
    legend, number_text, shade_outside_window, stretches, text, widest,
};
use crate::num;
use crate::result::{Recording, SeriesRow};
use plotters::prelude::*;
use std::ops::Range;

const TITLE: &str = "throughput over time";
const PANEL_HEIGHT: u32 = 330;
const BACKLOG_HEIGHT: u32 = 86;
/// A ceiling that is more than 1 / this share above everything else is named instead of drawn. Drawing it would flatten
/// the lines.
const CEILING_SHARE_MIN: f64 = 0.15;
/// With more intervals than this, wide lines would merge into a block.
const WIDE_ROWS_MAX: usize = 400;

pub(super) fn draw(recording: &Recording) -> anyhow::Result<String> {
    let shown = Shown::of_all(recording);
    let panels = Panels { head: &Head::of(&recording.result), legend: None, shown: &shown };
    panels.draw(TITLE, PANEL_HEIGHT, |area, shown| panel(area, shown, &Scale::of(std::iter::once(shown))))
}

/// Draws several runs on the same axes.
pub(super) fn overlay(panels: &Panels<'_, '_>) -> anyhow::Result<String> {
    let scale = Scale::of(panels.shown.iter());
    panels.draw(TITLE, PANEL_HEIGHT, |area, shown| panel(area, shown, &scale))
}

/// The ranges of both axes.
struct Scale {
    span: Range<f64>,
    /// Top of the rate axis, bytes per second. Ceilings that are drawn are below it.
    top: f64,
    /// Top of the backlog axis, records; `None` if there is no backlog.
    backlog_top: Option<f64>,
}

impl Scale {
    fn of<'s, 'a: 's>(shown: impl Iterator<Item = &'s Shown<'a>> + Clone) -> Self {
        let achieved = shown.clone().map(fastest).fold(1.0, f64::max);
        let bands = shown.clone().filter_map(|shown| drawn_band(shown, achieved));
        let backlog =
            shown.clone().flat_map(|shown| &shown.record.series).filter_map(|row| row.backlog_records);
        Self {
            top: bands.map(|(_, high)| high).fold(achieved, f64::max) * 1.06,
            backlog_top: backlog.max().map(|records| num::f64_of(records.max(1)) * 1.2),
            span: widest(shown.map(Shown::span)),
        }
    }

    /// Returns the unit of the axis: its bytes per second, and its name.
    fn unit(&self) -> (f64, &'static str) {
        if self.top >= 1e9 { (1_073_741_824.0, "GiB/s") } else { (1_048_576.0, "MiB/s") }
    }
}

fn panel(area: &Area<'_>, shown: &Shown<'_>, scale: &Scale) -> anyhow::Result<()> {
    let Some(backlog_top) = scale.backlog_top else { return rates(area, shown, scale) };
    let (upper, lower) = area.split_vertically(PANEL_HEIGHT - BACKLOG_HEIGHT);
    rates(&upper, shown, scale)?;
    backlog(&lower, shown, (&scale.span, backlog_top))
}

/// Returns the least and the greatest of the like-for-like slices around the trial, bytes per second.
fn band(shown: &Shown<'_>) -> Option<(f64, f64)> {
    let slices = &shown.trial.ceiling.write_slices_bytes_per_s;
    let low = slices.iter().copied().reduce(f64::min)?;
    Some((low, slices.iter().copied().fold(low, f64::max)))
}

/// Returns the log bytes per record. They are encoded bytes if the target reports them, because the ceiling's are, too.
fn record_bytes(shown: &Shown<'_>) -> f64 {
    let flow = &shown.trial.produce;
    let bytes = flow.encoded_bytes.unwrap_or(flow.bytes);
    if flow.records == 0 { 0.0 } else { num::f64_of(bytes) / num::f64_of(flow.records) }
}

/// Returns the bytes per second that `count` of a row's records stand for.
fn rate(shown: &Shown<'_>, row: &SeriesRow, count: u64) -> f64 {
    if row.interval_s > 0.0 { num::f64_of(count) * record_bytes(shown) / row.interval_s } else { 0.0 }
}

/// Returns the greatest rate that was offered or achieved, bytes per second.
fn fastest(shown: &Shown<'_>) -> f64 {
    let of_row = |row: &SeriesRow| rate(shown, row, row.achieved.max(row.offered.unwrap_or(0)));
    shown.record.series.iter().map(of_row).fold(0.0, f64::max)
}

/// Returns the ceiling, unless it would flatten the lines below it.
fn drawn_band(shown: &Shown<'_>, achieved: f64) -> Option<(f64, f64)> {
    band(shown).filter(|(low, _)| achieved >= low * CEILING_SHARE_MIN)
}

fn rates(area: &Area<'_>, shown: &Shown<'_>, scale: &Scale) -> anyhow::Result<()> {
    let rows = &shown.record.series;
    let ((unit, name), top, span) = (scale.unit(), scale.top, scale.span.clone());
    let has_time_axis = scale.backlog_top.is_none();
    let band = band(shown);
    let drawn_band = band.filter(|(_, high)| *high <= top);
    let mut chart = axes::plot(area, (axes::HEAD, if has_time_axis { axes::X_AXIS } else { 8 }))
        .build_cartesian_2d(span.clone(), 0.0..top / unit)
        .map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    axes::quiet(&mut mesh);
    mesh.x_labels(0).y_labels(6).y_desc(name).y_label_formatter(&|rate| number_text(*rate));
    if has_time_axis {
        axes::of_time(&mut mesh);
    }
    mesh.draw().map_err(failed)?;
    shade_outside_window(&mut chart, (&span, shown.trial.window_s), (0.0, top / unit))?;
    if let Some((low, high)) = drawn_band {
        // A band without height could not be seen.
        let high = high.max(low + top * 0.004);
        let shade =
            Rectangle::new([(span.start, low / unit), (span.end, high / unit)], ORANGE.mix(0.3).filled());
        chart.draw_series(std::iter::once(shade)).map_err(failed)?;
    }
    let mut line = |colour: RGBAColor, width: u32, count: &dyn Fn(&SeriesRow) -> Option<u64>| {
        for points in stretches(rows, Moment::Middle, |row| Some(rate(shown, row, count(row)?) / unit)) {
            chart.draw_series(LineSeries::new(points, colour.stroke_width(width))).map_err(failed)?;
        }
        anyhow::Ok(())
    };
    line(INK.mix(0.7), 1, &|row| row.offered)?;
    // Wide and pale, because the consumed line is mostly on top.
    let width = if rows.len() > WIDE_ROWS_MAX { 1 } else { 5 };
    line(BLUE.mix(0.55), width, &|row| Some(row.achieved))?;
    if shown.trial.consume.is_some() {
        line(VERMILION.mix(1.0), 1, &|row| Some(row.consumed))?;
    }
    head(area, shown, (band, drawn_band.is_some()));
    Ok(())
}

fn head(area: &Area<'_>, shown: &Shown<'_>, (band, is_drawn): (Option<(f64, f64)>, bool)) {
    text(area, &shown.title(), (16, 6), (14, INK));
    let mut entries = Vec::new();
    if shown.trial.offered.is_some() {
        entries.push(("offered", INK));
    }
    entries.push(("acked", BLUE));
    if shown.trial.consume.is_some() {
        entries.push(("consumed", VERMILION));
    }
    if is_drawn {
        entries.push(("the bare disk with the same writes", ORANGE));
    }
    legend(area, &entries);
    if let Some((low, _)) = band.filter(|_| !is_drawn) {
        let beyond = format!("the bare disk with the same writes: {}", crate::quantity::bytes_per_s(low));
        text(area, &beyond, (108, 40), (12, PALE));
    }
}

fn backlog(area: &Area<'_>, shown: &Shown<'_>, (span, top): (&Range<f64>, f64)) -> anyhow::Result<()> {
    let rows = &shown.record.series;
    let levels = stretches(rows, Moment::End, |row| row.backlog_records.map(num::f64_of));
    let mut chart =
        axes::plot(area, (4, axes::X_AXIS)).build_cartesian_2d(span.clone(), 0.0..top).map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    axes::quiet(&mut mesh);
    axes::of_time(&mut mesh);
    mesh.y_labels(2).y_desc("backlog").y_label_formatter(&|count| count_text(*count));
    mesh.draw().map_err(failed)?;
    for points in levels {
        let level = AreaSeries::new(points, 0.0, PURPLE.mix(0.4)).border_style(PURPLE);
        chart.draw_series(level).map_err(failed)?;
    }
    let below = i32::try_from(BACKLOG_HEIGHT)? - 16;
    text(area, "backlog: records that are acked but not yet consumed", (16, below), (10, PALE));
    Ok(())
}
