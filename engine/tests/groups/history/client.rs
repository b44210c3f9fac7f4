//! A client of a group: what it knows about itself from the replies that it got.

use bytes::Bytes;
use std::sync::Arc;
use vnotch_engine::group::{
    Assignment, Client, GroupError, JoinReply, Protocol, ReplyBody, Subscription, Token,
};
use vnotch_engine::types::TopicPartition;

/// The phase of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The client is in no generation.
    Out,
    /// The client's JoinGroup has no reply yet.
    Joining(Token),
    /// The client is in a generation, and has no assignment.
    Joined,
    /// The client's SyncGroup has no reply yet.
    Syncing(Token),
    /// The client has its assignment.
    Member,
}

/// Ways in which a client describes its protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    RangeFirst,
    RoundRobinFirst,
    RangeOnly,
    StickyFirst,
    /// Metadata that is no subscription.
    Garbled,
    /// Not consumers: Kafka Connect.
    Workers,
}

impl Flavour {
    pub(crate) const CONSUMERS: [Self; 5] =
        [Self::RangeFirst, Self::RoundRobinFirst, Self::RangeOnly, Self::StickyFirst, Self::RangeFirst];

    /// Returns the type of the protocols.
    pub(crate) fn protocol_type(self) -> &'static str {
        if self == Self::Workers { "connect" } else { "consumer" }
    }

    /// Returns the protocols, with metadata that names `topics`.
    pub(crate) fn protocols(self, topics: &[String]) -> Vec<Protocol> {
        let names: &[&str] = match self {
            Self::RangeFirst | Self::Garbled => &["range", "roundrobin"],
            Self::RoundRobinFirst => &["roundrobin", "range"],
            Self::RangeOnly => &["range"],
            Self::StickyFirst => &["cooperative-sticky", "range"],
            Self::Workers => &["compatible", "default"],
        };
        let subscription = Subscription { topics: topics.to_vec(), ..Subscription::default() };
        let metadata = match self {
            Self::Garbled | Self::Workers => Bytes::from_static(&[0, 1, 0, 0]),
            _ => Bytes::from(subscription.encode(1)),
        };
        names.iter().map(|name| Protocol { name: (*name).to_owned(), metadata: metadata.clone() }).collect()
    }
}

/// A client of a group.
#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    pub group: String,
    pub client: Client,
    pub instance_id: Option<String>,
    pub join_version: i16,
    pub flavour: Flavour,
    pub topics: Vec<String>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub member_id: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub phase: Phase,
    /// The members, if this client leads.
    pub led: Vec<String>,
    /// The client sends nothing any more.
    pub is_silent: bool,
}

impl Consumer {
    /// Takes note of a reply, if the client waits for it.
    pub(crate) fn hear(&mut self, token: Token, body: &ReplyBody) {
        match body {
            ReplyBody::Join(reply) if self.phase == Phase::Joining(token) => self.hear_join(reply),
            ReplyBody::Sync(reply) if self.phase == Phase::Syncing(token) => match reply {
                Ok(_) => self.phase = Phase::Member,
                Err(error) => self.fail(*error),
            },
            _ => {}
        }
    }

    fn hear_join(&mut self, reply: &JoinReply) {
        match &reply.outcome {
            Ok(joined) => {
                self.member_id.clone_from(&reply.member_id);
                self.generation = joined.generation;
                self.protocol.clone_from(&joined.protocol);
                self.led = joined.members.iter().map(|member| member.id.clone()).collect();
                self.phase = Phase::Joined;
            }
            Err(GroupError::MemberIdRequired) => {
                self.member_id.clone_from(&reply.member_id);
                self.phase = Phase::Out;
            }
            Err(error) => self.fail(*error),
        }
    }

    /// Takes note of an error.
    pub(crate) fn fail(&mut self, error: GroupError) {
        self.phase = Phase::Out;
        self.led.clear();
        let forgets = matches!(
            error,
            GroupError::UnknownMemberId
                | GroupError::FencedInstanceId
                | GroupError::IllegalGeneration
                | GroupError::GroupMaxSizeReached
        );
        if forgets {
            self.member_id.clear();
            self.generation = -1;
        }
    }

    /// Returns the assignments that this client makes as the leader: six partitions, dealt out from `first` on. Each `skip`-th member gets none.
    pub(crate) fn assignments(&self, first: usize, skip: usize) -> Vec<(String, Bytes)> {
        let topic: Arc<str> = Arc::from(self.topics.first().map_or("t0", String::as_str));
        let mut assignments: Vec<(String, Assignment)> =
            self.led.iter().map(|id| (id.clone(), Assignment::default())).collect();
        let count = assignments.len();
        for partition in 0..6 {
            if let Some((_, assignment)) = assignments.get_mut((first + partition) % count.max(1)) {
                let partition = u32::try_from(partition).unwrap();
                assignment.partitions.push(TopicPartition { topic: Arc::clone(&topic), partition });
            }
        }
        let kept =
            assignments.into_iter().enumerate().filter(|(place, _)| skip == 0 || place % skip != skip - 1);
        kept.map(|(_, (id, assignment))| (id, Bytes::from(assignment.encode(1)))).collect()
    }
}
