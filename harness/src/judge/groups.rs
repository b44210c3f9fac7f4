//! The figures of consumer groups in one trial.

use crate::measure::finished::TrialRun;
use crate::measure::group::GroupRecord;
use crate::num;
use crate::result::GroupFigures;
use crate::result::latency::new_histogram;
use crate::workload::Workload;

const US_PER_NS: f64 = 1e-3;
const S_PER_NS: f64 = 1e-9;

/// Returns the figures of the groups of a trial; `None` unless the consumers were members of groups.
pub(super) fn figures(workload: &Workload, run: &TrialRun) -> Option<GroupFigures> {
    let groups = &run.harvest.groups;
    if groups.is_empty() {
        return None;
    }
    let rebalances = || groups.iter().flat_map(|group| group.rebalances_in_window(&run.timeline));
    let longest_ns = rebalances().map(|rebalance| rebalance.span.end_ns - rebalance.span.start_ns).max();
    let stop_ns = groups.iter().map(|group| group.stop_max_ns).max().filter(|stop_ns| *stop_ns > 0);
    let mut commit_ns = new_histogram();
    for group in groups {
        commit_ns.add(&group.commit_ns).expect("every histogram here has the same bounds");
    }
    let commit_us = |quantile: f64| {
        (!commit_ns.is_empty()).then(|| num::f64_of(commit_ns.value_at_quantile(quantile)) * US_PER_NS)
    };
    let sum = |of: fn(&GroupRecord) -> u64| groups.iter().map(of).sum();
    let in_window = run.observed.series.rows.iter().filter(|row| row.t_s > -1e-9);
    Some(GroupFigures {
        groups: u32::try_from(groups.len()).unwrap_or(u32::MAX),
        members: groups.iter().map(|group| group.members).sum(),
        assignor: workload.consume.assignor.name().to_owned(),
        rebalances: num::count(rebalances().count()),
        rebalance_max_s: longest_ns.map(|ns| num::f64_of(ns) * S_PER_NS),
        stop_max_s: stop_ns.map(|ns| num::f64_of(ns) * S_PER_NS),
        commits: commit_ns.len(),
        commits_failed: sum(|group| group.commits_failed),
        commit_p50_us: commit_us(0.5),
        commit_p99_us: commit_us(0.99),
        commit_max_us: commit_us(1.0),
        lag_max: in_window.filter_map(|row| row.lag).max().unwrap_or(0),
        lag_end: sum(|group| group.lag_end),
    })
}
