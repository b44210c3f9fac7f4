//! Checks of the objectives (`slo`).

use super::problems::Problems;
use crate::workload::{Histogram, LoadMode, Workload};

/// Least length of the drain, in halves of the largest objective.
const DRAIN_FACTOR_HALVES: u32 = 3;

/// Refuses objectives that mean nothing under the load, or that the drain is too short to judge.
pub(in crate::workload) fn check(workload: &Workload, problems: &mut Problems) {
    let slo = &workload.slo;
    let is_open = matches!(workload.load.mode, LoadMode::Open { .. });
    for bound in &slo.latencies {
        let path = format!("slo.{}", bound.key);
        if bound.histogram.needs_open_load() && !is_open {
            let message = format!(
                "`{}` is measured from intended times, which only `load: {{mode: open, rate: …}}` has",
                bound.key
            );
            problems.refuse(&[&path], message);
        }
        if bound.histogram == Histogram::EndToEnd && workload.subscriptions_per_topic == 0 {
            let message = format!("`{}` needs consumers, but `subscriptions_per_topic` is 0", bound.key);
            problems.refuse(&[&path, "subscriptions_per_topic"], message);
        }
        if bound.limit.0.is_zero() {
            problems.refuse(&[&path], format!("`{}` must be above 0", bound.key));
        }
    }
    if slo.min_achieved.is_some() && !is_open {
        let message =
            "`min_achieved` compares with an offered rate, which only `load: {mode: open, rate: …}` has";
        problems.refuse(&["slo.min_achieved"], message);
    }
    check_drain(workload, problems);
}

/// Records that are not acked when the drain ends count with their age. So the drain must be longer than any objective, or
/// they could not miss it.
fn check_drain(workload: &Workload, problems: &mut Problems) {
    let bounds = workload.slo.latencies.iter().filter(|bound| bound.histogram != Histogram::PacingLag);
    let Some(largest) = bounds.max_by_key(|bound| bound.limit.0) else { return };
    let drain = workload.phases.drain;
    if drain.0 < largest.limit.0.saturating_mul(DRAIN_FACTOR_HALVES) / 2 {
        let message = format!(
            "`phases.drain` ({drain}) must be at least 1.5 times the largest objective (`{}: {}`): it decides about records \
             that are never acked",
            largest.key, largest.limit
        );
        problems.refuse(&["phases.drain", &format!("slo.{}", largest.key)], message);
    }
}
