//! `vnotch ceiling --like RESULT`: raw writes like those of a result stand in for its trials. Between slices of the same writes they
//! show how exact a share of the ceiling can be on this disk.

use crate::cli::results::dir::ResultsDir;
use crate::cli::{Format, Globals};
use crate::device::{BareDevice, Ceiling, DeviceError, Replay};
use crate::exit::{ExitStatus, UsageError};
use crate::quantity;
use crate::result::shelf::name_of;
use crate::result::{Figure, Point, RunResult, WriteShape, store};
use crate::trial::ceilings::{SLICE, replay_of, write_like};
use crate::workload::{Io, TimeSpan};
use crate::{interrupt, stats, stderr};
use anyhow::Context as _;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Length of each trial without `--slice`.
const TRIAL: TimeSpan = TimeSpan(Duration::from_secs(2));

/// The request: whose writes, where, and how often.
pub(super) struct Request<'a> {
    /// A result directory, the beginning of its name, or `latest`.
    pub(super) result: &'a str,
    /// Directory on the disk to measure.
    pub(super) dir: &'a Path,
    pub(super) trials: u32,
    pub(super) slice: Option<TimeSpan>,
}

/// The JSON document that `--format json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    kind: &'static str,
    dir: &'a Path,
    result: String,
    /// Length of each trial.
    trial: TimeSpan,
    points: Vec<Replayed>,
}

/// The trials of one point.
#[derive(Debug, Serialize)]
struct Replayed {
    point: String,
    shape: WriteShape,
    /// Bytes a second of each trial.
    trials_bytes_per_s: Vec<f64>,
    /// Bytes a second of the slices before and after each trial.
    slices_bytes_per_s: Vec<[f64; 2]>,
    /// Trial ÷ the mean of its two slices.
    ratio: Option<Figure>,
}

/// Measures the trials, and prints them.
///
/// # Errors
/// A [`UsageError`] if no result matches, or if it holds no writes; otherwise the error of the disk or the kernel.
pub(super) fn run(globals: Globals, request: &Request<'_>) -> anyhow::Result<ExitStatus> {
    let found = ResultsDir::at("results".as_ref()).find(request.result)?;
    let result = store::load_result(&found)?;
    let shapes = shapes_of(&result);
    if shapes.is_empty() {
        return Err(UsageError::error(format!(
            "{} holds no writes that can be replayed: it was measured without a ceiling, its acks wait for no disk, or it is of an \
             older version",
            found.display()
        )));
    }
    let trial = request.slice.unwrap_or(TRIAL);
    let points = match measure(globals, request, &shapes, trial) {
        Ok(points) => points,
        Err(DeviceError::Interrupted) => {
            stderr::line("vnotch: interrupted; the scratch files are removed");
            return Ok(ExitStatus::Interrupted);
        }
        Err(error) => return Err(error.into()),
    };
    let document =
        Document { kind: "ceiling_like", dir: request.dir, result: name_of(&found), trial, points };
    let output = match globals.format {
        Format::Json => serde_json::to_string_pretty(&document).context("cannot write JSON")? + "\n",
        Format::Text => text(&document, globals.quiet),
    };
    crate::cli::print(&output)?;
    Ok(ExitStatus::Ok)
}

/// Returns the writes of each point that has some: its name, its shape, and the writes to replay.
fn shapes_of(result: &RunResult) -> Vec<(String, WriteShape, Replay)> {
    let of_point = |point: &Point| {
        let shape = point.trials.iter().rev().find_map(|trial| trial.ceiling.write_shape.clone())?;
        let replay = replay_of(&shape, point.io.unwrap_or(Io::Direct))?;
        Some((name_of_point(point), shape, replay))
    };
    result.points.iter().filter_map(of_point).collect()
}

fn name_of_point(point: &Point) -> String {
    let settings = point.settings.iter().map(|(key, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{key}={value}")
    });
    settings.chain([point.pass.to_string()]).collect::<Vec<_>>().join(" ")
}

fn measure(
    globals: Globals,
    request: &Request<'_>,
    shapes: &[(String, WriteShape, Replay)],
    trial: TimeSpan,
) -> Result<Vec<Replayed>, DeviceError> {
    let stop = interrupt::flag().map_err(|source| DeviceError::File {
        action: "catch signals while measuring",
        path: request.dir.to_owned(),
        source,
    })?;
    let mut device = Ceiling::open(request.dir, Ceiling::BYTES_MAX_DEFAULT)?.stopped_by(Arc::clone(&stop));
    let mut points = Vec::new();
    for (point, shape, replay) in shapes {
        let (mut trials, mut slices) = (Vec::new(), Vec::new());
        for number in 1..=request.trials {
            if !globals.quiet && globals.format == Format::Text {
                stderr::line(format_args!("{point}: trial {number} of {}", request.trials));
            }
            let (Some(before), Some(per_s), Some(after)) = (
                write_like(&mut device, replay, SLICE)?,
                write_like(&mut device as &mut dyn BareDevice, replay, trial.0)?,
                write_like(&mut device, replay, SLICE)?,
            ) else {
                break;
            };
            trials.push(per_s);
            slices.push([before, after]);
        }
        let ratios: Vec<f64> = trials
            .iter()
            .zip(&slices)
            .map(|(trial, [before, after])| 2.0 * trial / (before + after))
            .collect();
        points.push(Replayed {
            point: point.clone(),
            shape: shape.clone(),
            trials_bytes_per_s: trials,
            slices_bytes_per_s: slices,
            ratio: stats::figure(&ratios),
        });
    }
    Ok(points)
}

fn text(document: &Document<'_>, quiet: bool) -> String {
    let Document { dir, result, trial, points, .. } = document;
    let mut out = format!(
        "Raw writes like those of {result} as trials of {trial}, each between slices of the same writes, in {}\n",
        dir.display()
    );
    for Replayed { point, shape, trials_bytes_per_s, ratio, .. } in points {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n{point}\n  {}", describe(shape));
        let (Some(ratio), Some(median)) = (ratio, stats::median(trials_bytes_per_s)) else {
            out.push_str(
                "  it is not known what the device took: the file system has no disk with counters\n",
            );
            continue;
        };
        let spread = match ratio.interval {
            Some(interval) => format!("{:.3} to {:.3} with 95 % confidence", interval.low, interval.high),
            None => format!("{:.3} to {:.3} seen; 6 trials or more give an interval", ratio.min, ratio.max),
        };
        let _ = writeln!(
            out,
            "  {} in the median of {} trials; trial ÷ slices {:.3}, {spread}",
            quantity::bytes_per_s(median),
            ratio.trials,
            ratio.median
        );
    }
    if !quiet {
        out.push_str(
            "\nTrials and slices are the same writes, so the interval should hold 1. Its width is the difference that a share of the\n\
             ceiling cannot tell on this disk.\n",
        );
    }
    out
}

fn describe(shape: &WriteShape) -> String {
    let sync = match (shape.dsync, shape.shared.unwrap_or(0.0)) {
        (false, _) => "not synced".to_owned(),
        (true, 0.0) => "each synced".to_owned(),
        (true, shared) => format!("synced, {} in groups with one flush", quantity::percent(shared)),
    };
    format!(
        "{} per write (mean), {:.1} in flight, {} files, {sync}, {} over written extents",
        quantity::bytes(shape.block_bytes),
        shape.depth,
        shape.files,
        quantity::percent(shape.overwrites.unwrap_or(0.0))
    )
}
