//! The command line: one file a verb, dispatch only here. Prints errors and turns them into exit codes.

pub mod ceiling;
pub mod check;
pub mod completions;
pub mod doctor;
pub mod list;
pub mod prune;
pub mod repair;
pub mod report;
pub mod results_dir;
mod resume;
pub mod run;
pub mod show;
pub mod verify;
pub mod workload_args;

use crate::exit::{self, ExitStatus, UsageError};
use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::Path;
use std::process::ExitCode;

/// Measures commit logs: throughput, latency and durability, related to what the disk itself can do.
#[derive(Debug, Parser)]
#[command(name = "vnotch", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What standard output carries: text for people, or one JSON document and nothing else
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// No progress, no advice: only the result (errors still go to standard error)
    #[arg(short, long, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    command: Verb,
}

/// What standard output carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Text,
    /// One JSON document, nothing else.
    Json,
}

/// What every verb needs of the global options.
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
    /// Say what this machine lacks for a trustworthy run, and how to mend it
    Doctor(doctor::Args),
    /// Measure what this disk can do: write, read, synced, by block size and depth
    Ceiling(ceiling::Args),
    /// Draw the charts and the HTML report of a result again
    Report(report::Args),
    /// Read a data directory end to end and say what is damaged or missing, without changing anything
    Verify(verify::Args),
    /// Cut a damaged data directory where its records can no longer be read, after saying what that takes away
    Repair(repair::Args),
    /// List the results in a directory, one line each
    List(list::Args),
    /// Show a result as the end of its run printed it
    Show(show::Args),
    /// Remove old results, after saying which
    Prune(prune::Args),
    /// Print a shell completion script
    Completions(completions::Args),
    /// Print the manual page (troff), or write one a verb into a directory
    Man(completions::ManArgs),
}

/// Parses the command line, runs the verb, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let globals = Globals { format: cli.format, quiet: cli.quiet };
    let outcome = match cli.command {
        Verb::Run(args) => run::run(globals, args),
        Verb::Check(args) => check::run(globals, args),
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
            eprintln!("vnotch: {error:#}");
            exit::status_of(&error).into()
        }
    }
}

/// A directory named on the command line, which must be there.
fn require_dir(dir: &Path) -> anyhow::Result<()> {
    match std::fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(UsageError::error(format!("{} is not a directory", dir.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(UsageError::error(format!("{} does not exist; name an existing directory", dir.display())))
        }
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", dir.display())),
    }
}

/// `vnotch … | head` closes our standard output early; that is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
