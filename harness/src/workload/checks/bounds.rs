//! Upper bounds of counts and times. They keep products within their types, and a mistyped number from using up the machine.

use super::problems::Problems;
use crate::workload::limits::{PARTITIONS_MAX, RATE_MAX};
use crate::workload::{LoadMode, Rate, TimeSpan, Workload};
use std::time::Duration;

/// The most consumers of a run, over all topics and groups.
const CONSUMERS_MAX: u64 = 1 << 20;
/// The most pairs of a producer and a partition of its topic. Both sides of the check of integrity keep a state for each.
const PAIRS_MAX: u64 = 1 << 26;
/// The most trials of a point. More would take weeks.
const TRIALS_MAX: u32 = 10_000;
/// The longest phase.
const PHASE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest time that a batch waits for more records.
const LINGER_MAX: Duration = Duration::from_secs(3600);

pub(super) fn check(workload: &Workload, problems: &mut Problems) {
    let counts = [
        ("trials", u64::from(workload.trials), u64::from(TRIALS_MAX)),
        ("batch.max_records", u64::from(workload.batch.max_records), 1 << 31),
        ("engine.shards", u64::from(workload.engine.shards), 1024),
    ];
    for (key, count, most) in counts {
        if count > most {
            problems.refuse(&[key], format!("`{key}` is at most {most}, not {count}"));
        }
    }
    check_products(workload, problems);
    let phases = &workload.phases;
    let times = [
        ("phases.warmup", phases.warmup, PHASE_MAX),
        ("phases.measure", phases.measure, PHASE_MAX),
        ("phases.drain", phases.drain, PHASE_MAX),
        ("batch.linger", workload.batch.linger, LINGER_MAX),
    ];
    for (key, time, most) in times {
        if time.0 > most {
            problems.refuse(&[key], format!("`{key}` is at most {}, not {time}", TimeSpan(most)));
        }
    }
    if let LoadMode::Closed { in_flight } = workload.load.mode
        && in_flight > 1 << 20
    {
        problems
            .refuse(&["load.in_flight"], format!("`load.in_flight` is at most {}, not {in_flight}", 1 << 20));
    }
    let drained_at =
        workload.backlog.map(|backlog| ("backlog.drain_producer_rate", backlog.drain_producer_rate));
    let rates = workload.load.mode.rate().map(|rate| ("load.rate", rate)).into_iter().chain(drained_at);
    for (key, rate) in rates {
        let at_peak =
            rate.records_per_s(0.0) * if key == "load.rate" { workload.load.mode.peak() } else { 1.0 };
        if matches!(rate, Rate::Absolute(_)) && at_peak > RATE_MAX {
            let message =
                format!("`{key}` is at most {RATE_MAX:.0}/s at its peak: no system is nearly as fast");
            problems.refuse(&[key, "load.profile"], message);
        }
    }
}

/// Checks the products of counts.
fn check_products(workload: &Workload, problems: &mut Problems) {
    let pairs = workload.producers().saturating_mul(u64::from(workload.partitions_per_topic));
    let products = [
        (&["partitions_per_topic", "topics"][..], "partitions", workload.partitions(), PARTITIONS_MAX),
        (
            &["consumers_per_subscription", "subscriptions_per_topic", "topics"],
            "consumers",
            workload.consumers(),
            CONSUMERS_MAX,
        ),
        (
            &["producers_per_topic", "partitions_per_topic", "topics"],
            "pairs of a producer and a partition",
            pairs,
            PAIRS_MAX,
        ),
    ];
    for (keys, what, count, most) in products {
        if count > most {
            let factors = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" × ");
            problems
                .refuse(keys, format!("{count} {what} are too many: a run has at most {most} ({factors})"));
        }
    }
}
