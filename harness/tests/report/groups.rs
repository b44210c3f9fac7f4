//! Runs whose consumers are members of groups: what people see of rebalances, commits and lag.

use crate::plots::{is_sound, plot, plots, reason};
use crate::sample::{self, MAX, OPEN, PassSpec};
use crate::sweeps::{drawn, holds, of_sweep, screen, sweep};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use vnotch::report::plot::value::{Part, Plot, RowContent, Scale};
use vnotch::report::{draw, draw_overlay};
use vnotch::result::{
    Event, GroupFigures, IntegrityFigures, Recording, SeriesRow, Trial, TrialRecord, VerdictStatus,
};
use vnotch::stats;

const LAG: &str = "Lag of consumer groups over time";

/// Times at which the groups rebalance, s since the window opened.
const REBALANCES: [f64; 2] = [2.1, 7.1];
const REBALANCE_S: f64 = 0.42;

/// Returns the id of a group as the harness makes it.
fn group(number: usize) -> String {
    format!("vnotch-topic-0-bench{number}-group")
}

/// Turns the consumers of a recording into members of groups that rebalance twice in each trial.
fn with_groups(mut recording: Recording, groups: usize) -> Recording {
    recording.result.workload["consume"] = json!({"churn": {"every": "5s"}});
    for record in &mut recording.trials {
        for number in 1..=groups {
            record.group_lags.insert(group(number), lags(&record.series, number));
            record.events.extend(events(number));
        }
        record.events.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        let trial = &mut recording.result.points[record.point].trials[record.trial];
        trial.groups = Some(figures(groups, record));
        trial.integrity = IntegrityFigures {
            redelivered: Some(1204),
            skipped: Some(0),
            double_owned: Some(0),
            ..trial.integrity
        };
    }
    for point in &mut recording.result.points {
        point.summary = stats::summarise(&point.trials);
    }
    recording
}

/// Returns the lag at the end of each row: some records are on their way, and more pile up while a group rebalances.
fn lags(rows: &[SeriesRow], number: usize) -> Vec<Option<u64>> {
    let lag = |(index, row): (usize, &SeriesRow)| {
        let waited_s = REBALANCES.map(|at_s| (row.t_s + row.interval_s - at_s).max(0.0));
        let piled_s: f64 = waited_s
            .iter()
            .map(|waited_s| waited_s.min(REBALANCE_S) - (waited_s - REBALANCE_S).clamp(0.0, REBALANCE_S))
            .sum();
        let on_the_way = row.achieved / 50 * (3 + (index as u64 * 7 + number as u64) % 5);
        let piled = piled_s.max(0.0) * row.achieved as f64 / row.interval_s / number as f64;
        (index > 0).then_some(on_the_way + piled as u64)
    };
    rows.iter().enumerate().map(lag).collect()
}

/// Returns the rebalances of a group, and a commit of each of its four members a second.
fn events(number: usize) -> Vec<Event> {
    let of = |kind: &str, t_s, length_s| Event {
        t_s,
        length_s: Some(length_s),
        kind: kind.into(),
        group: Some(group(number)),
        ..Event::default()
    };
    let rebalances = REBALANCES.map(|at_s| of("rebalance", at_s + 0.03 * number as f64, REBALANCE_S));
    let commits = (0..40).map(|commit| of("commit", 0.1 + 0.25 * f64::from(commit), 0.002));
    rebalances.into_iter().chain(commits).collect()
}

fn figures(groups: usize, record: &TrialRecord) -> GroupFigures {
    let at = |row: usize| record.group_lags.values().filter_map(|lags| lags[row]).sum::<u64>();
    GroupFigures {
        groups: groups as u32,
        members: 4 * groups as u32,
        assignor: "cooperative-sticky".into(),
        rebalances: 2 * groups as u64,
        rebalance_max_s: Some(REBALANCE_S),
        stop_max_s: Some(0.311),
        commits: 40 * groups as u64,
        commits_failed: 0,
        commit_p50_us: Some(1230.0),
        commit_p99_us: Some(3410.0),
        commit_max_us: Some(5020.0),
        lag_max: (0..record.series.len()).map(at).max().unwrap(),
        lag_end: 0,
    }
}

/// Returns a run of one open pass with churn.
fn churned(groups: usize) -> Recording {
    with_groups(sample::recording(&[PassSpec { trials: 1, ..OPEN }]), groups)
}

fn trials(recording: &mut Recording) -> impl Iterator<Item = &mut Trial> {
    recording.result.points.iter_mut().flat_map(|point| &mut point.trials)
}

