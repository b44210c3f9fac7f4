//! The trials of a study in their order: every combination once a block, block after block, pass after pass. What an
//! earlier session has measured is not measured again.

use super::ceilings;
use super::cores;
use super::data_dir::DataDir;
use super::load_thread::Idle;
use super::order::Order;
use super::pass::{PassRun, Turn, has_ceiling};
use super::pool::Pool;
use super::progress::Progress;
use super::run::Options;
use super::stall_figures;
use super::trial::{Bench, Opener};
use crate::measure::environment::cores_allowed;
use crate::measure::provenance::CoresUsed;
use crate::measure::thin::{thin_histograms, thin_rows};
use crate::num;
use crate::result::staging::{DeviceLooks, Sessions, StagedTrial, Staging};
use crate::result::{TrialRecord, Verdict, VerdictStatus};
use crate::stats;
use crate::target::device::DeviceError;
use crate::workload::{Durability, LoadMode, Pass, Rate, Study, Workload};
use anyhow::Context as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Intervals of histograms that all trials of a sweep keep together, as long as that leaves each of them one.
const KEPT_INTERVALS_MAX: usize = 6000;

/// What all trials of a study have in common.
pub(super) struct Session<'a> {
    pub(super) study: &'a Study,
    pub(super) options: &'a Options,
    pub(super) open: &'a Opener<'a>,
    pub(super) data_dir: &'a DataDir,
    pub(super) stop: &'a Arc<AtomicBool>,
    pub(super) progress: &'a Progress,
    /// When the first session started, on this session's clock.
    pub(super) started: Instant,
    pub(super) order: Order,
    /// Trials that earlier sessions made.
    made_before: usize,
    /// Of each combination.
    places: Vec<(CoresUsed, Idle)>,
}

/// What came of every combination under every pass.
#[derive(Debug, Default)]
pub(super) struct Points {
    passes: usize,
    /// Those of one combination side by side.
    runs: Vec<PassRun>,
    /// The device's best so far.
    pub(super) looks: DeviceLooks,
}

impl Points {
    pub(super) fn new(study: &Study) -> Self {
        let passes = study.passes();
        let runs = (0..passes * study.combinations.len()).map(|_| PassRun::default()).collect();
        Self { passes, runs, looks: DeviceLooks::default() }
    }

    /// Takes over what earlier sessions measured.
    pub(super) fn take_over(&mut self, staging: &mut Staging) -> anyhow::Result<()> {
        self.looks = staging.sessions().looks.clone();
        for (staged, record) in staging.take_trials() {
            let StagedTrial { combination, pass, trial, verdict, target } = staged;
            let run = self.runs.get_mut(combination * self.passes + pass).filter(|_| pass < self.passes);
            let run = run.context("a trial of a combination that the sweep does not have")?;
            run.add(trial, record, (&verdict, target));
        }
        Ok(())
    }

    pub(super) fn run(&self, combination: usize, pass: usize) -> &PassRun {
        &self.runs[combination * self.passes + pass]
    }

    /// What a combination reached in its first pass, in the median, records/s.
    fn reached(&self, combination: usize) -> Option<f64> {
        let trials = &self.run(combination, 0).trials;
        let rates: Vec<f64> = trials.iter().map(|trial| trial.produce.records_per_s).collect();
        stats::median(&rates)
    }

    fn run_mut(&mut self, combination: usize, pass: usize) -> &mut PassRun {
        &mut self.runs[combination * self.passes + pass]
    }

    /// Whether a combination's trials end early: one of them failed, or was cut short.
    fn is_given_up(&self, combination: usize) -> bool {
        (0..self.passes).any(|pass| self.run(combination, pass).is_cut_short())
    }

    /// Each combination's passes with what came of them.
    pub(super) fn into_runs(self) -> impl Iterator<Item = (usize, usize, PassRun)> {
        let passes = self.passes;
        self.runs.into_iter().enumerate().map(move |(index, run)| (index / passes, index % passes, run))
    }

    pub(super) fn trials(&self) -> usize {
        self.runs.iter().map(|run| run.trials.len()).sum()
    }
}

