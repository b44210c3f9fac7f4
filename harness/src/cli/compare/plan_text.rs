//! What a series would do and cost, as text and as JSON.

use super::Output;
use crate::campaign::compare::{Checked, Length, Plan, SidePlan, differences_of};
use crate::cli::{self, FormatArg};
use crate::escape::visible_lines;
use crate::exit::ExitStatus;
use crate::quantity;
use serde_json::json;
use std::fmt::Write as _;

/// Number of differences that the text lists. It counts the others.
const DIFFERENCES_SHOWN: usize = 12;

/// Prints the plan of a dry run.
///
/// # Errors
/// Standard output is closed or full.
pub(super) fn print(plan: &Plan, checked: &[Checked; 2], output: Output) -> anyhow::Result<ExitStatus> {
    let disk = checked.iter().map(|side| side.disk_peak_bytes).max().unwrap_or_default();
    if output.format == FormatArg::Json {
        let document = json!({
            "kind": "compare-plan",
            "metric": plan.metric,
            "band": plan.band,
            "pairs": plan.length,
            "seconds": plan.expected_seconds(0),
            "seconds_max": plan.expected_seconds_max(),
            "disk_peak_bytes": disk,
            "a": { "workload": plan.a.workload.named, "sets": plan.a.sets, "resolved": plan.resolved_a },
            "b": { "workload": plan.b.workload.named, "sets": plan.b.sets, "resolved": plan.resolved_b },
            "differences": differences_of(&plan.resolved_a, &plan.resolved_b),
        });
        cli::print(&format!("{document:#}\n"))?;
        return Ok(ExitStatus::Ok);
    }
    let mut text = format!("{}: {}, about {}\n", plan.name, pairs(plan), time(plan));
    let _ = writeln!(text, "  A       {}", described(&plan.a));
    let _ = writeln!(text, "  B       {}", described(&plan.b));
    let _ = writeln!(text, "  metric  {}, band {}", plan.metric, quantity::percent(plan.band));
    let _ = writeln!(text, "  disk    at most {} at a time", quantity::bytes(disk));
    text.push_str(&differences(plan));
    cli::print(&visible_lines(&text))?;
    Ok(ExitStatus::Ok)
}

/// Notes, before a series is measured, what it costs and in which settings its sides differ.
pub(super) fn introduce(plan: &Plan, output: Output) {
    output.note(&format!(
        "{}: {} by {}, about {}; order seed {}",
        plan.name,
        pairs(plan),
        plan.metric,
        time(plan),
        plan.seed
    ));
    let differences = differences(plan);
    if !differences.is_empty() {
        output.note(differences.trim());
    }
}

fn pairs(plan: &Plan) -> String {
    let what = if plan.is_calibration { "pairs of A with itself" } else { "pairs" };
    match plan.length {
        Length::Pairs(count) => format!("{count} {what}"),
        Length::Precision { half_width, pairs_max } => {
            format!(
                "10 to {pairs_max} {what}, until the interval is ± {} or narrower",
                quantity::percent(half_width)
            )
        }
    }
}

/// The time of the series. With a precision, that of the fewest and of the most pairs.
fn time(plan: &Plan) -> String {
    let [least, most] = [plan.expected_seconds(0), plan.expected_seconds_max()].map(quantity::duration);
    if least == most { least } else { format!("{least} to {most}") }
}

/// One side in a line: the workload, its settings and its binary.
fn described(side: &SidePlan) -> String {
    let mut text = side.workload.named.clone();
    for set in &side.sets {
        let _ = write!(text, " --set {set}");
    }
    if let Some(path) = side.binary.path() {
        let _ = write!(text, ", {}", path.display());
    }
    text
}

/// The settings that differ between the sides as their binaries resolve them; empty if there is none.
fn differences(plan: &Plan) -> String {
    let found = differences_of(&plan.resolved_a, &plan.resolved_b);
    let mut text = String::new();
    if !found.is_empty() {
        text.push_str("  settings that differ\n");
    }
    let shown = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "absent".to_owned(),
        other => other.to_string(),
    };
    for difference in found.iter().take(DIFFERENCES_SHOWN) {
        let _ = writeln!(
            text,
            "    {}: A {}, B {}",
            difference.key,
            shown(&difference.default),
            shown(&difference.value)
        );
    }
    if found.len() > DIFFERENCES_SHOWN {
        let _ = writeln!(text, "    … and {} more", found.len() - DIFFERENCES_SHOWN);
    }
    text
}
