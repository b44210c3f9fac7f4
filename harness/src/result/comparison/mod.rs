//! `result.json` of a comparison: two sides, their pairs, and the effect that follows from them.
//!
//! - `metric`: the figures that are compared.
//! - `store`: writes and reads the document.
//! - `baseline`: names for results that later ones are compared with.
//!
//! These are plain values. `stats::pairs` computes the effects, and docs/compare.md says how.

pub mod baseline;
mod metric;
pub mod store;

pub use metric::{Better, Metric, Unit, better, problem_of};

use super::environment::Environment;
use super::provenance::{Build, SystemIdentity};
use super::schema::{Interval, Kind};
use super::verdict::{Verdict, VerdictStatus};
use crate::exit::ExitStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most pairs of one comparison.
pub const PAIRS_LIMIT: u32 = 1000;

/// A whole comparison: by how much side B differs from side A.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Version of the schema, as in other results.
    pub schema_version: u32,
    /// Kind of the document: always `compare`.
    pub kind: Kind,
    /// Name of the comparison.
    pub name: String,
    /// The question that the workload states.
    pub question: Option<String>,
    /// How the two sides were measured.
    pub method: Method,
    /// Whether both sides are the same on purpose (`--calibrate`), so that the pairs show only noise.
    pub is_calibration: bool,
    /// The figure that decides.
    pub metric: Metric,
    /// The least difference that matters, as a share: 0.02 is 2 %.
    pub band: f64,
    /// The side that the other one is compared with.
    pub a: Side,
    /// The side whose change is asked for.
    pub b: Side,
    /// Settings in which the sides differ, as each side resolves them: what was asked for, and changed defaults.
    pub differences: Vec<SettingDifference>,
    /// The pairs in the order in which they were measured; empty for stored results.
    pub pairs: Vec<PairRecord>,
    /// Whether the figures can be trusted. Failed trials and integrity failures make it worse than `valid`.
    pub verdict: Verdict,
    /// The effect on the metric. `None` if the verdict is not `valid`, or if no pair has figures.
    pub effect: Option<Effect>,
    /// Effects on figures that stand beside the metric; they decide nothing.
    pub secondary: Vec<SecondaryEffect>,
    /// The noise of the pairs; only for a calibration.
    pub calibration: Option<Calibration>,
    /// Length of the series, s; 0 for stored results.
    pub elapsed_s: f64,
    /// Sentences that a reader should know, beside the verdict's reasons.
    pub notes: Vec<String>,
    /// Name of the baseline that side A is (`--baseline`).
    pub baseline: Option<String>,
    /// Whether both sides are known to be measured on the same machine.
    pub is_same_machine: bool,
    /// The machine that the pairs were measured on; `None` for stored results.
    pub environment: Option<Environment>,
    /// The origin of the comparison.
    pub provenance: ComparisonProvenance,
}

/// How two sides were measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// In pairs, turn by turn, in a random order within each pair.
    Interleaved,
    /// Each for itself, at different times: differences of the hour are in the effect.
    Stored,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// Short name for people, such as `durability=synced`, `main` or the name of a workload.
    pub label: String,
    /// The workload as the command line names it, or the name that a stored result has.
    pub workload: String,
    /// The settings that were given with `--set` and the side's own option.
    pub settings: Vec<String>,
    /// Path of the binary that measured; `None` for the running vnotch, and for stored results.
    pub binary: Option<String>,
    /// The build that measured; `None` if it did not say so in a form that is known.
    pub build: Option<Build>,
    /// The system that was measured; `None` in older results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemIdentity>,
    /// Directory of the stored result; `None` for sides that were measured in pairs.
    pub result: Option<String>,
    /// When the stored result began, RFC 3339; `None` for sides that were measured in pairs.
    pub started_at: Option<String>,
    /// The workload with every key.
    pub resolved: serde_json::Value,
    /// Value of the metric in each trial of a stored result; empty for sides that were measured in pairs.
    pub values: Vec<f64>,
}

/// A setting in which the sides differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SettingDifference {
    /// Dotted key.
    pub key: String,
    /// Value of side A; null if it has none.
    pub a: serde_json::Value,
    /// Value of side B; null if it has none.
    pub b: serde_json::Value,
}

/// One pair: a trial of each side, close in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairRecord {
    /// The order of the two trials.
    pub order: PairOrder,
    /// Metric of side A; `None` unless the pair counts.
    pub a: Option<f64>,
    /// Metric of side B; `None` unless the pair counts.
    pub b: Option<f64>,
    /// The outcome.
    pub outcome: PairOutcome,
    /// The reason why each earlier attempt at this pair does not count: a trial was late or invalid.
    pub repeats: Vec<String>,
    /// Every figure of side A by its dotted path; empty unless the pair counts.
    #[serde(default)]
    pub figures_a: BTreeMap<String, f64>,
    /// Every figure of side B by its dotted path; empty unless the pair counts.
    #[serde(default)]
    pub figures_b: BTreeMap<String, f64>,
}

/// The order of the trials of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairOrder {
    /// A first.
    Ab,
    /// B first.
    Ba,
}

