//! The notes below the table of a sweep: what a reader needs to understand its columns.

use super::answers::answers;
use super::{Combination, Sweep, prices};
use crate::quantity;
use crate::report::facts;
use crate::result::VerdictFlag;
use crate::workload::{Metric, PassKind};
use std::collections::BTreeSet;

/// Titles of the columns on late trials. A terminal that is too narrow goes without them.
pub(super) const FIRST: &str = "p99 first";
pub(super) const LATE: &str = "late";
/// Title of the column of prices, which only a terminal has. A terminal that is too narrow goes without it.
pub(super) const VS_BEFORE: &str = "vs before";

/// The place for which a table is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Place {
    /// A terminal: the columns that the answer needs, and one letter for each flag, explained in a note.
    Terminal,
    /// A page: all columns, and flags in words.
    Page,
}

/// Whether the combinations of a sweep measure different systems.
pub(super) fn is_over_systems(sweep: &Sweep<'_>) -> bool {
    sweep.settings.iter().any(|setting| matches!(setting.key.as_str(), "target" | "kafka.version"))
}

/// Returns the letter of a flag in a terminal.
pub(super) const fn letter(flag: VerdictFlag) -> char {
    match flag {
        VerdictFlag::NoisyDisk => 'd',
        VerdictFlag::NoisyCpu => 'c',
        VerdictFlag::NotSteady => 'u',
        VerdictFlag::GeneratorLimited => 'g',
        VerdictFlag::TargetFellBehind => 'b',
        VerdictFlag::Censored => 'a',
        VerdictFlag::Short => 't',
        VerdictFlag::CeilingLow => 'l',
    }
}

/// Returns the best that the device can do, beside which a sweep over systems sets each of them. `None` if it was not measured.
fn device_note(sweep: &Sweep<'_>) -> Option<String> {
    let mut points = sweep.combinations.iter().flat_map(Combination::points);
    let best = points.find_map(|point| point.figure("ceiling.device_write_bytes_per_s"))?;
    let best = quantity::bytes_per_s(best.median);
    is_over_systems(sweep).then(|| {
        format!("of device: bytes that the device took a second ÷ the best that it can do ({best} of writes)")
    })
}

/// Returns the notes for a place, in the order in which they are shown.
pub(super) fn notes(sweep: &Sweep<'_>, place: Place) -> Vec<String> {
    let passes: BTreeSet<&str> = sweep
        .combinations
        .iter()
        .filter_map(|it| it.loaded_point())
        .map(|point| match point.pass {
            PassKind::Max => "max",
            PassKind::Closed => "closed",
            PassKind::Open => "an open load",
        })
        .collect();
    let trials = sweep.combinations.iter().filter_map(|it| it.loaded_point()).map(|it| it.trials.len()).max();
    let passes = passes.into_iter().collect::<Vec<_>>().join(" and ");
    let latency = if sweep.has_open() {
        format!("; p99: response, open load {}", sweep.rate_words())
    } else {
        "; latencies under it are not compared".to_owned()
    };
    let around = around_words(sweep);
    let median = match trials.unwrap_or(0) {
        1 => format!("one trial under {passes}{latency}"),
        trials => format!("median [{around}] of {trials} trials under {passes}{latency}"),
    };
    let mut notes = vec![median];
    notes.extend(sweep.rate_note());
    if sweep.combinations.iter().any(|it| it.points().count() > 1) {
        notes.push("each row has two points: one under each of these loads".to_owned());
    }
    if sweep.ratio.is_none() && sweep.metrics().first().is_some_and(|metric| compares(sweep, *metric)) {
        notes.push("vs best: [95 % interval that holds for all rows together]; out: ruled out".to_owned());
    }
    notes.extend(price_notes(sweep).filter(|_| place == Place::Terminal).into_iter().flatten());
    if sweep.has_open() && sweep.combinations.iter().any(|it| it.late_share() > 0.0) {
        notes.push(format!("{LATE}: share of the trials whose generator was late at first"));
        notes.push(format!("{FIRST}: with the first attempts, late ones included"));
    }
    notes.extend(sweep.disk_note().filter(|_| place == Place::Page));
    if is_over_systems(sweep) {
        notes.push("CPU: seconds for each GiB of values, of the system's processes or shards, and of client and load".to_owned());
    }
    notes.extend(device_note(sweep).filter(|_| place == Place::Page));
    if place == Place::Page
        && sweep.combinations.iter().flat_map(Combination::points).any(facts::lacks_flushes)
    {
        notes.push("of ceiling: slices without flushes, so that the share may be too low".to_owned());
    }
    notes.extend(bound_notes(sweep));
    if place == Place::Terminal {
        let points = sweep.combinations.iter().flat_map(Combination::points);
        let raised: BTreeSet<VerdictFlag> =
            points.flat_map(|point| point.verdict.flags.iter().copied()).collect();
        let explained: Vec<String> =
            raised.into_iter().map(|flag| format!("{} {}", letter(flag), flag.words())).collect();
        if !explained.is_empty() {
            notes.push(format!("flags: {}", explained.join(" · ")));
        }
    }
    notes
}

/// Explains the column of prices; `None` if the sweep has none.
fn price_notes(sweep: &Sweep<'_>) -> Option<Vec<String>> {
    let (along, metric) = (sweep.ratio?, *sweep.metrics().first()?);
    let found = prices::prices(sweep, along, metric);
    let setting = &sweep.settings[along].name;
    let column =
        format!("{VS_BEFORE}: multiple of the row with the {setting} before it {}", prices::brackets(&found));
    Some(std::iter::once(column).chain(prices::contradiction(&found)).collect())
}

/// Tells whether any comparison by a metric has an interval.
fn compares(sweep: &Sweep<'_>, metric: Metric) -> bool {
    let answers = answers(sweep, metric);
    answers.iter().flat_map(|answer| &answer.found.others).flatten().any(|it| it.interval.is_some())
}

/// Returns what stands in brackets beside a median.
fn around_words(sweep: &Sweep<'_>) -> &'static str {
    let figures = || {
        let metrics = sweep.metrics().into_iter();
        let of = |metric| {
            sweep.combinations.iter().filter_map(move |it| it.point(metric)?.summary.get(metric.path()))
        };
        metrics.flat_map(of).filter(|figure| figure.trials > 1)
    };
    match (figures().any(|it| it.interval.is_some()), figures().any(|it| it.interval.is_none())) {
        (true, false) => "95 % interval",
        (true, true) => "95 % interval, or min–max where it has none",
        _ => "min–max",
    }
}

/// Returns the explanation of each sign before a percentile.
fn bound_notes(sweep: &Sweep<'_>) -> BTreeSet<String> {
    let shown = [Metric::ResponseP50, Metric::ResponseP99].map(Metric::path);
    let points = sweep.combinations.iter().filter_map(|it| it.point(Metric::ResponseP99));
    points
        .flat_map(|point| shown.map(|path| point.figure(path).and_then(|figure| figure.bound)))
        .flatten()
        .map(|bound| facts::bound_note(bound).to_owned())
        .collect()
}
