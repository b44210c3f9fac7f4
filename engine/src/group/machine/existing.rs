//! JoinGroup of a member that has an id.

use super::appends::Joining;
use super::turn::Turn;
use crate::group::error::GroupError;
use crate::group::reply::JoinReply;
use crate::group::state::GroupState;

impl Turn<'_> {
    /// Handles the JoinGroup of a member that has an id.
    pub(super) fn join_existing(&mut self, joining: Joining) {
        if let Err(error) = self.check_existing(&joining) {
            let reply = JoinReply::refused(&joining.request.member_id, error);
            self.out.reply(joining.token, reply);
            return;
        }
        let id = joining.request.member_id.clone();
        if !self.has_bytes_for(&joining, &id) {
            self.refuse_bytes(&joining, &id);
            return;
        }
        if self.group.pending.contains(&id) {
            self.add_member(&joining, &id);
            return;
        }
        let has_changed =
            self.group.members.get(&id).is_none_or(|member| member.protocols != joining.request.protocols);
        let rejoins = match self.group.state {
            GroupState::PreparingRebalance => true,
            GroupState::CompletingRebalance => has_changed,
            // The leader joins again if something else than its metadata calls for a new assignment.
            GroupState::Stable => has_changed || self.group.is_leader(&id),
            GroupState::Empty | GroupState::Dead => false,
        };
        if rejoins {
            self.group.update(&id, &joining.request);
            self.park_join(&id, joining.token);
            self.rebalance();
        } else {
            // Probably the reply to its first JoinGroup was lost.
            let reply = self.joined(&id);
            self.out.reply(joining.token, reply);
        }
    }

    /// Refuses a member for whose bytes the group has no room. A member stays as it was. An id that was handed out is taken back,
    /// because the others would wait for it.
    fn refuse_bytes(&mut self, joining: &Joining, id: &str) {
        self.out.reply(joining.token, JoinReply::refused(id, GroupError::MessageTooLarge));
        if self.group.pending.contains(id) {
            self.remove(id);
            self.try_complete_join();
        }
    }

    fn check_existing(&self, joining: &Joining) -> Result<(), GroupError> {
        let request = &joining.request;
        if !self.group.supports(request) {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        if self.group.pending.contains(&request.member_id) {
            // Ids are handed out to dynamic members only.
            return if request.instance_id.is_none() { Ok(()) } else { Err(GroupError::InvalidRequest) };
        }
        self.group.check_member(&request.member_id, request.instance_id.as_deref())
    }
}
