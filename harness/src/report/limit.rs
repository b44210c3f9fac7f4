//! Sentences on what limited the rate under `max`, with the figures that show it.

use super::facts::point_settings;
use crate::quantity;
use crate::result::{Limit, LimitKind, Point, RunResult};
use crate::stats;
use crate::workload::Workload;
use std::collections::BTreeMap;

/// The most points that a sentence on a sweep names for each limit.
const NAMED_MAX: usize = 3;

/// Returns a sentence for each point under `max` whose limit was looked for, or one for all points of a sweep.
pub(super) fn sentences(result: &RunResult) -> Vec<String> {
    let points: Vec<(&Point, LimitKind)> =
        result.points.iter().filter_map(|point| Some((point, kind_of(point)?))).collect();
    if result.points.iter().any(|point| !point.settings.is_empty()) {
        return of_sweep(&points).into_iter().collect();
    }
    points.into_iter().map(|(point, kind)| of_point(result, point, kind)).collect()
}

/// The limit that most trials of a point reached; of equally frequent ones the first in the order of [`LimitKind`].
fn kind_of(point: &Point) -> Option<LimitKind> {
    let mut counts = BTreeMap::<LimitKind, usize>::new();
    for limit in point.trials.iter().filter_map(|trial| trial.limit) {
        *counts.entry(limit.kind).or_default() += 1;
    }
    let most = counts.values().max().copied()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(kind, _)| kind)
}

fn of_point(result: &RunResult, point: &Point, kind: LimitKind) -> String {
    let limits: Vec<Limit> = point.trials.iter().filter_map(|trial| trial.limit).collect();
    let of_kind = limits.iter().filter(|limit| limit.kind == kind).count();
    let trials = if of_kind < limits.len() {
        format!("in {of_kind} of {} trials: ", limits.len())
    } else {
        String::new()
    };
    let share = |of: fn(&Limit) -> Option<f64>| {
        let shares: Vec<f64> = limits.iter().filter_map(of).collect();
        stats::median(&shares).map(quantity::percent)
    };
    let (disk, shard, load, in_flight) = (
        share(|limit| limit.disk),
        share(|limit| limit.shard_cpu),
        share(|limit| limit.load_thread),
        share(|limit| limit.in_flight),
    );
    let known = |share: &Option<String>| share.clone().unwrap_or_default();
    let of_device = point.figure("of_device").map(|figure| quantity::percent(figure.median));
    let of_device = of_device.map(|share| format!(", {share} of its best")).unwrap_or_default();
    let text = match kind {
        LimitKind::LoadThread => {
            format!("the load generator: a load thread had work for {} of the time", known(&load))
        }
        LimitKind::ShardCpu => {
            let of_disk = disk.map(|disk| format!(" (the disk: {disk})")).unwrap_or_default();
            let busy = known(&shard);
            format!(
                "a shard's thread worked for {busy} of the time{of_disk}: use more shards or larger batches"
            )
        }
        LimitKind::Disk => {
            format!("the disk: {} of what it does with such writes{of_device}", known(&disk))
        }
        LimitKind::Sync => format!(
            "syncs: {} of what this disk does with such writes{of_device}; larger batches share syncs",
            known(&disk)
        ),
        LimitKind::InFlightBytes => {
            let of_disk = disk.map(|disk| format!("{disk} of what this disk does with such writes; "));
            format!(
                "{}the wait is `load.in_flight_bytes` ({}, {} used)",
                of_disk.unwrap_or_default(),
                in_flight_bytes(result, point),
                known(&in_flight)
            )
        }
        LimitKind::Unknown => {
            let used = [
                ("the disk", disk),
                ("a shard's thread", shard),
                ("a load thread", load),
                ("bytes in flight", in_flight),
            ];
            let used = used.into_iter().filter_map(|(name, share)| Some(format!("{name} {}", share?)));
            format!("none was reached ({})", used.collect::<Vec<_>>().join(", "))
        }
    };
    format!("{trials}{text}")
}

/// Returns the workload's `load.in_flight_bytes` as text.
fn in_flight_bytes(result: &RunResult, point: &Point) -> String {
    let workload = serde_json::from_value::<Workload>(result.workload_of(point).clone());
    workload.map_or_else(|_| "unknown".to_owned(), |it| quantity::bytes(it.load.in_flight_bytes.0))
}

/// Returns one sentence on the limits of all points; `None` if none was looked for.
fn of_sweep(points: &[(&Point, LimitKind)]) -> Option<String> {
    let mut by_kind = BTreeMap::<LimitKind, Vec<&Point>>::new();
    for (point, kind) in points {
        by_kind.entry(*kind).or_default().push(point);
    }
    let part = |(kind, of_kind): (LimitKind, Vec<&Point>)| {
        let name = match kind {
            LimitKind::LoadThread => "the load generator",
            LimitKind::ShardCpu => "a shard's thread",
            LimitKind::Disk => "the disk",
            LimitKind::Sync => "syncs",
            LimitKind::InFlightBytes => "`load.in_flight_bytes`",
            LimitKind::Unknown => "none reached",
        };
        match of_kind.len() {
            count if count == points.len() => format!("{name} at all {count} points under `max`"),
            count if count > NAMED_MAX => format!("{name} at {count} points"),
            _ => {
                let labels: Vec<String> = of_kind.into_iter().map(point_settings).collect();
                format!("{name} at {}", labels.join(" and "))
            }
        }
    };
    let is_in_flight = by_kind.contains_key(&LimitKind::InFlightBytes);
    let parts: Vec<String> = by_kind.into_iter().map(part).collect();
    let advice = if is_in_flight { "; a larger value may give more throughput" } else { "" };
    (!parts.is_empty()).then(|| format!("{}{advice}", parts.join("; ")))
}
