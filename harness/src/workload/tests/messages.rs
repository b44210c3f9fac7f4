//! Tests of error messages: every mistake is shown at its place, with what was probably meant.

use super::*;

#[test]
fn an_unknown_key_is_shown_with_its_line_and_the_nearest_key() {
    assert_eq!(
        refused("topics: 1\nlog:\n  segment_byte: 128MiB # a comment\n"),
        "test.yaml:3:3: unknown key `segment_byte`; did you mean `segment_bytes`?\n  \
           |\n\
         3 |   segment_byte: 128MiB # a comment\n  \
           |   ^^^^^^^^^^^^"
    );
}

#[test]
fn a_wrong_value_is_shown_with_its_line_and_what_is_accepted() {
    assert_eq!(
        refused("load:\n  mode: opn\n"),
        "test.yaml:2:9: `opn` is not one of max, closed, open; did you mean `open`?\n  \
           |\n\
         2 |   mode: opn\n  \
           |         ^^^"
    );
}

#[test]
fn an_empty_file_is_refused() {
    let message = "test.yaml: a workload is keys with values, such as `message_size: 1KiB`; found nothing";
    assert_eq!(refused(""), message);
}

#[test]
fn unknown_keys() {
    let cases = [
        ("segmentBytes: 1MiB", "unknown key `segmentBytes`; did you mean `log.segment_bytes`?"),
        ("partitions: 4", "unknown key `partitions`; did you mean `partitions_per_topic`?"),
        ("zzz: 1", "unknown key `zzz`; `vnotch explain` lists every key"),
        ("slo: {respons_p99: 1ms}", "unknown key `respons_p99`; did you mean `response_p99`?"),
        ("phases: {warm: 1s}", "unknown key `warm`; did you mean `warmup`?"),
        ("message_size: [{size: 1KiB, wight: 1}]", "unknown key `wight`; did you mean `weight`?"),
        ("load: {mode: max, rate: 5k}", "`rate` belongs to `mode: open` only"),
        (
            "load: {in_flight: 5}",
            "`in_flight` belongs to `mode: closed` only; `in_flight_bytes` bounds every mode",
        ),
        ("payload: {path: x}", "`path` belongs to `kind: file` only"),
        ("topics: 1\ntopics: 2", "duplicate mapping key `topics` is not allowed here"),
        ("partitionsPerTopic: 1", "unknown key `partitionsPerTopic`; did you mean `partitions_per_topic`?"),
        (
            "topics: 1\npartitionsPerTopic: 1\nproducerRate: 5",
            "this is a workload file of the OpenMessaging Benchmark, which is not supported yet",
        ),
    ];
    assert_messages(&cases);
}

#[test]
fn wrong_values() {
    let cases = [
        (
            "log: {segment_bytes: 1KB}",
            "`1KB` could mean two sizes: write `1KiB` (powers of 1024) or `1kB` (powers of 1000)",
        ),
        ("message_size: -5", "a size cannot be negative: `-5`"),
        ("batch: {max_bytes: -1KiB}", "a size cannot be negative: `-1KiB`"),
        ("phases: {measure: 30}", "`30` needs a unit: `30s`, `30ms`, `30m` …"),
        ("partitions_per_topic: -1", "`-1` is negative; expected 0 or more"),
        ("topics: 99999999999", "`99999999999` is too large"),
        ("trials: 3.5", "`3.5` is not a whole number"),
        ("topics:", "a value is missing here"),
        ("topics: [1]", "expected one value, found a list"),
        ("batch: 5", "expected keys with values, found `5`"),
        ("require: retention_reached", "expected a list like `[…]`, found `retention_reached`"),
        ("durability: sync", "`sync` is not one of appended, written, synced; did you mean `synced`?"),
        (
            "target: Kafka",
            "`Kafka` names no system; use `engine`, `kafka` (the harness starts it), or `kafka://host:port[,host:port…]`",
        ),
        (
            "slo: {min_achieved: 2}",
            "`2` is not a fraction; write a number from 0 to 1, or a percentage like `99%`",
        ),
        ("load: {mode: open}", "`mode`: `open` needs a `rate`, such as `200k/s` or `50%`"),
        ("message_size: {min: 1KiB}", "the key `max` is missing here"),
        (
            "{}\n---\n{}",
            "a second YAML document begins here; a file holds one workload (`run` takes several files)",
        ),
        ("5", "a workload is keys with values, such as `message_size: 1KiB`; found `5`"),
    ];
    assert_messages(&cases);
}

