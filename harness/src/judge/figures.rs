//! Computes the figures in a trial's record from its measurements. A figure that was not measured is `None`, never 0.

use super::groups;
use super::integrity::judge;
use super::latencies::{late_percentile, latency_set};
use super::stall_figures;
use crate::host::processes::ProcessUsage;
use crate::host::storage::device_bytes;
use crate::host::usage::{CpuTime, HostUsage, IO_WORKERS, SHARD_THREADS};
use crate::measure::finished::TrialRun;
use crate::measure::ledger::ProducedPartition;
use crate::measure::shards::ShardStats;
use crate::measure::writes::{WriteFigures, mean_depth, median_of};
use crate::num;
use crate::result::{
    BacklogFigures, Batches, CeilingFigures, ClosedFigures, CpuPart, CpuPerGib, CpuSeconds, Flow,
    IntegrityFigures, OfCeiling, Offered, ProcessFigures, PumpShares, Resources, ShardFigures, Trial, Writes,
};
use crate::workload::{Durability, Host, Placement, Verify, Workload};

const NS_PER_S: f64 = 1e9;

/// Returns the record of a trial, with the ceiling figures that are known.
pub fn trial_of(workload: &Workload, run: &TrialRun, ceiling: CeilingFigures) -> Trial {
    let window_s = num::f64_of(run.timeline.window_ns()) / NS_PER_S;
    let window = &run.observed.series.window;
    let nonzero = |bytes: u64| (bytes > 0).then_some(bytes);
    let mut produce =
        Flow::over(window_s, window.acked_records, window.acked_bytes, nonzero(window.acked_encoded_bytes));
    produce.bytes_per_s_synced =
        run.final_sync.map(|sync| num::f64_of(produce.bytes) / (window_s + sync.took.as_secs_f64()));
    let consume = (workload.subscriptions_per_topic > 0).then(|| {
        let encoded = nonzero(window.consumed_encoded_bytes);
        Flow::over(window_s, window.consumed_records, window.consumed_bytes, encoded)
    });
    let writes = WriteFigures::of(&run.observed.shards);
    let batches = (window.acked_batches > 0)
        .then(|| num::f64_of(window.acked_records) / num::f64_of(window.acked_batches));
    let batch_bytes = &run.harvest.batch_bytes;
    let latency_ns = latency_set(workload, run);
    let late_percentile =
        if workload.backlog.is_none() { late_percentile(&workload.slo, &latency_ns) } else { None };
    let mut trial = Trial {
        window_start_s: run.window_start_s,
        window_s,
        clock_zero_unix_ms: Some(run.clock_zero_unix_ms),
        of_ceiling: OfCeiling::default(),
        of_device: None,
        ceiling,
        offered: run.offered.map(|records| Offered {
            records,
            records_per_s: if window_s > 0.0 { num::f64_of(records) / window_s } else { 0.0 },
            achieved: num::f64_of(window.acked_records) / num::f64_of(records.max(1)),
        }),
        failed_records: window.failed_records,
        errors: run.harvest.errors.figures(&run.timeline),
        failure: run.error.clone(),
        latency_granularity: run.granularity.unwrap_or_default(),
        latency_ns,
        late_percentile,
        batches: Batches {
            records_mean: batches,
            bytes_p50: (!batch_bytes.is_empty()).then(|| batch_bytes.value_at_quantile(0.5)),
        },
        writes: Writes { bytes_p50: writes.bytes_p50, depth_mean: writes.depth_mean },
        per_shard: run.observed.shards.iter().map(shard_figures).collect(),
        resources: resources_of(workload, run, produce.bytes),
        integrity: integrity(workload, run),
        groups: groups::figures(workload, run),
        stall: stall_figures::of(run),
        retention_reached_s: run.observed.retention_reached_s,
        backlog: backlog_figures(workload, run),
        closed: run
            .closed
            .map(|closed| ClosedFigures { files: closed.files, reopen_s: closed.reopen.as_secs_f64() }),
        late_attempts: Vec::new(),
        is_late: false,
        limit: None,
        produce,
        consume,
    };
    trial.resources.cpu_s_per_gib = cpu_per_gib(workload, run, &trial);
    trial.of_ceiling = of_ceiling(workload, &trial);
    trial
}

