//! Settings that were written but have no effect in their run.

use super::consume;
use crate::num::f64_of;
use crate::quantity;
use crate::workload::limits::POOL_BYTES_MAX;
use crate::workload::{
    BacklogCache, Ceiling, Difference, Durability, Io, KeyDistribution, LoadMode, PayloadSource, Preallocate,
    Profile, Rate, Target, Workload,
};
use std::time::Duration;

/// The time between two looks of a broker for segments to delete, unless it is configured (`log.retention.check.interval.ms`).
const KAFKA_RETENTION_LOOK: Duration = Duration::from_secs(300);

/// Returns one sentence for each setting that differs from its default and has no effect.
pub(in crate::workload) fn without_effect(workload: &Workload, differences: &[Difference]) -> Vec<String> {
    let is_set = |key: &str| differences.iter().any(|difference| difference.key == key);
    let mut notes = Vec::new();
    if workload.subscriptions_per_topic == 0 {
        for key in ["consumers_per_subscription", "engine.fetch_pinned_bytes"] {
            if is_set(key) {
                notes.push(format!("`{key}`: there are no consumers (`subscriptions_per_topic: 0`)"));
            }
        }
    }
    if is_set("group") && !workload.consume.has_members() {
        notes.push(
            "`group`: partitions are assigned by number, without a coordinator, so the ids only name the consumers"
                .into(),
        );
    }
    notes.extend(consume::without_effect(workload, &is_set));
    if workload.durability == Durability::Appended && workload.ceiling == Ceiling::Auto {
        notes.push(
            "`ceiling`: an `appended` ack does not wait for the disk, so no share of the ceiling is reported"
                .into(),
        );
    }
    if is_set("late_retries") && (workload.load.mode.rate().is_none() || workload.backlog.is_some()) {
        notes.push("`late_retries`: trials are repeated only under an open load without a backlog, where a generator can be late".into());
    }
    if let PayloadSource::Random { pool, .. } = workload.payload.source {
        let made = workload.pool_entries(pool);
        if made < u64::from(pool) {
            let most = quantity::bytes(POOL_BYTES_MAX);
            notes.push(format!(
                "`payload.pool`: only {made} different values, because they take {most} at most"
            ));
        }
    }
    batch(workload, &is_set, &mut notes);
    profile(workload, &mut notes);
    if workload.backlog.is_some() && is_set("phases.warmup") {
        notes.push("`phases.warmup`: the backlog is built instead of a warm-up".into());
    }
    let is_warm = workload.backlog.is_some_and(|backlog| backlog.cache == BacklogCache::Warm);
    if is_warm && workload.deployment().io == Io::Direct {
        notes.push(
            "`backlog.cache`: `warm` makes no difference with `engine.io: direct`, which does not read through the page \
             cache"
                .into(),
        );
    }
    if is_warm && !workload.deployment().is_on_this_machine() {
        notes.push(
            "`backlog.cache`: the files of a cluster elsewhere cannot be read from here, so `warm` only drops nothing".into(),
        );
    }
    segments(workload, &is_set, &mut notes);
    notes
}

