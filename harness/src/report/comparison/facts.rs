//! The rows of a comparison's tables.

use super::systems::of_side;
use super::words::{self, difference, range};
use crate::report::facts::NONE;
use crate::report::setting::label;
use crate::result::comparison::{Comparison, Method, PairOutcome, Side};
use crate::result::provenance::Build;

/// Digits of a revision that are shown.
const REVISION_DIGITS: usize = 10;

/// The header of the rows of [`figures`].
pub(in crate::report) const FIGURES: [&str; 5] = ["", "A", "B", "B is", "95 % interval"];

/// Returns a row for the metric, and one for each figure beside it: name, A, B, difference, interval.
pub(in crate::report) fn figures(comparison: &Comparison) -> Vec<[String; 5]> {
    let row = |name: &str, unit, (a, b): (f64, f64), ratio, interval: Option<_>| {
        [
            name.to_owned(),
            words::value(a, unit),
            words::value(b, unit),
            difference(ratio),
            interval.map_or_else(|| NONE.to_owned(), range),
        ]
    };
    let metric = &comparison.metric;
    let primary = comparison
        .effect
        .iter()
        .map(|it| row(&metric.name, metric.unit, (it.a_median, it.b_median), it.ratio, it.interval));
    let beside = comparison
        .secondary
        .iter()
        .map(|it| row(&it.metric.name, it.metric.unit, (it.a_median, it.b_median), it.ratio, it.interval));
    primary.chain(beside).collect()
}

/// Returns how many pairs or trials were compared, and how many were left out.
pub(in crate::report) fn pairs(comparison: &Comparison) -> String {
    if comparison.method == Method::Stored {
        let (a, b) = (comparison.a.values.len(), comparison.b.values.len());
        return format!("not interleaved: {a} trials of A, {b} of B");
    }
    let count =
        |is: fn(&PairOutcome) -> bool| comparison.pairs.iter().filter(|pair| is(&pair.outcome)).count();
    let parts = [
        (count(|it| matches!(it, PairOutcome::Counted)), "counted"),
        (
            count(|it| matches!(it, PairOutcome::Failed { .. } | PairOutcome::IntegrityFailed { .. })),
            "failed",
        ),
        (count(|it| matches!(it, PairOutcome::SetAside { .. })), "never in time"),
        (comparison.pairs.iter().filter(|pair| !pair.repeats.is_empty()).count(), "measured again"),
    ];
    let parts = parts.into_iter().enumerate().filter(|(index, (count, _))| *index == 0 || *count > 0);
    let mut text: Vec<String> = parts.map(|(_, (count, what))| format!("{count} {what}")).collect();
    text.extend(comparison.provenance.order_seed.map(|seed| format!("order seed {seed}")));
    text.join(", ")
}

/// Returns a side in a line: its workload, settings, binary, build and result.
pub(in crate::report) fn side(side: &Side) -> String {
    let mut parts = vec![side.workload.clone()];
    parts.extend(side.settings.iter().cloned());
    parts.extend(side.binary.clone());
    parts.extend(side.build.as_ref().map(build));
    parts.extend(side.result.clone());
    parts.join(" · ")
}

/// Returns the letter of each side, and what an ack of its system means. Empty if both are the embedded engine.
pub(in crate::report) fn systems(comparison: &Comparison) -> Vec<(&'static str, String)> {
    let sides = [("A", &comparison.a), ("B", &comparison.b)];
    let is_engine = |side: &Side| side.system.as_ref().is_none_or(|system| system.kind == "engine");
    if sides.iter().all(|(_, side)| is_engine(side)) {
        return Vec::new();
    }
    let of = |(letter, side): (&'static str, &Side)| Some((letter, of_side(side.system.as_ref()?)?));
    sides.into_iter().filter_map(of).collect()
}

pub(in crate::report) fn build(build: &Build) -> String {
    let revision: String = build.git_revision.chars().take(REVISION_DIGITS).collect();
    let dirty = if build.git_dirty == Some(true) { " with local changes" } else { "" };
    let profile = if build.profile == "release" { "" } else { ", debug build" };
    format!("vnotch {} {revision}{dirty}{profile}", build.version)
}

/// Returns a row for each setting that differs: key, A, B.
pub(in crate::report) fn differences(comparison: &Comparison) -> Vec<[String; 3]> {
    let text = |key: &str, value: &serde_json::Value| {
        if value.is_null() { NONE.to_owned() } else { label(key, value) }
    };
    let row = |it: &crate::result::comparison::SettingDifference| {
        [it.key.clone(), text(&it.key, &it.a), text(&it.key, &it.b)]
    };
    comparison.differences.iter().map(row).collect()
}

/// Returns Student's interval beside the one by ranks; `None` without an interval.
pub(in crate::report) fn student(comparison: &Comparison) -> Option<String> {
    let effect = comparison.effect.as_ref()?;
    let interval = effect.student_interval?;
    let agrees = if effect.tests_disagree { "it would conclude otherwise" } else { "it concludes the same" };
    Some(format!("{}: {agrees}", range(interval)))
}
