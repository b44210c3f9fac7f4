//! Looking at groups, and removing them: for operators and tools. All calls wait for their replies.

use super::error::GroupsError;
use super::link::{Coordinator, call_loaded, error_of};
use super::offsets::{self, Commit, Committer, by_topic};
use crate::client::RemoteDirectory;
use crate::group::{
    Client, DeleteGroups, DescribeGroups, DescribedGroup, GroupError, ListGroups, ListedGroup, OffsetDelete,
    ReplyBody, RequestBody,
};
use crate::num::u32_of;
use crate::shard::OFFSETS_TOPIC;
use crate::types::TopicPartition;

/// Access to the groups of an engine. Not for the shards' own threads: the calls block.
#[derive(Debug, Clone)]
pub struct GroupAdmin {
    directory: RemoteDirectory,
}

/// The groups of an engine.
#[derive(Debug, Default)]
pub struct GroupList {
    /// The groups, in the order of their ids.
    pub groups: Vec<ListedGroup>,
    /// The partitions of `__consumer_offsets` whose groups are not known, each with the reason. Empty if every coordinator answered.
    pub errors: Vec<(u32, GroupsError)>,
}

impl GroupAdmin {
    pub(crate) const fn new(directory: RemoteDirectory) -> Self {
        Self { directory }
    }

    /// Lists all groups of the coordinators that answer. A coordinator whose records are damaged, or whose shard is stuck, does not:
    /// its error is in the list too.
    ///
    /// # Errors
    /// [`GroupsError::Closed`].
    pub fn list(&self) -> Result<GroupList, GroupsError> {
        let count = self.directory.topics.get(OFFSETS_TOPIC).map_or(0, |topic| topic.places.len());
        let mut list = GroupList::default();
        for partition in 0..u32_of(count) {
            let coordinator = Coordinator::of_partition(&self.directory, partition, client());
            match listed(coordinator.ok_or(GroupsError::Closed)?) {
                Ok(groups) => list.groups.extend(groups),
                Err(GroupsError::Closed) => return Err(GroupsError::Closed),
                Err(error) => list.errors.push((partition, error)),
            }
        }
        list.groups.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(list)
    }

    /// Describes a group with its members.
    ///
    /// # Errors
    /// [`GroupsError`]; [`GroupError::GroupIdNotFound`] if there is no such group.
    pub fn describe(&self, group: &str) -> Result<DescribedGroup, GroupsError> {
        let request = RequestBody::DescribeGroups(DescribeGroups { groups: vec![group.to_owned()] });
        match self.call(group, &request)? {
            ReplyBody::DescribeGroups(mut described) => {
                let described = described.pop().ok_or(GroupError::UnknownServerError)?;
                described.error.map_or(Ok(described), |error| Err(error.into()))
            }
            _ => Err(GroupError::UnknownServerError.into()),
        }
    }

    /// Deletes a group without members, with its offsets.
    ///
    /// # Errors
    /// [`GroupsError`]; [`GroupError::NonEmptyGroup`] if it has members.
    pub fn delete(&self, group: &str) -> Result<(), GroupsError> {
        let request = RequestBody::DeleteGroups(DeleteGroups { groups: vec![group.to_owned()] });
        self.succeed(group, &request)
    }

    /// Returns the committed offsets of a group, of all partitions.
    ///
    /// # Errors
    /// [`GroupsError`].
    pub fn offsets(&self, group: &str) -> Result<Vec<Commit>, GroupsError> {
        offsets::committed(self.call(group, &offsets::fetch_request(group, None))?)
    }

    /// Commits offsets for a group without members, as a consumer does that assigns partitions to itself.
    ///
    /// # Errors
    /// [`GroupsError`]; [`GroupError::UnknownMemberId`] if the group has members. [`GroupsError::UnknownPartition`] if a
    /// topic or partition does not exist.
    pub fn commit(&self, group: &str, commits: &[Commit]) -> Result<(), GroupsError> {
        offsets::check_partitions(&self.directory, commits)?;
        let committer = Committer { group: group.to_owned(), generation: -1, ..Committer::default() };
        self.succeed(group, &committer.request(commits, |topic| self.directory.topics.id(topic)))
    }

    /// Deletes committed offsets of a group. It must not be subscribed to their topics.
    ///
    /// # Errors
    /// [`GroupsError`].
    pub fn delete_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<(), GroupsError> {
        let topics = by_topic(partitions);
        self.succeed(group, &RequestBody::OffsetDelete(OffsetDelete { group: group.to_owned(), topics }))
    }

    /// Sends any request to the coordinator of a group, and returns the reply.
    ///
    /// # Errors
    /// [`GroupsError`]; an error of the coordinator is in the reply.
    pub fn call(&self, group: &str, request: &RequestBody) -> Result<ReplyBody, GroupsError> {
        let coordinator = Coordinator::of_group(&self.directory, group, client());
        call_loaded(coordinator.ok_or(GroupsError::Closed)?, request)
    }

    fn succeed(&self, group: &str, request: &RequestBody) -> Result<(), GroupsError> {
        let reply = self.call(group, request)?;
        error_of(&reply).map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Returns the groups of one coordinator.
fn listed(coordinator: Coordinator) -> Result<Vec<ListedGroup>, GroupsError> {
    match call_loaded(coordinator, &RequestBody::ListGroups(ListGroups::default()))? {
        ReplyBody::ListGroups(listed) => Ok(listed?),
        _ => Err(GroupError::UnknownServerError.into()),
    }
}

fn client() -> Client {
    Client { id: "admin".into(), host: "/127.0.0.1".into() }
}
