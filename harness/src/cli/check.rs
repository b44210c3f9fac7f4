//! `vnotch check`, which is also `run --dry-run`: prints what a workload will do and cost, without running it.

use super::workload_args::WorkloadArgs;
use super::{Format, Globals, prune};
use crate::campaign;
use crate::doctor::{self, Needs};
use crate::escape::{visible, visible_lines};
use crate::exit::{ExitStatus, UsageError};
use crate::num::{self, f64_of};
use crate::quantity;
use crate::result::environment::{Cgroup, Memory};
use crate::stats;
use crate::stderr;
use crate::system::CAPABILITIES;
use crate::workload::{Difference, Estimate, Study, Workload, label};
use anyhow::Context as _;
use rustix::process::{Resource, getrlimit};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Number of combinations that the text lists. It counts the others.
const COMBINATIONS_SHOWN: usize = 20;

/// Arguments of `vnotch check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    workload: WorkloadArgs,
}

/// Runs the verb.
pub fn run(globals: Globals, args: Args) -> anyhow::Result<ExitStatus> {
    dry_run(globals, &args.workload)
}

/// Prints the plan of each workload. Too little disk for one of them is an error, but only after all plans are printed.
///
/// # Errors
/// A [`UsageError`] if a workload is wrong or the disk is too small; otherwise the error of the file system.
pub fn dry_run(globals: Globals, args: &WorkloadArgs) -> anyhow::Result<ExitStatus> {
    let studies = args.load()?;
    let plans = studies.iter().map(|s| Plan::new(s, args.data_dir())).collect::<anyhow::Result<Vec<_>>>()?;
    let printed = match globals.format {
        Format::Json => format!("{:#}\n", serde_json::json!({ "kind": "check", "workloads": plans })),
        Format::Text if globals.quiet => String::new(),
        Format::Text => visible_lines(&plans.iter().map(Plan::text).collect::<Vec<_>>().join("\n")),
    };
    super::print(&printed)?;
    if !globals.quiet {
        let workloads = studies.iter().flat_map(|study| &study.combinations).map(|it| &it.workload);
        let of_quota = workloads.filter_map(|workload| doctor::quota_warning(&Needs::from(workload)));
        let notes: BTreeSet<String> = of_quota.chain(prune::leftovers_note(args.data_dir())).collect();
        notes.iter().for_each(|note| stderr::line(format_args!("note: {note}")));
    }
    studies.iter().try_for_each(|study| {
        require_memory(study)?;
        campaign::run::check(study)?;
        require_disk(study, args.data_dir())
    })?;
    Ok(ExitStatus::Ok)
}

/// Refuses a workload that needs more disk than is free in its data directory's file system. Called before anything is
/// written.
///
/// # Errors
/// A [`UsageError`] that says how much the workload needs and how to need less; otherwise the error of the file system.
pub fn require_disk(study: &Study, data_dir: Option<&Path>) -> anyhow::Result<()> {
    let estimate = study.estimate();
    let takes_most = |combination: &&crate::workload::Combination| {
        combination.workload.estimate().disk_peak_bytes == estimate.disk_peak_bytes
    };
    let name = match study.combinations.iter().find(takes_most).filter(|_| study.is_sweep()) {
        Some(combination) => format!("{} ({})", study.workload.name, combination.label()),
        None => study.workload.name.clone(),
    };
    Disk::of(data_dir)?.require(&name, &estimate)
}

/// Refuses a workload that needs more memory than this machine has, or than the control group allows.
///
/// # Errors
/// A [`UsageError`] that says how much the workload needs and what to change.
pub fn require_memory(study: &Study) -> anyhow::Result<()> {
    let cgroup = Cgroup::collect();
    let needed = study.estimate().memory_bytes;
    let Some(total) = Memory::collect(&cgroup).total_bytes.filter(|total| needed > *total) else {
        return Ok(());
    };
    let whose = if cgroup.memory_limit_bytes.is_some_and(|limit| limit <= total) {
        "the control group allows"
    } else {
        "this machine has"
    };
    Err(UsageError::error(format!(
        "{} needs about {} of memory, but {whose} {}; lower `engine.arena_bytes`, `engine.shards`, `load.in_flight_bytes`, \
         `payload.pool`, or the number of producers or partitions",
        study.workload.name,
        quantity::bytes(needed),
        quantity::bytes(total)
    )))
}

