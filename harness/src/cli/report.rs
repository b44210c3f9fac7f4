//! `vnotch report`: a result's drawings again, from its measurements.

use super::{Format, Globals};
use crate::exit::{ExitStatus, UsageError};
use crate::report;
use crate::result::store;
use std::io::Write as _;
use std::path::PathBuf;

/// Arguments of `vnotch report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The measurements (result.json, series.csv, events.jsonl, latency.hlog) stay as they are; charts, report.html and \
summary.md are replaced. Results of older versions get today's drawings.

Exit codes: 0 done, 1 a result cannot be read or written, 2 wrong usage.")]
pub struct Args {
    /// Result directories, as `vnotch run` makes them
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Draw all results on the same axes into this directory (not supported yet)
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// A directory is no result, or cannot be written; those before it are done.
pub fn run(globals: Globals, args: Args) -> anyhow::Result<ExitStatus> {
    if args.output.is_some() {
        return Err(UsageError::error(
            "`--output`, several results on the same axes, is not supported yet; without it each result is drawn \
             again in its own directory",
        ));
    }
    let mut drawn = Vec::new();
    for dir in &args.dirs {
        let recording = store::load(dir)?;
        store::redraw(dir, &report::draw(&recording)?)?;
        let page = dir.join("report.html");
        if globals.format == Format::Text {
            writeln!(std::io::stdout(), "{}", page.display())?;
        }
        drawn.push(serde_json::json!({ "directory": dir, "report": page, "name": recording.result.name }));
    }
    if globals.format == Format::Json {
        writeln!(std::io::stdout(), "{:#}", serde_json::json!({ "kind": "report", "results": drawn }))?;
    }
    Ok(ExitStatus::Ok)
}
