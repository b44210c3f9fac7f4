//! Reports of several runs on the same axes.

use crate::sample::{self, MAX, OPEN, PassSpec};
use crate::support::{end, vnotch};
use crate::sweeps::{drawn, holds};
use serde_json::{Value, json};
use std::fs;
use vnotch::exit::{ExitStatus, status_of};
use vnotch::report::draw_overlay;
use vnotch::result::{Event, Recording, store};
use vnotch::workload::{Durability, PassKind};

fn run(specs: &[PassSpec], settings: &[(&str, Value)]) -> Recording {
    let mut recording = sample::recording(specs);
    for (key, value) in settings {
        let pointer = format!("/{}", key.replace('.', "/"));
        *recording.result.workload.pointer_mut(&pointer).unwrap() = value.clone();
    }
    recording
}

const fn small(spec: PassSpec) -> PassSpec {
    PassSpec { window_s: 2.0, rolls: 6, trials: 2, ..spec }
}

/// Returns three runs: a written one, a synced one at half the rate, and one with a closed load only.
fn runs() -> Vec<Recording> {
    let slower = PassSpec { records_per_s: 360e3, median_ns: 900e3, seed: 5, ..small(OPEN) };
    let synced = [("durability", json!("synced")), ("log.segment_bytes", json!("16MiB"))];
    let mut synced = run(&[small(MAX), slower], &synced);
    synced.result.points.iter_mut().for_each(|point| point.durability = Durability::Synced);
    synced.result.name = "mine".into();
    let closed = PassSpec { pass: PassKind::Closed, records_per_s: 200e3, ..small(MAX) };
    let mut closed = run(&[closed], &[]);
    closed.result.environment.kernel = "Linux 7.0.0".into();
    vec![run(&[small(MAX), small(OPEN)], &[]), synced, closed]
}

#[test]
fn runs_share_axes_and_only_what_differs_is_named() {
    let file = drawn(&draw_overlay(&runs()).unwrap().artifacts, "");
    let latency = file("charts/latency.svg").unwrap();
    holds(
        &latency,
        &["3 runs of quickstart, mine", "A quickstart: ", "durability synced", "segment_bytes 16 MiB"],
    );
    holds(
        &latency,
        &[
            "A valid (flags: noisy disk) · B valid (flags: noisy disk) · C valid",
            "response time by percentile",
        ],
    );
    assert!(!latency.contains("C quickstart"), "no latency of a closed load");
    assert!(!latency.contains("partitions_per_topic"), "what is the same is not named");
    let throughput = file("charts/throughput.svg").unwrap();
    holds(&throughput, &["A: max", "B: max", "C: closed"]);
    let over_time = file("charts/latency-over-time.svg").unwrap();
    holds(&over_time, &["A: open at", "B: open at"]);
    for page in [file("report.html").unwrap(), file("summary.md").unwrap()] {
        holds(&page, &["No latency of C is compared", "under different loads (A 725 k/s, B 360 k/s)"]);
        holds(&page, &["does not promise the same", "same build on the same machine", "drift"]);
    }
}

#[test]
fn one_scale_for_all_runs() {
    let labels = |svg: String| {
        let texts = svg.split("</text>").filter(|it| it.contains("GiB/s") || it.contains(" ms"));
        texts.count()
    };
    // The second run is ten times slower, and is drawn on the axes of the first.
    let slow = PassSpec { records_per_s: 145e3, median_ns: 8e6, ..small(MAX) };
    let slow = run(&[slow, PassSpec { median_ns: 20e6, ..small(OPEN) }], &[]);
    let both = [run(&[small(MAX), small(OPEN)], &[]), slow];
    let file = drawn(&draw_overlay(&both).unwrap().artifacts, "");
    let throughput = file("charts/throughput.svg").unwrap();
    assert!(!throughput.contains("MiB/s"), "one unit for both");
    let over_time = file("charts/latency-over-time.svg").unwrap();
    for panel in over_time.split("A: open at").nth(1).unwrap().split("B: open at") {
        holds(panel, &["100 µs", "100 ms"]);
    }
    assert!(labels(throughput) >= 2);
}

