//! `vnotch report`: draws the charts and pages of a result again from its measurements, or several runs on the same
//! axes.

use super::{Format, Globals};
use crate::exit::{ExitStatus, UsageError};
use crate::report;
use crate::result::comparison::store::Document;
use crate::result::store;
use crate::stderr;
use clap::ValueHint;
use std::path::{Path, PathBuf};

/// Arguments of `vnotch report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The measurements (result.json, series.csv, events.jsonl, latency.hlog) stay as they are; charts, report.html and \
summary.md are replaced. Results of older versions are drawn as this version draws them.

With --output, two or more runs are drawn on the same axes: one chart of the response time by percentile, one panel per \
run for throughput and latency over time, and a table with one row per run that names only the settings that differ. \
Latencies are compared under an open load only: under max and closed, a latency is just records in flight ÷ throughput.

Examples:
  vnotch report results/20261124-035404-quickstart-1a2b3c4d
  vnotch report results/*-written-* results/*-synced-* --output results/written-against-synced

Exit codes: 0 done; 1 a result cannot be read or written; 2 wrong usage.")]
pub struct Args {
    /// Result directories, as `vnotch run` makes them
    #[arg(value_name = "DIR", required = true, value_hint = ValueHint::DirPath)]
    dirs: Vec<PathBuf>,
    /// Draw all runs on the same axes, into this directory
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// A directory is no result, or cannot be written; without `--output` those before it are done. With it, a
/// [`UsageError`] if the results cannot be drawn on the same axes.
pub fn run(globals: Globals, args: Args) -> anyhow::Result<ExitStatus> {
    match &args.output {
        Some(output) => overlay(globals, &args.dirs, output),
        None => each(globals, &args.dirs),
    }
}

fn each(globals: Globals, dirs: &[PathBuf]) -> anyhow::Result<ExitStatus> {
    let mut drawn = Vec::new();
    for dir in dirs {
        let (files, name) = match Document::load(dir)? {
            Document::Comparison(compared) => (report::draw_comparison(&compared), compared.name),
            Document::Run(result) => (report::draw(&store::load(dir)?), result.name),
        };
        warn(&files.faults);
        store::redraw(dir, &files.artifacts)?;
        let page = dir.join("report.html");
        if globals.format == Format::Text {
            super::print(&format!("{}\n", page.display()))?;
        }
        drawn.push(serde_json::json!({ "directory": dir, "report": page, "name": name }));
    }
    if globals.format == Format::Json {
        super::print(&format!("{:#}\n", serde_json::json!({ "kind": "report", "results": drawn })))?;
    }
    Ok(ExitStatus::Ok)
}

fn overlay(globals: Globals, dirs: &[PathBuf], output: &Path) -> anyhow::Result<ExitStatus> {
    if output.join("result.json").exists() {
        return Err(UsageError::error(format!(
            "{} is a result directory, and its own charts would be replaced; name another directory for --output",
            output.display()
        )));
    }
    let recordings = dirs.iter().map(|dir| store::load(dir)).collect::<anyhow::Result<Vec<_>>>()?;
    let files = report::draw_overlay(&recordings)?;
    warn(&files.faults);
    store::redraw(output, &files.artifacts)?;
    let page = output.join("report.html");
    match globals.format {
        Format::Text => super::print(&format!("{}\n", page.display()))?,
        Format::Json => {
            let document = serde_json::json!({ "kind": "report", "runs": dirs, "report": page });
            super::print(&format!("{document:#}\n"))?;
        }
    }
    Ok(ExitStatus::Ok)
}

/// Writes a line on standard error for each chart that could not be drawn.
fn warn(faults: &[String]) {
    faults.iter().for_each(|fault| stderr::line(format_args!("warning: {fault}")));
}
