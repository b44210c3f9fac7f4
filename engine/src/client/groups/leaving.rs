//! The end of a consumer in a group: it leaves, or it is dropped.

use super::consumer::{GroupConsumer, Phase};
use super::error::GroupsError;
use super::link::error_of;
use super::partitions::Partitions;
use crate::group::{GroupError, LeaveGroup, LeavingMember, ReplyBody, RequestBody};
use crate::shard::Ticket;
use std::time::Duration;

/// Longest time that a consumer that leaves waits for the reply to its first JoinGroup. The coordinator answers it as soon as the
/// group is stored. It holds the id that it hands out for the session timeout, and rebalances wait for that id.
const JOIN_REPLY_MAX: Duration = Duration::from_secs(5);

impl GroupConsumer {
    /// Leaves the group, so that the other members get the partitions at once. If commits are automatic, the positions are
    /// committed first, except for partitions that the caller has committed since `Revoked`. A static member does not leave, as
    /// in Kafka. All later polls fail.
    ///
    /// If the first JoinGroup is not answered, the call waits for its reply, for 5 s at most, and gives the member id back.
    ///
    /// While its group rebalances, it may refuse that commit. This is no error: the next owner reads from the offsets that were
    /// committed before.
    ///
    /// # Errors
    /// [`GroupsError`], of the commit or of the leaving. The consumer is closed all the same.
    pub async fn leave(&mut self) -> Result<(), GroupsError> {
        if self.phase == Phase::Closed {
            return Ok(());
        }
        let is_member = self.generation >= 0;
        let committed = if self.config.auto_commit.is_some() && is_member {
            self.commit_all(Partitions::last_positions).await
        } else {
            Ok(())
        };
        let committed = match committed {
            Err(GroupsError::Refused(GroupError::RebalanceInProgress | GroupError::IllegalGeneration)) => {
                Ok(())
            }
            other => other,
        };
        let joining = self.first_join();
        self.beat.set_member(None);
        self.phase = Phase::Closed;
        self.owned.clear();
        if self.config.group_instance_id.is_some() {
            return committed;
        }
        if let Some(ticket) = joining {
            let reply = self.link.reply(ticket, JOIN_REPLY_MAX).await;
            self.member_id = reply.and_then(Result::ok).map(id_of).unwrap_or_default();
        }
        committed.and(self.send_leave().await)
    }

    /// Returns the JoinGroup that asks for a member id, if it is not answered.
    const fn first_join(&self) -> Option<Ticket> {
        match self.phase {
            Phase::Joining(ticket) if self.member_id.is_empty() => Some(ticket),
            _ => None,
        }
    }

    /// Sends a LeaveGroup and waits for the reply. Sends nothing if the consumer has no member id.
    async fn send_leave(&mut self) -> Result<(), GroupsError> {
        if self.member_id.is_empty() {
            return Ok(());
        }
        let members = vec![LeavingMember { member_id: self.member_id.clone(), instance_id: None }];
        let request = RequestBody::Leave(LeaveGroup { group: self.config.group_id.clone(), members });
        match error_of(&self.link.call(request).await?) {
            // The group has removed the member already.
            None | Some(GroupError::UnknownMemberId) => Ok(()),
            Some(error) => Err(error.into()),
        }
    }

    /// Leaves the group as [`GroupConsumer::leave`], for a plain thread.
    ///
    /// # Errors
    /// As [`GroupConsumer::leave`].
    pub fn close(mut self) -> Result<(), GroupsError> {
        pollster::block_on(self.leave())
    }
}

impl Drop for GroupConsumer {
    /// Gives back a member id with which the consumer was in no generation: the rebalances of its group would wait for it. Waits
    /// for nothing. If the reply with the id is not there, the session of the id has to end.
    fn drop(&mut self) {
        if self.generation >= 0 || !matches!(self.phase, Phase::Joining(_)) {
            return;
        }
        let mut member_id = std::mem::take(&mut self.member_id);
        while member_id.is_empty()
            && let Some((ticket, outcome)) = self.link.next()
        {
            if self.phase == Phase::Joining(ticket) {
                member_id = outcome.map(id_of).unwrap_or_default();
            }
        }
        if !member_id.is_empty() {
            self.beat.send_leave(member_id);
        }
    }
}

/// Returns the member id in the reply to a JoinGroup; an empty one if there is none.
fn id_of(reply: ReplyBody) -> String {
    match reply {
        ReplyBody::Join(reply) => reply.member_id,
        _ => String::new(),
    }
}
