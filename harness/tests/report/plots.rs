//! Charts as values, without pixels: axes hold their values, and nothing is drawn that was not measured.

use crate::sample::{self, MAX, OPEN, PassSpec};
use crate::sweeps::sweep;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;
use vnotch::report::plot::value::{
    Axes, Axis, BandKind, CellContent, Look, Panel, Part, Plot, RowContent, Scale, Series, Weight,
};
use vnotch::report::plot::{Chart, NotDrawn, all};
use vnotch::result::{BacklogFigures, Bound, Event, Flow, Kind, Recording, Trial, TrialRecord};
use vnotch::workload::BacklogCache;

pub(crate) fn plots(recording: &Recording) -> Vec<Plot> {
    let drawn = all(recording).into_iter().filter_map(|chart| match chart {
        Chart::Plot(plot) => Some(*plot),
        Chart::NotDrawn(reason) => {
            assert!(!reason.is_fault, "{reason:?}");
            assert!(!reason.what.is_empty() && !reason.reason.is_empty(), "{reason:?}");
            None
        }
    });
    drawn.collect()
}

pub(crate) fn plot(recording: &Recording, name: &str) -> Option<Plot> {
    plots(recording).into_iter().find(|plot| plot.name == name)
}

/// Returns why a chart is not drawn.
pub(crate) fn reason(recording: &Recording, what: &str) -> Option<String> {
    all(recording).into_iter().find_map(|chart| match chart {
        Chart::NotDrawn(NotDrawn { what: own, reason, .. }) if own == what => Some(reason),
        _ => None,
    })
}

#[track_caller]
fn is_sound_axis(axis: &Axis) {
    assert!(axis.high > axis.low && axis.low.is_finite() && axis.high.is_finite(), "{axis:?}");
    assert!(axis.ticks.iter().all(|tick| axis.holds(tick.at)), "{axis:?}");
    assert!(axis.ticks.windows(2).all(|pair| pair[0].at < pair[1].at), "{axis:?}");
    assert!(axis.scale == Scale::Linear || axis.low > 0.0, "a log axis has no place for 0: {axis:?}");
    if axis.scale == Scale::Log {
        assert!(axis.high >= axis.low * 2.0, "{axis:?}");
    }
}

/// Checks what holds for every pair of axes.
#[track_caller]
fn are_sound_axes(axes: &Axes) {
    is_sound_axis(&axes.x);
    is_sound_axis(&axes.y);
    let labels: Vec<&String> = axes.y.ticks.iter().map(|tick| &tick.label).collect();
    assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len(), "labels differ: {labels:?}");
    assert!(labels.len() >= 2, "{labels:?}");
    for series in &axes.series {
        for (x, y) in series.values() {
            assert!(x.is_finite() && y.is_finite(), "{series:?}");
            assert!(axes.x.holds(x), "{x} is not on {:?}", axes.x);
            assert!(axes.y.holds(y), "{y} of {} is not on {:?}", series.name, axes.y);
        }
        let is_line = matches!(series.look, Look::Line(_) | Look::Area);
        assert!(!is_line || series.stretches.iter().all(|stretch| stretch.len() > 1), "{series:?}");
    }
    for band in &axes.bands {
        assert!(axes.x.holds(band.x.0) && axes.x.holds(band.x.1) && band.x.0 <= band.x.1, "{band:?}");
        let (low, high) = band.y.unwrap_or((axes.y.low, axes.y.high));
        assert!(axes.y.holds(low) && axes.y.holds(high) && low <= high, "{band:?}");
    }
    assert!(axes.marks.iter().all(|mark| axes.x.holds(mark.x)), "{:?}", axes.marks);
    assert!(axes.labels.iter().all(|label| axes.x.holds(label.at.0) && axes.y.holds(label.at.1)));
}

