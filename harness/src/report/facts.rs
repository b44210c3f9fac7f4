//! Facts of a result as text, shared by the first screen, the summary and the HTML report.

mod integrity;

pub(super) use integrity::integrity;

use super::setting::{label, last_of};
use crate::escape::visible;
use crate::result::environment::Storage;
use crate::result::latency::percentile::sign;
use crate::result::{
    Bound, CpuPart, CpuSeconds, Figure, Granularity, LatencyFigures, OF_CEILING_MAX, Point, RunResult, Trial,
    WriteShape,
};
use crate::workload::{Io, MessageSize, PassKind, Workload};
use crate::{num, quantity};
use std::collections::BTreeMap;

/// Shown for a value that does not exist.
pub(super) const NONE: &str = "–";

type Cell = (&'static str, fn(&Point) -> String);

/// Rows of figures: the name, and the function that formats a point's figure.
pub(super) const FIGURES: [Cell; 7] = [
    ("produced", produced),
    ("", produced_records),
    ("consumed", consumed),
    ("of ceiling", of_ceiling),
    ("of device", of_device),
    ("CPU", cpu),
    ("pump", pump),
];

/// Columns of a table of latencies: title and key.
pub(super) const STATISTICS: [(&str, &str); 6] = [
    ("p50", "p50"),
    ("p90", "p90"),
    ("p99", "p99"),
    ("p99.9", "p99_9"),
    ("p99.99", "p99_99"),
    ("max", "max"),
];

/// Rows of a table of latencies: title and key.
const LATENCIES: [(&str, &str); 7] = [
    ("response", "response"),
    ("own", "own"),
    ("pacing", "pacing_lag"),
    ("blocked", "blocked"),
    ("service", "service"),
    ("ack pickup", "ack_pickup"),
    ("end-to-end", "end_to_end"),
];

/// Returns record size, partitions, durability in capitals, io, poll, cores and file system.
pub(super) fn settings(result: &RunResult) -> String {
    settings_but(result, &[])
}

/// Returns the same facts without some keys of the workload.
pub(super) fn settings_but(result: &RunResult, without: &[&str]) -> String {
    let mut facts = Vec::new();
    let is_swept = |key: &str| {
        without.contains(&key) || result.points.iter().any(|point| point.settings.contains_key(key))
    };
    if let Ok(workload) = serde_json::from_value::<Workload>(result.workload.clone()) {
        if !is_swept("message_size") {
            facts.push(records(result, &workload));
        }
        let plural = if workload.partitions_per_topic == 1 { "" } else { "s" };
        let topics =
            if workload.topics == 1 { String::new() } else { format!("{} topics × ", workload.topics) };
        if !is_swept("topics") && !is_swept("partitions_per_topic") {
            facts.push(format!("{topics}{} partition{plural}", workload.partitions_per_topic));
        }
    }
    facts.extend(of_points(result, without));
    facts.extend(place(result));
    facts.join(" · ")
}

/// Describes where system and load ran: their cores and file system, or the system's own words if it is another process.
fn place(result: &RunResult) -> Vec<String> {
    let cores = &result.provenance.cores;
    let filesystem = filesystem(&result.environment.storage);
    match (&cores.shards[..], &cores.load[..]) {
        ([], _) => {
            let target = &result.provenance.target;
            let ack = target.facts.get("ack").map(|ack| format!(" ({})", visible(ack))).unwrap_or_default();
            let system = format!("{} {}{ack}", visible(&target.kind), visible(&target.version));
            let is_here = target.facts.contains_key("data");
            [Some(system), is_here.then_some(filesystem)].into_iter().flatten().collect()
        }
        (shards, []) => {
            vec![format!("placement colocated: shard and load on core {}", listed(shards)), filesystem]
        }
        (shards, load) => {
            vec![format!("shard on core {}, load on {}", listed(shards), listed(load)), filesystem]
        }
    }
}

/// Returns durability in capitals, io and poll of all points. If a sweep varies one of them, all its values are listed.
fn of_points(result: &RunResult, without: &[&str]) -> Vec<String> {
    let each = |of: &dyn Fn(&Point) -> Option<String>| {
        let mut names: Vec<String> = Vec::new();
        for name in result.points.iter().filter_map(of) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        (!names.is_empty()).then(|| names.join(" and "))
    };
    let durability = each(&|point| Some(name_of(&point.durability).to_uppercase()));
    let is_cached = result.environment.storage.direct_is_cached == Some(true);
    let io = |io: Io| match io {
        Io::Direct if is_cached => "direct (through the page cache)".to_owned(),
        io => name_of(&io),
    };
    let io = each(&|point| point.io.map(io)).map(|io| format!("io {io}"));
    let poll = each(&|point| point.poll.map(|poll| name_of(&poll))).map(|poll| format!("poll {poll}"));
    let facts = [("durability", durability), ("engine.io", io), ("engine.poll", poll)];
    facts.into_iter().filter(|(key, _)| !without.contains(key)).filter_map(|(_, fact)| fact).collect()
}

/// Returns what distinguishes a point from the others: the settings that it overrides, and its load.
pub(super) fn point_name(point: &Point) -> String {
    let settings = point_settings(point);
    if settings.is_empty() { load(point) } else { format!("{settings}, {}", load(point)) }
}

/// Returns the settings that a point overrides: `durability synced, segment_bytes 16 MiB`.
pub(super) fn point_settings(point: &Point) -> String {
    let settings = point.settings.iter();
    let settings = settings.map(|(key, value)| format!("{} {}", last_of(key), label(key, value)));
    settings.collect::<Vec<_>>().join(", ")
}

/// Describes the records: their size, or the file whose lines they are.
fn records(result: &RunResult, workload: &Workload) -> String {
    match &result.provenance.payload_files[..] {
        [] => format!("{} records", size(&workload.message_size)),
        [data] => {
            let name = std::path::Path::new(&data.path).file_name().unwrap_or_default().to_string_lossy();
            format!(
                "lines of {} ({} on average)",
                visible(&name),
                quantity::bytes(data.bytes / data.records.max(1))
            )
        }
        several => format!("lines of {} files", several.len()),
    }
}

fn size(size: &MessageSize) -> String {
    match size {
        MessageSize::Fixed(size) => quantity::bytes(size.0),
        MessageSize::Range(range) => {
            format!("{} to {}", quantity::bytes(range.min.0), quantity::bytes(range.max.0))
        }
        MessageSize::Weighted(_) => {
            format!("{} (mean of several)", quantity::bytes(num::u64_of(size.mean_bytes())))
        }
    }
}

/// Returns a name as workload files and results write it.
pub(super) fn name_of(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => NONE.to_owned(),
    }
}

