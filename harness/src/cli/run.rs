//! `vnotch run`: workloads in, result directories out.

use super::resume::{self, Found};
use super::workload_args::WorkloadArgs;
use super::{Format, Globals, check};
use crate::campaign::run::{Keeping, Measured, run as measure};
use crate::doctor::{self, Needs};
use crate::exit::{ExitStatus, UsageError};
use crate::report::text::first_screen;
use crate::result::{RunResult, VerdictStatus, store};
use crate::trial::context::Options;
use crate::trial::inject;
use crate::workload::{Durability, EngineSettings, Study, Workload};
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

A workload with a `sweep` is run for every combination of its values. The sweep is first estimated (time and disk), then \
measured in blocks that hold every combination once, in a shuffled order. Until it is whole, its directory ends in \
`.partial` and keeps every finished trial: whatever ended it, `--resume` goes on with it.

Examples:
  vnotch run quickstart
  vnotch run throughput --trials 7 --set durability=synced
  vnotch run my.yaml -r 50% -d 30s --data-dir /mnt/nvme/vnotch --tag disk=nvme
  vnotch run throughput --set 'sweep.batch.max_bytes=[4KiB, 64KiB]' --set 'sweep.durability=[written, synced]'

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
    /// Stop a shard on purpose, in each trial of the workload's own load: stall:shard0:1s@10s stops shard 0 for 1 s, 10 s into
    /// the measured window, while the load goes on; repeatable
    #[arg(long, value_name = "stall:shardN:D@T")]
    inject: Vec<String>,
    /// Note something in the result: --tag disk=nvme; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
    /// Say what would be done and what it would cost, and do nothing (as `vnotch check`)
    #[arg(long)]
    dry_run: bool,
    /// Go on with an unfinished sweep of the same workload: the newest below --output, or the one in DIR
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "clap's way to tell a flag without a value from none")]
    resume: Option<Option<PathBuf>>,
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
        inject::parse(&args.inject, &workloads_of(&args.workload.load()?))?;
        return check::dry_run(globals, &args.workload);
    }
    let tags = tags(&args.tag)?;
    let studies = args.workload.load()?;
    let injections = inject::parse(&args.inject, &workloads_of(&studies))?;
    for warning in preflight(&studies, args.workload.data_dir())? {
        note(globals, &warning);
    }
    let plans = plans(&studies, &args)?;
    // All of them are looked at before the first is run.
    for (study, plan) in studies.iter().zip(&plans) {
        if !matches!(plan, Plan::Done(_)) {
            check::require_disk(study, args.workload.data_dir())?;
        }
        introduce(globals, study, plan, &args);
    }
    let options = Options {
        data_dir: args.workload.data_dir().map(Path::to_owned),
        keep_data: args.keep_data,
        ack_log: args.ack_log.clone(),
        injections,
        tags,
        is_quiet: globals.quiet,
    };
    let mut done: Vec<Done> = Vec::new();
    for ((study, plan), file) in studies.iter().zip(plans).zip(args.workload.files()) {
        let outcome = run_one(study, &options, plan);
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
    if done.len() < studies.len() {
        eprintln!("vnotch: interrupted");
        return Ok(ExitStatus::Interrupted);
    }
    let worst = done.iter().map(|done| done.result.verdict.status).max().unwrap_or_default();
    Ok(worst.exit_status())
}

/// What is done with a workload.
enum Plan {
    /// It is measured, and kept there.
    Measure { keeping: Keeping, output: PathBuf },
    /// Its sweep is finished; this is its result.
    Done(PathBuf),
}

fn plans(studies: &[Study], args: &Args) -> anyhow::Result<Vec<Plan>> {
    if matches!(args.resume, Some(Some(_))) && studies.len() > 1 {
        return Err(UsageError::error(
            "--resume=DIR goes on with one workload; name one file, or leave `=DIR` out",
        ));
    }
    let plan = |study| match &args.resume {
        None => {
            Ok(Plan::Measure { keeping: Keeping::Below(args.output.clone()), output: args.output.clone() })
        }
        Some(dir) => Ok(match resume::find(study, dir.as_deref(), &args.output)? {
            Found::Finished(result) => Plan::Done(result),
            Found::Unfinished(staging) => {
                let output = staging.dir().parent().map_or_else(|| args.output.clone(), Path::to_owned);
                Plan::Measure { keeping: Keeping::In(staging), output }
            }
        }),
    };
    studies.iter().map(plan).collect()
}

/// What a sweep is going to be, before it begins.
fn introduce(globals: Globals, study: &Study, plan: &Plan, args: &Args) {
    match plan {
        Plan::Done(result) => note(globals, &format!("{} is finished: nothing to do", result.display())),
        Plan::Measure { keeping: Keeping::In(staging), .. } => {
            note(globals, &format!("going on with {}", staging.dir().display()));
        }
        Plan::Measure { .. } => {
            if study.is_sweep() {
                note(globals, &check::cost(study));
            }
            resume::unfinished_hint(study, &args.output).into_iter().for_each(|hint| note(globals, &hint));
        }
    }
}

/// `None` if it was interrupted before anything was measured.
fn run_one(study: &Study, options: &Options, plan: Plan) -> anyhow::Result<Option<Done>> {
    let (keeping, output) = match plan {
        Plan::Measure { keeping, output } => (keeping, output),
        Plan::Done(directory) => {
            let result = store::load_result(&directory)?;
            return Ok(Some(Done { directory, result }));
        }
    };
    // A result that cannot be written is better known of before minutes of measuring.
    std::fs::create_dir_all(&output)
        .with_context(|| format!("cannot make the directory for results, {}", output.display()))?;
    let measured = match measure(study, options, keeping) {
        Err(error) if study.is_sweep() && !error.is::<UsageError>() => {
            return Err(error.context("the sweep ended early; `--resume` goes on with what it has measured"));
        }
        other => other?,
    };
    let Some(Measured { recording, staging, is_whole }) = measured else { return Ok(None) };
    let artifacts = crate::report::draw(&recording)?;
    let directory = match staging {
        Some(staging) if !is_whole => {
            store::write_into(staging.dir(), &recording, &artifacts)?;
            staging.dir().to_owned()
        }
        staging => {
            let directory = store::write(&output, &recording, &artifacts)?;
            staging.map_or(Ok(()), crate::result::staging::Staging::discard)?;
            directory
        }
    };
    Ok(Some(Done { directory, result: recording.result }))
}

/// Refuses what cannot work on this machine; says what will work, but worse than it could.
fn preflight(studies: &[Study], data_dir: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let data_dir = data_dir.unwrap_or(Path::new("."));
    let mut warnings = Vec::new();
    let mut looked_at: Vec<&EngineSettings> = Vec::new();
    for combination in studies.iter().flat_map(|study| &study.combinations) {
        let workload = &combination.workload;
        if !looked_at.contains(&&workload.engine) {
            let needs = Needs::from(&workload.engine);
            warnings.extend(doctor::preflight(data_dir, &needs)?.iter().map(doctor::sentence));
            looked_at.push(&workload.engine);
        }
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

/// The workload of every combination.
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
