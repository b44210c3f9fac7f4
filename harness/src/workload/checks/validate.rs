//! Checks that types cannot express: bounds of numbers, and keys that contradict each other.

use super::capabilities::{self, Capabilities};
use super::payload;
use super::problems::{Problem, Problems};
use super::{bounds, consume, existing_topic, kafka, metric, placement, slo, unsupported};
use crate::num::count;
use crate::workload::limits::{PRODUCERS_MAX, STAMP_BYTES};
use crate::workload::units::{Bytes, Rate, RecordRate};
use crate::workload::{KeyDistribution, LoadMode, MessageSize, PayloadSource, Verify, WarmMemory, Workload};
use std::time::Duration;

/// The most characters of a workload's name, which becomes part of a directory's name.
pub(in crate::workload) const NAME_CHARS_MAX: usize = 64;

/// Alignment of `O_DIRECT` writes, in bytes.
const BLOCK_BYTES: u64 = 4096;

/// The engine's limit on the writes in flight of one partition.
const WRITE_DEPTH_MAX: u32 = 128;

/// The most retries of a late trial. More of them would not help.
const LATE_RETRIES_MAX: u32 = 10;

/// The shortest window. It holds more than one interval of the time series.
const MEASURE_MIN: Duration = Duration::from_millis(200);

/// Returns everything that is wrong with a workload; empty if it can run.
pub(in crate::workload) fn problems(workload: &Workload, systems: &[Capabilities]) -> Vec<Problem> {
    let mut problems = Problems(Vec::new());
    unsupported::check(workload, &mut problems);
    capabilities::check(workload, systems, &mut problems);
    kafka::check(workload, &mut problems);
    existing_topic::check(workload, &mut problems);
    check_identity(workload, &mut problems);
    check_counts(workload, &mut problems);
    bounds::check(workload, &mut problems);
    check_messages(workload, &mut problems);
    check_sizes(workload, &mut problems);
    payload::check(workload, &mut problems);
    check_ranges(workload, &mut problems);
    check_retention(workload, &mut problems);
    check_load(workload, &mut problems);
    check_engine(workload, &mut problems);
    placement::check(workload, &mut problems);
    consume::check(workload, systems, &mut problems);
    slo::check(workload, &mut problems);
    metric::check(workload, &mut problems);
    check_require(workload, &mut problems);
    check_backlog(workload, &mut problems);
    problems.0
}

/// Tells whether a character may be part of a workload's name.
pub(in crate::workload) const fn may_be_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn check_identity(workload: &Workload, problems: &mut Problems) {
    if workload.version != 1 {
        let message = format!("version {} is not supported; this vnotch reads version 1", workload.version);
        problems.refuse(&["version"], message);
    }
    let name = &workload.name;
    let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(may_be_in_name)
        && name.len() <= NAME_CHARS_MAX;
    if !fits {
        let allowed = format!(
            "begin with a letter or digit, and hold only letters, digits, `-`, `_` and `.`, at most {NAME_CHARS_MAX} of them"
        );
        problems
            .refuse(&["name"], format!("`{name}` becomes part of a directory's name, so it must {allowed}"));
    }
    let group = &workload.group;
    let bare = group.replace("{system}", "s").replace("{topic}", "t").replace("{service}", "s");
    if bare.is_empty() || !bare.chars().all(may_be_in_name) {
        let message = format!(
            "`{group}` may hold letters, digits, `-_.` and the placeholders {{system}}, {{topic}}, {{service}}"
        );
        problems.refuse(&["group"], message);
    }
    if workload.subscriptions_per_topic > 1 && !group.contains("{service}") {
        let message =
            "several groups per topic need `{service}` in `group`, otherwise they would be the same group";
        problems.refuse(&["group", "subscriptions_per_topic"], message);
    }
}

