//! One pass of a workload: its trials, each between two slices of the ceiling, with the disk cleared in between.

use super::ceilings::{Bracket, Shape};
use super::figures::trial_of;
use super::trial::{Bench, TrialRun};
use super::verdict;
use crate::measure::host::HostProbe;
use crate::measure::memory::warm_memory;
use crate::result::store::TrialRecord;
use crate::result::{Trial, Verdict};
use crate::target::device::DeviceError;
use crate::workload::{self, Durability, Io, Load, PassKind, Phases, TimeSpan, WarmMemory, Workload};
use anyhow::Context as _;
use std::sync::atomic::Ordering;
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
    /// In the order they were made.
    pub trials: Vec<Trial>,
    /// What happened over time in each; its point is not set yet.
    pub records: Vec<TrialRecord>,
    /// Over all trials, SLOs left out.
    pub verdict: Verdict,
    /// What was measured, as it described itself; `None` if no trial was made.
    pub target: Option<crate::target::Description>,
}

impl PassRun {
    /// Whether it ended before its last trial did.
    pub fn is_cut_short(&self) -> bool {
        use crate::result::VerdictStatus::{Errors, Interrupted};
        matches!(self.verdict.status, Errors | Interrupted)
    }
}

/// Whether ceilings are measured: an `appended` ack waits for no disk, so there is nothing to hold it against.
pub fn has_ceiling(workload: &Workload) -> bool {
    workload.ceiling == workload::Ceiling::Auto && workload.durability != Durability::Appended
}

impl Bench<'_> {
    /// Runs all trials of one load; `keep_last` leaves the data of the last one. An error or an interrupt ends the pass
    /// with the trials that were made.
    ///
    /// # Errors
    /// The target cannot be opened, the ceiling not measured, or the data not removed.
    pub fn pass(&self, kind: PassKind, load: Load, keep_last: bool) -> anyhow::Result<PassRun> {
        let mut pass = PassRun::default();
        let mut shape = None;
        if has_ceiling(self.workload) {
            self.progress.step(&format!("{kind}: calibrating the ceiling"));
            let quiet = Bench { ack_log: None, ..*self };
            let calibration = quiet.trial(load, CALIBRATION)?;
            shape = Shape::of(self.workload, &calibration);
            self.clear()?;
        }
        let trials = self.workload.trials;
        for number in 1..=trials {
            if self.is_stopped() {
                break;
            }
            let title = format!("{kind}: trial {number} of {trials}");
            if keep_last && number == trials {
                self.data_dir.keep();
            }
            let Some((run, trial)) = self.bracketed_trial(&title, load, shape)? else { break };
            pass.verdict.absorb(&verdict::of_trial(kind, &run, &trial));
            shape = Shape::of(self.workload, &run).or(shape);
            pass.records.push(TrialRecord {
                trial: pass.trials.len(),
                series: run.watched.series.rows,
                events: run.watched.events,
                latency: run.watched.series.kept,
                ..TrialRecord::default()
            });
            pass.trials.push(trial);
            pass.target = Some(run.target);
            if pass.is_cut_short() {
                break;
            }
        }
        Ok(pass)
    }

    /// Memory warmed, a slice, the trial, a slice, the data removed. `None` if it was interrupted before its window opened.
    fn bracketed_trial(
        &self,
        title: &str,
        load: Load,
        shape: Option<Shape>,
    ) -> anyhow::Result<Option<(TrialRun, Trial)>> {
        self.progress.step(&format!("{title}: warming memory"));
        let warmed = warm_memory(warm_bytes(self.workload), self.stop);
        let mut bracket = Bracket::new(shape);
        self.progress.step(&format!("{title}: ceiling before"));
        if self.measure(&mut bracket)?.is_none() {
            return Ok(None);
        }
        self.progress.step(title);
        let run = self.trial(load, self.workload.phases)?;
        if run.timeline.window_ns() == 0 && run.error.is_none() {
            return Ok(None);
        }
        if run.error.is_none() && !run.watched.interrupted {
            self.progress.step(&format!("{title}: ceiling after"));
            self.measure(&mut bracket)?;
        }
        if !self.data_dir.is_kept() {
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

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Removes a trial's data, and waits until the device has digested that.
    fn clear(&self) -> anyhow::Result<()> {
        if let Some(path) = self.ack_log {
            // First: a log must never speak of data that is gone.
            std::fs::write(path, "")
                .with_context(|| format!("cannot empty the ack log {}", path.display()))?;
        }
        self.data_dir.clear()?;
        self.data_dir.sync()?;
        self.wait_until_idle();
        Ok(())
    }

    fn wait_until_idle(&self) {
        let mut probe = HostProbe::new(self.data_dir.path());
        let mut before = probe.sample();
        let deadline = Instant::now() + IDLE_WAIT_MAX;
        let mut quiet = 0;
        while quiet < IDLE_LOOKS && Instant::now() < deadline && !self.is_stopped() {
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
        WarmMemory::Auto if workload.engine.io == Io::Buffered => {
            estimate.memory_bytes.saturating_add(estimate.disk_peak_bytes)
        }
        WarmMemory::Auto => estimate.memory_bytes,
    }
}
