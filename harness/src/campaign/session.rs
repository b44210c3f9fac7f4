//! Runs the trials of a study in the order of its agenda. Trials that an earlier session has finished are not repeated.

use super::agenda::{Agenda, Next, Sweep};
use super::order::Order;
use super::pass::TrialRequest;
use super::points::Points;
use crate::device::DeviceError;
use crate::host::environment::cores_allowed;
use crate::judge::stall_figures;
use crate::measure::thin::{thin_histograms, thin_lags, thin_rows};
use crate::num;
use crate::result::provenance::CoresUsed;
use crate::result::staging::{DeviceBestSamples, Sessions, StagedTrial, Staging};
use crate::result::verdict::Reasons;
use crate::result::{TrialRecord, VerdictStatus};
use crate::stderr;
use crate::system;
use crate::trial::bench::{Bench, Extras, check_values};
use crate::trial::ceilings;
use crate::trial::context::RunContext;
use crate::trial::cores::Place;
use crate::workload::{LoadMode, Pass, PassKind, Rate, Study, Workload};
use anyhow::Context as _;
use std::cell::Cell;
use std::time::Duration;

/// Intervals of histograms that all trials of a sweep keep together at most. Each trial keeps at least one.
const KEPT_INTERVALS_MAX: usize = 6000;

/// The trials of a study, and the order in which they are run.
pub(super) struct Session<'a> {
    context: &'a RunContext<'a>,
    order: Order,
    /// Trials that earlier sessions have made.
    made_before: usize,
    /// The cores of each combination.
    places: Vec<Place>,
    /// Whether a note has said that the directory of the sweep cannot be written.
    has_noted: Cell<bool>,
}

impl<'a> Session<'a> {
    /// A session for the study of `context`. `made_before` is the number of attempts of earlier sessions.
    ///
    /// # Errors
    /// A combination names cores that this process may not use, or its values cannot be made.
    pub(super) fn new(context: &'a RunContext<'a>, order: Order, made_before: usize) -> anyhow::Result<Self> {
        Ok(Self { context, order, made_before, places: places(context.study)?, has_noted: Cell::new(false) })
    }

    /// The cores of the combination that uses the most cores.
    pub(crate) fn cores(&self) -> CoresUsed {
        let cores = self.places.iter().map(|place| &place.cores).rev();
        cores.max_by_key(|cores| cores.shards.len() + cores.load.len()).cloned().unwrap_or_default()
    }

    /// Makes the trials that are left. A combination that fails has no more trials.
    pub(crate) fn measure(
        &self,
        points: &mut Points,
        mut staging: Option<&mut Staging>,
    ) -> anyhow::Result<()> {
        if self.trials_left(points) + self.late(points) == 0 {
            return Ok(());
        }
        if !self.measure_device_best("the best that the device can do", &mut points.device_best)? {
            return Ok(());
        }
        let mut agenda = self.agenda();
        while let Some(next) = agenda.next(points) {
            if self.context.is_stopped() {
                return Ok(());
            }
            self.make(next, points, staging.as_deref_mut())?;
        }
        if !self.context.is_stopped() && self.is_whole(points) {
            self.measure_device_best(
                "the best that the device can do, measured again",
                &mut points.device_best,
            )?;
        }
        if let Some(staging) = staging {
            self.store(staging, |staging| self.store_sessions(points, staging));
        }
        Ok(())
    }

    /// The order of the trials.
    fn agenda(&self) -> Sweep {
        Sweep::new(self.order, self.context.study.workload.trials, self.retries())
    }

    /// How often a late trial is made again: never where the data of the last trial is kept.
    fn retries(&self) -> u32 {
        if self.context.options.keep_data { 0 } else { self.context.study.workload.late_retries }
    }

    /// Whether all trials were made, late ones were repeated, and none was interrupted. A combination that failed has no trials
    /// left.
    pub(crate) fn is_whole(&self, points: &Points) -> bool {
        let is_cut = |verdict: &Reasons| verdict.status() == VerdictStatus::Interrupted;
        // After a normal end, a trial that is still late has used all its retries. After a stop it may have retries left.
        let is_late = self.context.is_stopped() && self.late(points) > 0;
        self.trials_left(points) == 0
            && !is_late
            && !points.runs.iter().flat_map(|run| &run.verdicts).any(is_cut)
    }

