//! Tests of the estimates: the cost of a run is an upper bound that follows from the file.

use super::*;

#[test]
fn an_absolute_rate_bounds_the_disk() {
    let workload = load(
        "load: {mode: open, rate: 10k/s}\nceiling: off\nlog: {preallocate: none}\nphases: {warmup: 1s, measure: 9s, drain: 0}\ntrials: 2\n\
         late_retries: 0\nconsume: {assignment: fixed}",
    );
    let estimate = workload.estimate();
    let records = 10_000 * 10 * 1024;
    assert!((records..records * 103 / 100).contains(&estimate.disk_peak_bytes), "{estimate:?}");
    assert_eq!(estimate.points, 1);
    assert!((20.0..23.0).contains(&estimate.seconds), "{estimate:?}");
}

#[test]
fn what_is_in_flight_bounds_the_disk_where_a_round_trip_does() {
    let estimate =
        load("durability: synced\nload: {mode: closed, in_flight: 1}\nbatch: {max_records: 1}").estimate();
    assert_eq!(estimate.bytes_per_s, 10_970_000, "{estimate:?}");
    let unbounded = load("durability: synced").estimate();
    assert_eq!(unbounded.bytes_per_s, 2 << 30, "{unbounded:?}");
}

#[test]
fn preallocated_segments_and_the_ceiling_count() {
    let disk = |yaml: &str| load(yaml).estimate().disk_peak_bytes;
    let one = disk("{}");
    assert_eq!(disk("partitions_per_topic: 5") - one, 4 << 27);
    assert_eq!(one - disk("log: {preallocate: none}"), 1 << 27);
    assert_eq!(disk("log: {preallocate: recycle}") - one, 1 << 27, "the active segment and a spare");
    let kept =
        |preallocate: &str| disk(&format!("log: {{preallocate: {preallocate}, retention_bytes: 256MiB}}"));
    assert_eq!(kept("recycle"), kept("fallocate"));
    assert_eq!(kept("recycle"), kept("none"), "retention and two segments, whatever is held ready");
    assert_eq!(one - disk("ceiling: off"), 1 << 30);
}

#[test]
fn the_quickstart_keeps_within_two_gib_and_about_forty_five_seconds() {
    let estimate = super::super::load("quickstart", &[]).unwrap().estimate();
    assert_eq!(estimate.points, 2);
    assert!(estimate.disk_peak_bytes <= 2 << 30, "{estimate:?}");
    // Half a second of each pass is for the consumer to join its group.
    assert!(estimate.seconds <= 45.0, "{estimate:?}");
}

/// The published workloads, and the time that each took on 30 November 2026, s (`elapsed_s` of its result).
const PUBLISHED: [(&str, f64); 10] = [
    ("quickstart", 46.2),
    ("soak", 625.9),
    ("studies/catch-up", 550.6),
    ("studies/commits", 198.2),
    ("studies/durability-and-batch", 422.4),
    ("studies/kafka-side-by-side", 926.3),
    ("studies/partitions", 626.6),
    ("studies/preallocate", 548.3),
    ("studies/segments-and-retention", 860.5),
    ("studies/write-size-and-depth", 252.7),
];

#[test]
fn the_time_of_each_published_workload_is_estimated_within_a_tenth() {
    for (name, took_s) in PUBLISHED {
        let study = load_study(name, &[], Many::Refused, &with_every_client()).unwrap();
        let estimated_s = study.estimate().seconds;
        let ratio = estimated_s / took_s;
        assert!((0.9..1.1).contains(&ratio), "{name}: {estimated_s} s estimated, and it took {took_s} s");
    }
}

#[test]
fn the_log_is_filled_before_the_warm_up_of_an_open_load_that_requires_retention() {
    let seconds = |mode: &str, more: &str| {
        let log = "log: {segment_bytes: 100MiB, retention_bytes: 500MiB}";
        let yaml = format!(
            "load: {mode}\n{log}\n{more}\ntrials: 1\nlate_retries: 0\nceiling: off\nphases: {{warmup: 2s, measure: 2s}}"
        );
        load(&yaml).estimate().seconds
    };
    let fills = |mode: &str| seconds(mode, "require: [retention_reached]") - seconds(mode, "");
    // 600 MiB at 600 MiB/s, and 0.2 s until the window opens.
    let open = fills("{mode: open, rate: 1k/s}");
    assert!((open - 1.2).abs() < 0.01, "{open} s");
    let max = fills("{mode: max}");
    assert!((max - 0.2).abs() < 0.01, "the warm-up fills the log: {max} s");
}

#[test]
fn settings_without_effect_are_said() {
    let notes = |yaml: &str| load(yaml).without_effect();
    assert!(notes("{}").is_empty());
    assert_eq!(
        notes("batch: {max_records: 5000}"),
        ["`batch.max_records`: a batch reaches `batch.max_bytes` (64KiB) first"]
    );
    assert_eq!(
        notes("load: {mode: open, rate: 100}\nlog: {segment_bytes: 256MiB}"),
        ["`log.segment_bytes`: at this rate no partition reaches 256MiB, so no segment rolls"]
    );
    assert!(notes("log: {preallocate: recycle, retention_bytes: 1GiB}").is_empty());
    assert_eq!(
        notes("log: {preallocate: recycle}"),
        [
            "`log.preallocate`: no segment is freed without `log.retention_bytes` or `log.retention_ms`, so none is \
             recycled: each is written with zeros first"
        ]
    );
    assert_eq!(
        notes("durability: appended"),
        ["`ceiling`: an `appended` ack does not wait for the disk, so no share of the ceiling is reported"]
    );
}

