//! Sweeps run as commands: the messages before one begins, the files of one that ended early, and its continuation.

use super::run::{Bench, SMALL, result_of};
use crate::support::{Ended, alone, end, vnotch};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const SWEEP: &str = "sweep: {log.segment_bytes: [1MiB, 2MiB], batch.max_records: [1, 4]}\n";

fn bench() -> Bench {
    Bench::new(&(SMALL.replace("measure: 400ms", "measure: 500ms") + SWEEP))
}

/// Starts a sweep with trials that would take minutes, and waits until `trials` of them are stored.
fn started(bench: &Bench, trials: usize) -> Child {
    let child = bench
        .run(&mut vnotch())
        .arg("--trials")
        .arg("20")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let begun = Instant::now();
    while kept(bench) < trials && begun.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.unwrap()
}

/// Returns the number of trials that the only unfinished sweep has stored.
fn kept(bench: &Bench) -> usize {
    let names = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let trials = bench.results().into_iter().flat_map(|dir| names(dir.join("trials")));
    trials.filter(|path| path.extension().is_some_and(|extension| extension == "json")).count()
}

fn points(result: &serde_json::Value) -> Vec<usize> {
    let points = result["points"].as_array().unwrap();
    points.iter().map(|point| point["trials"].as_array().unwrap().len()).collect()
}

#[test]
fn a_sweep_is_estimated_measured_and_written_and_then_there_is_nothing_to_do() {
    let bench = bench();
    let ended = end(bench.run(&mut vnotch()).args(["--trials", "2"]));
    assert!(
        ended.stderr.contains("small: 4 combinations × closed with 2 in flight × 2 trials, about "),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("trial 8 of 8, about "), "{}", ended.stderr);
    ended.success();
    let [directory] = &bench.results()[..] else { panic!("one result") };
    assert!(!directory.to_str().unwrap().ends_with(".partial"));
    let result = result_of(directory);
    assert_eq!((&result["kind"], points(&result)), (&"sweep".into(), vec![2; 4]));
    assert_eq!(result["verdict"]["status"], "valid", "{}", result["verdict"]);
    assert!(!bench.path("data").exists());
    let again = end(bench.run(&mut vnotch()).args(["--trials", "2", "--resume"]));
    assert!(again.stderr.contains("is finished: nothing to do"), "{}", again.stderr);
    again.success();
    assert_eq!(bench.results().len(), 1);
    let other = end(bench.run(&mut vnotch()).args(["--trials", "3", "--resume"])).refusal(2);
    assert!(other.contains("no sweep of `small` to resume"), "{other}");
}

#[test]
fn a_killed_sweep_is_gone_on_with_and_only_by_its_own_workload() {
    let bench = bench();
    let _alone = alone();
    let mut child = started(&bench, 2);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(bench.path("data")).unwrap();
    let [partial] = &bench.results()[..] else { panic!("one directory") };
    assert!(partial.to_str().unwrap().ends_with(".partial") && !partial.join("result.json").exists());
    let run = |arguments: &[&str]| Ended::from(bench.run(&mut vnotch()).args(arguments).output().unwrap());

    let other = run(&["--trials", "21", "--resume"]).refusal(2);
    assert!(
        other.contains("is a sweep of `small`") && other.contains("trials: 20 there, 21 here"),
        "{other}"
    );
    let other = run(&["--trials", "20", "--set", "verify=none", &format!("--resume={}", partial.display())])
        .refusal(2);
    assert!(other.contains("verify: \"sequence\" there, \"none\" here"), "{other}");
    let report = Ended::from(vnotch().arg("report").arg(partial).output().unwrap()).refusal(2);
    assert!(report.contains("--resume"), "{report}");
    assert!(!bench.path("data").exists());

    // The sweep is resumed and interrupted again, and writes a preliminary result.
    let before = kept(&bench);
    let mut command = vnotch();
    let child = bench.run(&mut command).args(["--trials", "20", "--resume"]);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while kept(&bench) == before && begun.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(20));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    let result = result_of(partial);
    assert_eq!(result["verdict"]["status"], "interrupted");
    assert_eq!(result["provenance"]["resumed_at"].as_array().unwrap().len(), 1);
    assert!(points(&result).iter().sum::<usize>() > before, "{:?}", points(&result));
    assert!(partial.join("report.html").exists());
    assert_eq!(bench.results().len(), 1);
}

