//! Measures the pairs of a comparison in the order of its agenda, and stores each pair as it closes.

use super::agenda::{NextTrial, Pairwise};
use super::child::{self, Ended, Request};
use super::outcome;
use super::pairs::{Fault, Pairs, TrialEnd};
use super::plan::Plan;
use crate::campaign::agenda::Agenda as _;
use crate::exit::UsageError;
use crate::num;
use crate::quantity;
use crate::result::staging::series::Series;
use crate::stats;
use crate::stderr;
use crate::system::Lender;
use crate::trial::data_dir::DataDir;
use crate::trial::progress::Progress;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Everything that a series needs while it is measured.
pub(crate) struct Session<'a> {
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// The directory below which each trial has its data.
    pub(crate) data_dir: &'a DataDir,
    /// Set when the user interrupts.
    pub(crate) stop: &'a AtomicBool,
    /// Where progress is printed.
    pub(crate) progress: &'a Progress,
    /// Pairs that earlier sessions measured.
    pub(crate) pairs_before: usize,
}

impl Session<'_> {
    /// Measures the pairs that are left. Returns whether the series is complete; it is not if the user interrupts.
    ///
    /// # Errors
    /// A [`UsageError`] if the first trial does not have the metric. Another error if a trial cannot be started. A trial that fails
    /// is no error: its pair counts as failed. Nor is a pair that cannot be stored: the series has it in memory, and says so.
    pub(crate) fn measure(&self, pairs: &mut Pairs, series: &mut Series) -> anyhow::Result<bool> {
        let wanted = |made: &Pairs| self.plan.length.wanted(made);
        let mut agenda = Pairwise::new(self.plan.seed, &wanted);
        let (mut planned, mut begun) = (agenda.pairs(pairs), Instant::now());
        // Brokers serve all pairs. They end with the series.
        let (mut lender, mut has_noted) = (Lender::default(), false);
        while let Some(next) = agenda.next(pairs) {
            if self.is_stopped() {
                return Ok(false);
            }
            self.announce(next, planned, pairs);
            let Some(end) = self.trial(next, pairs, series, &mut lender)? else { return Ok(false) };
            self.note(next, &end);
            if pairs.enter(next.side, end)
                && let Some(pair) = pairs.closed.last_mut()
            {
                pair.seconds = begun.elapsed().as_secs_f64();
                begun = Instant::now();
                if let Err(error) = series.keep(pair)
                    && !std::mem::replace(&mut has_noted, true)
                {
                    stderr::line(format_args!(
                        "vnotch: {error:#}; the series goes on. `--resume` would repeat the pairs that could not be stored"
                    ));
                }
            }
            let now = agenda.pairs(pairs);
            if now > planned {
                let seconds = self.seconds_left(next, now, pairs);
                let text = format!(
                    "{now} pairs are needed for this precision, about {} more",
                    quantity::duration(seconds)
                );
                self.progress.step(&text);
                planned = now;
            }
        }
        series.remove_scratch()?;
        Ok(true)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Makes one trial. `None` if the user interrupts it.
    fn trial(
        &self,
        next: NextTrial,
        pairs: &Pairs,
        series: &Series,
        lender: &mut Lender,
    ) -> anyhow::Result<Option<TrialEnd>> {
        let side = self.plan.side(next.side);
        let dir = series.scratch()?;
        // Both sides use the same path, so that nothing depends on its length or its directory.
        let data_dir = self.data_dir.path().join("trial");
        let arguments = side.run_arguments(series.dir(), &dir.join("results"), &data_dir)?;
        let resolved = self.plan.resolved(next.side);
        let environment = lender.environment(resolved, self.data_dir.path())?;
        let request = Request {
            binary: &side.binary,
            arguments: &arguments,
            environment: &environment,
            dir: &dir,
            limit: self.plan.limit(next.side),
            stop: self.stop,
            tick: &|| self.progress.tick(),
        };
        let output = child::run(&request);
        // A trial that was killed leaves its data.
        self.data_dir.clear()?;
        let output = output?;
        if output.ended == Ended::Interrupted {
            return Ok(None);
        }
        let measured = match outcome::read(&output) {
            Ok(measured) => measured,
            Err(end @ TrialEnd::Failed(_)) => return Ok(Some(end)),
            Err(end) => {
                lender.served(resolved);
                return Ok(Some(end));
            }
        };
        lender.served(resolved);
        match measured.end(&self.plan.metric) {
            Ok(end) => Ok(Some(end)),
            // If earlier trials have the figure, this one lacks it for a reason of its own.
            Err(none) if pairs.closed.is_empty() && pairs.open.first.is_none() => {
                Err(UsageError::error(format!("--metric {}: {none}", self.plan.metric)))
            }
            Err(none) => Ok(Some(TrialEnd::Failed(Fault::Errors(format!("it has no {}", none.metric))))),
        }
    }

    /// Prints which trial begins, the ratio of the pairs before, and the time that is left.
    fn announce(&self, next: NextTrial, planned: usize, pairs: &Pairs) {
        let NextTrial { pair, repeats, side } = next;
        let mut text = format!("pair {} of {planned}, {}", pair + 1, side.letter());
        if repeats > 0 {
            let _ = write!(text, " (measured again, attempt {})", repeats + 1);
        }
        if let Some(ratio) = median_ratio(&pairs.values()) {
            let _ = write!(text, "; B/A {ratio:.3} in the median");
        }
        let seconds = self.seconds_left(next, planned, pairs);
        let _ = write!(text, "; about {} to go", quantity::duration(seconds));
        self.progress.begin_in_pair(&text, Duration::try_from_secs_f64(seconds).unwrap_or_default());
    }

    /// Prints why a trial does not count.
    fn note(&self, next: NextTrial, end: &TrialEnd) {
        let (pair, letter) = (next.pair + 1, next.side.letter());
        match end {
            TrialEnd::Usable(_) => {}
            TrialEnd::Unusable(reason) => {
                self.progress.step(&format!(
                    "pair {pair}: {letter} does not count, so the pair is measured again: {reason}"
                ));
            }
            TrialEnd::Failed(fault) => {
                self.progress.step(&format!("pair {pair}: {letter} failed: {}", fault.reason()))
            }
        }
    }

    /// The expected time to the end of the series, s: at the pace of this session, or by the estimate before its first pair.
    fn seconds_left(&self, next: NextTrial, planned: usize, pairs: &Pairs) -> f64 {
        let float = |count: usize| num::f64_of(num::count(count));
        let made = pairs.closed.len().saturating_sub(self.pairs_before);
        let each = if made == 0 {
            self.plan.pair_seconds()
        } else {
            self.progress.elapsed().as_secs_f64() / float(made)
        };
        let begun = if pairs.open.first.is_some() { 0.5 } else { 0.0 };
        (float(planned.saturating_sub(next.pair)) - begun).max(0.0) * each
    }
}

/// The median of the ratios B / A; `None` before the first pair.
fn median_ratio(values: &[(f64, f64)]) -> Option<f64> {
    let ratios: Vec<f64> = values.iter().map(|(a, b)| b / a).collect();
    stats::median(&ratios)
}
