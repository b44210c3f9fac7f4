//! Compares committed offsets with the logs that they point into. A commit that fits none is a note: Kafka accepts it, too.

use super::logs::Logs;
use super::replay::Stored;
use super::report::PartitionMark;
use crate::verify::report::{Findings, NoteKind};
use std::collections::BTreeMap;

/// Notes the committed offsets of missing topics and partitions, and those beyond the end of their log. There is one note
/// for each topic of a group.
pub(in crate::verify) fn check_commits(stored: &Stored, logs: &Logs, findings: &mut Findings<'_>) {
    for group in stored.groups.ids() {
        let mut missing: BTreeMap<(String, PartitionMark), Vec<i32>> = BTreeMap::new();
        for (key, committed) in stored.groups.committed(group) {
            match logs.mark(&key.topic, key.partition, Some(committed.offset)) {
                Some(mark @ (PartitionMark::NoTopic | PartitionMark::NoPartition)) => {
                    missing.entry((key.topic, mark)).or_default().push(key.partition);
                }
                Some(PartitionMark::BeyondEnd) => {
                    let end = logs.bounds(&key.topic, key.partition).map_or(0, |(_, end)| end);
                    let message = format!(
                        "group {group} has committed offset {} of {}-{}, whose log ends at {end}; on resume its consumer \
                         does what auto_offset_reset says",
                        committed.offset, key.topic, key.partition
                    );
                    findings.note(NoteKind::CommitBeyondEnd, &stored.dir, 0, message);
                }
                Some(PartitionMark::BelowStart) | None => {}
            }
        }
        for ((topic, mark), partitions) in missing {
            let numbers: Vec<String> = partitions.iter().map(i32::to_string).collect();
            let message = match mark {
                PartitionMark::NoTopic => format!(
                    "group {group} has committed offsets of topic {topic}, which does not exist: partitions {}",
                    numbers.join(", ")
                ),
                _ => format!(
                    "group {group} has committed offsets of partitions that topic {topic} does not have: {}",
                    numbers.join(", ")
                ),
            };
            findings.note(NoteKind::CommitOfMissing, &stored.dir, 0, message);
        }
    }
}
