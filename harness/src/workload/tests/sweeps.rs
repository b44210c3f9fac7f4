//! Tests of sweeps: the workloads that a sweep expands to, and every mistake that one can have.

use super::*;
use crate::workload::study::Many;
use serde_json::json;

fn study(yaml: &str) -> Study {
    parse_study(yaml, "test.yaml", &[], Many::Refused, crate::system::CAPABILITIES).unwrap()
}

fn with_sets(yaml: &str, sets: &[&str]) -> anyhow::Result<Study> {
    let overrides: Vec<_> = sets.iter().map(|set| Override::set(set).unwrap()).collect();
    parse_study(yaml, "test.yaml", &overrides, Many::Refused, crate::system::CAPABILITIES)
}

#[test]
fn there_is_a_combination_for_every_pair_of_values_and_the_first_key_changes_slowest() {
    let study = study("trials: 2\nsweep: {log.segment_bytes: [16MiB, 1GiB], durability: [written, synced]}");
    let settings: Vec<_> = study.combinations.iter().map(Combination::label).collect();
    assert_eq!(
        settings,
        [
            "durability=written, log.segment_bytes=16MiB",
            "durability=synced, log.segment_bytes=16MiB",
            "durability=written, log.segment_bytes=1GiB",
            "durability=synced, log.segment_bytes=1GiB",
        ]
    );
    let last = &study.combinations[3];
    assert_eq!(json!(last.settings), json!({"log.segment_bytes": "1GiB", "durability": "synced"}));
    assert_eq!(
        (last.workload.log.segment_bytes, last.workload.durability),
        (Bytes::gib(1), Durability::Synced)
    );
    assert!(study.combinations.iter().all(|it| it.workload.sweep.is_empty() && it.workload.trials == 2));
    assert_eq!(study.combinations[0].workload.name, study.workload.name);
}

#[test]
fn any_key_can_be_swept_with_values_of_its_own_form() {
    let study = study(
        "sweep:\n  partitions_per_topic: [1, 4]\n  message_size: [100B, {min: 1KiB, max: 2KiB}]\n  engine.io: [direct]\n  \
         load: [{mode: max}, {mode: closed, in_flight: 4}]",
    );
    assert_eq!(study.combinations.len(), 8);
    let last = &study.combinations[7];
    assert_eq!(last.workload.message_size.largest(), Bytes::kib(2));
    assert_eq!(last.workload.load.mode, LoadMode::Closed { in_flight: 4 });
    assert_eq!(last.settings["partitions_per_topic"], json!(4));
    assert_eq!(last.settings["message_size"], json!({"min": "1KiB", "max": "2KiB"}));
}

#[test]
fn a_workload_without_a_sweep_is_a_study_of_itself() {
    for yaml in ["trials: 5", "trials: 5\nsweep: {}"] {
        let study = study(yaml);
        assert!(!study.is_sweep());
        assert_eq!(study.combinations.len(), 1);
        assert_eq!(study.combinations[0].workload, study.workload);
        assert!(study.combinations[0].settings.is_empty());
        assert_eq!(study.estimate(), study.workload.estimate());
    }
}

#[test]
fn the_base_may_be_wrong_where_every_combination_is_right() {
    let yaml =
        "log: {segment_bytes: 1GiB, retention_bytes: 64MiB}\nsweep: {log.segment_bytes: [16MiB, 64MiB]}";
    assert_eq!(study(yaml).combinations.len(), 2);
}

#[test]
fn a_sweep_is_set_narrowed_and_dropped_from_the_command_line() {
    let yaml = "sweep: {durability: [written, synced]}";
    let count = |sets: &[&str]| with_sets(yaml, sets).unwrap().combinations.len();
    assert_eq!(count(&["sweep.log.segment_bytes=[16MiB, 64MiB]"]), 4);
    assert_eq!(count(&["sweep.durability=[synced]"]), 1);
    assert!(!with_sets(yaml, &["sweep={}"]).unwrap().is_sweep());
    assert!(with_sets("{}", &["sweep.durability=[written, synced]"]).unwrap().is_sweep());
    for set in ["durability=written", "durability.x=1"] {
        let message = with_sets(yaml, &[set]).expect_err("every combination replaces it").to_string();
        assert!(message.starts_with(&format!("--set {set}: ")), "{message}");
    }
    let message =
        with_sets("sweep: {log.segment_bytes: [16MiB]}", &["log={segment_bytes: 1GiB}"]).unwrap_err();
    assert!(message.to_string().contains("sweeps `log.segment_bytes`"), "{message}");
}