    /// Number of trials that are left.
    fn trials_left(&self, points: &Points) -> usize {
        points.left(num::index(self.context.study.workload.trials))
    }

    /// Late trials that will be made again.
    pub(crate) fn late(&self, points: &Points) -> usize {
        points.late(self.retries())
    }

    /// Makes one trial of one combination.
    fn make(&self, next: Next, points: &mut Points, staging: Option<&mut Staging>) -> anyhow::Result<()> {
        let Next { combination, pass, reached, replaces } = next;
        let workload = self.workload(combination);
        let load = resolved(workload.passes()[pass], reached)?;
        let options = self.context.options;
        let extras = Extras {
            ack_log: options.ack_log.as_deref(),
            // No stall is injected into a pass that only finds the rate.
            injections: if load.kind == workload.load.mode.kind() { &options.injections } else { &[] },
            requirements: &workload.require,
            backlog: workload.backlog,
        };
        let bench = Bench::new(self.context, workload, &self.places[combination], extras)?;
        let title = self.announce(next, load.kind, points);
        let keeps_data = self.context.options.keep_data && self.trials_left(points) == 1;
        let trials = self.context.study.combinations.len() * points.passes * num::index(workload.trials);
        let max = (pass > 0).then(|| points.reached(combination)).flatten();
        let run = points.run_mut(combination, pass);
        let request = TrialRequest { pass: &load, title: &title, keep: keeps_data, replaces };
        let Some(index) = bench.next_trial(&request, run)? else { return Ok(()) };
        stall_figures::expect(&mut run.trials, max, workload);
        if self.context.study.is_sweep() {
            thin(&mut run.records[index], trials);
        }
        // An interrupted trial is not stored: a resumed sweep makes it again.
        let is_stored = run.verdicts[index].status() != VerdictStatus::Interrupted;
        if let Some(staging) = staging.filter(|_| is_stored) {
            self.store(staging, |staging| self.store_trial(next, index, points, staging));
        }
        Ok(())
    }

    /// Stores a part of the sweep in its directory. A failure does not end the sweep: its trials are in memory too, and become its
    /// result.
    fn store(&self, staging: &mut Staging, part: impl FnOnce(&mut Staging) -> anyhow::Result<()>) {
        if let Err(error) = part(staging)
            && !self.has_noted.replace(true)
        {
            stderr::line(format_args!(
                "vnotch: {error:#}; the sweep goes on, and its result is saved at its end. `--resume` would repeat the trials that \
                 could not be stored"
            ));
        }
    }

    /// Stores the trial that was made last in the directory of the sweep.
    fn store_trial(
        &self,
        Next { combination, pass, replaces, .. }: Next,
        index: usize,
        points: &Points,
        staging: &mut Staging,
    ) -> anyhow::Result<()> {
        let run = points.run(combination, pass);
        let Some(target) = run.target.clone() else { return Ok(()) };
        let (trial, verdict) = (run.trials[index].clone(), run.verdicts[index].clone());
        let staged = StagedTrial { combination, pass, trial, verdict, target, replaces };
        staging.keep(staged, run.records[index].clone())?;
        self.store_sessions(points, staging)
    }

    /// Stores how long the sessions took, and what was measured of the device.
    fn store_sessions(&self, points: &Points, staging: &mut Staging) -> anyhow::Result<()> {
        let elapsed_s = self.context.started.elapsed().as_secs_f64();
        let resumed_at = staging.sessions().resumed_at.clone();
        staging.keep_sessions(Sessions { resumed_at, elapsed_s, device_best: points.device_best.clone() })
    }

