//! Load that is put on a system before its first trial, so that no trial measures a start: a JVM runs uncompiled code at first.

use crate::trial::bench::Bench;
use crate::workload::{Load, Phases, TimeSpan};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Shortest window of the load, so that starts and ends of trials take little of the time.
const WINDOW_MIN: Duration = Duration::from_secs(10);

impl Bench<'_> {
    /// Puts the load of the first trial on a system that asks for it. The load comes in trials, and their figures are
    /// dropped.
    ///
    /// # Errors
    /// The system cannot be opened, or an error ends the load.
    pub(super) fn warm_up(&self, load: Load, title: &str) -> anyhow::Result<()> {
        let Some(wanted) = (self.context.unwarmed)(self.workload) else { return Ok(()) };
        let seconds = wanted.as_secs();
        self.context
            .progress
            .step(&format!("{title}: {seconds} s of load before the first trial, to warm the system"));
        let was_measured = self.context.measured.load(Ordering::SeqCst);
        let each = self.workload.phases;
        let window = each.measure.0.max(WINDOW_MIN).min(wanted);
        let mut loaded = Duration::ZERO;
        while loaded < wanted && !self.context.is_stopped() {
            let phases = Phases { warmup: TimeSpan::default(), measure: TimeSpan(window), ..each };
            let run = self.for_calibration().trial(load, phases)?;
            self.clear()?;
            if let Some(error) = run.error {
                anyhow::bail!("the load before the first trial failed: {error}");
            }
            loaded += window;
        }
        self.context.measured.store(was_measured, Ordering::SeqCst);
        Ok(())
    }
}
