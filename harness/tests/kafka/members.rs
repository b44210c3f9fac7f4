//! Workloads whose consumers are members of groups of real Kafka.

use super::Bench;
use super::cluster::cluster;
use crate::support::end;
use serde_json::Value;

/// Three members that leave and join several times in a window of six seconds. On a busy machine the last rebalance may take long, so
/// the drain has time for it.
const CHURNED: [&str; 7] = [
    "partitions_per_topic=4",
    "consumers_per_subscription=3",
    "consume.heartbeat_interval=100ms",
    "consume.commit.every=200ms",
    "consume.churn.every=1500ms",
    "phases.measure=6s",
    "phases.drain=60s",
];
/// The ways to commit.
const MODES: &str = "sweep={consume.commit.mode: [auto, sync, none]}";
const GROUP: &str = "vnotch-vnotch-0-bench1-group";

/// Runs the workload with these settings. Returns the first screen and the result.
fn run(bench: &Bench, sets: &[&str]) -> (String, Value) {
    let arguments = sets.iter().flat_map(|set| ["--set", *set]).chain(["--trials", "1"]);
    let ended = end(&mut bench.run(&arguments.collect::<Vec<_>>()));
    assert!([Some(0), Some(5)].contains(&ended.code), "{}{}", ended.stdout, ended.stderr);
    (ended.stdout, bench.result())
}

/// Checks a trial whose members came and went: nothing is lost, and the result says what happened.
fn assert_whole(trial: &Value) {
    let (groups, integrity) = (&trial["groups"], &trial["integrity"]);
    assert!(integrity["checked"].as_u64().unwrap() > 10_000, "{integrity}");
    for none in ["gaps", "duplicates", "reorders", "corruptions", "undrained", "skipped", "double_owned"] {
        assert_eq!(integrity[none], 0, "{none}: {integrity}");
    }
    assert_eq!((&groups["groups"], &groups["members"]), (&1.into(), &3.into()), "{groups}");
    assert!(groups["rebalances"].as_u64().unwrap() >= 2, "{groups}");
    assert_eq!(groups["lag_end"], 0, "{groups}");
    for time in ["rebalance_max_s", "stop_max_s"] {
        assert!(groups[time].as_f64().unwrap() > 0.0, "{time}: {groups}");
    }
}

#[test]
fn members_that_leave_and_join_lose_nothing_however_they_commit() {
    let bench = Bench::new();
    let (_, result) = run(&bench, &[&CHURNED[..], &[MODES]].concat());
    let points = result["points"].as_array().unwrap();
    assert_eq!(points.len(), 3);
    for point in points {
        let trial = &point["trials"][0];
        assert_whole(trial);
        let (groups, integrity) = (&trial["groups"], &trial["integrity"]);
        let redelivered = integrity["redelivered"].as_u64().unwrap();
        if point["settings"].to_string().contains("none") {
            assert_eq!(groups["commits"], 0, "{groups}");
            assert!(redelivered > 1000, "without commits a new owner reads all again: {integrity}");
        } else {
            assert!(groups["commits"].as_u64().unwrap() > 20, "{groups}");
            assert!(groups["commit_p50_us"].as_f64().unwrap() > 0.0, "{groups}");
        }
    }
    bench.assert_nothing_is_left();
}

#[test]
fn a_run_tells_lag_rebalances_and_commits_over_time_and_removes_its_groups() {
    let (cluster, bench) = (cluster(), Bench::new());
    let target = format!("target=kafka://{}", cluster.plain());
    let (screen, result) =
        run(&bench, &[&CHURNED[..], &["consume.assignor=range", target.as_str(), "kafka={}"]].concat());
    assert_whole(&result["points"][0]["trials"][0]);
    for line in [" rebalances", "longest stop of a partition", "none skipped, none double-owned; final lag 0"]
    {
        assert!(screen.contains(line), "{line} in:\n{screen}");
    }
    let directory = std::fs::read_dir(bench.path("results")).unwrap().next().unwrap().unwrap().path();
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).unwrap();
    let series = read("series.csv");
    assert!(series.lines().next().unwrap().ends_with(&format!(",lag,lag_{GROUP}")), "{series}");
    let events = read("events.jsonl");
    for kind in ["rebalance", "commit"] {
        let is_of = |line: &&str| line.contains(&format!("\"kind\":\"{kind}\"")) && line.contains(GROUP);
        let event = events.lines().find(is_of).unwrap_or_else(|| panic!("no {kind}"));
        assert!(event.contains("\"length_s\":"), "{event}");
    }
    assert!(directory.join("charts").join("lag.svg").exists());
    let left: Vec<String> = cluster.groups().into_iter().filter(|id| id.starts_with("vnotch-")).collect();
    assert!(left.is_empty(), "{left:?}");
}