    /// Prints which trial begins, and returns its title.
    fn announce(&self, next: Next, kind: PassKind, points: &Points) -> String {
        let Next { combination, pass, replaces, .. } = next;
        let trials = self.context.study.workload.trials;
        let number = replaces.unwrap_or(points.run(combination, pass).trials.len()) + 1;
        let again = if replaces.is_some() { ", again, because the load generator was late" } else { "" };
        let title = format!("{kind}: trial {number} of {trials}{again}");
        if !self.context.study.is_sweep() {
            return title;
        }
        let (left, done) = (self.trials_left(points) + self.late(points), points.attempts());
        let label = self.context.study.combinations[combination].label();
        self.context.progress.begin_trial(done + 1, left + done, &label, self.time_left(left, done));
        format!("{label}, {title}")
    }

    /// The expected time for the trials that are left: at the pace of this session, or by the estimate before its first trial.
    fn time_left(&self, left: usize, done: usize) -> Duration {
        let float = |count: usize| num::f64_of(num::count(count));
        let made = done.saturating_sub(self.made_before);
        let seconds_each = if made == 0 {
            self.context.study.estimate().seconds / float(left + done)
        } else {
            self.context.progress.elapsed().as_secs_f64() / float(made)
        };
        Duration::from_secs_f64(seconds_each * float(left))
    }

    fn workload(&self, combination: usize) -> &Workload {
        &self.context.study.combinations[combination].workload
    }

    /// Measures the device's best, if a combination has a ceiling. Returns false if the run was interrupted.
    fn measure_device_best(&self, title: &str, samples: &mut DeviceBestSamples) -> anyhow::Result<bool> {
        let workloads = || self.context.study.combinations.iter().map(|combination| &combination.workload);
        if !workloads().any(Workload::has_device_best) {
            return Ok(true);
        }
        self.context.progress.step(title);
        match ceilings::sample_device_best(self.context, samples) {
            Ok(()) => Ok(true),
            Err(DeviceError::Interrupted) => Ok(false),
            Err(error) => Err(error).context("cannot measure the ceiling (`ceiling: off` runs without)"),
        }
    }
}

/// Checks that this machine has the cores that a study names, and that its values can be made.
///
/// # Errors
/// A combination names cores that this process may not use, or its values cannot be made.
pub(super) fn check(study: &Study) -> anyhow::Result<()> {
    places(study).map(drop)
}

/// The cores of each combination. All are checked before the first trial.
fn places(study: &Study) -> anyhow::Result<Vec<Place>> {
    let allowed = cores_allowed();
    let mut made: Option<&Workload> = None;
    let mut places = Vec::new();
    for combination in &study.combinations {
        let workload = &combination.workload;
        let named = || format!("with {}", combination.label());
        let place = || {
            // Equal values are made only once for this check.
            if made.is_none_or(|made| {
                made.payload != workload.payload || made.message_size != workload.message_size
            }) {
                check_values(workload)?;
            }
            system::check(workload)?;
            Place::choose(workload, &allowed)
        };
        let place = if study.is_sweep() { place().with_context(named)? } else { place()? };
        places.push(place);
        made = Some(workload);
    }
    Ok(places)
}

/// The pass with its rate in records a second. A rate in percent is a share of `reached`.
fn resolved(mut pass: Pass, reached: Option<f64>) -> anyhow::Result<Pass> {
    if let LoadMode::Open { rate: rate @ Rate::Share(_), arrival, profile } = pass.load.mode {
        let reached = reached
            .context("the rate is a share of what the pass at max reaches, and that pass has no result")?;
        let rate = Rate::per_s(num::u64_of(rate.records_per_s(reached)));
        pass.load.mode = LoadMode::Open { rate, arrival, profile };
    }
    Ok(pass)
}

/// Merges intervals of a record, so that a sweep of many trials stays small.
fn thin(record: &mut TrialRecord, trials: usize) {
    let most = (KEPT_INTERVALS_MAX / trials.max(1)).max(1);
    if record.latency.len() > most {
        thin_histograms(&mut record.latency, most);
        record.group_lags.values_mut().for_each(|lags| thin_lags(lags, &record.series, 2 * most));
        thin_rows(&mut record.series, 2 * most);
    }
}
