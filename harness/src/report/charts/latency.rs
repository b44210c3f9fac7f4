//! Chart 1: the latency at every percentile. On its axis, as on HdrHistogram's, each step adds another nine. Every
//! trial has its own line.

use super::flow::Legend;
use super::{Area, COLOURS, Head, INK, PALE, axes, drawn, failed, font, note, text};
use crate::num;
use crate::report::overlay::Overlay;
use crate::result::latency::Measure;
use crate::result::{Kind, Point, Recording, TrialRecord};
use crate::workload::PassKind;
use hdrhistogram::Histogram;
use plotters::prelude::*;
use std::collections::BTreeSet;

const HEIGHT: u32 = 420;
/// A percentile is drawn if at least ten acks lie beyond it, as in the tables. Half an ack is allowed for rounding,
/// because 1 − 0.99 is slightly less than 0.01.
const ACKS_BEYOND_MIN: f64 = 9.5;
/// Points per nine.
const STEPS: u32 = 60;
const NINES_MAX: u32 = 6;

/// The line of one trial: pairs of −log10 of the share beyond, and ns.
struct Line {
    colour: usize,
    /// Letter at the end of the line.
    tag: Option<char>,
    curve: Vec<(f64, f64)>,
}

/// The lines of one point, and their name.
struct Series<'a> {
    name: String,
    /// Index into [`COLOURS`].
    colour: usize,
    tag: Option<char>,
    recording: &'a Recording,
    point: usize,
}

pub(super) fn draw(recording: &Recording) -> anyhow::Result<String> {
    let points = &recording.result.points;
    // For a sweep, only the points whose latencies may be compared.
    let has_open = points.iter().any(|point| point.pass == PassKind::Open);
    let is_left_out =
        |point: &Point| recording.result.kind == Kind::Sweep && has_open && point.pass != PassKind::Open;
    let series = points.iter().enumerate().filter(|(_, point)| !is_left_out(point)).map(|(index, point)| {
        let name =
            format!("{}, {}", headline(point).name().replace('_', " "), super::facts::point_name(point));
        Series { name, colour: index, tag: None, recording, point: index }
    });
    document(&Head::of(&recording.result), &series.collect::<Vec<_>>())
}

/// Draws several runs on the same axes: those with an open load. The letter of each run is at the end of its longest
/// line.
pub(super) fn overlay(head: &Head, overlay: &Overlay<'_>) -> anyhow::Result<String> {
    let series = overlay.runs.iter().enumerate().filter_map(|(index, run)| {
        let (point, _) = run.open()?;
        Some(Series {
            name: overlay.label(index),
            colour: index,
            tag: Some(run.letter),
            recording: run.recording,
            point,
        })
    });
    document(head, &series.collect::<Vec<_>>())
}

fn document(head: &Head, series: &[Series<'_>]) -> anyhow::Result<String> {
    let measures: BTreeSet<&str> = series.iter().map(|series| headline(series.of()).name()).collect();
    let names: Vec<String> = measures.iter().map(|name| name.replace('_', " ")).collect();
    let title = format!("{} time by percentile", names.join(" and "));
    let legend = Legend::of(series.iter().map(|it| (it.name.clone(), it.colour)));
    drawn(head, &title, legend.height() + HEIGHT, |area| {
        let (upper, lower) = area.split_vertically(legend.height());
        legend.draw(&upper);
        let lines: Vec<Line> = series.iter().flat_map(Series::lines).collect();
        if lines.is_empty() {
            note(&lower, "no latency was measured");
            return Ok(());
        }
        plot(&lower, &lines)?;
        if measures.contains(Measure::Service.name()) {
            let why = "under max and closed, records have no due time, so service (accepted → ack) is drawn";
            text(&lower, why, (16, 8), (12, PALE));
        }
        Ok(())
    })
}

/// Returns the latency that is drawn for a load.
pub(super) const fn headline(point: &Point) -> Measure {
    match point.pass {
        PassKind::Open => Measure::Response,
        PassKind::Max | PassKind::Closed => Measure::Service,
    }
}

impl Series<'_> {
    fn of(&self) -> &Point {
        &self.recording.result.points[self.point]
    }

    /// Returns one line per trial. The longest one has the tag.
    fn lines(&self) -> Vec<Line> {
        let records = self.recording.trials.iter().filter(|record| record.point == self.point);
        let line = |record: &TrialRecord| {
            let trial = self.of().trials.get(record.trial);
            let records_per_ack = trial.and_then(|trial| trial.batches.records_mean).unwrap_or(1.0);
            Line {
                colour: self.colour,
                tag: None,
                curve: curve(record, headline(self.of()), records_per_ack.max(1.0)),
            }
        };
        let mut lines: Vec<Line> = records.map(line).filter(|line| line.curve.len() > 1).collect();
        if let Some(longest) = lines.iter_mut().max_by_key(|line| line.curve.len()) {
            longest.tag = self.tag;
        }
        lines
    }
}