fn check_counts(workload: &Workload, problems: &mut Problems) {
    let counts = [
        ("topics", workload.topics),
        ("partitions_per_topic", workload.partitions_per_topic),
        ("producers_per_topic", workload.producers_per_topic),
        ("trials", workload.trials),
        ("batch.max_records", workload.batch.max_records),
        ("engine.shards", workload.engine.shards),
        ("engine.write_depth", workload.engine.write_depth),
    ];
    if workload.late_retries > LATE_RETRIES_MAX {
        let message = format!(
            "`late_retries` is at most {LATE_RETRIES_MAX}: a generator that is late more often is always late; use a lower \
             rate"
        );
        problems.refuse(&["late_retries"], message);
    }
    for (key, count) in counts {
        if count == 0 {
            problems.refuse(&[key], format!("`{key}` must be at least 1"));
        }
    }
    let producers = u64::from(workload.topics) * u64::from(workload.producers_per_topic);
    if producers >= u64::from(PRODUCERS_MAX) {
        let message = format!(
            "{producers} producers are too many: a run has fewer than {PRODUCERS_MAX}, because each record names its producer \
             in 20 bits"
        );
        problems.refuse(&["producers_per_topic", "topics"], message);
    }
    if workload.subscriptions_per_topic == 0 {
        return;
    }
    if workload.consumers_per_subscription == 0 {
        let message = "`consumers_per_subscription` must be at least 1 \
             (`subscriptions_per_topic: 0` runs without consumers)";
        problems.refuse(&["consumers_per_subscription"], message);
    }
    if (1..workload.consumers_per_subscription).contains(&workload.partitions_per_topic) {
        let message = format!(
            "{} consumers cannot share {} partitions: a group has at most one consumer per partition",
            workload.consumers_per_subscription, workload.partitions_per_topic
        );
        problems.refuse(&["consumers_per_subscription", "partitions_per_topic"], message);
    }
}

fn check_messages(workload: &Workload, problems: &mut Problems) {
    match &workload.message_size {
        MessageSize::Fixed(_) => {}
        MessageSize::Range(range) if range.min > range.max => {
            let message = format!("`min` ({}) is larger than `max` ({})", range.min, range.max);
            problems.refuse(&["message_size"], message);
        }
        MessageSize::Range(_) => {}
        MessageSize::Weighted(list) if list.is_empty() => {
            problems.refuse(&["message_size"], "a list of sizes needs at least one entry");
        }
        MessageSize::Weighted(list) => {
            if list.iter().any(|entry| !entry.weight.is_finite() || entry.weight <= 0.0) {
                problems.refuse(&["message_size"], "each `weight` must be a number above 0");
            }
        }
    }
    let smallest = workload.message_size.smallest().0;
    let stamped =
        matches!(workload.payload.source, PayloadSource::Random { .. }) && workload.verify != Verify::None;
    if smallest == 0 {
        problems.refuse(&["message_size"], "`message_size` must be at least 1B");
    } else if stamped && smallest < count(STAMP_BYTES) {
        let message = format!(
            "a record needs at least {STAMP_BYTES}B to be verified, for its producer, sequence and time; \
             smaller ones need `verify: none`"
        );
        problems.refuse(&["message_size"], message);
    }
    if let PayloadSource::Random { pool: 0, .. } = workload.payload.source {
        problems.refuse(&["payload.pool"], "`payload.pool` must be at least 1");
    }
    if let KeyDistribution::Zipf(exponent) = workload.key_distribution
        && !exponent.is_finite()
    {
        problems.refuse(&["key_distribution"], "the exponent must be a finite number");
    }
}

fn check_sizes(workload: &Workload, problems: &mut Problems) {
    let (batch, log) = (&workload.batch, &workload.log);
    let largest = workload.largest_batch_of_one();
    let is_generated = matches!(workload.payload.source, PayloadSource::Random { .. });
    if is_generated && largest > log.max_message_bytes {
        let message = format!(
            "a batch with only a record of {} takes up to {}B, more than `log.max_message_bytes` ({})",
            workload.message_size.largest(),
            largest.0,
            log.max_message_bytes
        );
        problems.refuse(&["message_size", "log.max_message_bytes"], message);
    }
    if batch.max_bytes.0 == 0 {
        problems.refuse(&["batch.max_bytes"], "`batch.max_bytes` must be at least 1B");
    }
    if batch.max_bytes > log.max_message_bytes {
        let message = format!(
            "batches of {} would be refused: `log.max_message_bytes` is {}",
            batch.max_bytes, log.max_message_bytes
        );
        problems.refuse(&["batch.max_bytes", "log.max_message_bytes"], message);
    }
    if log.segment_bytes < log.max_message_bytes {
        let message = format!(
            "`log.segment_bytes` ({}) must be at least the size of the largest batch (`log.max_message_bytes`, {})",
            log.segment_bytes, log.max_message_bytes
        );
        problems.refuse(&["log.segment_bytes", "log.max_message_bytes"], message);
    }
    if workload.phases.measure.0 < MEASURE_MIN {
        problems.refuse(&["phases.measure"], "the measured window must be at least 200ms");
    }
    if let WarmMemory::Size(Bytes(0)) = workload.warm_memory {
        problems.refuse(&["warm_memory"], "to warm no memory, write `warm_memory: off`");
    }
}