impl<'a> Session<'a> {
    /// # Errors
    /// A combination names cores that are not ours, or its values cannot be made.
    pub(super) fn new(
        (study, options, open): (&'a Study, &'a Options, &'a Opener<'a>),
        (data_dir, stop, progress): (&'a DataDir, &'a Arc<AtomicBool>, &'a Progress),
        (started, order, made_before): (Instant, Order, usize),
    ) -> anyhow::Result<Self> {
        let places = places(study)?;
        Ok(Self { study, options, open, data_dir, stop, progress, started, order, made_before, places })
    }

    /// The cores of the combination that uses most.
    pub(super) fn cores(&self) -> CoresUsed {
        let cores = self.places.iter().map(|(cores, _)| cores).rev();
        cores.max_by_key(|cores| cores.shards.len() + cores.load.len()).cloned().unwrap_or_default()
    }

    /// Measures what is left to measure; what fails is left as it is.
    pub(super) fn measure(
        &self,
        points: &mut Points,
        mut staging: Option<&mut Staging>,
    ) -> anyhow::Result<()> {
        if self.left(points) == 0 {
            return Ok(());
        }
        if !self.look("what the device can do at best", &mut points.looks)? {
            return Ok(());
        }
        for pass in 0..points.passes {
            let reached = self.slowest(points);
            if pass > 0 && reached.is_none() {
                break;
            }
            for block in 0..num::index(self.study.workload.trials) {
                for combination in self.order.block(pass, block) {
                    let is_done = points.run(combination, pass).trials.len() > block;
                    if is_done || points.is_given_up(combination) {
                        continue;
                    }
                    if self.is_stopped() {
                        return Ok(());
                    }
                    let passes = self.workload(combination).passes();
                    let load = resolved(passes[pass], reached)?;
                    self.turn((combination, pass, load), points, staging.as_deref_mut())?;
                }
            }
        }
        if !self.is_stopped() && self.is_whole(points) {
            self.look("what the device can do at best, once more", &mut points.looks)?;
        }
        self.keep_sessions(points, staging)
    }

    /// Whether every trial was made that is to be made, and none cut short. A run that failed has nothing more to measure;
    /// its combination is left out of what follows.
    pub(super) fn is_whole(&self, points: &Points) -> bool {
        let is_cut = |run: &PassRun| run.verdict.status == VerdictStatus::Interrupted;
        self.left(points) == 0 && !points.runs.iter().any(is_cut)
    }

    /// Trials that are still to be made.
    fn left(&self, points: &Points) -> usize {
        let trials = num::index(self.study.workload.trials);
        let combinations = 0..self.study.combinations.len();
        combinations
            .filter(|combination| !points.is_given_up(*combination))
            .flat_map(|combination| (0..points.passes).map(move |pass| (combination, pass)))
            .map(|(combination, pass)| trials.saturating_sub(points.run(combination, pass).trials.len()))
            .sum()
    }

    /// One trial of one combination.
    fn turn(
        &self,
        (combination, pass, load): (usize, usize, Pass),
        points: &mut Points,
        staging: Option<&mut Staging>,
    ) -> anyhow::Result<()> {
        let workload = self.workload(combination);
        let pool = Pool::of(workload)?;
        let (cores, idle) = &self.places[combination];
        let is_own = load.kind == workload.load.mode.kind();
        let bench = Bench {
            workload,
            open: self.open,
            cores,
            idle: *idle,
            pool: &pool,
            data_dir: self.data_dir,
            stop: self.stop,
            ack_log: self.options.ack_log.as_deref(),
            // What only finds the rate is left in peace.
            injections: if is_own { &self.options.injections } else { &[] },
            requirements: &workload.require,
            backlog: workload.backlog,
            progress: self.progress,
            started: self.started,
        };
        let title = self.announce((combination, pass, load), points);
        let keep = self.options.keep_data && self.left(points) == 1;
        let trials = self.study.combinations.len() * points.passes * num::index(workload.trials);
        let max = (pass > 0).then(|| points.reached(combination)).flatten();
        let run = points.run_mut(combination, pass);
        let verdict = bench.next_trial(&Turn { pass: &load, title: &title, keep }, run)?;
        stall_figures::expect(&mut run.trials, max, workload);
        if let Some(record) = run.records.last_mut().filter(|_| verdict.is_some() && self.study.is_sweep()) {
            thin(record, trials);
        }
        match (verdict, staging) {
            // What was cut short is measured again, should the sweep be gone on with.
            (Some(verdict), Some(staging)) if verdict.status != VerdictStatus::Interrupted => {
                self.keep((combination, pass), (points, verdict), staging)
            }
            _ => Ok(()),
        }
    }

    /// Keeps the trial made last of a pass.
    fn keep(
        &self,
        (combination, pass): (usize, usize),
        (points, verdict): (&Points, Verdict),
        staging: &mut Staging,
    ) -> anyhow::Result<()> {
        let run = points.run(combination, pass);
        let (Some(trial), Some(record), Some(target)) =
            (run.trials.last(), run.records.last(), run.target.as_ref())
        else {
            return Ok(());
        };
        let (trial, target) = (trial.clone(), target.clone());
        staging.keep(StagedTrial { combination, pass, trial, verdict, target }, record)?;
        self.keep_sessions(points, Some(staging))
    }

    fn keep_sessions(&self, points: &Points, staging: Option<&mut Staging>) -> anyhow::Result<()> {
        let Some(staging) = staging else { return Ok(()) };
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let resumed_at = staging.sessions().resumed_at.clone();
        staging.keep_sessions(Sessions { resumed_at, elapsed_s, looks: points.looks.clone() })
    }

    /// Says which trial begins; returns its title.
    fn announce(&self, (combination, pass, load): (usize, usize, Pass), points: &Points) -> String {
        let trials = self.study.workload.trials;
        let title =
            format!("{}: trial {} of {trials}", load.kind, points.run(combination, pass).trials.len() + 1);
        if !self.study.is_sweep() {
            return title;
        }
        let (left, done) = (self.left(points), points.trials());
        let label = self.study.combinations[combination].label();
        self.progress.turn((done + 1, left + done), &label, self.time_left(left, done));
        format!("{label}, {title}")
    }

    /// At the pace of this session so far, or as estimated before it has one.
    fn time_left(&self, left: usize, done: usize) -> Duration {
        let float = |count: usize| num::f64_of(num::count(count));
        let made = done.saturating_sub(self.made_before);
        let seconds_each = if made == 0 {
            self.study.estimate().seconds / float(left + done)
        } else {
            self.progress.elapsed().as_secs_f64() / float(made)
        };
        Duration::from_secs_f64(seconds_each * float(left))
    }

    fn workload(&self, combination: usize) -> &Workload {
        &self.study.combinations[combination].workload
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// The least that a combination reached in its first pass, in the median, records/s.
    fn slowest(&self, points: &Points) -> Option<f64> {
        let combinations = 0..self.study.combinations.len();
        let medians = combinations
            .filter(|combination| !points.is_given_up(*combination))
            .filter_map(|it| points.reached(it));
        medians.min_by(f64::total_cmp)
    }

    /// Looks at the device's best, if anything is to be held against it; `false` if it was interrupted.
    fn look(&self, title: &str, looks: &mut DeviceLooks) -> anyhow::Result<bool> {
        let workloads = || self.study.combinations.iter().map(|combination| &combination.workload);
        if !workloads().any(has_ceiling) {
            return Ok(true);
        }
        self.progress.step(title);
        let with_dsync = workloads().any(|workload| workload.durability == Durability::Synced);
        match ceilings::look((self.data_dir, self.stop), looks, with_dsync) {
            Ok(()) => Ok(true),
            Err(DeviceError::Interrupted) => Ok(false),
            Err(error) => Err(error).context("cannot measure the ceiling (`ceiling: off` runs without)"),
        }
    }
}

/// Where each combination runs, all of them looked at before the first does.
fn places(study: &Study) -> anyhow::Result<Vec<(CoresUsed, Idle)>> {
    let allowed = cores_allowed();
    let mut made: Option<&Workload> = None;
    let mut places = Vec::new();
    for combination in &study.combinations {
        let workload = &combination.workload;
        let named = || format!("with {}", combination.label());
        let place = || {
            let cores = cores::choose(&workload.engine, &allowed)?;
            // Values that differ in nothing need not be made twice to know that they can be.
            if made.is_none_or(|made| {
                made.payload != workload.payload || made.message_size != workload.message_size
            }) {
                Pool::of(workload)?;
            }
            let idle = cores::idle_of(&cores, &allowed, workload.load.mode);
            anyhow::Ok((cores, idle))
        };
        let place = if study.is_sweep() { place().with_context(named)? } else { place()? };
        places.push(place);
        made = Some(workload);
    }
    Ok(places)
}

/// The pass with its rate in records a second: a share is one of what the slowest combination reached at `max`.
fn resolved(mut pass: Pass, reached: Option<f64>) -> anyhow::Result<Pass> {
    if let LoadMode::Open { rate: rate @ Rate::Share(_), arrival, profile } = pass.load.mode {
        let reached = reached.context("the pass at max, which the rate is a share of, came to nothing")?;
        let rate = Rate::Absolute(rate.records_per_s(reached));
        pass.load.mode = LoadMode::Open { rate, arrival, profile };
    }
    Ok(pass)
}

/// A sweep of very many trials keeps less of each over time.
fn thin(record: &mut TrialRecord, trials: usize) {
    let most = (KEPT_INTERVALS_MAX / trials.max(1)).max(1);
    if record.latency.len() > most {
        thin_histograms(&mut record.latency, most);
        thin_rows(&mut record.series, 2 * most);
    }
}