/// Returns the cost of a sweep as one sentence: its trials, its time and its disk.
pub fn cost(study: &Study) -> String {
    let estimate = study.estimate();
    format!(
        "{}: {}, about {}, at most {} of disk at a time",
        study.workload.name,
        trials_of(study),
        quantity::duration(estimate.seconds),
        quantity::bytes(estimate.disk_peak_bytes)
    )
}

/// Describes the trials of a study: `9 combinations × max, then open at 50% of that × 2 trials`.
fn trials_of(study: &Study) -> String {
    let trials = count(u64::from(study.workload.trials), "trial");
    let passes = passes_of(study).join(", then ");
    if study.is_sweep() {
        let combinations = count(study.combinations.len() as u64, "combination");
        return format!("{combinations} × {passes} × {trials}");
    }
    format!("{passes} × {trials}")
}

/// Describes the answer that a sweep will give, and whether it has enough blocks for one.
fn answer_words(study: &Study) -> String {
    let workload = &study.workload;
    let metric = workload.primary_metric().name();
    let what = match workload.ratio_key() {
        Some(key) => format!("the price of each step of `{key}` in {metric}"),
        None => format!("the settings that remain as the best by {metric}"),
    };
    let blocks = num::index(workload.trials);
    if blocks >= stats::BLOCKS_MIN {
        return what;
    }
    format!(
        "{what}; {} are too few for an answer, which needs {}",
        count(u64::from(workload.trials), "block"),
        stats::BLOCKS_MIN
    )
}