fn backlog_figures(workload: &Workload, run: &TrialRun) -> Option<BacklogFigures> {
    let (backlog, built) = (workload.backlog?, run.observed.built?);
    Some(BacklogFigures {
        built_records: built.records,
        built_bytes: built.encoded_bytes,
        build_s: num::f64_of(built.build_ns) / NS_PER_S,
        cache: backlog.cache,
        is_drained: run.observed.is_drained,
        from_disk: from_disk(workload, run),
    })
}

/// Returns the share of the consumed bytes that came from the device. The device may read more than is consumed.
fn from_disk(workload: &Workload, run: &TrialRun) -> Option<f64> {
    let consumed = run.observed.series.window.consumed_encoded_bytes;
    let moved = run.observed.shards.iter().map(|shard| shard.read_bytes).sum();
    let counted = run.observed.host.as_ref().and_then(|host| host.disk).map(|disk| disk.read);
    let read = device_bytes(moved, counted, workload.deployment().io)?;
    (consumed > 0).then(|| num::f64_of(read) / num::f64_of(consumed))
}

/// Returns the bytes a second that the device took in a trial's window, by its own counters. `None` for acks that do not
/// wait for the device.
pub fn written_bytes_per_s(workload: &Workload, trial: &Trial) -> Option<f64> {
    if workload.durability == Durability::Appended || trial.window_s <= 0.0 {
        return None;
    }
    let moved = trial.per_shard.iter().map(|shard| shard.write_bytes).sum();
    let bytes = device_bytes(moved, trial.resources.device_write_bytes, workload.deployment().io)?;
    (bytes > 0).then(|| num::f64_of(bytes) / trial.window_s)
}

/// Returns the bytes a second that the device gave in a trial's window; `None` if the trial read nothing.
fn read_bytes_per_s(workload: &Workload, trial: &Trial) -> Option<f64> {
    let moved: u64 = trial.per_shard.iter().map(|shard| shard.read_bytes).sum();
    if moved == 0 || trial.window_s <= 0.0 {
        return None;
    }
    let bytes = device_bytes(moved, trial.resources.device_read_bytes, workload.deployment().io)?;
    Some(num::f64_of(bytes) / trial.window_s)
}

