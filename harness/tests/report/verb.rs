//! `vnotch report`, run as a command.

use crate::sample::{self, MAX, OPEN, PassSpec};
use crate::support::{Ended, end, vnotch};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use vnotch::result::store;

fn report(args: &[&str], dirs: &[&Path]) -> Ended {
    end(vnotch().arg("report").args(args).args(dirs))
}

fn result_in(results: &Path) -> PathBuf {
    let recording =
        sample::recording(&[MAX, OPEN].map(|spec| PassSpec { window_s: 1.0, rolls: 2, trials: 1, ..spec }));
    store::write(results, &recording, &[]).unwrap()
}

#[test]
fn a_result_is_drawn_again_and_its_measurements_stay() {
    let results = tempfile::tempdir().unwrap();
    let dir = result_in(results.path());
    let measured = |dir: &Path| {
        ["result.json", "series.csv", "events.jsonl", "latency.hlog"]
            .map(|file| fs::read(dir.join(file)).unwrap())
    };
    let before = measured(&dir);
    let told = report(&[], &[&dir]).success();
    assert_eq!(told, format!("{}\n", dir.join("report.html").display()));
    for file in ["report.html", "summary.md", "charts/latency.svg", "charts/throughput.png"] {
        assert!(dir.join(file).is_file(), "{file}");
    }
    assert_eq!(measured(&dir), before);
}

#[test]
fn several_results_make_one_document() {
    let results = tempfile::tempdir().unwrap();
    let (first, second) = (result_in(results.path()), result_in(results.path()));
    let told = report(&["--format", "json"], &[&first, &second]).success();
    let document: Value = serde_json::from_str(&told).unwrap();
    let drawn = document["results"].as_array().unwrap();
    let directories: Vec<&str> = drawn.iter().map(|it| it["directory"].as_str().unwrap()).collect();
    assert_eq!(directories, [first.to_str().unwrap(), second.to_str().unwrap()]);
    assert!(drawn.iter().all(|it| Path::new(it["report"].as_str().unwrap()).is_file()));
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let results = tempfile::tempdir().unwrap();
    let missing = report(&[], &[&results.path().join("missing")]).refusal(2);
    assert!(missing.contains("there is no such directory"), "{missing}");
    let empty = report(&[], &[results.path()]).refusal(1);
    assert!(empty.contains("it has no result.json"), "{empty}");
}