/// Returns the lines of a screen on groups.
fn lines_on_groups(screen: &str) -> Vec<&str> {
    let from = screen.lines().skip_while(|line| !line.starts_with("groups "));
    from.take_while(|line| !line.starts_with("integrity")).collect()
}

#[test]
fn the_first_screen_says_what_rebalances_did() {
    let screen = screen(&churned(1));
    assert_eq!(
        lines_on_groups(&screen),
        [
            "groups     2 rebalances, the longest 420 ms; longest stop of a partition 311 ms",
            "           1204 redelivered, none skipped, none double-owned; final lag 0",
        ],
        "{screen}"
    );
    assert!(screen.lines().count() <= 24, "{screen}");
    assert!(lines_on_groups(&screen).iter().all(|line| line.chars().count() <= 80), "{screen}");
    assert!(screen.contains("commits   "), "{screen}");
    for two_passes in [sample::quickstart(), sample::recording(&[OPEN, OPEN])] {
        let screen = crate::sweeps::screen(&with_groups(two_passes, 2));
        assert!(screen.lines().count() <= 24, "{screen}");
        holds(&screen, &["4 rebalances a trial, ", "7224 redelivered, ", "produced", "response", "p99"]);
    }
}

#[test]
fn without_churn_and_rebalances_nothing_is_said_of_groups() {
    let mut quiet = churned(1);
    quiet.result.workload["consume"] = json!(null);
    trials(&mut quiet).for_each(|trial| {
        trial.groups.as_mut().unwrap().rebalances = 0;
        trial.integrity.redelivered = Some(0);
    });
    assert!(lines_on_groups(&screen(&quiet)).is_empty());
    trials(&mut quiet).for_each(|trial| trial.groups.as_mut().unwrap().rebalances = 1);
    assert_eq!(lines_on_groups(&screen(&quiet)).len(), 2, "one rebalance is news");
    trials(&mut quiet).for_each(|trial| trial.groups = None);
    assert!(lines_on_groups(&screen(&quiet)).is_empty(), "without groups");
    let summary = of_sweep(&quiet)("summary.md").unwrap();
    assert!(!summary.contains("rebalances") && !summary.contains("| commits |"), "{summary}");
}

#[test]
fn few_and_many_rebalances_are_counted_in_words() {
    let mut recording = with_groups(sample::recording(&[PassSpec { window_s: 1.0, ..MAX }]), 1);
    let mut rebalances = [0, 1, 7].into_iter();
    trials(&mut recording).for_each(|trial| {
        let groups = trial.groups.as_mut().unwrap();
        groups.rebalances = rebalances.next().unwrap();
        (groups.rebalance_max_s, groups.stop_max_s) = (None, None);
        (groups.lag_end, trial.integrity.skipped) = (1, None);
    });
    let said = screen(&recording);
    holds(&said, &["0–7 rebalances a trial; no partition stopped\n", "final lag 1\n", "were not counted"]);
    trials(&mut recording).for_each(|trial| trial.groups.as_mut().unwrap().rebalances = 0);
    holds(&screen(&recording), &["no rebalances a trial; "]);
}

#[test]
fn summary_and_page_have_the_sentences_and_the_figures() {
    let recording = with_groups(sample::recording(&[PassSpec { window_s: 10.0, ..MAX }]), 2);
    let file = of_sweep(&recording);
    for page in [file("summary.md").unwrap(), file("report.html").unwrap()] {
        holds(&page, &["4 rebalances a trial, the longest 420 ms; longest stop of a partition 311 ms"]);
        holds(&page, &["3612 redelivered, none skipped, none double-owned; final lag 0"]);
        holds(&page, &["4, the longest 420 ms", "80, p50 1.23 ms, p99 3.41 ms, max 5.02 ms"]);
        holds(&page, &["0 records at the end, at most "]);
        assert!(page.find("4 rebalances").unwrap() < page.find("produced").unwrap(), "before the table");
    }
    holds(&file("summary.md").unwrap(), &["charts/lag.svg"]);
    let mut failed = recording.clone();
    trials(&mut failed).for_each(|trial| trial.groups.as_mut().unwrap().commits_failed = 3);
    failed.result.points[0].summary = stats::summarise(&failed.result.points[0].trials);
    holds(&of_sweep(&failed)("summary.md").unwrap(), &["| 80, 3 failed, p50 1.23 ms"]);
}

