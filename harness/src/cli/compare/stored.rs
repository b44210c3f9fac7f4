//! `compare A B`: two results that are stored already, or a result and a baseline.

use super::finish::keep_printed;
use super::print::print;
use super::request::StoredRequest;
use super::{Args, Output};
use crate::campaign::stored::{StoredOptions, compare};
use crate::cli::results::dir::ResultsDir;
use crate::exit::ExitStatus;
use crate::result::comparison::baseline;
use std::path::Path;

/// Compares two stored results, prints the comparison, and stores a name for the second one if that was asked for.
///
/// # Errors
/// A [`crate::exit::UsageError`] if a result is not found or the two cannot be compared; otherwise a file cannot be read or
/// written.
pub(super) fn run(args: &Args, request: &StoredRequest, output: Output) -> anyhow::Result<ExitStatus> {
    let results = ResultsDir::at(&args.output);
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
    let printed = print(&comparison, None, output);
    if let Some(name) = &args.save_baseline {
        save(results.dir(), name, &b, output)?;
    }
    keep_printed(printed, comparison.exit_status(output.is_strict))
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
    let results = ResultsDir::at(&args.output);
    let dir = results.find(result)?;
    save(results.dir(), name, &dir, output)?;
    Ok(ExitStatus::Ok)
}

fn save(results: &Path, name: &str, dir: &Path, output: Output) -> anyhow::Result<()> {
    baseline::save(results, name, dir)?;
    output.note(&format!("baseline `{name}` is {} now", dir.display()));
    Ok(())
}