/// Checks what holds for every chart.
#[track_caller]
pub(crate) fn is_sound(plot: &Plot) {
    assert!(!plot.panels.is_empty() && !plot.footer.is_empty() && !plot.verdict.is_empty(), "{plot:?}");
    let mut has_values = false;
    for part in plot.panels.iter().flat_map(|panel| &panel.parts) {
        match part {
            Part::Axes(axes) => {
                are_sound_axes(axes);
                has_values |= axes.series.iter().any(|series| series.values().next().is_some());
            }
            Part::Rows(rows) => {
                let is_inside = |t_s: f64| t_s >= rows.x.0 && t_s <= rows.x.1;
                for row in &rows.rows {
                    match &row.content {
                        RowContent::Events(events) => {
                            assert!(events.iter().all(|(from, to)| is_inside(*from) && is_inside(*to)));
                        }
                        RowContent::Rate { bars, .. } => {
                            assert!(bars.iter().all(|(_, _, share)| (0.0..=1.0).contains(share)));
                        }
                    }
                }
            }
            Part::Map(map) => {
                has_values = true;
                for cell in &map.cells {
                    assert!(cell.column < map.across.1.len() && cell.row < map.down.1.len());
                    if let CellContent::Value { shade, .. } = &cell.content {
                        assert!((0.0..=1.0).contains(shade));
                    }
                }
            }
        }
    }
    assert!(has_values, "a chart with nothing to show is not drawn: {plot:?}");
}

fn panel(plot: &Plot) -> &Panel {
    &plot.panels[0]
}

fn axes(plot: &Plot) -> &Axes {
    plot.axes().next().unwrap()
}

fn series<'a>(axes: &'a Axes, name: &str) -> Option<&'a Series> {
    axes.series.iter().find(|series| series.name == name)
}

fn greatest(series: &Series) -> f64 {
    series.values().map(|(_, y)| y).fold(0.0, f64::max)
}

/// Returns a recording whose consumers worked off a backlog of 1040 B records while nothing was produced.
fn catch_up() -> Recording {
    let mut recording = sample::recording(&[PassSpec { trials: 1, ..MAX }]);
    let trial = &mut recording.result.points[0].trials[0];
    (trial.produce, trial.latency_ns) = (Flow::over(10.0, 0, 0, Some(0)), Default::default());
    trial.ceiling.write_slices_bytes_per_s.clear();
    trial.ceiling.read_bytes_per_s = Some(1.9e9);
    trial.backlog = Some(BacklogFigures {
        built_records: 8_000_000,
        built_bytes: 8 << 30,
        build_s: 12.0,
        cache: BacklogCache::Cold,
        is_drained: true,
        from_disk: Some(0.98),
    });
    let record = &mut recording.trials[0];
    (record.latency, record.histograms) = (Vec::new(), Default::default());
    record.series.retain(|row| row.t_s > -1e-9);
    for row in &mut record.series {
        (row.achieved, row.p50_ns, row.p99_ns, row.max_ns) = (0, None, None, None);
    }
    recording
}