#[test]
fn contradictions_of_a_load() {
    let cases = [
        ("load: {mode: max, profile: sine}", "`profile` belongs to `mode: open` only"),
        ("load: {mode: open, rate: 1k, sine: {period: 1s}}", "`sine` belongs to `profile: sine` only"),
        (
            "load: {mode: open, rate: 1k, profile: sine, sine: {period: 1ms}}",
            "`load.sine.period` must be at least 10ms, not 1ms",
        ),
        (
            "load: {mode: open, rate: 1k, profile: ramp, ramp: {from: -1}}",
            "`load.ramp.from` must be from 0 to 1000 times the rate, not -1",
        ),
        (
            "load: {mode: open, rate: 1k, profile: ramp, ramp: {from: 0, to: 0}}",
            "a ramp from 0 to 0 offers nothing",
        ),
        (
            "load: {mode: open, rate: 1k, profile: step, step: {stairs: 1}}",
            "`load.step.stairs` must be from 2 to 1000, not 1",
        ),
        (
            "load: {mode: open, rate: 1k, profile: burst, burst: {every: 1s, length: 1s}}",
            "`load.burst.length` must be at least 10ms and shorter than `every` (1s)",
        ),
    ];
    assert_messages(&cases);
}

#[test]
fn more_producers_than_a_stamp_can_number() {
    let cases = [(
        "topics: 4096\nproducers_per_topic: 256",
        "1048576 producers are too many: a run has fewer than 1048576, because each record names its producer in 20 bits",
    )];
    assert_messages(&cases);
}

#[test]
fn contradictions_of_what_comes_before_the_window() {
    let cases = [
        ("backlog: {build: 0}", "`backlog.build` must be at least 1B"),
        (
            "backlog: {build: 1GiB}\nsubscriptions_per_topic: 0",
            "a backlog needs consumers, but `subscriptions_per_topic` is 0",
        ),
        (
            "backlog: {build: 1GiB}\nload: {mode: closed}",
            "with a backlog, `load.mode` must be `max`: it is built as fast as acks allow, and `backlog.drain_producer_rate` is the rate after that",
        ),
        (
            "backlog: {build: 1GiB, drain_producer_rate: 50%}",
            "`backlog.drain_producer_rate` must be records per second, such as `20k/s`, or 0",
        ),
        (
            "backlog: {build: 1GiB}\nlog: {retention_bytes: 256MiB}\npartitions_per_topic: 2",
            "the backlog of 1GiB is larger than what retention keeps, 2 partitions of `log.retention_bytes` (256MiB): part of it would be deleted before it is consumed",
        ),
        (
            "backlog: {build: 1MiB}\nlog: {retention_bytes: 256MiB}\nrequire: [retention_reached]",
            "`require` waits during the warm-up, but a run with a backlog has no warm-up",
        ),
        (
            "require: [retention_reached]",
            "`retention_reached` needs retention: set `log.retention_bytes` or `log.retention_ms`",
        ),
        (
            "require: [retention_reached]\nlog: {retention_ms: 1s}\nphases: {warmup: 0}",
            "`retention_reached` needs a warm-up in which retention deletes, and `phases.warmup` is 0",
        ),
        (
            "require: [retention_reached]\nlog: {retention_ms: 1s}\nload: {mode: open, rate: 1k, profile: ramp, ramp: {from: 0}}",
            "the profile begins at a rate of 0, which the warm-up has too: nothing would be sent, and retention would never delete",
        ),
    ];
    assert_messages(&cases);
}

#[test]
fn objectives_that_the_drain_cannot_decide() {
    assert_messages(&[(
        "slo: {service_p99: 2s}\nphases: {drain: 2999ms}",
        "`phases.drain` (2999ms) must be at least 1.5 times the largest objective (`service_p99: 2s`): it decides about \
             records that are never acked",
    )]);
}

