//! A whole run: its passes between two looks at the device's best, put together into one result.

use super::ceilings::Best;
use super::cores;
use super::data_dir::DataDir;
use super::figures::written_bytes_per_s;
use super::interrupt::Interrupt;
use super::pass::{PassRun, has_ceiling};
use super::pool::Pool;
use super::progress::Progress;
use super::trial::{Bench, Opener};
use super::verdict;
use crate::measure::environment::{Environment, cores_allowed};
use crate::measure::provenance::{Build, CoresUsed, Provenance, TargetIdentity};
use crate::result::store::Recording;
use crate::result::{Kind, Point, RunResult, SCHEMA_VERSION, Verdict, VerdictStatus};
use crate::stats::summarise;
use crate::target::device::DeviceError;
use crate::target::{self, Description};
use crate::workload::{LoadMode, Pass, Rate, Workload};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a run is told beside its workload.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--keep-data`: the last trial's data stays.
    pub keep_data: bool,
    /// `--ack-log`.
    pub ack_log: Option<PathBuf>,
    /// `--tag`.
    pub tags: BTreeMap<String, String>,
    /// Whether nobody wants to know how it goes.
    pub is_quiet: bool,
}

/// Runs a workload; `None` if it was interrupted before anything was measured.
///
/// # Errors
/// The workload cannot be run here, or the target, the ceiling or the file system fails outside a trial. What fails inside
/// one is in the result's verdict.
pub fn run(workload: &Workload, options: &Options) -> anyhow::Result<Option<Recording>> {
    run_with(workload, options, &target::open)
}

/// The same with a target of the caller's.
fn run_with(workload: &Workload, options: &Options, open: &Opener<'_>) -> anyhow::Result<Option<Recording>> {
    let allowed = cores_allowed();
    let cores = cores::choose(&workload.engine, &allowed)?;
    let pool = Pool::of(workload)?;
    let data_dir = Arc::new(DataDir::open(options.data_dir.as_deref())?);
    if let Some(path) = &options.ack_log {
        std::fs::write(path, "").with_context(|| format!("cannot write the ack log {}", path.display()))?;
    }
    let interrupt = Interrupt::watch(Arc::clone(&data_dir))?;
    let environment = Environment::collect(data_dir.path());
    let progress = Progress::new(options.is_quiet, Duration::from_secs_f64(workload.estimate().seconds));
    let bench = Bench {
        workload,
        open,
        cores: &cores,
        idle: cores::idle_of(&cores, &allowed),
        pool: &pool,
        data_dir: &data_dir,
        stop: interrupt.flag(),
        ack_log: options.ack_log.as_deref(),
        progress: &progress,
        started: Instant::now(),
    };
    let started_at = jiff::Timestamp::now();
    let passes = bench.passes(options.keep_data);
    progress.finish();
    let passes = passes?;
    if passes.iter().all(|(_, pass)| pass.trials.is_empty()) {
        return Ok(None);
    }
    let described = passes.iter().find_map(|(_, pass)| pass.target.clone());
    let provenance = provenance(workload, options, (started_at, cores.clone()), described);
    Ok(Some(record(workload, passes, environment, (provenance, bench.started.elapsed()))))
}

impl Bench<'_> {
    fn passes(&self, keep_data: bool) -> anyhow::Result<Vec<(Pass, PassRun)>> {
        let mut best = Best::default();
        let mut done: Vec<(Pass, PassRun)> = Vec::new();
        if has_ceiling(self.workload) {
            self.progress.step("what the device can do at best");
            if !self.look(&mut best)? {
                return Ok(done);
            }
        }
        let passes = self.workload.passes();
        let last = passes.len() - 1;
        for (number, pass) in passes.into_iter().enumerate() {
            if self.is_stopped() || done.last().is_some_and(|(_, before)| before.is_cut_short()) {
                break;
            }
            let pass = resolved(pass, done.last().map(|(_, before)| before))?;
            let run = self.pass(pass.kind, pass.load, keep_data && number == last)?;
            done.push((pass, run));
        }
        let is_whole = !self.is_stopped() && done.iter().all(|(_, pass)| !pass.is_cut_short());
        if has_ceiling(self.workload) && is_whole {
            self.progress.step("what the device can do at best, once more");
            self.look(&mut best)?;
        }
        for trial in done.iter_mut().flat_map(|(_, pass)| &mut pass.trials) {
            best.enter(&mut trial.ceiling);
            let written = written_bytes_per_s(self.workload, trial);
            let device = trial.ceiling.device_write_bytes_per_s;
            trial.of_device = written.zip(device).map(|(written, device)| written / device);
        }
        Ok(done)
    }

    /// Looks at the device's best; `false` if it was interrupted.
    fn look(&self, best: &mut Best) -> anyhow::Result<bool> {
        match best.measure(self) {
            Ok(()) => Ok(true),
            Err(DeviceError::Interrupted) => Ok(false),
            Err(error) => Err(error).context("cannot measure the ceiling (`ceiling: off` runs without)"),
        }
    }
}

/// The pass with its rate in records a second: a share is one of what the pass before it reached, in the median.
fn resolved(mut pass: Pass, before: Option<&PassRun>) -> anyhow::Result<Pass> {
    if let LoadMode::Open { rate: rate @ Rate::Share(_), arrival, profile } = pass.load.mode {
        let reached = before.and_then(|before| {
            let rates: Vec<f64> = before.trials.iter().map(|trial| trial.produce.records_per_s).collect();
            crate::stats::median(&rates)
        });
        let reached = reached.context("the pass at max, which the rate is a share of, came to nothing")?;
        let rate = Rate::Absolute(rate.records_per_s(reached));
        pass.load.mode = LoadMode::Open { rate, arrival, profile };
    }
    Ok(pass)
}

fn provenance(
    workload: &Workload,
    options: &Options,
    (started_at, cores): (jiff::Timestamp, CoresUsed),
    target: Option<Description>,
) -> Provenance {
    Provenance {
        build: Build::current(),
        started_at: started_at.to_string(),
        workload_sha256: workload.sha256(),
        seed: workload.payload.seed,
        order_seed: None,
        target: target.map_or_else(
            || TargetIdentity {
                kind: workload.target.to_string(),
                version: String::new(),
                facts: BTreeMap::new(),
            },
            TargetIdentity::from,
        ),
        cores,
        tags: options.tags.clone(),
    }
}

/// Puts the passes together.
fn record(
    workload: &Workload,
    passes: Vec<(Pass, PassRun)>,
    environment: Environment,
    (provenance, elapsed): (Provenance, Duration),
) -> Recording {
    let mut whole = Verdict::default();
    let (mut points, mut records) = (Vec::new(), Vec::new());
    for (pass, mut run) in passes.into_iter().filter(|(_, run)| !run.trials.is_empty()) {
        records.extend(run.records.drain(..).map(|mut record| {
            record.point = points.len();
            record
        }));
        let mut point = Point {
            settings: BTreeMap::new(),
            pass: pass.kind,
            target: workload.target.to_string(),
            durability: workload.durability,
            io: Some(workload.engine.io),
            poll: Some(workload.engine.poll),
            verdict: Verdict::default(),
            summary: summarise(&run.trials),
            trials: run.trials,
        };
        // An objective is for the load the workload asks for, not for the pass that only finds its rate.
        if pass.kind == workload.load.mode.kind() && run.verdict.status < VerdictStatus::Interrupted {
            verdict::judge_slo(&workload.slo, &point, &mut run.verdict);
        }
        whole.absorb(&run.verdict);
        point.verdict = run.verdict;
        points.push(point);
    }
    let result = RunResult {
        schema_version: SCHEMA_VERSION,
        kind: Kind::Run,
        name: workload.name.clone(),
        question: workload.question.clone(),
        elapsed_s: elapsed.as_secs_f64(),
        environment,
        provenance,
        workload: workload.resolved(),
        verdict: whole,
        points,
    };
    Recording { result, trials: records }
}
