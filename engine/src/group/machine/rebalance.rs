//! The phases of a rebalance: members join, the generation begins, members sync.

use super::appends::Then;
use super::output::AppendId;
use super::turn::Turn;
use crate::group::error::GroupError;
use crate::group::records::GroupRecord;
use crate::group::reply::ReplyBody;
use crate::group::state::{Deadline, GroupState, Timer};
use bytes::Bytes;
use std::collections::BTreeMap;

impl Turn<'_> {
    /// Starts a rebalance, unless members are joining already. Then the join phase ends if all have joined. Returns the batch with the
    /// group's record, if the group is empty now.
    pub(super) fn rebalance(&mut self) -> Option<AppendId> {
        if self.group.is(GroupState::PreparingRebalance) {
            self.try_complete_join()
        } else {
            self.prepare_rebalance()
        }
    }

    /// Starts the join phase. Members that wait for their assignment have to join again.
    pub(super) fn prepare_rebalance(&mut self) -> Option<AppendId> {
        if self.group.is(GroupState::CompletingRebalance) {
            self.drop_assignments(GroupError::RebalanceInProgress);
        }
        self.group.pending_sync.clear();
        self.timers.cancel(&Timer::sync(self.id));
        let is_initial = self.group.is(GroupState::Empty);
        self.group.move_to(GroupState::PreparingRebalance, self.now.unix_ms);
        if is_initial {
            let delay_ms = self.config.initial_rebalance_delay_ms;
            let remaining_ms = self.group.rebalance_timeout_ms().saturating_sub(delay_ms);
            let deadline = Deadline::InitialJoin { delay_ms, remaining_ms };
            self.set(Timer::join(self.id), delay_ms, deadline);
            return None;
        }
        if self.group.has_all_joined() {
            return self.complete_join();
        }
        self.wait_for_joins();
        None
    }

    fn wait_for_joins(&mut self) {
        self.set(Timer::join(self.id), self.group.rebalance_timeout_ms(), Deadline::Join);
    }

    /// Ends the join phase if all have joined. The initial rebalance of a group only ends with its delay.
    pub(super) fn try_complete_join(&mut self) -> Option<AppendId> {
        let is_joining = self.group.is(GroupState::PreparingRebalance);
        let is_initial = self.group.previous == GroupState::Empty;
        if is_joining && !is_initial && self.group.has_all_joined() { self.complete_join() } else { None }
    }

    /// Ends the delay of the initial rebalance. The delay is extended if members have joined meanwhile and time remains.
    pub(super) fn end_initial_join(&mut self, delay_ms: u64, remaining_ms: u64) {
        let next_ms = remaining_ms.min(self.config.initial_rebalance_delay_ms);
        if !self.group.has_new_member || remaining_ms == 0 {
            self.complete_join();
            return;
        }
        self.group.has_new_member = false;
        let remaining_ms = remaining_ms.saturating_sub(delay_ms);
        let deadline = Deadline::InitialJoin { delay_ms: next_ms, remaining_ms };
        self.set(Timer::join(self.id), next_ms, deadline);
    }

    /// Ends the join phase with the members that have joined. Dynamic members that have not are removed; static members stay until
    /// their sessions end. Returns the batch with the group's record, if the group is empty now.
    pub(super) fn complete_join(&mut self) -> Option<AppendId> {
        self.timers.cancel(&Timer::join(self.id));
        let late = |id: &String| {
            self.group
                .members
                .get(id)
                .is_some_and(|member| member.join.is_none() && member.instance_id.is_none())
        };
        let late: Vec<String> = self.group.members.ids_in_order().into_iter().filter(late).collect();
        for member in late {
            self.remove(&member);
        }
        if !self.group.elect_joined_leader() && !self.group.members.is_empty() {
            // Only static members are left, and none has joined: their sessions decide.
            self.wait_for_joins();
            return None;
        }
        self.group.next_generation(self.now.unix_ms);
        if self.group.is(GroupState::Empty) {
            let value = self.group.to_value(&BTreeMap::new());
            let record = GroupRecord::Group { group: self.id.to_owned(), value: Some(value) };
            return Some(self.appends.begin(vec![record], Then::Reply, Vec::new(), self.out));
        }
        self.begin_sync();
        None
    }

    /// Answers all joins with the new generation, and waits for SyncGroups.
    fn begin_sync(&mut self) {
        for member in self.group.members.ids_in_order() {
            if let Some(token) = self.group.members.take_join(&member) {
                let reply = self.joined(&member);
                self.out.reply(token, reply);
            }
            self.extend_session(&member);
            if let Some(member) = self.group.members.get_mut(&member) {
                member.is_new = false;
            }
            self.group.pending_sync.insert(member);
        }
        let deadline = Deadline::Sync { generation: self.group.generation };
        self.set(Timer::sync(self.id), self.group.rebalance_timeout_ms(), deadline);
    }

    /// Removes the members of this generation that have not sent a SyncGroup.
    pub(super) fn end_sync(&mut self, generation: i32) {
        let is_synced = matches!(self.group.state, GroupState::CompletingRebalance | GroupState::Stable);
        if generation != self.group.generation || !is_synced || self.group.pending_sync.is_empty() {
            return;
        }
        for member in self.group.pending_sync.clone() {
            self.remove(&member);
        }
        self.prepare_rebalance();
    }

    /// Drops the assignments of this generation. Parked SyncGroups are answered with `error`.
    pub(super) fn drop_assignments(&mut self, error: GroupError) {
        self.group.is_assignment_in_flight = false;
        for member in self.group.members.iter_mut() {
            member.assignment = Bytes::new();
        }
        self.answer_syncs(|_| ReplyBody::Sync(Err(error)));
    }

    /// Answers each parked SyncGroup with what `reply` makes of the member's assignment. The sessions of these members start anew, as
    /// their ends were ignored while the requests were parked.
    pub(super) fn answer_syncs(&mut self, reply: impl Fn(&Bytes) -> ReplyBody) {
        for id in self.group.members.ids_in_order() {
            let Some(member) = self.group.members.get_mut(&id) else { continue };
            let Some(token) = member.sync.take() else { continue };
            let body = reply(&member.assignment);
            self.out.reply(token, body);
            self.extend_session(&id);
        }
    }

    /// Ends the session of a member, or of an id that was handed out.
    pub(super) fn end_session(&mut self, id: &str) {
        let is_pending = self.group.pending.contains(id);
        let is_excused = self.group.members.get(id).is_none_or(|member| member.is_excused());
        if is_excused && !is_pending {
            return;
        }
        self.remove(id);
        match self.group.state {
            GroupState::Stable | GroupState::CompletingRebalance if !is_pending => {
                self.prepare_rebalance();
            }
            GroupState::PreparingRebalance if self.group.has_all_joined() => {
                self.complete_join();
            }
            _ => {}
        }
    }
}