#[test]
fn an_interrupted_rerun_of_a_sweep_is_gone_on_with() {
    let bench = bench();
    let _alone = alone();
    let first = Ended::from(bench.run(&mut vnotch()).args(["--trials", "2"]).output().unwrap());
    first.success();
    let [directory] = &bench.results()[..] else { panic!("one result") };
    let rerun = |arguments: &[&str]| {
        let mut command = vnotch();
        command.arg("rerun").arg(directory).arg("-o").arg(bench.path("again")).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let trials =
        |name: &str| fs::read_dir(bench.path("again").join(name).join("trials")).map_or(0, Iterator::count);
    let again = || -> Vec<String> {
        let entries = fs::read_dir(bench.path("again")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };

    let child = rerun(&[]);
    let begun = Instant::now();
    while again().iter().all(|name| trials(name) < 2) && begun.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    let [partial] = &again()[..] else { panic!("one directory, not {:?}", again()) };
    assert!(partial.ends_with(".partial"), "{partial}");
    let name = directory.file_name().unwrap().to_str().unwrap();

    let ended = Ended::from(rerun(&["--resume"]).wait_with_output().unwrap());
    ended.success();
    let [whole] = &again()[..] else { panic!("one directory, not {:?}", again()) };
    let result = result_of(&bench.path("again").join(whole));
    assert_eq!((&result["kind"], points(&result)), (&"sweep".into(), vec![2; 4]));
    assert_eq!(result["provenance"]["tags"]["rerun_of"], name);
    assert_eq!(result["provenance"]["resumed_at"].as_array().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_resumed_is_exit_2() {
    let bench = Bench::new(SMALL);
    let no_sweep = end(bench.run(&mut vnotch()).arg("--resume")).refusal(2);
    assert!(no_sweep.contains("small has no `sweep`"), "{no_sweep}");
    let bench = self::bench();
    let none = end(bench.run(&mut vnotch()).arg("--resume")).refusal(2);
    assert!(none.contains("there is no sweep of `small` to resume below"), "{none}");
    let missing = end(bench.run(&mut vnotch()).arg("--resume=nowhere")).refusal(2);
    assert!(missing.contains("there is no nowhere to resume"), "{missing}");
    fs::create_dir(bench.path("empty")).unwrap();
    let empty =
        end(bench.run(&mut vnotch()).arg(format!("--resume={}", bench.path("empty").display()))).refusal(2);
    assert!(empty.contains("does not hold an unfinished sweep"), "{empty}");
    assert!(bench.results().is_empty());
}

#[test]
fn a_dry_run_lists_the_combinations_and_what_all_of_them_cost() {
    let bench = bench();
    let text = end(bench.run(&mut vnotch()).args(["--dry-run", "--trials", "3"])).success();
    for expected in [
        "points    4 combinations × closed with 2 in flight × 3 trials",
        "time      about ",
        "disk      at most ",
        "answer    the settings that remain as the best by throughput; 3 blocks are too few for an answer, which needs 8\n",
        "    batch.max_records=1, log.segment_bytes=1MiB\n",
        "    batch.max_records=4, log.segment_bytes=2MiB\n",
    ] {
        assert!(text.contains(expected), "{expected} in:\n{text}");
    }
    let json = end(bench.run(&mut vnotch()).args(["--dry-run", "--format", "json"])).success();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["workloads"][0]["combinations"][3]["log.segment_bytes"], "2MiB");
    assert_eq!(json["workloads"][0]["estimate"]["points"], 4);
    assert_eq!(
        (&json["workloads"][0]["metric"], &json["workloads"][0]["answer"]),
        (&"throughput".into(), &"best".into())
    );
    assert!(bench.results().is_empty() && !bench.path("data").exists());
}

#[test]
fn too_little_disk_for_one_combination_is_exit_2_before_anything_is_written() {
    let bench = bench();
    let sets = ["--set", "sweep={partitions_per_topic: [1, 2000]}", "--set", "log.segment_bytes=1GiB"];
    let refused = end(bench.run(&mut vnotch()).args(sets)).refusal(2);
    assert!(refused.contains("small (partitions_per_topic=2000) may need "), "{refused}");
    assert!(!bench.path("results").exists() && !bench.path("data").exists());
}

#[test]
fn ten_thousand_combinations_are_asked_about() {
    let bench = bench();
    let list = (1..=10_001).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let set = format!("sweep={{batch.max_records: [{list}]}}");
    let refused = end(bench.run(&mut vnotch()).args(["--set", &set])).refusal(2);
    let message = &refused[refused.find("]}: ").unwrap()..];
    assert!(
        message.contains("10001 combinations would take about") && message.contains("`--yes`"),
        "{message}"
    );
    let listed = end(bench.run(&mut vnotch()).args(["--set", &set, "--yes", "--dry-run"])).success();
    assert!(listed.contains("10001 combinations") && listed.contains("… and 9981 more"), "{listed}");
}
