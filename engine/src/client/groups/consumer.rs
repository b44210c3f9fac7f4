//! A consumer that is a member of a group: it reads the partitions that the group assigns to it.
//!
//! ```text
//! Unjoined ─ JoinGroup ─► Joining ─ SyncGroup ─► Syncing ─► Stable ─ rebalance ─► Revoking ─ commit ─► Releasing ─► Unjoined
//! ```
//!
//! Everything happens in [`GroupConsumer::poll`], except for heartbeats, which a thread sends between polls
//! (`heartbeats.rs`). What follows from replies is in `membership.rs`, what follows from changes of topics in `topics.rs`. Commits
//! are in `commits.rs`, and the end of a consumer is in `leaving.rs`.

use super::config::{GroupConsumerConfig, Subscribe};
use super::error::GroupsError;
use super::heartbeats::{Beat, BeatSettings, Heartbeats, PollEnd};
use super::leader::Led;
use super::link::{Coordinator, Link, call_loaded};
use super::offsets::{self, Commit, CommitKind};
use super::partitions::{GroupRecords, Moved, News, Partitions};
use crate::client::RemoteDirectory;
use crate::clock::after;
use crate::group::{Client, GroupError};
use crate::shard::Ticket;
use crate::types::{ConsumerPosition, TopicPartition};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// An event of a consumer in a group.
#[derive(Debug)]
pub enum GroupEvent {
    /// Records of one partition. The next poll says that the caller is done with them.
    Records(GroupRecords),
    /// A rebalance is over, and these partitions were added. There may be none.
    Assigned(Vec<TopicPartition>),
    /// These partitions are about to go. Until the next poll their offsets can still be committed.
    Revoked(Vec<TopicPartition>),
    /// These partitions are gone: the group has removed this member, or their topic was deleted. Their offsets can no longer
    /// be committed. The consumer joins again.
    Lost(Vec<TopicPartition>),
    /// The log did not hold the position, so `auto_offset_reset` was applied.
    Reset {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was not in the log.
        from: i64,
        /// The offset from which the consumer reads on.
        to: i64,
    },
    /// An automatic commit failed. The next one contains the same positions, unless the partitions have gone meanwhile.
    CommitFailed(GroupsError),
    /// An automatic commit succeeded. Only with [`GroupConsumerConfig::reports_commits`].
    Committed {
        /// The positions that were committed.
        commits: Vec<Commit>,
        /// Time from sending the request until its reply was handled.
        took: Duration,
    },
}

/// The state of the membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not in a generation. The member joins at this time.
    Unjoined(Instant),
    /// A JoinGroup is not answered.
    Joining(Ticket),
    /// A SyncGroup is not answered.
    Syncing(Ticket),
    /// The member has its assignment.
    Stable,
    /// The caller has the list of partitions that it will lose, and may still commit.
    Revoking,
    /// The last commit before partitions go is not answered.
    Releasing(Ticket),
    /// The consumer has left and does not join again.
    Closed,
}

/// Partitions that were assigned, and that are not read yet.
#[derive(Debug)]
pub(super) struct Acquiring {
    pub(super) asked: Asked,
    pub(super) added: Vec<TopicPartition>,
}

/// The request for the committed offsets of new partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The request is not answered yet.
    Sent(Ticket),
    /// The request has failed. It is sent again at this time.
    Again(Instant),
}

/// A commit that was sent.
#[derive(Debug)]
pub(super) struct SentCommit {
    pub(super) kind: CommitKind,
    pub(super) commits: Vec<Commit>,
    /// The generation with which it was sent.
    pub(super) generation: i32,
    pub(super) sent_at: Instant,
}

