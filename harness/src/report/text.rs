//! The first screen: what a run came to, in at most 24 lines of a terminal.

use crate::measure::storage::Storage;
use crate::num;
use crate::quantity;
use crate::result::{Figure, Granularity, LatencyFigures, Point, RunResult, Trial, VerdictFlag};
use crate::workload::{MessageSize, PassKind, Workload};
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;
use std::path::Path;

/// Reasons shown; the report has all of them.
const REASONS_MAX: usize = 2;
/// Columns beyond which a line of the terminal would wrap; longer sentences are cut at a word.
const WIDTH: usize = 118;
const NONE: &str = "–";

/// What was measured, how far to trust it, what came of it, and what to do next. `file` is what the run was started with.
pub fn first_screen(result: &RunResult, dir: &Path, file: &str) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", title(result));
    let _ = writeln!(out, "{}", settings(result));
    let _ = writeln!(out, "{}", result.verdict);
    for reason in reasons(result) {
        let _ = writeln!(out, "  {}", cut(&reason));
    }
    let _ = writeln!(out, "\n{}", lines(&figures(result)));
    if let Some(point) = result.points.last() {
        let _ = writeln!(out, "\n{}", lines(&latencies(point)));
        let _ = writeln!(out, "integrity  {}", integrity(result));
    }
    let _ = writeln!(out, "report     {}", dir.join("report.html").display());
    let _ = writeln!(out, "next       {}", next(result, file));
    out
}

fn title(result: &RunResult) -> String {
    match &result.question {
        Some(question) => cut(&format!("{}: {question}", result.name)),
        None => result.name.clone(),
    }
}

/// Record size, partitions, DURABILITY, io, poll, cores, file system.
fn settings(result: &RunResult) -> String {
    let mut facts = Vec::new();
    if let Ok(workload) = serde_json::from_value::<Workload>(result.workload.clone()) {
        facts.push(format!("{} records", size(&workload.message_size)));
        let plural = if workload.partitions_per_topic == 1 { "" } else { "s" };
        let topics =
            if workload.topics == 1 { String::new() } else { format!("{} topics × ", workload.topics) };
        facts.push(format!("{topics}{} partition{plural}", workload.partitions_per_topic));
    }
    if let Some(point) = result.points.first() {
        facts.push(name_of(&point.durability).to_uppercase());
        facts.extend(point.io.map(|io| format!("io {}", name_of(&io))));
        facts.extend(point.poll.map(|poll| format!("poll {}", name_of(&poll))));
    }
    let cores = &result.provenance.cores;
    facts.push(format!("shard on core {}, load on {}", listed(&cores.shards), listed(&cores.load)));
    facts.push(filesystem(&result.environment.storage));
    facts.join(" · ")
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

/// A name as workload files and results write it.
fn name_of(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => NONE.to_owned(),
    }
}

