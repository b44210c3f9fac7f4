//! A resolved workload that is written in JSON or YAML and read again is the same workload.

use super::*;
use crate::workload::reading::tree::{Node, Origin};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::time::Duration;

fn bytes() -> impl Strategy<Value = Bytes> + Clone {
    (any::<u32>(), 0_u32..30).prop_map(|(n, shift)| Bytes(u64::from(n) << shift))
}

fn time() -> impl Strategy<Value = TimeSpan> + Clone {
    any::<u64>().prop_map(|ns| TimeSpan(Duration::from_nanos(ns)))
}

fn rate() -> impl Strategy<Value = Rate> {
    prop_oneof![
        any::<u64>().prop_map(|milli| Rate::Absolute(RecordRate::new(milli))),
        (0.0_f64..500.0).prop_map(Rate::Share)
    ]
}

fn fraction() -> impl Strategy<Value = Fraction> {
    (0.0_f64..=1.0).prop_map(Fraction)
}

fn load_of_any_mode() -> impl Strategy<Value = Load> {
    let mode = prop_oneof![
        Just(LoadMode::Max),
        any::<u32>().prop_map(|in_flight| LoadMode::Closed { in_flight }),
        (
            rate(),
            select(vec![Arrival::Constant, Arrival::Poisson]),
            super::super::profile::tests::any_profile()
        )
            .prop_map(|(rate, arrival, profile)| LoadMode::Open { rate, arrival, profile }),
    ];
    (bytes(), mode).prop_map(|(in_flight_bytes, mode)| Load { in_flight_bytes, mode })
}

fn message_size() -> impl Strategy<Value = MessageSize> {
    prop_oneof![
        bytes().prop_map(MessageSize::Fixed),
        (bytes(), bytes()).prop_map(|(min, max)| MessageSize::Range(SizeRange { min, max })),
        vec((bytes(), 0.001_f64..1e9), 0..4).prop_map(|list| {
            MessageSize::Weighted(
                list.into_iter().map(|(size, weight)| WeightedSize { size, weight }).collect(),
            )
        }),
    ]
}

fn payload() -> impl Strategy<Value = Payload> {
    let source = prop_oneof![
        (fraction(), any::<u32>())
            .prop_map(|(compressibility, pool)| PayloadSource::Random { compressibility, pool }),
        ("[a-z~: #-]{1,8}", select(vec![Split::Lines, Split::Size]))
            .prop_map(|(path, split)| PayloadSource::File(PayloadFile::new(path.into(), split))),
    ];
    (any::<u64>(), source).prop_map(|(seed, source)| Payload { seed, source })
}

fn settings() -> impl Strategy<Value = (EngineSettings, LogSettings, Batch, Phases)> {
    let engine = (
        vec(any::<u32>(), 0..3),
        bytes(),
        select(vec![Io::Direct, Io::Buffered]),
        select(vec![Poll::Busy, Poll::Park]),
    )
        .prop_map(|(load, arena_bytes, io, poll)| EngineSettings {
            io,
            poll,
            arena_bytes,
            cores: Cores { shards: Vec::new(), load },
            ..EngineSettings::default()
        });
    let log =
        (option::of(bytes()), option::of(time()), select(vec![Preallocate::None, Preallocate::Recycle]))
            .prop_map(|(retention_bytes, segment_ms, preallocate)| LogSettings {
                retention_bytes: Limit(retention_bytes),
                segment_ms: Limit(segment_ms),
                preallocate,
                ..LogSettings::default()
            });
    let batch = (bytes(), any::<u32>(), time()).prop_map(|(max_bytes, max_records, linger)| Batch {
        max_bytes,
        max_records,
        linger,
    });
    let phases =
        (time(), time(), time()).prop_map(|(warmup, measure, drain)| Phases { warmup, measure, drain });
    (engine, log, batch, phases)
}

fn slo() -> impl Strategy<Value = Slo> {
    (option::of(fraction()), option::of(time()), option::of(time())).prop_map(|(min_achieved, p99, max)| {
        let mut yaml = String::from("slo: {");
        for (key, limit) in [("response_p99", p99), ("service_max", max)] {
            if let Some(limit) = limit {
                yaml.push_str(&format!("{key}: {limit}, "));
            }
        }
        let mut slo = decode(&(yaml + "}")).slo;
        slo.min_achieved = min_achieved;
        slo
    })
}

fn extras()
-> impl Strategy<Value = (Option<Backlog>, Option<SteadyState>, Target, KeyDistribution, WarmMemory)> {
    let backlog = (bytes(), rate()).prop_map(|(build, drain_producer_rate)| Backlog {
        build,
        cache: BacklogCache::Warm,
        drain_producer_rate,
    });
    let steady = (fraction(), time()).prop_map(|(slope, window)| SteadyState {
        slope,
        window,
        ..SteadyState::default()
    });
    let target = prop_oneof![
        Just("engine".parse().unwrap()),
        "[a-z]{1,5}://[a-z]{1,5}:[0-9]{1,4}".prop_map(|target| target.parse().unwrap()),
    ];
    let keys = prop_oneof![
        Just(KeyDistribution::None),
        Just(KeyDistribution::Uniform),
        (0.001_f64..9.0).prop_map(KeyDistribution::Zipf)
    ];
    let memory = prop_oneof![Just(WarmMemory::Off), bytes().prop_map(WarmMemory::Size)];
    (option::of(backlog), option::of(steady), target, keys, memory)
}

