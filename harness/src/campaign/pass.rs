//! The trials of a workload under one load, each between two slices of the ceiling, with the disk cleared in between.

use crate::device::DeviceError;
use crate::host::memory::warm_memory;
use crate::host::usage::HostProbe;
use crate::judge::figures::trial_of;
use crate::judge::verdict;
use crate::measure::finished::TrialRun;
use crate::num;
use crate::result::TrialRecord;
use crate::result::provenance::SystemIdentity;
use crate::result::verdict::Reasons;
use crate::result::{LateAttempt, Trial, VerdictStatus};
use crate::trial::Shape;
use crate::trial::bench::Bench;
use crate::trial::ceilings::Bracket;
use crate::workload::{Load, Pass, Phases, TimeSpan, WarmMemory, Workload};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The phases of the calibration: a short trial that shows the writes of the workload, for the first slice of the ceiling.
const CALIBRATION: Phases = Phases {
    warmup: TimeSpan(Duration::from_millis(500)),
    measure: TimeSpan(Duration::from_millis(1500)),
    drain: TimeSpan(Duration::from_secs(2)),
};
/// Longest wait for an idle device between two trials. The device is idle after [`IDLE_LOOKS`] looks in a row with at most
/// [`IDLE_BYTES_MAX`] bytes each.
const IDLE_WAIT_MAX: Duration = Duration::from_secs(10);
const IDLE_LOOK: Duration = Duration::from_millis(100);
const IDLE_BYTES_MAX: u64 = 1 << 20;
const IDLE_LOOKS: u32 = 3;

/// The trials of one combination under one pass.
#[derive(Debug, Default)]
pub struct PassRun {
    /// The figures of each trial, by its number. A repeated trial keeps the number of the late one.
    pub trials: Vec<Trial>,
    /// The record over time of each trial. Its point is set later.
    pub records: Vec<TrialRecord>,
    /// The reasons for the verdict on each trial, without SLOs.
    pub verdicts: Vec<Reasons>,
    /// The system that was measured; `None` before the first trial.
    pub target: Option<SystemIdentity>,
    /// The expected writes of the next trial: those of the last one, or of the calibration before the first. `None` if they
    /// are unknown.
    expected: Option<Shape>,
    /// Whether a calibration was made in this process.
    is_calibrated: bool,
}

impl PassRun {
    /// Adds a trial, or replaces trial `replaces` with it. Returns its index.
    pub fn enter(&mut self, finished: FinishedTrial, replaces: Option<usize>) -> usize {
        let FinishedTrial { trial, mut record, verdict, target } = finished;
        let index = replaces.unwrap_or(self.trials.len());
        record.trial = index;
        if index < self.trials.len() {
            (self.trials[index], self.records[index], self.verdicts[index]) = (trial, record, verdict);
        } else {
            self.trials.push(trial);
            self.records.push(record);
            self.verdicts.push(verdict);
        }
        self.target = Some(target);
        index
    }

    /// The reasons of all trials, with a remark on late ones.
    ///
    /// Invalid trials do not make a point invalid if at least two thirds of the trials are not.
    pub fn reasons(&self) -> Reasons {
        let is_invalid = |verdict: &Reasons| verdict.status() == VerdictStatus::Invalid;
        let invalid = self.verdicts.iter().filter(|verdict| is_invalid(verdict)).count();
        let are_few = 3 * invalid <= self.verdicts.len();
        let counted = self.verdicts.iter().map(|verdict| {
            if are_few && is_invalid(verdict) { verdict.without_invalid() } else { verdict.clone() }
        });
        let mut whole = Reasons::of_trials(&counted.collect::<Vec<_>>());
        verdict::remark_late(&self.trials, &mut whole);
        whole
    }

    /// Whether an error ended a trial early, or it was interrupted, or missed a requirement. No trial follows then. Records that
    /// failed do not end a trial (`on_error: count`).
    pub fn is_cut_short(&self) -> bool {
        use VerdictStatus::{Interrupted, RequirementMissed};
        let cut = |verdict: &Reasons| matches!(verdict.status(), Interrupted | RequirementMissed);
        self.verdicts.iter().any(cut) || self.trials.iter().any(|trial| trial.failure.is_some())
    }

    /// Numbers of the trials whose generator was late, and which were repeated less than `retries` times.
    pub fn late(&self, retries: u32) -> Vec<usize> {
        (0..self.trials.len()).filter(|trial| self.is_late(*trial, retries)).collect()
    }