#[test]
fn keys_that_cannot_be_swept_are_refused_with_the_reason() {
    let cases = [
        ("sweep: {trials: [1, 2]}", "`trials` cannot be swept: every combination is measured equally often"),
        ("sweep: {version: [1]}", "`version` cannot be swept: a file has one schema"),
        ("sweep: {name: [a, b]}", "`name` cannot be swept: the one result has one name"),
        ("sweep: {question: [a, b]}", "`question` cannot be swept: a sweep answers one question"),
        (
            "sweep: {ceiling: [auto, off]}",
            "`ceiling` cannot be swept: all points are compared with the same device",
        ),
        (
            "sweep: {slo.response_p99: [1ms]}",
            "`slo.response_p99` cannot be swept: the same objectives apply to every point",
        ),
        ("sweep: {require: [[]]}", "`require` cannot be swept: the same conditions apply to every point"),
        (
            "sweep: {log.segment_byte: [1MiB]}",
            "unknown key `log.segment_byte` in `sweep`; did you mean `log.segment_bytes`?",
        ),
        (
            "sweep: {segment_bytes: [1MiB]}",
            "unknown key `segment_bytes` in `sweep`; did you mean `log.segment_bytes`?",
        ),
        ("sweep: {nonsense: [1]}", "unknown key `nonsense` in `sweep`; `vnotch explain` lists every key"),
        ("sweep: {durability: []}", "`durability` has no values"),
        (
            "sweep: {load: [{mode: max}], load.mode: [max]}",
            "`load` and `load.mode` cannot both be swept: one contains the other",
        ),
    ];
    for (yaml, expected) in cases {
        let line = first_line(yaml);
        assert_eq!(line.splitn(4, ':').nth(3).map(str::trim_start), Some(expected), "{yaml}: {line}");
        assert!(line.starts_with("test.yaml:1:"), "{line}");
    }
    assert!(first_line("sweep: {sweep.x: [1]}").contains("sweeps cannot be nested"));
}

#[test]
fn a_wrong_value_is_shown_where_it_stands_in_the_sweep() {
    for (yaml, expected) in [
        (
            "sweep: {log.segment_bytes: [16MiB, 16KB]}",
            "test.yaml:1:36: with log.segment_bytes=16KB: `16KB` could mean two sizes",
        ),
        (
            "sweep: {durability: [written, sinced]}",
            "test.yaml:1:31: with durability=sinced: `sinced` is not one of",
        ),
        (
            "sweep: {partitions_per_topic: [1, many]}",
            "test.yaml:1:35: with partitions_per_topic=many: `many` is not a whole",
        ),
        ("sweep: {durability: synced}", "test.yaml:1:21: expected a list like `[…]`, found `synced`"),
    ] {
        let line = first_line(yaml);
        assert!(line.starts_with(expected), "{yaml}: {line}");
    }
}

#[test]
fn a_combination_that_does_not_fit_together_is_named() {
    let message = refused("sweep: {log.segment_bytes: [16MiB, 64MiB], log.retention_bytes: [32MiB, 128MiB]}");
    assert!(
        message.starts_with(
            "test.yaml:1:66: with log.retention_bytes=32MiB, log.segment_bytes=64MiB: `log.retention_bytes` (32MiB) must be at least"
        ),
        "{message}"
    );
    assert_eq!(message.lines().filter(|line| line.starts_with("test.yaml")).count(), 1, "{message}");
    let everywhere = first_line("topics: 0\nsweep: {durability: [written, synced]}");
    assert_eq!(everywhere, "test.yaml:1:9: `topics` must be at least 1");
}

#[test]
fn values_that_are_the_same_are_refused() {
    for (yaml, expected) in [
        ("sweep: {durability: [synced, synced]}", "test.yaml:1:30: `durability`: `synced` is listed twice"),
        (
            "sweep: {log.segment_bytes: [16MiB, 16384KiB]}",
            "test.yaml:1:36: `log.segment_bytes`: `16MiB` and `16384KiB` are the same",
        ),
    ] {
        assert_eq!(first_line(yaml), expected);
    }
}

#[test]
fn a_share_of_the_maximum_is_one_for_the_whole_sweep() {
    let yaml = "load: {mode: open, rate: 1k/s}\nsweep: {load.rate: [25%, 50%]}";
    assert!(
        first_line(yaml).contains("a rate in percent must be the same for the whole sweep"),
        "{}",
        first_line(yaml)
    );
    let mixed = first_line("sweep: {load: [{mode: max}, {mode: open, rate: 50%}]}");
    assert!(mixed.contains("a rate in percent must be the same"), "{mixed}");
    assert_eq!(
        study("load: {mode: open, rate: 1k/s}\nsweep: {load.rate: [1k/s, 2k/s]}").combinations.len(),
        2
    );
    assert_eq!(study("load: {mode: open, rate: 50%}\nsweep: {durability: [written, synced]}").passes(), 2);
}

