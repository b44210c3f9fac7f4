//! The texts and charts of sweeps, for sweeps of different keys.

use crate::pictures::is_readable;
use crate::sample::{self, MAX, OPEN, PassSpec};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use vnotch::report::draw;
use vnotch::report::text::first_screen;
use vnotch::result::{Artifact, Kind, Recording, RunResult, VerdictFlag, VerdictStatus};
use vnotch::stats;
use vnotch::workload::PassKind;

/// A swept key and its values.
type Swept<'a> = (&'a str, &'a [Value]);

/// The share by which each value of a setting is faster than the value before it.
const STEP: f64 = 0.12;

/// Returns a recording of a sweep over every combination, under `max` and then under an open load.
pub(crate) fn sweep(swept: &[Swept<'_>], trials: usize) -> Recording {
    let spec = |spec| PassSpec { trials, window_s: 1.0, rolls: 0, ..spec };
    let combinations = combinations(swept);
    let specs: Vec<PassSpec> = (0u64..)
        .zip(&combinations)
        .flat_map(|(seed, indices)| {
            let faster = 1.0 + STEP * indices.iter().sum::<usize>() as f64;
            [
                PassSpec { records_per_s: MAX.records_per_s * faster, seed: 100 + seed, ..spec(MAX) },
                PassSpec { median_ns: OPEN.median_ns / faster, seed: 900 + seed, ..spec(OPEN) },
            ]
        })
        .collect();
    let mut recording = sample::recording(&specs);
    recording.result.kind = Kind::Sweep;
    recording.result.name = "segments-and-retention".into();
    recording.result.question = Some("which segment size and which retention, at what latency?".into());
    for (point, made) in recording.result.points.iter_mut().enumerate() {
        for ((key, values), index) in swept.iter().zip(&combinations[point / 2]) {
            made.settings.insert((*key).to_owned(), values[*index].clone());
            if *key == "durability"
                && let Ok(durability) = serde_json::from_value(values[*index].clone())
            {
                made.durability = durability;
            }
        }
    }
    recording
}

fn combinations(swept: &[Swept<'_>]) -> Vec<Vec<usize>> {
    swept.iter().fold(vec![Vec::new()], |so_far, (_, values)| {
        let with = |start: &Vec<usize>| {
            (0..values.len()).map(|index| [start.as_slice(), &[index]].concat()).collect::<Vec<_>>()
        };
        so_far.iter().flat_map(with).collect()
    })
}

/// Returns the sentence part that names the least and the greatest median of the response p99 of these points.
pub(crate) fn medians_of(result: &RunResult, points: &[usize]) -> String {
    let p99 = |point: &usize| result.points[*point].summary["latency_ns.response.p99"].median;
    let end = |of: fn(f64, f64) -> f64| points.iter().map(p99).reduce(of).unwrap().round();
    let [least, greatest] = [f64::min, f64::max].map(|of| vnotch::quantity::ns(end(of) as u64));
    format!("Medians are {least} to {greatest}")
}

pub(crate) fn sizes(count: u32) -> Vec<Value> {
    (0..count).map(|power| json!(format!("{}MiB", 4u32 << power))).collect()
}

/// Draws a sweep. Returns a function that gives the text of each file by its path, and of the first screen.
pub(crate) fn of_sweep(recording: &Recording) -> impl Fn(&str) -> Option<String> + use<> {
    drawn(&draw(recording).artifacts, &screen(recording))
}

/// Returns a function that gives the text of each drawn file. Checks that each picture can be parsed. If `VNOTCH_PICTURES` is
/// set, also writes the files to that directory, for a person to look at.
pub(crate) fn drawn(artifacts: &[Artifact], screen: &str) -> impl Fn(&str) -> Option<String> + use<> {
    if let Some(dir) = std::env::var_os("VNOTCH_PICTURES") {
        let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
        for artifact in artifacts {
            let path = Path::new(&dir).join(&test).join(&artifact.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &artifact.content).unwrap();
        }
        std::fs::write(Path::new(&dir).join(&test).join("screen.txt"), screen).unwrap();
    }
    for artifact in artifacts.iter().filter(|artifact| artifact.path.ends_with(".svg")) {
        is_readable(std::str::from_utf8(&artifact.content).unwrap());
    }
    let text = |artifact: &Artifact| {
        (artifact.path.clone(), String::from_utf8_lossy(&artifact.content).into_owned())
    };
    let files: BTreeMap<String, String> = artifacts.iter().map(text).collect();
    move |path: &str| files.get(path).cloned()
}

pub(crate) fn screen(recording: &Recording) -> String {
    first_screen(&recording.result, "results/x".as_ref(), &["quickstart".to_owned()])
}

#[track_caller]
pub(crate) fn holds(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "{expected} in:\n{text}");
    }
}

