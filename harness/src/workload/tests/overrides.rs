//! Tests of overrides: keys from the command line replace those of the file, and their mistakes name the flag.

use super::*;

fn with(yaml: &str, sets: &[&str]) -> anyhow::Result<Workload> {
    let overrides: Vec<_> = sets.iter().map(|set| Override::set(set).unwrap()).collect();
    parse(yaml, "test.yaml", &overrides)
}

#[test]
fn an_override_replaces_what_the_file_says_or_adds_to_it() {
    let yaml = "log: {segment_bytes: 16MiB}\nmessage_size: 1KiB";
    let workload = with(yaml, &["log.segment_bytes=32MiB", "batch.linger=5ms", "trials=7"]).unwrap();
    assert_eq!(workload.log.segment_bytes, Bytes::mib(32));
    assert_eq!(workload.batch.linger, "5ms".parse().unwrap());
    assert_eq!(workload.trials, 7);
    let workload =
        with(yaml, &["load={mode: open, rate: 5k}", "message_size={min: 1KiB, max: 2KiB}"]).unwrap();
    assert_eq!(workload.load.mode.rate(), Some(Rate::per_s(5000)));
    assert_eq!(workload.message_size.largest(), Bytes::kib(2));
    let workload = with(yaml, &["message_size.min=1KiB", "message_size.max=2KiB"]).unwrap();
    assert_eq!(workload.message_size.largest(), Bytes::kib(2));
}

#[test]
fn the_last_override_of_a_key_wins() {
    assert_eq!(
        with("", &["trials=1", "trials=2"]).map(|w| w.trials).ok(),
        None,
        "an empty file is no workload"
    );
    assert_eq!(with("{}", &["trials=1", "trials=2"]).unwrap().trials, 2);
}

#[test]
fn an_override_does_not_make_a_workload_of_something_else() {
    for yaml in ["", "5", "[1]"] {
        assert!(with(yaml, &["trials=1"]).is_err(), "{yaml}");
    }
}

#[test]
fn a_wrong_override_is_named() {
    let cases = [
        (
            "log.segment_byte=1MiB",
            "--set log.segment_byte=1MiB: unknown key `segment_byte`; did you mean `segment_bytes`?",
        ),
        (
            "segment_bytes=1MiB",
            "--set segment_bytes=1MiB: unknown key `segment_bytes`; did you mean `log.segment_bytes`?",
        ),
        ("topics=0", "--set topics=0: `topics` must be at least 1"),
        ("topics=-3", "--set topics=-3: `-3` is negative; expected 0 or more"),
        ("topics=", "--set topics=: a value is missing here"),
        ("topics=[1", "--set topics=[1: unclosed bracket '['"),
        ("compression=lz4", "--set compression=lz4: compression is not supported yet"),
    ];
    for (set, expected) in cases {
        assert_eq!(message_of(with("topics: 1", &[set])), expected);
    }
    for set in ["topics", "=1", ".topics=1", "log..x=1"] {
        let error = Override::set(set).expect_err("it has no key or no value").to_string();
        assert_eq!(
            error,
            format!("--set {set}: write it as `dotted.key=value`, such as `log.segment_bytes=1MiB`")
        );
    }
}

#[test]
fn a_flag_is_named_as_it_was_written_and_a_removal_makes_room() {
    let rate = |rate: &str| {
        let overrides = [
            Override::flag("--rate", rate, "load.mode", "open"),
            Override::flag("--rate", rate, "load.rate", rate),
            Override::removal("--rate", "load.in_flight"),
        ];
        parse("load: {mode: closed, in_flight: 3}", "test.yaml", &overrides)
    };
    assert_eq!(rate("5k/s").unwrap().load.mode.rate(), Some(Rate::per_s(5000)));
    assert_eq!(
        message_of(rate("5MB/s")),
        "--rate 5MB/s: a rate counts records, not bytes: write `200k/s` (records per second) or `50%`, not `5MB/s`"
    );
}

#[test]
fn a_workload_is_named_after_its_file_unless_it_says_otherwise() {
    assert_eq!(parse("{}", "dir/my run.yaml", &[]).unwrap().name, "my-run");
    assert_eq!(parse("name: other", "dir/my run.yaml", &[]).unwrap().name, "other");
    assert_eq!(parse("name: 1.10", "x", &[]).unwrap().name, "1.10");
}
