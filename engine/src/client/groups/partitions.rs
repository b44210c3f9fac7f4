//! The partitions that a consumer reads for its group. Each has a consumer of its own, so that partitions come and go
//! without a change to the others.

use super::config::AutoOffsetReset;
use super::error::GroupsError;
use super::offsets::{Commit, CommitKind};
use crate::client::{Consumer, ConsumerConfig, Fetched, OffsetReset, RemoteDirectory, Topics};
use crate::error::FetchError;
use crate::shard::Ticket;
use crate::types::{ConsumerPosition, TopicPartition};
use std::task::{Context, Poll};

/// The offset of a partition for which the group has committed none. No log holds it, so that the first fetch says where
/// the log begins and ends.
const UNKNOWN: i64 = -1;

/// Records of one partition.
#[derive(Debug)]
pub struct GroupRecords {
    /// The partition.
    pub partition: TopicPartition,
    /// The records.
    pub fetched: Fetched,
}

/// The position of a partition was not usable, and was replaced.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) partition: TopicPartition,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// The next thing that a partition has to say.
#[derive(Debug)]
pub(super) enum News {
    Records(GroupRecords),
    Moved(Moved),
}

#[derive(Debug)]
struct Owned {
    name: TopicPartition,
    /// Id of the topic.
    topic_id: u64,
    consumer: Consumer,
    /// The position up to which an earlier poll has returned the records.
    done: Option<ConsumerPosition>,
    /// The position that the group has stored; `None` if that is not known. A commit that is not answered may change it at any
    /// time.
    committed: Option<ConsumerPosition>,
    /// The last commit that was sent. Only its answer says what is stored: a later commit overwrites an earlier one.
    last_commit: Option<Ticket>,
    is_paused: bool,
    /// Set while the partition is being given up: it is not read any more.
    is_leaving: bool,
    /// Set when the caller has committed the partition while it was being given up. No automatic commit overwrites that.
    is_left_to_caller: bool,
}

/// The partitions that a consumer reads, in order.
#[derive(Debug)]
pub(super) struct Partitions {
    config: ConsumerConfig,
    reset: AutoOffsetReset,
    owned: Vec<Owned>,
    /// Index of the partition that is asked first, so that all get their turn.
    first: usize,
    /// The partition whose records the last poll has returned.
    returned: Option<TopicPartition>,
}

impl Partitions {
    pub(super) const fn new(config: ConsumerConfig, reset: AutoOffsetReset) -> Self {
        let config = ConsumerConfig { offset_reset: OffsetReset::None, ..config };
        Self { config, reset, owned: Vec::new(), first: 0, returned: None }
    }

    fn index(&self, name: &TopicPartition) -> Option<usize> {
        self.owned.binary_search_by(|owned| owned.name.cmp(name)).ok()
    }

    fn get(&mut self, name: &TopicPartition) -> Result<&mut Owned, GroupsError> {
        let not_assigned = || GroupsError::NotAssigned { partition: name.clone() };
        self.index(name).map(|index| &mut self.owned[index]).ok_or_else(not_assigned)
    }

    pub(super) fn contains(&self, name: &TopicPartition) -> bool {
        self.index(name).is_some()
    }

    pub(super) fn names(&self) -> Vec<TopicPartition> {
        self.owned.iter().map(|owned| owned.name.clone()).collect()
    }

    /// Begins to read a partition from the group's committed position, if there is one. Returns `false`, and does nothing, if
    /// the topic with this id was deleted.
    pub(super) fn add(
        &mut self,
        directory: &RemoteDirectory,
        name: TopicPartition,
        topic_id: u64,
        position: Option<ConsumerPosition>,
    ) -> Result<bool, GroupsError> {
        let topic = directory.topics.get(&name.topic).filter(|topic| topic.id == topic_id);
        let Some(topic) = topic else { return Ok(false) };
        let Some(place) = topic.places.get(name.partition as usize).copied() else {
            return Err(GroupsError::Fetch { partition: name, error: FetchError::UnknownPartition });
        };
        let Err(at) = self.owned.binary_search_by(|owned| owned.name.cmp(&name)) else { return Ok(true) };
        let from = position.unwrap_or_else(|| UNKNOWN.into());
        let assignment = vec![(name.clone(), directory.route(place), from)];
        let consumer = Consumer::new(self.config.clone(), assignment);
        let owned = Owned {
            name,
            topic_id,
            consumer,
            done: position,
            committed: position,
            last_commit: None,
            is_paused: false,
            is_leaving: false,
            is_left_to_caller: false,
        };
        self.owned.insert(at, owned);
        Ok(true)
    }

