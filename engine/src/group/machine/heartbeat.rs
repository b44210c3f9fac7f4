//! Heartbeat and LeaveGroup.

use super::turn::Turn;
use crate::group::error::GroupError;
use crate::group::reply::{MemberLeft, Reply, ReplyBody};
use crate::group::request::{Heartbeat, LeavingMember, Token};
use crate::group::state::GroupState;

/// Returns the reply to a LeaveGroup of a group that does not exist.
pub(super) fn left_no_group(members: &[LeavingMember]) -> ReplyBody {
    let outcome = |member: &LeavingMember| left(member, Err(GroupError::UnknownMemberId));
    ReplyBody::Leave(Ok(members.iter().map(outcome).collect()))
}

fn left(member: &LeavingMember, outcome: Result<(), GroupError>) -> MemberLeft {
    MemberLeft { member_id: member.member_id.clone(), instance_id: member.instance_id.clone(), outcome }
}

impl Turn<'_> {
    /// Handles a Heartbeat: the session of the member starts anew.
    pub(super) fn heartbeat(&mut self, request: &Heartbeat) -> Result<(), GroupError> {
        let instance_id = request.instance_id.as_deref();
        self.group.check_generation(&request.member_id, instance_id, request.generation)?;
        self.extend_session(&request.member_id);
        if self.group.is(GroupState::PreparingRebalance) {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Handles a LeaveGroup of any number of members. The rebalance begins when all of them are gone.
    pub(super) fn leave(&mut self, token: Token, members: &[LeavingMember]) {
        let outcomes: Vec<MemberLeft> =
            members.iter().map(|member| left(member, self.remove_leaving(member))).collect();
        let has_left = outcomes.iter().any(|member| member.outcome.is_ok());
        let append = match self.group.state {
            GroupState::Empty | GroupState::Dead => None,
            _ if has_left => self.rebalance(),
            _ => None,
        };
        let body = ReplyBody::Leave(Ok(outcomes));
        match append {
            Some(append) => self.appends.hold(append, Reply { token, body }, self.out),
            None => self.out.reply(token, body),
        }
    }

    /// Removes one member. A static member may be named by its instance id alone, which is how operators remove it.
    fn remove_leaving(&mut self, member: &LeavingMember) -> Result<(), GroupError> {
        let instance_id = member.instance_id.as_deref();
        let id = if member.member_id.is_empty() {
            let id = instance_id.and_then(|instance_id| self.group.static_ids.get(instance_id));
            id.cloned().ok_or(GroupError::UnknownMemberId)?
        } else {
            if !self.group.pending.contains(&member.member_id) {
                self.group.check_member(&member.member_id, instance_id)?;
            }
            member.member_id.clone()
        };
        self.remove(&id);
        Ok(())
    }
}
