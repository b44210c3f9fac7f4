//! `vnotch compare --interleave`, run as a command. Most tests use a script in place of a binary of vnotch: it has vnotch check
//! the workload, and prints a document of its own for each trial. So no test depends on a speed.

mod baselines;
mod fake;
mod resume;
mod stored;

use super::run::{Bench, SMALL};
use crate::support::{Ended, alone, end, vnotch};
use fake::Fake;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that a test waits for something.
const PATIENCE: Duration = Duration::from_secs(120);

fn bench() -> Bench {
    Bench::new(&SMALL.replace("measure: 400ms", "measure: 200ms"))
}

/// Adds the arguments of a comparison of the bench's workload, with its data in `data` and its results in `results`.
fn compare<'a>(bench: &Bench, command: &'a mut Command) -> &'a mut Command {
    command.args(["compare", "--interleave"]).arg(&bench.file);
    command.arg("--data-dir").arg(bench.path("data")).arg("-o").arg(bench.path("results"))
}

/// Adds the arguments of a comparison of two scripts.
fn compare_fakes<'a>(bench: &Bench, command: &'a mut Command, fakes: [&Fake; 2]) -> &'a mut Command {
    let [a, b] = fakes;
    compare(bench, command).arg("--binary-a").arg(&a.path).arg("--binary-b").arg(&b.path)
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", ended.stdout, ended.stderr))
}

/// The directory of the only series that is unfinished.
fn unfinished(bench: &Bench) -> PathBuf {
    let mut dirs = bench.results();
    dirs.retain(|dir| dir.to_str().unwrap().ends_with(".partial"));
    let [dir] = &dirs[..] else { panic!("one unfinished series: {dirs:?}") };
    dir.clone()
}

/// The number of pairs that a series has stored.
fn stored(results: &Path) -> usize {
    let names = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let pairs = names(results.to_owned()).flat_map(|dir| names(dir.join("pairs")));
    pairs.filter(|path| path.extension().is_some_and(|extension| extension == "json")).count()
}