fn curve(record: &TrialRecord, measure: Measure, records_per_ack: f64) -> Vec<(f64, f64)> {
    let mut parts = record.latency.iter().filter_map(|kept| kept.histogram(measure));
    let Some(mut total) = parts.next() else { return Vec::new() };
    for part in parts {
        // All were made by the same recorder with the same bounds, so adding cannot fail.
        let _ = total.add(&part);
    }
    percentiles(&total, records_per_ack)
}

/// Returns the percentiles that can be drawn.
///
/// Records of one batch share one ack: a thousand of them in the tail are one observation. The log of histograms counts
/// records only, so the number of acks is estimated with the mean batch. The figures in the tables come from acks that
/// were counted.
fn percentiles(histogram: &Histogram<u64>, records_per_ack: f64) -> Vec<(f64, f64)> {
    let acks = num::f64_of(histogram.len()) / records_per_ack;
    (0..=NINES_MAX * STEPS)
        .map(|step| f64::from(step) / f64::from(STEPS))
        .map(|nines| (nines, 10.0_f64.powf(-nines)))
        .take_while(|(_, beyond)| acks * beyond >= ACKS_BEYOND_MIN)
        .map(|(nines, beyond)| (nines, num::f64_of(histogram.value_at_quantile(1.0 - beyond).max(1))))
        .collect()
}

fn plot(area: &Area<'_>, lines: &[Line]) -> anyhow::Result<()> {
    let points = || lines.iter().flat_map(|line| &line.curve);
    let right = points().map(|(nines, _)| *nines).fold(1.0, f64::max);
    let Some(decades) = axes::decades(points().map(|(_, ns)| *ns)) else { return Ok(()) };
    let (low, high) = (decades.start, decades.end);
    let mut chart = axes::plot(area, (axes::HEAD, axes::X_AXIS))
        .build_cartesian_2d(0.0..right.ceil(), decades.log_scale())
        .map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    axes::pale(&mut mesh);
    mesh.max_light_lines(0)
        .x_labels(num::index_of_f64(right.ceil()) + 1)
        .x_desc("percentile (each step adds a nine; drawn while about ten acks lie beyond)")
        .x_label_formatter(&|nines| percentile_name(*nines))
        .y_label_formatter(&axes::ns_text);
    mesh.draw().map_err(failed)?;
    for line in lines {
        let colour = COLOURS[line.colour % COLOURS.len()];
        let series = LineSeries::new(line.curve.iter().copied(), colour.mix(0.8).stroke_width(2));
        chart.draw_series(series).map_err(failed)?;
        if let (Some(tag), Some((nines, ns))) = (line.tag, line.curve.last()) {
            let style = font(12).color(&colour);
            let tag = Text::new(tag.to_string(), (nines + 0.01 * right, ns * 1.1), style);
            chart.draw_series(std::iter::once(tag)).map_err(failed)?;
        }
    }
    for (nines, name) in [(std::f64::consts::LOG10_2, "median"), (2.0, "p99"), (3.0, "p99.9")] {
        if nines < right {
            let at = PathElement::new([(nines, low), (nines, high)], INK.mix(0.25));
            chart.draw_series(std::iter::once(at)).map_err(failed)?;
            let style = font(11).color(&PALE);
            let label = Text::new(name, (nines + 0.02 * right / 4.0, high * 0.9), style);
            chart.draw_series(std::iter::once(label)).map_err(failed)?;
        }
    }
    Ok(())
}

/// Returns `0 %`, `90 %`, `99 %`, `99.9 %`…, and no name between them.
fn percentile_name(nines: f64) -> String {
    let whole = nines.round();
    if (nines - whole).abs() > 1e-6 {
        return String::new();
    }
    let decimals = num::index_of_f64((whole - 2.0).max(0.0));
    format!("{:.decimals$} %", 100.0 * (1.0 - 10.0_f64.powf(-whole)))
}

#[cfg(test)]
mod tests {
    use super::percentile_name;

    #[test]
    fn each_step_is_another_nine() {
        let names: Vec<String> = [0.0, 1.0, 1.5, 2.0, 3.0, 5.0].map(percentile_name).into();
        assert_eq!(names, ["0 %", "90 %", "", "99 %", "99.9 %", "99.999 %"]);
    }
}
