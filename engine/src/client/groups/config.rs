//! The settings of a consumer in a group, and what it subscribes to.

use crate::client::ConsumerConfig;
use crate::group::Assignor;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The settings of a consumer in a group. Names and defaults are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConsumerConfig {
    /// Id of the group. [`default_group_id`] makes the usual one; any id that is not empty is allowed.
    pub group_id: String,
    /// The client's name for itself. Member ids begin with it.
    pub client_id: String,
    /// Name of a static member: it keeps its partitions over a restart that is shorter than the session timeout.
    pub group_instance_id: Option<String>,
    /// The assignors that the consumer supports, each once, the preferred one first. The group takes one that all members
    /// support. If all are cooperative, the consumer reads on during a rebalance.
    pub assignors: Vec<Assignor>,
    /// Time without a heartbeat after which the group removes the member.
    pub session_timeout: Duration,
    /// How often heartbeats are sent.
    pub heartbeat_interval: Duration,
    /// Longest time that may pass after a poll until the next one. After that the consumer leaves the group. The caller of
    /// a poll that stays pending is woken after half of it.
    pub max_poll_interval: Duration,
    /// How often positions are committed by a poll; `None` for never. Only what an earlier poll has returned is
    /// committed.
    pub auto_commit: Option<Duration>,
    /// Whether a poll returns an event for each automatic commit that has succeeded.
    pub reports_commits: bool,
    /// The position in a partition for which the group has no usable offset.
    pub auto_offset_reset: AutoOffsetReset,
    /// How often the consumer looks for new topics and partitions.
    pub metadata_max_age: Duration,
    /// The settings of fetches. `offset_reset` is not used: see `auto_offset_reset`.
    pub fetch: ConsumerConfig,
}

/// The position in a partition for which the group has committed no offset, or one that the log does not hold; Kafka's
/// `auto.offset.reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// The first record of the log.
    Earliest,
    /// The end of the log.
    Latest,
    /// None: the poll fails, and the caller seeks.
    None,
}

/// The topics that a consumer wants to read.
#[derive(Clone)]
pub enum Subscribe {
    /// The topics with these names. Those that do not exist yet are read once they do.
    Topics(BTreeSet<String>),
    /// All topics whose names the predicate accepts, also those that are created later. Internal topics are left out.
    Matching(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl GroupConsumerConfig {
    /// Returns Kafka's defaults for a group: sessions of 45 s, a heartbeat every 3 s, commits every 5 s, and from the
    /// end of the log if the group has no offset.
    pub fn new(group_id: impl Into<String>) -> Self {
        Self {
            group_id: group_id.into(),
            client_id: "vnotch".into(),
            group_instance_id: None,
            assignors: vec![Assignor::Range],
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            auto_commit: Some(Duration::from_secs(5)),
            reports_commits: false,
            auto_offset_reset: AutoOffsetReset::Latest,
            metadata_max_age: Duration::from_secs(300),
            fetch: ConsumerConfig::default(),
        }
    }

    /// Returns the same for the default group of a service: see [`default_group_id`].
    pub fn for_service(system: &str, topic: &str, service: &str) -> Self {
        Self::new(default_group_id(system, topic, service))
    }

    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn validate(&self) -> Result<(), String> {
        if self.assignors.is_empty() {
            return Err("assignors must name at least one assignor".into());
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.assignors.iter().find(|assignor| !seen.insert(assignor.name())) {
            return Err(format!("assignors names {} more than once", twice.name()));
        }
        if self.heartbeat_interval.is_zero() || self.heartbeat_interval >= self.session_timeout {
            return Err(format!(
                "heartbeat_interval {:?} must be above 0 and below session_timeout {:?}",
                self.heartbeat_interval, self.session_timeout
            ));
        }
        if self.max_poll_interval < Duration::from_millis(1) {
            return Err(format!("max_poll_interval {:?} must be at least 1 ms", self.max_poll_interval));
        }
        if self.metadata_max_age.is_zero() {
            return Err("metadata_max_age must be above 0".into());
        }
        Ok(())
    }

    /// Whether the consumer keeps its partitions while it joins a new generation.
    pub(super) fn is_cooperative(&self) -> bool {
        self.assignors.iter().all(|assignor| *assignor == Assignor::CooperativeSticky)
    }
}

/// Returns the usual id of the group in which a service of `system` reads `topic`:
/// `{consuming system}-{topic}-{consuming service}-group`. An example is
/// `register-reg.student.engineering-hostelservice-group`.
pub fn default_group_id(system: &str, topic: &str, service: &str) -> String {
    format!("{system}-{topic}-{service}-group")
}

impl Subscribe {
    /// Returns a subscription to topics by name.
    pub fn topics<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Self {
        Self::Topics(names.into_iter().map(Into::into).collect())
    }

    /// Returns a subscription to all topics whose names begin with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        Self::Matching(Arc::new(move |name| name.starts_with(&prefix)))
    }

    /// Returns the topics that are meant, out of those that exist.
    pub(super) fn resolve<'a>(&self, existing: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
        match self {
            Self::Topics(names) => names.clone(),
            Self::Matching(accepts) => {
                let is_meant = |name: &&String| *name != crate::shard::OFFSETS_TOPIC && accepts(name);
                existing.filter(is_meant).cloned().collect()
            }
        }
    }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topics(names) => f.debug_tuple("Topics").field(names).finish(),
            Self::Matching(_) => f.write_str("Matching"),
        }
    }
}
