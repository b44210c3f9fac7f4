//! Assignors: which member of a group reads which partition. The client of the group's leader runs them. Pure functions.
//!
//! Members are taken in Kafka's order: static members first, by group instance id, then dynamic ones by member id. Racks are not
//! looked at.

mod member_order;
mod protocol;
mod range;
mod round_robin;
mod sticky;

pub use member_order::GroupMember;
pub(crate) use protocol::subscribed_topics;
pub use protocol::{Assignment, PROTOCOL_VERSION, Subscription};

use crate::types::TopicPartition;
use std::collections::BTreeMap;

/// Partitions of each member, by member id. Each member has an entry.
pub type Assigned = BTreeMap<String, Vec<TopicPartition>>;

/// Number of partitions of each topic that exists.
pub type PartitionCounts = BTreeMap<String, u32>;

/// A way to assign partitions to members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assignor {
    /// For each topic a range of partitions each; the first members get one more.
    Range,
    /// The partitions of all topics in turn.
    RoundRobin,
    /// Balanced, and as few partitions move as possible. A partition that moves is first taken from its owner in one generation, and
    /// given to the next in the following one. Other partitions are read meanwhile.
    CooperativeSticky,
}

impl Assignor {
    /// All assignors.
    pub const ALL: [Self; 3] = [Self::Range, Self::RoundRobin, Self::CooperativeSticky];

    /// Returns Kafka's name, which is the name of the group's protocol: `range`, `roundrobin`, `cooperative-sticky`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Returns the assignor with Kafka's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Assigns the partitions of all topics that members subscribe to. Topics that do not exist, or have no partitions, are passed over.
    pub fn assign(self, counts: &PartitionCounts, members: &BTreeMap<String, GroupMember>) -> Assigned {
        if members.is_empty() {
            return Assigned::new();
        }
        let is_subscribed =
            |topic: &String| members.values().any(|member| member.subscription.topics.contains(topic));
        let counts: PartitionCounts = counts
            .iter()
            .filter(|(topic, count)| **count > 0 && is_subscribed(topic))
            .map(|(topic, count)| (topic.clone(), *count))
            .collect();
        match self {
            Self::Range => range::assign(&counts, members),
            Self::RoundRobin => round_robin::assign(&counts, members),
            Self::CooperativeSticky => sticky::assign_cooperatively(&counts, members),
        }
    }
}
