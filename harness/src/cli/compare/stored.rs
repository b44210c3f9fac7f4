//! `compare A B`: two results that are stored already, or a result and a baseline.

use super::finish::{keep_printed, show, worst, write};
use super::print::print;
use super::request::StoredRequest;
use super::{Args, Output};
use crate::campaign::stored::{StoredOptions, compare};
use crate::cli::results::dir::ResultsDir;
use crate::cli::{self, FormatArg};
use crate::exit::ExitStatus;
use crate::result::comparison::baseline;
use crate::result::store;
use crate::stderr;
use std::path::Path;

/// Compares two stored results, and prints the comparison. Stores the comparison, and a name for the second result, if that was asked
/// for.
///
/// # Errors
/// A [`crate::exit::UsageError`] if a result is not found or the two cannot be compared; otherwise a file cannot be read or
/// written.
pub(super) fn run(args: &Args, request: &StoredRequest, output: Output) -> anyhow::Result<ExitStatus> {
    let results = ResultsDir::at(args.results());
    // A name that cannot be stored is refused before anything is printed.
    if let Some(name) = &args.save_baseline {
        baseline::check_name(name)?;
    }
    let a = match (&request.a, &args.baseline) {
        (Some(name), _) => results.find(name)?,
        (None, Some(name)) => baseline::find(results.dir(), name)?,
        (None, None) => anyhow::bail!("a comparison without a first side"),
    };
    let b = results.find(&request.b)?;
    let options = StoredOptions {
        metric: args.metric.as_deref(),
        band: request.band,
        baseline: args.baseline.as_deref(),
    };
    let comparison = compare(&a, &b, options)?;
    if args.save {
        store::check(results.dir())?;
    }
    let directory = match args.save.then(|| write(&comparison, results.dir())).transpose() {
        Ok(directory) => directory,
        Err(error) => {
            show(&comparison, output);
            return worst(
                &comparison,
                error.context("the comparison is not stored; the same command stores it"),
            );
        }
    };
    let printed = print(&comparison, directory.as_deref(), output);
    let status = comparison.exit_status(output.is_strict);
    match &args.save_baseline {
        Some(name) if status != ExitStatus::Ok && args.baseline.as_ref() == Some(name) => {
            say_kept(name, status)
        }
        Some(name) => save(results.dir(), name, &b, output)?,
        None => {}
    }
    keep_printed(printed, status)
}

/// Stores the name of a baseline for a result.
///
/// # Errors
/// A [`crate::exit::UsageError`] if the result is not found or cannot be a baseline; otherwise the file cannot be written.
pub(super) fn save_baseline(
    args: &Args,
    name: &str,
    result: &str,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let results = ResultsDir::at(args.results());
    let dir = results.find(result)?;
    save(results.dir(), name, &dir, output)?;
    if output.format == FormatArg::Json {
        let document = serde_json::json!({ "kind": "baseline", "name": name, "directory": dir });
        cli::print(&format!("{document:#}\n"))?;
    }
    Ok(ExitStatus::Ok)
}

fn save(results: &Path, name: &str, dir: &Path, output: Output) -> anyhow::Result<()> {
    baseline::save(results, name, dir)?;
    output.note(&format!("baseline `{name}` is {} now", dir.display()));
    Ok(())
}

/// Says that the baseline that was compared with is not replaced, because the comparison ended with `status`.
fn say_kept(name: &str, status: ExitStatus) {
    stderr::line(format_args!(
        "vnotch: baseline `{name}` is kept as it was, because this comparison ends with exit code {}; `vnotch compare \
         --save-baseline {name} RESULT` replaces it all the same",
        status as u8
    ));
}