    /// Whether the generator was late in trial number `trial`, and it was repeated less than `retries` times.
    pub fn is_late(&self, trial: usize, retries: u32) -> bool {
        self.trials
            .get(trial)
            .is_some_and(|trial| trial.is_late && num::count(trial.late_attempts.len()) < u64::from(retries))
    }

    /// Number of attempts over all trials.
    pub fn attempts(&self) -> usize {
        self.trials.iter().map(|trial| 1 + trial.late_attempts.len()).sum()
    }
}

/// A trial that has ended, with its figures and its verdict.
#[derive(Debug)]
pub struct FinishedTrial {
    /// The figures of the trial.
    pub trial: Trial,
    /// The record over time.
    pub record: TrialRecord,
    /// The reasons for the verdict, without SLOs.
    pub verdict: Reasons,
    /// The system that was measured.
    pub target: SystemIdentity,
}

/// A request for one trial.
#[derive(Debug, Clone, Copy)]
pub struct TrialRequest<'a> {
    /// The load, with a rate in records a second.
    pub pass: &'a Pass,
    /// The title for the progress.
    pub title: &'a str,
    /// Whether the data is kept.
    pub keep: bool,
    /// The trial that it replaces.
    pub replaces: Option<usize>,
}

/// Returns the lag of each consumer group at the end of each row of a trial, by the group's id.
fn group_lags(run: &TrialRun) -> BTreeMap<String, Vec<Option<u64>>> {
    let of = |number: usize| run.observed.series.group_lags.iter().map(move |lags| lags.get(number).copied());
    let groups = run.harvest.groups.iter().enumerate();
    groups.map(|(number, group)| (group.id.clone(), of(number).collect())).collect()
}

