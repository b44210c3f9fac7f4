//! Checks of the consumers' settings: what needs members of a group, and what members cannot do.

use super::capabilities::{self, Capabilities};
use super::problems::Problems;
use crate::workload::{Assignment, Churn, Commit, CommitMode, Target, TimeSpan, Workload};
use std::time::Duration;

/// The longest time between two heartbeats: a third of the session timeout of 45 s, as Kafka advises.
const HEARTBEAT_MAX: Duration = Duration::from_secs(15);
/// The shortest time between two heartbeats, commits or changes of a group.
const TIME_MIN: Duration = Duration::from_millis(1);
/// The longest time between two commits or changes.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// Gives `consume.assignment` its default in workloads whose file does not have it. The combinations of a sweep are alike: if one of
/// them has settings of members, or if consumers of all can be members, all have members. One that cannot is refused later. So one
/// value for all, that of the whole sweep, is enough to repeat it.
pub(in crate::workload) fn assign<'w>(
    workloads: impl IntoIterator<Item = &'w mut Workload>,
    systems: &[Capabilities],
) {
    let is_open = |workload: &&mut Workload| workload.consume.assignment.is_none();
    let open: Vec<&mut Workload> = workloads.into_iter().filter(is_open).collect();
    let have_members = open.iter().any(|workload| workload.consume.asks_for_members())
        || open.iter().all(|workload| why_not_members(workload, systems).is_none());
    for workload in open {
        workload.consume.assignment = Some(if have_members { Assignment::Group } else { Assignment::Fixed });
    }
}

/// Returns why consumers of the workload are no members of a group by default; `None` if they are. A system that is not in `systems`
/// has groups.
fn why_not_members(workload: &Workload, systems: &[Capabilities]) -> Option<String> {
    if workload.target.system() == Target::KAFKA {
        return Some("Kafka's brokers wait 3 s before the first assignment of each group".into());
    }
    let obstacle = obstacles(workload, systems).into_list().into_iter().next()?;
    // The remedy follows after the semicolon.
    Some(obstacle.message.split(';').next().unwrap_or_default().to_owned())
}

/// Refuses settings of members that contradict each other, or that members cannot do.
pub(in crate::workload) fn check(workload: &Workload, systems: &[Capabilities], problems: &mut Problems) {
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
        problems.0.extend(obstacles(workload, systems).into_list());
        if consume.churn.is_some() && workload.consumers_per_subscription < 2 {
            let message =
                "`consume.churn` needs `consumers_per_subscription` of at least 2, so that a member is left";
            problems.refuse(&["consume.churn", "consumers_per_subscription"], message);
        }
    }
}

/// Returns what keeps the consumers of a workload from being members of a group.
fn obstacles(workload: &Workload, systems: &[Capabilities]) -> Problems {
    let mut problems = Problems::default();
    let system = workload.target.system();
    if capabilities::capabilities_of(systems, system).is_some_and(|known| !known.has_groups) {
        let message = format!(
            "consumers of {system} cannot be members of a group yet; use `consume.assignment: fixed`"
        );
        problems.refuse(&["consume", "target"], message);
    }
    for obstacle in workload.obstacles_of_members() {
        problems.refuse(&obstacle.keys, obstacle.message);
    }
    problems
}

