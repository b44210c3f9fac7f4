//! `vnotch list`, `show` and `prune`, run as commands.

use crate::sample::{self, MAX, OPEN, PassSpec};
use crate::support::{Ended, end, vnotch};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use vnotch::result::{Interval, Kind, store};

/// A directory with results of three workloads. They are a day apart, and the first one is the oldest.
struct Results {
    dir: tempfile::TempDir,
    made: Vec<PathBuf>,
}

impl Results {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = [("first", 1), ("second", 2), ("third", 3)]
            .map(|(name, day)| made(dir.path(), name, &format!("2026-10-0{day}T03:54:04Z")));
        Self { made: made.into(), dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn vnotch(&self, verb: &str, args: &[&str]) -> Ended {
        end(vnotch().arg(verb).args(args).arg("-o").arg(self.path()))
    }

    fn left(&self) -> BTreeSet<String> {
        fs::read_dir(self.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn name(&self, index: usize) -> &str {
        self.made[index].file_name().unwrap().to_str().unwrap()
    }
}

fn made(results: &Path, name: &str, started_at: &str) -> PathBuf {
    let specs = [MAX, OPEN].map(|spec| PassSpec { window_s: 1.0, rolls: 0, trials: 1, ..spec });
    let mut recording = sample::recording(&specs);
    recording.result.name = name.into();
    recording.result.provenance.started_at = started_at.into();
    store::write(results, &recording, &[]).unwrap()
}

/// Creates files and directories that look like results and are none. Returns the names of the directories.
fn clutter(results: &Path) -> [&'static str; 3] {
    let clutter = ["20261001-000000-x-1a2b3c4d.partial", ".unfinished-abc", "notes"];
    clutter.iter().for_each(|name| fs::create_dir(results.join(name)).unwrap());
    fs::write(results.join("README.md"), "mine").unwrap();
    std::os::unix::fs::symlink("/", results.join("20261001-link")).unwrap();
    clutter
}

#[test]
fn results_are_listed_the_newest_first() {
    let results = Results::new();
    let listed = results.vnotch("list", &[]).success();
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 4, "{listed}");
    for (line, (name, day)) in lines[1..].iter().zip([("third", 3), ("second", 2), ("first", 1)]) {
        for expected in [name, &format!("2026-10-0{day} 03:54"), "valid", "GiB/s", "µs", "run"] {
            assert!(line.contains(expected), "{expected} in {line}");
        }
    }
    assert!(lines[1].contains(results.name(2)), "{listed}");
}

#[test]
fn what_is_no_whole_result_is_said() {
    let results = Results::new();
    let clutter = clutter(results.path());
    fs::write(results.made[0].join("result.json"), "{}").unwrap();
    let ended = results.vnotch("list", &[]);
    for expected in
        clutter.iter().copied().chain(["not finished", "killed", "no result.json", "no schema_version"])
    {
        assert!(ended.stderr.contains(expected), "{expected} in {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("link") && !ended.stderr.contains("README"), "{}", ended.stderr);
    assert_eq!(ended.success().lines().count(), 3);
}

#[test]
fn the_list_is_one_document() {
    let results = Results::new();
    let reference = made(&results.path().join("reference"), "kept", "2026-09-01T00:00:00Z");
    let document: Value =
        serde_json::from_str(&results.vnotch("list", &["--format", "json"]).success()).unwrap();
    let listed = document["results"].as_array().unwrap();
    let names: Vec<&str> = listed.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["third", "second", "first", "kept"]);
    assert_eq!(listed[0]["verdict"]["status"], "valid");
    assert!(listed[0]["produce_bytes_per_s"].as_f64().unwrap() > 1e9);
    assert!(listed[0]["response_p99_ns"].as_f64().unwrap() > 1e5);
    assert_eq!(listed[3]["directory"], json!(reference));
    assert_eq!((&listed[0]["reference"], &listed[3]["reference"]), (&json!(false), &json!(true)));
}

#[test]
fn a_sweep_is_listed_with_its_best() {
    let results = tempfile::tempdir().unwrap();
    let mut recording = crate::sweeps::sweep(&[("partitions_per_topic", &[json!(1), json!(2)])], 1);
    recording.result.points[2].summary.get_mut("produce.bytes_per_s").unwrap().median = 9e9;
    store::write(results.path(), &recording, &[]).unwrap();
    assert_eq!(recording.result.kind, Kind::Sweep);
    let listed = end(vnotch().args(["list", "-o"]).arg(results.path())).success();
    assert!(
        listed.contains("up to 8.38 GiB/s") && listed.contains("from ") && listed.contains("sweep"),
        "{listed}"
    );
}

#[test]
fn the_figures_of_a_list_have_their_interval_where_there_are_enough_trials() {
    let results = tempfile::tempdir().unwrap();
    let values = [json!(1), json!(2)];
    let few = crate::sweeps::sweep(&[("partitions_per_topic", &values)], 3);
    store::write(results.path(), &few, &[]).unwrap();
    let listed = end(vnotch().args(["list", "-o"]).arg(results.path())).success();
    assert!(listed.contains("up to ") && !listed.contains('['), "{listed}");
    let mut many = crate::sweeps::sweep(&[("partitions_per_topic", &values)], 8);
    let figure = many.result.points[2].summary.get_mut("produce.bytes_per_s").unwrap();
    figure.median = 9e9;
    figure.interval = Some(Interval { low: 8.5e9, high: 9.5e9, confidence: 0.95 });
    let figure = many.result.points[3].summary.get_mut("latency_ns.response.p99").unwrap();
    figure.median = 1e3;
    figure.interval = Some(Interval { low: 900.0, high: 1.1e3, confidence: 0.95 });
    store::write(results.path(), &many, &[]).unwrap();
    let listed = end(vnotch().args(["list", "-o"]).arg(results.path())).success();
    for cell in ["up to 8.38 GiB/s [7.92–8.85 GiB/s]", "from 1.00 µs [900 ns–1.10 µs]"] {
        assert!(listed.contains(cell), "{cell} in {listed}");
    }
    let listed = end(vnotch().args(["list", "--format", "json", "-o"]).arg(results.path())).success();
    let document: Value = serde_json::from_str(&listed).unwrap();
    let lows: Vec<&Value> = document["results"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|it| [&it["produce_bytes_per_s_interval"]["low"], &it["response_p99_ns_interval"]["low"]])
        .collect();
    assert!(
        lows.contains(&&json!(8.5e9)) && lows.contains(&&json!(900.0)) && lows.contains(&&Value::Null),
        "{document}"
    );
}

#[test]
fn no_results_are_no_failure_and_no_directory_is_one() {
    let empty = tempfile::tempdir().unwrap();
    let ended = end(vnotch().args(["list", "-o"]).arg(empty.path()));
    assert!(ended.stderr.contains("vnotch run quickstart"), "{}", ended.stderr);
    assert_eq!(ended.success(), "");
    let missing = end(vnotch().args(["list", "-o"]).arg(empty.path().join("missing"))).refusal(2);
    assert!(missing.contains("there is no directory"), "{missing}");
}

#[test]
fn a_result_is_shown_by_its_beginning_its_path_or_as_the_latest() {
    let results = Results::new();
    let output = results.vnotch("show", &["latest"]).success();
    assert!(
        output.contains("third") && output.contains("response") && output.contains("WRITTEN"),
        "{output}"
    );
    assert!(results.vnotch("show", &["20261002"]).success().contains("second"));
    assert!(results.vnotch("show", &[results.made[0].to_str().unwrap()]).success().contains("first"));
    let document = results.vnotch("show", &["latest", "--format", "json"]).success();
    let document: Value = serde_json::from_str(&document).unwrap();
    let written: Value =
        serde_json::from_slice(&fs::read(results.made[2].join("result.json")).unwrap()).unwrap();
    assert_eq!((&document["kind"], &document["result"]), (&json!("show"), &written));
}

#[test]
fn a_name_of_none_or_several_is_refused_with_what_there_is() {
    let results = Results::new();
    clutter(results.path());
    let several = results.vnotch("show", &["202610"]).refusal(2);
    assert!(several.contains("3 results begin") && several.contains(results.name(0)), "{several}");
    let none = results.vnotch("show", &["2025"]).refusal(2);
    assert!(none.contains("vnotch list"), "{none}");
    let by_workload = results.vnotch("show", &["second"]).refusal(2);
    assert!(by_workload.contains("did you mean") && by_workload.contains(results.name(1)), "{by_workload}");
    let unfinished = results.vnotch("show", &["20261001-000000"]).refusal(2);
    assert!(unfinished.contains("--resume"), "{unfinished}");
    let path = results.vnotch("show", &["./nowhere"]).refusal(2);
    assert!(path.contains("no such directory"), "{path}");
}

#[test]
fn nothing_is_removed_unless_it_was_meant() {
    let results = Results::new();
    let before = results.left();
    let ended = results.vnotch("prune", &["--keep", "1"]);
    assert!(ended.stderr.contains("nothing was, because --yes was not given"), "{}", ended.stderr);
    let output = ended.success();
    assert_eq!(output.matches("would remove").count(), 2, "{output}");
    assert!(!output.contains(results.name(2)), "{output}");
    assert_eq!(results.left(), before);
    let unsaid = results.vnotch("prune", &["--yes"]).refusal(2);
    assert!(unsaid.contains("--keep 10"), "{unsaid}");
    assert_eq!(results.left(), before);
}

#[test]
fn the_newest_are_kept_and_what_is_no_result_is_left_alone() {
    let results = Results::new();
    let clutter = clutter(results.path());
    made(&results.path().join("reference"), "kept", "2020-01-01T00:00:00Z");
    let ended = results.vnotch("prune", &["--keep", "1", "--yes"]);
    assert!(ended.stderr.contains("2 results, ") && ended.stderr.contains("not removed"), "{}", ended.stderr);
    assert_eq!(ended.success().matches("removed ").count(), 2);
    let expected = clutter.into_iter().chain(["README.md", "20261001-link", "reference", results.name(2)]);
    assert_eq!(results.left(), expected.map(String::from).collect());
    assert_eq!(fs::read_dir(results.path().join("reference")).unwrap().count(), 1);
}

#[test]
fn age_and_number_must_both_let_a_result_go() {
    let results = Results::new();
    made(results.path(), "new", &jiff::Timestamp::now().to_string());
    let would = |args: &[&str]| results.vnotch("prune", args).success().matches("would remove").count();
    assert_eq!(would(&["--older-than", "1h"]), 3);
    assert_eq!(would(&["--older-than", "1h", "--keep", "3"]), 1);
    assert_eq!(would(&["--keep", "0"]), 4);
    assert_eq!(would(&["--older-than", "100000d"]), 0);
    let unit = results.vnotch("prune", &["--older-than", "30"]);
    assert_eq!(unit.code, Some(2), "{}", unit.stderr);
    assert!(unit.stderr.contains("30s"), "{}", unit.stderr);
}

#[test]
fn a_result_is_removed_by_name_but_never_a_reference() {
    let results = Results::new();
    clutter(results.path());
    let reference = made(&results.path().join("reference"), "kept", "2026-09-01T00:00:00Z");
    let document = results.vnotch("prune", &["20261002", "--yes", "--format", "json"]).success();
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(
        (&document["removed"], &document["results"][0]["directory"]),
        (&json!(true), &json!(results.made[1]))
    );
    assert!(!results.made[1].exists() && results.made[0].exists());
    let kept = results.vnotch("prune", &[reference.to_str().unwrap(), "--yes"]).refusal(2);
    assert!(kept.contains("`reference/`"), "{kept}");
    for (name, why) in [("notes", "no result.json"), ("20261001-000000-x-1a2b3c4d.partial", "--resume")] {
        let path = results.path().join(name);
        let refused = results.vnotch("prune", &[path.to_str().unwrap(), "--yes"]).refusal(2);
        assert!(refused.contains(why), "{refused}");
        assert!(path.exists() && reference.exists());
    }
    let elsewhere = results.vnotch("prune", &["/", "--yes"]).refusal(2);
    assert!(elsewhere.contains("is not a result in"), "{elsewhere}");
    assert_eq!(results.vnotch("prune", &["latest", "--yes"]).code, Some(2));
}