#[test]
fn contradictions() {
    let cases = [
        ("partitions_per_topic: 0", "`partitions_per_topic` must be at least 1"),
        ("topics: 0", "`topics` must be at least 1"),
        ("trials: 0", "`trials` must be at least 1"),
        ("version: 2", "version 2 is not supported; this vnotch reads version 1"),
        (
            "partitions_per_topic: 2\nconsumers_per_subscription: 3",
            "3 consumers cannot share 2 partitions: a group has at most one consumer per partition",
        ),
        (
            "message_size: 10B",
            "a record needs at least 24B to be verified, for its producer, sequence and time; smaller ones need `verify: none`",
        ),
        ("message_size: []", "a list of sizes needs at least one entry"),
        ("message_size: {min: 2KiB, max: 1KiB}", "`min` (2KiB) is larger than `max` (1KiB)"),
        ("batch: {max_bytes: 2MiB}", "batches of 2MiB would be refused: `log.max_message_bytes` is 1MiB"),
        (
            "message_size: 1MiB",
            "a batch with only a record of 1MiB takes up to 1048673B, more than `log.max_message_bytes` (1MiB)",
        ),
        ("log: {segment_bytes: 3GiB}", "`log.segment_bytes` must be from 1MiB to 1GiB, not 3GiB"),
        (
            "load: {in_flight_bytes: 1KiB}",
            "`load.in_flight_bytes` (1KiB) must be at least the size of a batch (64KiB)",
        ),
        (
            "load: {mode: open, rate: 0}",
            "the rate is 0, so nothing would be sent; a low rate is written like `0.5/s` or `30/min`",
        ),
        (
            "engine: {shards: 2, cores: {shards: [1]}}",
            "`engine.cores.shards` names 1 cores for 2 shards; it needs one per shard",
        ),
        ("engine: {cores: {load: [1, 1]}}", "core 1 is named twice"),
        (
            "engine: {placement: colocated, cores: {load: [1]}}",
            "colocated load runs on the shards' own cores; leave `engine.cores.load` out",
        ),
        (
            "partitions_per_topic: 3\nengine: {placement: colocated, shards: 2}",
            "each of the 2 shards with partitions of a topic needs a colocated client of its own, but \
             `producers_per_topic` is 1",
        ),
        (
            "engine: {write_bytes_max: 5000B}",
            "`engine.write_bytes_max` must be a multiple of 4KiB, not 5000B",
        ),
        ("engine: {write_bytes_max: 2MiB}", "`engine.write_bytes_max` must be from 4KiB to 1MiB, not 2MiB"),
        ("engine: {arena_bytes: 8MiB}", "`engine.arena_bytes` must be from 16MiB to 1TiB, not 8MiB"),
        ("engine: {write_depth: 200}", "`engine.write_depth` is at most 128, not 200"),
        (
            "slo: {response_p99: 10ms}",
            "`response_p99` is measured from intended times, which only `load: {mode: open, rate: …}` has",
        ),
        (
            "slo: {min_achieved: 0.99}",
            "`min_achieved` compares with an offered rate, which only `load: {mode: open, rate: …}` has",
        ),
        (
            "subscriptions_per_topic: 2\ngroup: g",
            "several groups per topic need `{service}` in `group`, otherwise they would be the same group",
        ),
        (
            "name: a/b",
            "`a/b` becomes part of a directory's name, so it must begin with a letter or digit, and hold only letters, digits, `-`, `_` and `.`, at most 64 of them",
        ),
    ];
    assert_messages(&cases);
}

#[test]
fn the_smallest_record_that_can_be_verified_is_a_stamp() {
    assert_eq!(crate::workload::limits::STAMP_BYTES, 24);
    load("message_size: 24B");
    load("message_size: 1B\nverify: none");
}

#[test]
fn the_engine_takes_what_is_accepted_here_and_refuses_what_is_not() {
    let accepted = |yaml: &str| parse(yaml, "test.yaml", &[]).is_ok();
    for (bytes, fits) in [(4096, true), (1 << 20, true), ((1 << 20) + 4096, false), (0, false), (6000, false)]
    {
        let config = vnotch_engine::config::EngineConfig {
            write_bytes_max: bytes,
            ..vnotch_engine::config::EngineConfig::new("data")
        };
        assert_eq!(config.validate().is_ok(), fits, "{bytes}");
        assert_eq!(accepted(&format!("engine: {{write_bytes_max: {bytes}}}")), fits, "{bytes}");
    }
    for (bytes, fits) in
        [(1_u64 << 20, true), (1 << 30, true), ((1 << 30) + 1, false), ((1 << 20) - 1, false)]
    {
        let config = vnotch_engine::config::TopicConfig {
            segment_bytes: bytes,
            max_message_bytes: 1 << 20,
            ..Default::default()
        };
        assert_eq!(config.validate().is_ok(), fits, "{bytes}");
        assert_eq!(accepted(&format!("log: {{segment_bytes: {bytes}}}")), fits, "{bytes}");
    }
    for (bytes, fits) in [(70_000, true), (2_088_960, true), (2_088_961, false)] {
        let config = vnotch_engine::config::TopicConfig { max_message_bytes: bytes, ..Default::default() };
        assert_eq!(config.validate().is_ok(), fits, "{bytes}");
        assert_eq!(accepted(&format!("log: {{max_message_bytes: {bytes}}}")), fits, "{bytes}");
    }
    for (bytes, fits) in [(1_u32, true), (1_044_480, true), (1_044_481, false), (u32::MAX, false)] {
        let config = vnotch_engine::config::TopicConfig {
            index_interval_bytes: bytes,
            max_message_bytes: 1 << 20,
            ..Default::default()
        };
        assert_eq!(config.validate().is_ok(), fits, "{bytes}");
        assert_eq!(accepted(&format!("log: {{index_interval_bytes: {bytes}}}")), fits, "{bytes}");
    }
}

