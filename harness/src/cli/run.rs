//! `vnotch run`: runs workloads and writes one result directory for each.

mod resume;
mod saving;
mod strict;

use super::results::prune::leftovers_note;
use super::workload_args::WorkloadArgs;
use super::{Format, Globals, check};
use crate::campaign;
use crate::campaign::run::{Keeping, Measured, run as measure};
use crate::doctor::{self, Needs};
use crate::exit::{ExitStatus, UsageError};
use crate::report::text::first_screen;
use crate::result::{RunResult, VerdictStatus, store};
use crate::stderr;
use crate::trial::context::Options;
use crate::trial::inject;
use crate::workload::{Durability, Study, Workload};
use resume::Found;
use saving::{Saved, Saving, save};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
pub(super) use strict::Strict;

/// Arguments of `vnotch run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A workload has one of three loads. `max` sends as fast as acks allow, and shows what is possible. `closed` keeps a fixed \
number of batches in flight, as a caller does that waits for its acks. `open` sends at a rate, whatever the acks do; only \
an open load shows how long callers wait. A rate in percent measures `max` first, and then an open load at that share of \
it. `vnotch explain load` lists the keys.

Each workload makes a directory below --output, with result.json (every figure), series.csv, events.jsonl, latency.hlog, \
charts, report.html and summary.md. Ctrl-C ends a run early and keeps what was measured, marked `interrupted`. A second \
Ctrl-C aborts it.

A workload with a `sweep` is run for every combination of its values. Its time and disk are estimated first. Then it is \
measured in blocks: each block holds every combination once, in shuffled order. Until the sweep is complete, its directory \
ends in `.partial` and keeps every finished trial. If it ends early for any reason, `--resume` continues it.

Examples:
  vnotch run quickstart
  vnotch run throughput --trials 7 --set durability=synced
  vnotch run my.yaml -r 50% -d 30s --data-dir /mnt/nvme/vnotch --tag disk=nvme
  vnotch run throughput --set 'sweep.batch.max_bytes=[4KiB, 64KiB]' \\
    --set 'sweep.durability=[written, synced]'

Exit codes: 0 done (the result may have flags, such as a noisy disk); 1 the target or the machine failed; 2 wrong usage or workload; 3 an SLO or a \
requirement was missed; 5 the measurement is invalid, or has a flag that --strict forbids; 6 records were lost, repeated, reordered or corrupted, \
or a group skipped some or had two owners read them; 130 interrupted.")]
pub struct Args {
    #[command(flatten)]
    workload: WorkloadArgs,
    /// Directory in which the result directory is made
    #[arg(short, long, value_name = "DIR", default_value = "results")]
    output: PathBuf,
    /// Leave the data of the last trial in the data directory (without --data-dir, in a new directory vnotch-kept-…)
    #[arg(long)]
    keep_data: bool,
    /// Write one line per acked batch, right after its ack: topic partition first_offset last_offset. The file is
    /// emptied before each trial, so it holds the current or the last one
    #[arg(long, value_name = "FILE")]
    ack_log: Option<PathBuf>,
    /// Stop a shard on purpose while the load continues, in each trial of the workload's own load: stall:shard0:1s@10s
    /// stops shard 0 for 1 s, 10 s into the measured window; repeatable
    #[arg(long, value_name = "stall:shardN:D@T")]
    inject: Vec<String>,
    /// Record a note in the result: --tag disk=nvme; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
    /// Print what would be done and what it would cost, and do nothing (same as `vnotch check`)
    #[arg(long)]
    dry_run: bool,
    /// Continue an unfinished sweep of the same workload: the newest below --output, or the one in DIR
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "clap's way to tell a flag without a value from none")]
    resume: Option<Option<PathBuf>>,
    /// Exit with 5 if the verdict of a result has a flag, or one of these: --strict=noisy_disk,short
    #[arg(long, value_name = "FLAGS", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "clap's way to tell a flag without a value from none")]
    strict: Option<Option<String>>,
}

/// The JSON document that `--format json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    kind: &'static str,
    results: &'a [Done],
}

/// One workload that was run.
#[derive(Debug, Serialize)]
struct Done {
    /// Result directory of the workload.
    directory: PathBuf,
    /// Content of its `result.json`.
    result: RunResult,
    /// Whether the directory is where it was asked for.
    #[serde(skip)]
    is_where_asked: bool,
    /// Whether the user asked for the end while the result was saved. It is complete, and no other workload follows.
    #[serde(skip)]
    is_interrupted: bool,
}