    /// Stops reading partitions that are about to go.
    pub(super) fn begin_to_leave(&mut self, names: &[TopicPartition]) {
        for owned in self.owned.iter_mut().filter(|owned| names.contains(&owned.name)) {
            owned.is_leaving = true;
        }
    }

    /// Gives up the partitions that were about to go.
    pub(super) fn remove_leaving(&mut self) {
        self.owned.retain(|owned| !owned.is_leaving);
    }

    /// Returns the id of a topic of which a partition is read.
    pub(super) fn topic_id(&self, topic: &str) -> Option<u64> {
        self.owned.iter().find(|owned| &*owned.name.topic == topic).map(|owned| owned.topic_id)
    }

    /// Gives up the partitions of topics that were deleted, also if another topic has the name now. Returns them, except for
    /// those that were about to go: nobody reads them any more.
    pub(super) fn remove_deleted(&mut self, topics: &Topics) -> Vec<TopicPartition> {
        let is_gone =
            |owned: &Owned| !owned.is_leaving && topics.id(&owned.name.topic) != Some(owned.topic_id);
        let gone: Vec<TopicPartition> =
            self.owned.iter().filter(|owned| is_gone(owned)).map(|owned| owned.name.clone()).collect();
        self.owned.retain(|owned| !gone.contains(&owned.name));
        gone
    }

    /// Gives up all partitions.
    pub(super) fn clear(&mut self) {
        self.owned.clear();
    }

    /// Notes that the caller is done with the records that the last poll has returned.
    pub(super) fn note_done(&mut self) {
        if let Some(returned) = self.returned.take()
            && let Ok(owned) = self.get(&returned)
        {
            owned.done = owned.consumer.position(0);
        }
    }

    /// Returns what an earlier poll has returned and is not committed. Partitions that the caller has committed while they were
    /// being given up are left out.
    pub(super) fn done(&self) -> Vec<Commit> {
        self.commits(|owned| owned.done().filter(|_| !owned.is_left_to_caller))
    }

    /// Returns all positions that are not committed.
    pub(super) fn positions(&self) -> Vec<Commit> {
        self.commits(Owned::position)
    }

    /// Returns all positions that are not committed, as [`Partitions::positions`], for the commit of a consumer that leaves.
    /// Partitions that the caller has committed while they were being given up are left out.
    pub(super) fn last_positions(&self) -> Vec<Commit> {
        self.commits(|owned| owned.position().filter(|_| !owned.is_left_to_caller))
    }

    fn commits(&self, position: impl Fn(&Owned) -> Option<ConsumerPosition>) -> Vec<Commit> {
        let commit = |owned: &Owned| {
            let position = position(owned).filter(|position| !owned.is_committed(*position))?;
            Some(Commit { partition: owned.name.clone(), position, metadata: None })
        };
        self.owned.iter().filter_map(commit).collect()
    }

    /// Notes that a commit was sent. What the group has stored for its partitions is unknown until the answer.
    pub(super) fn commit_sent(&mut self, ticket: Ticket, kind: CommitKind, commits: &[Commit]) {
        self.forget_committed(commits);
        for commit in commits {
            if let Ok(owned) = self.get(&commit.partition) {
                owned.last_commit = Some(ticket);
                owned.is_left_to_caller |= owned.is_leaving && kind == CommitKind::Awaited;
            }
        }
    }