impl Bench<'_> {
    /// Runs a trial of a pass, after a calibration if it is the first trial of this process. Returns its index, or `None` if it
    /// was interrupted before its window opened. A repeated trial without a whole window does not replace the late one.
    ///
    /// # Errors
    /// The system cannot be opened, the ceiling cannot be measured, or the data cannot be removed.
    pub fn next_trial(&self, request: &TrialRequest<'_>, run: &mut PassRun) -> anyhow::Result<Option<usize>> {
        let TrialRequest { pass, title, keep, replaces } = *request;
        self.warm_up(pass.load, title)?;
        if self.workload.has_ceiling() && !run.is_calibrated {
            run.expected = self.calibrate(pass.load, title)?;
            run.is_calibrated = true;
        }
        if self.context.is_stopped() {
            return Ok(None);
        }
        if keep {
            self.context.data_dir.keep();
        }
        let bracketed = self.bracketed_trial(title, pass.load, run.expected.as_ref())?;
        let Some(Bracketed { run: done, mut trial, shape }) = bracketed else { return Ok(None) };
        let verdict = verdict::of_trial(pass, &done, &trial);
        trial.is_late = verdict::is_late(&verdict, &trial);
        if let Some(late) = replaces.map(|index| &run.trials[index]) {
            if matches!(verdict.status(), VerdictStatus::Interrupted | VerdictStatus::RequirementMissed) {
                return Ok(None);
            }
            trial.late_attempts.clone_from(&late.late_attempts);
            trial.late_attempts.push(LateAttempt::of(late));
        }
        run.expected = shape.or(run.expected.take());
        let record = TrialRecord {
            group_lags: group_lags(&done),
            series: done.observed.series.rows,
            events: done.observed.events,
            latency: done.observed.series.kept,
            histograms: done.harvest.latencies.to_kept(),
            ..TrialRecord::default()
        };
        let finished = FinishedTrial { trial, record, verdict, target: done.target };
        Ok(Some(run.enter(finished, replaces)))
    }

    /// Finds the shape of the writes for the first trial, under the same requirements.
    fn calibrate(&self, load: Load, title: &str) -> anyhow::Result<Option<Shape>> {
        self.context.progress.step(&format!("{title}: calibrating the ceiling"));
        let was_measured = self.context.measured.load(Ordering::SeqCst);
        let phases = match self.extras.requirements {
            [] => CALIBRATION,
            // A requirement is waited for as long as in a trial.
            _ => Phases { warmup: self.workload.phases.warmup, ..CALIBRATION },
        };
        let calibration = self.for_calibration().trial(load, phases)?;
        self.clear()?;
        // A calibration is no result to keep.
        self.context.measured.store(was_measured, Ordering::SeqCst);
        Ok(Shape::of(self.workload, &calibration))
    }

    /// Warms memory, measures a slice, runs the trial, measures a slice, and removes the data. `None` if the trial was interrupted
    /// before its window opened.
    fn bracketed_trial(
        &self,
        title: &str,
        load: Load,
        expected: Option<&Shape>,
    ) -> anyhow::Result<Option<Bracketed>> {
        self.context.progress.step(&format!("{title}: warming memory"));
        let warmed = warm_memory(warm_bytes(self.workload), self.context.stop);
        let mut bracket = Bracket::default();
        if expected.is_some() {
            self.context.progress.step(&format!("{title}: ceiling before"));
        }
        if measured(bracket.measure_before(self, expected))?.is_none() {
            return Ok(None);
        }
        self.context.progress.step(title);
        let mut run = self.trial(load, self.workload.phases)?;
        let is_missed = run.observed.missed.is_some();
        if run.timeline.window_ns() == 0 && run.error.is_none() && !is_missed {
            return Ok(None);
        }
        let shape = if self.workload.has_ceiling() { Shape::of(self.workload, &run) } else { None };
        if shape.is_some() && run.error.is_none() && !run.observed.interrupted && !is_missed {
            self.context.progress.step(&format!("{title}: ceiling after"));
            measured(bracket.measure_after(self, shape.as_ref()))?;
        }
        if run.error.is_none() && !run.observed.interrupted && self.workload.is_read_back() {
            self.context.progress.step(&format!("{title}: reading the log back"));
            if let Err(error) = self.read_back(&mut run) {
                run.error = Some(format!("{:#}", error.context("the log cannot be read back")));
            }
        }
        if !self.context.data_dir.is_kept() {
            self.clear()?;
        }
        let mut trial = trial_of(self.workload, &run, bracket.figures());
        trial.resources.warmed_bytes = Some(warmed.bytes);
        Ok(Some(Bracketed { run, trial, shape }))
    }

    /// Removes the data of a trial, and waits until the device is idle again.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        if let Some(path) = self.extras.ack_log {
            // The ack log is emptied first: it must never list data that was removed.
            std::fs::write(path, "")
                .with_context(|| format!("cannot empty the ack log {}", path.display()))?;
        }
        self.context.data_dir.clear()?;
        if !self.context.is_stopped() {
            self.context.data_dir.sync()?;
            self.wait_until_idle();
        }
        Ok(())
    }

    fn wait_until_idle(&self) {
        let mut probe = HostProbe::new(self.context.data_dir.path());
        let mut before = probe.sample();
        let deadline = Instant::now() + IDLE_WAIT_MAX;
        let mut quiet = 0;
        while quiet < IDLE_LOOKS && Instant::now() < deadline && !self.context.is_stopped() {
            std::thread::sleep(IDLE_LOOK);
            let sample = probe.sample();
            let disk = sample.since(&before).disk;
            before = sample;
            let bytes = disk.map_or(0, |disk| disk.read + disk.written);
            quiet = if bytes <= IDLE_BYTES_MAX { quiet + 1 } else { 0 };
        }
    }
}

/// A trial between its two sides of the ceiling.
struct Bracketed {
    run: TrialRun,
    trial: Trial,
    /// The shape of its writes; `None` if it is not known, or without a ceiling.
    shape: Option<Shape>,
}

/// The outcome of a side of the bracket; `None` if the run was interrupted.
fn measured(outcome: Result<(), DeviceError>) -> anyhow::Result<Option<()>> {
    match outcome {
        Ok(()) => Ok(Some(())),
        Err(DeviceError::Interrupted) => Ok(None),
        Err(error) => Err(error).context("cannot measure the ceiling (`ceiling: off` runs without)"),
    }
}

/// Bytes of memory that are warmed: the memory of the process, and for buffered writes also the page cache for the data.
fn warm_bytes(workload: &Workload) -> u64 {
    let estimate = workload.estimate();
    match workload.warm_memory {
        WarmMemory::Off => 0,
        WarmMemory::Size(bytes) => bytes.0,
        WarmMemory::Auto if workload.deployment().is_page_cached() => {
            estimate.memory_bytes.saturating_add(estimate.disk_peak_bytes)
        }
        WarmMemory::Auto => estimate.memory_bytes,
    }
}