impl Workload {
    /// Says how the consumers of the combinations of a sweep, or of one workload, get their partitions. Where they are no members of a
    /// group, says why. `None` without consumers.
    pub fn consumers_in_words<'w>(
        workloads: impl IntoIterator<Item = &'w Self>,
        systems: &[Capabilities],
    ) -> Option<String> {
        let workloads: Vec<&Self> = workloads.into_iter().collect();
        let members = workloads.iter().filter(|workload| workload.consume.has_members()).count();
        let mut reasons = workloads.iter().filter_map(|workload| why_not_members(workload, systems));
        Some(match members {
            _ if workloads.iter().all(|workload| workload.subscriptions_per_topic == 0) => return None,
            0 => match reasons.next() {
                Some(why) => format!("read partitions by number, because {why}"),
                None => "read partitions by number".into(),
            },
            _ if members == workloads.len() => {
                "are members of a group, which gives them their partitions".into()
            }
            _ => {
                "are members of a group in some combinations, and read partitions by number in others".into()
            }
        })
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
    use crate::system::CAPABILITIES;
    use crate::workload::{Assignment, Many, Workload, parse, parse_study};

    fn workload(yaml: &str) -> Workload {
        parse(yaml, "test.yaml", &[]).unwrap()
    }

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
    fn consumers_are_members_of_a_group_where_they_can_be() {
        for (yaml, has_members, words) in [
            ("{}", true, Some("members of a group")),
            ("consume: {assignment: group}", true, Some("members of a group")),
            ("consume: {assignment: fixed}", false, Some("read partitions by number")),
            ("engine: {placement: colocated}", false, Some("because colocated consumers cannot be members")),
            ("backlog: {build: 1MiB}\nload: {mode: max}", false, Some("cannot start late on a backlog yet")),
            ("subscriptions_per_topic: 0", false, None),
        ] {
            let workload = workload(yaml);
            assert_eq!(workload.consume.has_members(), has_members, "{yaml}");
            let said = Workload::consumers_in_words([&workload], CAPABILITIES);
            assert_eq!(said.is_some(), words.is_some(), "{yaml}: {said:?}");
            assert!(said.unwrap_or_default().contains(words.unwrap_or_default()), "{yaml}");
            let resolved = workload.resolved();
            let assignment = resolved.pointer("/consume/assignment").and_then(|value| value.as_str());
            assert_eq!(assignment, Some(if has_members { "group" } else { "fixed" }), "{yaml}");
        }
    }

    #[test]
    fn a_default_is_no_difference_from_the_defaults() {
        let is_difference = |workload: &Workload| {
            workload.diff_from_defaults().iter().any(|it| it.key.starts_with("consume"))
        };
        for (yaml, is_shown) in
            [("{}", false), ("engine: {placement: colocated}", false), ("consume: {assignment: fixed}", true)]
        {
            assert_eq!(is_difference(&workload(yaml)), is_shown, "{yaml}");
        }
        for (assignment, is_shown) in [(Assignment::Fixed, false), (Assignment::Group, true)] {
            let mut on_kafka = workload("{}");
            on_kafka.target = serde_json::from_str("\"kafka\"").unwrap();
            on_kafka.consume.assignment = Some(assignment);
            assert_eq!(is_difference(&on_kafka), is_shown, "{assignment:?}");
        }
    }

    #[test]
    fn the_combinations_of_a_sweep_have_the_same_default() {
        let assignments = |yaml: &str| {
            let study = parse_study(yaml, "test.yaml", &[], Many::Refused, CAPABILITIES).unwrap();
            let workloads = study.combinations.into_iter().map(|combination| combination.workload);
            workloads.map(|workload| workload.consume.assignment.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(assignments("sweep: {partitions_per_topic: [1, 2]}"), [Assignment::Group; 2]);
        assert_eq!(assignments("sweep: {engine.placement: [remote, colocated]}"), [Assignment::Fixed; 2]);
        assert_eq!(assignments("sweep: {subscriptions_per_topic: [0, 1]}"), [Assignment::Fixed; 2]);
        assert_eq!(
            assignments("sweep: {consume.assignment: [fixed, group]}"),
            [Assignment::Fixed, Assignment::Group]
        );
    }

    #[test]
    fn workloads_without_members_keep_the_hash_that_they_had_before_there_were_members() {
        let fixed = workload("consume: {assignment: fixed}");
        assert_eq!(fixed.hash(), Workload { name: fixed.name.clone(), ..Workload::default() }.hash());
        assert_ne!(fixed.hash(), workload("{}").hash());
    }

    #[test]
    fn commits_or_churn_make_members_of_consumers() {
        let has_members = |yaml: &str| workload(yaml).consume.has_members();
        assert!(has_members("consume: {commit: {mode: sync}}"));
        assert!(has_members(
            "partitions_per_topic: 2\nconsumers_per_subscription: 2\nconsume: {churn: {every: 1s}}"
        ));
    }

    #[test]
    fn settings_of_members_that_have_no_effect_are_said() {
        let notes = |yaml: &str| parse(yaml, "test.yaml", &[]).unwrap().without_effect();
        let fixed = |key: &str| notes(&format!("consume: {{assignment: fixed, {key}}}")).remove(0);
        assert!(fixed("assignor: range").starts_with("`consume.assignor`"));
        assert!(fixed("heartbeat_interval: 1s").starts_with("`consume.heartbeat_interval`"));
        assert!(notes("consume: {commit: {mode: none, every: 1s}}")[0].starts_with("`consume.commit.every`"));
        let churn = "partitions_per_topic: 2\nconsumers_per_subscription: 2\nphases: {measure: 1s}\n";
        assert!(
            notes(&format!("{churn}consume: {{churn: {{every: 1s}}}}"))[0]
                .starts_with("`consume.churn.every`")
        );
        assert!(notes("consume: {commit: {mode: auto, every: 1s}}").is_empty());
    }
}
