//! Names the limit of a trial under `max`, from the trial's own figures.

use super::verdict::LOAD_BUSY_MAX;
use crate::num;
use crate::result::{LatencyFigures, Limit, LimitKind, OF_CEILING_MAX, Trial};
use crate::workload::{Durability, Workload};

/// Least share of its time that a shard's thread works if it is the limit. The rest is the wait between two turns.
const SHARD_BUSY_MIN: f64 = 0.9;
/// Least share of the bare disk's rate with the same writes if the disk is the limit. Trials and slices differ by less than
/// this on a steady disk.
const DISK_USED_MIN: f64 = 0.8;
/// Largest share of the disk's best rate at which syncs, and not bytes, are the limit of a disk that does no more such writes.
const SYNC_OF_DEVICE_MAX: f64 = 0.5;
/// Least mean share of `load.in_flight_bytes` in flight if that is the limit. Acks come in batches, so the mean is below 1.
const IN_FLIGHT_MIN: f64 = 0.75;

/// Returns the limit of a trial under `max`. `None` if nothing was measured, and for a trial that reads a backlog.
pub fn of(workload: &Workload, trial: &Trial) -> Option<Limit> {
    if trial.window_s <= 0.0 || trial.produce.records == 0 || trial.backlog.is_some() {
        return None;
    }
    let limit = Limit {
        kind: LimitKind::Unknown,
        // With a larger share, the slices beside the trial were no ceiling, and it says nothing.
        disk: trial.of_ceiling.combined.or(trial.of_ceiling.write).filter(|share| *share <= OF_CEILING_MAX),
        shard_cpu: shard_cpu(trial),
        load_thread: trial.resources.load_busy,
        in_flight: in_flight(workload, trial),
    };
    Some(Limit { kind: kind_of(workload, trial, &limit), ..limit })
}

/// The limit that was reached. The generator comes first: if it has no time left, the rest says little about the target. Bytes in
/// flight come last, because they are used up whenever the target is slower than the generator.
fn kind_of(workload: &Workload, trial: &Trial, limit: &Limit) -> LimitKind {
    let reached = |share: Option<f64>, least: f64| share.filter(|share| *share >= least);
    let disk = reached(limit.disk, DISK_USED_MIN);
    let shard_cpu = reached(limit.shard_cpu, SHARD_BUSY_MIN);
    if limit.load_thread.is_some_and(|busy| busy > LOAD_BUSY_MAX) {
        LimitKind::LoadThread
    } else if shard_cpu.is_some() && shard_cpu >= disk {
        LimitKind::ShardCpu
    } else if disk.is_some() {
        let is_of_syncs = workload.durability == Durability::Synced
            && trial.of_device.is_some_and(|share| share < SYNC_OF_DEVICE_MAX);
        if is_of_syncs { LimitKind::Sync } else { LimitKind::Disk }
    } else if reached(limit.in_flight, IN_FLIGHT_MIN).is_some() {
        LimitKind::InFlightBytes
    } else {
        LimitKind::Unknown
    }
}

/// Returns the share of the time in which the busiest shard's thread worked.
fn shard_cpu(trial: &Trial) -> Option<f64> {
    let busiest = trial.per_shard.iter().map(|shard| shard.work_s / trial.window_s).reduce(f64::max)?;
    // Colocated load is known for all shards together only.
    let pump = trial.resources.pump.filter(|pump| pump.colocated > 0.0);
    Some(pump.map_or(busiest, |pump| busiest.max(pump.work + pump.colocated)))
}