#[test]
fn very_many_combinations_are_asked_about_and_far_too_many_refused() {
    let list = |n: u32| (1..=n).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    let yaml = |n, m| {
        format!(
            "trials: 1\nceiling: off\nsweep: {{partitions_per_topic: [{}], batch.max_records: [{}]}}",
            list(n),
            list(m)
        )
    };
    let line = first_line(&yaml(100, 100));
    assert!(line.contains("10000 combinations would take about"), "{line}");
    assert_eq!(study(&yaml(99, 101)).combinations.len(), 9_999, "these are not asked about");
    let line = first_line(&yaml(101, 100));
    assert!(line.contains("10100 combinations would take about"), "{line}");
    assert!(line.contains("of disk at a time; add `--yes` to run them all"), "{line}");
    let allowed =
        parse_study(&yaml(101, 100), "test.yaml", &[], Many::Allowed, crate::system::CAPABILITIES).unwrap();
    assert_eq!(allowed.combinations.len(), 10_100);
    let line = first_line(&yaml(1000, 1000));
    assert!(
        line.contains("1000000 combinations") && line.ends_with("a sweep may have at most 100000"),
        "{line}"
    );
}

#[test]
fn a_sweeps_estimate_is_the_sum_of_times_and_the_largest_disk() {
    let sweep = study(
        "ceiling: off\ntrials: 2\nphases: {warmup: 1s, measure: 9s, drain: 5s}\nload: {mode: open, rate: 1k/s}\n\
         sweep: {log.segment_bytes: [1MiB, 1GiB], partitions_per_topic: [1, 4]}",
    );
    let (estimate, alone) = (sweep.estimate(), sweep.combinations[3].workload.estimate());
    assert_eq!((estimate.points, estimate.trials), (4, 2));
    assert_eq!(estimate.disk_peak_bytes, alone.disk_peak_bytes);
    assert!((estimate.seconds - 4.0 * alone.seconds).abs() < 1e-6);
    assert!((estimate.seconds_max - 4.0 * alone.seconds_max).abs() < 1e-6);
    let retries = |count: u32| {
        study(&format!("trials: 2\nload: {{mode: open, rate: 50%}}\nlate_retries: {count}")).estimate()
    };
    assert!(retries(3).seconds_max > retries(0).seconds_max, "each trial at the rate may be made four times");
    assert!(retries(1).seconds > retries(0).seconds, "some trials at the rate are expected to be late");
    assert!(
        (retries(3).seconds - retries(1).seconds).abs() < 1e-6,
        "and to be in time when they are repeated"
    );
    let with_ceiling = study("sweep: {durability: [written, synced]}");
    let once = 2.0 * with_ceiling.workload.estimate().seconds - with_ceiling.estimate().seconds;
    assert!(once > 0.0, "the device's best is looked at twice, not twice a combination: {once}");
    let partly = study("sweep: {durability: [appended, written]}");
    let alone: f64 = partly.combinations.iter().map(|it| it.workload.estimate().seconds).sum();
    assert!((partly.estimate().seconds - alone).abs() < 1e-6, "no disk is a ceiling for `appended` acks");
}

/// For each study, the minutes and the GiB that its header promises.
const STUDIES: [(&str, f64, u64); 8] = [
    ("durability-and-batch", 10.0, 2),
    ("partitions", 14.0, 8),
    ("preallocate", 11.0, 2),
    ("segments-and-retention", 15.0, 2),
    ("catch-up", 11.0, 4),
    ("write-size-and-depth", 7.0, 1),
    ("commits", 4.0, 7),
    ("kafka-side-by-side", 16.0, 8),
];

/// The least number of trials for an answer.
const TRIALS_MIN: u32 = 8;

