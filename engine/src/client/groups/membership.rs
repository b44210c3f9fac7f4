//! Membership of a consumer in its group: joining, the leader's assignment, rebalances.

use super::consumer::{Acquiring, Asked, GroupConsumer, GroupEvent, Phase};
use super::error::GroupsError;
use super::leader;
use super::link::{HEARTBEAT, RETRY_AFTER, error_of};
use super::offsets::{self, CommitKind};
use crate::clock::after;
use crate::group::{
    Assignment, GroupError, JoinGroup, JoinReply, Joined, ReplyBody, RequestBody, Subscription, SyncGroup,
    Synced,
};
use crate::shard::Ticket;
use crate::types::TopicPartition;
use std::time::{Duration, Instant};

/// Type of the protocols of consumers.
const PROTOCOL_TYPE: &str = "consumer";

impl GroupConsumer {
    /// Handles the replies that have arrived.
    pub(super) fn take_replies(&mut self) {
        while let Some((ticket, outcome)) = self.link.next() {
            if matches!(outcome, Err(GroupsError::Closed)) {
                self.phase = Phase::Closed;
            }
            if ticket.index() == HEARTBEAT {
                self.heartbeat_answered(ticket, outcome);
            } else if let Some(sent) = self.commits.remove(&ticket) {
                self.commit_answered(ticket, sent, outcome);
            } else if self.acquiring.as_ref().is_some_and(|waiting| waiting.asked == Asked::Sent(ticket)) {
                self.offsets_answered(outcome);
            } else if let Some((asked, generation)) = self.describing
                && asked == ticket
            {
                self.describing = None;
                self.described(generation, outcome);
            } else if self.phase == Phase::Joining(ticket) {
                self.join_answered(outcome);
            } else if self.phase == Phase::Syncing(ticket) {
                self.sync_answered(outcome);
            }
        }
    }

    /// Does what is due at `now`. The caller has seen all events before.
    pub(super) fn step(&mut self, now: Instant) {
        match self.phase {
            Phase::Unjoined(at) => {
                self.commit_if_due(now);
                if at <= now {
                    self.send_join();
                } else {
                    self.arm(at, now);
                }
            }
            Phase::Revoking => self.begin_release(),
            Phase::Stable => self.step_stable(now),
            // The other members may take long to join. A cooperative member reads on meanwhile.
            Phase::Joining(_) => self.commit_if_due(now),
            Phase::Syncing(_) | Phase::Releasing(_) | Phase::Closed => {}
        }
        self.ask_again(now);
    }

    /// Asks again for committed offsets, if the last request has failed and its pause is over.
    fn ask_again(&mut self, now: Instant) {
        match self.acquiring.take() {
            Some(Acquiring { asked: Asked::Again(at), added }) if at <= now => self.acquire(added),
            Some(waiting) => {
                if let Asked::Again(at) = waiting.asked {
                    self.arm(at, now);
                }
                self.acquiring = Some(waiting);
            }
            None => {}
        }
    }

    fn step_stable(&mut self, now: Instant) {
        self.commit_if_due(now);
        let is_due = self.next_look <= now;
        if is_due {
            self.next_look = after(now, self.config.metadata_max_age);
        }
        if self.is_assignment_outdated() || is_due && self.has_metadata_changed() {
            self.begin_rebalance();
            return;
        }
        self.arm(self.next_look_at(now), now);
    }

    /// Has the consumer woken at `at`.
    pub(super) fn arm(&mut self, at: Instant, now: Instant) {
        if self.armed.is_none_or(|armed| armed <= now || armed > at) {
            self.armed = Some(at);
            self.link.wake_at(at);
        }
    }

    fn send_join(&mut self) {
        self.beat.set_member(None);
        self.joined_topics = self.wanted_topics();
        let mut owned = self.owned.names();
        owned.extend(self.keep_acquiring());
        // The group makes a member id of this number. A new number gives a new id.
        self.random = self.random.wrapping_add(1);
        let subscription = Subscription {
            topics: self.joined_topics.iter().cloned().collect(),
            owned,
            generation: (self.generation >= 0).then_some(self.generation),
            ..Subscription::default()
        };
        let request = JoinGroup {
            group: self.config.group_id.clone(),
            member_id: self.member_id.clone(),
            instance_id: self.config.group_instance_id.clone(),
            random: self.random,
            protocol_type: PROTOCOL_TYPE.into(),
            protocols: leader::protocols(&self.config.assignors, &subscription),
            session_timeout_ms: ms_of(self.config.session_timeout),
            rebalance_timeout_ms: ms_of(self.config.max_poll_interval),
        };
        self.phase = Phase::Joining(self.link.send(RequestBody::Join(request)));
    }

