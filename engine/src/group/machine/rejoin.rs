//! JoinGroup of a static member that has lost its member id: a restarted client.

use super::Groups;
use super::appends::{Joining, StaticRejoin, Then};
use super::output::Output;
use super::turn::{Turn, answer_parked};
use crate::group::error::GroupError;
use crate::group::records::GroupRecord;
use crate::group::reply::{JoinReply, Joined, ReplyBody};
use crate::group::request::Now;
use crate::group::state::{GroupState, Timer};
use std::collections::BTreeMap;

/// First version of JoinGroup in which a leader can be told to keep the assignment.
const SKIPS_ASSIGNMENT_FROM: i16 = 9;

impl Turn<'_> {
    /// Handles the JoinGroup of a static member that the group knows as `old_id`. In a stable group the member takes over its old
    /// assignment, without a rebalance, if the group's protocol stays. Its new id is in force when the record is in the log.
    pub(super) fn rejoin(&mut self, joining: Joining, old_id: &str, new_id: String) {
        if !self.group.is(GroupState::Stable) {
            let is_completing = self.group.is(GroupState::CompletingRebalance);
            self.take_over(&joining, old_id, &new_id);
            // The leader may already assign to the old id, so the new one would get nothing [KAFKA-9801].
            if is_completing {
                self.prepare_rebalance();
            } else {
                self.try_complete_join();
            }
            return;
        }
        if let Some(earlier) = self.appends.static_rejoin(self.id) {
            earlier.behind.push(joining);
            return;
        }
        let mut next = self.group.clone();
        next.replace_id(old_id, &new_id);
        next.update(&new_id, &joining.request);
        if next.select_protocol() != self.group.protocol {
            self.take_over(&joining, old_id, &new_id);
            self.rebalance();
            return;
        }
        let assignments: BTreeMap<_, _> =
            next.members.iter().map(|member| (member.id.clone(), member.assignment.clone())).collect();
        let record =
            GroupRecord::Group { group: self.id.to_owned(), value: Some(next.to_value(&assignments)) };
        let waiting = vec![joining.token];
        let generation = self.group.generation;
        let rejoin = StaticRejoin { joining, new_id, generation, behind: Vec::new() };
        self.appends.begin(vec![record], Then::StaticRejoin(Box::new(rejoin)), waiting, self.out);
    }

    /// Gives a static member its new id, with what it sends now. Parked requests of the old id are fenced. The new JoinGroup is parked.
    fn take_over(&mut self, joining: &Joining, old_id: &str, new_id: &str) {
        self.replace_id(old_id, new_id);
        self.group.update(new_id, &joining.request);
        self.park_join(new_id, joining.token);
    }

    /// Gives a static member its new id. Parked requests of the old id are fenced.
    pub(super) fn replace_id(&mut self, old_id: &str, new_id: &str) {
        if let Some(old) = self.group.replace_id(old_id, new_id) {
            answer_parked(&old, GroupError::FencedInstanceId, old_id, self.out);
        }
        self.timers.cancel(&Timer::session(self.id, old_id));
        self.extend_session(new_id);
    }

    /// Answers a static member if its new id is in force, in the generation that its rejoin began in. `old_leader` led the group
    /// before. Returns whether it was answered.
    fn finish_rejoin(
        &mut self,
        joining: &Joining,
        new_id: &str,
        generation: i32,
        old_leader: Option<String>,
    ) -> bool {
        let instance_id = joining.request.instance_id.as_ref();
        let current = instance_id.and_then(|instance_id| self.group.static_ids.get(instance_id));
        let is_current = current.is_some_and(|current| current == new_id);
        if !self.group.is(GroupState::Stable) || self.group.generation != generation || !is_current {
            return false;
        }
        self.group.update(new_id, &joining.request);
        let can_skip = joining.api_version >= SKIPS_ASSIGNMENT_FROM;
        let keeps_leading = can_skip && self.group.is_leader(new_id);
        // Older clients assign if they are named as the leader, so the reply names the leader before this one.
        let leader = if can_skip { self.group.leader.clone() } else { old_leader };
        let joined = Joined {
            generation,
            leader: leader.unwrap_or_default(),
            protocol_type: self.group.protocol_type.clone(),
            protocol: self.group.protocol.clone(),
            skips_assignment: keeps_leading,
            members: if keeps_leading { self.group.joined_members() } else { Vec::new() },
        };
        let reply = JoinReply { member_id: new_id.to_owned(), outcome: Ok(joined) };
        self.out.reply(joining.token, ReplyBody::Join(reply));
        true
    }
}

impl Groups {
    /// Answers a static member whose new id is in the log. If the group has begun a rebalance meanwhile, the JoinGroup is handled
    /// anew. `old_leader` led the group before.
    pub(super) fn finish_rejoin(
        &mut self,
        rejoin: StaticRejoin,
        old_leader: Option<String>,
        now: Now,
        out: &mut Output,
    ) {
        let StaticRejoin { joining, new_id, generation, behind } = rejoin;
        let id = joining.request.group.clone();
        let turn = self.turn(&id, now, out);
        let is_done =
            turn.is_some_and(|mut turn| turn.finish_rejoin(&joining, &new_id, generation, old_leader));
        if !is_done {
            self.join(joining, now, out);
        }
        self.join_all(behind, now, out);
    }

    /// Refuses a static member whose new id could not be written. Nothing has changed.
    pub(super) fn fail_rejoin(
        &mut self,
        rejoin: StaticRejoin,
        error: GroupError,
        now: Option<Now>,
        out: &mut Output,
    ) {
        out.reply(rejoin.joining.token, JoinReply::refused("", error));
        match now {
            Some(now) => self.join_all(rejoin.behind, now, out),
            None => {
                for joining in rejoin.behind {
                    out.reply(joining.token, JoinReply::refused("", error));
                }
            }
        }
    }

    fn join_all(&mut self, joining: Vec<Joining>, now: Now, out: &mut Output) {
        for joining in joining {
            self.join(joining, now, out);
        }
    }
}
