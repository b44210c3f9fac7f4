//! Requests for committed offsets, and their replies.

use super::error::GroupsError;
use crate::client::RemoteDirectory;
use crate::group::{OffsetCommit, OffsetFetch, PartitionCommit, ReplyBody, RequestBody};
use crate::types::{ConsumerPosition, TopicPartition};
use std::collections::BTreeMap;

/// The reason for a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitKind {
    Automatic,
    /// Partitions go once it is answered.
    BeforeRelease,
    /// The caller waits for it.
    Awaited,
}

/// An offset to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset of the next record to read, with the leader epoch of the last one that was read.
    pub position: ConsumerPosition,
    /// Text to store with the offset.
    pub metadata: Option<String>,
}

/// The member that commits.
#[derive(Debug, Clone, Default)]
pub(super) struct Committer {
    pub(super) group: String,
    /// Generation and id of the member. −1 and an empty id commit to a group without members.
    pub(super) generation: i32,
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
}

impl Committer {
    /// Returns the request that commits `commits`. `id_of` returns the id of the topic that was read.
    pub(super) fn request(self, commits: &[Commit], id_of: impl Fn(&str) -> Option<u64>) -> RequestBody {
        let mut topics: BTreeMap<&str, Vec<PartitionCommit>> = BTreeMap::new();
        for Commit { partition, position, metadata } in commits {
            topics.entry(&partition.topic).or_default().push(PartitionCommit {
                partition: number_of(partition),
                offset: position.offset,
                leader_epoch: position.leader_epoch.unwrap_or(-1),
                metadata: metadata.clone(),
            });
        }
        RequestBody::OffsetCommit(OffsetCommit {
            group: self.group,
            generation: self.generation,
            member_id: self.member_id,
            instance_id: self.instance_id,
            retention_ms: None,
            topic_ids: topics.keys().filter_map(|name| Some(((*name).to_owned(), id_of(name)?))).collect(),
            topics: topics.into_iter().map(|(topic, commits)| (topic.to_owned(), commits)).collect(),
        })
    }
}

/// Refuses commits if one is for a partition that does not exist. Kafka too checks this before the coordinator sees the
/// request.
pub(super) fn check_partitions(directory: &RemoteDirectory, commits: &[Commit]) -> Result<(), GroupsError> {
    match commits.iter().find(|commit| !directory.topics.has(&commit.partition)) {
        Some(unknown) => Err(GroupsError::UnknownPartition { partition: unknown.partition.clone() }),
        None => Ok(()),
    }
}

/// Returns the request for the committed offsets of `partitions`, or of all if that is `None`.
pub(super) fn fetch_request(group: &str, partitions: Option<&[TopicPartition]>) -> RequestBody {
    let topics = partitions.map(by_topic);
    RequestBody::OffsetFetch(OffsetFetch { group: group.to_owned(), topics })
}

/// Returns the numbers of partitions, by topic.
pub(super) fn by_topic(partitions: &[TopicPartition]) -> Vec<(String, Vec<i32>)> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(number_of(partition));
    }
    topics.into_iter().map(|(topic, numbers)| (topic.to_owned(), numbers)).collect()
}

/// Returns the committed offsets of a reply. Partitions without one are left out.
pub(super) fn committed(reply: ReplyBody) -> Result<Vec<Commit>, GroupsError> {
    let ReplyBody::OffsetFetch(outcome) = reply else { return Ok(Vec::new()) };
    let mut committed = Vec::new();
    for (topic, offsets) in outcome? {
        let topic: std::sync::Arc<str> = topic.into();
        for fetched in offsets.into_iter().filter(|fetched| fetched.offset >= 0) {
            let Ok(partition) = u32::try_from(fetched.partition) else { continue };
            let leader_epoch = Some(fetched.leader_epoch).filter(|epoch| *epoch >= 0);
            committed.push(Commit {
                partition: TopicPartition { topic: std::sync::Arc::clone(&topic), partition },
                position: ConsumerPosition { offset: fetched.offset, leader_epoch },
                metadata: Some(fetched.metadata).filter(|metadata| !metadata.is_empty()),
            });
        }
    }
    Ok(committed)
}

fn number_of(partition: &TopicPartition) -> i32 {
    // Topics have at most 2¹⁶ partitions; a larger number is unknown in any case.
    i32::try_from(partition.partition).unwrap_or(i32::MAX)
}