#[test]
fn what_is_not_supported_yet_is_refused_by_name() {
    let cases = [
        ("target: device", "the device as the target of a workload"),
        ("compression: zstd", "compression"),
        ("payload: {kind: file, path: x, split: size}", "splitting a payload by size"),
        ("key_distribution: zipf:1.1", "a Zipf distribution of keys"),
        ("steady_state: {slope: 1%}", "a steady-state test"),
    ];
    for (yaml, what) in cases {
        let line = first_line(yaml);
        assert!(line.ends_with(&format!(": {what} is not supported yet")), "{yaml}: {line}");
    }
}

#[test]
fn every_problem_is_shown_in_the_order_of_the_file() {
    let message = refused("trials: 0\ncompression: lz4\ntopics: 0\n");
    let lines: Vec<_> = message.lines().filter_map(|line| line.strip_prefix("test.yaml:")).collect();
    assert_eq!(
        lines,
        [
            "1:9: `trials` must be at least 1",
            "2:14: compression is not supported yet",
            "3:9: `topics` must be at least 1"
        ]
    );
}

#[test]
fn a_missing_file_is_refused_with_the_built_in_names() {
    assert_eq!(
        message_of(super::super::load("quickstrat", &[])),
        "there is no workload file `quickstrat`, nor a built-in workload of that name; did you mean `quickstart`?\n\
         built in: quickstart, throughput, latency, small-records, synced, soak, rebalance, studies/durability-and-batch, studies/partitions, studies/preallocate, studies/segments-and-retention, studies/commits, studies/kafka-side-by-side, studies/catch-up, studies/write-size-and-depth"
    );
}

fn assert_messages(cases: &[(&str, &str)]) {
    for (yaml, expected) in cases {
        let line = first_line(yaml);
        let message = line.splitn(4, ':').nth(3).map(str::trim_start);
        assert_eq!(message, Some(*expected), "{yaml}: {line}");
    }
}

#[test]
fn counts_have_upper_bounds_and_products_do_not_wrap() {
    for (yaml, message) in [
        ("trials: 4294967295", "`trials` is at most 10000, not 4294967295"),
        ("engine: {shards: 4294967295}", "`engine.shards` is at most 1024, not 4294967295"),
        ("partitions_per_topic: 65536\ntopics: 65536", "4294967296 partitions are too many"),
        (
            "topics: 4294967295\npartitions_per_topic: 4294967295",
            "18446744065119617025 partitions are too many",
        ),
        (
            "producers_per_topic: 100000\npartitions_per_topic: 100000",
            "10000000000 pairs of a producer and a partition",
        ),
        ("phases: {measure: 1000d}", "`phases.measure` is at most 30d, not 1000d"),
        ("batch: {linger: 2h}", "`batch.linger` is at most 1h, not 2h"),
        ("load: {mode: closed, in_flight: 4000000000}", "`load.in_flight` is at most 1048576"),
        ("load: {mode: open, rate: 2000M/s}", "`load.rate` is at most 1000000000/s at its peak"),
        (
            "load: {mode: max}\nbacklog: {build: 1GiB, drain_producer_rate: 2000M/s}",
            "`backlog.drain_producer_rate` is at most",
        ),
    ] {
        let error = parse(yaml, "test.yaml", &[]).unwrap_err().to_string();
        assert!(error.contains(message), "{yaml}: {error}");
    }
}
