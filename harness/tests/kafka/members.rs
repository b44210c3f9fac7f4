//! Workloads whose consumers are members of groups of real Kafka.

use super::Bench;
use super::cluster::cluster;
use crate::support::end;
use serde_json::Value;
use std::path::PathBuf;

/// Three members that leave and join several times in a window of six seconds.
const CHURNED: [&str; 5] = [
    "partitions_per_topic=4",
    "consumers_per_subscription=3",
    "consume={heartbeat_interval: 100ms, commit: {every: 200ms}, churn: {every: 1500ms}}",
    "phases.measure=6s",
    "trials=1",
];
const GROUP: &str = "vnotch-vnotch-0-bench1-group";

fn churned(bench: &Bench, more: &[&str]) -> (String, Value) {
    let sets = CHURNED.iter().chain(more).flat_map(|set| ["--set", set]);
    let ended = end(&mut bench.run(&sets.collect::<Vec<_>>()));
    assert!([Some(0), Some(5)].contains(&ended.code), "{}{}", ended.stdout, ended.stderr);
    (ended.stdout, bench.result())
}

fn only_result(bench: &Bench) -> PathBuf {
    std::fs::read_dir(bench.path("results")).unwrap().next().unwrap().unwrap().path()
}

fn assert_whole(trial: &Value) {
    let integrity = &trial["integrity"];
    assert!(integrity["checked"].as_u64().unwrap() > 10_000, "{integrity}");
    for none in ["gaps", "duplicates", "reorders", "corruptions", "undrained", "skipped", "double_owned"] {
        assert_eq!(integrity[none], 0, "{none}: {integrity}");
    }
    assert!(integrity["redelivered"].is_u64(), "it was checked: {integrity}");
    let groups = &trial["groups"];
    assert_eq!((&groups["groups"], &groups["members"]), (&1.into(), &3.into()), "{groups}");
    assert!(groups["rebalances"].as_u64().unwrap() >= 2, "{groups}");
    assert_eq!(groups["lag_end"], 0, "{groups}");
    for time in ["rebalance_max_s", "stop_max_s"] {
        assert!(groups[time].as_f64().unwrap() > 0.0, "{time}: {groups}");
    }
}

#[test]
fn members_that_leave_and_join_lose_nothing_however_they_commit_and_are_assigned() {
    let bench = Bench::new();
    let sweep =
        "sweep={consume.commit.mode: [auto, sync, none], consume.assignor: [cooperative-sticky, range]}";
    let (screen, result) = churned(&bench, &[sweep]);
    let points = result["points"].as_array().unwrap();
    assert_eq!(points.len(), 6);
    for point in points {
        let trial = &point["trials"][0];
        assert_whole(trial);
        let (groups, mode) = (&trial["groups"], &point["consume"]["commit"]["mode"]);
        eprintln!("{}: {groups} {}", point["settings"], trial["integrity"]);
        let _ = mode;
    }
    assert!(screen.contains("redelivered"), "{screen}");
    let directory = only_result(&bench);
    let _ = directory;
    bench.assert_nothing_is_left();
}

#[test]
fn groups_of_a_run_are_removed_with_its_topics() {
    let (cluster, bench) = (cluster(), Bench::new());
    let target = format!("target=kafka://{}", cluster.plain());
    let sets = [&target, "kafka={}", "consume={assignment: group}", "trials=1"];
    let ended = end(&mut bench.run(&sets.iter().flat_map(|set| ["--set", set]).collect::<Vec<_>>()));
    assert!([Some(0), Some(5)].contains(&ended.code), "{}{}", ended.stdout, ended.stderr);
    assert!(bench.result()["points"][0]["trials"][0]["groups"]["commits"].as_u64().unwrap() > 0);
    let left: Vec<String> = cluster.groups().into_iter().filter(|id| id.starts_with("vnotch-")).collect();
    assert!(left.is_empty(), "{left:?}");
}
