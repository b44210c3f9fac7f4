//! `vnotch run`: workloads in, result directories out.

use super::workload_args::WorkloadArgs;
use super::{Format, Globals, check};
use crate::doctor::{self, Needs};
use crate::drive::run::{Options, run as measure};
use crate::exit::{ExitStatus, UsageError};
use crate::report::text::first_screen;
use crate::result::{RunResult, VerdictStatus, store};
use crate::workload::{Durability, Workload};
use anyhow::Context as _;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `vnotch run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each workload makes a directory below --output: result.json (every figure), series.csv, events.jsonl, latency.hlog, \
charts, report.html and summary.md. Ctrl-C ends a run early and keeps what was measured, marked `interrupted`; a \
second one aborts it.

Examples:
  vnotch run quickstart
  vnotch run throughput --trials 7 --set durability=synced
  vnotch run my.yaml -r 50% -d 30s --data-dir /mnt/nvme/vnotch --tag disk=nvme

Exit codes: 0 done, flagged or not; 1 the target or the machine failed; 2 wrong usage or workload; 3 an SLO was missed; \
5 the measurement is invalid; 6 records were lost, repeated, reordered or corrupted; 130 interrupted.")]
pub struct Args {
    #[command(flatten)]
    workload: WorkloadArgs,
    /// Where the result directory is made
    #[arg(short, long, value_name = "DIR", default_value = "results")]
    output: PathBuf,
    /// Leave the data of the last trial in the data directory
    #[arg(long)]
    keep_data: bool,
    /// Write a line for each acked batch, straight after its ack: topic partition first_offset last_offset. It speaks of
    /// the trial under way, or the last one
    #[arg(long, value_name = "FILE")]
    ack_log: Option<PathBuf>,
    /// Note something in the result: --tag disk=nvme; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
    /// Say what would be done and what it would cost, and do nothing (as `vnotch check`)
    #[arg(long)]
    dry_run: bool,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    kind: &'static str,
    results: &'a [Done],
}

/// One workload that was run.
#[derive(Debug, Serialize)]
struct Done {
    /// Its result directory.
    directory: PathBuf,
    /// `result.json` of it.
    result: RunResult,
}

/// Runs the verb.
///
/// # Errors
/// A [`UsageError`] before anything is measured; otherwise what kept a run from being measured or written.
pub fn run(globals: Globals, args: Args) -> anyhow::Result<ExitStatus> {
    if args.dry_run {
        return check::dry_run(globals, &args.workload);
    }
    let tags = tags(&args.tag)?;
    let workloads = args.workload.load()?;
    for warning in preflight(&workloads, args.workload.data_dir())? {
        note(globals, &warning);
    }
    // All of them are looked at before the first is run.
    for workload in &workloads {
        check::require_disk(workload, args.workload.data_dir())?;
    }
    let options = Options {
        data_dir: args.workload.data_dir().map(Path::to_owned),
        keep_data: args.keep_data,
        ack_log: args.ack_log.clone(),
        tags,
        is_quiet: globals.quiet,
    };
    let mut done: Vec<Done> = Vec::new();
    for (workload, file) in workloads.iter().zip(args.workload.files()) {
        let outcome = run_one(workload, &options, &args.output);
        if let Ok(Some(done)) = &outcome
            && globals.format == Format::Text
        {
            let between = if globals.quiet { "" } else { "\n" };
            let screen = first_screen(&done.result, &done.directory, file);
            std::io::stdout().write_all(format!("{between}{screen}").as_bytes())?;
        }
        let Some(one) = outcome? else { break };
        let is_last = one.result.verdict.status == VerdictStatus::Interrupted;
        done.push(one);
        if is_last {
            break;
        }
    }
    if globals.format == Format::Json {
        let document = serde_json::to_string_pretty(&Document { kind: "run", results: &done })?;
        writeln!(std::io::stdout(), "{document}")?;
    }
    if done.len() < workloads.len() {
        eprintln!("vnotch: interrupted");
        return Ok(ExitStatus::Interrupted);
    }
    let worst = done.iter().map(|done| done.result.verdict.status).max().unwrap_or_default();
    Ok(worst.exit_status())
}

/// `None` if it was interrupted before anything was measured.
fn run_one(workload: &Workload, options: &Options, output: &Path) -> anyhow::Result<Option<Done>> {
    // A result that cannot be written is better known of before minutes of measuring.
    std::fs::create_dir_all(output)
        .with_context(|| format!("cannot make the directory for results, {}", output.display()))?;
    let Some(recording) = measure(workload, options)? else { return Ok(None) };
    let directory = store::write(output, &recording, &crate::report::draw(&recording)?)?;
    Ok(Some(Done { directory, result: recording.result }))
}

/// Refuses what cannot work on this machine; says what will work, but worse than it could.
fn preflight(workloads: &[Workload], data_dir: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let data_dir = data_dir.unwrap_or(Path::new("."));
    let mut warnings = Vec::new();
    for workload in workloads {
        let needs = Needs::from(&workload.engine);
        warnings.extend(doctor::preflight(data_dir, &needs)?.iter().map(doctor::sentence));
        if workload.durability == Durability::Appended {
            warnings.push(format!("{}: `appended` acks survive nothing, not even a kill", workload.name));
        }
    }
    if cfg!(debug_assertions) {
        warnings.push("this is a debug build, whose figures mean nothing; build with --release".to_owned());
    }
    warnings.sort();
    warnings.dedup();
    Ok(warnings)
}

fn note(globals: Globals, text: &str) {
    if !globals.quiet {
        eprintln!("note: {text}");
    }
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