fn listed(cores: &[u32]) -> String {
    cores.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

pub(super) fn filesystem(storage: &Storage) -> String {
    let unknown = || "unknown".to_owned();
    let device = storage.device.as_ref().map(|device| device.name.clone());
    format!(
        "{} on {}",
        storage.filesystem.clone().unwrap_or_else(unknown),
        device.or_else(|| storage.source.clone()).unwrap_or_else(unknown)
    )
}

/// Returns the start of the run, in UTC: `2026-11-24 03:54`.
pub(super) fn started(result: &RunResult) -> String {
    utc(&result.provenance.started_at)
}

/// Returns an RFC 3339 time without seconds: `2026-11-24 03:54`.
pub(super) fn utc(time: &str) -> String {
    let parsed = time.parse::<jiff::Timestamp>();
    parsed.map_or_else(|_| time.to_owned(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

/// Describes the load of a pass.
pub(super) fn load(point: &Point) -> String {
    match point.pass {
        PassKind::Max => "max".to_owned(),
        PassKind::Closed => "closed".to_owned(),
        PassKind::Open => match point.figure("offered.records_per_s") {
            Some(rate) => format!("open at {}", quantity::per_s(rate.median)),
            None => "open".to_owned(),
        },
    }
}

/// Describes the produced bytes a second. With buffered I/O, those with the time of the final sync follow.
fn produced(point: &Point) -> String {
    let produced = figure_text(point, "produce.bytes_per_s", quantity::bytes_per_s);
    match point.figure("produce.bytes_per_s_synced") {
        Some(synced) => format!("{produced}, {} with the final sync", quantity::bytes_per_s(synced.median)),
        None => produced,
    }
}

fn produced_records(point: &Point) -> String {
    let records = figure_text(point, "produce.records_per_s", quantity::per_s);
    match point.figure("offered.achieved") {
        Some(achieved) => format!("{records}, {} of the offered rate", quantity::percent(achieved.median)),
        None => records,
    }
}

fn consumed(point: &Point) -> String {
    if point.trials.iter().all(|trial| trial.consume.is_none()) {
        return format!("{NONE} (no consumers)");
    }
    figure_text(point, "consume.bytes_per_s", quantity::bytes_per_s)
}

fn of_ceiling(point: &Point) -> String {
    let share = figure_text(point, "of_ceiling.write", quantity::percent);
    if share == NONE && point.figure("of_ceiling.read").is_some() {
        return format!("{} of reads", figure_text(point, "of_ceiling.read", quantity::percent));
    }
    let after_only = point.trials.iter().filter(|trial| trial.ceiling.is_after_only).count();
    let after_only = match after_only {
        0 => String::new(),
        count => format!(" (slice after only: {count} of {})", point.trials.len()),
    };
    if point.figure("of_ceiling.write").is_some_and(|figure| figure.median > OF_CEILING_MAX) {
        return format!("{share}{after_only}, so no ceiling");
    }
    match (point.figure("writes.bytes_p50"), point.figure("writes.depth_mean")) {
        (Some(size), Some(depth)) if share != NONE => {
            let size = quantity::bytes(num::u64_of(size.median));
            let flushes = if lacks_flushes(point) { ", slices without flushes" } else { "" };
            format!("{share}{after_only}, {size} writes, {:.1} in flight{flushes}", depth.median)
        }
        _ => format!("{share}{after_only}"),
    }
}

/// Whether the slices of writes that are not synced had no flushes although the trials may have had some: results of older revisions
/// did not count them. On a disk with a write cache such a share is too low.
pub(super) fn lacks_flushes(point: &Point) -> bool {
    let lacks = |trial: &Trial| {
        let shape = trial.ceiling.write_shape.as_ref();
        let is_unflushed = |shape: &WriteShape| !shape.dsync && shape.flush_every_bytes.is_none();
        shape.is_some_and(is_unflushed) && trial.resources.device_flushes.is_none()
    };
    point.trials.iter().any(lacks)
}

/// Describes the share of the device's best. With durability `synced` the time of one synced write of the bare disk follows.
fn of_device(point: &Point) -> String {
    let share = figure_text(point, "of_device", quantity::percent);
    match point.figure("ceiling.dsync_4k_ns.p50") {
        Some(took) => format!("{share}, a synced 4 KiB write {}", quantity::ns(num::u64_of(took.median))),
        None => share,
    }
}

/// Describes how many cores each kind of thread kept busy.
fn cpu(point: &Point) -> String {
    let cores = |of: fn(&CpuSeconds) -> Option<CpuPart>| {
        let shares: Vec<f64> = point.trials.iter().filter_map(|trial| cores_of(trial, of)).collect();
        crate::stats::median(&shares).map_or_else(|| NONE.to_owned(), |cores| format!("{cores:.2}"))
    };
    format!(
        "shards {}, load {}, io {}, harness {} cores{}",
        cores(|cpu| cpu.shard),
        cores(|cpu| cpu.load),
        cores(|cpu| cpu.io_workers),
        cores(|cpu| cpu.harness),
        processes(point),
    )
}

/// Describes how many cores each process of the target kept busy, as the end of a sentence; empty without such processes.
fn processes(point: &Point) -> String {
    let mut cores: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut paused: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for trial in point.trials.iter().filter(|trial| trial.window_s > 0.0) {
        for process in &trial.resources.processes {
            let cpu = process.cpu_s;
            cores.entry(&process.name).or_default().push((cpu.user_s + cpu.kernel_s) / trial.window_s);
            let share = process.gc_paused_s.map(|paused_s| paused_s / trial.window_s);
            paused.entry(&process.name).or_default().extend(share);
        }
    }
    let text = |(name, cores): (&str, Vec<f64>)| {
        let shares = paused.get(name).map_or(&[][..], Vec::as_slice);
        let paused = crate::stats::median(shares);
        let paused = paused.map(|share| format!(" (garbage collection {})", quantity::percent(share)));
        let paused = paused.unwrap_or_default();
        crate::stats::median(&cores).map(|cores| format!("; {name} {cores:.2}{paused}")).unwrap_or_default()
    };
    cores.into_iter().map(text).collect()
}

/// Describes what the pumps of the shards did with their wall time.
fn pump(point: &Point) -> String {
    let share = |part: &str| {
        let figure = point.figure(&format!("resources.pump.{part}"));
        figure.map(|figure| quantity::percent(figure.median))
    };
    let parts = ["work", "poll", "parked"].map(|part| Some(format!("{} {part}", share(part)?)));
    let has_load = point.figure("resources.pump.colocated").is_some_and(|figure| figure.median > 0.0);
    let load = share("colocated").filter(|_| has_load).map_or_else(String::new, |it| format!(", {it} load"));
    match parts {
        [Some(work), Some(poll), Some(parked)] => format!("{work}, {poll}, {parked}{load}"),
        _ => NONE.to_owned(),
    }
}

fn cores_of(trial: &Trial, of: fn(&CpuSeconds) -> Option<CpuPart>) -> Option<f64> {
    let part = of(&trial.resources.cpu_s).filter(|_| trial.window_s > 0.0)?;
    Some((part.user_s + part.kernel_s) / trial.window_s)
}

/// Returns the median and, if there are several trials, the range.
pub(super) fn figure_text(point: &Point, path: &str, text: fn(f64) -> String) -> String {
    point.figure(path).map_or_else(|| NONE.to_owned(), |figure| figure_words(figure, text))
}

/// Returns the median and what lies around it: `812 MiB/s (95 %: 780–840 MiB/s)` with an interval, `812 MiB/s (780–840 MiB/s)`
/// with the least and the greatest of several trials.
pub(super) fn figure_words(figure: &Figure, text: impl Fn(f64) -> String) -> String {
    let median = median_text(figure, &text);
    let label = if figure.interval.is_some() { "95 %: " } else { "" };
    around(figure, &text).map_or(median.clone(), |around| format!("{median} ({label}{around})"))
}

/// Returns the same as a cell of a table that compares settings or results: `812 MiB/s [780–840 MiB/s]`.
pub(super) fn figure_cell(figure: &Figure, text: impl Fn(f64) -> String) -> String {
    let median = median_text(figure, &text);
    around(figure, &text).map_or(median.clone(), |around| format!("{median} [{around}]"))
}

/// Returns the ends of the interval of a figure, or of its range if it has none: `780–840 MiB/s`. `None` for one
/// trial, and where both ends are the same.
pub(super) fn around(figure: &Figure, text: impl Fn(f64) -> String) -> Option<String> {
    if figure.trials < 2 {
        return None;
    }
    let (low, high) = match figure.interval {
        Some(interval) => (text(interval.low), text(interval.high)),
        None => range_text(figure, &text),
    };
    if low == high {
        return None;
    }
    let unit = |text: &str| text.rsplit_once(' ').map(|(_, unit)| unit.to_owned());
    Some(match low.rsplit_once(' ') {
        Some((number, _)) if unit(&low) == unit(&high) => format!("{number}–{high}"),
        _ => format!("{low}–{high}"),
    })
}

/// Returns the median, after `≤` or `≥` if it is only a bound.
pub(super) fn median_text(figure: &Figure, text: impl Fn(f64) -> String) -> String {
    format!("{}{}", sign(figure.bound), text(figure.median))
}

/// Returns the smallest and the largest value, each after `≤` or `≥` if it is only a bound.
pub(super) fn range_text(figure: &Figure, text: impl Fn(f64) -> String) -> (String, String) {
    let (min, max) = (text(figure.min), text(figure.max));
    (format!("{}{min}", sign(figure.min_bound)), format!("{}{max}", sign(figure.max_bound)))
}

/// The latencies of a table that have an interval.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Intervals {
    /// All of them.
    All,
    /// p99 only, so that the table is narrow.
    OfP99,
}

/// Returns the latencies that mean something under a point's load. Each row has a title and a text for each of
/// `statistics`.
pub(super) fn latency_rows(
    point: &Point,
    statistics: &[(&str, &str)],
    intervals: Intervals,
) -> Vec<(&'static str, Vec<String>)> {
    let text = |figure: Option<&Figure>, statistic: &str| {
        let ns = |ns| quantity::ns(num::u64_of(ns));
        let is_wide = intervals == Intervals::All || statistic == "p99";
        figure.map_or_else(
            || NONE.to_owned(),
            |figure| match figure.interval {
                Some(_) if is_wide => figure_words(figure, ns),
                _ => median_text(figure, ns),
            },
        )
    };
    let is_measured = |name: &str| point.trials.iter().any(|trial| figures_of(trial, name).is_some());
    let measured = LATENCIES.into_iter().filter(|(_, name)| is_measured(name));
    let mut rows: Vec<(&'static str, Vec<String>)> = measured
        .map(|(title, name)| {
            let at = |(_, statistic): &(&str, &str)| {
                text(point.figure(&format!("latency_ns.{name}.{statistic}")), statistic)
            };
            (title, statistics.iter().map(at).collect())
        })
        .collect();
    if point.late_share() > 0.0 && is_measured("response") {
        let first = |(_, statistic): &(&str, &str)| {
            text(point.first_figure(&format!("latency_ns.response.{statistic}")), statistic)
        };
        rows.insert(1, ("first attempts", statistics.iter().map(first).collect()));
    }
    rows
}

/// Returns the explanation of the sign before a bound.
pub(super) const fn bound_note(bound: Bound) -> &'static str {
    match bound {
        Bound::Upper => "≤: the load generator was late there; the system's own value is at most this.",
        Bound::Lower => "≥: some records were never acked; they count with their age when the drain ended.",
    }
}

/// Returns sentences that a reader of a point's latencies needs: on bounds, and on records that are in no percentile.
pub(super) fn latency_notes(point: &Point) -> Vec<String> {
    let figures = || point.trials.iter().flat_map(|trial| trial.latency_ns.named()).filter_map(|(_, it)| it);
    let has = |bound| figures().any(|it| it.bounds.values().any(|found| *found == bound));
    let mut notes = Vec::new();
    if has(Bound::Upper) {
        notes.push(bound_note(Bound::Upper).to_owned());
    }
    let headline = |trial: &'_ Trial| {
        let latencies = &trial.latency_ns;
        let figures = latencies.response.as_ref().or(latencies.service.as_ref())?;
        Some((figures.censored, figures.censored_share())).filter(|(records, _)| *records > 0)
    };
    let censored: Vec<(u64, f64)> = point.trials.iter().filter_map(headline).collect();
    if let Some((_, share)) = censored.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)) {
        let records: u64 = censored.iter().map(|(records, _)| records).sum();
        let most = if point.trials.len() > 1 { "up to " } else { "" };
        notes.push(format!(
            "≥: {most}{} of the records were never acked ({records} in all); they count with their age when the drain \
             ended.",
            quantity::percent(share)
        ));
    } else if has(Bound::Lower) {
        notes.push(bound_note(Bound::Lower).to_owned());
    }
    let overflows: u64 = figures().map(|it| it.overflows).sum();
    if overflows > 0 {
        notes.push(format!("{overflows} values above one hour are in no percentile."));
    }
    notes
}

/// Returns the title of a point's latencies. It says so if only the oldest record of each batch is counted.
pub(super) fn latency_title(point: &Point) -> String {
    let oldest = point.trials.iter().any(|trial| trial.latency_granularity == Granularity::BatchOldest);
    let of = if oldest { ", of the oldest record of each batch" } else { "" };
    format!("latency, {}{of}", load(point))
}

fn figures_of<'a>(trial: &'a Trial, name: &str) -> Option<&'a LatencyFigures> {
    trial.latency_ns.named().into_iter().find(|(own, _)| *own == name).and_then(|(_, figures)| figures)
}