#[test]
fn the_charts_of_all_kinds_of_results_are_sound() {
    let sizes =
        |count: u32| (0..count).map(|power| json!(format!("{}MiB", 4u32 << power))).collect::<Vec<_>>();
    let words = ["written", "synced", "appended", "other"].map(|text| json!(text));
    let recordings = [
        sample::quickstart(),
        sample::recording(&[PassSpec { rolls: 600, ..OPEN }]),
        catch_up(),
        sweep(&[("log.segment_bytes", &sizes(5))], 2),
        sweep(&[("log.segment_bytes", &sizes(4)), ("durability", &words)], 1),
    ];
    let mut names = BTreeSet::new();
    for recording in &recordings {
        for plot in plots(recording) {
            is_sound(&plot);
            names.insert(plot.name);
        }
    }
    let expected = ["latency", "latency-over-time", "sweep", "sweep-map", "throughput"];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn every_chart_says_durability_and_verdict_and_where_it_comes_from() {
    for plot in plots(&sample::quickstart()) {
        assert!(plot.title.starts_with("quickstart: "), "{}", plot.title);
        assert_eq!(plot.verdict, "WRITTEN: survives a killed process · valid (flags: noisy disk)");
        let footer = plot.footer.join(" ");
        for expected in [
            "4d1e8a6c0f",
            "2 cores, AMD EPYC 9554P",
            "2026-11-24 03:54 UTC",
            "20261124-035404-quickstart-1a2b3c4d",
        ] {
            assert!(footer.contains(expected), "{expected} in {footer}");
        }
    }
}

#[test]
fn what_the_log_writes_twice_lowers_the_band_of_the_bare_disk() {
    let band = |plot: &Plot| {
        let band = axes(plot).bands.iter().find(|band| band.kind == BandKind::Ceiling).cloned();
        band.and_then(|band| band.y).unwrap()
    };
    let once = plot(&sample::quickstart(), "throughput").unwrap();
    let mut recording = sample::quickstart();
    for trial in recording.result.points.iter_mut().flat_map(|point| &mut point.trials) {
        trial.of_ceiling.write = trial.of_ceiling.write.map(|share| share * 1.5);
    }
    let twice = plot(&recording, "throughput").unwrap();
    let ((low, high), (low_twice, high_twice)) = (band(&once), band(&twice));
    assert!((low - low_twice * 1.5).abs() < 1e-9 && (high - high_twice * 1.5).abs() < 1e-9);
    let names = |plot: &Plot| format!("{plot:?}").contains("1.51 B for each byte of the log");
    assert!(names(&twice) && !names(&once));
}

#[test]
fn catching_up_shows_consumed_bytes_and_the_bare_disks_reads() {
    let plot = plot(&catch_up(), "throughput").unwrap();
    let axes = axes(&plot);
    let consumed = greatest(series(axes, "consumed").unwrap());
    // 1.45 M records of 1040 B a second are 1.4 GiB/s.
    assert!((1.2..1.8).contains(&consumed), "{consumed} GiB/s");
    assert!(series(axes, "acked").is_none(), "nothing was produced, so no line lies at 0");
    let ceiling = axes.bands.iter().find(|band| band.kind == BandKind::Ceiling).unwrap();
    assert!((ceiling.y.unwrap().0 - 1.9e9 / 1_073_741_824.0).abs() < 1e-9);
    assert!(panel(&plot).keys.iter().any(|key| key.name == "the bare disk with the same reads"));
    assert_eq!(reason(&catch_up(), "Latency by percentile").as_deref(), Some("no latency was measured"));
    assert!(reason(&catch_up(), "Latency over time").is_some());
}

#[test]
fn without_measurements_there_is_no_chart_but_a_reason() {
    let mut recording = sample::quickstart();
    recording.result.points.iter_mut().flat_map(|it| &mut it.trials).for_each(|it| *it = Trial::default());
    for record in &mut recording.trials {
        *record = TrialRecord { point: record.point, trial: record.trial, ..TrialRecord::default() };
    }
    assert!(plots(&recording).is_empty());
    for what in ["Throughput over time", "Latency by percentile", "Latency over time"] {
        assert!(reason(&recording, what).is_some(), "{what}");
    }
}

#[test]
fn a_percentile_curve_ends_with_its_worst_record() {
    let recording = sample::recording(&[PassSpec { trials: 1, ..OPEN }]);
    let plot = plot(&recording, "latency").unwrap();
    let axes = axes(&plot);
    let worst = axes.series.iter().find(|it| matches!(it.look, Look::Rings(_))).unwrap();
    let (nines, ns) = worst.values().next().unwrap();
    let max = recording.result.points[0].trials[0].latency_ns.response.as_ref().unwrap().max.unwrap();
    assert!((ns - max as f64).abs() < 1.0, "{ns} instead of {max}");
    let curve = axes.series.iter().find(|it| matches!(it.look, Look::Line(_)) && it.values().count() > 9);
    let last = curve.unwrap().values().last().unwrap();
    assert!(last.0 < nines && last.1 <= ns, "fewer than ten acks lie between {last:?} and the worst");
}

#[test]
fn a_p99_over_time_has_ten_acks_beyond_it() {
    let points = |records_per_ack: f64| {
        let mut recording = sample::recording(&[PassSpec { trials: 1, rolls: 0, ..OPEN }]);
        recording.result.points[0].trials[0].batches.records_mean = Some(records_per_ack);
        let plot = plot(&recording, "latency-over-time").unwrap();
        let count = |name: &str| {
            let own = axes(&plot).series.iter().filter(|series| series.name == name);
            own.flat_map(Series::values).filter(|(t_s, _)| *t_s > 0.0).count()
        };
        (count("p99"), count("max"))
    };
    // Each of 100 intervals has 24,800 records: 24,800 acks, then 400, then 1.
    let (each, threes, none) = (points(1.0), points(62.0), points(24_800.0));
    assert_eq!((each.0, threes.0, none.0), (100, 33, 0));
    assert!(each.1 == threes.1 && threes.1 == none.1, "the maximum needs one ack");
}

#[test]
fn percentiles_that_are_bounds_are_faint_and_their_medians_have_a_sign() {
    let mut recording = sample::recording(&[PassSpec { trials: 1, rolls: 0, ..OPEN }]);
    let faint = |recording: &Recording, name: &str| {
        let plot = plot(recording, "latency-over-time").unwrap();
        is_sound(&plot);
        let faint = |it: &&Series| it.name == name && it.look == Look::Line(Weight::Faint);
        let values = axes(&plot).series.iter().filter(faint).flat_map(Series::values).collect::<Vec<_>>();
        (values.len(), panel(&plot).notes.concat().contains("faint parts are bounds"))
    };
    assert_eq!((faint(&recording, "p99"), faint(&recording, "max")), ((0, false), (0, false)));
    for row in recording.trials[0].series.iter_mut().filter(|row| (4.95..6.0).contains(&row.t_s)) {
        (row.p99_bound, row.max_bound) = (Some(Bound::Upper), Some(Bound::Upper));
    }
    let ((p99, says_so), (max, _)) = (faint(&recording, "p99"), faint(&recording, "max"));
    assert!(says_so && (3..8).contains(&p99) && max == 12, "{p99} groups and {max} intervals");

    let mut recording = sweep(&[("durability", &["written", "synced"].map(|text| json!(text)))], 1);
    let p99 = recording.result.points[1].summary.get_mut("latency_ns.response.p99").unwrap();
    p99.bound = Some(Bound::Lower);
    let plot = plot(&recording, "sweep").unwrap();
    let signs: Vec<&str> = plot.axes().flat_map(|it| &it.labels).map(|it| it.text.as_str()).collect();
    assert_eq!(signs, ["≥"]);
    assert!(plot.notes.concat().contains("never acked"), "{:?}", plot.notes);
}

#[test]
fn no_service_time_of_closed_loads_is_drawn_between_settings() {
    let mut recording = sweep(&[("durability", &["written", "synced"].map(|text| json!(text)))], 2);
    recording.result.points.iter_mut().for_each(|point| {
        if point.trials[0].offered.is_none() {
            point.pass = vnotch::workload::PassKind::Closed;
        }
    });
    let kept: Vec<usize> = (0..4).filter(|point| point % 2 == 0).collect();
    let open = recording.clone();
    recording.trials.retain(|record| kept.contains(&record.point));
    recording.trials.iter_mut().for_each(|record| record.point /= 2);
    let mut index = 0;
    recording.result.points.retain(|_| {
        index += 1;
        index % 2 == 1
    });
    for what in ["Latency by percentile", "Latency over time"] {
        let reason = reason(&recording, what).unwrap();
        assert!(reason.contains("no latency is compared between settings"), "{reason}");
    }
    assert!(plot(&recording, "throughput").is_some());
    let latency = plot(&open, "latency").unwrap();
    let names: Vec<&str> = panel(&latency).keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["durability written", "durability synced"]);
    assert_eq!(panel(&latency).title, "response, open at 725 k/s", "the load that they share is said once");
}

