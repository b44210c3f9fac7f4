//! `series.csv` and `events.jsonl`: what happened over time, of all trials in one file each.

use super::TrialRecord;
use super::{Event, RunResult, SeriesRow};
use crate::workload::PassKind;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};

const COLUMNS: [&str; 16] = [
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
];

/// Which trial a line belongs to: indices of `result.json`, and the point's pass for the reader's sake.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Place {
    point: usize,
    pass: PassKind,
    trial: usize,
}

#[derive(Serialize, Deserialize)]
struct EventLine {
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    event: Event,
}

/// The whole `series.csv`.
pub(super) fn write_series(result: &RunResult, trials: &[TrialRecord]) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for record in trials {
        let place = place(result, record)?;
        for row in &record.series {
            writer.serialize((place, row))?;
        }
    }
    Ok(writer.into_inner()?)
}

/// Adds the rows of a `series.csv` to the trials they belong to.
pub(super) fn read_series(file: &[u8], trials: &mut [TrialRecord]) -> anyhow::Result<()> {
    let mut reader = csv::Reader::from_reader(file);
    let columns = reader.headers()?.clone();
    anyhow::ensure!(columns.iter().eq(COLUMNS), "its columns are not {}", COLUMNS.join(","));
    let mut line = csv::StringRecord::new();
    while reader.read_record(&mut line)? {
        // By position: headers would look the nested values up by name, which a tuple does not have.
        let (place, row): (Place, SeriesRow) = line.deserialize(None)?;
        of(trials, place)?.series.push(row);
    }
    Ok(())
}

/// The whole `events.jsonl`.
pub(super) fn write_events(result: &RunResult, trials: &[TrialRecord]) -> anyhow::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for record in trials {
        let place = place(result, record)?;
        for event in &record.events {
            serde_json::to_writer(&mut lines, &EventLine { place, event: event.clone() })?;
            lines.push(b'\n');
        }
    }
    Ok(lines)
}

/// Adds the events of an `events.jsonl` to the trials they belong to.
pub(super) fn read_events(file: &[u8], trials: &mut [TrialRecord]) -> anyhow::Result<()> {
    for (number, line) in file.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let line: EventLine = serde_json::from_slice(line).with_context(|| format!("line {}", number + 1))?;
        of(trials, line.place)?.events.push(line.event);
    }
    Ok(())
}

fn place(result: &RunResult, record: &TrialRecord) -> anyhow::Result<Place> {
    let point =
        result.points.get(record.point).with_context(|| format!("there is no point {}", record.point))?;
    Ok(Place { point: record.point, pass: point.pass, trial: record.trial })
}

fn of(trials: &mut [TrialRecord], place: Place) -> anyhow::Result<&mut TrialRecord> {
    trials
        .iter_mut()
        .find(|record| (record.point, record.trial) == (place.point, place.trial))
        .with_context(|| format!("the result has no trial {} of point {}", place.trial, place.point))
}
