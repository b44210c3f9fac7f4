//! Two runs of the same workload and seed on the fake system make the same result document, field by field, except for what the
//! real clock and other processes decide.

use super::sweep_tests::{Bench, study};
use crate::result::RunResult;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const WORKLOAD: &str = "
name: same-seed
message_size: {min: 50B, max: 300B}
key_distribution: uniform
payload: {seed: 7}
partitions_per_topic: 3
ceiling: off
warm_memory: off
phases: {warmup: 0, measure: 200ms, drain: 5s}
trials: 2
late_retries: 0
load: {mode: open, rate: 2k/s, arrival: poisson}
sweep: {batch.max_records: [10, 20], durability: [written, synced]}
";

/// Fields that may differ, with everything below them. `*` stands for an index. The rest must be equal.
const MAY_DIFFER: [&str; 20] = [
    // Times of day, and lengths of real time.
    "elapsed_s",
    "provenance.started_at",
    "points.*.trials.*.clock_zero_unix_ms",
    "points.*.trials.*.window_start_s",
    // The state of the machine.
    "environment.cgroup",
    "environment.load",
    "environment.memory.available_bytes",
    "environment_at_end",
    "points.*.trials.*.resources",
    // Figures that follow from how fast the threads of this process ran.
    "points.*.first_attempts",
    "points.*.summary",
    "points.*.trials.*.batches",
    "points.*.trials.*.consume",
    "points.*.trials.*.is_late",
    "points.*.trials.*.late_percentile",
    "points.*.trials.*.latency_ns",
    "points.*.trials.*.offered.achieved",
    "points.*.trials.*.produce",
    // Judgements of those figures.
    "points.*.verdict",
    "verdict",
];

/// Fields among these that not every document has.
const OPTIONAL: [&str; 2] = ["points.*.first_attempts", "points.*.trials.*.late_percentile"];

fn run(yaml: &str) -> RunResult {
    Bench::new().begin(&study(yaml)).unwrap().recording.result
}

/// Returns each value by its dotted path.
fn flat(result: &RunResult) -> BTreeMap<String, Value> {
    fn collect(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value {
            Value::Object(map) if !map.is_empty() => {
                map.iter().for_each(|(key, value)| collect(&below(key), value, into));
            }
            Value::Array(list) if !list.is_empty() => {
                list.iter()
                    .enumerate()
                    .for_each(|(index, value)| collect(&below(&index.to_string()), value, into));
            }
            leaf => {
                into.insert(path.to_owned(), leaf.clone());
            }
        }
    }
    let mut flat = BTreeMap::new();
    collect("", &serde_json::to_value(result).unwrap(), &mut flat);
    flat
}

/// Whether `path` is the field `pattern`, or lies below it.
fn is_of(path: &str, pattern: &str) -> bool {
    let mut parts = path.split('.');
    pattern.split('.').all(|wanted| {
        parts.next().is_some_and(|part| part == wanted || (wanted == "*" && part.parse::<usize>().is_ok()))
    })
}

/// Returns the paths that must be equal and are not, with both values.
fn differing<'v>(
    a: &'v BTreeMap<String, Value>,
    b: &'v BTreeMap<String, Value>,
) -> BTreeMap<String, [Option<&'v Value>; 2]> {
    let paths: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let must_be_equal = |path: &&&String| !MAY_DIFFER.iter().any(|pattern| is_of(path, pattern));
    paths
        .iter()
        .filter(must_be_equal)
        .filter(|path| a.get(**path) != b.get(**path))
        .map(|path| ((**path).clone(), [a.get(*path), b.get(*path)]))
        .collect()
}

#[test]
fn the_same_seed_makes_the_same_document_but_for_what_is_listed() {
    let (first, second) = (flat(&run(WORKLOAD)), flat(&run(WORKLOAD)));
    assert_eq!(differing(&first, &second), BTreeMap::new());
    for pattern in MAY_DIFFER.iter().filter(|pattern| !OPTIONAL.contains(pattern)) {
        assert!(first.keys().any(|path| is_of(path, pattern)), "no field is called {pattern}");
    }
    for path in [
        "points.3.trials.1.integrity.checked",
        "points.0.trials.0.offered.records",
        "workloads.1.load.arrival",
    ] {
        assert!(first.contains_key(path) && !first[path].is_null(), "{path} is compared");
    }
}

#[test]
fn another_seed_makes_another_document() {
    let other = WORKLOAD.replace("seed: 7", "seed: 8");
    let (first, second) = (flat(&run(WORKLOAD)), flat(&run(&other)));
    let differing = differing(&first, &second);
    for path in
        ["provenance.seed", "provenance.order_seed", "provenance.workload_sha256", "workload.payload.seed"]
    {
        assert!(differing.contains_key(path), "{path} in {differing:?}");
    }
    assert!(differing.keys().any(|path| path.ends_with("offered.records")), "the arrivals: {differing:?}");
}
