//! JoinGroup: new groups, new members.

use super::Groups;
use super::appends::{Joining, Then};
use super::output::Output;
use super::turn::Turn;
use crate::group::error::GroupError;
use crate::group::records::{GroupRecord, GroupValue};
use crate::group::reply::JoinReply;
use crate::group::request::{JoinGroup, Now};
use crate::group::state::{GroupState, Member};
use std::collections::BTreeSet;

/// First version of JoinGroup in which a new member gets its id before it joins.
const MEMBER_ID_REQUIRED_FROM: i16 = 4;

impl Groups {
    /// Handles a JoinGroup. A group that does not exist is created first; the join continues when its record is in the log.
    pub(super) fn join(&mut self, joining: Joining, now: Now, out: &mut Output) {
        let id = joining.request.group.clone();
        if let Some(mut turn) = self.turn(&id, now, out) {
            return turn.join(joining);
        }
        let error = if !joining.request.member_id.is_empty() {
            GroupError::UnknownMemberId
        } else if self.groups.len() >= self.config.groups_max {
            GroupError::PolicyViolation
        } else {
            let value = GroupValue::without_members(Some(now.unix_ms));
            let record = GroupRecord::Group { group: id, value: Some(value) };
            let waiting = vec![joining.token];
            self.appends.begin(vec![record], Then::Join(joining), waiting, out);
            return;
        };
        out.reply(joining.token, JoinReply::refused(&joining.request.member_id, error));
    }
}

impl Turn<'_> {
    /// Handles the JoinGroup of a group that exists.
    fn join(&mut self, joining: Joining) {
        let member = &joining.request.member_id;
        if !self.accepts(member) {
            self.out.reply(joining.token, JoinReply::refused("", GroupError::GroupMaxSizeReached));
            self.remove(&joining.request.member_id);
            self.try_complete_join();
        } else if member.is_empty() {
            self.join_new(joining);
        } else {
            self.join_existing(joining);
        }
    }

    /// Says whether the group has room for the member. While members join, those that have joined already count.
    fn accepts(&self, member: &str) -> bool {
        let members = &self.group.members;
        match self.group.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                members.get(member).is_some_and(|member| member.join.is_some())
                    || members.awaiting_join() < self.config.group_max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                members.contains(member) || members.len() < self.config.group_max_size
            }
        }
    }

    /// Handles the JoinGroup of a member that has no id.
    fn join_new(&mut self, joining: Joining) {
        let request = &joining.request;
        let refused = |error| JoinReply::refused("", error);
        if !self.group.supports(request) {
            self.out.reply(joining.token, refused(GroupError::InconsistentGroupProtocol));
            return;
        }
        let name = request.instance_id.as_ref().unwrap_or(&joining.client.id);
        let new_id = format!("{name}-{}", uuid(request.random));
        if self.group.members.contains(&new_id) || self.group.pending.contains(&new_id) {
            self.out.reply(joining.token, refused(GroupError::InvalidRequest));
            return;
        }
        if !self.has_bytes_for(&joining, &new_id) {
            self.out.reply(joining.token, refused(GroupError::MessageTooLarge));
            return;
        }
        if let Some(instance_id) = &request.instance_id {
            match self.group.static_ids.get(instance_id).cloned() {
                Some(old_id) => self.rejoin(joining, &old_id, new_id),
                None => self.add_member(&joining, &new_id),
            }
        } else if joining.api_version < MEMBER_ID_REQUIRED_FROM {
            self.add_member(&joining, &new_id);
        } else if self.group.pending.len() >= self.config.pending_members_max {
            self.out.reply(joining.token, refused(GroupError::GroupMaxSizeReached));
        } else {
            self.group.pending.insert(new_id.clone());
            self.set_session(&new_id, u64::try_from(request.session_timeout_ms).unwrap_or(0));
            self.out.reply(joining.token, JoinReply::refused(&new_id, GroupError::MemberIdRequired));
        }
    }

    /// Says whether the members are within the bounds of bytes once the member `id` has joined with this request. A JoinGroup that
    /// takes no more bytes than the member had before is always within them.
    pub(super) fn has_bytes_for(&self, joining: &Joining, id: &str) -> bool {
        let request = &joining.request;
        let of_instance = request.instance_id.as_ref().and_then(|it| self.group.static_ids.get(it));
        let earlier = of_instance.map_or(id, String::as_str);
        let now = self.group.members.bytes();
        let then = self.group.bytes_after_join(earlier, (id, &joining.client, request));
        let is_within = |now: usize, then: usize, max: usize| then <= max || then <= now;
        is_within(now.in_record, then.in_record, self.config.group_members_bytes_max)
            && is_within(now.of_protocols, then.of_protocols, self.config.group_metadata_bytes_max)
    }

    /// Adds a member and starts a rebalance. The member cannot send heartbeats while its JoinGroup is parked, so its session ends
    /// after a time of its own. A client that still lives joins again.
    pub(super) fn add_member(&mut self, joining: &Joining, id: &str) {
        let is_initial =
            self.group.is(GroupState::PreparingRebalance) && self.group.previous == GroupState::Empty;
        self.group.has_new_member |= is_initial;
        if self.group.members.is_empty() {
            self.group.protocol_type = Some(joining.request.protocol_type.clone());
        }
        self.group.add(Member::joining(id, &joining.client, &joining.request));
        self.park_join(id, joining.token);
        self.set_session(id, self.config.new_member_join_timeout_ms);
        self.rebalance();
    }
}

/// Returns the request with the first protocol of each name alone. Kafka keeps them all, and counts a member as often as it names
/// a protocol. Its groups then never agree on that protocol.
pub(super) fn first_of_each_name(mut request: JoinGroup) -> JoinGroup {
    let mut names = BTreeSet::new();
    request.protocols.retain(|protocol| names.insert(protocol.name.clone()));
    request
}

/// Returns 128 bits as a UUID is written.
fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
