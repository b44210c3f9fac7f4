//! Series that end early, and `vnotch compare --resume`, run as a command with scripts in place of binaries of vnotch.

use super::fake::Fake;
use super::{bench, compare_fakes, interrupt, json, unfinished, wait_until};
use crate::run::Bench;
use crate::support::{Ended, alone, end, vnotch};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// Two scripts whose third trial hangs.
fn hanging(bench: &Bench) -> [Fake; 2] {
    ["a", "b"].map(|name| Fake::of(bench, name, &[1000.0]).hanging_from(3))
}

/// Begins a series of four pairs, and interrupts it when a trial of the third pair hangs.
fn interrupted(bench: &Bench, fakes: &[Fake; 2]) -> Ended {
    let _alone = alone();
    let [a, b] = fakes;
    let mut command = vnotch();
    let command = compare_fakes(bench, &mut command, [a, b]).args(["--pairs", "4", "--format", "json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("a trial hangs", || fakes.iter().any(|fake| fake.hanging().is_some()));
    interrupt(&child);
    Ended::from(child.wait_with_output().unwrap())
}

fn resume(dir: &Path, more: &[&str]) -> Ended {
    end(vnotch().args(["compare", "--resume"]).arg(dir).args(more).args(["--format", "json"]))
}

/// Changes the stored plan of a series.
fn change(dir: &Path, change: impl FnOnce(&mut Value)) {
    let path = dir.join("comparison-plan.json");
    let mut file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut file["plan"]);
    fs::write(&path, file.to_string()).unwrap();
}

#[test]
fn a_resumed_series_has_its_data_where_it_was_begun() {
    let moved = |plan: &mut Value| assert!(plan["data_dir"].is_string(), "{plan}");
    let older = |plan: &mut Value| assert!(plan.as_object_mut().unwrap().remove("data_dir").is_some());
    let unchanged = |_: &mut Value| {};
    type Change = fn(&mut Value);
    let cases: [(Change, Option<&str>, &str); 3] =
        [(unchanged, None, "data"), (moved, Some("other"), "other"), (older, Some("data"), "data")];
    for (edit, given, expected) in cases {
        let bench = bench();
        let fakes = hanging(&bench);
        assert_eq!(interrupted(&bench, &fakes).code, Some(130));
        let begun = fakes.each_ref().map(|fake| {
            fake.release();
            fake.data_dirs().len()
        });
        let dir = unfinished(&bench);
        change(&dir, edit);
        let other = given.map(|name| bench.path(name));
        let more: Vec<&str> = other.iter().flat_map(|path| ["--data-dir", path.to_str().unwrap()]).collect();
        let ended = resume(&dir, &more);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(json(&ended)["comparison"]["pairs"].as_array().unwrap().len(), 4);
        let expected = fs::canonicalize(bench.dir.path()).unwrap().join(expected).join("trial");
        for (fake, begun) in fakes.iter().zip(begun) {
            let later = fake.data_dirs().split_off(begun);
            assert!(later.len() >= 2 && later.iter().all(|dir| *dir == expected), "{expected:?}: {later:?}");
        }
        assert!(!bench.path("data").exists() && !bench.path("other").exists());
    }
}

#[test]
fn a_data_directory_that_cannot_be_used_again_is_named_with_the_series() {
    let bench = bench();
    let fakes = hanging(&bench);
    interrupted(&bench, &fakes);
    fs::create_dir(bench.path("data")).unwrap();
    fs::write(bench.path("data").join("mine"), "x").unwrap();
    let dir = unfinished(&bench);
    let message = resume(&dir, &[]).refusal(2);
    assert!(message.contains("was begun with --data-dir") && message.contains("is not empty"), "{message}");
}

#[test]
fn a_series_of_another_machine_or_disk_is_not_continued() {
    let bench = bench();
    let fakes = hanging(&bench);
    interrupted(&bench, &fakes);
    let dir = unfinished(&bench);
    let plan = fs::read(dir.join("comparison-plan.json")).unwrap();
    type Change = fn(&mut Value);
    let disk = "name a directory on the same disk with --data-dir";
    let changes: [(Change, &str, &str); 3] = [
        (|plan| plan["machine_id"] = json!("another"), "was begun on another machine", "begin a new one"),
        (|plan| plan["environment"]["storage"]["filesystem"] = json!("minix"), "minix on ", disk),
        (
            |plan| {
                plan["environment"]["storage"]["device"] = json!({ "name": "fd0", "stacked_on": [] });
            },
            " on fd0 there",
            disk,
        ),
    ];
    for (edit, expected, advice) in changes {
        change(&dir, edit);
        let message = resume(&dir, &[]).refusal(2);
        assert!(message.contains(expected) && message.contains(advice), "{message}");
        assert!(!bench.path("data").exists(), "{message}");
        fs::write(dir.join("comparison-plan.json"), &plan).unwrap();
    }
    fakes.iter().for_each(Fake::release);
    assert_eq!(resume(&dir, &[]).code, Some(0));
}

#[test]
fn a_failed_pair_gives_the_exit_code_of_an_interrupted_series() {
    for (status, code) in [("errors", 1), ("integrity_failed", 6)] {
        let bench = bench();
        let [a, b] = hanging(&bench);
        let ended = interrupted(&bench, &[a, b.ending(2, status)]);
        assert_eq!(ended.code, Some(code), "{status}: {}", ended.stderr);
        assert!(ended.stderr.contains("interrupted after 2 pairs"), "{}", ended.stderr);
        assert_eq!(json(&ended)["comparison"]["verdict"]["status"], status);
    }
}

#[test]
fn an_integrity_failure_gives_the_exit_code_also_if_a_later_trial_cannot_be_made() {
    for (status, code) in [("errors", 1), ("integrity_failed", 6)] {
        let bench = bench();
        let a = Fake::of(&bench, "a", &[1000.0]);
        let b = Fake::of(&bench, "b", &[1000.0]).ending(2, status).replaced_in(4);
        let ended = end(compare_fakes(&bench, &mut vnotch(), [&a, &b]).args(["--format", "json"]));
        assert_eq!(ended.code, Some(code), "{status}: {}", ended.stderr);
        for expected in ["was replaced while the series was measured", "ended early, after 4 pairs"] {
            assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        }
        assert_eq!(json(&ended)["comparison"]["verdict"]["status"], status);
    }
}
