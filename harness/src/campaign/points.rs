//! The finished trials of a study, for every combination and pass, and the device's best.

use super::pass::{FinishedTrial, PassRun};
use crate::result::staging::{DeviceBestSamples, StagedTrial, Staging};
use crate::stats;
use crate::workload::Study;
use anyhow::{Context as _, bail};

/// The finished trials of every combination and pass.
#[derive(Debug, Default)]
pub(crate) struct Points {
    pub(crate) passes: usize,
    /// The runs of combination 0 by pass, then those of combination 1, and so on.
    pub(crate) runs: Vec<PassRun>,
    /// The group of each combination, from [`Study::rate_groups`].
    rate_groups: Vec<usize>,
    /// The measurements of the device's best.
    pub(crate) device_best: DeviceBestSamples,
}

impl Points {
    pub(crate) fn new(study: &Study) -> Self {
        let passes = study.passes();
        let runs = (0..passes * study.combinations.len()).map(|_| PassRun::default()).collect();
        let rate_groups = study.rate_groups();
        Self { passes, runs, rate_groups, device_best: DeviceBestSamples::default() }
    }

    /// Takes over the trials of earlier sessions.
    pub(crate) fn take_over(&mut self, staging: &mut Staging) -> anyhow::Result<()> {
        self.device_best = staging.sessions().device_best.clone();
        for (staged, record) in staging.take_trials() {
            let StagedTrial { combination, pass, trial, verdict, target, replaces } = staged;
            let run = self.runs.get_mut(combination * self.passes + pass).filter(|_| pass < self.passes);
            let run = run.context("a trial of a combination that the sweep does not have")?;
            if replaces.is_some_and(|late| late >= run.trials.len()) {
                bail!("a trial that takes the place of one that there is not");
            }
            run.enter(FinishedTrial { trial, record, verdict, target }, replaces);
        }
        Ok(())
    }

    pub(crate) fn run(&self, combination: usize, pass: usize) -> &PassRun {
        &self.runs[combination * self.passes + pass]
    }

    /// The median throughput of a combination in its first pass, records/s.
    pub(crate) fn reached(&self, combination: usize) -> Option<f64> {
        let trials = &self.run(combination, 0).trials;
        let rates: Vec<f64> = trials.iter().map(|trial| trial.produce.records_per_s).collect();
        stats::median(&rates)
    }

    /// The median throughput in the first pass of the slowest combination in the group of `combination`, records/s. A failure in a
    /// later pass does not change it, so the common rate of the others stays.
    pub(crate) fn slowest(&self, combination: usize) -> Option<f64> {
        let group = self.rate_groups[combination];
        let is_there = |it: &usize| self.rate_groups[*it] == group && !self.run(*it, 0).is_cut_short();
        let combinations = (0..self.rate_groups.len()).filter(is_there);
        combinations.filter_map(|it| self.reached(it)).min_by(f64::total_cmp)
    }

    pub(crate) fn run_mut(&mut self, combination: usize, pass: usize) -> &mut PassRun {
        &mut self.runs[combination * self.passes + pass]
    }

    /// Whether a combination is given up: one of its trials failed or was cut short.
    pub(crate) fn is_given_up(&self, combination: usize) -> bool {
        (0..self.passes).any(|pass| self.run(combination, pass).is_cut_short())
    }

    /// Combinations that are not given up.
    fn combinations(&self) -> impl Iterator<Item = usize> {
        (0..self.runs.len() / self.passes).filter(|combination| !self.is_given_up(*combination))
    }

    /// The runs of all combinations that are not given up.
    fn live(&self) -> impl Iterator<Item = &PassRun> {
        self.combinations().flat_map(move |it| (0..self.passes).map(move |pass| self.run(it, pass)))
    }

    /// Trials that are still to be made, of `trials` a run.
    pub(crate) fn left(&self, trials: usize) -> usize {
        self.live().map(|run| trials.saturating_sub(run.trials.len())).sum()
    }

    /// Trials that are late and have been made again less than `retries` times.
    pub(crate) fn late(&self, retries: u32) -> usize {
        self.live().map(|run| run.late(retries).len()).sum()
    }

    /// The runs, each with the numbers of its combination and pass.
    pub(crate) fn into_runs(self) -> impl Iterator<Item = (usize, usize, PassRun)> {
        let passes = self.passes;
        self.runs.into_iter().enumerate().map(move |(index, run)| (index / passes, index % passes, run))
    }

    pub(crate) fn trials(&self) -> usize {
        self.runs.iter().map(|run| run.trials.len()).sum()
    }

    /// Number of attempts over all trials.
    pub(crate) fn attempts(&self) -> usize {
        self.runs.iter().map(PassRun::attempts).sum()
    }
}
