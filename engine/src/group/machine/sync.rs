//! SyncGroup: the leader brings the assignment, each member fetches its own.

use super::appends::Then;
use super::turn::Turn;
use crate::group::error::GroupError;
use crate::group::records::GroupRecord;
use crate::group::reply::{ReplyBody, Synced};
use crate::group::request::{SyncGroup, Token};
use crate::group::state::{GroupState, Timer};

impl Turn<'_> {
    /// Handles a SyncGroup. While the assignment is missing, or not in the log yet, the request is parked.
    pub(super) fn sync(&mut self, token: Token, request: SyncGroup) {
        if let Err(error) = self.check_sync(&request) {
            self.out.reply(token, ReplyBody::Sync(Err(error)));
            return;
        }
        let member = &request.member_id;
        self.group.pending_sync.remove(member);
        if self.group.pending_sync.is_empty() {
            self.timers.cancel(&Timer::sync(self.id));
        }
        if self.group.is(GroupState::Stable) {
            let reply = self.synced(member);
            self.out.reply(token, reply);
            return;
        }
        self.park_sync(member, token);
        // A repeated request of the leader waits for the assignment that is being written.
        if self.group.is_leader(member) && !self.group.is_assignment_in_flight {
            self.write_assignment(token, request);
        }
    }

    fn check_sync(&self, request: &SyncGroup) -> Result<(), GroupError> {
        if self.group.is(GroupState::Empty) {
            return Err(GroupError::UnknownMemberId);
        }
        let instance_id = request.instance_id.as_deref();
        self.group.check_generation(&request.member_id, instance_id, request.generation)?;
        let differs =
            |sent: &Option<String>, own: &Option<String>| sent.is_some() && own.is_some() && sent != own;
        if differs(&request.protocol_type, &self.group.protocol_type)
            || differs(&request.protocol, &self.group.protocol)
        {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        if self.group.is(GroupState::PreparingRebalance) {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Begins to append the generation with its assignment. Members without one get an empty one.
    fn write_assignment(&mut self, token: Token, request: SyncGroup) {
        let value = self.group.to_value(&request.assignments.into_iter().collect());
        let record = GroupRecord::Group { group: self.id.to_owned(), value: Some(value) };
        let then = Then::Assigned { group: self.id.to_owned(), generation: self.group.generation };
        self.appends.begin(vec![record], then, vec![token], self.out);
        self.group.is_assignment_in_flight = true;
    }

    /// Starts a rebalance, because the assignment could not be written. All that wait for it get `error`.
    pub(super) fn fail_assignment(&mut self, generation: i32, error: GroupError) {
        let is_current =
            self.group.is(GroupState::CompletingRebalance) && self.group.generation == generation;
        if is_current && self.group.is_assignment_in_flight {
            self.drop_assignments(error);
            self.prepare_rebalance();
        }
    }

    /// Returns the reply with the assignment of a member.
    fn synced(&self, member: &str) -> ReplyBody {
        let assignment = self.group.members.get(member).map(|member| member.assignment.clone());
        ReplyBody::Sync(Ok(Synced {
            protocol_type: self.group.protocol_type.clone(),
            protocol: self.group.protocol.clone(),
            assignment: assignment.unwrap_or_default(),
        }))
    }
}