#[test]
fn one_setting_of_three_values() {
    let recording = sweep(&[("log.segment_bytes", &sizes(3))], 3);
    let file = of_sweep(&recording);
    let svg = file("charts/sweep.svg").unwrap();
    holds(
        &svg,
        &[
            "segments-and-retention: sweep of segment_bytes",
            "WRITTEN",
            "io direct",
            "valid (flags: noisy disk",
        ],
    );
    holds(&svg, &["4 MiB", "8 MiB", "16 MiB", "throughput", "p99 response", "at 725 k/s"]);
    // 18 marks: three trials of three points in two panels. Each point also has a bar for the median.
    assert_eq!(svg.matches("<polygon").count(), 18);
    assert!(file("charts/sweep-map.svg").is_none(), "a map needs two settings");
    let screen = screen(&recording);
    let said = flowing(&screen);
    holds(&said, &["Nothing is ruled out yet: an answer needs 8 blocks (`--trials 8`), not 3."]);
    holds(&said, &["segment_bytes 16 MiB looks best, throughput "]);
    holds(
        &said,
        &[
            "By p99 response at 725 k/s no setting can be told from another: an answer needs 8 trials of each, and there are 3; with \
             this spread, 8 trials of each could show ",
        ],
    );
    holds(&said, &[&medians_of(&recording.result, &[1, 3, 5])]);
    for page in [file("summary.md").unwrap(), file("report.html").unwrap()] {
        holds(&page, &["segment_bytes 16 MiB looks best", "of ceiling", "write amp."]);
    }
}

#[test]
fn a_trial_whose_generator_was_late_does_not_count() {
    let mut recording = sweep(&[("log.segment_bytes", &sizes(3))], 3);
    let point = &mut recording.result.points[1];
    assert_eq!(point.pass, PassKind::Open);
    point.trials[2].is_late = true;
    point.summary = stats::summarise(&point.trials);
    holds(
        &flowing(&screen(&recording)),
        &[
            "no setting can be told from another: an answer needs 8 trials of each whose generator was in time, and there are 2;",
        ],
    );
}

#[test]
fn one_setting_of_nine_values_and_eight_blocks() {
    let recording = sweep(&[("log.segment_bytes", &sizes(9))], 8);
    let file = of_sweep(&recording);
    let svg = file("charts/sweep.svg").unwrap();
    holds(&svg, &["4 MiB", "1024 MiB", "log axis", "each vertical line its 95 % interval"]);
    let screen = screen(&recording);
    holds(
        &flowing(&screen),
        &["Ruled out: ", " % less (", " to ", "best", "out −", "[95 % interval] of 8 trials"],
    );
    for page in [file("summary.md").unwrap(), file("report.html").unwrap()] {
        holds(&page, &["Ruled out: ", "(95 %: "]);
        assert_eq!(
            page.matches("vs best").count(),
            3,
            "throughput and p99 have a column, and a note explains it"
        );
    }
}

