//! Workloads whose consumers are members of groups, run as commands with the real engine.

use crate::run::{Bench, result_of};
use crate::support::{end, vnotch};
use std::fs;
use std::path::Path;

/// Three members that leave and join several times in a window of two seconds.
const CHURNED: &str = "\
partitions_per_topic: 4
consumers_per_subscription: 3
load: {mode: closed, in_flight: 2}
batch: {max_records: 4}
engine: {arena_bytes: 16MiB, fetch_pinned_bytes: 4MiB}
log: {segment_bytes: 1MiB, max_message_bytes: 64KiB}
consume: {heartbeat_interval: 20ms, commit: {every: 50ms}, churn: {every: 300ms}}
phases: {warmup: 100ms, measure: 2s, drain: 20s}
trials: 1
ceiling: off
warm_memory: off
";

const GROUP: &str = "vnotch-vnotch-0-bench1-group";

/// Runs a workload that succeeds. Returns its first screen, its lines of progress, and its first trial.
fn run(bench: &Bench, sets: &[&str]) -> (String, String, serde_json::Value) {
    let mut command = vnotch();
    let command = bench.run(&mut command);
    sets.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    let ended = end(command);
    let progress = ended.stderr.clone();
    let screen = ended.success();
    let result = result_of(&bench.results()[0]);
    (screen, progress, result["points"][0]["trials"][0].clone())
}

fn read(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap()
}

#[test]
fn members_that_leave_and_join_lose_nothing_and_the_result_says_what_it_cost() {
    let bench = Bench::new(CHURNED);
    let (screen, progress, trial) = run(&bench, &[]);
    assert!(progress.contains("  lag "), "the live line has the lag: {progress}");
    let (groups, integrity) = (&trial["groups"], &trial["integrity"]);
    assert_eq!((&groups["groups"], &groups["members"]), (&1.into(), &3.into()), "{groups}");
    assert_eq!(groups["assignor"], "cooperative-sticky");
    assert!(groups["rebalances"].as_u64().unwrap() >= 3, "{groups}");
    assert!(groups["commits"].as_u64().unwrap() > 20, "{groups}");
    for time in ["rebalance_max_s", "stop_max_s", "commit_p50_us", "commit_max_us"] {
        assert!(groups[time].as_f64().unwrap() > 0.0, "{time}: {groups}");
    }
    assert_eq!(groups["lag_end"], 0);
    for none in ["gaps", "duplicates", "reorders", "corruptions", "undrained", "skipped", "double_owned"] {
        assert_eq!(integrity[none], 0, "{none}: {integrity}");
    }
    assert!(integrity["redelivered"].is_u64(), "it was checked: {integrity}");
    for line in [
        " rebalances",
        "longest stop of a partition",
        " redelivered, none skipped, none double-owned; final lag 0",
    ] {
        assert!(screen.contains(line), "{line} in:\n{screen}");
    }
    let directory = &bench.results()[0];
    let series = read(directory, "series.csv");
    assert!(series.lines().next().unwrap().ends_with(&format!(",lag,lag_{GROUP}")), "{series}");
    let events = read(directory, "events.jsonl");
    for kind in ["rebalance", "commit"] {
        let is_of = |line: &&str| line.contains(&format!("\"kind\":\"{kind}\"")) && line.contains(GROUP);
        let event = events.lines().find(is_of).unwrap_or_else(|| panic!("no {kind}"));
        assert!(event.contains("\"length_s\":"), "{event}");
    }
    assert!(directory.join("charts").join("lag.svg").exists());
}

#[test]
fn members_that_wait_for_their_commits_or_make_none_read_everything() {
    for (mode, commits) in [("sync", true), ("none", false)] {
        let bench = Bench::new(CHURNED);
        let (_, _, trial) = run(
            &bench,
            &[&format!("consume.commit.mode={mode}"), "consume.assignor=range", "phases.measure=1s"],
        );
        let (groups, integrity) = (&trial["groups"], &trial["integrity"]);
        assert_eq!(groups["commits"].as_u64().unwrap() > 0, commits, "{mode}: {groups}");
        assert_eq!(
            (&integrity["skipped"], &integrity["undrained"]),
            (&0.into(), &0.into()),
            "{mode}: {integrity}"
        );
        let redelivered = integrity["redelivered"].as_u64().unwrap();
        assert!(commits || redelivered > 0, "{mode}: {integrity}");
    }
}
