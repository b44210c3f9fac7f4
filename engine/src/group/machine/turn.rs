//! One group in the hands of the state machine, with everything that its rules may touch.

use super::appends::Appends;
use super::output::Output;
use crate::group::config::GroupConfig;
use crate::group::error::GroupError;
use crate::group::reply::{JoinReply, Joined, ReplyBody};
use crate::group::request::{Now, Token};
use crate::group::state::{Deadline, Group, Member, Timer, Timers};

/// One group in the hands of the state machine.
pub(super) struct Turn<'a> {
    pub id: &'a str,
    pub group: &'a mut Group,
    pub timers: &'a mut Timers,
    pub appends: &'a mut Appends,
    pub config: &'a GroupConfig,
    pub now: Now,
    pub out: &'a mut Output,
}

/// Answers the parked requests of a member with `error`. A JoinGroup's reply names `reply_id`.
pub(super) fn answer_parked(member: &Member, error: GroupError, reply_id: &str, out: &mut Output) {
    if let Some(token) = member.join {
        out.reply(token, JoinReply::refused(reply_id, error));
    }
    if let Some(token) = member.sync {
        out.reply(token, ReplyBody::Sync(Err(error)));
    }
}

impl Turn<'_> {
    /// Starts the session of a member anew.
    pub(super) fn extend_session(&mut self, member: &str) {
        let session_ms = self.group.members.get(member).map_or(0, |member| member.session_timeout_ms);
        self.set_session(member, u64::try_from(session_ms).unwrap_or(0));
    }

    /// Sets the end of the session of a member, or of an id that was handed out.
    pub(super) fn set_session(&mut self, member: &str, timeout_ms: u64) {
        self.set(Timer::session(self.id, member), timeout_ms, Deadline::Session);
    }

    /// Sets a deadline `timeout_ms` from now.
    pub(super) fn set(&mut self, timer: Timer, timeout_ms: u64, deadline: Deadline) {
        self.timers.set(timer, self.now.monotonic_ms.saturating_add(timeout_ms), deadline);
    }

    /// Removes a member, or an id that was handed out. Its parked requests are answered with `UNKNOWN_MEMBER_ID`, so that a client
    /// that still lives joins again. The caller checks afterwards whether all others have joined.
    pub(super) fn remove(&mut self, member: &str) {
        self.timers.cancel(&Timer::session(self.id, member));
        if let Some(member) = self.group.remove(member) {
            answer_parked(&member, GroupError::UnknownMemberId, "", self.out);
        }
    }

    /// Parks the JoinGroup of a member. An earlier one that is still parked is answered with `NOT_COORDINATOR`, because its
    /// client has given it up [KAFKA-20938].
    pub(super) fn park_join(&mut self, member: &str, token: Token) {
        if let Some(earlier) = self.group.members.park_join(member, token) {
            self.out.reply(earlier, JoinReply::refused(member, GroupError::NotCoordinator));
        }
    }

    /// Parks the SyncGroup of a member, as [`park_join`](Self::park_join) does.
    pub(super) fn park_sync(&mut self, member: &str, token: Token) {
        let Some(member) = self.group.members.get_mut(member) else { return };
        if let Some(earlier) = member.sync.replace(token) {
            self.out.reply(earlier, ReplyBody::Sync(Err(GroupError::NotCoordinator)));
        }
    }

    /// Returns the reply to a JoinGroup of a member of this generation. The leader gets the members.
    pub(super) fn joined(&self, member: &str) -> ReplyBody {
        let is_leader = self.group.is_leader(member);
        let joined = Joined {
            generation: self.group.generation,
            leader: self.group.leader.clone().unwrap_or_default(),
            protocol_type: self.group.protocol_type.clone(),
            protocol: self.group.protocol.clone(),
            skips_assignment: false,
            members: if is_leader { self.group.joined_members() } else { Vec::new() },
        };
        ReplyBody::Join(JoinReply { member_id: member.to_owned(), outcome: Ok(joined) })
    }
}