fn listed(cores: &[u32]) -> String {
    cores.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

fn filesystem(storage: &Storage) -> String {
    let unknown = || "unknown".to_owned();
    let device = storage.device.as_ref().map(|device| device.name.clone());
    format!(
        "{} on {}",
        storage.filesystem.clone().unwrap_or_else(unknown),
        device.or_else(|| storage.source.clone()).unwrap_or_else(unknown)
    )
}

/// The reasons behind the verdict, what `max` is meant to bring about left out.
fn reasons(result: &RunResult) -> Vec<String> {
    let only_meant = result.verdict.flags.iter().all(|flag| *flag == VerdictFlag::TargetSaturated);
    let all = &result.verdict.reasons;
    if all.len() <= REASONS_MAX || only_meant {
        return all.iter().take(REASONS_MAX).cloned().collect();
    }
    let mut shown: Vec<String> = all.iter().take(REASONS_MAX - 1).cloned().collect();
    shown.push(format!("… and {} more in the report", all.len() - shown.len()));
    shown
}

fn cut(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    let short: String = text.chars().take(WIDTH - 1).collect();
    let at = short.rfind(' ').unwrap_or(short.len());
    format!("{}…", &short[..at])
}

/// One column a pass.
fn figures(result: &RunResult) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(std::iter::once(String::new()).chain(result.points.iter().map(load)));
    type Row = (&'static str, fn(&Point) -> String);
    let rows: [Row; 6] = [
        ("produced", produced),
        ("", produced_records),
        ("consumed", consumed),
        ("of ceiling", of_ceiling),
        ("of device", of_device),
        ("CPU", cpu),
    ];
    for (name, of) in rows {
        table.add_row(std::iter::once(name.to_owned()).chain(result.points.iter().map(of)));
    }
    table
}

/// A table without the space that pads its first column.
fn lines(table: &Table) -> String {
    let text = table.trim_fmt();
    text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The load of a pass, in words.
pub(crate) fn load(point: &Point) -> String {
    match point.pass {
        PassKind::Max => "max".to_owned(),
        PassKind::Closed => "closed".to_owned(),
        PassKind::Open => match point.figure("offered.records_per_s") {
            Some(rate) => format!("open at {}", quantity::per_s(rate.median)),
            None => "open".to_owned(),
        },
    }
}

fn produced(point: &Point) -> String {
    told(point, "produce.bytes_per_s", quantity::bytes_per_s)
}

fn produced_records(point: &Point) -> String {
    let records = told(point, "produce.records_per_s", quantity::per_s);
    match point.figure("offered.achieved") {
        Some(achieved) => format!("{records}, {} of what was offered", quantity::percent(achieved.median)),
        None => records,
    }
}

fn consumed(point: &Point) -> String {
    if point.trials.iter().all(|trial| trial.consume.is_none()) {
        return format!("{NONE} (no consumers)");
    }
    told(point, "consume.bytes_per_s", quantity::bytes_per_s)
}

fn of_ceiling(point: &Point) -> String {
    let share = told(point, "of_ceiling.write", quantity::percent);
    match (point.figure("writes.bytes_p50"), point.figure("writes.depth_mean")) {
        (Some(size), Some(depth)) if share != NONE => {
            let size = quantity::bytes(num::u64_of(size.median));
            format!("{share}, {size} writes {:.1} deep", depth.median)
        }
        _ => share,
    }
}

fn of_device(point: &Point) -> String {
    told(point, "of_device", quantity::percent)
}

/// Cores kept busy, by what for.
fn cpu(point: &Point) -> String {
    let cores = |path: &str| {
        let shares: Vec<f64> = point.trials.iter().filter_map(|trial| cores_of(trial, path)).collect();
        crate::stats::median(&shares).map_or_else(|| NONE.to_owned(), |cores| format!("{cores:.2}"))
    };
    format!(
        "{} work + {} poll, load {}, kernel {} cores",
        cores("shard_work"),
        cores("shard_poll"),
        cores("load"),
        cores("kernel")
    )
}

fn cores_of(trial: &Trial, part: &str) -> Option<f64> {
    let cpu = &trial.resources.cpu_s;
    let seconds = match part {
        "shard_work" => cpu.shard_work,
        "shard_poll" => cpu.shard_poll,
        "load" => cpu.load,
        _ => cpu.kernel,
    };
    seconds.filter(|_| trial.window_s > 0.0).map(|seconds| seconds / trial.window_s)
}

/// The median, and the range of several trials.
fn told(point: &Point, path: &str, text: fn(f64) -> String) -> String {
    point.figure(path).map_or_else(|| NONE.to_owned(), |figure| with_range(figure, text))
}

fn with_range(figure: &Figure, text: fn(f64) -> String) -> String {
    let median = text(figure.median);
    if figure.trials < 2 {
        return median;
    }
    let (low, high) = (text(figure.min), text(figure.max));
    let unit = |text: &str| text.split_once(' ').map(|(_, unit)| unit.to_owned());
    match low.split_once(' ') {
        Some((number, _)) if unit(&low) == unit(&high) => format!("{median} ({number}–{high})"),
        _ => format!("{median} ({low}–{high})"),
    }
}

/// The latencies of a pass; rows that mean nothing under its load are left out.
fn latencies(point: &Point) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let oldest = point.trials.iter().any(|trial| trial.latency_granularity == Granularity::BatchOldest);
    let of = if oldest { ", of each batch's oldest" } else { "" };
    table.set_header([format!("latency, {}{of}", load(point)).as_str(), "p50", "p99", "p99.9", "max"]);
    let rows = [
        ("response", "response"),
        ("pacing", "pacing_lag"),
        ("blocked", "blocked"),
        ("service", "service"),
        ("end-to-end", "end_to_end"),
    ];
    for (title, name) in rows {
        let is_told = |trial: &Trial| figures_of(trial, name).is_some();
        if !point.trials.iter().any(is_told) {
            continue;
        }
        let at = |statistic: &str| {
            let figure = point.figure(&format!("latency_ns.{name}.{statistic}"));
            figure.map_or_else(|| NONE.to_owned(), |figure| quantity::ns(num::u64_of(figure.median)))
        };
        table.add_row([title.to_owned(), at("p50"), at("p99"), at("p99_9"), at("max")]);
    }
    let columns = table.column_iter_mut().skip(1);
    columns.for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn figures_of<'a>(trial: &'a Trial, name: &str) -> Option<&'a LatencyFigures> {
    trial.latency_ns.named().into_iter().find(|(own, _)| *own == name).and_then(|(_, figures)| figures)
}

fn integrity(result: &RunResult) -> String {
    let trials = || result.points.iter().flat_map(|point| &point.trials).map(|trial| &trial.integrity);
    let sum = |of: fn(&crate::result::IntegrityFigures) -> Option<u64>| trials().filter_map(of).sum::<u64>();
    if trials().all(|found| found.checked.is_none()) {
        return "not checked: nothing was consumed, or `verify: none`".to_owned();
    }
    let undrained = match sum(|found| found.undrained) {
        0 => String::new(),
        count => format!("; {count} not consumed when the drain ended"),
    };
    if trials().any(|found| found.failed()) {
        return format!(
            "FAILED: {} missing, {} repeated, {} out of order, {} corrupt, of {} records{undrained}",
            sum(|found| found.gaps),
            sum(|found| found.duplicates),
            sum(|found| found.reorders),
            sum(|found| found.corruptions),
            sum(|found| found.checked)
        );
    }
    let checked = sum(|found| found.checked);
    format!("{checked} records checked: none missing, repeated, out of order or corrupt{undrained}")
}

fn next(result: &RunResult, file: &str) -> String {
    let open = result.points.iter().any(|point| point.pass == PassKind::Open);
    let trials = result.points.iter().map(|point| point.trials.len()).min().unwrap_or(0);
    if !open {
        format!("vnotch run {file} -r 50%   (latencies at half of this rate)")
    } else if trials < crate::stats::INTERVAL_TRIALS_MIN {
        format!("vnotch run {file} --trials {}   (intervals)", crate::stats::INTERVAL_TRIALS_MIN)
    } else {
        format!("vnotch run {file} --set durability=written   (what another setting does)")
    }
}
