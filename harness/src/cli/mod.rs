//! The command line: one file per verb. This file parses arguments, calls the verb, prints errors and returns exit
//! codes.

pub mod ceiling;
pub mod check;
pub mod completions;
pub mod doctor;
pub mod list;
pub mod prune;
pub mod repair;
pub mod report;
pub mod results_dir;
pub mod run;
pub mod show;
pub mod verify;
pub mod workload;
pub mod workload_args;

use crate::exit::{self, ExitStatus, UsageError};
use crate::stderr;
use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Measures commit logs: throughput, latency and durability, compared with what the disk itself can do.
#[derive(Debug, Parser)]
#[command(name = "vnotch", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Format of standard output: text for people, or one JSON document and nothing else
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Print only the result, without progress and advice (errors still go to standard error)
    #[arg(short, long, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    command: Verb,
}

/// The format of standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Text,
    /// One JSON document, nothing else.
    Json,
}

/// The global options, which every verb gets.
#[derive(Debug, Clone, Copy)]
pub struct Globals {
    /// `--format`.
    pub format: Format,
    /// `--quiet`.
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a workload: measure, chart, and write a result directory
    Run(run::Args),
    /// Validate a workload and say what it will do and cost, without running it
    Check(check::Args),
    /// Print a built-in workload file, to be changed and run
    Workload(workload::Args),
    /// Check this machine for problems that prevent or distort a run, and say how to fix them
    Doctor(doctor::Args),
    /// Measure the bare disk: writes, reads and synced writes, by block size and queue depth
    Ceiling(ceiling::Args),
    /// Draw the charts and the HTML report of a result again, or of several runs on the same axes
    Report(report::Args),
    /// Read a whole data directory and say what is damaged or missing, without changing anything
    Verify(verify::Args),
    /// Repair a damaged data directory: cut each log where its records can no longer be read
    Repair(repair::Args),
    /// List the results in a directory, one line each
    List(list::Args),
    /// Print a result again, as its run printed it
    Show(show::Args),
    /// Remove old results (without --yes, only list them)
    Prune(prune::Args),
    /// Print a shell completion script
    Completions(completions::Args),
    /// Print the manual page (troff), or write one page per verb into a directory
    Man(completions::ManArgs),
}

/// Parses the command line, runs the verb, and returns its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let globals = Globals { format: cli.format, quiet: cli.quiet };
    let outcome = match cli.command {
        Verb::Run(args) => run::run(globals, args),
        Verb::Check(args) => check::run(globals, args),
        Verb::Workload(args) => workload::run(&args),
        Verb::Doctor(args) => doctor::run(globals, args),
        Verb::Ceiling(args) => ceiling::run(globals, args),
        Verb::Report(args) => report::run(globals, args),
        Verb::Verify(args) => verify::run(globals, &args),
        Verb::Repair(args) => repair::run(globals, &args),
        Verb::List(args) => list::run(globals, &args),
        Verb::Show(args) => show::run(globals, &args),
        Verb::Prune(args) => prune::run(globals, &args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Man(args) => completions::man(&args),
    };
    match outcome {
        Ok(status) => status.into(),
        Err(error) if is_broken_pipe(&error) => ExitStatus::Ok.into(),
        Err(error) => {
            stderr::line(format_args!("vnotch: {error:#}"));
            exit::status_of(&error).into()
        }
    }
}

/// Prints `text` on standard output.
///
/// # Errors
/// Standard output is closed or full.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("cannot write to standard output")
}

/// Refuses a path from the command line that is not an existing directory.
fn require_dir(dir: &Path) -> anyhow::Result<()> {
    match std::fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(UsageError::error(format!("{} is not a directory", dir.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(UsageError::error(format!("{} does not exist; name an existing directory", dir.display())))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", dir.display())),
    }
}

/// Tells whether standard output was closed early, as `vnotch … | head` does. This is not a failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
