//! Records take effect here, and nowhere else: at recovery, and when a batch is in the log.

mod snapshot;

pub use snapshot::SnapshotPlace;

use super::Groups;
use super::Phase;
use super::appends::{Pending, StaticRejoin, Then};
use super::output::{AppendId, Output};
use super::turn::Turn;
use crate::group::error::{AppendFailure, GroupError};
use crate::group::records::{GroupRecord, GroupValue, RecordFault};
use crate::group::reply::{JoinReply, Reply, ReplyBody, Synced};
use crate::group::request::Now;
use crate::group::state::{Group, GroupState, Timer};

/// A time for records that are applied at recovery. They set no deadlines.
const BEFORE_SERVING: Now = Now { monotonic_ms: 0, unix_ms: 0 };

impl Groups {
    /// Applies a record of the log before the coordinator serves. Records of Kafka's newer group protocols are passed over.
    ///
    /// # Errors
    /// [`RecordFault`] if the record is damaged. Nothing has changed then.
    ///
    /// # Panics
    /// If the coordinator serves already.
    pub fn load(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RecordFault> {
        self.load_of_epoch(key, value, i32::MAX, |_| None)
    }

    /// Applies a record as [`Groups::load`] does, but passes over an offset that was committed for an earlier topic of the same
    /// name. `epoch` is the leader epoch of the record's batch: the open that has appended it. `created_in` returns the open in
    /// which the topic of a name was created, if there is one.
    ///
    /// A coordinator removes the offsets of a topic when the topic is deleted. It cannot while its log is damaged, and these
    /// offsets come back when the log is restored from a copy. They are older than the topic that has the name by then.
    ///
    /// # Errors
    /// As [`Groups::load`].
    ///
    /// # Panics
    /// As [`Groups::load`].
    pub fn load_of_epoch(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        epoch: i32,
        created_in: impl Fn(&str) -> Option<i32>,
    ) -> Result<(), RecordFault> {
        assert_eq!(self.phase, Phase::Loading, "records of the log are applied before the first request");
        match GroupRecord::decode(key, value)? {
            Some(GroupRecord::Offset { key, value: Some(_) })
                if created_in(&key.topic).is_some_and(|created_in| epoch < created_in) => {}
            Some(record) => self.apply(record, BEFORE_SERVING, &mut Output::default()),
            None => {}
        }
        Ok(())
    }

    /// Ends an append: its records are in the log, at the level of the topic, or will never be. In the first case they take effect now.
    /// In the second nothing changes. The replies that have waited leave in both cases. An id that is not known has no effect.
    pub fn appended(&mut self, id: AppendId, result: Result<(), AppendFailure>, now: Now) -> Output {
        let mut out = Output::default();
        if let Some(pending) = self.appends.take(id) {
            match result {
                Ok(()) => self.finish(pending, now, &mut out),
                Err(failure) => self.give_up(pending, failure.error(), Some(now), &mut out),
            }
        }
        self.with_deadline(out)
    }

    fn finish(&mut self, pending: Pending, now: Now, out: &mut Output) {
        let Pending { records, then, replies } = pending;
        let old_leader = match &then {
            Then::StaticRejoin(rejoin) => self.leader_before(rejoin),
            _ => None,
        };
        for record in records {
            self.apply(record, now, out);
        }
        match then {
            Then::Reply | Then::Assigned { .. } => {}
            Then::Join(joining) => self.join(joining, now, out),
            Then::StaticRejoin(rejoin) => self.finish_rejoin(*rejoin, old_leader, now, out),
        }
        out.replies.extend(replies);
    }

    fn leader_before(&self, rejoin: &StaticRejoin) -> Option<String> {
        self.groups.get(&rejoin.joining.request.group)?.leader.clone()
    }

    /// Answers what waits for records that are not in the log. Without `now` the coordinator is unloaded.
    pub(super) fn give_up(
        &mut self,
        pending: Pending,
        error: GroupError,
        now: Option<Now>,
        out: &mut Output,
    ) {
        for Reply { token, body } in pending.replies {
            out.reply(token, body.failed(error));
        }
        match pending.then {
            Then::Reply => {}
            Then::Join(joining) => out.reply(joining.token, JoinReply::refused("", error)),
            Then::StaticRejoin(rejoin) => self.fail_rejoin(*rejoin, error, now, out),
            Then::Assigned { group, generation } => {
                if let Some(now) = now
                    && let Some(mut turn) = self.turn(&group, now, out)
                {
                    turn.fail_assignment(generation, error);
                }
            }
        }
    }

    /// Applies a record.
    fn apply(&mut self, record: GroupRecord, now: Now, out: &mut Output) {
        match record {
            GroupRecord::Offset { key, value } => {
                if value.is_some() {
                    let group = self.groups.entry(key.group.clone()).or_insert_with(Group::simple);
                    group.durable.get_or_insert_with(|| GroupValue::without_members(None));
                }
                self.offsets.apply(&key, value);
            }
            GroupRecord::Group { group, value: Some(value) } => {
                let is_serving = self.phase == Phase::Serving;
                match self.turn(&group, now, out).filter(|_| is_serving) {
                    Some(mut turn) => turn.take_up(value),
                    None => {
                        self.groups.insert(group, Group::recorded(value));
                    }
                }
            }
            GroupRecord::Group { group, value: None } => self.remove_group(&group),
        }
    }

    /// Removes a group. Members that have joined since the removal was requested keep their group, but it is not stored. So
    /// does a group of which they have left records that follow: those would bring back an older generation with its members.
    fn remove_group(&mut self, id: &str) {
        let has_later_record = self.appends.has_group(id);
        let Some(group) = self.groups.get_mut(id) else { return };
        if self.phase == Phase::Serving && (has_later_record || !group.is(GroupState::Empty)) {
            group.durable = None;
            return;
        }
        for member in group.pending.iter().chain(group.members.iter().map(|member| &member.id)) {
            self.timers.cancel(&Timer::session(id, member));
        }
        self.timers.cancel(&Timer::join(id));
        self.timers.cancel(&Timer::sync(id));
        self.groups.remove(id);
        // Tombstones of its offsets stand before it. Some may be missing, as in a log from elsewhere, and no offset is without
        // a group.
        self.offsets.remove_group(id);
    }
}

impl Turn<'_> {
    /// Takes up the record of this group. If it is the assignment that the members wait for, they get it. If it names a static member
    /// by a new id, the member has that id now. A group that has begun a rebalance meanwhile goes its own way.
    fn take_up(&mut self, value: GroupValue) {
        if value.generation == self.group.generation {
            match self.group.state {
                GroupState::Stable => self.take_up_ids(&value),
                GroupState::CompletingRebalance => self.take_up_assignment(&value),
                _ => {}
            }
        }
        self.group.durable = Some(value);
    }

    fn take_up_ids(&mut self, value: &GroupValue) {
        for member in &value.members {
            let known = member.instance_id.as_ref().and_then(|instance| self.group.static_ids.get(instance));
            if let Some(old_id) = known.cloned().filter(|old_id| *old_id != member.id) {
                self.replace_id(&old_id, &member.id);
            }
        }
    }

    fn take_up_assignment(&mut self, value: &GroupValue) {
        for recorded in &value.members {
            if let Some(member) = self.group.members.get_mut(&recorded.id) {
                member.assignment = recorded.assignment.clone();
            }
        }
        let (protocol_type, protocol) = (self.group.protocol_type.clone(), self.group.protocol.clone());
        self.answer_syncs(|assignment| {
            let (protocol_type, protocol) = (protocol_type.clone(), protocol.clone());
            ReplyBody::Sync(Ok(Synced { protocol_type, protocol, assignment: assignment.clone() }))
        });
        self.group.is_assignment_in_flight = false;
        self.group.move_to(GroupState::Stable, self.now.unix_ms);
    }
}
