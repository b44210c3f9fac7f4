//! Checks of a workload that measures an existing topic (`topic`). Such a topic is never altered, so nothing may ask for another
//! one.

use super::problems::Problems;
use crate::workload::{Target, Workload};

/// Length of the longest name of a topic in Kafka.
const NAME_MAX: usize = 249;

/// Refuses an existing topic where there can be none, and settings that only a new topic could have.
pub(in crate::workload) fn check(workload: &Workload, problems: &mut Problems) {
    let Some(topic) = &workload.topic else { return };
    let target = &workload.target;
    if target.system() != Target::KAFKA {
        let message = format!(
            "`topic` names an existing topic of a Kafka cluster (`target: kafka://host:port`), and the target is `{target}`"
        );
        return problems.refuse(&["topic", "target"], message);
    }
    if target.address().is_none() {
        let message = "`topic`: brokers that the harness starts have no topics yet; name the address of a running cluster \
                       (`target: kafka://host:port`)";
        return problems.refuse(&["topic", "target"], message);
    }
    if !is_name(topic) {
        let message = format!(
            "`{topic}` cannot be the name of a topic: letters, digits, `.`, `_` and `-`, {NAME_MAX} characters at most"
        );
        problems.refuse(&["topic"], message);
    }
    if workload.topics != 1 {
        let message = format!("`topic` names one topic, and `topics` asks for {}", workload.topics);
        problems.refuse(&["topics", "topic"], message);
    }
    for difference in workload.diff_from_defaults() {
        let key = difference.key.as_str();
        let is_of_topics = ["kafka.replication", "kafka.min_insync_replicas"].contains(&key);
        if key.starts_with("log.") || is_of_topics {
            let message = format!(
                "`{key}` is for topics that a run makes; `{topic}` exists, and a run never alters it"
            );
            problems.refuse(&[key, "topic"], message);
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=NAME_MAX).contains(&text.len()) && !matches!(text, "." | "..") && text.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use crate::workload::{Capabilities, Durability, Many, parse_study};

    const KAFKA: Capabilities = Capabilities {
        system: "kafka",
        missing: None,
        settings: Some("kafka"),
        durabilities: &[Durability::Written, Durability::Synced],
        runs_colocated_load: false,
        can_be_stalled: false,
        drops_caches: false,
        reports_retention: false,
        has_groups: true,
        stamps_completion: true,
    };
    const ENGINE: Capabilities = Capabilities { system: "engine", settings: Some("engine"), ..KAFKA };

    fn problem(yaml: &str) -> Option<String> {
        let read = parse_study(yaml, "test.yaml", &[], Many::Refused, &[ENGINE, KAFKA]);
        read.err().map(|error| error.to_string())
    }

    #[test]
    fn a_topic_that_exists_is_measured_with_its_own_settings() {
        let orders = "target: 'kafka://h:1'\ntopic: orders.v1\npartitions_per_topic: 3\n";
        assert_eq!(problem(orders), None);
        assert_eq!(problem(&format!("{orders}consume: {{assignment: group}}")), None);
        for (more, message) in [
            (
                "log: {segment_bytes: 1MiB}",
                "`log.segment_bytes` is for topics that a run makes; `orders.v1` exists",
            ),
            ("log: {retention_ms: 1h}", "`log.retention_ms` is for topics that a run makes"),
            ("kafka: {replication: 3}", "`kafka.replication` is for topics that a run makes"),
            (
                "sweep: {log.segment_bytes: [128MiB, 1GiB]}",
                "`log.segment_bytes` is for topics that a run makes",
            ),
            ("topics: 2", "`topic` names one topic, and `topics` asks for 2"),
        ] {
            let found = problem(&format!("{orders}{more}")).unwrap_or_default();
            assert!(found.contains(message), "{more}: {found}");
        }
    }

    #[test]
    fn a_topic_needs_a_running_cluster_and_a_name_that_kafka_takes() {
        for (yaml, message) in [
            ("topic: orders", "the target is `engine`"),
            ("target: kafka\ntopic: orders", "brokers that the harness starts have no topics yet"),
            ("target: 'kafka://h:1'\ntopic: 'a b'", "`a b` cannot be the name of a topic"),
            ("target: 'kafka://h:1'\ntopic: '..'", "`..` cannot be the name of a topic"),
            ("target: 'kafka://h:1'\ntopic: ''", "cannot be the name of a topic"),
        ] {
            let found = problem(yaml).unwrap_or_default();
            assert!(found.contains(message), "{yaml}: {found}");
        }
    }
}
