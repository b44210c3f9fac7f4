//! The end of a series: its document is stored and printed, and gives the exit code.

use super::Output;
use super::print::print;
use crate::campaign::compare::{Pairs, Plan, record};
use crate::cli::is_broken_pipe;
use crate::exit::ExitStatus;
use crate::report;
use crate::result::VerdictStatus;
use crate::result::comparison::Comparison;
use crate::result::comparison::store;
use crate::result::staging::series::Series;
use crate::stderr;
use std::path::{Path, PathBuf};

/// Stores and prints the comparison of a series. An interrupted one stays unfinished, so that it can be continued.
///
/// # Errors
/// The comparison cannot be stored. Its pairs are kept.
pub(super) fn finish(
    plan: &Plan,
    pairs: &Pairs,
    series: Series,
    is_whole: bool,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let comparison = record(plan, pairs, is_whole);
    let dir = series.dir().to_owned();
    if !is_whole {
        let printed = print(&comparison, None, output);
        stderr::line(format_args!(
            "vnotch: interrupted after {} pairs; `vnotch compare --resume {}` continues",
            pairs.closed.len(),
            dir.display()
        ));
        // A failed pair is worse than the interruption, and gives the exit code.
        return keep_printed(printed, comparison.exit_status(output.is_strict));
    }
    let directory = match write(&comparison, dir.parent().unwrap_or(Path::new("."))) {
        Ok(directory) => directory,
        Err(error) => {
            show(&comparison, output);
            let error = error.context(format!(
                "the comparison is not stored; `vnotch compare --resume {}` stores it",
                dir.display()
            ));
            return worst(&comparison, error);
        }
    };
    if let Err(error) = series.discard() {
        stderr::line(format_args!("note: {error:#}; the comparison is complete without it"));
    }
    let status = comparison.exit_status(output.is_strict);
    keep_printed(print(&comparison, Some(&directory), output), status)
}

/// Prints the comparison of a series that an error ended. Returns the error, or the exit status of an integrity failure.
///
/// # Errors
/// The error that ended the series, unless a pair lost or changed records.
pub(super) fn fail(
    plan: &Plan,
    pairs: &Pairs,
    output: Output,
    error: anyhow::Error,
) -> anyhow::Result<ExitStatus> {
    let comparison = record(plan, pairs, false);
    show(&comparison, output);
    worst(&comparison, error)
}

/// Returns the worse end of a series that has an error: an integrity failure of its pairs gives the exit code, and then the error is
/// only printed.
pub(super) fn worst(comparison: &Comparison, error: anyhow::Error) -> anyhow::Result<ExitStatus> {
    if comparison.verdict.status != VerdictStatus::IntegrityFailed {
        return Err(error);
    }
    stderr::line(format_args!("vnotch: {error:#}"));
    Ok(ExitStatus::Integrity)
}

/// Prints a comparison that has no directory. A failure is said, and changes nothing: another error follows.
pub(super) fn show(comparison: &Comparison, output: Output) {
    if let Err(error) = print(comparison, None, output)
        && !is_broken_pipe(&error)
    {
        stderr::line(format_args!("vnotch: {error:#}"));
    }
}

/// Writes the directory of a comparison, and returns its path. Charts that fail cost the charts only.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(comparison: &Comparison, results: &Path) -> anyhow::Result<PathBuf> {
    let drawn = report::draw_comparison(comparison);
    drawn.faults.iter().for_each(|fault| stderr::line(format_args!("note: {fault}")));
    store::write(results, comparison, &drawn.artifacts).or_else(|error| {
        let directory = store::write(results, comparison, &[]).map_err(|_| error)?;
        stderr::line(format_args!(
            "note: {} has no charts, as they could not be written; `vnotch report` draws them",
            directory.display()
        ));
        Ok(directory)
    })
}

/// Returns the exit status after an attempt to print. What is stored is complete, whether it could be printed or not.
pub(super) fn keep_printed(printed: anyhow::Result<()>, status: ExitStatus) -> anyhow::Result<ExitStatus> {
    match printed {
        Err(error) if !is_broken_pipe(&error) => {
            stderr::line(format_args!("vnotch: {error:#}; the comparison is complete all the same"));
            Ok(if status == ExitStatus::Ok { ExitStatus::Runtime } else { status })
        }
        _ => Ok(status),
    }
}