    /// Returns the partitions whose offsets are still being fetched, and which a cooperative member keeps in a rebalance as those
    /// that it reads. Another member gives them up: it must not begin to read them in a later generation.
    fn keep_acquiring(&mut self) -> Vec<TopicPartition> {
        if !self.config.is_cooperative() {
            self.acquiring = None;
        }
        self.acquiring.as_ref().map(|waiting| waiting.added.clone()).unwrap_or_default()
    }

    fn join_answered(&mut self, outcome: Result<ReplyBody, GroupsError>) {
        match outcome {
            Ok(ReplyBody::Join(JoinReply { member_id, outcome: Ok(joined) })) => {
                self.joined(member_id, &joined);
            }
            Ok(ReplyBody::Join(JoinReply { member_id, outcome: Err(GroupError::MemberIdRequired) })) => {
                self.member_id = member_id;
                self.send_join();
            }
            Ok(reply) => self.join_failed(error_of(&reply).unwrap_or(GroupError::UnknownServerError).into()),
            Err(error) => self.join_failed(error),
        }
    }

    fn joined(&mut self, member_id: String, joined: &Joined) {
        let is_return = self.config.group_instance_id.is_some() && self.member_id.is_empty();
        self.member_id = member_id;
        self.generation = joined.generation;
        self.beat.set_member(Some((self.member_id.clone(), self.generation)));
        let is_leader = joined.leader == self.member_id;
        (self.led, self.describing) = (None, None);
        self.has_returned = is_return && (!is_leader || joined.skips_assignment);
        let mut assignments = Vec::new();
        if is_leader {
            match leader::assign(joined, &self.directory.topics) {
                Ok(made) => {
                    self.led = Some(made.led);
                    if !joined.skips_assignment {
                        assignments = made.assignments;
                    }
                }
                // A member that is not of this kind cannot be served.
                Err(_) => {
                    let error = GroupError::InconsistentGroupProtocol;
                    return self.join_failed(error.into());
                }
            }
        }
        let request = SyncGroup {
            group: self.config.group_id.clone(),
            generation: self.generation,
            member_id: self.member_id.clone(),
            instance_id: self.config.group_instance_id.clone(),
            protocol_type: joined.protocol_type.clone(),
            protocol: joined.protocol.clone(),
            assignments,
        };
        self.phase = Phase::Syncing(self.link.send(RequestBody::Sync(request)));
    }

    /// Reacts to a JoinGroup or SyncGroup that failed: the member joins again, after a while unless the error says that it
    /// has to.
    fn join_failed(&mut self, error: GroupsError) {
        let now = Instant::now();
        match error {
            GroupsError::Refused(error @ (GroupError::UnknownMemberId | GroupError::IllegalGeneration)) => {
                self.lose(error);
            }
            GroupsError::Refused(GroupError::RebalanceInProgress) => self.phase = Phase::Unjoined(now),
            GroupsError::Refused(
                GroupError::CoordinatorLoadInProgress | GroupError::CoordinatorNotAvailable,
            ) => self.phase = Phase::Unjoined(after(now, RETRY_AFTER)),
            GroupsError::Refused(error @ GroupError::FencedInstanceId) => self.lose(error),
            error => {
                if self.phase != Phase::Closed {
                    self.phase = Phase::Unjoined(after(now, RETRY_AFTER));
                }
                self.events.push_back(Err(error));
            }
        }
    }

    fn sync_answered(&mut self, outcome: Result<ReplyBody, GroupsError>) {
        match outcome {
            Ok(ReplyBody::Sync(Ok(Synced { assignment, .. }))) => match Assignment::decode(&assignment) {
                Ok(assignment) => self.assigned(assignment.partitions),
                Err(_) => self.join_failed(GroupError::InconsistentGroupProtocol.into()),
            },
            Ok(reply) => self.join_failed(error_of(&reply).unwrap_or(GroupError::UnknownServerError).into()),
            Err(error) => self.join_failed(error),
        }
    }

    /// Takes over an assignment. Partitions that are not in it any more go first, and then the member joins again, so that
    /// another one can get them.
    fn assigned(&mut self, assigned: Vec<TopicPartition>) {
        // A partition of an earlier topic of the same name is not kept.
        self.drop_deleted();
        self.note_assigned(&assigned);
        let acquiring = self.acquiring.take().map(|waiting| waiting.added).unwrap_or_default();
        let has_lost_unread = acquiring.iter().any(|name| !assigned.contains(name));
        let revoked: Vec<TopicPartition> =
            self.owned.names().into_iter().filter(|name| !assigned.contains(name)).collect();
        let added: Vec<TopicPartition> =
            assigned.into_iter().filter(|name| !self.owned.contains(name)).collect();
        self.acquire(added);
        self.phase = Phase::Stable;
        if std::mem::take(&mut self.has_returned) {
            self.ask_for_assignments();
        }
        if !revoked.is_empty() {
            self.revoke(revoked);
        } else if has_lost_unread {
            // Nothing of them was read, so nothing is to be committed first.
            self.phase = Phase::Unjoined(Instant::now());
        }
    }