/// Checks the ranges that the engine accepts. The engine checks the same, but it knows no line to point at.
fn check_ranges(workload: &Workload, problems: &mut Problems) {
    let (engine, log) = (&workload.engine, &workload.log);
    let ranges = [
        ("engine.arena_bytes", engine.arena_bytes, Bytes::mib(16), Bytes::gib(1024)),
        ("engine.write_bytes_max", engine.write_bytes_max, Bytes(BLOCK_BYTES), Bytes::mib(1)),
        ("log.segment_bytes", log.segment_bytes, Bytes::mib(1), Bytes::gib(1)),
        ("log.max_message_bytes", log.max_message_bytes, Bytes(128), Bytes::kib(2040)),
        ("log.index_interval_bytes", log.index_interval_bytes, Bytes(1), Bytes::kib(2043)),
    ];
    for (key, size, least, most) in ranges {
        if !(least..=most).contains(&size) {
            problems.refuse(&[key], format!("`{key}` must be from {least} to {most}, not {size}"));
        }
    }
    let (largest, interval) = (log.max_message_bytes, log.index_interval_bytes);
    let together_max = Bytes::kib(2044);
    if largest.0.saturating_add(interval.0) > together_max.0 {
        let message = format!(
            "`log.max_message_bytes` ({largest}) and `log.index_interval_bytes` ({interval}) must \
             together be at most {together_max}"
        );
        problems.refuse(&["log.max_message_bytes", "log.index_interval_bytes"], message);
    }
}

fn check_retention(workload: &Workload, problems: &mut Problems) {
    let log = &workload.log;
    if let Some(retention) = log.retention_bytes.0.filter(|retention| *retention < log.segment_bytes) {
        let message = format!(
            "`log.retention_bytes` ({retention}) must be at least `log.segment_bytes` ({}), because retention deletes \
             whole segments",
            log.segment_bytes
        );
        problems.refuse(&["log.retention_bytes", "log.segment_bytes"], message);
    }
    for (key, limit) in [("log.segment_ms", log.segment_ms), ("log.retention_ms", log.retention_ms)] {
        if limit.0.is_some_and(|age| age.0 < Duration::from_millis(1)) {
            problems.refuse(&[key], format!("`{key}` must be at least 1ms, or `none`"));
        }
    }
}

fn check_load(workload: &Workload, problems: &mut Problems) {
    let load = &workload.load;
    let needed = workload.batch.max_bytes.max(workload.largest_batch_of_one());
    if load.in_flight_bytes < needed {
        let message = format!(
            "`load.in_flight_bytes` ({}) must be at least the size of a batch ({})",
            load.in_flight_bytes, needed
        );
        problems.refuse(&["load.in_flight_bytes", "batch.max_bytes", "message_size"], message);
    }
    match load.mode {
        LoadMode::Closed { in_flight: 0 } => {
            problems.refuse(&["load.in_flight"], "`load.in_flight` must be at least 1");
        }
        LoadMode::Open { rate: Rate::Absolute(RecordRate::ZERO), .. } => {
            problems.refuse(
                &["load.rate"],
                "the rate is 0, so nothing would be sent; a low rate is written like `0.5/s` or `30/min`",
            );
        }
        LoadMode::Open { rate: Rate::Share(percent), .. } if percent <= 0.0 => {
            problems.refuse(&["load.rate"], "the rate is 0%, so nothing would be sent");
        }
        LoadMode::Max | LoadMode::Closed { .. } | LoadMode::Open { .. } => {}
    }
    if let LoadMode::Open { profile, .. } = load.mode
        && let Some((key, message)) = profile.fault()
    {
        problems.refuse(&[&format!("load.{key}"), "load.profile"], message);
    }
}

