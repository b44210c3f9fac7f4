//! Consumer groups in words: rebalances, stops of partitions, lag, and what their members read.

use super::facts::{FIGURES, NONE, figure_text, figure_words};
use crate::num;
use crate::quantity;
use crate::result::{GroupFigures, Point, RunResult, Trial};

type Cell = (&'static str, fn(&Point) -> String);

/// Row of the table of figures with the latencies of commits.
pub(super) const COMMITS: &str = "commits";
/// Rows of the table of figures that the sentences say as well.
pub(super) const IN_SENTENCES: [&str; 3] = ["rebalances", "longest stop", "lag"];
/// Rows of figures on consumer groups: the name, and the function that formats a point's figure.
const ROWS: [Cell; 4] =
    [("rebalances", rebalances), ("longest stop", stop), ("lag", lag), (COMMITS, commits)];

/// Returns the rows of the table of figures: a name, and a text for each point. Those on consumer groups are there if any trial
/// had members of groups.
pub(super) fn figure_rows(result: &RunResult) -> Vec<(&'static str, Vec<String>)> {
    let has_groups = figures_of(result).next().is_some();
    let rows = FIGURES.into_iter().chain(ROWS.into_iter().filter(|_| has_groups));
    rows.map(|(name, of)| (name, result.points.iter().map(of).collect())).collect()
}

/// Returns what happened to the groups of all trials in two sentences: rebalances and stops, then what was read and what was
/// left. Empty if no member came or went, and no group rebalanced.
pub(super) fn sentences(result: &RunResult) -> Vec<String> {
    let found: Vec<&GroupFigures> = figures_of(result).collect();
    if found.is_empty() || !has_news(result) {
        return Vec::new();
    }
    vec![of_rebalances(&found), format!("{}; {}", of_records(result), of_lag(&found))]
}

fn trials(result: &RunResult) -> impl Iterator<Item = &Trial> {
    result.points.iter().flat_map(|point| &point.trials)
}

fn figures_of(result: &RunResult) -> impl Iterator<Item = &GroupFigures> {
    trials(result).filter_map(|trial| trial.groups.as_ref())
}

/// Tells whether members came and went on purpose, or a group rebalanced, or records were read again or not at all.
fn has_news(result: &RunResult) -> bool {
    let workloads = std::iter::once(&result.workload).chain(&result.workloads);
    let has_churn =
        workloads.into_iter().any(|it| it.pointer("/consume/churn").is_some_and(|churn| !churn.is_null()));
    let has_odd_records = |trial: &Trial| {
        let found = &trial.integrity;
        [found.redelivered, found.skipped, found.double_owned].iter().any(|count| *count > Some(0))
    };
    has_churn || figures_of(result).any(|it| it.rebalances > 0) || trials(result).any(has_odd_records)
}

/// Tells whether the commits belong on the first screen: the workload sets how members commit, a commit has failed, or there is
/// other news of the groups. Otherwise members commit by default, and the report has the figures.
pub(super) fn are_commits_news(result: &RunResult) -> bool {
    let mut workloads = std::iter::once(&result.workload).chain(&result.workloads);
    let has_commit =
        workloads.any(|it| it.pointer("/consume/commit").is_some_and(|commit| !commit.is_null()));
    has_commit || has_news(result) || figures_of(result).any(|it| it.commits_failed > 0)
}

/// Returns how often the groups rebalanced, and for how long a partition stood still.
fn of_rebalances(found: &[&GroupFigures]) -> String {
    let counts = || found.iter().map(|it| it.rebalances);
    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    let count = match (least, most) {
        (0, 0) => "no".to_owned(),
        (least, most) if least == most => most.to_string(),
        (least, most) => format!("{least}–{most}"),
    };
    let plural = if most == 1 { "" } else { "s" };
    let each = if found.len() > 1 { " a trial" } else { "" };
    let longest = |of: fn(&GroupFigures) -> Option<f64>| {
        found.iter().filter_map(|it| of(it)).reduce(f64::max).filter(|longest_s| *longest_s > 0.0)
    };
    let took = longest(|it| it.rebalance_max_s).filter(|_| most > 0);
    let took = took.map(|took_s| format!(", the longest {}", seconds(took_s))).unwrap_or_default();
    let stop = match longest(|it| it.stop_max_s) {
        Some(stop_s) => format!("longest stop of a partition {}", seconds(stop_s)),
        None => "no partition stopped".to_owned(),
    };
    format!("{count} rebalance{plural}{each}{took}; {stop}")
}

/// Returns how many records were read again, by nobody, and by two owners, over all trials.
fn of_records(result: &RunResult) -> String {
    let sum = |of: fn(&Trial) -> Option<u64>| {
        trials(result).filter_map(of).reduce(|sum, count| sum + count).map(|count| match count {
            0 => "none".to_owned(),
            count => count.to_string(),
        })
    };
    let counts = [
        sum(|trial| trial.integrity.redelivered),
        sum(|trial| trial.integrity.skipped),
        sum(|trial| trial.integrity.double_owned),
    ];
    match counts {
        [Some(redelivered), Some(skipped), Some(double)] => {
            format!("{redelivered} redelivered, {skipped} skipped, {double} double-owned")
        }
        _ => "redelivered, skipped and double-owned records were not counted".to_owned(),
    }
}

/// Returns the largest number of records that the groups of a trial had not read when the drain ended.
fn of_lag(found: &[&GroupFigures]) -> String {
    format!("final lag {}", found.iter().map(|it| it.lag_end).max().unwrap_or(0))
}

fn rebalances(point: &Point) -> String {
    let count = figure_text(point, "groups.rebalances", quantity::count);
    match point.figure("groups.rebalance_max_s") {
        Some(longest) => format!("{count}, the longest {}", figure_words(longest, seconds)),
        None => count,
    }
}

fn stop(point: &Point) -> String {
    figure_text(point, "groups.stop_max_s", seconds)
}

fn lag(point: &Point) -> String {
    let end = figure_text(point, "groups.lag_end", quantity::count);
    let most = figure_text(point, "groups.lag_max", quantity::count);
    if end == NONE { NONE.to_owned() } else { format!("{end} records at the end, at most {most}") }
}

/// Describes the commits of a point: their number, and how long they took.
fn commits(point: &Point) -> String {
    let mut parts = vec![figure_text(point, "groups.commits", quantity::count)];
    if let Some(failed) = point.figure("groups.commits_failed").filter(|failed| failed.max > 0.0) {
        parts.push(format!("{} failed", figure_words(failed, quantity::count)));
    }
    for (name, path) in
        [("p50", "groups.commit_p50_us"), ("p99", "groups.commit_p99_us"), ("max", "groups.commit_max_us")]
    {
        if let Some(took) = point.figure(path) {
            parts.push(format!("{name} {}", quantity::ns(num::u64_of(took.median * 1e3))));
        }
    }
    parts.join(", ")
}

fn seconds(time_s: f64) -> String {
    quantity::ns(num::u64_of(time_s * 1e9))
}
