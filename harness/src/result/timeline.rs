//! `series.csv` and `events.jsonl`: measurements over time. Each file holds all trials.

use super::TrialRecord;
use super::{Event, RunResult, SeriesRow};
use crate::workload::PassKind;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Number of columns before the bounds. Files of schema version 1 have no more.
const COLUMNS_WITHOUT_BOUNDS: usize = 16;
/// Number of columns before the lags. Files that were written before there were groups have no more.
const COLUMNS_WITHOUT_LAG: usize = COLUMNS_WITHOUT_BOUNDS + 3;

/// The columns that every file has. A column for the lag of each group follows.
const COLUMNS: [&str; COLUMNS_WITHOUT_LAG + 1] = [
    "point",
    "pass",
    "trial",
    "t_s",
    "interval_s",
    "offered",
    "achieved",
    "consumed",
    "backlog_records",
    "p50_ns",
    "p99_ns",
    "max_ns",
    "device_bytes",
    "cpu",
    "rss_bytes",
    "data_bytes",
    "p50_bound",
    "p99_bound",
    "max_bound",
    "lag",
];

/// The beginning of the name of the column that holds a group's lag. The group's id follows.
const LAG_OF: &str = "lag_";

/// The trial that a line belongs to, by its indices in `result.json`. The point's pass is there for human readers only.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct LineKey {
    point: usize,
    pass: PassKind,
    trial: usize,
}

#[derive(Serialize, Deserialize)]
struct EventLine {
    #[serde(flatten)]
    key: LineKey,
    #[serde(flatten)]
    event: Event,
}

/// Returns the content of `series.csv`.
pub(super) fn write_series(result: &RunResult, trials: &[TrialRecord]) -> anyhow::Result<Vec<u8>> {
    let groups: BTreeSet<&String> = trials.iter().flat_map(|record| record.group_lags.keys()).collect();
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let columns = COLUMNS.iter().map(|&column| column.to_owned());
    writer.write_record(columns.chain(groups.iter().map(|group| format!("{LAG_OF}{group}"))))?;
    for record in trials {
        let key = key_of(result, record)?;
        for (index, row) in record.series.iter().enumerate() {
            let lag = |group: &&String| record.group_lags.get(*group)?.get(index).copied().flatten();
            let lags: Vec<Option<u64>> = groups.iter().map(lag).collect();
            writer.serialize((key, row, lags))?;
        }
    }
    Ok(writer.into_inner()?)
}

/// Adds the rows of a `series.csv` to their trials.
pub(super) fn read_series(file: &[u8], trials: &mut [TrialRecord]) -> anyhow::Result<()> {
    let mut reader = csv::Reader::from_reader(file);
    let columns = reader.headers()?.clone();
    let fixed: Vec<&str> = columns.iter().take(COLUMNS.len()).collect();
    let groups: Option<Vec<&str>> =
        columns.iter().skip(COLUMNS.len()).map(|column| column.strip_prefix(LAG_OF)).collect();
    let known = [&COLUMNS[..], &COLUMNS[..COLUMNS_WITHOUT_LAG], &COLUMNS[..COLUMNS_WITHOUT_BOUNDS]];
    let groups = groups.filter(|_| known.contains(&&fixed[..]));
    let groups = groups.with_context(|| format!("its columns are not {}", COLUMNS.join(",")))?;
    let mut line = csv::StringRecord::new();
    while reader.read_record(&mut line)? {
        let lags: Vec<Option<u64>> = line.iter().skip(COLUMNS.len()).map(lag_of).collect::<Result<_, _>>()?;
        line.truncate(COLUMNS.len());
        (line.len()..COLUMNS.len()).for_each(|_| line.push_field(""));
        // Without the headers, so that columns are read by position: a tuple has no names to find columns by.
        let (key, row): (LineKey, SeriesRow) = line.deserialize(None)?;
        let record = record_of(trials, key)?;
        record.series.push(row);
        for (group, lag) in groups.iter().zip(lags) {
            record.group_lags.entry((*group).to_owned()).or_default().push(lag);
        }
    }
    // A column of a group that belongs to other trials says nothing about this one.
    let is_known = |lags: &Vec<Option<u64>>| lags.iter().any(Option::is_some);
    trials.iter_mut().for_each(|record| record.group_lags.retain(|_, lags| is_known(lags)));
    Ok(())
}

/// Reads the lag of a group in one interval.
fn lag_of(field: &str) -> Result<Option<u64>, std::num::ParseIntError> {
    if field.is_empty() { Ok(None) } else { field.parse().map(Some) }
}

/// Returns the content of `events.jsonl`.
pub(super) fn write_events(result: &RunResult, trials: &[TrialRecord]) -> anyhow::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for record in trials {
        let key = key_of(result, record)?;
        for event in &record.events {
            serde_json::to_writer(&mut lines, &EventLine { key, event: event.clone() })?;
            lines.push(b'\n');
        }
    }
    Ok(lines)
}

/// Adds the events of an `events.jsonl` to their trials.
pub(super) fn read_events(file: &[u8], trials: &mut [TrialRecord]) -> anyhow::Result<()> {
    for (number, line) in file.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let line: EventLine = serde_json::from_slice(line).with_context(|| format!("line {}", number + 1))?;
        record_of(trials, line.key)?.events.push(line.event);
    }
    Ok(())
}

fn key_of(result: &RunResult, record: &TrialRecord) -> anyhow::Result<LineKey> {
    let point =
        result.points.get(record.point).with_context(|| format!("there is no point {}", record.point))?;
    Ok(LineKey { point: record.point, pass: point.pass, trial: record.trial })
}

fn record_of(trials: &mut [TrialRecord], key: LineKey) -> anyhow::Result<&mut TrialRecord> {
    trials
        .iter_mut()
        .find(|record| (record.point, record.trial) == (key.point, key.trial))
        .with_context(|| format!("the result has no trial {} of point {}", key.trial, key.point))
}