fn check_engine(workload: &Workload, problems: &mut Problems) {
    let engine = &workload.engine;
    if engine.write_depth > WRITE_DEPTH_MAX {
        let message =
            format!("`engine.write_depth` is at most {WRITE_DEPTH_MAX}, not {}", engine.write_depth);
        problems.refuse(&["engine.write_depth"], message);
    }
    let aligned =
        [("engine.arena_bytes", engine.arena_bytes), ("engine.write_bytes_max", engine.write_bytes_max)];
    for (key, size) in aligned {
        if !size.0.is_multiple_of(BLOCK_BYTES) {
            problems.refuse(&[key], format!("`{key}` must be a multiple of 4KiB, not {size}"));
        }
    }
    if engine.write_bytes_max > engine.arena_bytes {
        let message = format!(
            "a write of {} does not fit into the arena ({})",
            engine.write_bytes_max, engine.arena_bytes
        );
        problems.refuse(&["engine.write_bytes_max", "engine.arena_bytes"], message);
    }
    if engine.fetch_pinned_bytes.0 > engine.arena_bytes.0 / 2 {
        let message = format!(
            "readers may pin at most half of the arena, not {} of {}: the rest is for appends",
            engine.fetch_pinned_bytes, engine.arena_bytes
        );
        problems.refuse(&["engine.fetch_pinned_bytes", "engine.arena_bytes"], message);
    }
    let cores = &engine.cores;
    if !cores.shards.is_empty() && cores.shards.len() as u64 != u64::from(engine.shards) {
        let message = format!(
            "`engine.cores.shards` names {} cores for {} shards; it needs one per shard",
            cores.shards.len(),
            engine.shards
        );
        problems.refuse(&["engine.cores.shards", "engine.shards"], message);
    }
    for (key, list) in [("engine.cores.shards", &cores.shards), ("engine.cores.load", &cores.load)] {
        if let Some(core) =
            list.iter().enumerate().find_map(|(i, core)| list[..i].contains(core).then_some(core))
        {
            problems.refuse(&[key], format!("core {core} is named twice"));
        }
    }
}

fn check_backlog(workload: &Workload, problems: &mut Problems) {
    let Some(backlog) = &workload.backlog else { return };
    if backlog.build.0 == 0 {
        problems.refuse(&["backlog.build"], "`backlog.build` must be at least 1B");
    }
    if workload.subscriptions_per_topic == 0 {
        let message = "a backlog needs consumers, but `subscriptions_per_topic` is 0";
        problems.refuse(&["backlog", "subscriptions_per_topic"], message);
    }
    if workload.load.mode != LoadMode::Max {
        let message = "with a backlog, `load.mode` must be `max`: it is built as fast as acks allow, and \
                       `backlog.drain_producer_rate` is the rate after that";
        problems.refuse(&["load.mode", "backlog"], message);
    }
    let key = "backlog.drain_producer_rate";
    match backlog.drain_producer_rate {
        Rate::Share(_) => {
            problems.refuse(&[key], format!("`{key}` must be records per second, such as `20k/s`, or 0"));
        }
        Rate::Absolute(_) => {}
    }
    if let Some(retention) = workload.log.retention_bytes.0
        && backlog.build.0 > retention.0.saturating_mul(workload.partitions())
    {
        let message = format!(
            "the backlog of {} is larger than what retention keeps, {} partitions of `log.retention_bytes` ({retention}): \
             part of it would be deleted before it is consumed",
            backlog.build,
            workload.partitions()
        );
        problems.refuse(&["backlog.build", "log.retention_bytes"], message);
    }
    if !workload.require.is_empty() {
        let message = "`require` waits during the warm-up, but a run with a backlog has no warm-up";
        problems.refuse(&["require", "backlog"], message);
    }
}

/// Checks that the required conditions can be met.
fn check_require(workload: &Workload, problems: &mut Problems) {
    let log = &workload.log;
    if workload.require.is_empty() {
        return;
    }
    if log.retention_bytes.0.is_none() && log.retention_ms.0.is_none() {
        let message = "`retention_reached` needs retention: set `log.retention_bytes` or \
                       `log.retention_ms`";
        problems.refuse(&["require"], message);
    }
    if workload.phases.warmup.0.is_zero() {
        let message =
            "`retention_reached` needs a warm-up in which retention deletes, and `phases.warmup` is 0";
        problems.refuse(&["phases.warmup", "require"], message);
    }
    if let LoadMode::Open { profile, .. } = workload.load.mode
        && profile.first() <= 0.0
    {
        let message = "the profile begins at a rate of 0, which the warm-up has too: nothing would be sent, and retention would never delete";
        problems.refuse(&["load.profile", "require"], message);
    }
}