/// A consumer that is a member of a group. Its methods take `&mut self`, so one thread uses it at a time.
///
/// Dropping it does not leave the group: the other members get its partitions when its session ends. [`close`](Self::close)
/// leaves at once. A consumer that is dropped before its first generation gives its member id back, if it has one already.
#[derive(Debug)]
pub struct GroupConsumer {
    pub(super) config: GroupConsumerConfig,
    pub(super) subscribe: Subscribe,
    pub(super) directory: RemoteDirectory,
    pub(super) link: Link,
    pub(super) beat: Arc<Beat>,
    pub(super) phase: Phase,
    /// Id of the member; empty before the group has given it one.
    pub(super) member_id: String,
    /// The generation; −1 while the member is in none.
    pub(super) generation: i32,
    /// The random part of the next member id.
    pub(super) random: u128,
    pub(super) owned: Partitions,
    /// Partitions that were assigned, and whose committed offsets are being fetched.
    pub(super) acquiring: Option<Acquiring>,
    /// Commits that are not answered.
    pub(super) commits: BTreeMap<Ticket, SentCommit>,
    /// The outcome of the commit that the caller waits for.
    pub(super) awaited: Option<(Ticket, Result<(), GroupsError>)>,
    pub(super) events: VecDeque<Result<GroupEvent, GroupsError>>,
    pub(super) next_commit: Option<Instant>,
    pub(super) next_look: Instant,
    /// The topics with which the member has joined.
    pub(super) joined_topics: BTreeSet<String>,
    /// The topics and partitions that the assignment covers, if this member leads the group.
    pub(super) led: Option<Led>,
    /// Ids of the topics of this member's assignment when it took it over; `None` for a topic that did not exist.
    pub(super) assigned: BTreeMap<Arc<str>, Option<u64>>,
    /// Count of changes of topics at which the consumer last looked at them.
    pub(super) looked_at: u64,
    /// Whether topics have changed since the assignment was last compared with them.
    pub(super) has_news_of_topics: bool,
    /// Whether this generation is the first one of a static member in this process, and the member has not assigned it.
    pub(super) has_returned: bool,
    /// The request for all members' assignments that a static member sends at its return, with its generation.
    pub(super) describing: Option<(Ticket, i32)>,
    /// The time for which the timer is set.
    pub(super) armed: Option<Instant>,
}

impl GroupConsumer {
    pub(crate) fn new(
        config: GroupConsumerConfig,
        subscribe: Subscribe,
        directory: RemoteDirectory,
        heartbeats: &Heartbeats,
    ) -> Result<Self, GroupsError> {
        config.validate().map_err(GroupsError::Config)?;
        if config.group_id.is_empty() {
            return Err(GroupError::InvalidGroupId.into());
        }
        // Kafka writes an address here; all clients of an engine are in its process.
        let client = Client { id: config.client_id.clone(), host: "/127.0.0.1".into() };
        let coordinator =
            Coordinator::of_group(&directory, &config.group_id, client).ok_or(GroupsError::Closed)?;
        let link = Link::new(coordinator);
        let beat = heartbeats.add(BeatSettings {
            coordinator: link.coordinator().clone(),
            inbox: Arc::clone(link.inbox()),
            group: config.group_id.clone(),
            instance_id: config.group_instance_id.clone(),
            interval: config.heartbeat_interval,
            max_poll_interval: config.max_poll_interval,
        });
        let now = Instant::now();
        Ok(Self {
            owned: Partitions::new(config.fetch.clone(), config.auto_offset_reset),
            next_commit: config.auto_commit.map(|every| after(now, every)),
            next_look: after(now, config.metadata_max_age),
            config,
            subscribe,
            directory,
            link,
            beat,
            phase: Phase::Unjoined(now),
            member_id: String::new(),
            generation: -1,
            random: random()?,
            acquiring: None,
            commits: BTreeMap::new(),
            awaited: None,
            events: VecDeque::new(),
            joined_topics: BTreeSet::new(),
            led: None,
            assigned: BTreeMap::new(),
            looked_at: 0,
            has_news_of_topics: true,
            has_returned: false,
            describing: None,
            armed: None,
        })
    }

    /// Returns the next event: records, or a change of the assignment. Stays pending while there is none. Joins the group
    /// if the consumer is not in it, and takes part in rebalances.
    ///
    /// Call it again within `max_poll_interval` after an event, or the consumer leaves its group. A poll that stays pending
    /// wakes its caller after half of that time, and has to be called again, too: so a future that nobody polls any more
    /// does not hold partitions for ever.
    ///
    /// # Errors
    /// [`GroupsError`]. The next poll tries again, except after [`GroupsError::Closed`].
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<GroupEvent, GroupsError>> {
        self.link.inbox().waker.register(context.waker());
        if self.beat.poll_begins() {
            self.has_left();
        }
        self.owned.note_done();
        let outcome = self.advance(context);
        self.beat.poll_ends(if outcome.is_ready() { PollEnd::Event } else { PollEnd::Pending });
        outcome
    }

