//! Computes the figures in a trial's record from its measurements. A figure that was not measured is `None`, never 0.

use super::integrity::judge;
use super::latencies::{late_percentile, latency_set};
use super::stall_figures;
use crate::host::usage::LOAD_THREADS;
use crate::measure::finished::TrialRun;
use crate::measure::shards::ShardStats;
use crate::measure::writes::{WriteFigures, mean_depth, median_of};
use crate::num;
use crate::result::{
    BacklogFigures, Batches, CeilingFigures, CpuSeconds, Flow, IntegrityFigures, OfCeiling, Offered,
    Resources, ShardFigures, Trial, Writes,
};
use crate::workload::{Durability, Placement, Verify, Workload};

const NS_PER_S: f64 = 1e9;

/// Returns the record of a trial, with the ceiling figures that are known.
pub fn trial_of(workload: &Workload, run: &TrialRun, ceiling: CeilingFigures) -> Trial {
    let window_s = num::f64_of(run.timeline.window_ns()) / NS_PER_S;
    let window = &run.watched.series.window;
    let nonzero = |bytes: u64| (bytes > 0).then_some(bytes);
    let mut produce =
        Flow::over(window_s, window.acked_records, window.acked_bytes, nonzero(window.acked_encoded_bytes));
    produce.bytes_per_s_synced =
        run.final_sync.map(|sync| num::f64_of(produce.bytes) / (window_s + sync.as_secs_f64()));
    let consume = (workload.subscriptions_per_topic > 0).then(|| {
        let encoded = nonzero(window.consumed_encoded_bytes);
        Flow::over(window_s, window.consumed_records, window.consumed_bytes, encoded)
    });
    let writes = WriteFigures::of(&run.watched.shards);
    let batches = (window.acked_batches > 0)
        .then(|| num::f64_of(window.acked_records) / num::f64_of(window.acked_batches));
    let batch_bytes = &run.harvest.batch_bytes;
    let latency_ns = latency_set(workload, run);
    let late_percentile =
        if workload.backlog.is_none() { late_percentile(&workload.slo, &latency_ns) } else { None };
    Trial {
        window_start_s: run.window_start_s,
        window_s,
        clock_zero_unix_ms: Some(run.clock_zero_unix_ms),
        of_ceiling: of_ceiling(workload, run, &ceiling, window_s),
        of_device: None,
        ceiling,
        offered: run.offered.map(|records| Offered {
            records,
            records_per_s: if window_s > 0.0 { num::f64_of(records) / window_s } else { 0.0 },
            achieved: num::f64_of(window.acked_records) / num::f64_of(records.max(1)),
        }),
        failed_records: window.failed_records,
        latency_granularity: run.granularity.unwrap_or_default(),
        latency_ns,
        late_percentile,
        batches: Batches {
            records_mean: batches,
            bytes_p50: (!batch_bytes.is_empty()).then(|| batch_bytes.value_at_quantile(0.5)),
        },
        writes: Writes { bytes_p50: writes.bytes_p50, depth_mean: writes.depth_mean },
        per_shard: run.watched.shards.iter().map(shard_figures).collect(),
        resources: resources(run, produce.bytes),
        integrity: integrity(workload, run),
        stall: stall_figures::of(run),
        retention_reached_s: run.watched.held_s,
        backlog: backlog_figures(workload, run),
        late_attempts: Vec::new(),
        produce,
        consume,
    }
}

fn backlog_figures(workload: &Workload, run: &TrialRun) -> Option<BacklogFigures> {
    let (backlog, built) = (workload.backlog?, run.watched.built?);
    Some(BacklogFigures {
        built_records: built.records,
        built_bytes: built.encoded_bytes,
        build_s: num::f64_of(built.build_ns) / NS_PER_S,
        cache: backlog.cache,
        is_drained: run.watched.is_drained,
    })
}

/// Returns the encoded bytes a second that reached the device. `None` for acks that do not wait for the device.
pub fn written_bytes_per_s(workload: &Workload, trial: &Trial) -> Option<f64> {
    let encoded = trial.produce.encoded_bytes.filter(|_| trial.window_s > 0.0)?;
    (workload.durability != Durability::Appended).then(|| num::f64_of(encoded) / trial.window_s)
}

