//! Runs with members of consumer groups, from the workload to the exit code.

use super::sweep_tests::{Bench, study};
use crate::exit::ExitStatus;
use crate::result::RunResult;
use crate::system::fake::GroupFaults;

const CHURNED: &str = "
name: churned
message_size: 100B
partitions_per_topic: 4
consumers_per_subscription: 2
consume: {assignment: group, churn: {every: 100ms}}
ceiling: off
warm_memory: off
phases: {warmup: 100ms, measure: 1s, drain: 5s}
trials: 1
late_retries: 0
load: {mode: open, rate: 20k/s}
";

fn run(group: GroupFaults) -> RunResult {
    let mut bench = Bench::new();
    bench.group = group;
    bench.begin(&study(CHURNED)).unwrap().recording.result
}

#[test]
fn skipped_and_double_owned_records_end_a_run_with_exit_6_and_redelivered_ones_do_not() {
    let skips = run(GroupFaults { skips_on_revoke: true, ..GroupFaults::default() });
    let shares = run(GroupFaults { shares_from: Some(3), ..GroupFaults::default() });
    let repeats = run(GroupFaults { forgets_commits: true, ..GroupFaults::default() });
    let found = |result: &RunResult| {
        let integrity = &result.points[0].trials[0].integrity;
        [integrity.redelivered, integrity.skipped, integrity.double_owned].map(|count| count > Some(0))
    };
    assert_eq!(found(&skips)[1..], [true, false], "{:?}", skips.points[0].trials[0].integrity);
    assert_eq!(found(&shares)[1..], [false, true], "{:?}", shares.points[0].trials[0].integrity);
    assert_eq!(found(&repeats), [true, false, false], "{:?}", repeats.points[0].trials[0].integrity);
    for (result, is_failed) in [(&skips, true), (&shares, true), (&repeats, false)] {
        let status = result.verdict.status;
        assert_eq!(status.exit_status() == ExitStatus::Integrity, is_failed, "{:?}", result.verdict);
    }
}
