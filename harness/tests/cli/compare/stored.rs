//! `vnotch compare A B`, run as a command. One small run is measured. The other results are copies of it, each with one change.

use super::bench;
use crate::run::{Bench, result_of};
use crate::support::{Ended, end, vnotch};
use serde_json::{Value, json};
use std::fs;
use std::sync::OnceLock;

/// Returns the result of a small run, which is measured once.
fn original() -> Value {
    static ORIGINAL: OnceLock<Value> = OnceLock::new();
    let measure = || {
        let bench = bench();
        end(bench.run(&mut vnotch())).success();
        let [directory] = &bench.results()[..] else { panic!("one result") };
        result_of(directory)
    };
    ORIGINAL.get_or_init(measure).clone()
}

/// Returns the resolved workload of the only point of a result.
fn workload_of(result: &mut Value) -> &mut Value {
    match result.get("workloads").and_then(Value::as_array).map(Vec::len) {
        Some(1..) => &mut result["workloads"][0],
        _ => &mut result["workload"],
    }
}

/// A directory of results.
pub(super) struct Results {
    pub(super) bench: Bench,
}

impl Results {
    pub(super) fn new() -> Self {
        let bench = bench();
        fs::create_dir(bench.path("results")).unwrap();
        Self { bench }
    }

    /// Writes a copy of the result, named `name`, with six trials whose throughput is about `factor` times that of the
    /// original. `change` changes it further.
    pub(super) fn copy(&self, name: &str, factor: f64, change: impl FnOnce(&mut Value)) {
        let mut result = original();
        let point = &mut result["points"][0];
        let trial = point["trials"][0].clone();
        let rate = trial["produce"]["records_per_s"].as_f64().unwrap();
        let trials = (0..6_i32).map(|number| {
            let mut trial = trial.clone();
            trial["produce"]["records_per_s"] = json!(rate * factor * (1.0 + 0.001 * f64::from(number)));
            trial
        });
        point["trials"] = trials.collect();
        change(&mut result);
        self.write(name, &result.to_string());
    }

    fn write(&self, name: &str, content: &str) {
        let dir = self.bench.path("results").join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("result.json"), content).unwrap();
    }

    pub(super) fn compare(&self, arguments: &[&str]) -> Ended {
        end(vnotch().args(["compare", "-o"]).arg(self.bench.path("results")).args(arguments))
    }

    pub(super) fn refusal(&self, arguments: &[&str], code: i32) -> String {
        self.compare(arguments).refusal(code)
    }
}

#[test]
fn two_results_are_compared_with_the_warning_that_they_were_not_interleaved() {
    let results = Results::new();
    results.copy("plain-1", 1.0, |_| {});
    results.copy("plain-2", 0.8, |_| {});
    let ended = results.compare(&["plain-1", "plain-2"]);
    assert!(ended.stdout.contains("Not interleaved: differences of the hour are in it."), "{}", ended.stdout);
    assert!(ended.stdout.contains("WORSE"), "{}", ended.stdout);
    ended.success();
    let document: Value =
        serde_json::from_str(&results.compare(&["plain-1", "plain-2", "--format", "json"]).success())
            .unwrap();
    let ratio = document["comparison"]["effect"]["ratio"].as_f64().unwrap();
    assert!((ratio - 0.8).abs() < 0.01, "{ratio}");
    let markdown = results.compare(&["plain-2", "plain-1", "--format", "markdown"]).success();
    assert!(markdown.contains("better"), "{markdown}");
    results.compare(&["plain-1", "plain-2", "--band", "40%", "--strict"]).success();
}