fn of_ceiling(workload: &Workload, run: &TrialRun, ceiling: &CeilingFigures, window_s: f64) -> OfCeiling {
    let window = &run.watched.series.window;
    if workload.durability == Durability::Appended || window_s <= 0.0 {
        return OfCeiling::default();
    }
    let share = |bytes: u64, ceiling: Option<f64>| {
        ceiling.filter(|_| bytes > 0).map(|ceiling| num::f64_of(bytes) / window_s / ceiling)
    };
    let write = share(window.acked_encoded_bytes, ceiling.write_bytes_per_s);
    let read_bytes: u64 = run.watched.shards.iter().map(|shard| shard.read_bytes).sum();
    let read = share(read_bytes, ceiling.read_bytes_per_s);
    // This is a share of the device's time. A kind of work that was not done took no time.
    let combined = (write.is_some() || read.is_some()).then(|| write.unwrap_or(0.0) + read.unwrap_or(0.0));
    OfCeiling { write, read, combined }
}

fn shard_figures(shard: &ShardStats) -> ShardFigures {
    let seconds = |ns: u64| num::f64_of(ns) / NS_PER_S;
    ShardFigures {
        shard: shard.shard,
        work_s: seconds(shard.work_ns),
        poll_s: seconds(shard.poll_ns),
        parked_s: seconds(shard.parked_ns),
        write_bytes: shard.write_bytes,
        writes: shard.writes,
        write_bytes_p50: median_of(shard.write_sizes.clone()),
        write_depth_mean: mean_depth(shard.write_depth_ns, shard.write_busy_ns),
        syncs: shard.syncs,
        overwrites: shard.overwrites,
        read_bytes: shard.read_bytes,
    }
}

fn resources(run: &TrialRun, produced_bytes: u64) -> Resources {
    let Some(host) = &run.watched.host else { return Resources::default() };
    let shards = &run.watched.shards;
    let sum = |of: fn(&ShardStats) -> u64| {
        (!shards.is_empty()).then(|| num::f64_of(shards.iter().map(of).sum()) / NS_PER_S)
    };
    let device_write_bytes = host.disk.map(|disk| disk.written);
    Resources {
        cpu_s: CpuSeconds {
            shard_work: sum(|shard| shard.work_ns),
            shard_poll: sum(|shard| shard.poll_ns),
            load: match run.placement {
                Placement::Remote => Some(host.threads_of(LOAD_THREADS).total_s),
                Placement::Colocated => sum(|shard| shard.colocated_ns),
            },
            kernel: Some(host.process.kernel_s),
        },
        rss_max_bytes: run.watched.rss_max_bytes,
        data_max_bytes: run.watched.data_max_bytes,
        device_write_bytes,
        device_read_bytes: host.disk.map(|disk| disk.read),
        write_amplification: device_write_bytes
            .filter(|_| produced_bytes > 0)
            .map(|written| num::f64_of(written) / num::f64_of(produced_bytes)),
        syncs: (!shards.is_empty()).then(|| shards.iter().map(|shard| shard.syncs).sum()),
        steal_share: host.steal_share,
        others_cores: host.others_cores,
        throttled_s: host.throttled_s,
        // The caller sets it, because it knows how much memory was warmed.
        warmed_bytes: None,
        disk_interrupts: host.interrupts.clone(),
    }
}

fn integrity(workload: &Workload, run: &TrialRun) -> IntegrityFigures {
    if workload.verify == Verify::None || workload.subscriptions_per_topic == 0 {
        return IntegrityFigures::default();
    }
    let found = judge(&run.harvest.produced, &run.harvest.consumed);
    IntegrityFigures {
        checked: Some(found.checked),
        gaps: Some(found.gaps),
        duplicates: Some(found.duplicates),
        reorders: Some(found.reorders),
        corruptions: Some(found.corruptions),
        undrained: Some(found.undrained),
        lost_to_retention: Some(found.lost_to_retention),
        // Redelivered records would come from rebalances, which do not exist yet. So they were not looked for.
        redelivered: None,
    }
}