#[test]
fn response_and_service_do_not_share_axes() {
    let plot = plot(&sample::quickstart(), "latency").unwrap();
    let titles: Vec<&str> = plot.panels.iter().map(|panel| panel.title.as_str()).collect();
    assert_eq!(titles, ["response, open at 725 k/s", "service, max"]);
}

#[test]
fn throughput_that_spans_a_factor_of_four_is_on_a_log_axis() {
    let scale = |step: f64| {
        let mut recording = sweep(&[("durability", &["written", "synced"].map(|text| json!(text)))], 2);
        for trial in &mut recording.result.points[2].trials {
            trial.produce.bytes_per_s = step * 1e9;
        }
        for trial in &mut recording.result.points[0].trials {
            trial.produce.bytes_per_s = 1e9;
        }
        let plot = plot(&recording, "sweep").unwrap();
        is_sound(&plot);
        axes(&plot).y.scale
    };
    assert_eq!(
        [scale(1.0), scale(3.9), scale(4.0), scale(300.0)],
        [Scale::Linear, Scale::Linear, Scale::Log, Scale::Log]
    );
}

#[test]
fn panels_of_very_different_levels_share_a_log_axis_unless_a_rate_was_zero() {
    let slow = PassSpec { records_per_s: MAX.records_per_s / 10.0, ..MAX };
    let mut recording = sample::recording(&[PassSpec { trials: 1, ..MAX }, PassSpec { trials: 1, ..slow }]);
    let scale = |recording: &Recording| {
        let plot = plot(recording, "throughput").unwrap();
        is_sound(&plot);
        plot.axes().next().unwrap().y.scale
    };
    assert_eq!(scale(&sample::quickstart()), Scale::Linear, "these differ by a factor of 2");
    assert_eq!(scale(&recording), Scale::Log);
    (recording.trials[1].series[0].achieved, recording.trials[1].series[0].consumed) = (0, 0);
    assert_eq!(scale(&recording), Scale::Log, "nothing had begun in the warm-up");
    recording.trials[1].series[50].achieved = 0;
    assert_eq!(scale(&recording), Scale::Linear, "a log axis has no place for a stall");
}

