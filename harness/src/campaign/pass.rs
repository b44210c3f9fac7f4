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
use crate::result::{LateAttempt, Trial, Verdict, VerdictStatus};
use crate::trial::bench::Bench;
use crate::trial::ceilings::{Bracket, Shape};
use crate::workload::{self, Durability, Load, Pass, Phases, TimeSpan, WarmMemory, Workload};
use anyhow::Context as _;
use std::time::{Duration, Instant};

/// The calibration that tells the first ceiling what "like for like" is.
const CALIBRATION: Phases = Phases {
    warmup: TimeSpan(Duration::from_millis(500)),
    measure: TimeSpan(Duration::from_millis(1500)),
    drain: TimeSpan(Duration::from_secs(2)),
};
/// How long the device gets to become idle between trials, and how little it must do for how long to be so.
const IDLE_WAIT_MAX: Duration = Duration::from_secs(10);
const IDLE_LOOK: Duration = Duration::from_millis(100);
const IDLE_BYTES_MAX: u64 = 1 << 20;
const IDLE_LOOKS: u32 = 3;

/// What came of a pass.
#[derive(Debug, Default)]
pub struct PassRun {
    /// In the order they were made, or would have been if none was late.
    pub trials: Vec<Trial>,
    /// What happened over time in each; its point is not set yet.
    pub records: Vec<TrialRecord>,
    /// On each, SLOs left out.
    pub verdicts: Vec<Verdict>,
    /// What was measured, as it described itself; `None` if no trial was made.
    pub target: Option<SystemIdentity>,
    /// What the next trial is expected to do; `None` before a calibration has told.
    calibrated: Option<Option<Shape>>,
}

impl PassRun {
    /// Takes in the next trial, or the one that takes the place of another, with the verdict on it and what it measured.
    /// Returns its index.
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

    /// The verdict over all trials, and what is to be said of those that were measured again.
    pub fn verdict(&self) -> Verdict {
        let mut whole = Verdict::default();
        for verdict in &self.verdicts {
            whole.absorb(verdict);
        }
        verdict::remark_retries(&self.trials, &mut whole);
        whole
    }

    /// Whether it ended before its last trial did.
    pub fn is_cut_short(&self) -> bool {
        use VerdictStatus::{Errors, Interrupted, RequirementMissed};
        let cut = |verdict: &Verdict| matches!(verdict.status, Errors | Interrupted | RequirementMissed);
        self.verdicts.iter().any(cut)
    }

    /// The trials whose generator was late, and was so fewer than `retries` times before.
    pub fn late(&self, retries: u32) -> Vec<usize> {
        let is_wanted = |(trial, verdict): (&Trial, &Verdict)| {
            num::count(trial.late_attempts.len()) < u64::from(retries) && verdict::is_late(verdict, trial)
        };
        let judged = self.trials.iter().zip(&self.verdicts).enumerate();
        judged.filter(|(_, judged)| is_wanted(*judged)).map(|(index, _)| index).collect()
    }

    /// Every attempt at one of its trials.
    pub fn attempts(&self) -> usize {
        self.trials.iter().map(|trial| 1 + trial.late_attempts.len()).sum()
    }
}

/// A trial that has ended, with its figures and its verdict.
#[derive(Debug)]
pub struct FinishedTrial {
    /// Its figures.
    pub trial: Trial,
    /// Its record over time.
    pub record: TrialRecord,
    /// Its verdict.
    pub verdict: Verdict,
    /// The system that was measured.
    pub target: SystemIdentity,
}

/// One trial that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct TrialRequest<'a> {
    /// Its load, the rate in records a second.
    pub pass: &'a Pass,
    /// What it is called while it is under way.
    pub title: &'a str,
    /// Whether its data stays.
    pub keep: bool,
    /// The trial whose place it takes.
    pub replaces: Option<usize>,
}

/// Whether ceilings are measured: an `appended` ack waits for no disk, so there is nothing to hold it against.
pub fn has_ceiling(workload: &Workload) -> bool {
    workload.ceiling == workload::Ceiling::Auto && workload.durability != Durability::Appended
}