#[test]
fn a_comparison_of_two_results_is_stored_if_that_is_asked_for() {
    let results = Results::new();
    results.copy("kept-1", 1.0, |_| {});
    results.copy("kept-2", 0.8, |_| {});
    let stored = || {
        let entries = fs::read_dir(results.bench.path("results")).unwrap().map(|it| it.unwrap().path());
        entries.filter(|it| it.to_str().unwrap().contains("-compare-")).collect::<Vec<_>>()
    };
    results.compare(&["kept-1", "kept-2"]).success();
    assert!(stored().is_empty(), "nothing is stored unless it is asked for");
    let text = results.compare(&["kept-1", "kept-2", "--save"]).success();
    let [dir] = &stored()[..] else { panic!("{:?}", stored()) };
    assert!(text.contains(&format!("report     {}", dir.join("report.html").display())), "{text}");
    let headline = text.lines().next().unwrap();
    let files = ["report.html", "summary.md", "charts/ratio.svg"].map(|file| dir.join(file));
    for file in &files[..2] {
        assert!(fs::read_to_string(file).unwrap().contains(headline), "{}", file.display());
    }
    let result: Value = serde_json::from_str(&fs::read_to_string(dir.join("result.json")).unwrap()).unwrap();
    assert_eq!((&result["kind"], &result["method"]), (&json!("compare"), &json!("stored")));
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    end(vnotch().arg("report").arg(dir)).success();
    assert!(files.iter().all(|file| file.exists()), "`report` draws it again");
    let shown = end(vnotch().args(["show", "-o"]).arg(results.bench.path("results")).arg(dir)).success();
    assert!(shown.starts_with(headline), "{shown}");
    let listed = end(vnotch().args(["list", "-o"]).arg(results.bench.path("results"))).success();
    assert!(listed.contains(headline), "{listed}");
    let document = results.compare(&["kept-1", "kept-2", "--save", "--format", "json"]).success();
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((stored().len(), document["directory"].is_string()), (2, true));
    let latest = results.compare(&["kept-1", "latest", "--save"]);
    assert!(!latest.stderr.contains("comparison of two sides"), "`latest` is a run: {}", latest.stderr);
}

#[test]
fn a_regression_against_a_baseline_is_exit_4() {
    let results = Results::new();
    results.copy("base-1", 1.0, |_| {});
    results.copy("base-2", 0.8, |_| {});
    let saved = results.compare(&["--save-baseline", "main", "base-1"]);
    assert!(saved.stderr.contains("baseline `main` is "), "{}", saved.stderr);
    saved.success();
    let worse = results.compare(&["--baseline", "main", "base-2"]);
    assert_eq!(worse.code, Some(4), "{}{}", worse.stdout, worse.stderr);
    results.copy("base-3", 1.0, |_| {});
    results.compare(&["--baseline", "main", "base-3", "--save-baseline", "next"]).success();
    let next = results.compare(&["--baseline", "next", "base-2"]);
    assert_eq!(next.code, Some(4), "{}{}", next.stdout, next.stderr);

    let unknown = results.refusal(&["--baseline", "mainn", "base-2"], 2);
    assert!(unknown.contains("there is no baseline `mainn`") && unknown.contains("`main`"), "{unknown}");
    let pruned = end(vnotch().args(["prune", "base-1", "--yes", "-o"]).arg(results.bench.path("results")));
    assert_eq!(pruned.code, Some(2), "{}", pruned.stderr);
    fs::remove_dir_all(results.bench.path("results").join("base-1")).unwrap();
    let gone = results.refusal(&["--baseline", "main", "base-2"], 2);
    assert!(gone.contains("which is gone"), "{gone}");
}

