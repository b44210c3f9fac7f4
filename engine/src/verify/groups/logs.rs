//! The logs that committed offsets point into: which exist, where they begin, and where they end.

use super::report::PartitionMark;
use crate::verify::found::{Found, FoundPartition};
use crate::verify::partition::Walked;
use std::collections::BTreeMap;

/// First offset of a log, and the offset after its last record.
pub(super) type Bounds = (i64, i64);

/// The logs of a data directory, by topic and partition.
#[derive(Default)]
pub(in crate::verify) struct Logs {
    topics: BTreeMap<String, BTreeMap<u32, Bounds>>,
}

impl Logs {
    /// Returns the logs of partitions that were read. Those that no open reads are left out.
    pub(in crate::verify) fn of<'w>(
        found: &Found<'_>,
        walked: impl IntoIterator<Item = (&'w FoundPartition<'w>, &'w Walked)>,
    ) -> Self {
        let mut logs = Self::default();
        for (_, topic, _) in &found.missing {
            logs.topics.entry(topic.clone()).or_default();
        }
        for (_, walked) in walked.into_iter().filter(|(partition, _)| found.is_served(partition)) {
            let report = &walked.report;
            let bounds = (report.log_start_offset, report.log_end_offset);
            logs.topics.entry(report.topic.clone()).or_default().insert(report.partition, bounds);
        }
        logs
    }

    /// Returns the bounds of a partition's log.
    pub(super) fn bounds(&self, topic: &str, partition: i32) -> Option<Bounds> {
        let partition = u32::try_from(partition).ok()?;
        self.topics.get(topic)?.get(&partition).copied()
    }

    /// Returns the way in which a committed offset does not fit the log of its partition. Without an offset, says whether
    /// the partition is missing.
    pub(super) fn mark(&self, topic: &str, partition: i32, offset: Option<i64>) -> Option<PartitionMark> {
        let Some((start, end)) = self.bounds(topic, partition) else {
            let has_topic = self.topics.contains_key(topic);
            return Some(if has_topic { PartitionMark::NoPartition } else { PartitionMark::NoTopic });
        };
        match offset? {
            offset if offset > end => Some(PartitionMark::BeyondEnd),
            offset if offset < start => Some(PartitionMark::BelowStart),
            _ => None,
        }
    }
}
