//! The check of one side before anything is measured: its binary says what the workload resolves to and what it costs.

use super::child::{self, Ended, Request};
use super::pairs::Side;
use super::side::SidePlan;
use crate::exit::UsageError;
use crate::workload::{Assignment, Difference, differences, with_former_defaults};
use anyhow::bail;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The time in which a check has to end.
const LIMIT: Duration = Duration::from_secs(120);

/// Keys that only label a workload.
const LABELS: [&str; 2] = ["name", "question"];
/// The key that says how consumers get their partitions.
const ASSIGNMENT: &str = "consume.assignment";

/// One side as its binary resolves it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checked {
    /// Name of the workload.
    pub(crate) name: String,
    /// The question that the workload states.
    pub(crate) question: Option<String>,
    /// Every key with its value.
    pub(crate) resolved: Value,
    /// Whether the workload or a `--set` says otherwise than by default how consumers get their partitions.
    pub(crate) has_chosen_assignment: bool,
    /// Expected length of a trial, s.
    pub(crate) seconds: f64,
    /// The longest that a trial can take, s.
    pub(crate) seconds_max: f64,
    /// The most disk space that a trial takes, bytes.
    pub(crate) disk_peak_bytes: u64,
}

/// The parts of the document that `check --format json` prints that are needed here.
#[derive(Deserialize)]
struct Document {
    workloads: Vec<Plan>,
}

#[derive(Deserialize)]
struct Plan {
    name: String,
    #[serde(default)]
    question: Option<String>,
    resolved: Value,
    #[serde(default)]
    differences: Vec<DifferingKey>,
    estimate: Estimate,
}

#[derive(Deserialize)]
struct DifferingKey {
    key: String,
}

#[derive(Deserialize)]
struct Estimate {
    seconds: f64,
    seconds_max: f64,
    disk_peak_bytes: u64,
}

/// Has a side's binary check its workload. `dir` is a directory for files; `data_dir` is where the data will be.
///
/// # Errors
/// A [`UsageError`] if the binary refuses the workload, or is no vnotch; another error if it fails or is interrupted.
pub(crate) fn check(
    side: Side,
    plan: &SidePlan,
    dir: &Path,
    data_dir: Option<&Path>,
    stop: &AtomicBool,
) -> anyhow::Result<Option<Checked>> {
    let arguments = plan.check_arguments(dir, data_dir)?;
    let (binary, arguments, environment) = (&plan.binary, &arguments[..], &[][..]);
    let request = Request { binary, arguments, environment, dir, limit: LIMIT, stop, tick: &|| {} };
    let output = child::run(&request)?;
    if output.ended == Ended::Interrupted {
        return Ok(None);
    }
    let letter = side.letter();
    match output.code() {
        Some(0) => {}
        Some(2) => {
            let said = output.stderr.trim().trim_start_matches("vnotch: ");
            return Err(UsageError::error(format!("{letter} is refused: {said}")));
        }
        _ => bail!("{letter} cannot be checked: {}", output.complaint()),
    }
    let document: Document = serde_json::from_slice(&output.stdout).map_err(|error| {
        let file = plan.binary.file().display();
        UsageError::error(format!(
            "{letter}: {file} is not a vnotch that `compare` can use: its `check --format json` says {error}"
        ))
    })?;
    let Some(plan) = document.workloads.into_iter().next() else { bail!("{letter}: there is no workload") };
    Ok(Some(Checked {
        name: plan.name,
        question: plan.question,
        resolved: with_former_defaults(&plan.resolved),
        has_chosen_assignment: plan.differences.iter().any(|it| it.key == ASSIGNMENT),
        seconds: plan.estimate.seconds,
        seconds_max: plan.estimate.seconds_max,
        disk_peak_bytes: plan.estimate.disk_peak_bytes,
    }))
}

/// The settings in which two sides differ: `value` is B's, and `default` is A's.
pub(crate) fn differences_of(a: &Value, b: &Value) -> Vec<Difference> {
    let mut found = differences(b, a);
    found.retain(|difference| !LABELS.contains(&difference.key.as_str()));
    found
}

/// Returns the setting that makes the sides of one workload alike, and the side that needs it: consumers get their partitions by
/// number on both sides if they do so on one of them, and the workload does not say how they get them.
pub(crate) fn alike(checked: &[Checked; 2]) -> Option<(Side, String)> {
    let fixed = serde_json::json!(Assignment::Fixed);
    let is_fixed = |side: &Checked| side.resolved.pointer("/consume/assignment") == Some(&fixed);
    let [a, b] = checked;
    let side = match (is_fixed(a), is_fixed(b)) {
        (true, false) => Side::B,
        (false, true) => Side::A,
        _ => return None,
    };
    let is_chosen = a.has_chosen_assignment || b.has_chosen_assignment;
    (!is_chosen).then(|| (side, format!("{ASSIGNMENT}=fixed")))
}

impl Checked {
    /// Refuses a workload that one process a trial cannot measure.
    ///
    /// # Errors
    /// A [`UsageError`] that names the key and says what to do.
    pub(crate) fn require_one_load(&self, side: Side) -> anyhow::Result<()> {
        let letter = side.letter();
        if self.resolved.get("sweep").and_then(Value::as_object).is_some_and(|sweep| !sweep.is_empty()) {
            return Err(UsageError::error(format!(
                "{letter}: {} is a sweep, and a comparison has two settings; use `--set 'sweep={{}}'` and give each side its \
                 setting with `--set-a` and `--set-b`, or `vnotch run {}`",
                self.name, self.name
            )));
        }
        let rate =
            self.resolved.pointer("/load/rate").and_then(Value::as_str).filter(|rate| rate.ends_with('%'));
        if let Some(rate) = rate {
            return Err(UsageError::error(format!(
                "{letter}: the rate {rate} is a share of each trial's own maximum, so it would differ between the sides; set \
                 one rate for both, such as `--set load.rate=20k/s`"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn side(assignment: &str, has_chosen_assignment: bool) -> Checked {
        Checked {
            name: "w".into(),
            question: None,
            resolved: json!({ "consume": { "assignment": assignment } }),
            has_chosen_assignment,
            seconds: 1.0,
            seconds_max: 1.0,
            disk_peak_bytes: 0,
        }
    }

    #[test]
    fn sides_are_alike_unless_somebody_chose_otherwise() {
        let found = |a: (&str, bool), b: (&str, bool)| {
            alike(&[side(a.0, a.1), side(b.0, b.1)]).map(|(side, set)| (side.letter(), set))
        };
        let fixed = "consume.assignment=fixed".to_owned();
        assert_eq!(found(("group", false), ("fixed", false)).unwrap().1, fixed);
        assert_eq!(found(("group", false), ("fixed", false)).unwrap().0, Side::A.letter());
        assert_eq!(found(("fixed", false), ("group", false)).unwrap().0, Side::B.letter());
        assert_eq!(found(("group", false), ("group", false)), None);
        assert_eq!(found(("group", false), ("fixed", true)), None, "the subject of the comparison");
    }
}
