//! Several runs side by side: how they differ, and how far they can be compared.

pub(super) mod differences;

use crate::exit::UsageError;
use crate::report::facts;
use crate::result::{Kind, Point, Recording, RunResult};
use crate::workload::PassKind;
use differences::Difference;

/// The most runs on the same axes. More lines could not be told apart.
pub(super) const RUNS_MAX: usize = 12;
/// Rates that differ by more than this share are different loads.
const SAME_RATE: f64 = 0.01;

/// Runs that are drawn on the same axes.
pub(super) struct Overlay<'a> {
    pub(super) runs: Vec<Run<'a>>,
    /// Everything about settings, machine and build that is not the same in all runs.
    pub(super) differences: Vec<Difference>,
}

/// A run of an overlay.
pub(super) struct Run<'a> {
    /// Letter of the run: `A`, `B`, …
    pub(super) letter: char,
    pub(super) recording: &'a Recording,
}

impl<'a> Overlay<'a> {
    /// Compares the results of several runs.
    ///
    /// # Errors
    /// There are fewer than two runs or too many, or a result is not that of a run.
    pub(super) fn of(recordings: &'a [Recording]) -> anyhow::Result<Self> {
        if recordings.len() < 2 || recordings.len() > RUNS_MAX {
            return Err(UsageError::error(format!(
                "2 to {RUNS_MAX} runs can be drawn on the same axes, not {}",
                recordings.len()
            )));
        }
        if let Some(other) = recordings.iter().find(|it| it.result.kind != Kind::Run) {
            let kind = facts::name_of(&other.result.kind);
            return Err(UsageError::error(format!(
                "{} is a {kind}, but only runs can be drawn on the same axes; its own report, which `vnotch report DIR` \
                 draws, compares its combinations",
                other.result.name
            )));
        }
        let runs = ('A'..='Z').zip(recordings).map(|(letter, recording)| Run { letter, recording }).collect();
        let results: Vec<&RunResult> = recordings.iter().map(|it| &it.result).collect();
        Ok(Self { runs, differences: differences::of(&results) })
    }

    /// Returns a label such as `A quickstart: durability synced, segment_bytes 16 MiB`.
    pub(super) fn label(&self, index: usize) -> String {
        let run = &self.runs[index];
        let differs = self.of_run(index);
        let differs = if differs.is_empty() { String::new() } else { format!(": {differs}") };
        format!("{} {}{differs}", run.letter, run.recording.result.name)
    }

    /// Returns the title of the picture.
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

    /// Returns the settings that the runs share: those of the first run, without the ones that differ. The legend shows
    /// these.
    pub(super) fn settings(&self) -> String {
        let keys: Vec<&str> = self.differences.iter().map(|it| it.key.as_str()).collect();
        match self.runs.first() {
            Some(run) => facts::settings_but(&run.recording.result, &keys),
            None => String::new(),
        }
    }

    /// Returns the verdicts: `A valid, B valid (flags: noisy disk)`.
    pub(super) fn verdicts(&self) -> String {
        let verdicts = self.runs.iter().map(|run| format!("{} {}", run.letter, run.recording.result.verdict));
        verdicts.collect::<Vec<_>>().join(" · ")
    }

    /// Returns what distinguishes a run: `durability synced, segment_bytes 16 MiB`.
    pub(super) fn of_run(&self, index: usize) -> String {
        let named = self.differences.iter().map(|it| format!("{} {}", it.name, it.values[index]));
        named.collect::<Vec<_>>().join(", ")
    }

    /// Tells whether any run has latencies that can be drawn.
    pub(super) fn has_open(&self) -> bool {
        self.runs.iter().any(|run| run.open().is_some())
    }

    /// Returns the reasons why the runs cannot simply be compared.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let closed: Vec<String> =
            self.runs.iter().filter(|run| run.open().is_none()).map(|run| run.letter.to_string()).collect();
        if !closed.is_empty() {
            warnings.push(format!(
                "No latency of {} is compared, because there was no open load: under max or closed, a latency is just \
                 records in flight ÷ throughput (`vnotch run FILE -r RATE` runs an open load).",
                closed.join(", ")
            ));
        }
        let rates: Vec<(char, f64)> =
            self.runs.iter().filter_map(|run| Some((run.letter, run.offered()?))).collect();
        let (low, high) =
            rates.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), (_, r)| (l.min(*r), h.max(*r)));
        if high > low * (1.0 + SAME_RATE) {
            let loads: Vec<String> = rates
                .iter()
                .map(|(letter, rate)| format!("{letter} {}", crate::quantity::per_s(*rate)))
                .collect();
            warnings.push(format!(
                "The response times were measured under different loads ({}), so a difference may come from the load.",
                loads.join(", ")
            ));
        }
        if self.differences.iter().any(|it| it.key == "durability") {
            warnings.push("An ack does not promise the same in all runs (durability).".to_owned());
        }
        if self.differences.iter().any(|it| it.is_of_machine) {
            warnings.push("The runs were not made by the same build on the same machine.".to_owned());
        }
        warnings.push(
            "The runs were made at different times, so drift of the machine is in every difference. A sweep measures its settings \
             in turn, which avoids this."
                .to_owned(),
        );
        warnings
    }
}

impl<'a> Run<'a> {
    /// Returns the point under `max` or `closed`; if there is none, the one under an open load.
    pub(super) fn loaded(&self) -> Option<(usize, &'a Point)> {
        let points = || self.recording.result.points.iter().enumerate();
        points().find(|(_, point)| point.pass != PassKind::Open).or_else(|| points().next())
    }

    /// Returns the point under an open load.
    pub(super) fn open(&self) -> Option<(usize, &'a Point)> {
        self.recording.result.points.iter().enumerate().find(|(_, point)| point.pass == PassKind::Open)
    }

    fn offered(&self) -> Option<f64> {
        self.open()?.1.figure("offered.records_per_s").map(|figure| figure.median)
    }
}
