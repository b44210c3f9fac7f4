//! The sentence on what limited the rate, for each kind of limit, on the first screen and in the reports.

use crate::sample::{self, MAX, OPEN, PassSpec};
use crate::sweeps::sweep;
use serde_json::json;
use vnotch::report::draw;
use vnotch::report::text::first_screen;
use vnotch::result::{Limit, LimitKind, Recording, RunResult, Verdict};

fn screen(result: &RunResult) -> String {
    first_screen(result, "results/x".as_ref(), &["quickstart".to_owned()])
}

/// The line on the limit, if every trial has these figures.
fn line(kind: LimitKind, disk: Option<f64>) -> String {
    let mut result = sample::recording(&[PassSpec { window_s: 1.0, ..MAX }]).result;
    let limit = Limit { kind, disk, shard_cpu: Some(0.95), load_thread: Some(0.97), in_flight: Some(0.98) };
    result.points[0].trials.iter_mut().for_each(|trial| trial.limit = Some(limit));
    let screen = screen(&result);
    let lines: Vec<&str> = screen.lines().filter(|line| line.starts_with("limit")).collect();
    let [line] = lines[..] else { panic!("one line on the limit:\n{screen}") };
    assert!(line.chars().count() <= 130 && !line.ends_with('…'), "{line}");
    line.to_owned()
}

#[test]
fn each_limit_is_named_with_its_evidence() {
    let in_flight = line(LimitKind::InFlightBytes, Some(0.42));
    assert!(in_flight.contains("42.0 % of what this disk does with such writes; the wait is"), "{in_flight}");
    assert!(in_flight.contains("`load.in_flight_bytes` (32.0 MiB, 98.0 % used)"), "{in_flight}");
    let appended = line(LimitKind::InFlightBytes, None);
    assert!(!appended.contains("disk") && appended.contains("the wait is"), "{appended}");
    assert!(line(LimitKind::Disk, Some(0.93)).contains("the disk: 93.0 % of what it does with such writes"));
    assert!(line(LimitKind::Sync, Some(0.93)).contains("syncs: 93.0 % of what this disk does"));
    let shard = line(LimitKind::ShardCpu, Some(0.42));
    assert!(shard.contains("a shard's thread worked for 95.0 % of the time (the disk: 42.0 %)"), "{shard}");
    let load = line(LimitKind::LoadThread, Some(0.42));
    assert!(load.contains("a load thread had work for 97.0 % of the time"), "{load}");
    let unknown = line(LimitKind::Unknown, Some(0.42));
    assert!(unknown.contains("none was reached (the disk 42.0 %, a shard's thread 95.0 %"), "{unknown}");
}

#[test]
fn trials_with_another_limit_are_counted() {
    let mut result = sample::recording(&[PassSpec { window_s: 1.0, ..MAX }]).result;
    let other = result.points[0].trials[1].limit.as_mut().unwrap();
    other.kind = LimitKind::LoadThread;
    assert!(screen(&result).contains("limit      in 2 of 3 trials: "), "{}", screen(&result));
}

#[test]
fn the_limit_stands_in_the_reports_and_a_good_run_is_green() {
    let mut recording = sample::quickstart();
    let files = |recording: &Recording| {
        let artifacts = draw(recording).artifacts;
        ["report.html", "summary.md"].map(|name| {
            let file = artifacts.iter().find(|file| file.path == name).unwrap();
            String::from_utf8(file.content.clone()).unwrap()
        })
    };
    for text in files(&recording) {
        assert_eq!(text.matches("of what this disk does with such writes; the wait is").count(), 1, "{text}");
    }
    recording.result.verdict = Verdict::default();
    let [page, _] = files(&recording);
    assert!(page.contains("class=\"verdict good\""), "flags are news, and there is none");
    let open = sample::recording(&[PassSpec { window_s: 1.0, ..OPEN }]);
    assert!(!screen(&open.result).contains("limit "), "only `max` has a limit");
}

#[test]
fn a_sweep_names_the_limit_of_its_points() {
    let mut result = sweep(&[("durability", &[json!("written"), json!("synced")])], 2).result;
    assert!(screen(&result).contains(
        "limit      `load.in_flight_bytes` at all 2 points under `max`; a larger value may give more throughput"
    ));
    for trial in &mut result.points[2].trials {
        trial.limit.as_mut().unwrap().kind = LimitKind::Sync;
    }
    let screen = screen(&result);
    let both = "limit      syncs at durability synced; `load.in_flight_bytes` at durability written";
    assert!(screen.contains(both), "{screen}");
}
