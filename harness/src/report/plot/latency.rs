//! Chart 1: the latency at every percentile. On its axis, as on HdrHistogram's, each step adds another nine. Every
//! trial has its own line, which ends where fewer than ten acks lie beyond; a ring is the worst record.

use super::NotDrawn;
use super::axis;
use super::head::Head;
use super::shown::{BOUNDS, Certainty, headline, name_of, ns, parts, records_per_ack};
use super::value::{
    Axes, Axis, Colour, Key, Label, Look, Mark, Panel, Part, Plot, Scale, Series, Shape, Side, Size, Symbol,
    Tick, Weight,
};
use crate::num;
use crate::report::facts;
use crate::report::overlay::Overlay;
use crate::result::latency::percentile::{Percentile, is_known_by_rank};
use crate::result::latency::{Counting, Measure, new_histogram};
use crate::result::{Kind, Point, Recording, TrialRecord};
use crate::workload::PassKind;

const NAME: &str = "latency";
/// Points per nine.
const STEPS: u32 = 40;
const NINES_MAX: u32 = 9;
/// The reason why a sweep without an open load has no chart of latencies.
pub(super) const NOT_COMPARED: &str = "under `max` and `closed` no latency is compared between settings: there a latency is just records in flight ÷ throughput";

/// The line of one trial: pairs of −log10 of the share beyond, and ns.
struct Line {
    curve: Vec<(f64, f64)>,
    /// For each pair, whether the percentile is only a bound.
    bounds: Vec<bool>,
    /// The worst record.
    worst: (f64, f64),
}

/// The latencies of a whole trial.
struct Whole {
    /// The percentile at each step, while it is known.
    known: Vec<Option<Percentile>>,
    /// Number of distinct acks.
    acks: f64,
    /// The worst record, ns.
    max_ns: u64,
}

/// The lines of one point, and their name.
struct Group<'a> {
    /// The point's settings, or the run's label; empty if there is nothing to tell apart.
    name: String,
    /// The point's load; empty if the name says it.
    load: String,
    colour: Colour,
    /// Letter at the end of the longest line.
    tag: Option<char>,
    recording: &'a Recording,
    point: usize,
}

/// Returns the chart of one result.
pub(super) fn plot(recording: &Recording) -> Result<Plot, NotDrawn> {
    let points = &recording.result.points;
    let is_shown = |point: &Point| recording.result.kind == Kind::Run || point.pass == PassKind::Open;
    let shown = points.iter().enumerate().filter(|(_, point)| is_shown(point));
    let groups: Vec<Group<'_>> = shown
        .enumerate()
        .map(|(colour, (point, it))| Group {
            name: facts::point_settings(it),
            load: facts::load(it),
            colour: Colour::of_series(colour),
            tag: None,
            recording,
            point,
        })
        .collect();
    if groups.is_empty() && !points.is_empty() {
        return Err(NotDrawn::because(NOT_COMPARED));
    }
    document(&Head::of(&recording.result), "Latency by percentile", &groups)
}

/// Returns the chart of several runs on the same axes: those with an open load. The letter of each run is at the end of
/// its longest line.
pub(super) fn overlay(head: &Head, alt: &'static str, overlay: &Overlay<'_>) -> Result<Plot, NotDrawn> {
    let groups = overlay.runs.iter().enumerate().filter_map(|(index, run)| {
        let (point, _) = run.open()?;
        Some(Group {
            name: overlay.label(index),
            load: String::new(),
            colour: Colour::of_series(index),
            tag: Some(run.letter),
            recording: run.recording,
            point,
        })
    });
    document(head, alt, &groups.collect::<Vec<_>>())
}

fn document(head: &Head, alt: &'static str, groups: &[Group<'_>]) -> Result<Plot, NotDrawn> {
    let mut measures: Vec<Measure> = Vec::new();
    for measure in groups.iter().map(Group::measure) {
        if !measures.contains(&measure) {
            measures.push(measure);
        }
    }
    // Response and service are different times, so they do not share axes. Response stands first.
    measures.sort_by_key(|measure| *measure != Measure::Response);
    let panels = measures.iter().filter_map(|measure| {
        let own: Vec<&Group<'_>> = groups.iter().filter(|group| group.measure() == *measure).collect();
        panel(*measure, &own, measures.len() > 1)
    });
    let panels: Vec<Panel> = panels.collect();
    if panels.is_empty() {
        return Err(NotDrawn::because("no latency was measured"));
    }
    let names: Vec<String> = measures.iter().map(|measure| name_of(*measure)).collect();
    let title = format!("{} time by percentile", names.join(" and "));
    let mut notes = vec![
        "each line is a trial and ends where fewer than ten acks lie beyond it; a ring is the trial's worst record"
            .to_owned(),
    ];
    if groups.iter().any(|group| group.has_bounds()) {
        notes.push(BOUNDS.to_owned());
    }
    Ok(Plot { notes, panels, ..head.plot(NAME, alt, &title) })
}