#[test]
fn skipped_and_double_owned_records_are_a_failure_in_words() {
    let mut recording = churned(1);
    trials(&mut recording).for_each(|trial| {
        (trial.integrity.skipped, trial.integrity.double_owned) = (Some(3), Some(12));
    });
    recording.result.verdict.lower(VerdictStatus::IntegrityFailed, "3 acked records were skipped");
    let said = screen(&recording);
    holds(&said, &["1204 redelivered, 3 skipped, 12 double-owned; ", "FAILED: 0 missing, "]);
    holds(&said, &["0 corrupt, 3 skipped, 12 double-owned, of "]);
}

#[test]
fn a_sweep_says_the_same_and_its_page_has_the_latency_of_commits() {
    let values = ["auto", "sync"].map(|mode| json!(mode));
    let recording = with_groups(sweep(&[("consume.commit.mode", &values)], 3), 1);
    let said = screen(&recording);
    holds(&said, &["groups     2 rebalances a trial, ", "14448 redelivered, "]);
    assert!(said.lines().count() <= 24, "{said}");
    holds(&of_sweep(&recording)("summary.md").unwrap(), &["commit p99 |", "| 3.41 ms |"]);
    let plain = sweep(&[("trials", &[json!(1), json!(2)])], 1);
    assert!(!of_sweep(&plain)("summary.md").unwrap().contains("commit p99"));
}

fn rows(plot: &Plot) -> BTreeMap<String, &RowContent> {
    let parts = plot.panels.iter().flat_map(|panel| &panel.parts);
    let rows = parts.filter_map(|part| if let Part::Rows(rows) = part { Some(&rows.rows) } else { None });
    rows.flatten().map(|row| (row.name.clone(), &row.content)).collect()
}

#[test]
fn each_group_has_a_line_of_its_lag_and_rebalances_stand_below() {
    let lag = plot(&churned(2), "lag").unwrap();
    is_sound(&lag);
    let axes = lag.axes().next().unwrap();
    let names: Vec<&str> = axes.series.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["topic-0-bench1", "topic-0-bench2"]);
    let most = |line: usize| axes.series[line].values().map(|(_, lag)| lag).fold(0.0, f64::max);
    // At 725,000 records a second 0.42 s are 304,500 records; the second group is behind by half of them.
    assert!(
        (300e3..320e3).contains(&most(0)) && (140e3..170e3).contains(&most(1)),
        "{} {}",
        most(0),
        most(1)
    );
    assert_eq!(axes.y.scale, Scale::Log, "the lag spans more than a factor of four and is never 0");
    let rows = rows(&lag);
    assert!(matches!(rows["rebalance"], RowContent::Events(events) if events.len() == 4), "{rows:?}");
    assert!(matches!(rows["commit"], RowContent::Rate { .. }), "80 commits are a rate");
    assert!(!rows.contains_key("roll"), "rolls are on another chart");
    let bands =
        axes.bands.iter().filter(|band| (band.x.1 - band.x.0 - REBALANCE_S - 0.03).abs() < 1e-9).count();
    assert_eq!(bands, 2, "the two groups rebalance 0.03 s after each other");
}

#[test]
fn charts_over_time_have_the_events_of_groups() {
    let recording = churned(1);
    let all = plot(&recording, "latency-over-time").unwrap();
    assert!(["rebalance", "commit", "roll"].iter().all(|kind| rows(&all).contains_key(*kind)));
    let RowContent::Events(commits) = rows(&all)["commit"] else { panic!("40 commits are marks") };
    assert!((commits[0].1 - commits[0].0 - 0.002).abs() < 1e-9, "{:?}", commits[0]);
    let throughput = plot(&recording, "throughput").unwrap();
    assert_eq!(rows(&throughput).keys().collect::<Vec<_>>(), ["rebalance"]);
    let none = plot(&sample::recording(&[PassSpec { trials: 1, ..OPEN }]), "throughput").unwrap();
    assert!(rows(&none).is_empty());
}

#[test]
fn a_lag_of_0_in_between_needs_a_linear_axis_and_zeros_at_the_ends_do_not() {
    let scale = |recording: &Recording| {
        let lag = plot(recording, "lag").unwrap();
        is_sound(&lag);
        lag.axes().next().unwrap().y.scale
    };
    let mut recording = churned(1);
    let set = |recording: &mut Recording, row: usize, lag| {
        recording.trials[0].group_lags.values_mut().for_each(|lags| lags[row] = Some(lag));
    };
    let last = recording.trials[0].series.len() - 1;
    [0, 1, last].into_iter().for_each(|row| set(&mut recording, row, 0));
    assert_eq!(scale(&recording), Scale::Log);
    let notes = plot(&recording, "lag").unwrap().panels[0].notes.concat();
    assert!(notes.contains("where the lag was above 0"), "{notes}");
    set(&mut recording, 60, 0);
    assert_eq!(scale(&recording), Scale::Linear);
}