/// Waits until `is_done` holds.
fn wait_until(what: &str, mut is_done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn a_workload_is_measured_against_itself_by_processes_of_their_own_that_leave_no_data() {
    let bench = bench();
    let ended =
        end(compare(&bench, &mut vnotch()).arg(&bench.file).args(["--pairs", "2", "--format", "json"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("pair 2 of 2, "), "{}", ended.stderr);
    let document = json(&ended);
    let pairs = document["comparison"]["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 2);
    assert!(
        pairs.iter().all(|pair| pair["a"].as_f64().unwrap() > 0.0 && pair["b"].as_f64().unwrap() > 0.0),
        "{document}"
    );
    assert!(!bench.path("data").exists());
    let [directory] = &bench.results()[..] else { panic!("one result") };
    assert!(!directory.to_str().unwrap().ends_with(".partial"));
}

#[test]
fn the_sides_of_one_workload_are_alike_where_one_cannot_have_members() {
    let bench = bench();
    let sets = ["--set", "subscriptions_per_topic=1", "--set-b", "engine.placement=colocated", "--dry-run"];
    let mut command = vnotch();
    let ended = end(command.args(["compare", "--interleave"]).arg(&bench.file).args(sets));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("A is measured with consume.assignment=fixed"), "{}", ended.stderr);
    assert!(ended.stdout.contains("engine.placement"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("assignment: A"), "{}", ended.stdout);
}

#[test]
fn a_setting_that_nobody_gave_is_not_in_the_name_of_a_side() {
    let bench = bench();
    let fake = Fake::of(&bench, "one", &[1000.0]);
    let sets = ["--set", "subscriptions_per_topic=1", "--set-b", "engine.placement=colocated"];
    let run = |more: &[&str]| {
        end(compare_fakes(&bench, &mut vnotch(), [&fake, &fake]).args(sets).args(["--pairs", "1"]).args(more))
    };
    let ended = run(&["--format", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let comparison = &json(&ended)["comparison"];
    let workload = bench.file.to_str().unwrap();
    assert_eq!(comparison["a"]["label"], workload, "{comparison}");
    assert_eq!(comparison["b"]["label"], "engine.placement=colocated", "{comparison}");
    assert_eq!(comparison["a"]["settings"], serde_json::json!(["subscriptions_per_topic=1"]));
    let notes = comparison["notes"].to_string();
    assert!(notes.contains("A was measured with consume.assignment=fixed"), "{notes}");
    let text = run(&[]).success();
    assert!(text.contains(&format!("engine.placement=colocated instead of {workload}")), "{text}");
}

#[test]
fn one_pair_cannot_tell() {
    let bench = bench();
    let [a, b] = [Fake::of(&bench, "a", &[1000.0]), Fake::of(&bench, "b", &[500.0])];
    let ended = end(compare_fakes(&bench, &mut vnotch(), [&a, &b]).args(["--pairs", "1"]));
    let text = ended.success();
    assert!(text.contains("annot tell"), "{text}");
    let ended = end(compare_fakes(&bench, &mut vnotch(), [&a, &b]).args(["--pairs", "1", "--strict"]));
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
}

#[test]
fn a_regression_is_exit_4_and_an_improvement_is_not() {
    let bench = bench();
    let slow = Fake::of(&bench, "slow", &[900.0, 901.0, 899.0]);
    let fast = Fake::of(&bench, "fast", &[1000.0, 1001.0, 999.0]);
    let run = |fakes, more: &[&str]| end(compare_fakes(&bench, &mut vnotch(), fakes).args(more));
    let worse = run([&fast, &slow], &["--format", "json"]);
    assert_eq!(worse.code, Some(4), "{}", worse.stderr);
    let ratio = json(&worse)["comparison"]["effect"]["ratio"].as_f64().unwrap();
    assert!((ratio - 0.9).abs() < 0.01, "{ratio}");
    let text = run([&fast, &slow], &[]);
    assert!(text.code == Some(4) && text.stdout.to_lowercase().contains("worse"), "{}", text.stdout);
    let text = run([&slow, &fast], &["--format", "markdown"]).success();
    assert!(text.to_lowercase().contains("better"), "{text}");
    // The difference lies inside a wide band.
    run([&fast, &slow], &["--band", "20%"]).success();
}

#[test]
fn a_failed_trial_is_kept_and_counted_and_there_is_no_verdict() {
    let bench = bench();
    let fast = Fake::of(&bench, "fast", &[1000.0]);
    for (status, code) in [("errors", 1), ("integrity_failed", 6)] {
        let broken = Fake::of(&bench, "broken", &[500.0]).ending(2, status);
        let ended = end(compare_fakes(&bench, &mut vnotch(), [&fast, &broken]).args(["--format", "json"]));
        assert_eq!(ended.code, Some(code), "{status}: {}", ended.stderr);
        let document = json(&ended);
        let pairs = document["comparison"]["pairs"].as_array().unwrap();
        assert_eq!(pairs.len(), 10, "{document}");
        assert_eq!(pairs.iter().filter(|pair| pair["a"].is_null()).count(), 1, "{document}");
        assert!(ended.stderr.contains("pair 2: B failed: because"), "{}", ended.stderr);
    }
}

#[test]
fn a_late_trial_is_measured_again_with_its_pair() {
    let bench = bench();
    let steady = Fake::of(&bench, "steady", &[1000.0]);
    let late = Fake::of(&bench, "late", &[1000.0]).ending(3, "invalid");
    let ended = end(
        compare_fakes(&bench, &mut vnotch(), [&steady, &late]).args(["--format", "json", "--pairs", "6"])
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("attempt 2"), "{}", ended.stderr);
    assert_eq!(late.trials(), 7);
    assert_eq!(json(&ended)["comparison"]["pairs"].as_array().unwrap().len(), 6);
}

#[test]
fn a_series_that_is_never_in_time_is_invalid() {
    let bench = bench();
    let steady = Fake::of(&bench, "steady", &[1000.0]);
    let late = Fake::of(&bench, "late", &[1000.0]).always_ending("invalid");
    let ended = end(compare_fakes(&bench, &mut vnotch(), [&steady, &late]));
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert_eq!(late.trials(), 3 * 4, "three pairs, each measured again three times");
}

#[test]
fn an_interrupted_series_keeps_its_pairs_and_goes_on_in_the_same_order() {
    let bench = bench();
    let [a, b] = ["a", "b"].map(|name| Fake::of(&bench, name, &[1000.0]).taking("0.2"));
    let arguments = ["--pairs", "7", "--seed", "5", "--format", "json"];
    let whole = json(&end(compare_fakes(&bench, &mut vnotch(), [&a, &b]).args(arguments)));
    fs::remove_dir_all(bench.path("results")).unwrap();

    let guard = alone();
    let mut command = vnotch();
    let child = compare_fakes(&bench, &mut command, [&a, &b]).args(arguments);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("two pairs are stored", || stored(&bench.path("results")) >= 2);
    interrupt(&child);
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
    assert!(!bench.path("data").exists());
    drop(guard);

    let dir = unfinished(&bench);
    let before = stored(&bench.path("results"));
    assert!((2..7).contains(&before), "{before}");
    let listed = end(vnotch().args(["list", "-o"]).arg(bench.path("results")));
    assert!(
        listed.stderr.contains("compare --resume") || listed.stdout.contains("compare --resume"),
        "{listed:?}"
    );
    let resume = |more: &[&str]| end(vnotch().args(["compare", "--resume"]).arg(&dir).args(more));
    let other = resume(&["--pairs", "9"]).refusal(2);
    assert!(other.contains("--pairs"), "{other}");
    let ended = resume(&["--format", "json"]);
    assert_eq!(ended.code, whole_code(&whole), "{}", ended.stderr);
    let resumed = json(&ended);
    let orders = |document: &Value| {
        let pairs = document["comparison"]["pairs"].as_array().unwrap().clone();
        pairs.into_iter().map(|pair| pair["order"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((orders(&resumed).len(), orders(&resumed)), (7, orders(&whole)));
    assert!(!dir.exists());
    let gone = resume(&[]).refusal(2);
    assert!(gone.contains("does not exist"), "{gone}");
}

/// The exit code of a comparison without a difference.
fn whole_code(whole: &Value) -> Option<i32> {
    assert_eq!(whole["comparison"]["pairs"].as_array().unwrap().len(), 7);
    Some(0)
}

#[test]
fn a_killed_vnotch_takes_its_trial_with_it_and_keeps_its_pairs() {
    let bench = bench();
    let [a, b] = ["a", "b"].map(|name| Fake::of(&bench, name, &[1000.0]).hanging_from(3));
    let _alone = alone();
    let mut command = vnotch();
    let command = compare_fakes(&bench, &mut command, [&a, &b]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("a trial hangs", || a.hanging().or(b.hanging()).is_some());
    let trial = a.hanging().or(b.hanging()).unwrap();
    assert!(Path::new(&format!("/proc/{trial}")).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the trial has ended", || !fake::is_running(trial));
    assert_eq!(stored(&bench.path("results")), 2);
    assert!(fs::read_dir(unfinished(&bench)).is_ok());
}

#[test]
fn what_cannot_be_compared_is_refused_before_anything_is_measured() {
    let bench = bench();
    let refusal = |more: &[&str]| end(compare(&bench, &mut vnotch()).args(more)).refusal(2);
    let file = bench.file.to_str().unwrap().to_owned();
    let nothing = refusal(&[]);
    assert!(nothing.contains("nothing that differs"), "{nothing}");
    let binary = refusal(&["--binary-b", "no/such/vnotch"]);
    assert!(binary.contains("--binary-b: no/such/vnotch does not exist; build it first"), "{binary}");
    let other = refusal(&["--binary-b", "/bin/true"]);
    assert!(other.contains("is not a vnotch"), "{other}");
    let metric = refusal(&[&file, "--metric", "latency_ns.response.p99"]);
    assert!(metric.contains("nothing has an intended time under `load.mode=closed`"), "{metric}");
    let wrong = refusal(&["--set-b", "durability=maybe"]);
    assert!(wrong.contains("B is refused") && wrong.contains("durability"), "{wrong}");
    let sweep = refusal(&[&file, "--set", "sweep.batch.max_records=[1, 2]"]);
    assert!(sweep.contains("is a sweep"), "{sweep}");
    let set = "load={mode: open, rate: 50%}";
    let share = refusal(&[&file, "--set", set]);
    assert!(share.contains("set one rate for both, such as `--set load.rate=20k/s`"), "{share}");
    let missing =
        end(vnotch().args(["compare", "--interleave", "thruput", "--set-b", "durability=synced"])).refusal(2);
    assert!(missing.contains("did you mean `throughput`?"), "{missing}");
    assert!(bench.results().is_empty() && !bench.path("data").exists());
}

#[test]
fn a_metric_that_no_trial_has_is_refused_with_those_that_there_are() {
    let bench = bench();
    let [a, b] = ["a", "b"].map(|name| Fake::of(&bench, name, &[1000.0]));
    let ended =
        end(compare_fakes(&bench, &mut vnotch(), [&a, &b]).args(["-q", "--metric", "produce.record_per_s"]));
    let message = ended.refusal(2);
    assert!(message.contains("it has:\n") && message.contains("\n  produce.records_per_s\n"), "{message}");
    assert!(bench.results().is_empty() && !bench.path("data").exists());
}

#[test]
fn defaults_that_another_binary_resolves_differently_are_shown() {
    let bench = bench();
    let old = Fake::of(&bench, "old", &[1000.0])
        .checked_with(r#"s/"index_interval_bytes": "4KiB"/"index_interval_bytes": "8KiB"/"#);
    let new = Fake::of(&bench, "new", &[1000.0]);
    let ended =
        end(compare_fakes(&bench, &mut vnotch(), [&old, &new]).args(["--pairs", "1", "--format", "json"]));
    assert!(ended.stderr.contains("log.index_interval_bytes: A 8KiB, B 4KiB"), "{}", ended.stderr);
    let differences = &json(&ended)["comparison"]["differences"];
    let expected = serde_json::json!([{ "key": "log.index_interval_bytes", "a": "8KiB", "b": "4KiB" }]);
    assert_eq!(differences, &expected);
}

#[test]
fn a_precision_that_is_reached_ends_the_series_after_ten_pairs() {
    let bench = bench();
    let [a, b] = [Fake::of(&bench, "a", &[1000.0, 1001.0]), Fake::of(&bench, "b", &[1000.0, 999.0])];
    let wide = Fake::of(&bench, "wide", &[1000.0, 1300.0, 800.0]);
    let run = |b: &Fake, most: &str| {
        let more = ["--format", "json", "--precision", "1%", "--pairs-max", most];
        end(compare_fakes(&bench, &mut vnotch(), [&a, b]).args(more))
    };
    let pairs = |ended: &Ended| json(ended)["comparison"]["pairs"].as_array().unwrap().len();
    let narrow = run(&b, "40");
    assert_eq!((narrow.code, pairs(&narrow)), (Some(0), 10), "{}", narrow.stderr);
    let wide = run(&wide, "12");
    assert_eq!(pairs(&wide), 12, "{}", wide.stderr);
    assert!(wide.stderr.contains("12 pairs are needed for this precision"), "{}", wide.stderr);
    assert!(
        json(&wide)["comparison"]["notes"].to_string().contains("was not reached with 12 pairs"),
        "{}",
        wide.stdout
    );
}

#[test]
fn a_dry_run_says_what_it_would_take_and_what_differs() {
    let bench = bench();
    let text =
        end(compare(&bench, &mut vnotch()).args(["--set-b", "durability=synced", "--dry-run"])).success();
    for expected in [
        "10 pairs, about ",
        "produce.records_per_s, band 2.00 %",
        "disk    at most",
        "durability: A written, B synced",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let mut calibrate = vnotch();
    calibrate.args(["compare", "--calibrate", "--dry-run"]).arg(&bench.file);
    let text = end(&mut calibrate).success();
    assert!(text.contains("20 pairs of A with itself"), "{text}");
    let dry = |arguments: &[&str]| {
        let set = ["--set-b", "durability=synced", "--dry-run"];
        end(compare(&bench, &mut vnotch()).args(set).args(arguments))
    };
    let text = dry(&["--precision", "1%", "--pairs-max", "40"]).success();
    let times = text.lines().next().unwrap().rsplit_once("about ").unwrap().1;
    assert!(text.contains("10 to 40 pairs") && times.contains(" to "), "{text}");
    let typo = dry(&["--metric", "produce.record_per_s"]).refusal(2);
    assert!(typo.contains("did you mean `produce.records_per_s`?"), "{typo}");
    assert!(bench.results().is_empty() && !bench.path("data").exists());
}
