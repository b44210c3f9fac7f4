//! `vnotch compare --save-baseline` and `--baseline`, run as a command: which results get a name, and which keep it.

use super::stored::Results;
use serde_json::{Value, json};

#[test]
fn a_result_from_which_nothing_can_be_concluded_is_no_baseline() {
    let results = Results::new();
    for status in ["interrupted", "errors", "integrity_failed", "invalid", "requirement_missed"] {
        results.copy(&format!("bad-{status}"), 1.0, |it| {
            let verdict = json!({ "status": status, "flags": [], "reasons": ["because"] });
            it["points"][0]["verdict"] = verdict.clone();
            it["verdict"] = verdict;
        });
        let message = results.refusal(&["--save-baseline", "main", &format!("bad-{status}")], 2);
        let expected = format!("cannot be a baseline: its verdict is `{status}` (because)");
        assert!(message.contains(&expected), "{status}: {message}");
    }
    results.copy("slow", 1.0, |it| it["verdict"]["status"] = json!("slo_missed"));
    results.compare(&["--save-baseline", "main", "slow"]).success();
}

#[test]
fn one_valid_point_of_several_is_enough_for_a_baseline() {
    let results = Results::new();
    results.copy("two-points", 1.0, |it| {
        let mut late = it["points"][0].clone();
        late["verdict"]["status"] = json!("invalid");
        it["points"].as_array_mut().unwrap().push(late);
        it["verdict"]["status"] = json!("invalid");
    });
    results.compare(&["--save-baseline", "main", "two-points"]).success();
}

#[test]
fn a_regression_does_not_replace_its_baseline() {
    let results = Results::new();
    for (name, factor) in [("step-1", 1.0), ("step-2", 0.8), ("step-3", 1.0)] {
        results.copy(name, factor, |_| {});
    }
    results.compare(&["--save-baseline", "main", "step-1"]).success();
    let worse = results.compare(&["--baseline", "main", "step-2", "--save-baseline", "main"]);
    assert_eq!(worse.code, Some(4), "{}", worse.stderr);
    assert!(
        worse.stderr.contains("baseline `main` is kept as it was") && worse.stderr.contains("exit code 4"),
        "{}",
        worse.stderr
    );
    let named = |baseline: &str| {
        let ended = results.compare(&["--baseline", baseline, "step-3", "--format", "json"]);
        let document: Value = serde_json::from_str(&ended.success()).unwrap();
        document["comparison"]["a"]["result"].as_str().unwrap().to_owned()
    };
    assert_eq!(named("main"), "step-1");
    let other = results.compare(&["--baseline", "main", "step-2", "--save-baseline", "other"]);
    assert_eq!(other.code, Some(4), "{}", other.stderr);
    assert_eq!(named("other"), "step-2", "another name does not replace what it was compared with");
    let name = results.refusal(&["--baseline", "main", "step-2", "--save-baseline", "../main"], 2);
    assert!(name.contains("cannot be the name of a baseline"), "{name}");
    // A user who accepts the loss names the result alone.
    results.compare(&["--save-baseline", "main", "step-2"]).success();
    assert_eq!(named("main"), "step-2");
}

#[test]
fn a_name_that_is_stored_is_one_json_document() {
    let results = Results::new();
    results.copy("named", 1.0, |_| {});
    let ended = results.compare(&["--save-baseline", "main", "named", "--format", "json", "--quiet"]);
    assert_eq!(ended.stderr, "");
    let document: Value = serde_json::from_str(&ended.success()).unwrap();
    assert_eq!((&document["kind"], &document["name"]), (&json!("baseline"), &json!("main")));
    assert!(document["directory"].as_str().unwrap().ends_with("named"), "{document}");
    let markdown = results.refusal(&["--save-baseline", "main", "named", "--format", "markdown"], 2);
    assert!(markdown.contains("--format markdown"), "{markdown}");
}