/// Runs the verb.
///
/// # Errors
/// A [`UsageError`] before anything is measured; otherwise the reason why a run was not measured or written.
pub fn run(globals: Globals, args: Args) -> anyhow::Result<ExitStatus> {
    let strict = Strict::parse(args.strict.as_ref().map(Option::as_deref))?;
    if args.dry_run {
        inject::parse(&args.inject, &workloads_of(&args.workload.load()?))?;
        return check::dry_run(globals, &args.workload);
    }
    let tags = tags(&args.tag)?;
    let studies = args.workload.load()?;
    let injections = inject::parse(&args.inject, &workloads_of(&studies))?;
    let options = Options {
        data_dir: args.workload.data_dir().map(Path::to_owned),
        keep_data: args.keep_data,
        ack_log: args.ack_log.clone(),
        injections,
        command_line: command_line(),
        workload_arguments: Vec::new(),
        tags,
        is_quiet: globals.quiet,
    };
    let arguments = args.workload.files().iter().map(|file| args.workload.typed(file)).collect();
    let request = Request { studies, arguments, options, output: args.output, resume: args.resume, strict };
    measure_all(globals, request)
}

/// Returns the command line as typed, one entry for each word.
pub(super) fn command_line() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Runs to make.
pub(super) struct Request {
    /// The workloads.
    pub(super) studies: Vec<Study>,
    /// For each workload, the arguments that describe it.
    pub(super) arguments: Vec<Vec<String>>,
    /// Options of all runs.
    pub(super) options: Options,
    /// Directory in which the result directories are made.
    pub(super) output: PathBuf,
    /// `--strict`.
    pub(super) strict: Strict,
    /// `--resume`.
    #[expect(clippy::option_option, reason = "as clap reads it: a flag without a value, or with one")]
    pub(super) resume: Option<Option<PathBuf>>,
}

/// Checks everything that was asked for, then measures one workload after the other and prints each result.
///
/// # Errors
/// The same as of [`run`].
pub(super) fn measure_all(globals: Globals, request: Request) -> anyhow::Result<ExitStatus> {
    let Request { studies, arguments, options, .. } = &request;
    let data_dir = options.data_dir.as_deref();
    for warning in preflight(studies, data_dir)? {
        note(globals, &warning);
    }
    leftovers_note(data_dir).into_iter().for_each(|text| note(globals, &text));
    let actions = actions(&request)?;
    // All workloads are checked before the first is run, so that a mistake does not end a series of runs.
    for (study, action) in studies.iter().zip(&actions) {
        if !matches!(action, Action::Done(_)) {
            check::require_memory(study)?;
            campaign::run::check(study)?;
            check::require_disk(study, data_dir)?;
        }
        introduce(globals, study, action, &request.output);
    }
    require_places(&actions)?;
    let mut done: Vec<Done> = Vec::new();
    // A standard output that fails does not keep the other workloads from being measured.
    let mut printed = Ok(());
    for ((study, action), arguments) in studies.iter().zip(actions).zip(arguments) {
        let options = Options { workload_arguments: arguments.clone(), ..options.clone() };
        let outcome = run_one(study, &options, action);
        if let Ok(Some(done)) = &outcome
            && globals.format == Format::Text
        {
            let between = if globals.quiet { "" } else { "\n" };
            let screen = first_screen(&done.result, &done.directory, &options.workload_arguments);
            printed = printed.and_then(|()| super::print(&format!("{between}{screen}")));
        }
        let Some(one) = outcome? else { break };
        let is_last = one.is_interrupted || one.result.verdict.status == VerdictStatus::Interrupted;
        done.push(one);
        if is_last {
            break;
        }
    }
    if globals.format == Format::Json {
        let document = serde_json::to_string_pretty(&Document { kind: "run", results: &done })?;
        printed = super::print(&format!("{document}\n"));
    }
    let printed = match printed {
        Err(error) if !super::is_broken_pipe(&error) => {
            stderr::line(format_args!("vnotch: {error:#}; the results are complete all the same"));
            Err(())
        }
        // Whoever reads the output of `vnotch run … | head` has read enough.
        _ => Ok(()),
    };
    if done.len() < studies.len() {
        stderr::line("vnotch: interrupted");
        return Ok(ExitStatus::Interrupted);
    }
    Ok(exit_status(&done, &request.strict, printed.is_ok()))
}

/// Returns the exit status for results that were all measured. `is_printed` says whether they could be printed.
fn exit_status(done: &[Done], strict: &Strict, is_printed: bool) -> ExitStatus {
    let worst = done.iter().map(|done| done.result.verdict.status).max().unwrap_or_default().exit_status();
    if worst == ExitStatus::Ok && !(is_printed && done.iter().all(|done| done.is_where_asked)) {
        return ExitStatus::Runtime;
    }
    let failure = strict.failure(done.iter().map(|done| &done.result.verdict));
    failure.iter().for_each(|failure| stderr::line(format_args!("vnotch: {failure}")));
    if worst == ExitStatus::Ok && failure.is_some() { ExitStatus::Invalid } else { worst }
}

