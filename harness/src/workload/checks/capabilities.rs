//! The capabilities of the systems that can be measured. A system fills them in, and validation asks them, so that no workload
//! file is accepted that its system cannot run.

use super::problems::{Problem, Problems};
use crate::workload::reading::tree::Node;
use crate::workload::{BacklogCache, Durability, Requirement, Workload};
use std::collections::BTreeSet;

/// The capabilities of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// The name of the system in `target`.
    pub system: &'static str,
    /// The reason why this build cannot measure it, with what to do; `None` if it can.
    pub missing: Option<&'static str>,
    /// The section of the workload file that holds its own settings.
    pub settings: Option<&'static str>,
    /// The levels of durability that it can be asked for.
    pub durabilities: &'static [Durability],
    /// Whether load can run on its shards' own threads (`engine.placement: colocated`).
    pub runs_colocated_load: bool,
    /// Whether a shard can be stopped on purpose (`--inject`).
    pub can_be_stalled: bool,
    /// Whether its caches can be dropped (`backlog.cache: cold`).
    pub drops_caches: bool,
    /// Whether the system reports the deletions of its retention (`require: [retention_reached]`).
    pub reports_retention: bool,
    /// Whether consumers can be members of a group (`consume.assignment: group`).
    pub has_groups: bool,
    /// Whether each ack carries the time at which the system made it. Otherwise a response ends only when the load thread picks
    /// the ack up.
    pub stamps_completion: bool,
}

/// The capabilities of the system called `system`; `None` if no such system can be measured.
pub fn capabilities_of(known: &[Capabilities], system: &str) -> Option<Capabilities> {
    known.iter().copied().find(|capabilities| capabilities.system == system)
}

/// Refuses what the system of the workload cannot do.
pub(in crate::workload) fn check(workload: &Workload, known: &[Capabilities], problems: &mut Problems) {
    let system = workload.target.system();
    let Some(capabilities) = capabilities_of(known, system) else {
        // A target that is planned is refused by name.
        if system != "device" {
            let names: Vec<String> = known.iter().map(|system| format!("`{}`", system.system)).collect();
            let message = format!("`{system}` is no system that can be measured; use {}", names.join(" or "));
            problems.refuse(&["target"], message);
        }
        return;
    };
    if let Some(missing) = capabilities.missing {
        problems.refuse(&["target"], missing);
    }
    let levels = capabilities.durabilities;
    if !levels.contains(&workload.durability) {
        let name = |level: &Durability| format!("`{}`", level.name());
        let message = format!(
            "{system} cannot be asked for `durability: {}`; it has {}",
            workload.durability.name(),
            levels.iter().map(name).collect::<Vec<_>>().join(" or ")
        );
        problems.refuse(&["durability", "target"], message);
    }
    if workload.deployment().is_colocated() && !capabilities.runs_colocated_load {
        let message = format!("{system} has no shards in this process to run load on");
        problems.refuse(&["engine.placement", "target"], message);
    }
    if workload.backlog.is_some_and(|backlog| backlog.cache == BacklogCache::Cold)
        && !capabilities.drops_caches
    {
        let message = format!("the caches of {system} cannot be dropped; use `backlog.cache: warm`");
        problems.refuse(&["backlog.cache", "target"], message);
    }
    let needs_retention = workload.require.contains(&Requirement::RetentionReached);
    if needs_retention && !capabilities.reports_retention {
        problems.refuse(
            &["require", "target"],
            format!("{system} does not report the deletions of its retention"),
        );
    }
}

/// Sections of a workload file that hold the settings of one system.
const SECTIONS: [&str; 2] = ["engine", "kafka"];

/// Refuses settings that are written for a system which no point of the study measures. `measured` are the systems of its points.
pub(in crate::workload) fn unused_settings<'a>(
    root: &Node,
    measured: impl Iterator<Item = &'a str>,
    known: &[Capabilities],
) -> Vec<Problem> {
    let capabilities = measured.filter_map(|system| capabilities_of(known, system));
    let used: BTreeSet<&str> = capabilities.filter_map(|system| system.settings).collect();
    let mut problems = Problems::default();
    for section in SECTIONS {
        if root.find(section).is_some() && !used.contains(section) {
            let message = "no point of this workload measures a system with these settings".to_owned();
            problems.refuse(&[section, "target"], message);
        }
    }
    problems.into_list()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Assignment, Many, parse_study};

    const LIMITED: Capabilities = Capabilities {
        system: "limited",
        missing: None,
        settings: None,
        durabilities: &[Durability::Written],
        runs_colocated_load: false,
        can_be_stalled: false,
        drops_caches: false,
        reports_retention: false,
        has_groups: false,
        stamps_completion: false,
    };

    fn refusal(yaml: &str) -> String {
        parse_study(yaml, "test.yaml", &[], Many::Refused, &[LIMITED]).unwrap_err().to_string()
    }

    #[test]
    fn a_workload_that_its_system_cannot_run_is_refused_at_the_key() {
        let retention =
            refusal("target: limited\nlog: {retention_bytes: 1GiB}\nrequire: [retention_reached]");
        assert!(retention.contains("limited does not report the deletions of its retention"), "{retention}");
        let cold = refusal("target: limited\nbacklog: {build: 1GiB, cache: cold}");
        assert!(
            cold.contains("the caches of limited cannot be dropped; use `backlog.cache: warm`"),
            "{cold}"
        );
        let members = refusal("target: limited\nconsume: {assignment: group}");
        assert!(members.contains("consumers of limited cannot be members of a group"), "{members}");
    }

    #[test]
    fn defaults_that_a_system_cannot_honour_are_no_reason_to_refuse() {
        let study = parse_study("target: limited", "test.yaml", &[], Many::Refused, &[LIMITED]).unwrap();
        assert_eq!(study.workload.consume.assignment, Some(Assignment::Fixed));
        assert!(study.workload.diff_from_defaults().iter().all(|it| it.key == "target"));
        let said = Workload::consumers_in_words([&study.workload], &[LIMITED]).unwrap();
        assert!(said.ends_with("because consumers of limited cannot be members of a group yet"), "{said}");
    }

    #[test]
    fn settings_of_a_system_that_is_not_measured_are_refused() {
        let refused = refusal("target: limited\nengine: {shards: 2}");
        assert!(
            refused.contains("no point of this workload measures a system with these settings"),
            "{refused}"
        );
    }

    #[test]
    fn an_unknown_system_is_refused_with_the_names_of_those_that_are_known() {
        let unknown = refusal("target: redpanda");
        assert!(unknown.contains("`redpanda` is no system that can be measured; use `limited`"), "{unknown}");
        assert!(refusal("target: device").contains("not supported yet"));
    }
}
