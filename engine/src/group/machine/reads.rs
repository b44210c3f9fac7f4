//! Requests that only read: OffsetFetch, DescribeGroups, ListGroups.

use super::Groups;
use crate::group::error::GroupError;
use crate::group::records::{CommittedOffset, OffsetKey};
use crate::group::reply::{DescribedGroup, DescribedMember, FetchedOffset, ListedGroup};
use crate::group::request::{ListGroups, OffsetFetch};
use crate::group::state::{Group, GroupState, GroupView, Member};
use bytes::Bytes;

/// First version of DescribeGroups in which a missing group is an error.
const GROUP_ID_NOT_FOUND_FROM: i16 = 6;
/// Type of all groups here.
const GROUP_TYPE: &str = "classic";

impl Groups {
    /// Returns the ids of all groups, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Returns a group as it looks from outside, if it exists.
    pub fn view(&self, group: &str) -> Option<GroupView> {
        self.groups.get(group).map(Group::view)
    }

    /// Returns a group with its members, as DescribeGroups returns it, if it exists. The coordinator need not serve yet.
    pub fn described(&self, group: &str) -> Option<DescribedGroup> {
        self.groups.get(group).map(|found| described(group, found))
    }

    /// Returns the committed offsets of a group, in the order of topic and partition.
    pub fn committed(&self, group: &str) -> Vec<(OffsetKey, CommittedOffset)> {
        let offsets = self.offsets.of_group(group).into_iter();
        offsets.map(|(key, offset)| (key, offset.clone())).collect()
    }

    /// Returns the committed offsets that are asked for. A partition without one has offset −1; if all are asked for, it is left out.
    pub(super) fn fetch(&self, request: &OffsetFetch) -> Vec<(String, Vec<FetchedOffset>)> {
        let Some(topics) = &request.topics else {
            let topics = self.offsets.group(&request.group).into_iter().flatten();
            let fetched = topics.map(|(topic, partitions)| {
                let offsets = partitions.iter().map(|(partition, offset)| fetched(*partition, Some(offset)));
                (topic.clone(), offsets.collect())
            });
            return fetched.collect();
        };
        let topic = |(topic, partitions): &(String, Vec<i32>)| {
            let offsets = partitions
                .iter()
                .map(|partition| fetched(*partition, self.offsets.get(&request.group, topic, *partition)));
            (topic.clone(), offsets.collect())
        };
        topics.iter().map(topic).collect()
    }

    /// Describes groups.
    pub(super) fn describe(&self, groups: &[String], api_version: i16) -> Vec<DescribedGroup> {
        let describe = |id: &String| match self.groups.get(id) {
            Some(group) => described(id, group),
            None => DescribedGroup {
                group: id.clone(),
                error: (api_version >= GROUP_ID_NOT_FOUND_FROM).then_some(GroupError::GroupIdNotFound),
                state: GroupState::Dead.name(),
                protocol_type: String::new(),
                protocol: String::new(),
                members: Vec::new(),
            },
        };
        groups.iter().map(describe).collect()
    }

    /// Lists the groups that pass the filters.
    pub(super) fn list(&self, request: &ListGroups) -> Vec<ListedGroup> {
        let passes = |filter: &[String], value: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(value))
        };
        if !passes(&request.types, GROUP_TYPE) {
            return Vec::new();
        }
        let groups = self.groups.iter().filter(|(_, group)| passes(&request.states, group.state.name()));
        let listed = groups.map(|(id, group)| ListedGroup {
            group: id.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state.name(),
        });
        listed.collect()
    }
}

fn fetched(partition: i32, offset: Option<&CommittedOffset>) -> FetchedOffset {
    FetchedOffset {
        partition,
        offset: offset.map_or(-1, |offset| offset.offset),
        leader_epoch: offset.map_or(-1, |offset| offset.leader_epoch),
        metadata: offset.map(|offset| offset.metadata.clone()).unwrap_or_default(),
    }
}

fn described(id: &str, group: &Group) -> DescribedGroup {
    // Metadata is that of a protocol, and only a stable group has agreed on one.
    let protocol = group.protocol.as_deref().filter(|_| group.is(GroupState::Stable));
    let member = |member: &Member| DescribedMember {
        id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client.id.clone(),
        client_host: member.client.host.clone(),
        metadata: protocol.map_or_else(Bytes::new, |protocol| member.metadata(protocol)),
        assignment: member.assignment.clone(),
    };
    DescribedGroup {
        group: id.to_owned(),
        error: None,
        state: group.state.name(),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        protocol: protocol.unwrap_or_default().to_owned(),
        members: group.members.iter().map(member).collect(),
    }
}