fn consume() -> impl Strategy<Value = Consume> {
    let assignment = option::of(select(vec![Assignment::Fixed, Assignment::Group]));
    let assignor = select(vec![Assignor::Range, Assignor::RoundRobin, Assignor::CooperativeSticky]);
    let mode = select(vec![CommitMode::Auto, CommitMode::Sync, CommitMode::None]);
    let commit = option::of((mode, time()).prop_map(|(mode, every)| Commit { mode, every }));
    let churn = option::of(time().prop_map(|every| Churn { every }));
    (assignment, assignor, time(), commit, churn).prop_map(
        |(assignment, assignor, heartbeat_interval, commit, churn)| Consume {
            assignment,
            assignor,
            heartbeat_interval,
            commit,
            churn,
        },
    )
}

prop_compose! {
    fn any_workload()(
        counts in any::<[u32; 6]>(),
        (name, question) in ("[a-z0-9.:#' -]{1,12}", option::of("[ -~é]{0,20}")),
        (load, message_size, payload, slo) in (load_of_any_mode(), message_size(), payload(), slo()),
        (engine, log, batch, phases) in settings(),
        (backlog, steady_state, target, key_distribution, warm_memory) in extras(),
        consume in consume(),
        verify in select(vec![Verify::None, Verify::Sequence, Verify::SequenceCrc]),
        swept in vec(any::<i32>(), 0..3),
    ) -> Workload {
        // Records of real data have the sizes of their lines, so no size is written for them.
        let is_real = matches!(payload.source, PayloadSource::File(_));
        let message_size = if is_real { Workload::default().message_size } else { message_size };
        let [topics, partitions_per_topic, producers_per_topic, subscriptions_per_topic, consumers_per_subscription, trials] = counts;
        Workload {
            topics, partitions_per_topic, producers_per_topic, subscriptions_per_topic, consumers_per_subscription, trials,
            name, question, load, message_size, payload, slo, engine, log, batch, phases, backlog, steady_state, target,
            key_distribution, warm_memory, verify, consume,
            require: vec![Requirement::RetentionReached],
            sweep: std::iter::once(("log.segment_bytes".to_owned(), swept.into_iter().map(Into::into).collect())).collect(),
            ..Workload::default()
        }
    }
}

fn decode(text: &str) -> Workload {
    Node::parse(text, Origin::File).unwrap().decode().unwrap()
}

proptest! {
    #[test]
    fn a_resolved_workload_is_read_as_the_same_workload(workload in any_workload()) {
        prop_assert_eq!(&decode(&workload.resolved().to_string()), &workload);
        prop_assert_eq!(&decode(&serde_saphyr::to_string(&workload).unwrap()), &workload);
        let from_json: Workload = serde_json::from_value(workload.resolved()).unwrap();
        prop_assert_eq!(from_json.hash(), workload.hash());
    }

    #[test]
    fn no_text_panics(text in "[ -~\n\t]{0,80}") {
        let _ = parse(&text, "test.yaml", &[]);
    }

    #[test]
    fn no_file_of_known_words_panics(
        lines in vec((select(keys()), select(vec!["1", "-1", "", "[", "{a: 1}", "5KB", "5ms", "50%", "none", "&x 1", "*x", "!t 1", "\"1"])), 0..4)
    ) {
        let file: String = lines.iter().map(|(key, value)| format!("{}: {value}\n", key.replace('.', ":\n "))).collect();
        let _ = parse(&file, "test.yaml", &[]);
    }
}

#[test]
fn the_hash_tells_workloads_apart_and_nothing_else() {
    let workload = load("{}");
    assert_eq!(
        workload.hash(),
        load("batch: {max_bytes: 64KiB}").hash(),
        "a default that is written down is no change"
    );
    assert_ne!(workload.hash(), load("batch: {max_bytes: 65KiB}").hash());
    assert_eq!(workload.hash().len(), 12);
}

#[test]
fn only_what_differs_from_the_defaults_is_listed() {
    let differences =
        load("name: x\nload: {mode: open, rate: 5k}\nlog: {segment_bytes: 128MiB}\nslo: {min_achieved: 99%}")
            .diff_from_defaults();
    let listed: Vec<_> = differences.iter().map(|d| (d.key.as_str(), d.value.to_string())).collect();
    assert_eq!(
        listed,
        [
            ("load.mode", "\"open\"".to_owned()),
            ("load.rate", "\"5k/s\"".to_owned()),
            ("slo.min_achieved", "0.99".to_owned())
        ]
    );
    assert!(load("{}").diff_from_defaults().is_empty());
}

#[test]
fn a_relative_rate_is_two_passes_and_anything_else_is_one() {
    let passes = |yaml: &str| load(yaml).passes();
    let kinds = |yaml: &str| passes(yaml).iter().map(|pass| pass.kind).collect::<Vec<_>>();
    assert_eq!(kinds("{}"), [PassKind::Max]);
    assert_eq!(kinds("load: {mode: closed}"), [PassKind::Closed]);
    assert_eq!(kinds("load: {mode: open, rate: 5k}"), [PassKind::Open]);
    assert_eq!(kinds("load: {mode: open, rate: 50%}"), [PassKind::Max, PassKind::Open]);
    let both = passes("load: {mode: open, rate: 50%, in_flight_bytes: 1MiB}");
    assert!(both.iter().all(|pass| pass.load.in_flight_bytes == Bytes::mib(1)));
}

#[test]
fn every_built_in_workload_is_valid_and_named_like_its_file() {
    for (name, _) in BUILT_IN {
        let workload = load_study(name, &[], Many::Refused, &with_every_client()).unwrap().workload;
        assert_eq!(workload.name, name.rsplit('/').next().unwrap());
        assert!(workload.question.is_some(), "{name} says what it is for");
        assert!(workload.without_effect().is_empty(), "{name}: {:?}", workload.without_effect());
    }
}