impl Bench<'_> {
    /// Runs a trial of a pass, after a calibration if it is the first of this process. Returns its index; `None` if it was
    /// interrupted before its window opened. One that was to take the place of another and has no whole window does not: the
    /// other stands.
    ///
    /// # Errors
    /// The target cannot be opened, the ceiling not measured, or the data not removed.
    pub fn next_trial(&self, request: &TrialRequest<'_>, run: &mut PassRun) -> anyhow::Result<Option<usize>> {
        let TrialRequest { pass, title, keep, replaces } = *request;
        let expected = match run.calibrated {
            Some(shape) => shape,
            None => self.calibrate(pass.load, title)?,
        };
        if self.context.is_stopped() {
            return Ok(None);
        }
        if keep {
            self.context.data_dir.keep();
        }
        let Some((done, mut trial)) = self.bracketed_trial(title, pass.load, expected)? else {
            return Ok(None);
        };
        let verdict = verdict::of_trial(pass.kind, &done, &trial);
        if let Some(late) = replaces.map(|index| &run.trials[index]) {
            if matches!(verdict.status, VerdictStatus::Interrupted | VerdictStatus::RequirementMissed) {
                return Ok(None);
            }
            trial.late_attempts.clone_from(&late.late_attempts);
            trial.late_attempts.push(LateAttempt::of(late));
        }
        run.calibrated = Some(Shape::of(self.workload, &done).or(expected));
        let record = TrialRecord {
            series: done.watched.series.rows,
            events: done.watched.events,
            latency: done.watched.series.kept,
            ..TrialRecord::default()
        };
        let finished = FinishedTrial { trial, record, verdict, target: done.target };
        Ok(Some(run.enter(finished, replaces)))
    }

    /// What "like for like" is for the first trial.
    fn calibrate(&self, load: Load, title: &str) -> anyhow::Result<Option<Shape>> {
        if !has_ceiling(self.workload) {
            return Ok(None);
        }
        self.context.progress.step(&format!("{title}: calibrating the ceiling"));
        let calibration = self.for_calibration().trial(load, CALIBRATION)?;
        self.clear()?;
        Ok(Shape::of(self.workload, &calibration))
    }

    /// Memory warmed, a slice, the trial, a slice, the data removed. `None` if it was interrupted before its window opened.
    fn bracketed_trial(
        &self,
        title: &str,
        load: Load,
        shape: Option<Shape>,
    ) -> anyhow::Result<Option<(TrialRun, Trial)>> {
        self.context.progress.step(&format!("{title}: warming memory"));
        let warmed = warm_memory(warm_bytes(self.workload), self.context.stop);
        let mut bracket = Bracket::new(shape);
        self.context.progress.step(&format!("{title}: ceiling before"));
        if self.measure(&mut bracket)?.is_none() {
            return Ok(None);
        }
        self.context.progress.step(title);
        let run = self.trial(load, self.workload.phases)?;
        let is_missed = run.watched.missed.is_some();
        if run.timeline.window_ns() == 0 && run.error.is_none() && !is_missed {
            return Ok(None);
        }
        if run.error.is_none() && !run.watched.interrupted && !is_missed {
            self.context.progress.step(&format!("{title}: ceiling after"));
            self.measure(&mut bracket)?;
        }
        if !self.context.data_dir.is_kept() {
            self.clear()?;
        }
        let mut trial = trial_of(self.workload, &run, bracket.figures());
        trial.resources.warmed_bytes = Some(warmed.bytes);
        Ok(Some((run, trial)))
    }

    /// One side of a bracket; `None` if it was interrupted.
    fn measure(&self, bracket: &mut Bracket) -> anyhow::Result<Option<()>> {
        match bracket.measure(self) {
            Ok(()) => Ok(Some(())),
            Err(DeviceError::Interrupted) => Ok(None),
            Err(error) => Err(error).context("cannot measure the ceiling (`ceiling: off` runs without)"),
        }
    }

    /// Removes a trial's data, and waits until the device has digested that.
    fn clear(&self) -> anyhow::Result<()> {
        if let Some(path) = self.extras.ack_log {
            // First: a log must never speak of data that is gone.
            std::fs::write(path, "")
                .with_context(|| format!("cannot empty the ack log {}", path.display()))?;
        }
        self.context.data_dir.clear()?;
        self.context.data_dir.sync()?;
        self.wait_until_idle();
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

/// As much as the run will use: the process's own memory and, through the page cache, what it writes.
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