/// The outcome of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairOutcome {
    /// Both trials count.
    Counted,
    /// A trial failed: the system, the machine or the process. It is kept, and there is no conclusion.
    Failed {
        /// The trial's side, and the reason in words.
        reason: String,
    },
    /// Records were lost, repeated, reordered or corrupted. The pair is kept, and there is no conclusion.
    IntegrityFailed {
        /// The trial's side, and the reason in words.
        reason: String,
    },
    /// A trial of every attempt was late or invalid.
    SetAside {
        /// The last reason, in words.
        reason: String,
    },
}

/// The effect of the change from A to B on one figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// Ratio B ÷ A: the Hodges–Lehmann estimate on logarithms.
    pub ratio: f64,
    /// 95 % interval of the ratio, which decides: the signed-rank one of pairs, or the rank-sum one of stored results. `None`
    /// with too few values.
    pub interval: Option<Interval>,
    /// 95 % interval by Student's t, which stands beside it; `None` with too few values.
    pub student_interval: Option<Interval>,
    /// Median of A.
    pub a_median: f64,
    /// Median of B.
    pub b_median: f64,
    /// Pairs that count; for stored results the smaller number of trials.
    pub pairs: u32,
    /// The conclusion that the interval and the band allow.
    pub conclusion: Conclusion,
    /// The least difference, as a share, that these pairs would call better or worse with a probability of 95 %. `None` without
    /// an interval.
    pub least_difference: Option<f64>,
    /// Pairs (for stored results: trials on each side) after which two equal sides would be told `no_difference` with a
    /// probability of 95 %. `None` without an interval, and for a band of 0.
    pub pairs_needed: Option<u32>,
    /// Whether Student's interval alone would allow another conclusion.
    pub tests_disagree: bool,
}

/// The conclusion of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// B is better: the interval lies wholly beyond the band.
    Better,
    /// B is worse: the interval lies wholly beyond the band.
    Worse,
    /// There is no difference that matters: the interval lies wholly inside the band.
    NoDifference,
    /// The interval reaches from inside the band to beyond it, or there is none.
    CannotTell,
}

/// The effect on a figure that stands beside the metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecondaryEffect {
    /// The figure.
    pub metric: Metric,
    /// Ratio B ÷ A: the Hodges–Lehmann estimate.
    pub ratio: f64,
    /// 95 % interval of the ratio; `None` with too few values.
    pub interval: Option<Interval>,
    /// Median of A.
    pub a_median: f64,
    /// Median of B.
    pub b_median: f64,
    /// Pairs (for stored results: trials of the smaller side) that have the figure.
    pub pairs: u32,
}

/// The noise of pairs whose sides are the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// Spread of the pairs' ratios, as a share: the standard deviation of normal noise whose interval is as wide.
    pub spread: f64,
    /// Pairs after which two equal sides are told `no_difference` with a probability of 95 %; `None` for a band of 0.
    pub pairs_needed: Option<u32>,
    /// Whether the interval excludes 1 although both sides are the same: then the set-up prefers one side.
    pub is_at_fault: bool,
}

/// The origin of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComparisonProvenance {
    /// The build that compared.
    pub build: Build,
    /// A hash that tells machines apart: of the machine that the pairs were measured on, or on which stored results were
    /// compared.
    pub machine_id: Option<String>,
    /// When the comparison began, RFC 3339.
    pub started_at: String,
    /// The command line as typed, one entry for each word.
    pub command_line: Vec<String>,
    /// SHA-256 of the plan, hexadecimal; of stored results, that of their directories' names.
    pub sha256: String,
    /// Seed of the order within the pairs; `None` for stored results.
    pub order_seed: Option<u64>,
}

impl Conclusion {
    /// The conclusion in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoDifference => "no difference that matters",
            Self::CannotTell => "cannot tell",
        }
    }
}

impl Comparison {
    /// The values of the metric of each pair that counts: A's and B's.
    pub fn counted(&self) -> Vec<(f64, f64)> {
        self.pairs.iter().filter_map(|pair| Some((pair.a?, pair.b?))).collect()
    }

    /// Exit status of the comparison. `is_strict` makes *cannot tell*, and a calibration at fault, an invalid measurement.
    ///
    /// Failures come before a regression. Stored results are a regression only against a baseline of the same machine.
    pub fn exit_status(&self, is_strict: bool) -> ExitStatus {
        if self.verdict.status != VerdictStatus::Valid {
            return self.verdict.status.exit_status();
        }
        if let Some(calibration) = &self.calibration {
            return if is_strict && calibration.is_at_fault { ExitStatus::Invalid } else { ExitStatus::Ok };
        }
        let is_regression = match self.method {
            Method::Interleaved => true,
            Method::Stored => self.baseline.is_some() && self.is_same_machine,
        };
        match self.effect.map(|effect| effect.conclusion) {
            Some(Conclusion::Worse) if is_regression => ExitStatus::Regression,
            Some(Conclusion::Better | Conclusion::Worse | Conclusion::NoDifference) => ExitStatus::Ok,
            Some(Conclusion::CannotTell) | None if is_strict => ExitStatus::Invalid,
            Some(Conclusion::CannotTell) | None => ExitStatus::Ok,
        }
    }
}