#[test]
fn retention_by_age_bounds_the_disk() {
    let disk = |yaml: &str| load(yaml).estimate().disk_peak_bytes;
    let open = "load: {mode: open, rate: 100k/s}\nceiling: off\nphases: {measure: 20m}\n";
    let kept = disk(&format!("{open}log: {{retention_ms: 10s}}"));
    // About 99 MiB a second for 11 s, and two segments of 128 MiB.
    assert!((1_300 << 20..1_500 << 20).contains(&kept), "{kept}");
    assert!(disk(open) > 100 << 30);
    let smaller = disk(&format!("{open}log: {{retention_ms: 10s, retention_bytes: 256MiB}}"));
    assert!(smaller < 700 << 20, "the tighter limit counts: {smaller}");
    assert!(disk(&format!("{open}log: {{retention_ms: 10d}}")) > 100 << 30, "nothing gets that old");
}

#[test]
fn producers_times_partitions_take_memory() {
    let memory = |yaml: &str| load(yaml).estimate().memory_bytes;
    let many = "producers_per_topic: 256\npartitions_per_topic: 256\nbatch: {max_bytes: 512KiB}\nload: {in_flight_bytes: 64MiB}\n";
    let sticky = memory(many);
    let spread = memory(&format!("{many}key_distribution: round_robin"));
    assert!(spread - sticky > 256 * 256 * 4096 / 2, "{spread} and {sticky}");
    assert!(spread - sticky < 1 << 30, "a batch takes no more than its share: {spread} and {sticky}");
    assert!(memory("{}") < 512 << 20);
}

#[test]
fn batches_that_cannot_fill_are_said() {
    let notes = |yaml: &str| load(yaml).without_effect();
    let many = "producers_per_topic: 64\nload: {in_flight_bytes: 1MiB}\nceiling: off\n";
    assert_eq!(
        notes(many),
        [
            "`batch.max_bytes`: batches get no larger than about 16.0 KiB, their share of `load.in_flight_bytes` (1MiB ÷ 64 \
          producers)"
        ]
    );
    let spread = notes(&format!("{many}partitions_per_topic: 8\nkey_distribution: uniform"));
    assert!(
        spread[0].contains("2.00 KiB") && spread[0].contains("÷ 64 producers ÷ 8 partitions"),
        "{spread:?}"
    );
    assert!(notes("producers_per_topic: 64\nceiling: off").is_empty());
}

#[test]
fn values_and_batches_that_are_others_than_asked_for_are_said() {
    let notes = |yaml: &str| load(yaml).without_effect();
    assert_eq!(
        notes("message_size: 1000000B\npayload: {pool: 500}"),
        ["`payload.pool`: only 67 different values, because they take 64.0 MiB at most"]
    );
    let spread = notes("load: {mode: closed}\nkey_distribution: round_robin\npartitions_per_topic: 4");
    assert!(spread[0].contains("up to 4 smaller batches take the place of each"), "{spread:?}");
    let lingers = notes("load: {mode: closed}\nbatch: {linger: 5ms}");
    assert_eq!(lingers, ["`batch.linger`: only an open load has batches that wait for records"]);
}

#[test]
fn a_record_that_is_smaller_than_a_stamp_takes_a_header_beside() {
    let bytes = |yaml: &str| load(yaml).encoded_record_bytes();
    let (small, large) = (bytes("message_size: 10B\nverify: none"), bytes("message_size: 24B\nverify: none"));
    assert!((small + 14.0 - 34.0 - large).abs() < 1.0, "{small} and {large}");
}

#[test]
fn reading_back_takes_time_that_grows_with_what_a_trial_leaves() {
    let seconds = |more: &str| {
        let yaml = format!(
            "subscriptions_per_topic: 0\nload: {{mode: open, rate: 100k/s}}\ntrials: 1\nceiling: off\n{more}"
        );
        load(&yaml).estimate().seconds
    };
    let read_back = seconds("") - seconds("verify: none");
    // 100 k/s × 1 KiB for 1 s of warm-up and 10 s, at 0.6 GiB/s.
    assert!((1.5..3.0).contains(&read_back), "{read_back} s");
    let kept = seconds("log: {segment_bytes: 16MiB, retention_bytes: 64MiB}") - seconds("verify: none");
    assert!(kept > 0.0 && kept < read_back / 2.0, "retention leaves little: {kept} s");
    let consumed = |verify| {
        let yaml = format!("load: {{mode: open, rate: 100k/s}}\nverify: {verify}");
        load(&yaml).estimate().seconds
    };
    assert!((consumed("none") - consumed("sequence")).abs() < 1e-9, "consumers check what they read");
}

#[test]
fn members_of_groups_take_time_to_join_and_disk_for_their_commits() {
    let estimate = |consume: &str| load(&format!("trials: 2\nceiling: off\n{consume}")).estimate();
    let (fixed, members) =
        (estimate("consume: {assignment: fixed}"), estimate("consume: {assignment: group}"));
    assert_eq!(members.disk_peak_bytes - fixed.disk_peak_bytes, 64 << 20);
    assert_eq!(members.segments - fixed.segments, 16);
    assert!((members.seconds - fixed.seconds - 1.0).abs() < 1e-6, "{members:?}");
    assert!((members.seconds_max - fixed.seconds_max - 60.0).abs() < 1e-6, "{members:?}");
}
