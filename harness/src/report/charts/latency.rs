//! Chart 1: the latency at every percentile, on HDR's axis where each step is another nine. Every trial has its line.

use super::{Area, COLOURS, INK, PALE, axes, drawn, failed, font, legend, note, text};
use crate::measure::recorder::Measure;
use crate::num;
use crate::result::{Point, Recording, TrialRecord};
use crate::workload::PassKind;
use hdrhistogram::Histogram;
use plotters::prelude::*;

const HEIGHT: u32 = 420;
/// A percentile is drawn while at least this many acks lie beyond it, as in the tables: half an ack of slack, since
/// 1 − 0.99 is a hair below 0.01.
const ACKS_BEYOND_MIN: f64 = 9.5;
/// Points a nine.
const STEPS: u32 = 60;
const NINES_MAX: u32 = 6;

/// The line of one trial: (−log10 of the share beyond, ns).
struct Line {
    point: usize,
    curve: Vec<(f64, f64)>,
}

pub(super) fn draw(recording: &Recording) -> anyhow::Result<String> {
    let points = &recording.result.points;
    let named: Vec<_> = points.iter().map(|point| headline(point).name().replace('_', " ")).collect();
    let mut names = named.clone();
    names.dedup();
    let title = format!("{} time by percentile", names.join(" and "));
    drawn(recording, &title, HEIGHT, |area| {
        let lines = lines(recording);
        if lines.is_empty() {
            note(area, "no latency was measured");
            return Ok(());
        }
        plot(area, &lines)?;
        let labels: Vec<String> = points
            .iter()
            .zip(&named)
            .map(|(point, name)| format!("{name}, {}", super::facts::point_name(point)))
            .collect();
        let entries: Vec<(&str, RGBColor)> = labels
            .iter()
            .enumerate()
            .map(|(index, label)| (label.as_str(), COLOURS[index % COLOURS.len()]))
            .collect();
        legend(area, &entries);
        if points.iter().any(|point| headline(point) == Measure::Service) {
            let why = "under max and closed nothing is due at a time, so service (accepted → ack) is drawn";
            text(area, why, (16, 8), (12, PALE));
        }
        Ok(())
    })
}

/// What the chart is about under a load.
pub(super) const fn headline(point: &Point) -> Measure {
    match point.pass {
        PassKind::Open => Measure::Response,
        PassKind::Max | PassKind::Closed => Measure::Service,
    }
}

fn lines(recording: &Recording) -> Vec<Line> {
    let points = recording.result.points.iter().enumerate();
    points
        .flat_map(|(index, point)| {
            let records = recording.trials.iter().filter(move |record| record.point == index);
            records.map(move |record| {
                let trial = point.trials.get(record.trial);
                let records_per_ack = trial.and_then(|trial| trial.batches.records_mean).unwrap_or(1.0);
                Line { point: index, curve: curve(record, headline(point), records_per_ack.max(1.0)) }
            })
        })
        .filter(|line| line.curve.len() > 1)
        .collect()
}

fn curve(record: &TrialRecord, measure: Measure, records_per_ack: f64) -> Vec<(f64, f64)> {
    let mut parts = record.latency.iter().filter_map(|kept| kept.histogram(measure));
    let Some(mut total) = parts.next() else { return Vec::new() };
    for part in parts {
        // All were made by the same recorder with the same bounds.
        let _ = total.add(&part);
    }
    percentiles(&total, records_per_ack)
}

/// Records of one batch share one ack: a thousand of them in the tail are one observation. The log of histograms has records
/// only, so acks are told by the mean batch; the tables' figures come from acks that were counted.
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
        .x_desc("percentile (each step another nine), as far as about ten acks lie beyond")
        .x_label_formatter(&|nines| percentile_name(*nines))
        .y_label_formatter(&axes::ns_text);
    mesh.draw().map_err(failed)?;
    for line in lines {
        let colour = COLOURS[line.point % COLOURS.len()];
        let series = LineSeries::new(line.curve.iter().copied(), colour.mix(0.8).stroke_width(2));
        chart.draw_series(series).map_err(failed)?;
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

/// `0 %`, `90 %`, `99 %`, `99.9 %`…; nothing between them.
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