#[test]
fn write_amplification_that_hardly_differs_is_in_the_table_only() {
    let mut recording = sweep(&[("durability", &["written", "synced"].map(|text| json!(text)))], 2);
    let titles = |recording: &Recording| {
        let plot = plot(recording, "sweep").unwrap();
        plot.panels.iter().map(|panel| panel.title.clone()).collect::<Vec<_>>().join(", ")
    };
    assert!(!titles(&recording).contains("write amplification"));
    recording.result.points[0].trials[0].resources.write_amplification = Some(2.5);
    assert!(titles(&recording).contains("write amplification"));
}

#[test]
fn a_map_needs_four_values_of_both_settings() {
    let values = [json!(1), json!(2), json!(3), json!(4)];
    let has_map = |across: usize, down: usize| {
        let swept = [("topics", &values[..across]), ("partitions_per_topic", &values[..down])];
        plot(&sweep(&swept, 1), "sweep-map").is_some()
    };
    assert!(has_map(4, 4) && !has_map(4, 3) && !has_map(3, 3));
}

#[test]
fn a_backlog_that_is_only_on_its_way_has_no_strip() {
    let quick = plot(&sample::quickstart(), "throughput").unwrap();
    let strips = |plot: &Plot| plot.axes().filter(|axes| axes.y.title.starts_with("backlog")).count();
    let mut recording = sample::quickstart();
    for row in recording.trials.iter_mut().flat_map(|record| &mut record.series) {
        row.backlog_records = row.backlog_records.map(|_| 500);
    }
    let none = plot(&recording, "throughput").unwrap();
    assert_eq!(strips(&none), 0);
    assert!(none.notes.iter().any(|note| note.contains("the consumers kept up")), "{:?}", none.notes);
    for row in recording.trials.iter_mut().flat_map(|record| &mut record.series) {
        row.backlog_records = Some(9_000_000);
    }
    assert_eq!(strips(&plot(&recording, "throughput").unwrap()), quick.panels.len());
}

/// Returns a recording of odd values.
fn odd() -> impl Strategy<Value = Recording> {
    let value = || prop_oneof![Just(0u64), 1u64..10, 1u64..1_000_000, Just(u64::MAX >> 12)];
    let rows = prop::collection::vec((value(), value(), prop::option::of(value()), value()), 1..30);
    let events = prop::collection::vec((-5.0f64..20.0, prop::option::of(0.0f64..30.0)), 0..80);
    (rows, events, 0.0f64..1e12, any::<bool>(), any::<bool>()).prop_map(
        |(rows, events, ceiling, is_open, is_sweep)| {
            let spec = if is_open { OPEN } else { MAX };
            let mut recording = sample::recording(&[PassSpec { trials: 1, window_s: 1.0, ..spec }]);
            let trial = &mut recording.result.points[0].trials[0];
            trial.ceiling.write_slices_bytes_per_s = vec![ceiling, ceiling * 1.5];
            let record = &mut recording.trials[0];
            for (row, (achieved, consumed, latency, max)) in record.series.iter_mut().zip(rows) {
                (row.achieved, row.consumed, row.backlog_records) = (achieved, consumed, latency);
                (row.p50_ns, row.p99_ns, row.max_ns) = (latency, latency, latency.map(|_| max));
            }
            record.events = events
                .into_iter()
                .map(|(t_s, length_s)| Event { t_s, length_s, kind: "roll".into(), ..Event::default() })
                .collect();
            if is_sweep {
                recording.result.kind = Kind::Sweep;
                recording.result.points[0].settings.insert("topics".into(), json!(1));
            }
            recording
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_was_measured_lies_on_its_axes(recording in odd()) {
        plots(&recording).iter().for_each(is_sound);
    }
}