#[test]
fn of_many_groups_the_furthest_behind_have_lines_and_all_have_one_together() {
    let lag = plot(&churned(12), "lag").unwrap();
    is_sound(&lag);
    let axes = lag.axes().next().unwrap();
    let names: Vec<&str> = axes.series.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names.len(), 8);
    assert_eq!((names[0], names[7]), ("topic-0-bench1", "all groups"));
    let most = |line: usize| axes.series[line].values().map(|(_, lag)| lag).fold(0.0, f64::max);
    assert!((0..7).map(most).sum::<f64>() < most(7), "the last line is the sum of all twelve");
    assert!(lag.panels[0].notes.concat().contains("the 5 with the smallest"), "{:?}", lag.panels[0].notes);
}

#[test]
fn a_lag_that_is_only_on_its_way_has_no_chart_but_a_reason() {
    let without = sample::quickstart();
    assert!(plot(&without, "lag").is_none());
    assert_eq!(reason(&without, LAG).as_deref(), Some("no consumer was a member of a group"));
    let mut kept_up = churned(1);
    kept_up.trials[0].events.retain(|event| event.kind != "rebalance");
    kept_up.trials[0].group_lags.values_mut().flatten().for_each(|lag| *lag = lag.map(|_| 70_000));
    assert!(reason(&kept_up, LAG).unwrap().starts_with("the groups kept up"));
    kept_up.trials[0].group_lags.values_mut().flatten().for_each(|lag| *lag = lag.map(|_| 75_000));
    assert!(plot(&kept_up, "lag").is_some(), "the records of one interval are 72,500");
}

#[test]
fn a_rebalance_without_a_measured_lag_has_no_chart_but_a_reason() {
    let mut recording = churned(1);
    let record = &mut recording.trials[0];
    assert!(record.events.iter().any(|event| event.kind == "rebalance"));
    record.group_lags.values_mut().flatten().for_each(|lag| *lag = None);
    assert!(plot(&recording, "lag").is_none());
    assert_eq!(reason(&recording, LAG).as_deref(), Some("the lag of no group was measured"));
    recording.trials[0].group_lags.values_mut().for_each(Vec::clear);
    assert!(plot(&recording, "lag").is_none());
}

#[test]
fn several_runs_share_the_axes_of_their_lags() {
    let slower = PassSpec { trials: 1, records_per_s: 100e3, seed: 5, ..OPEN };
    let runs = [churned(1), with_groups(sample::recording(&[slower]), 1)];
    let file = drawn(&draw_overlay(&runs).unwrap().artifacts, "");
    holds(&file("charts/lag.svg").unwrap(), &["A: open at 725 k/s", "B: open at 100 k/s", "bench1"]);
}

#[test]
fn every_picture_of_a_run_with_groups_can_be_read() {
    for (recording, groups) in [
        (sample::quickstart(), 2),
        (sample::recording(&[PassSpec { trials: 1, window_s: 30.0, ..OPEN }]), 12),
    ] {
        let recording = with_groups(recording, groups);
        let file = drawn(&draw(&recording).artifacts, &screen(&recording));
        for chart in ["throughput", "latency-over-time", "lag"] {
            holds(&file(&format!("charts/{chart}.svg")).unwrap(), &["rebalance"]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_lag_was_measured_lies_on_its_axes(
        lags in prop::collection::vec(prop::collection::vec(
            prop::option::of(prop_oneof![Just(0u64), 1u64..50, 1u64..u64::MAX >> 12]), 0..40), 1..11),
        at_s in -5.0f64..20.0,
        length_s in prop::option::of(0.0f64..30.0),
    ) {
        let mut recording = churned(1);
        let record = &mut recording.trials[0];
        record.group_lags = lags.into_iter().enumerate().map(|(number, lags)| (group(number), lags)).collect();
        for kind in ["rebalance", "commit"] {
            record.events.push(Event { t_s: at_s, length_s, kind: kind.into(), ..Event::default() });
        }
        plots(&recording).iter().for_each(is_sound);
    }
}
