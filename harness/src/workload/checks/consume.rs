//! Checks of the consumers' settings: what needs members of a group, and what members cannot do.

use super::problems::Problems;
use crate::workload::{Assignment, Churn, Commit, CommitMode, TimeSpan, Workload};
use std::time::Duration;

/// The longest time between two heartbeats: a third of the session timeout of 45 s, as Kafka advises.
const HEARTBEAT_MAX: Duration = Duration::from_secs(15);
/// The shortest time between two heartbeats, commits or changes of a group.
const TIME_MIN: Duration = Duration::from_millis(1);
/// The longest time between two commits or changes.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// Refuses settings of members that contradict each other, or that members cannot do.
pub(in crate::workload) fn check(workload: &Workload, problems: &mut Problems) {
    let consume = &workload.consume;
    let times = [
        ("consume.heartbeat_interval", Some(consume.heartbeat_interval), HEARTBEAT_MAX),
        ("consume.commit.every", consume.commit.map(|commit| commit.every), TIME_MAX),
        ("consume.churn.every", consume.churn.map(|churn| churn.every), TIME_MAX),
    ];
    for (key, time, most) in times {
        if let Some(time) = time.filter(|time| !(TIME_MIN..=most).contains(&time.0)) {
            let (least, most) = (TimeSpan(TIME_MIN), TimeSpan(most));
            problems.refuse(&[key], format!("`{key}` must be from {least} to {most}, not {time}"));
        }
    }
    if consume.assignment == Some(Assignment::Fixed) {
        for (key, is_written) in
            [("consume.commit", consume.commit.is_some()), ("consume.churn", consume.churn.is_some())]
        {
            if is_written {
                let message = format!("`{key}` needs `consume.assignment: group`");
                problems.refuse(&[key, "consume.assignment"], message);
            }
        }
    }
    if consume.has_members() {
        check_members(workload, problems);
    }
}

fn check_members(workload: &Workload, problems: &mut Problems) {
    if workload.subscriptions_per_topic == 0 {
        let message = "members of a group need `subscriptions_per_topic` of at least 1";
        problems.refuse(&["consume", "subscriptions_per_topic"], message);
    }
    if workload.deployment().is_colocated() {
        let message = "colocated consumers cannot be members of a group yet; use `engine.placement: remote`, or \
                       `consume.assignment: fixed`";
        problems.refuse(&["consume", "engine.placement"], message);
    }
    if workload.backlog.is_some() {
        let message =
            "members of a group cannot start late on a backlog yet; use `consume.assignment: fixed`";
        problems.refuse(&["consume", "backlog"], message);
    }
    if workload.consume.churn.is_some() && workload.consumers_per_subscription < 2 {
        let message =
            "`consume.churn` needs `consumers_per_subscription` of at least 2, so that a member is left";
        problems.refuse(&["consume.churn", "consumers_per_subscription"], message);
    }
}

/// Returns a sentence for each setting of members that has no effect. `is_set` tells which keys differ from their defaults.
pub(super) fn without_effect(workload: &Workload, is_set: &impl Fn(&str) -> bool) -> Vec<String> {
    let consume = &workload.consume;
    let mut notes = Vec::new();
    if !consume.has_members() {
        let unused = ["consume.assignor", "consume.heartbeat_interval"].into_iter().filter(|key| is_set(key));
        notes.extend(unused.map(|key| {
            format!("`{key}`: the consumers are no members of a group (`consume.assignment: group`)")
        }));
    }
    if let Some(Commit { mode: CommitMode::None, every }) = consume.commit
        && every != Commit::default().every
    {
        notes.push("`consume.commit.every`: nothing is committed (`consume.commit.mode: none`)".into());
    }
    if let Some(Churn { every }) = consume.churn
        && every >= workload.phases.measure
    {
        let window = workload.phases.measure;
        notes.push(format!("`consume.churn.every`: no member leaves, because the window is {window} long"));
    }
    notes
}

#[cfg(test)]
mod tests {
    use crate::workload::parse;

    fn refusal(yaml: &str) -> String {
        parse(yaml, "test.yaml", &[]).unwrap_err().to_string()
    }

    #[test]
    fn what_members_need_or_cannot_do_is_refused_by_name() {
        let two = "partitions_per_topic: 2\nconsumers_per_subscription: 2\n";
        for (yaml, message) in [
            (
                "consume: {assignment: fixed, commit: {mode: sync}}",
                "`consume.commit` needs `consume.assignment: group`",
            ),
            (
                "consume: {assignment: fixed, churn: {every: 1s}}",
                "`consume.churn` needs `consume.assignment: group`",
            ),
            ("consume: {assignment: group}\nsubscriptions_per_topic: 0", "need `subscriptions_per_topic`"),
            (
                "consume: {commit: {}}\nengine: {placement: colocated}",
                "colocated consumers cannot be members",
            ),
            (
                "consume: {commit: {}}\nbacklog: {build: 1MiB}\nload: {mode: max}",
                "cannot start late on a backlog",
            ),
            ("consume: {churn: {every: 1s}}", "needs `consumers_per_subscription` of at least 2"),
            ("consume: {churn: {}}", "the key `every` is missing"),
            ("consume: {commit: {every: 0}}", "`consume.commit.every` must be from 1ms"),
            ("consume: {heartbeat_interval: 16s}", "`consume.heartbeat_interval` must be from 1ms to 15s"),
            (&format!("{two}consume: {{churn: {{every: 0}}}}"), "`consume.churn.every` must be from 1ms"),
        ] {
            let refused = refusal(yaml);
            assert!(refused.contains(message), "{yaml}: {refused}");
        }
    }

    #[test]
    fn commits_or_churn_make_members_of_consumers() {
        let has_members = |yaml: &str| parse(yaml, "test.yaml", &[]).unwrap().consume.has_members();
        assert!(!has_members("{}"));
        assert!(!has_members("consume: {assignment: fixed}"));
        assert!(has_members("consume: {assignment: group}"));
        assert!(has_members("consume: {commit: {mode: sync}}"));
        assert!(has_members(
            "partitions_per_topic: 2\nconsumers_per_subscription: 2\nconsume: {churn: {every: 1s}}"
        ));
    }

    #[test]
    fn settings_of_members_that_have_no_effect_are_said() {
        let notes = |yaml: &str| parse(yaml, "test.yaml", &[]).unwrap().without_effect();
        assert!(notes("consume: {assignor: range}")[0].starts_with("`consume.assignor`"));
        assert!(notes("consume: {heartbeat_interval: 1s}")[0].starts_with("`consume.heartbeat_interval`"));
        assert!(notes("consume: {commit: {mode: none, every: 1s}}")[0].starts_with("`consume.commit.every`"));
        let churn = "partitions_per_topic: 2\nconsumers_per_subscription: 2\nphases: {measure: 1s}\n";
        assert!(
            notes(&format!("{churn}consume: {{churn: {{every: 1s}}}}"))[0]
                .starts_with("`consume.churn.every`")
        );
        assert!(notes("consume: {commit: {mode: auto, every: 1s}}").is_empty());
    }
}