fn batch(workload: &Workload, is_set: &impl Fn(&str) -> bool, notes: &mut Vec<String>) {
    let batch = &workload.batch;
    let records_bytes = f64::from(batch.max_records) * workload.mean_value_bytes();
    if is_set("batch.max_records") && records_bytes > 2.0 * f64_of(batch.max_bytes.0) {
        notes.push(format!(
            "`batch.max_records`: a batch reaches `batch.max_bytes` ({}) first",
            batch.max_bytes
        ));
    }
    if is_set("batch.max_bytes") && 2.0 * records_bytes < f64_of(batch.max_bytes.0) {
        notes.push(format!(
            "`batch.max_bytes`: a batch reaches `batch.max_records` ({}) first",
            batch.max_records
        ));
    }
    let reached = workload.batch_bytes_reached();
    if reached < batch.max_bytes.0 {
        let producers = workload.producers();
        let spread = match workload.key_distribution {
            KeyDistribution::None => String::new(),
            _ => format!(" ÷ {} partitions", workload.partitions_per_topic),
        };
        notes.push(format!(
            "`batch.max_bytes`: batches get no larger than about {}, their share of `load.in_flight_bytes` ({} ÷ {producers} \
             producers{spread})",
            quantity::bytes(reached),
            workload.load.in_flight_bytes
        ));
    }
    // A client that batches by itself waits under every load.
    let is_batched_here = workload.deployment().is_in_process();
    if is_batched_here && !batch.linger.0.is_zero() && !matches!(workload.load.mode, LoadMode::Open { .. }) {
        notes.push("`batch.linger`: only an open load has batches that wait for records".into());
    }
    if let LoadMode::Closed { in_flight } = workload.load.mode {
        let partitions = workload.partitions_per_topic;
        if workload.key_distribution != KeyDistribution::None && partitions > 1 {
            notes.push(format!(
                "`load.in_flight`: `key_distribution` spreads the records of a batch over {partitions} partitions, so up to \
                 {partitions} smaller batches take the place of each"
            ));
        }
        let wanted = f64::from(in_flight) * f64_of(workload.producers()) * f64_of(batch.max_bytes.0);
        if wanted > 2.0 * f64_of(workload.load.in_flight_bytes.0) {
            let bound = workload.load.in_flight_bytes;
            notes.push(format!("`load.in_flight`: `load.in_flight_bytes` ({bound}) is used up first"));
        }
    }
}

/// Notes a profile whose first period is longer than the window, so that the window does not show its whole form.
fn profile(workload: &Workload, notes: &mut Vec<String>) {
    let window = workload.phases.measure;
    let (key, period) = match workload.load.mode {
        LoadMode::Open { profile: Profile::Sine(sine), .. } => ("load.sine.period", sine.period),
        LoadMode::Open { profile: Profile::Burst(burst), .. } => ("load.burst.every", burst.every),
        _ => return,
    };
    if period > window {
        notes.push(format!("`{key}`: the window ({window}) is shorter than one period ({period}), so it does not show a whole one"));
    }
}

fn segments(workload: &Workload, is_set: &impl Fn(&str) -> bool, notes: &mut Vec<String>) {
    let offering = workload.phases.warmup.0 + workload.phases.measure.0;
    for (key, limit) in
        [("log.segment_ms", workload.log.segment_ms), ("log.retention_ms", workload.log.retention_ms)]
    {
        if let Some(age) = limit.0.filter(|age| age.0 >= offering) {
            let ends = crate::workload::TimeSpan(offering);
            notes.push(format!("`{key}`: nothing gets as old as {age}, because the load ends after {ends}"));
        }
    }
    let log = &workload.log;
    let is_kept = log.retention_bytes.0.is_none() && log.retention_ms.0.is_none();
    if !is_kept && workload.target.system() == Target::KAFKA && offering < KAFKA_RETENTION_LOOK {
        notes.push(
            "`log.retention_bytes`, `log.retention_ms`: Kafka looks for old segments every 5 minutes, and the load ends before"
                .into(),
        );
    }
    if log.preallocate == Preallocate::Recycle
        && log.retention_bytes.0.is_none()
        && log.retention_ms.0.is_none()
    {
        notes.push(
            "`log.preallocate`: no segment is freed without `log.retention_bytes` or `log.retention_ms`, so none is \
             recycled: each is written with zeros first"
                .into(),
        );
    }
    let LoadMode::Open { rate: Rate::Absolute(records), profile, .. } = workload.load.mode else { return };
    let [warmup_s, window_s] =
        [workload.phases.warmup, workload.phases.measure].map(|span| span.0.as_secs_f64());
    let seconds = profile.first() * warmup_s + profile.integral(window_s, window_s);
    let bytes =
        records.records_per_s() * workload.encoded_record_bytes() * seconds / f64_of(workload.partitions());
    if is_set("log.segment_bytes") && bytes < f64_of(workload.log.segment_bytes.0) {
        let size = workload.log.segment_bytes;
        notes.push(format!(
            "`log.segment_bytes`: at this rate no partition reaches {size}, so no segment rolls"
        ));
    }
}

impl Workload {
    /// Returns one sentence for each setting that was written but has no effect in this run.
    pub fn without_effect(&self) -> Vec<String> {
        without_effect(self, &self.diff_from_defaults())
    }
}