    /// Notes that commits may change at any time what the group has stored.
    pub(super) fn forget_committed(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Ok(owned) = self.get(&commit.partition) {
                owned.committed = None;
            }
        }
    }

    /// Notes that a commit has succeeded.
    pub(super) fn committed(&mut self, ticket: Ticket, commits: &[Commit]) {
        for commit in commits {
            if let Ok(owned) = self.get(&commit.partition)
                && owned.last_commit == Some(ticket)
            {
                owned.committed = Some(commit.position);
            }
        }
    }

    pub(super) fn position(&self, name: &TopicPartition) -> Option<ConsumerPosition> {
        self.owned[self.index(name)?].position()
    }

    pub(super) fn lag(&self, name: &TopicPartition) -> Option<u64> {
        let owned = &self.owned[self.index(name)?];
        let high_watermark = owned.consumer.high_watermark(0)?;
        Some(u64::try_from(high_watermark - self.position(name)?.offset).unwrap_or(0))
    }

    pub(super) fn seek(&mut self, name: &TopicPartition, to: ConsumerPosition) -> Result<(), GroupsError> {
        let owned = self.get(name)?;
        owned.consumer.seek(0, to);
        owned.done = Some(to);
        Ok(())
    }

    pub(super) fn pause(&mut self, name: &TopicPartition, is_paused: bool) -> Result<(), GroupsError> {
        self.get(name)?.is_paused = is_paused;
        Ok(())
    }

    /// Returns the next records of some partition. Partitions take turns.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<News, GroupsError>> {
        let count = self.owned.len();
        for turn in 0..count {
            let index = (self.first + turn) % count;
            let owned = &mut self.owned[index];
            if owned.is_paused || owned.is_leaving {
                continue;
            }
            let Poll::Ready(fetched) = owned.consumer.poll_fetch(context) else { continue };
            self.first = (index + 1) % count;
            return Poll::Ready(match fetched {
                Ok(fetched) => {
                    self.returned = Some(owned.name.clone());
                    Ok(News::Records(GroupRecords { partition: owned.name.clone(), fetched }))
                }
                Err(error) => owned.reset(self.reset, error).map(News::Moved),
            });
        }
        Poll::Pending
    }
}

impl Owned {
    /// Returns the position after the last record that was returned; `None` while it is not known.
    fn position(&self) -> Option<ConsumerPosition> {
        self.consumer.position(0).filter(|position| position.offset != UNKNOWN)
    }

    /// Returns the position up to which the caller is done. After a seek to an offset, or a reset, a fetch that finds no record
    /// still says in which epoch the log reaches that offset.
    fn done(&self) -> Option<ConsumerPosition> {
        let done = self.done?;
        Some(self.position().filter(|position| position.offset == done.offset).unwrap_or(done))
    }

    /// Whether the group has stored the position. A position without an epoch says nothing more than its offset.
    fn is_committed(&self, position: ConsumerPosition) -> bool {
        self.committed.is_some_and(|committed| {
            let has_same_epoch = committed.leader_epoch == position.leader_epoch;
            committed.offset == position.offset && (has_same_epoch || position.leader_epoch.is_none())
        })
    }

    /// Moves to the configured end of the log, if the log does not hold the position.
    fn reset(&mut self, reset: AutoOffsetReset, error: FetchError) -> Result<Moved, GroupsError> {
        let partition = self.name.clone();
        let FetchError::OffsetOutOfRange { offset: from, log_start_offset, high_watermark } = error else {
            return Err(GroupsError::Fetch { partition, error });
        };
        let to = match reset {
            AutoOffsetReset::Earliest => log_start_offset,
            AutoOffsetReset::Latest => high_watermark,
            AutoOffsetReset::None if from == UNKNOWN => return Err(GroupsError::NoOffset { partition }),
            AutoOffsetReset::None => return Err(GroupsError::Fetch { partition, error }),
        };
        self.consumer.seek(0, to);
        self.done = Some(to.into());
        Ok(Moved { partition, from, to })
    }
}

impl Moved {
    /// Whether the position was unknown before, so that nothing was reset.
    pub(super) const fn is_first(&self) -> bool {
        self.from == UNKNOWN
    }
}