/// Returns the shares of the ceiling that a trial reached. Numerator and ceiling both count what the device moved.
fn of_ceiling(workload: &Workload, trial: &Trial) -> OfCeiling {
    if workload.durability == Durability::Appended {
        return OfCeiling::default();
    }
    let share = |rate: Option<f64>, ceiling: Option<f64>| {
        rate.zip(ceiling.filter(|ceiling| *ceiling > 0.0)).map(|(rate, ceiling)| rate / ceiling)
    };
    let write = share(written_bytes_per_s(workload, trial), trial.ceiling.write_bytes_per_s);
    let read = share(read_bytes_per_s(workload, trial), trial.ceiling.read_bytes_per_s);
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

/// Returns the resources that a trial used. What a system elsewhere writes is not known here.
fn resources_of(workload: &Workload, run: &TrialRun, produced_bytes: u64) -> Resources {
    let window_s = num::f64_of(run.timeline.window_ns()) / NS_PER_S;
    let here = Resources { load_busy: load_busy(run, window_s), ..resources(run, produced_bytes) };
    if workload.deployment().is_on_this_machine() {
        return here;
    }
    Resources {
        data_max_bytes: None,
        device_write_bytes: None,
        device_read_bytes: None,
        device_flushes: None,
        write_amplification: None,
        ..here
    }
}

fn resources(run: &TrialRun, produced_bytes: u64) -> Resources {
    let Some(host) = &run.observed.host else { return Resources::default() };
    let shards = &run.observed.shards;
    let device_write_bytes = host.disk.map(|disk| disk.written);
    Resources {
        cpu_s: cpu_seconds(host),
        // The caller sets it, because it knows what was produced.
        cpu_s_per_gib: None,
        pump: pump_shares(shards),
        rss_max_bytes: run.observed.rss_max_bytes,
        data_max_bytes: run.observed.data_max_bytes,
        device_write_bytes,
        device_read_bytes: host.disk.map(|disk| disk.read),
        write_amplification: write_amplification(run, device_write_bytes, produced_bytes),
        device_flushes: host.disk.and_then(|disk| disk.flushes),
        syncs: (!shards.is_empty()).then(|| shards.iter().map(|shard| shard.syncs).sum()),
        steal_share: host.steal_share,
        others_cores: host.others_cores,
        throttled_s: host.throttled_s,
        core_round_trip: run.core_round_trip,
        // The caller sets it, because the load is not the host's.
        load_busy: None,
        // The caller sets it, because it knows how much memory was warmed.
        warmed_bytes: None,
        disk_interrupts: host.interrupts.clone(),
        processes: run.observed.processes.iter().map(process).collect(),
    }
}

fn process(usage: &ProcessUsage) -> ProcessFigures {
    ProcessFigures {
        name: usage.name.clone(),
        cpu_s: cpu_part(usage.cpu),
        rss_max_bytes: usage.rss_max_bytes,
        read_bytes: usage.io.map(|io| io.read),
        write_bytes: usage.io.map(|io| io.written),
        gc_pauses: usage.collections.map(|collections| collections.pauses),
        gc_paused_s: usage.collections.map(|collections| collections.paused_s),
    }
}

fn cpu_part(time: CpuTime) -> CpuPart {
    CpuPart { user_s: (time.total_s - time.kernel_s).max(0.0), kernel_s: time.kernel_s.max(0.0) }
}

/// Returns the share of the window in which the busiest load thread had something to do. Each thread has clients of its own,
/// so one that is saturated limits the load, however idle the others are.
fn load_busy(run: &TrialRun, window_s: f64) -> Option<f64> {
    let share = |ns: u64| num::f64_of(ns) / NS_PER_S / window_s;
    if window_s <= 0.0 {
        return None;
    }
    if run.placement == Placement::Colocated {
        // Colocated load shares the shard's thread. The time that it used on the busiest shard counts, but not its wait
        // for a turn.
        return run.observed.shards.iter().map(|shard| shard.colocated_ns).max().map(share);
    }
    run.harvest.idle_ns.iter().min().map(|least_ns| 1.0 - share(*least_ns))
}

/// Returns the CPU time of the system and of its client for each GiB. Colocated load shares its threads with the system. What a
/// process used that ended in the window is not known, and so neither is the CPU time of its system.
fn cpu_per_gib(workload: &Workload, run: &TrialRun, trial: &Trial) -> Option<CpuPerGib> {
    let flow = if trial.backlog.is_some() { trial.consume.as_ref()? } else { &trial.produce };
    let gib = num::f64_of(flow.bytes) / num::f64_of(1 << 30);
    if gib <= 0.0 || workload.deployment().is_colocated() {
        return None;
    }
    let resources = &trial.resources;
    let seconds = |part: CpuPart| part.user_s + part.kernel_s;
    let own = || Some(seconds(resources.cpu_s.shard?) + seconds(resources.cpu_s.io_workers?));
    let of_processes = || resources.processes.iter().map(|process| seconds(process.cpu_s)).sum();
    let system = match workload.deployment().host {
        Host::Process => own(),
        Host::Started if resources.processes.is_empty() || run.observed.has_lost_process => None,
        Host::Started => Some(of_processes()),
        Host::Elsewhere => None,
    };
    let per_gib = |seconds: f64| seconds / gib;
    Some(CpuPerGib { system: system.map(per_gib), client: resources.cpu_s.load.map(seconds).map(per_gib) })
}

/// Returns the CPU time by kind of thread. The harness has what no other kind has, so the kinds add up to the process.
fn cpu_seconds(host: &HostUsage) -> CpuSeconds {
    let of = |prefix: &str| cpu_part(host.threads_of(prefix));
    let (load, shard, io_workers) = (cpu_part(host.load()), of(SHARD_THREADS), of(IO_WORKERS));
    let process = cpu_part(host.process);
    let rest = |part: fn(&CpuPart) -> f64| {
        (part(&process) - part(&load) - part(&shard) - part(&io_workers)).max(0.0)
    };
    let harness = CpuPart { user_s: rest(|part| part.user_s), kernel_s: rest(|part| part.kernel_s) };
    CpuSeconds {
        load: Some(load),
        shard: Some(shard),
        io_workers: Some(io_workers),
        harness: Some(harness),
        process: Some(process),
    }
}

/// Returns what the pumps of all shards did, as shares of their wall time; `None` without shards.
fn pump_shares(shards: &[ShardStats]) -> Option<PumpShares> {
    let sum = |of: fn(&ShardStats) -> u64| num::f64_of(shards.iter().map(of).sum());
    let [work, poll, parked, colocated] = [
        sum(|shard| shard.work_ns),
        sum(|shard| shard.poll_ns),
        sum(|shard| shard.parked_ns),
        sum(|shard| shard.colocated_ns),
    ];
    let wall = work + poll + parked + colocated;
    (wall > 0.0).then(|| PumpShares {
        work: work / wall,
        poll: poll / wall,
        parked: parked / wall,
        colocated: colocated / wall,
    })
}

/// Returns the bytes that the device took ÷ the bytes that were produced: in the window, or over the whole trial for buffered
/// I/O, where the device takes bytes later. Its sync at the end waits for all of them.
fn write_amplification(run: &TrialRun, in_window: Option<u64>, produced_bytes: u64) -> Option<f64> {
    let (written, produced) = match run.final_sync {
        None => (in_window?, num::f64_of(produced_bytes)),
        Some(sync) => {
            let window = &run.observed.series.window;
            let record_bytes = num::f64_of(window.acked_bytes) / num::f64_of(window.acked_records.max(1));
            let failed =
                |it: &ProducedPartition| it.failed.iter().map(|range| range.end - range.start).sum::<u64>();
            let acked = run.harvest.produced.iter().map(|it| it.answered.saturating_sub(failed(it)));
            (sync.device_write_bytes?, record_bytes * num::f64_of(acked.sum()))
        }
    };
    (produced > 0.0).then(|| num::f64_of(written) / produced)
}

fn integrity(workload: &Workload, run: &TrialRun) -> IntegrityFigures {
    // A trial without consumers was checked if its log was read back.
    let is_checked = workload.subscriptions_per_topic > 0 || run.defects.is_some();
    if workload.verify == Verify::None || !is_checked {
        return IntegrityFigures::default();
    }
    let found = judge(&run.harvest.produced, &run.harvest.consumed);
    let of_groups = |count: u64| (!run.harvest.groups.is_empty()).then_some(count);
    IntegrityFigures {
        checked: Some(found.checked),
        gaps: Some(found.gaps),
        duplicates: Some(found.duplicates),
        reorders: Some(found.reorders),
        corruptions: Some(found.corruptions),
        undrained: Some(found.undrained),
        lost_to_retention: Some(found.lost_to_retention),
        foreign: workload.topic.is_some().then_some(found.foreign),
        redelivered: of_groups(found.redelivered),
        skipped: of_groups(found.skipped),
        double_owned: of_groups(found.double_owned),
        defects: run.defects.as_ref().map(|defects| num::count(defects.len())),
    }
}