fn panel(measure: Measure, groups: &[&Group<'_>], is_one_of_several: bool) -> Option<Panel> {
    let lines: Vec<(&Group<'_>, Vec<Line>)> = groups.iter().map(|group| (*group, group.lines())).collect();
    let every = || lines.iter().flat_map(|(_, lines)| lines);
    let points = every().flat_map(|line| line.curve.iter().chain([&line.worst]));
    let y = axis::latency(points.clone().map(|(_, ns)| *ns))?;
    let x = nines(points.map(|(nines, _)| *nines).fold(1.0, f64::max));
    let mut axes = Axes {
        size: Size::Tall,
        marks: named(&x),
        x,
        y,
        bands: Vec::new(),
        series: Vec::new(),
        labels: Vec::new(),
    };
    for (group, lines) in &lines {
        axes.series.extend(series(group, lines));
        let longest = lines.iter().max_by(|a, b| a.worst.0.total_cmp(&b.worst.0));
        if let (Some(tag), Some(line)) = (group.tag, longest) {
            let side = Side::Right;
            axes.labels.push(Label { at: line.worst, text: tag.to_string(), colour: group.colour, side });
        }
    }
    let drawn: Vec<&Group<'_>> =
        lines.iter().filter(|(_, lines)| !lines.is_empty()).map(|(group, _)| *group).collect();
    let (title, keys) = legend(measure, &drawn, is_one_of_several);
    let mut panel = Panel { title, keys, parts: vec![Part::Axes(axes)], ..Panel::default() };
    if measure == Measure::Service {
        let why = "under max and closed, records have no due time, so service (accepted → ack) is drawn";
        panel.notes.push(why.to_owned());
    }
    Some(panel)
}

/// Returns the title and the legend of a panel. A load that all groups share is in the title.
fn legend(measure: Measure, groups: &[&Group<'_>], is_one_of_several: bool) -> (String, Vec<Key>) {
    let measure = name_of(measure);
    let first = groups.first().map_or("", |group| &group.load);
    let is_common = !first.is_empty() && groups.iter().all(|group| group.load == first);
    let joined = |group: &Group<'_>| {
        let parts = [group.name.as_str(), if is_common { "" } else { &group.load }];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    };
    let keys =
        groups.iter().map(|group| Key { name: joined(group), colour: group.colour, symbol: Symbol::Line });
    let keys = keys.filter(|key| !key.name.is_empty()).collect();
    let title = match (is_common, is_one_of_several) {
        (true, _) => format!("{measure}, {first}"),
        (false, true) => measure,
        (false, false) => String::new(),
    };
    (title, keys)
}

/// Returns the series of a group: what joins each line to its worst record and the parts that are bounds, the other parts, and
/// the worst records.
fn series(group: &Group<'_>, lines: &[Line]) -> [Series; 3] {
    let of = |look| Series::new(group.name.clone(), group.colour, look);
    let join = |line: &Line| line.curve.last().map(|last| vec![*last, line.worst]);
    [
        of(Look::Line(Weight::Faint)).with(
            lines
                .iter()
                .filter_map(join)
                .chain(lines.iter().flat_map(|line| parts(&line.curve, &line.bounds, Certainty::Bound)))
                .collect(),
        ),
        of(Look::Line(Weight::Normal))
            .with(lines.iter().flat_map(|line| parts(&line.curve, &line.bounds, Certainty::Exact)).collect()),
        of(Look::Rings(Shape::Circle)).with(vec![lines.iter().map(|line| line.worst).collect()]),
    ]
}

impl Group<'_> {
    /// Whether any percentile of the group is only a bound.
    fn has_bounds(&self) -> bool {
        let figures = self.of().trials.iter().filter_map(|trial| trial.latency_ns.of(self.measure()));
        figures.into_iter().any(|figures| !figures.bounds.is_empty())
    }

    fn of(&self) -> &Point {
        &self.recording.result.points[self.point]
    }

    fn measure(&self) -> Measure {
        headline(self.of())
    }

    /// Returns one line per trial.
    fn lines(&self) -> Vec<Line> {
        let records = self.recording.trials.iter().filter(|record| record.point == self.point);
        records.filter_map(|record| self.line(record)).collect()
    }

    fn line(&self, record: &TrialRecord) -> Option<Line> {
        let measure = self.measure();
        let whole = |counting| record.histograms.histogram(measure, counting);
        let (records, distinct) = (whole(Counting::Records), whole(Counting::Distinct));
        let Whole { known, acks, max_ns } = match (records, distinct) {
            (Some(records), Some(distinct)) => {
                let figures =
                    self.of().trials.get(record.trial).and_then(|trial| trial.latency_ns.of(measure));
                let censored_from = figures.and_then(|figures| figures.censored_from);
                // A lower bound is known without acks, but not beyond the last record.
                let steps = steps(num::f64_of(records.len()).max(1.0).log10());
                let quantiles: Vec<f64> = steps.map(quantile_of).collect();
                let known = record.histograms.at_quantiles(measure, &quantiles, censored_from);
                Whole { known, acks: num::f64_of(distinct.len()), max_ns: records.max() }
            }
            _ => self.estimated(record, measure)?,
        };
        let known: Vec<Percentile> = known.into_iter().map_while(|percentile| percentile).collect();
        let curve: Vec<(f64, f64)> =
            steps(f64::from(NINES_MAX)).zip(&known).map(|(at, it)| (at, ns(it.ns))).collect();
        let last = curve.last().filter(|_| curve.len() > 1)?;
        let worst = (acks.max(1.0).log10().clamp(last.0, f64::from(NINES_MAX)), ns(max_ns));
        let bounds = known.iter().map(|percentile| percentile.bound.is_some()).collect();
        Some(Line { curve, bounds, worst })
    }

    /// Returns the latencies of a trial of a result of schema version 1.
    ///
    /// Records of one batch share one ack: a thousand of them in the tail are one observation. Such results keep
    /// histograms of records only, so the number of acks is estimated with the mean batch.
    fn estimated(&self, record: &TrialRecord, measure: Measure) -> Option<Whole> {
        let per_ack = self.of().trials.get(record.trial).map_or(1.0, records_per_ack);
        let mut total = new_histogram();
        for part in record.latency.iter().filter_map(|kept| kept.histogram(measure)) {
            // All were made by the same recorder with the same bounds, so adding cannot fail.
            let _ = total.add(&part);
        }
        let acks = num::f64_of(total.len()) / per_ack;
        let at = |quantile| Percentile { ns: total.value_at_quantile(quantile), bound: None };
        let known = |quantile| is_known_by_rank(acks, quantile).then(|| at(quantile));
        let known = steps(f64::from(NINES_MAX)).map(quantile_of).map(known).collect();
        (!total.is_empty()).then_some(Whole { known, acks, max_ns: total.max() })
    }
}

/// Returns the places of a curve up to `right` nines.
fn steps(right: f64) -> impl Iterator<Item = f64> {
    let steps = (0..=NINES_MAX * STEPS).map(|step| f64::from(step) / f64::from(STEPS));
    steps.take_while(move |nines| *nines <= right)
}

fn quantile_of(nines: f64) -> f64 {
    1.0 - 10.0_f64.powf(-nines)
}

/// Returns the axis of percentiles up to `right` nines.
fn nines(right: f64) -> Axis {
    let whole = (0..=NINES_MAX).map(f64::from).take_while(|nines| *nines <= right + 1e-9);
    Axis {
        scale: Scale::Linear,
        low: 0.0,
        // The worst record stands a little before the end, so that its ring and its letter are whole.
        high: right * 1.03,
        ticks: whole.map(|nines| Tick { at: nines, label: percentile_name(nines) }).collect(),
        title: "percentile (each step adds a nine)".to_owned(),
        has_grid: true,
    }
}

/// Returns marks for the percentiles that people ask for.
fn named(x: &Axis) -> Vec<Mark> {
    let named = [(std::f64::consts::LOG10_2, "median"), (2.0, "p99"), (3.0, "p99.9")];
    let inside = named.into_iter().filter(|(nines, _)| *nines < x.high);
    inside.map(|(x, label)| Mark { x, label: label.to_owned(), colour: Colour::Pale }).collect()
}

/// Returns `0 %`, `90 %`, `99 %`, `99.9 %`….
fn percentile_name(nines: f64) -> String {
    let decimals = num::index_of_f64((nines - 2.0).max(0.0));
    format!("{:.decimals$} %", 100.0 * (1.0 - 10.0_f64.powf(-nines)))
}

#[cfg(test)]
mod tests {
    use super::{nines, percentile_name};

    #[test]
    fn each_step_is_another_nine() {
        let names: Vec<String> = [0.0, 1.0, 2.0, 3.0, 5.0].map(percentile_name).into();
        assert_eq!(names, ["0 %", "90 %", "99 %", "99.9 %", "99.999 %"]);
        let axis = nines(4.6);
        assert_eq!(axis.ticks.last().map(|tick| tick.label.as_str()), Some("99.99 %"));
    }
}
