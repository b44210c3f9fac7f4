//! Checks of colocated load, which runs on the shards' own threads.

use super::problems::Problems;
use crate::workload::{Placement, Workload};

/// Refuses settings that do not work with colocated load.
pub(in crate::workload) fn check(workload: &Workload, problems: &mut Problems) {
    let engine = &workload.engine;
    if engine.placement != Placement::Colocated {
        return;
    }
    if !engine.cores.load.is_empty() {
        let message = "colocated load runs on the shards' own cores; leave `engine.cores.load` out";
        problems.refuse(&["engine.cores.load", "engine.placement"], message);
    }
    let needed = engine.shards.min(workload.partitions_per_topic);
    let members =
        if workload.subscriptions_per_topic > 0 { workload.consumers_per_subscription } else { needed };
    let counts =
        [("producers_per_topic", workload.producers_per_topic), ("consumers_per_subscription", members)];
    for (key, count) in counts {
        if count < needed {
            let message = format!(
                "each of the {needed} shards with partitions of a topic needs a colocated client of its own, but \
                 `{key}` is {count}"
            );
            problems.refuse(&[key, "engine.placement"], message);
        }
    }
}