#[test]
fn without_any_open_load_there_is_no_chart_of_latency() {
    let both = [run(&[small(MAX)], &[]), run(&[small(MAX)], &[("trials", json!(9))])];
    let file = drawn(&draw_overlay(&both).unwrap().artifacts, "");
    assert!(file("charts/latency.svg").is_none() && file("charts/latency-over-time.svg").is_none());
    holds(&file("summary.md").unwrap(), &["No latency of A, B is compared", "trials 9"]);
}

#[test]
fn stalls_are_bands_and_every_kind_of_event_is_named() {
    let mut recording = sample::recording(&[PassSpec { trials: 1, window_s: 5.0, rolls: 0, ..OPEN }]);
    let event = |kind: &str, t_s: f64, length_s: Option<f64>| Event {
        t_s,
        length_s,
        kind: kind.into(),
        shard: Some(0),
        ..Event::default()
    };
    let svg = |recording: &Recording| {
        drawn(&vnotch::report::draw(recording).artifacts, "events")("charts/latency-over-time.svg").unwrap()
    };
    recording.trials[0].events = vec![event("stall", 2.0, None)];
    let moment = svg(&recording).matches("<rect").count();
    recording.trials[0].events = vec![event("stall", 2.0, Some(1.0))];
    assert_eq!(svg(&recording).matches("<rect").count(), moment + 1, "a band instead of a line");
    for i in 0..20 {
        let t_s = f64::from(i) / 4.0;
        let kinds = ["roll", "seal", "retention"].map(|kind| event(kind, t_s, None));
        recording.trials[0].events.extend(kinds);
        recording.trials[0].events.extend((0..30).map(|j| event("sync", t_s + f64::from(j) / 200.0, None)));
    }
    holds(&svg(&recording), &["stall", "roll", "seal", "retention", "sync", "up to "]);
}

#[test]
fn a_single_run_too_many_runs_and_a_sweep_are_refused() {
    let one = run(&[small(MAX)], &[]);
    let refused = |recordings: &[Recording]| {
        let error = draw_overlay(recordings).unwrap_err();
        assert_eq!(status_of(&error), ExitStatus::Usage);
        error.to_string()
    };
    holds(&refused(std::slice::from_ref(&one)), &["2 to 12 runs"]);
    holds(&refused(&vec![one.clone(); 13]), &["2 to 12 runs"]);
    let sweep = crate::sweeps::sweep(&[("trials", &[json!(1), json!(2)])], 1);
    holds(&refused(&[one, sweep]), &["is a sweep", "`vnotch report DIR`"]);
}

#[test]
fn the_verb_draws_into_a_directory_of_its_own() {
    let results = tempfile::tempdir().unwrap();
    let dirs: Vec<_> = runs().iter().map(|run| store::write(results.path(), run, &[]).unwrap()).collect();
    let output = results.path().join("overlay");
    let printed = end(vnotch().arg("report").args(&dirs).arg("-o").arg(&output)).success();
    assert_eq!(printed, format!("{}\n", output.join("report.html").display()));
    assert!(output.join("charts/latency.png").is_file() && !dirs[0].join("report.html").exists());
    let json =
        end(vnotch().arg("report").args(&dirs).args(["--format", "json", "-o"]).arg(&output)).success();
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["runs"], json!(dirs));
    let over = end(vnotch().arg("report").args(&dirs).arg("-o").arg(&dirs[0])).refusal(2);
    assert!(over.contains("is a result directory"), "{over}");
    let alone = end(vnotch().arg("report").arg(&dirs[0]).arg("-o").arg(&output)).refusal(2);
    assert!(alone.contains("2 to 12 runs"), "{alone}");
    fs::remove_file(dirs[1].join("series.csv")).unwrap();
    end(vnotch().arg("report").args(&dirs).arg("-o").arg(&output)).refusal(1);
}