#[test]
fn results_that_cannot_be_compared_are_refused_with_the_reason() {
    let results = Results::new();
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 9] = [
        ("sweep", |it| it["kind"] = json!("sweep"), "is a sweep"),
        ("machine", |it| it["provenance"]["machine_id"] = json!("another"), "different machines"),
        ("load", |it| it["points"][0]["pass"] = json!("max"), "their loads differ"),
        ("durability", |it| it["points"][0]["durability"] = json!("synced"), "acks promise different things"),
        ("size", |it| workload_of(it)["message_size"] = json!("4KiB"), "message_size: A "),
        ("topics", |it| workload_of(it)["topics"] = json!(7), "topics: A "),
        (
            "stall",
            |it| it["provenance"]["injected"] = json!(["stall:at=1s,for=1s"]),
            "--inject: A none, B stall:at=1s,for=1s",
        ),
        (
            "payload",
            |it| {
                let file = json!({"path": "p", "records": 1, "bytes": 1, "is_part": false, "sha256": "0"});
                it["provenance"]["payload_files"] = json!([file]);
            },
            "the files of `payload` have other contents",
        ),
        ("interrupted", |it| it["verdict"]["status"] = json!("interrupted"), "was interrupted"),
    ];
    results.copy("other-1", 1.0, |it| it["provenance"]["machine_id"] = json!("one"));
    for (name, change, reason) in changes {
        results.copy(&format!("other-{name}"), 1.0, |it| {
            it["provenance"]["machine_id"] = json!("one");
            change(it);
        });
        let message = results.refusal(&["other-1", &format!("other-{name}")], 2);
        assert!(message.contains(reason), "{name}: {message}");
    }
    // How clients batch is a setting, whose effect may be the question.
    results.copy("other-batch", 1.0, |it| {
        it["provenance"]["machine_id"] = json!("one");
        workload_of(it)["batch"]["max_records"] = json!(9);
    });
    let text = results.compare(&["other-1", "other-batch"]).success();
    assert!(text.contains("batch.max_records"), "{text}");
    assert!(text.lines().next().unwrap().contains("other-batch"), "both began in the same minute: {text}");
    let itself = results.refusal(&["other-1", "other-1"], 2);
    assert!(itself.contains("the same result"), "{itself}");
    let none = results.refusal(&["other-1", "nothing"], 2);
    assert!(none.contains("no result in"), "{none}");
    results.copy("other-2", 1.0, |it| it["provenance"]["machine_id"] = json!("one"));
    let metric = results.refusal(&["other-1", "other-2", "--metric", "latency_ns.response.p99"], 2);
    assert!(metric.contains("has no latency_ns.response.p99"), "{metric}");
}

#[test]
fn a_broken_directory_is_an_error_and_an_older_version_is_read() {
    let results = Results::new();
    results.copy("old-1", 1.0, |_| {});
    results.write("old-broken", "{\"schema_version\": 2,");
    let path = results.bench.path("results").join("old-broken");
    let broken = results.refusal(&["old-1", path.to_str().unwrap()], 1);
    assert!(broken.contains("is damaged"), "{broken}");
    results.copy("old-2", 1.0, |it| {
        it["schema_version"] = json!(1);
        it.as_object_mut().unwrap().remove("workloads");
        it["provenance"].as_object_mut().unwrap().remove("machine_id");
    });
    let text = results.compare(&["old-1", "old-2"]).success();
    assert!(text.contains("not recorded on which machine"), "{text}");
    results.copy("old-3", 1.0, |it| it["schema_version"] = json!(99));
    let path = results.bench.path("results").join("old-3");
    let newer = results.refusal(&["old-1", path.to_str().unwrap()], 2);
    assert!(newer.contains("was written by a newer vnotch"), "{newer}");
}

#[test]
fn a_path_without_a_finished_result_is_wrong_usage() {
    let results = Results::new();
    results.copy("some-1", 1.0, |_| {});
    let dir = results.bench.path("results");
    for (name, file) in [("a.partial", "sweep.json"), ("b.partial", "comparison-plan.json")] {
        fs::create_dir(dir.join(name)).unwrap();
        fs::write(dir.join(name).join(file), "{}").unwrap();
    }
    for (name, expected) in [
        ("nope", "there is no such directory"),
        ("a.partial", "is a sweep that is not finished: `vnotch run FILE --resume`"),
        ("b.partial", "is a comparison that is not finished: `vnotch compare --resume"),
    ] {
        let path = dir.join(name);
        for arguments in [[path.to_str().unwrap(), "some-1"], ["some-1", path.to_str().unwrap()]] {
            let message = results.refusal(&arguments, 2);
            assert!(message.contains(expected), "{message}");
        }
    }
}
