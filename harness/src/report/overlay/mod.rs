//! Several runs side by side: what sets them apart, and how far they can be compared.

pub(super) mod differences;
pub(super) mod page;

use crate::exit::UsageError;
use crate::report::facts;
use crate::result::{Kind, Point, Recording, RunResult};
use crate::workload::PassKind;
use differences::Difference;

/// With more runs than this nobody could tell their lines apart.
pub(super) const RUNS_MAX: usize = 12;
/// Rates further apart than this share are different loads.
const SAME_RATE: f64 = 0.01;

/// Runs on the same axes.
pub(super) struct Overlay<'a> {
    pub(super) runs: Vec<Run<'a>>,
    /// Of settings, machine and build: those that are not the same in all runs.
    pub(super) differences: Vec<Difference>,
}

/// One of them.
pub(super) struct Run<'a> {
    /// `A`, `B`, …
    pub(super) letter: char,
    pub(super) recording: &'a Recording,
}

impl<'a> Overlay<'a> {
    /// # Errors
    /// There are fewer than two or too many, or one is no run.
    pub(super) fn of(recordings: &'a [Recording]) -> anyhow::Result<Self> {
        if recordings.len() < 2 || recordings.len() > RUNS_MAX {
            return Err(UsageError::error(format!(
                "the same axes take 2 to {RUNS_MAX} runs, not {}",
                recordings.len()
            )));
        }
        if let Some(other) = recordings.iter().find(|it| it.result.kind != Kind::Run) {
            let kind = facts::name_of(&other.result.kind);
            return Err(UsageError::error(format!(
                "{} is a {kind}, and only runs are drawn on the same axes: its combinations stand side by side in its \
                 own report, which `vnotch report DIR` draws",
                other.result.name
            )));
        }
        let runs = ('A'..='Z').zip(recordings).map(|(letter, recording)| Run { letter, recording }).collect();
        let results: Vec<&RunResult> = recordings.iter().map(|it| &it.result).collect();
        Ok(Self { runs, differences: differences::of(&results) })
    }

    /// `A quickstart: durability synced, segment_bytes 16 MiB`.
    pub(super) fn label(&self, index: usize) -> String {
        let run = &self.runs[index];
        let differs = self.of_run(index);
        let differs = if differs.is_empty() { String::new() } else { format!(": {differs}") };
        format!("{} {}{differs}", run.letter, run.recording.result.name)
    }

    /// What the picture is of.
    pub(super) fn title(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for run in &self.runs {
            let name = run.recording.result.name.as_str();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        format!("{} runs of {}", self.runs.len(), names.join(", "))
    }

    /// What all of them share: the first one's settings, those that differ left to the legend.
    pub(super) fn settings(&self) -> String {
        let keys: Vec<&str> = self.differences.iter().map(|it| it.key.as_str()).collect();
        match self.runs.first() {
            Some(run) => facts::settings_but(&run.recording.result, &keys),
            None => String::new(),
        }
    }

    /// `A valid, B valid (noisy disk)`.
    pub(super) fn verdicts(&self) -> String {
        let told = self.runs.iter().map(|run| format!("{} {}", run.letter, run.recording.result.verdict));
        told.collect::<Vec<_>>().join(" · ")
    }

    /// What sets a run apart: `durability synced, segment_bytes 16 MiB`.
    pub(super) fn of_run(&self, index: usize) -> String {
        let told = self.differences.iter().map(|it| format!("{} {}", it.name, it.values[index]));
        told.collect::<Vec<_>>().join(", ")
    }

    /// Whether the latencies of any run can be drawn.
    pub(super) fn has_open(&self) -> bool {
        self.runs.iter().any(|run| run.open().is_some())
    }

    /// What keeps the runs from being compared as they stand.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let closed: Vec<String> =
            self.runs.iter().filter(|run| run.open().is_none()).map(|run| run.letter.to_string()).collect();
        if !closed.is_empty() {
            warnings.push(format!(
                "No latency of {} is compared: there was no open load, and under max or closed a latency is merely what \
                 is in flight ÷ throughput (`vnotch run FILE -r RATE` measures it).",
                closed.join(", ")
            ));
        }
        let rates: Vec<(char, f64)> =
            self.runs.iter().filter_map(|run| Some((run.letter, run.offered()?))).collect();
        let (low, high) =
            rates.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), (_, r)| (l.min(*r), h.max(*r)));
        if high > low * (1.0 + SAME_RATE) {
            let told: Vec<String> = rates
                .iter()
                .map(|(letter, rate)| format!("{letter} {}", crate::quantity::per_s(*rate)))
                .collect();
            warnings.push(format!(
                "The response times are of different loads ({}): a difference may be the load's.",
                told.join(", ")
            ));
        }
        if self.differences.iter().any(|it| it.key == "durability") {
            warnings.push("An ack does not promise the same in all of them (durability).".to_owned());
        }
        if self.differences.iter().any(|it| it.is_of_machine) {
            warnings.push("They were not made by the same build on the same machine.".to_owned());
        }
        warnings.push(
            "Runs of different times: drift of the machine is in every difference. A sweep measures settings turn by turn."
                .to_owned(),
        );
        warnings
    }
}

impl<'a> Run<'a> {
    /// Under `max` or `closed`; the open load if there was no other.
    pub(super) fn loaded(&self) -> Option<(usize, &'a Point)> {
        let points = || self.recording.result.points.iter().enumerate();
        points().find(|(_, point)| point.pass != PassKind::Open).or_else(|| points().next())
    }

    /// Under an open load.
    pub(super) fn open(&self) -> Option<(usize, &'a Point)> {
        self.recording.result.points.iter().enumerate().find(|(_, point)| point.pass == PassKind::Open)
    }

    fn offered(&self) -> Option<f64> {
        self.open()?.1.figure("offered.records_per_s").map(|figure| figure.median)
    }
}