/// Refuses, before anything is measured, a place where results cannot be written.
fn require_places(actions: &[Action]) -> anyhow::Result<()> {
    let mut outputs = actions.iter().filter_map(|action| match action {
        Action::Measure { output, .. } => Some(output),
        Action::Done(_) => None,
    });
    outputs.try_for_each(|output| store::check(output))
}

/// The action for one workload.
enum Action {
    /// Measure it. `keeping` holds finished trials; the result is written below `output`.
    Measure { keeping: Keeping, output: PathBuf },
    /// Do nothing: its sweep is finished, and this is the directory of its result.
    Done(PathBuf),
}

fn actions(request: &Request) -> anyhow::Result<Vec<Action>> {
    let Request { studies, output, resume, .. } = request;
    if matches!(resume, Some(Some(_))) && studies.len() > 1 {
        return Err(UsageError::error(
            "--resume=DIR continues one workload; name one file, or leave out `=DIR`",
        ));
    }
    let action = |study| match resume {
        None => Ok(Action::Measure { keeping: Keeping::Below(output.clone()), output: output.clone() }),
        Some(dir) => Ok(match resume::find(study, dir.as_deref(), output)? {
            Found::Finished(result) => Action::Done(result),
            Found::Unfinished(staging) => {
                let output = staging.dir().parent().map_or_else(|| output.clone(), Path::to_owned);
                Action::Measure { keeping: Keeping::In(staging), output }
            }
        }),
    };
    studies.iter().map(action).collect()
}

/// Notes, before a workload runs, its cost if it is a sweep, or which unfinished sweep is continued.
fn introduce(globals: Globals, study: &Study, action: &Action, output: &Path) {
    match action {
        Action::Done(result) => note(globals, &format!("{} is finished: nothing to do", result.display())),
        Action::Measure { keeping: Keeping::In(staging), .. } => {
            note(globals, &format!("continuing {}", staging.dir().display()));
        }
        Action::Measure { .. } => {
            if study.is_sweep() {
                note(globals, &check::cost(study));
            }
            resume::unfinished_hint(study, output).into_iter().for_each(|hint| note(globals, &hint));
        }
    }
}

/// Runs one workload and writes its result. Returns `None` if it was interrupted before anything was measured.
fn run_one(study: &Study, options: &Options, action: Action) -> anyhow::Result<Option<Done>> {
    let (keeping, output) = match action {
        Action::Measure { keeping, output } => (keeping, output),
        Action::Done(directory) => {
            let result = store::load_result(&directory)?;
            return Ok(Some(Done { directory, result, is_where_asked: true, is_interrupted: false }));
        }
    };
    let measured = match measure(study, options, keeping) {
        Err(error) if study.is_sweep() && !error.is::<UsageError>() => {
            return Err(
                error.context("the sweep ended early; `--resume` continues it from its finished trials")
            );
        }
        other => other?,
    };
    let Some(Measured { recording, staging, is_whole }) = measured else { return Ok(None) };
    let saving = Saving::watch()?;
    let Saved { directory, is_where_asked } = save(&recording, &output, staging, is_whole)?;
    let is_interrupted = saving.is_interrupted();
    Ok(Some(Done { directory, result: recording.result, is_where_asked, is_interrupted }))
}

/// Refuses a run that cannot work on this machine. Returns warnings about problems that only make its figures worse.
fn preflight(studies: &[Study], data_dir: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let data_dir = data_dir.unwrap_or(Path::new("."));
    let mut warnings = Vec::new();
    let mut looked_at: Vec<Needs> = Vec::new();
    for combination in studies.iter().flat_map(|study| &study.combinations) {
        let workload = &combination.workload;
        let needs = Needs::from(workload);
        // Only a system in this process needs io_uring and the like.
        if workload.deployment().is_in_process() && !looked_at.contains(&needs) {
            warnings.extend(doctor::preflight(data_dir, &needs)?.iter().map(doctor::sentence));
            looked_at.push(needs);
        }
        if workload.durability == Durability::Appended {
            warnings.push(format!("{}: an `appended` ack promises nothing: its records may be lost even if only the process is killed", workload.name));
        }
    }
    if cfg!(debug_assertions) {
        warnings.push("this is a debug build, so its figures mean nothing; build with --release".to_owned());
    }
    warnings.sort();
    warnings.dedup();
    Ok(warnings)
}

pub(super) fn note(globals: Globals, text: &str) {
    if !globals.quiet {
        stderr::line(format_args!("note: {text}"));
    }
}

/// Returns the workload of every combination.
fn workloads_of(studies: &[Study]) -> Vec<&Workload> {
    studies.iter().flat_map(|study| &study.combinations).map(|combination| &combination.workload).collect()
}

fn tags(tags: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for tag in tags {
        match tag.split_once('=') {
            Some((key, value)) if !key.is_empty() => found.insert(key.to_owned(), value.to_owned()),
            _ => return Err(UsageError::error(format!("--tag {tag}: write it like `--tag disk=nvme`"))),
        };
    }
    Ok(found)
}
