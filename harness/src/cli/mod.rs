//! The command line: one file per verb. This file parses arguments, calls the verb, prints errors and returns exit
//! codes.

pub mod ceiling;
pub mod check;
pub mod compare;
pub mod completions;
pub mod data;
pub mod doctor;
pub mod explain;
mod later;
pub mod report;
pub mod rerun;
pub mod results;
pub mod run;
pub mod workload;
pub mod workload_args;

use crate::exit::{self, ExitStatus, UsageError};
use crate::stderr;
use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use data::{dump, groups, repair, verify};
use results::{list, prune, show};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Measures commit logs: throughput, latency and durability, compared with what the disk itself can do.
#[derive(Debug, Parser)]
#[command(name = "vnotch", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Format of standard output: text for people, one JSON document and nothing else, or (`compare`) Markdown
    #[arg(long, global = true, value_enum, default_value_t = FormatArg::Text)]
    pub format: FormatArg,
    /// Print only the result, without progress and advice (errors still go to standard error)
    #[arg(short, long, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    command: Verb,
}

/// The argument of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// Text for people.
    Text,
    /// One JSON document, nothing else.
    Json,
    /// Markdown, for a pull request (`compare` only).
    Markdown,
}

/// The format of standard output of every verb but `compare`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Repeat a stored result, and say what differs here
    Rerun(rerun::Args),
    /// Validate a workload and say what it will do and cost, without running it
    Check(check::Args),
    /// Print a built-in workload file, to be changed and run
    Workload(workload::Args),
    /// Check this machine for problems that prevent or distort a run, and say how to fix them
    Doctor(doctor::Args),
    /// Say by how much two results, settings or binaries differ, with an interval
    Compare(compare::Args),
    /// Measure the bare disk: writes, reads and synced writes, by block size and queue depth
    Ceiling(ceiling::Args),
    /// Draw the charts and the HTML report of a result again, or of several runs on the same axes
    Report(report::Args),
    /// Read a whole data directory and say what is damaged or missing, without changing anything
    Verify(verify::Args),
    /// Repair a damaged data directory: cut each log where its records can no longer be read
    Repair(repair::Args),
    /// List the consumer groups of a data directory: members, committed offsets, lag
    Groups(groups::Args),
    /// Print the batches and records of a segment, or the entries of an index
    Dump(dump::Args),
    /// List the results in a directory, one line each
    List(list::Args),
    /// Print a result again, as its run printed it
    Show(show::Args),
    /// Remove old results (without --yes, only list them)
    Prune(prune::Args),
    /// Explain a word: a workload key, a figure, a status, a flag, an exit code
    Explain(explain::Args),
    /// Print a shell completion script
    Completions(completions::Args),
    /// Print the manual page (troff), or write one page per verb into a directory
    Man(completions::ManArgs),
    /// Execute a command that ends when the parent process does (`compare` starts its trials with it)
    #[command(name = crate::campaign::compare::child::VERB, hide = true)]
    Child(compare::child::Args),
}

impl Cli {
    /// The options that every verb gets.
    ///
    /// # Errors
    /// A [`UsageError`] if the verb does not print in the format.
    fn globals(&self) -> anyhow::Result<Globals> {
        let format = match self.format {
            FormatArg::Text => Format::Text,
            FormatArg::Json => Format::Json,
            FormatArg::Markdown if matches!(self.command, Verb::Compare(_)) => Format::Text,
            FormatArg::Markdown => {
                return Err(UsageError::error(
                    "--format markdown is for `compare`; a result's directory has a summary.md",
                ));
            }
        };
        Ok(Globals { format, quiet: self.quiet })
    }
}

/// Parses the command line, runs the verb, and returns its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(later) = later::refusal(&error) {
                stderr::line(format_args!("vnotch: {later}"));
                return ExitStatus::Usage.into();
            }
            error.exit()
        }
    };
    match cli.globals().and_then(|globals| dispatch(cli, globals)) {
        Ok(status) => status.into(),
        Err(error) if is_broken_pipe(&error) => ExitStatus::Ok.into(),
        Err(error) => {
            stderr::line(format_args!("vnotch: {error:#}"));
            exit::status_of(&error).into()
        }
    }
}

/// Calls the verb.
fn dispatch(cli: Cli, globals: Globals) -> anyhow::Result<ExitStatus> {
    match cli.command {
        Verb::Run(args) => run::run(globals, args),
        Verb::Rerun(args) => rerun::run(globals, args),
        Verb::Check(args) => check::run(globals, args),
        Verb::Workload(args) => no_json(globals, "workload").and_then(|()| workload::run(&args)),
        Verb::Doctor(args) => doctor::run(globals, args),
        Verb::Compare(args) => compare::run(cli.format, globals.quiet, &args),
        Verb::Ceiling(args) => ceiling::run(globals, args),
        Verb::Report(args) => report::run(globals, args),
        Verb::Verify(args) => verify::run(globals, &args),
        Verb::Repair(args) => repair::run(globals, &args),
        Verb::Groups(args) => groups::run(globals, &args),
        Verb::Dump(args) => dump::run(globals, &args),
        Verb::List(args) => list::run(globals, &args),
        Verb::Show(args) => show::run(globals, &args),
        Verb::Prune(args) => prune::run(globals, &args),
        Verb::Explain(args) => explain::run(globals, &args),
        Verb::Completions(args) => no_json(globals, "completions").and_then(|()| completions::run(&args)),
        Verb::Man(args) => no_json(globals, "man").and_then(|()| completions::man(&args)),
        Verb::Child(args) => compare::child::run(&args),
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

/// Refuses `--format json` for a verb whose output has another form.
fn no_json(globals: Globals, verb: &str) -> anyhow::Result<()> {
    match globals.format {
        Format::Text => Ok(()),
        Format::Json => {
            Err(UsageError::error(format!("`vnotch {verb}` has no JSON output; leave out --format json")))
        }
    }
}

/// Refuses a path from the command line that is not an existing directory.
fn require_dir(dir: &Path) -> anyhow::Result<()> {
    match std::fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(UsageError::error(format!("{} is not a directory", dir.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(UsageError::error(format!("there is no directory `{}`", dir.display())))
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