    /// Begins to read partitions: from the group's committed offsets, which are fetched first.
    fn acquire(&mut self, added: Vec<TopicPartition>) {
        self.acquiring = None;
        if added.is_empty() {
            self.events.push_back(Ok(GroupEvent::Assigned(added)));
            return;
        }
        let request = offsets::fetch_request(&self.config.group_id, Some(&added));
        self.acquiring = Some(Acquiring { asked: Asked::Sent(self.link.send(request)), added });
    }

    fn offsets_answered(&mut self, outcome: Result<ReplyBody, GroupsError>) {
        let Some(Acquiring { added, .. }) = self.acquiring.take() else { return };
        let committed = match outcome.and_then(offsets::committed) {
            Ok(committed) => committed,
            Err(error) => {
                if self.phase != Phase::Closed {
                    let asked = Asked::Again(after(Instant::now(), RETRY_AFTER));
                    self.acquiring = Some(Acquiring { asked, added });
                }
                if !error.is_loading() {
                    self.events.push_back(Err(error));
                }
                return;
            }
        };
        let mut taken = Vec::with_capacity(added.len());
        for name in added {
            let position = committed.iter().find(|commit| commit.partition == name);
            let position = position.map(|commit| commit.position);
            let Some(topic_id) = self.assigned.get(&name.topic).copied().flatten() else { continue };
            match self.owned.add(&self.directory, name.clone(), topic_id, position) {
                Ok(true) => taken.push(name),
                // Another topic has the name now. The group assigns anew, and then its offsets are asked for.
                Ok(false) => {}
                Err(error) => self.events.push_back(Err(error)),
            }
        }
        // Commits from before the partitions were lost may still land on what was fetched.
        for sent in self.commits.values() {
            self.owned.forget_committed(&sent.commits);
        }
        self.events.push_back(Ok(GroupEvent::Assigned(taken)));
    }

    fn heartbeat_answered(&mut self, ticket: Ticket, outcome: Result<ReplyBody, GroupsError>) {
        if ticket != Ticket::new(self.generation.cast_unsigned(), HEARTBEAT) {
            return;
        }
        match outcome.as_ref().map(error_of) {
            Ok(Some(GroupError::RebalanceInProgress)) => self.begin_rebalance(),
            Ok(Some(
                error @ (GroupError::UnknownMemberId
                | GroupError::IllegalGeneration
                | GroupError::FencedInstanceId),
            )) => self.lose(error),
            // The session may end, but another heartbeat follows.
            _ => {}
        }
    }

    /// Takes part in a rebalance. A cooperative member keeps its partitions; another one gives up all first.
    pub(super) fn begin_rebalance(&mut self) {
        if self.phase != Phase::Stable {
            return;
        }
        self.keep_acquiring();
        let owned = self.owned.names();
        if self.config.is_cooperative() || owned.is_empty() {
            self.phase = Phase::Unjoined(Instant::now());
        } else {
            self.revoke(owned);
        }
    }

    fn revoke(&mut self, names: Vec<TopicPartition>) {
        self.owned.begin_to_leave(&names);
        self.events.push_back(Ok(GroupEvent::Revoked(names)));
        self.phase = Phase::Revoking;
    }

    /// Commits what the caller is done with, if commits are automatic, and then gives the partitions up. What the caller has
    /// committed itself since the `Revoked` event stays.
    pub(super) fn begin_release(&mut self) {
        let mut done = if self.config.auto_commit.is_some() { self.owned.done() } else { Vec::new() };
        self.retain_existing(&mut done);
        if done.is_empty() {
            self.release();
        } else {
            self.phase = Phase::Releasing(self.send_commit(CommitKind::BeforeRelease, done));
        }
    }

    pub(super) fn release(&mut self) {
        self.owned.remove_leaving();
        self.phase = Phase::Unjoined(Instant::now());
        self.step(Instant::now());
    }

    /// Gives up all partitions: the group has removed this member, or another one has taken over its name.
    pub(super) fn lose(&mut self, error: GroupError) {
        self.beat.set_member(None);
        self.generation = -1;
        self.acquiring = None;
        self.led = None;
        self.assigned.clear();
        // With another generation the member is still known by its id.
        if error != GroupError::IllegalGeneration {
            self.member_id.clear();
        }
        let lost = self.owned.names();
        self.owned.clear();
        if !lost.is_empty() {
            self.events.push_back(Ok(GroupEvent::Lost(lost)));
        }
        if error == GroupError::FencedInstanceId {
            self.phase = Phase::Closed;
            self.events.push_back(Err(error.into()));
        } else if self.phase != Phase::Closed {
            self.phase = Phase::Unjoined(Instant::now());
        }
    }

    /// Notes that the member has left the group because the caller did not poll.
    pub(super) fn has_left(&mut self) {
        self.lose(GroupError::UnknownMemberId);
    }
}

/// Returns a duration in the milliseconds of a request.
fn ms_of(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