    fn advance(&mut self, context: &mut Context<'_>) -> Poll<Result<GroupEvent, GroupsError>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            if self.phase == Phase::Closed {
                return Poll::Ready(Err(GroupsError::Closed));
            }
            self.link.flush();
            self.take_replies();
            self.look_at_topics();
            if self.events.is_empty() {
                self.step(Instant::now());
            }
            // A request to a shard that is stuck fails at once, and nothing would wake the caller.
            if !self.events.is_empty() || self.link.has_next() {
                continue;
            }
            match self.owned.poll(context) {
                Poll::Ready(Ok(News::Records(records))) => {
                    return Poll::Ready(Ok(GroupEvent::Records(records)));
                }
                Poll::Ready(Ok(News::Moved(moved))) => {
                    if !moved.is_first() {
                        let Moved { partition, from, to } = moved;
                        return Poll::Ready(Ok(GroupEvent::Reset { partition, from, to }));
                    }
                }
                // The next look finds that the topic is gone.
                Poll::Ready(Err(error)) if self.is_of_deleted_topic(&error) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Returns the next event, for async code.
    ///
    /// # Errors
    /// As [`GroupConsumer::poll`].
    pub async fn next(&mut self) -> Result<GroupEvent, GroupsError> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Returns the next event, for a plain thread.
    ///
    /// # Errors
    /// As [`GroupConsumer::poll`].
    pub fn wait(&mut self) -> Result<GroupEvent, GroupsError> {
        pollster::block_on(self.next())
    }

    /// Returns the offsets that the group has committed for `partitions`. Partitions without one are left out.
    ///
    /// # Errors
    /// [`GroupsError`].
    pub fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Commit>, GroupsError> {
        let request = offsets::fetch_request(&self.config.group_id, Some(partitions));
        // A link of its own, so that the replies of this member's other requests are not lost.
        offsets::committed(call_loaded(self.link.coordinator().clone(), &request)?)
    }

    /// Returns the partitions that the consumer reads.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.owned.names()
    }

    /// Returns the id of the member and its generation, while it is in one.
    pub fn member(&self) -> Option<(&str, i32)> {
        (self.generation >= 0).then_some((self.member_id.as_str(), self.generation))
    }

    /// Whether the consumer has noticed a rebalance, and has no assignment of the new generation yet. A consumer that has not
    /// joined yet, or that was closed, is rebalancing, too.
    pub fn is_rebalancing(&self) -> bool {
        self.phase != Phase::Stable || self.acquiring.is_some()
    }

    /// Returns the position after the last record that a poll has returned; `None` if it is not known yet, or if the
    /// partition is not assigned.
    pub fn position(&self, partition: &TopicPartition) -> Option<ConsumerPosition> {
        self.owned.position(partition)
    }

    /// Returns the number of records between the position and the high watermark that the last fetch has seen, also one that found
    /// no records; `None` before the first answer, or if the partition is not assigned.
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        self.owned.lag(partition)
    }

    /// Continues a partition at an offset or at a saved position.
    ///
    /// # Errors
    /// [`GroupsError::NotAssigned`].
    pub fn seek(
        &mut self,
        partition: &TopicPartition,
        to: impl Into<ConsumerPosition>,
    ) -> Result<(), GroupsError> {
        self.owned.seek(partition, to.into())
    }

    /// Returns no records of a partition until [`GroupConsumer::resume`], or until a rebalance takes the partition away.
    ///
    /// # Errors
    /// [`GroupsError::NotAssigned`].
    pub fn pause(&mut self, partition: &TopicPartition) -> Result<(), GroupsError> {
        self.owned.pause(partition, true)
    }

    /// Returns records of a paused partition again.
    ///
    /// # Errors
    /// [`GroupsError::NotAssigned`].
    pub fn resume(&mut self, partition: &TopicPartition) -> Result<(), GroupsError> {
        self.owned.pause(partition, false)
    }
}

fn random() -> Result<u128, GroupsError> {
    let mut bytes = [0_u8; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    filled.map_err(|error| GroupsError::Config(format!("the kernel gives no random bytes: {error}")))?;
    Ok(u128::from_be_bytes(bytes))
}
