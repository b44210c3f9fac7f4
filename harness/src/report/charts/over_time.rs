//! Chart 3: median, p99 and maximum over time, with what happened inside the target.

use super::latency::headline;
use super::{
    AXIS, Area, BLUE, COLOURS, GRID, INK, LEFT, Moment, ORANGE, PALE, RIGHT, Shown, VERMILION, axes,
    document, failed, legend, note, shade_outside_window, stretches, text,
};
use crate::num;
use crate::quantity;
use crate::result::{Recording, SeriesRow};
use plotters::prelude::*;
use std::collections::BTreeMap;

const PANEL_HEIGHT: u32 = 340;
const STRIP_ROW: u32 = 26;
/// Above this many events of a kind their marks would be a wall: their rate is drawn instead.
const MARKS_MAX: usize = 60;
/// Bars of a rate.
const BARS: u32 = 100;

pub(super) fn draw(recording: &Recording) -> anyhow::Result<String> {
    let points = recording.result.points.iter();
    let mut names: Vec<_> = points.map(|point| headline(point).name().replace('_', " ")).collect();
    names.dedup();
    let title = format!("{} time over time", names.join(" and "));
    document(recording, &title, PANEL_HEIGHT, panel)
}

/// When events of each kind happened, s since the window opened.
fn events<'a>(shown: &'a Shown<'_>) -> BTreeMap<&'a str, Vec<f64>> {
    let span = shown.span();
    let mut kinds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for event in shown.record.events.iter().filter(|event| span.contains(&event.t_s)) {
        kinds.entry(&event.kind).or_default().push(event.t_s);
    }
    kinds
}

fn panel(area: &Area<'_>, shown: &Shown<'_>) -> anyhow::Result<()> {
    let kinds = events(shown);
    let rows = u32::try_from(kinds.len())?;
    let strip = if rows == 0 { 0 } else { STRIP_ROW * rows + 8 };
    let (upper, lower) = area.split_vertically(PANEL_HEIGHT - strip);
    let head = format!("{}: {}", shown.title(), headline(shown.point).name().replace('_', " "));
    text(area, &head, (16, 6), (14, INK));
    lines(&upper, shown)?;
    for (row, (kind, times)) in kinds.iter().enumerate() {
        strip_row(&lower, shown, (row, kind, times))?;
    }
    Ok(())
}

fn lines(area: &Area<'_>, shown: &Shown<'_>) -> anyhow::Result<()> {
    let rows = &shown.record.series;
    let values = || rows.iter().flat_map(|row| [row.p50_ns, row.p99_ns, row.max_ns]).flatten();
    let Some(decades) = axes::decades(values().map(num::f64_of)) else {
        note(area, "no latency was measured");
        return Ok(());
    };
    let (low, high) = (decades.start, decades.end);
    let span = shown.span();
    let mut chart = axes::plot(area, (axes::HEAD, axes::X_AXIS))
        .build_cartesian_2d(span.clone(), decades.log_scale())
        .map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    axes::quiet(&mut mesh);
    axes::of_time(&mut mesh);
    mesh.y_label_formatter(&axes::ns_text);
    mesh.draw().map_err(failed)?;
    shade_outside_window(&mut chart, (&span, shown.trial.window_s), (low, high))?;
    for times in events(shown).values().filter(|times| times.len() <= MARKS_MAX) {
        let marks = times.iter().map(|t_s| PathElement::new([(*t_s, low), (*t_s, high)], INK.mix(0.1)));
        chart.draw_series(marks).map_err(failed)?;
    }
    let mut line = |colour: RGBColor, width: u32, ns: &dyn Fn(&SeriesRow) -> Option<u64>| {
        // In a stall nothing has a latency: a line across it would claim that all was well.
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

fn event_colour(row: usize) -> RGBColor {
    // The first two are taken by the lines.
    COLOURS[(row + 2) % COLOURS.len()]
}

/// One kind of event below the chart: a mark each, or their rate.
fn strip_row(
    area: &Area<'_>,
    shown: &Shown<'_>,
    (row, kind, times): (usize, &str, &[f64]),
) -> anyhow::Result<()> {
    let span = shown.span();
    let (left, right) = (f64::from(LEFT + AXIS), f64::from(area.dim_in_pixel().0 - RIGHT));
    let scale = (right - left) / (span.end - span.start);
    let pixel = |t_s: f64| i32::try_from(num::u64_of(left + (t_s - span.start) * scale)).unwrap_or(i32::MAX);
    let top = i32::try_from(STRIP_ROW)? * i32::try_from(row)?;
    let bottom = top + i32::try_from(STRIP_ROW)? - 5;
    let colour = event_colour(row);
    text(area, kind, (16, top), (12, colour));
    let base = PathElement::new([(pixel(span.start), bottom), (pixel(span.end), bottom)], GRID);
    area.draw(&base).map_err(failed)?;
    if times.len() <= MARKS_MAX {
        for t_s in times {
            let mark =
                Rectangle::new([(pixel(*t_s) - 1, top + 3), (pixel(*t_s) + 1, bottom)], colour.filled());
            area.draw(&mark).map_err(failed)?;
        }
        return Ok(());
    }
    let bar_s = (span.end - span.start) / f64::from(BARS);
    let counts: Vec<usize> = (0..BARS)
        .map(|bar| span.start + f64::from(bar) * bar_s)
        .map(|from| times.iter().filter(|t_s| (from..from + bar_s).contains(*t_s)).count())
        .collect();
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    for (bar, count) in (0..BARS).zip(counts).filter(|(_, count)| *count > 0) {
        let from = span.start + f64::from(bar) * bar_s;
        let share = num::f64_of(num::count(count)) / num::f64_of(num::count(most));
        let height = i32::try_from(num::u64_of(share * f64::from(bottom - top - 2))).unwrap_or(0);
        let corners = [(pixel(from), bottom - height), (pixel(from + bar_s) - 1, bottom)];
        area.draw(&Rectangle::new(corners, colour.filled())).map_err(failed)?;
    }
    let rate = num::f64_of(num::count(most)) / bar_s;
    let peak = format!("up to {}", quantity::per_s(rate));
    text(area, &peak, (16, top + 13), (10, PALE));
    Ok(())
}