fn passes_of(study: &Study) -> Vec<String> {
    let passes = study.combinations.first().map(|combination| combination.workload.passes());
    passes.unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// The plan and the cost of one workload, as text and JSON show them.
#[derive(Debug, serde::Serialize)]
struct Plan {
    name: String,
    question: Option<String>,
    hash: String,
    /// The figure that the question is about.
    metric: &'static str,
    /// The kind of answer; empty without a sweep.
    answer: Option<String>,
    #[serde(skip)]
    answer_words: Option<String>,
    passes: Vec<String>,
    /// The settings that each combination overrides; empty without a sweep.
    combinations: Vec<BTreeMap<String, serde_json::Value>>,
    #[serde(skip)]
    trials: String,
    /// How the consumers get their partitions; `None` without consumers.
    consumers: Option<String>,
    differences: Vec<Difference>,
    without_effect: Vec<String>,
    estimate: Estimate,
    disk: Disk,
    resolved: serde_json::Value,
}

/// The file system that will hold the data.
#[derive(Debug, serde::Serialize)]
struct Disk {
    directory: PathBuf,
    /// Free bytes; `None` if the file system does not count its blocks.
    free_bytes: Option<u64>,
}

impl Plan {
    fn new(study: &Study, data_dir: Option<&Path>) -> anyhow::Result<Self> {
        let workload = &study.workload;
        let swept = study.combinations.iter().filter(|_| study.is_sweep());
        Ok(Self {
            name: workload.name.clone(),
            question: workload.question.clone(),
            hash: workload.hash(),
            metric: workload.primary_metric().name(),
            answer: study.is_sweep().then(|| workload.answer.to_string()),
            answer_words: study.is_sweep().then(|| answer_words(study)),
            passes: passes_of(study),
            combinations: swept.map(|combination| combination.settings.clone()).collect(),
            trials: trials_of(study),
            consumers: Workload::consumers_in_words(
                study.combinations.iter().map(|it| &it.workload),
                CAPABILITIES,
            ),
            differences: workload.diff_from_defaults(),
            without_effect: without_effect(study),
            estimate: study.estimate(),
            disk: Disk::of(data_dir)?,
            resolved: workload.resolved(),
        })
    }

    fn text(&self) -> String {
        let Self { estimate, disk, .. } = self;
        let mut text = format!("{} ({})\n", self.name, self.hash);
        if let Some(question) = &self.question {
            let _ = writeln!(text, "  {}", visible(question));
        }
        let mut line = |what: &str, value: String| {
            let _ = writeln!(text, "  {what:<9} {value}");
        };
        line("points", self.trials.clone());
        self.answer_words.iter().for_each(|words| line("answer", words.clone()));
        let time = quantity::duration;
        line("time", format!("about {}, at most {}", time(estimate.seconds), time(estimate.seconds_max)));
        line(
            "disk",
            format!(
                "at most {} of the {} that are free in {}",
                quantity::bytes(estimate.disk_peak_bytes),
                disk.free(),
                disk.directory.display()
            ),
        );
        line(
            "",
            format!(
                "(estimated with {}: {})",
                quantity::bytes_per_s(f64_of(estimate.bytes_per_s)),
                estimate.bytes_per_s_because
            ),
        );
        self.consumers.iter().for_each(|words| line("consumers", words.clone()));
        line("memory", format!("about {}", quantity::bytes(estimate.memory_bytes)));
        line("files", self.files(getrlimit(Resource::Nofile).maximum));
        text.push_str(&self.combinations());
        text.push_str(&self.settings());
        text
    }

    /// Describes the number of segments. More segments than the `limit` on open files work, but are opened again to be
    /// read.
    fn files(&self, limit: Option<u64>) -> String {
        let segments = format!("at most {}", count(self.estimate.segments, "segment"));
        match limit.filter(|limit| self.estimate.segments > *limit) {
            Some(limit) => format!(
                "{segments}; only {limit} files may be open at a time (`ulimit -Hn`), so segments are closed and \
                 opened again"
            ),
            None => segments,
        }
    }

    fn combinations(&self) -> String {
        let mut text = String::new();
        if !self.combinations.is_empty() {
            text.push_str("  combinations\n");
        }
        for settings in self.combinations.iter().take(COMBINATIONS_SHOWN) {
            let _ = writeln!(text, "    {}", label(settings));
        }
        if self.combinations.len() > COMBINATIONS_SHOWN {
            let _ = writeln!(text, "    … and {} more", self.combinations.len() - COMBINATIONS_SHOWN);
        }
        text
    }

    fn settings(&self) -> String {
        let mut text = String::new();
        if !self.differences.is_empty() {
            text.push_str("  differs from the defaults (in brackets)\n");
        }
        let width = self.differences.iter().map(|difference| difference.key.len()).max().unwrap_or(0);
        for Difference { key, value, default } in &self.differences {
            let _ = writeln!(text, "    {key:width$}  {} ({})", written(value), written(default));
        }
        if !self.without_effect.is_empty() {
            text.push_str("  without effect in this run\n");
        }
        for note in &self.without_effect {
            let _ = writeln!(text, "    {note}");
        }
        text
    }
}

impl Disk {
    /// Returns the file system of `data_dir`, which need not exist yet. `None` means the working directory.
    fn of(data_dir: Option<&Path>) -> anyhow::Result<Self> {
        let directory = data_dir.unwrap_or(Path::new("."));
        let directory = std::path::absolute(directory)
            .with_context(|| format!("cannot find the absolute path of {}", directory.display()))?;
        let existing = directory.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
        let stat = rustix::fs::statvfs(existing)
            .with_context(|| format!("cannot read the free space of {}", existing.display()))?;
        let free_bytes = (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize));
        Ok(Self { free_bytes, directory })
    }

    fn free(&self) -> String {
        self.free_bytes.map_or_else(|| "unknown amount".to_owned(), quantity::bytes)
    }

    fn require(&self, name: &str, estimate: &Estimate) -> anyhow::Result<()> {
        if self.free_bytes.is_none_or(|free_bytes| estimate.disk_peak_bytes <= free_bytes) {
            return Ok(());
        }
        Err(UsageError::error(format!(
            "{name} may need {} of disk, but {} has only {} free (estimated: {}); use a shorter \
             `--duration`, a smaller `--rate`, a smaller `--set load.in_flight_bytes=…` or another `--data-dir`",
            quantity::bytes(estimate.disk_peak_bytes),
            self.directory.display(),
            self.free(),
            estimate.bytes_per_s_because,
        )))
    }
}

/// Formats a value as a workload file would write it.
fn written(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "unset".into(),
        other => other.to_string(),
    }
}

fn count(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

/// Returns the settings that have no effect; in a sweep, those that have none in any combination.
fn without_effect(study: &Study) -> Vec<String> {
    let mut notes = study.combinations.first().map_or_else(Vec::new, |first| first.workload.without_effect());
    for combination in study.combinations.iter().skip(1) {
        let others = combination.workload.without_effect();
        notes.retain(|note| others.contains(note));
    }
    notes
}