#[test]
fn every_study_says_what_it_asks_how_to_read_it_and_keeps_within_the_cost_it_states() {
    for (name, text) in BUILT_IN.into_iter().filter(|(name, _)| name.starts_with("studies/")) {
        let name = name.strip_prefix("studies/").unwrap();
        let study = load_study(name, &[], Many::Refused, &with_every_client()).unwrap();
        assert_eq!(
            study,
            load_study(&format!("studies/{name}"), &[], Many::Refused, &with_every_client()).unwrap()
        );
        let (_, minutes, gib) =
            STUDIES.into_iter().find(|(study, ..)| *study == name).expect("its cost is known");
        let estimate = study.estimate();
        assert!(estimate.seconds <= minutes * 60.0, "{name}: {} s", estimate.seconds);
        assert!(estimate.disk_peak_bytes <= gib << 30, "{name}: {} bytes", estimate.disk_peak_bytes);
        assert!(study.workload.trials >= TRIALS_MIN && study.workload.metric.is_some(), "{name} answers");
        assert!(estimate.seconds <= 15.0 * 60.0, "{name}: {} s", estimate.seconds);
        let question = study.workload.question.as_ref().unwrap();
        assert!(text.starts_with(&format!("# Question: {question}\n")), "{name}");
        let header: String =
            text.lines().take_while(|line| line.starts_with('#')).map(|line| &line[1..]).collect();
        for said in
            [format!("less than {minutes} minutes"), format!("{gib} GiB"), "How to read the answer".into()]
        {
            assert!(header.contains(&said), "{said} in the header of {name}");
        }
        assert!(
            study.is_sweep() && study.combinations.iter().any(|it| it.workload.without_effect().is_empty()),
            "{name}"
        );
    }
}

#[test]
fn a_study_names_its_metric_or_has_that_of_its_load() {
    let metric = |yaml: &str| load(yaml).primary_metric().name();
    assert_eq!(metric("{}"), "throughput");
    assert_eq!(metric("load: {mode: open, rate: 50%}"), "throughput");
    assert_eq!(metric("load: {mode: open, rate: 5k/s}"), "response_p99");
    assert_eq!(metric("backlog: {build: 1MiB}"), "catch_up");
    assert_eq!(metric("load: {mode: open, rate: 50%}\nmetric: response_p99_9"), "response_p99_9");
}

#[test]
fn a_metric_that_the_load_cannot_have_is_refused_with_a_way_out() {
    for (yaml, expected) in [
        ("metric: responce_p99", "did you mean `response_p99`?"),
        (
            "metric: response_p99",
            "`response_p99` is measured from intended times, which only `load: {mode: open",
        ),
        ("metric: catch_up", "`catch_up` needs a `backlog`; without one, use `throughput`"),
        ("metric: throughput\nbacklog: {build: 1MiB}", "with a `backlog`, use `catch_up`"),
        (
            "metric: end_to_end_p99\nload: {mode: open, rate: 1k/s}\nsubscriptions_per_topic: 0",
            "`end_to_end_p99` needs consumers",
        ),
        ("metric: reopen", "which needs `subscriptions_per_topic: 0` and not `verify: none`"),
        ("metric: write_amplification\ndurability: appended", "means nothing for `appended`"),
    ] {
        let refused = refused(yaml);
        assert!(refused.contains(expected), "{refused}");
    }
    assert_eq!(load("metric: reopen\nsubscriptions_per_topic: 0").primary_metric().name(), "reopen");
}

#[test]
fn a_price_is_asked_along_one_swept_key() {
    let key = |yaml: &str| study(yaml).workload.ratio_key().map(str::to_owned);
    let two = "sweep: {durability: [written, synced], batch.max_bytes: [4KiB, 64KiB]}";
    assert_eq!(key(two), None);
    assert_eq!(key(&format!("answer: ratio\n{two}")).as_deref(), Some("durability"));
    assert_eq!(key(&format!("answer: ratio:batch.max_bytes\n{two}")).as_deref(), Some("batch.max_bytes"));
    assert_eq!(key("answer: ratio\nsweep: {topics: [1, 2]}").as_deref(), Some("topics"));
    for (yaml, expected) in [
        ("answer: ratio", "there is no `sweep`"),
        ("answer: bst", "`bst` is not one of best, ratio, ratio:KEY"),
        ("answer: ratio\nsweep: {topics: [1, 2], trials: [1]}", "`trials` cannot be swept"),
        (
            "answer: ratio\nsweep: {topics: [1, 2], batch.max_bytes: [4KiB, 8KiB]}",
            "`ratio:batch.max_bytes`, `ratio:topics`",
        ),
        (
            "answer: ratio:durabilty\nsweep: {topics: [1, 2], durability: [written, synced]}",
            "did you mean `ratio:durability`?",
        ),
        ("answer: ratio\nsweep: {topics: [1]}", "needs two values or more of `topics`"),
        ("sweep: {metric: [throughput]}", "`metric` cannot be swept"),
        ("sweep: {answer: [best]}", "`answer` cannot be swept"),
    ] {
        let refused = refused(yaml);
        assert!(refused.contains(expected), "{refused}");
    }
}
