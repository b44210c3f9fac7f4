//! A topic or a consumer group that a killed run has left in a cluster.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A run that is alive has made or written its topics within this time, unless its consumers drain for longer.
pub const IN_USE_MAX: Duration = Duration::from_secs(60 * 60);

/// A topic or a group with the name of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftInCluster {
    /// The name in the cluster.
    pub name: String,
    /// The time at which the run made it, in seconds since the Unix epoch; `None` for runs of older revisions.
    pub made_s: Option<u64>,
    /// What it is.
    pub kind: LeftKind,
}

/// The kinds of what a run leaves in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftKind {
    /// A topic.
    Topic {
        /// Number of partitions.
        partitions: u32,
        /// The newest record of the topic.
        newest: Newest,
    },
    /// A consumer group, with its committed offsets.
    Group {
        /// Number of members.
        members: u32,
    },
}

/// The newest record of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newest {
    /// The topic has no record.
    None,
    /// The record was written at this time, in ms since the Unix epoch.
    Written(i64),
    /// A partition could not be read, as one without a leader cannot.
    Unknown,
}

impl LeftInCluster {
    /// The time since it was made; `None` if that is not known.
    pub fn since_made(&self, now: SystemTime) -> Option<Duration> {
        Some(age(now, Duration::from_secs(self.made_s?)))
    }

    /// The time since its newest record was written; `None` without records, if that is not known, and for a group.
    pub fn since_written(&self, now: SystemTime) -> Option<Duration> {
        let LeftKind::Topic { newest: Newest::Written(ms), .. } = self.kind else { return None };
        Some(age(now, Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
    }

    /// Whether a run may still use it: a group that has members, a topic that cannot be read, and what was made or written not long
    /// ago, or at a time that is not known.
    pub fn may_be_in_use(&self, now: SystemTime) -> bool {
        let is_in_doubt = matches!(
            self.kind,
            LeftKind::Group { members: 1.. } | LeftKind::Topic { newest: Newest::Unknown, .. }
        );
        let ages = [self.since_made(now), self.since_written(now)];
        is_in_doubt || ages.into_iter().flatten().min().is_none_or(|age| age < IN_USE_MAX)
    }
}

fn age(now: SystemTime, at: Duration) -> Duration {
    now.duration_since(UNIX_EPOCH + at).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(made_s: Option<u64>, written_ms: Option<i64>) -> LeftInCluster {
        let newest = written_ms.map_or(Newest::None, Newest::Written);
        let kind = LeftKind::Topic { partitions: 1, newest };
        LeftInCluster { name: "vnotch-0-0a1b2c3d".to_owned(), made_s, kind }
    }

    #[test]
    fn a_topic_that_was_made_or_written_not_long_ago_may_be_in_use() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let hours_ago = |hours: u64| 1_000_000 - hours * 3600;
        let ms = |s: u64| Some(i64::try_from(s * 1000).unwrap());
        assert!(!topic(Some(hours_ago(2)), None).may_be_in_use(now));
        assert!(!topic(Some(hours_ago(9)), ms(hours_ago(2))).may_be_in_use(now));
        assert!(!topic(None, ms(hours_ago(2))).may_be_in_use(now));
        assert!(topic(Some(hours_ago(9)), ms(hours_ago(0))).may_be_in_use(now), "a long run");
        assert!(topic(Some(999_990), None).may_be_in_use(now), "a run that has just begun");
        assert!(topic(None, None).may_be_in_use(now), "nothing is known");
        assert!(topic(Some(1_000_500), None).may_be_in_use(now), "a clock that is ahead");
        assert_eq!(topic(Some(hours_ago(2)), None).since_made(now), Some(2 * IN_USE_MAX));
        let kind = LeftKind::Topic { partitions: 1, newest: Newest::Unknown };
        let unread = LeftInCluster { kind, ..topic(Some(hours_ago(9)), None) };
        assert!(unread.may_be_in_use(now), "a long run may write to partitions that have no leader now");
        assert_eq!(unread.since_written(now), None);
    }

    #[test]
    fn a_group_with_members_is_in_use_however_old_it_is() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let group =
            |made_s, members| LeftInCluster { kind: LeftKind::Group { members }, ..topic(made_s, None) };
        assert!(group(Some(0), 1).may_be_in_use(now) && !group(Some(0), 0).may_be_in_use(now));
        assert!(group(Some(999_990), 0).may_be_in_use(now), "its run has just begun");
        assert!(group(None, 0).may_be_in_use(now), "nothing is known");
    }
}
