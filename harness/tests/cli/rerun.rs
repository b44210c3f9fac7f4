//! `vnotch rerun`: a stored result is repeated from its directory, and what differs here is named first.

use crate::run::{Bench, SMALL, result_of};
use crate::support::{Ended, end, vnotch};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Runs a workload, and returns the directory of its result.
fn run(bench: &Bench, arguments: &[&str]) -> PathBuf {
    end(bench.run(&mut vnotch()).args(arguments)).measured();
    let [directory] = &bench.results()[..] else { panic!("one result") };
    directory.clone()
}

fn rerun(bench: &Bench, directory: &Path, arguments: &[&str]) -> Ended {
    let mut command = vnotch();
    command.arg("rerun").arg(directory).arg("-o").arg(bench.path("again")).args(arguments);
    end(&mut command)
}

/// Changes the `result.json` of a result.
fn change(directory: &Path, change: impl FnOnce(&mut Value)) {
    let mut result = result_of(directory);
    change(&mut result);
    fs::write(directory.join("result.json"), result.to_string()).unwrap();
}

#[test]
fn a_result_is_repeated_with_its_overrides_seed_stalls_and_tags() {
    let bench = Bench::new(SMALL);
    let first = run(
        &bench,
        &[
            "--set",
            "batch.max_records=3",
            "--seed",
            "7",
            "--tag",
            "disk=x",
            "--inject",
            "stall:shard0:50ms@100ms",
        ],
    );
    let ended = rerun(&bench, &first, &[]);
    assert!(ended.stderr.contains("note: nothing that the result recorded differs here"), "{}", ended.stderr);
    let screen = ended.success();
    assert!(screen.contains("produced"), "{screen}");
    let again: Vec<PathBuf> =
        fs::read_dir(bench.path("again")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [again] = &again[..] else { panic!("one result, not {again:?}") };
    let (first_result, again) = (result_of(&first), result_of(again));
    assert_eq!(again["workload"], first_result["workload"]);
    assert_eq!(again["workload"]["batch"]["max_records"], 3);
    for key in ["workload_sha256", "seed", "injected", "workload_arguments"] {
        assert_eq!(again["provenance"][key], first_result["provenance"][key], "{key}");
    }
    assert_eq!(again["provenance"]["injected"], json!(["stall:shard0:50ms@100ms"]));
    assert_eq!(again["provenance"]["tags"]["disk"], "x");
    let name = first.file_name().unwrap().to_str().unwrap();
    assert_eq!(again["provenance"]["tags"]["rerun_of"], name);
    assert!(!bench.path("data").exists(), "the data was in the same directory, which is removed");
}

#[test]
fn what_differs_here_is_named_and_a_dry_run_does_no_more() {
    let bench = Bench::new(SMALL);
    let first = run(&bench, &[]);
    change(&first, |result| {
        result["provenance"]["machine_id"] = json!("0123456789abcdef");
        result["provenance"]["build"]["version"] = json!("0.0.1");
        result["environment"]["cpu"]["model"] = json!("Abacus 9000");
        result["environment"]["kernel"] = json!("Linux 1.0");
        result["environment"]["storage"]["filesystem"] = json!("minix");
        result["environment"]["storage"]["device"] = json!({ "name": "fd0", "stacked_on": [] });
        result["provenance"]["cores"]["shards"] = json!([4095]);
    });
    let text = rerun(&bench, &first, &["--dry-run"]).success();
    for expected in [
        "machine: id 0123456789ab there",
        "processor: Abacus 9000 there",
        "kernel: Linux 1.0 there",
        "file system: minix there",
        "device: fd0 there",
        "build: vnotch 0.0.1 (",
        "cores used: 4095 there, may not be used here",
    ] {
        assert!(text.contains(expected), "{expected} in:\n{text}");
    }
    assert!(!text.contains("cores online"), "what is the same is not named:\n{text}");
    assert!(!bench.path("again").exists(), "nothing was measured");
    let json = rerun(&bench, &first, &["--dry-run", "--format", "json"]).success();
    let document: Value = serde_json::from_str(&json).unwrap();
    let differences = document["differences"].as_array().unwrap();
    assert!(differences.iter().any(|it| it["what"] == "kernel" && it["there"] == "Linux 1.0"), "{json}");
}

#[test]
fn a_payload_file_that_is_gone_is_named_before_the_rerun_is_refused() {
    let bench = Bench::new(&format!("{SMALL}payload: {{kind: file, path: lines.txt}}\n"));
    let lines = bench.path("lines.txt");
    fs::write(&lines, "one\ntwo\nthree\n").unwrap();
    let first = run(&bench, &[]);
    fs::write(&lines, "one\ntwo\n").unwrap();
    let text = rerun(&bench, &first, &["--dry-run"]).success();
    assert!(
        text.contains("payload file") && text.contains("3 records") && text.contains("2 records"),
        "{text}"
    );
    fs::remove_file(&lines).unwrap();
    let ended = rerun(&bench, &first, &[]);
    assert!(ended.stderr.contains("no file that can be read here"), "{}", ended.stderr);
    assert!(ended.refusal(2).contains("lines.txt"));
    assert!(!bench.path("again").exists());
}

#[test]
fn a_result_that_does_not_hold_enough_is_refused() {
    let bench = Bench::new(SMALL);
    let first = run(&bench, &[]);
    change(&first, |result| result["schema_version"] = json!(1));
    let message = rerun(&bench, &first, &[]).refusal(2);
    assert!(
        message.contains("its schema version is 1") && message.contains("`vnotch run small`"),
        "{message}"
    );
    let message = rerun(&bench, &bench.path("nowhere"), &[]).refusal(2);
    assert!(message.contains("there is no such directory"), "{message}");
}

#[test]
fn a_rerun_is_as_strict_as_it_is_asked_to_be() {
    let bench = Bench::new(SMALL);
    let first = run(&bench, &[]);
    let unknown = rerun(&bench, &first, &["--strict=nonsense"]).refusal(2);
    assert!(unknown.contains("`nonsense` is no flag; the flags are "), "{unknown}");
    // A window of one second is too short for every percentile of so few records.
    let strict = rerun(&bench, &first, &["--strict"]);
    let again = fs::read_dir(bench.path("again")).unwrap().next().unwrap().unwrap().path();
    let flags = result_of(&again)["verdict"]["flags"].as_array().unwrap().len();
    assert_eq!(strict.code == Some(5), flags > 0, "{flags} flags: {}", strict.stderr);
    assert_eq!(strict.stderr.contains("--strict: flagged "), flags > 0, "{}", strict.stderr);
}