/// Returns the mean bytes in flight, as a share of what may be: the rate times the mean time from acceptance until the load
/// thread has seen the ack (Little's law).
fn in_flight(workload: &Workload, trial: &Trial) -> Option<f64> {
    let mean_ns = |figures: &Option<LatencyFigures>| figures.as_ref().and_then(|figures| figures.mean);
    let service_ns = mean_ns(&trial.latency_ns.service)?;
    let pickup_ns = mean_ns(&trial.latency_ns.ack_pickup).unwrap_or(0.0);
    let bytes = trial.produce.encoded_bytes.unwrap_or(trial.produce.bytes);
    let bytes_per_s = num::f64_of(bytes) / trial.window_s;
    let most = num::f64_of(workload.load.in_flight_bytes.0.max(1));
    Some(bytes_per_s * (service_ns + pickup_ns) * 1e-9 / most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Flow, LatencySet, OfCeiling, PumpShares, Resources, ShardFigures};
    use crate::workload::{Bytes, Load, LoadMode};

    /// A trial of 10 s that produced 100 MiB/s, each byte 1 ms in flight: 0.8 × 128 KiB on average.
    fn trial(disk: f64, shard_work_s: f64, load_busy: f64) -> Trial {
        let service = LatencyFigures { mean: Some(1e6), ..LatencyFigures::default() };
        Trial {
            window_s: 10.0,
            produce: Flow::over(10.0, 1000, 1000 << 20, None),
            latency_ns: LatencySet { service: Some(service), ..LatencySet::default() },
            of_ceiling: OfCeiling { write: Some(disk), read: None, combined: Some(disk) },
            per_shard: vec![ShardFigures { work_s: shard_work_s, ..ShardFigures::default() }],
            resources: Resources { load_busy: Some(load_busy), ..Resources::default() },
            ..Trial::default()
        }
    }

    fn workload(in_flight_bytes: Bytes) -> Workload {
        Workload { load: Load { in_flight_bytes, mode: LoadMode::Max }, ..Workload::default() }
    }

    fn kind(trial: &Trial, in_flight_bytes: Bytes) -> LimitKind {
        of(&workload(in_flight_bytes), trial).unwrap().kind
    }

    const FEW: Bytes = Bytes::kib(128);
    const MANY: Bytes = Bytes::mib(32);

    #[test]
    fn each_limit_is_named_by_the_figure_that_shows_it() {
        assert_eq!(kind(&trial(0.42, 4.0, 0.5), FEW), LimitKind::InFlightBytes);
        assert_eq!(kind(&trial(0.42, 4.0, 0.5), MANY), LimitKind::Unknown);
        assert_eq!(kind(&trial(0.93, 4.0, 0.5), FEW), LimitKind::Disk);
        let above = of(&workload(FEW), &trial(1.28, 4.0, 0.5)).unwrap();
        assert_eq!((above.kind, above.disk), (LimitKind::InFlightBytes, None), "the slices were no ceiling");
        assert_eq!(kind(&trial(0.42, 9.5, 0.5), FEW), LimitKind::ShardCpu);
        assert_eq!(kind(&trial(0.93, 9.9, 0.5), FEW), LimitKind::ShardCpu, "the greater share counts");
        assert_eq!(kind(&trial(0.93, 9.5, 0.97), FEW), LimitKind::LoadThread);
    }

    #[test]
    fn synced_writes_that_use_little_of_the_disk_wait_for_syncs() {
        let synced = Workload { durability: Durability::Synced, ..workload(FEW) };
        let with = |of_device| Trial { of_device, ..trial(0.93, 4.0, 0.5) };
        assert_eq!(of(&synced, &with(Some(0.1))).unwrap().kind, LimitKind::Sync);
        assert_eq!(of(&synced, &with(Some(0.7))).unwrap().kind, LimitKind::Disk);
        assert_eq!(of(&synced, &with(None)).unwrap().kind, LimitKind::Disk);
        assert_eq!(of(&workload(FEW), &with(Some(0.1))).unwrap().kind, LimitKind::Disk);
    }

    #[test]
    fn the_evidence_is_that_of_the_trial() {
        let mut trial = trial(0.42, 4.0, 0.5);
        let limit = of(&workload(FEW), &trial).unwrap();
        assert!((limit.in_flight.unwrap() - 0.8).abs() < 0.001, "{limit:?}");
        assert_eq!((limit.disk, limit.shard_cpu, limit.load_thread), (Some(0.42), Some(0.4), Some(0.5)));
        let pickup = LatencyFigures { mean: Some(0.25e6), ..LatencyFigures::default() };
        trial.latency_ns.ack_pickup = Some(pickup);
        assert!((of(&workload(FEW), &trial).unwrap().in_flight.unwrap() - 1.0).abs() < 0.001);
        trial.resources.pump = Some(PumpShares { work: 0.4, poll: 0.0, parked: 0.05, colocated: 0.55 });
        assert_eq!(of(&workload(FEW), &trial).unwrap().kind, LimitKind::ShardCpu, "with colocated load");
    }

    #[test]
    fn a_trial_without_figures_has_no_limit() {
        assert_eq!(of(&workload(FEW), &Trial::default()), None);
        let unknown = Trial { window_s: 10.0, produce: Flow::over(10.0, 1, 1, None), ..Trial::default() };
        assert_eq!(kind(&unknown, FEW), LimitKind::Unknown);
    }
}