#[test]
fn two_settings_have_panels_and_a_map() {
    let retention: Vec<Value> = ["64MiB", "256MiB", "1GiB", "none"].map(|text| json!(text)).into();
    let swept: [Swept<'_>; 2] = [("log.segment_bytes", &sizes(4)), ("log.retention_bytes", &retention)];
    let recording = sweep(&swept, 3);
    let file = of_sweep(&recording);
    holds(&file("charts/sweep.svg").unwrap(), &["segment_bytes 4 MiB", "retention_bytes", "no limit"]);
    holds(&file("charts/sweep-map.svg").unwrap(), &["no limit", "32 MiB", "darker is more", "p99 response"]);
    let screen = screen(&recording);
    assert!(screen.lines().count() <= 24, "{screen}");
    holds(&screen, &["more combinations in the report"]);
    assert!(screen.lines().any(|line| line.contains("  best  ")), "the best one is shown:\n{screen}");
    let rows =
        |text: &str| text.lines().filter(|line| line.starts_with('|') && line.contains(" MiB |")).count();
    assert_eq!(rows(&file("summary.md").unwrap()), 16);
}

#[test]
fn three_settings_are_told_apart_by_colour_and_mark() {
    let durability = ["written", "synced"].map(|text| json!(text));
    let preallocate = ["none", "fallocate", "recycle"].map(|text| json!(text));
    let swept: [Swept<'_>; 3] =
        [("durability", &durability), ("log.preallocate", &preallocate), ("log.segment_bytes", &sizes(5))];
    let recording = sweep(&swept, 1);
    let svg = of_sweep(&recording)("charts/sweep.svg").unwrap();
    holds(&svg, &["durability synced, preallocate recycle", "<polygon"]);
    holds(&flowing(&screen(&recording)), &["one block shows no spread"]);
    let many = [json!(1), json!(2), json!(3), json!(4)];
    let swept: [Swept<'_>; 3] =
        [("topics", &many), ("partitions_per_topic", &many), ("log.segment_bytes", &sizes(5))];
    let svg = of_sweep(&sweep(&swept, 1))("charts/sweep.svg").unwrap();
    holds(&svg, &["12 of 16 series are drawn"]);
}

#[test]
fn long_names_are_cut_and_never_run_into_each_other() {
    let paths: Vec<Value> =
        (0..9).map(|i| json!(format!("/data/payloads/a-long-name-of-a-file-{i}.jsonl"))).collect();
    let many = ["written", "synced", "appended"].map(|text| json!(text));
    let swept: [Swept<'_>; 2] = [("payload.path", &paths), ("durability", &many)];
    let recording = sweep(&swept, 2);
    holds(&of_sweep(&recording)("charts/sweep.svg").unwrap(), &["…", "durability appended"]);
    fits(&recording);
}

#[test]
fn notes_say_where_the_common_rate_and_the_disk_peak_come_from() {
    let mut recording = sweep(&[("log.retention_bytes", &sizes(2))], 3);
    let says = |recording: &Recording| {
        let file = of_sweep(recording);
        let summary = file("summary.md").unwrap();
        let rate =
            "725 k/s is 5 % of what the slowest combination reached under max, and the same for all rows";
        let disk = "disk peak can be retention and two segments of each partition";
        (screen(recording).contains(rate), summary.contains(rate), summary.contains(disk))
    };
    recording.result.workload["load"] = json!({"mode": "open", "rate": "5%"});
    assert_eq!(says(&recording), (true, true, true));
    recording.result.workload["load"] = json!({"mode": "open", "rate": "725k/s"});
    assert_eq!(says(&recording), (false, false, true), "the workload names the rate itself");
    let mut recording = sweep(&[("log.segment_bytes", &sizes(2))], 3);
    recording.result.workload["load"] = json!({"mode": "open", "rate": "5%"});
    assert_eq!(says(&recording), (true, true, false), "nothing is deleted");
}

#[test]
fn a_sweep_over_systems_sets_each_beside_the_best_of_the_device() {
    let recording = sweep(&[("target", &[json!("engine"), json!("kafka")])], 3);
    let file = of_sweep(&recording);
    let best = "the best that it can do (2.89 GiB/s of writes)";
    for page in [file("summary.md").unwrap(), file("report.html").unwrap()] {
        holds(&page, &["of device", best]);
    }
    assert!(!screen(&recording).contains("of device"), "a terminal has no room for it");
    let others = of_sweep(&sweep(&[("log.segment_bytes", &sizes(2))], 3));
    assert!(!others("summary.md").unwrap().contains(best), "the engine alone has shares of the ceiling");
}

#[test]
fn failed_points_are_shown_named_and_never_the_best() {
    let mut recording = sweep(&[("log.segment_bytes", &sizes(4))], 3);
    // The fastest combination fails in its first trial. The second fastest is invalid under the open load.
    let best = &mut recording.result.points[6];
    best.verdict.lower(VerdictStatus::IntegrityFailed, "records were lost");
    best.trials.clear();
    best.summary.clear();
    recording.trials.retain(|record| record.point != 6);
    recording.result.points[5].verdict.lower(VerdictStatus::Invalid, "the generator was late");
    recording.result.points[5].verdict.flag(VerdictFlag::GeneratorLimited, "late");
    let file = of_sweep(&recording);
    holds(&file("charts/sweep.svg").unwrap(), &["×", "hollow: failed or invalid"]);
    let screen = screen(&recording);
    holds(&screen, &["INTEGRITY FAILED", "INVALID", "Left out: segment_bytes 16 MiB (INVALID under open)"]);
    holds(&flowing(&screen), &["segment_bytes 16 MiB looks best, throughput"]);
    holds(&flowing(&screen), &[&medians_of(&recording.result, &[1, 3])]);
    assert!(!screen.contains("32 MiB looks best"), "{screen}");
}

#[test]
fn without_an_open_load_no_latency_is_compared() {
    let mut recording = sweep(&[("durability", &["written", "synced"].map(|text| json!(text)))], 3);
    recording.result.points.retain(|point| point.settings.len() == 1 && point.trials[0].offered.is_none());
    recording.trials.clear();
    let file = of_sweep(&recording);
    assert!(!file("charts/sweep.svg").unwrap().contains("p99"));
    let screen = screen(&recording);
    holds(&screen, &["latencies under it are not compared"]);
    holds(&screen, &["With durability written: throughput", "With durability synced: throughput"]);
    assert!(!screen.contains("p99"), "{screen}");
}

#[test]
fn with_an_open_load_alone_latencies_are_what_is_compared() {
    let mut recording = sweep(&[("log.segment_bytes", &sizes(2))], 3);
    recording.result.points.retain(|point| point.trials[0].offered.is_some());
    recording.trials.clear();
    let _ = of_sweep(&recording);
    let screen = screen(&recording);
    holds(&flowing(&screen), &["looks best, p99 response at 725 k/s"]);
    assert!(!screen.contains("looks best, throughput"), "{screen}");
}

#[test]
fn what_is_missing_breaks_nothing() {
    let mut recording = sweep(&[("log.segment_bytes", &sizes(2))], 1);
    recording.trials.clear();
    for point in &mut recording.result.points {
        point.trials.clear();
        point.summary.clear();
        point.verdict.lower(VerdictStatus::Errors, "the disk is gone");
    }
    holds(&of_sweep(&recording)("report.html").unwrap(), &["ERRORS"]);
    holds(
        &flowing(&screen(&recording)),
        &["Left out", "No p99 response each at its own rate can be compared"],
    );
    recording.result.points.clear();
    let _ = of_sweep(&recording);
    let _ = screen(&recording);
}

/// Returns a screen with its wrapped lines joined.
pub(crate) fn flowing(screen: &str) -> String {
    screen.replace("\n  ", " ").replace('\n', " ")
}

#[test]
fn the_table_fits_a_hundred_columns() {
    let many = ["written", "synced", "appended"].map(|text| json!(text));
    let swept: [Swept<'_>; 3] =
        [("log.segment_bytes", &sizes(3)), ("log.retention_bytes", &sizes(3)), ("durability", &many)];
    let mut recording = sweep(&swept, 3);
    for point in &mut recording.result.points {
        point.verdict.flag(VerdictFlag::NoisyCpu, "busy");
        point.verdict.flag(VerdictFlag::Short, "short");
    }
    fits(&recording);
    holds(&of_sweep(&recording)("summary.md").unwrap(), &["disk peak"]);
    holds(&screen(&recording), &["flags: ", "c noisy CPU", "t short"]);
}

/// Checks that the table and the sentences below it fit 100 columns, and that no range is broken over lines.
#[track_caller]
fn fits(recording: &Recording) {
    let screen = screen(recording);
    let below = screen.split_once("\n\n").unwrap().1;
    for line in below.lines() {
        assert!(line.chars().count() <= 100, "{} columns: {line}\n{screen}", line.chars().count());
    }
    let rows = screen.lines().filter(|line| line.contains('[') && !line.contains("min–max")).count();
    let left = screen.lines().find_map(|line| line.strip_prefix("  … and ")?.split(' ').next());
    let left: usize = left.map_or(0, |count| count.parse().unwrap());
    assert!(rows >= 3 && rows + left == recording.result.points.len() / 2, "no range is broken:\n{screen}");
}
