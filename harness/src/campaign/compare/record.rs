//! The document of a series, from its plan and its pairs.

use super::checked::differences_of;
use super::pairs::{Closed, Fault, Pair, Pairs, Side, Values};
use super::plan::{Length, Plan};
use super::side::SidePlan;
use crate::quantity;
use crate::result::comparison::{
    self, Comparison, ComparisonProvenance, Method, Metric, PairOrder, PairOutcome, PairRecord,
    SettingDifference,
};
use crate::result::provenance::Build;
use crate::result::{Kind, SCHEMA_VERSION, Verdict, VerdictStatus};
use crate::stats::pairs::{conclude, half_width};
use serde_json::Value;

/// Returns the document of a series with its conclusions. `is_whole` tells whether all its pairs were measured.
pub(crate) fn record(plan: &Plan, pairs: &Pairs, is_whole: bool) -> Comparison {
    let difference =
        |it: crate::workload::Difference| SettingDifference { key: it.key, a: it.default, b: it.value };
    let differences = differences_of(&plan.resolved_a, &plan.resolved_b);
    let mut comparison = Comparison {
        schema_version: SCHEMA_VERSION,
        kind: Kind::Compare,
        name: plan.directory_name(),
        question: plan.question.clone(),
        method: Method::Interleaved,
        is_calibration: plan.is_calibration,
        metric: Metric::of(&plan.metric),
        band: plan.band,
        a: side(plan, pairs, Side::A),
        b: side(plan, pairs, Side::B),
        differences: differences.into_iter().map(difference).collect(),
        pairs: pairs.closed.iter().map(pair).collect(),
        verdict: Verdict::default(),
        effect: None,
        secondary: Vec::new(),
        calibration: None,
        elapsed_s: pairs.closed.iter().map(|pair| pair.seconds).sum(),
        notes: Side::BOTH.into_iter().filter_map(|side| alike_note(plan, side)).collect(),
        baseline: None,
        is_same_machine: true,
        environment: Some(plan.environment.clone()),
        provenance: ComparisonProvenance {
            build: Build::current(),
            machine_id: plan.machine_id.clone(),
            started_at: plan.started_at.clone(),
            command_line: plan.command_line.clone(),
            sha256: plan.sha256(),
            order_seed: Some(plan.seed),
        },
    };
    if !is_whole {
        let of = match plan.length {
            Length::Pairs(wanted) => format!(" of {wanted}"),
            Length::Precision { .. } => String::new(),
        };
        let reason = format!("interrupted after {}{of} pairs", pairs.closed.len());
        comparison.verdict.lower(VerdictStatus::Interrupted, reason);
    }
    conclude(&mut comparison);
    comparison.notes.extend(precision_note(plan, &comparison, is_whole));
    comparison
}

/// Says which settings a side has only to be like the other one; `None` if there is none.
fn alike_note(plan: &Plan, side: Side) -> Option<String> {
    let sets = &plan.side(side).sets_alike;
    (!sets.is_empty()).then(|| {
        format!(
            "{} was measured with {}, so that the sides differ only in what was asked for.",
            side.letter(),
            sets.join(", ")
        )
    })
}

/// Says which precision a series has reached, if it asked for one.
fn precision_note(plan: &Plan, comparison: &Comparison, is_whole: bool) -> Option<String> {
    let Length::Precision { half_width: asked, pairs_max } = plan.length else { return None };
    let effect = comparison.effect.filter(|_| is_whole)?;
    let reached = half_width(&effect).filter(|reached| *reached > asked)?;
    Some(format!(
        "The precision ± {} was not reached with {pairs_max} pairs (--pairs-max): the interval reaches ± {}.",
        quantity::percent(asked),
        quantity::percent(reached)
    ))
}

fn pair(pair: &Pair) -> PairRecord {
    let order = if pair.first == Side::A { PairOrder::Ab } else { PairOrder::Ba };
    let outcome = match &pair.end {
        Closed::Counted { .. } => PairOutcome::Counted,
        Closed::Failed { side, fault } => {
            let reason = format!("{}: {}", side.letter(), fault.reason());
            match fault {
                Fault::Errors(_) => PairOutcome::Failed { reason },
                Fault::Integrity(_) => PairOutcome::IntegrityFailed { reason },
            }
        }
        Closed::SetAside(reason) => PairOutcome::SetAside { reason: reason.clone() },
    };
    let (a, b) = match &pair.end {
        Closed::Counted { a, b } => (Some(a), Some(b)),
        Closed::Failed { .. } | Closed::SetAside(_) => (None, None),
    };
    let figures = |values: Option<&Values>| values.map(|values| values.figures.clone()).unwrap_or_default();
    PairRecord {
        order,
        a: a.map(|values| values.primary),
        b: b.map(|values| values.primary),
        outcome,
        repeats: pair.repeats.clone(),
        figures_a: figures(a),
        figures_b: figures(b),
    }
}

fn side(plan: &Plan, pairs: &Pairs, side: Side) -> comparison::Side {
    let (own, other, resolved): (&SidePlan, &SidePlan, &Value) = match side {
        Side::A => (&plan.a, &plan.b, &plan.resolved_a),
        Side::B => (&plan.b, &plan.a, &plan.resolved_b),
    };
    let values = |(a, b): (_, _)| -> &Values { if side == Side::A { a } else { b } };
    comparison::Side {
        label: if plan.is_calibration || own == other { side.letter().to_owned() } else { label(own, other) },
        workload: own.workload.named.clone(),
        settings: own.sets.clone(),
        binary: own.binary.path().map(|path| path.display().to_string()),
        build: pairs.counted().map(values).find_map(|values| values.build.as_deref().cloned()),
        // A later trial knows more: that its brokers were warmed.
        system: pairs.counted().map(values).filter_map(|values| values.system.as_deref().cloned()).last(),
        result: None,
        started_at: None,
        resolved: resolved.clone(),
        values: Vec::new(),
    }
}

/// Names a side by what the other one does not have: its workload, the settings that the user gave, its binary. A side that has
/// nothing of its own is named by its workload. Two equal sides are named by their workload and their settings.
fn label(own: &SidePlan, other: &SidePlan) -> String {
    let is_same = own == other;
    let mut parts = Vec::new();
    if is_same || own.workload.named != other.workload.named {
        parts.push(own.workload.named.clone());
    }
    parts.extend(own.sets.iter().filter(|set| is_same || !other.sets.contains(set)).cloned());
    if own.binary != other.binary {
        parts.push(
            own.binary.path().map_or_else(|| "this vnotch".to_owned(), |path| path.display().to_string()),
        );
    }
    if parts.is_empty() { own.workload.named.clone() } else { parts.join(", ") }
}
