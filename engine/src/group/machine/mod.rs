//! The state machine of all groups of one partition of `__consumer_offsets`.
//!
//! ```text
//! (state, request, now) → handle   → replies · batches to append · next deadline
//! (state, batch, now)   → appended → the same; the records of the batch are applied first
//! (state, now)          → tick     → the same; sessions and rebalances end
//! ```
//!
//! A request that changes what is stored changes nothing by itself: its records are applied when they are in the log
//! ([`Groups::appended`]), by the same function that applies records at recovery ([`Groups::load`]). The progress of a
//! rebalance (who has joined, and which requests are parked) is not stored: after a recovery the members join again.

mod appends;
mod apply;
mod commit;
mod delete;
mod existing;
mod heartbeat;
mod join;
mod limits;
mod output;
mod reads;
mod rebalance;
mod rejoin;
mod sync;
mod turn;

pub use apply::SnapshotPlace;
pub use delete::OffsetsPlace;
pub use output::{Append, AppendId, Output};

use super::config::GroupConfig;
use super::error::GroupError;
use super::reply::{Reply, ReplyBody};
use super::request::{Now, Request, RequestBody};
use super::state::{Deadline, Group, Offsets, Timer, Timers};
use appends::{Appends, Joining};
use join::first_of_each_name;
use std::collections::BTreeMap;
use turn::Turn;

/// The life of a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Records of the log are being applied.
    Loading,
    /// Requests are answered.
    Serving,
    /// Another coordinator has taken over, or the partition is closing.
    Unloaded,
}

/// The groups of one partition of `__consumer_offsets`, with their committed offsets.
#[derive(Debug, Clone)]
pub struct Groups {
    config: GroupConfig,
    groups: BTreeMap<String, Group>,
    offsets: Offsets,
    timers: Timers,
    appends: Appends,
    phase: Phase,
}

impl Groups {
    /// Returns a coordinator without groups. It takes records ([`load`](Self::load)) until [`serve`](Self::serve) is called.
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            timers: Timers::default(),
            appends: Appends::default(),
            phase: Phase::Loading,
        }
    }

    /// Begins to answer requests. The session of each member that was loaded starts now.
    pub fn serve(&mut self, now: Now) -> Output {
        assert_eq!(self.phase, Phase::Loading, "a coordinator starts once");
        self.phase = Phase::Serving;
        let mut out = Output::default();
        let ids: Vec<String> = self.groups.keys().cloned().collect();
        for id in &ids {
            let max_size = self.config.group_max_size;
            let Some(mut turn) = self.turn(id, now, &mut out) else { continue };
            for member in turn.group.members.ids_in_order() {
                turn.extend_session(&member);
            }
            if turn.group.members.len() > max_size {
                turn.prepare_rebalance();
            }
        }
        self.with_deadline(out)
    }

    /// Whether requests are answered: all records are loaded, and the groups are not given up.
    pub fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    /// Whether the end of an append is not known yet.
    pub fn is_appending(&self, id: AppendId) -> bool {
        self.appends.is_open(id)
    }

    /// Gives the groups up. Each parked request, and each that waits for its records, is answered with `NOT_COORDINATOR`.
    /// So is each later request.
    pub fn unload(&mut self) -> Output {
        let mut out = Output::default();
        self.phase = Phase::Unloaded;
        for (_, group) in std::mem::take(&mut self.groups) {
            for member in group.members.in_order() {
                turn::answer_parked(member, GroupError::NotCoordinator, &member.id, &mut out);
            }
        }
        for pending in self.appends.take_all() {
            self.give_up(pending, GroupError::NotCoordinator, None, &mut out);
        }
        self.offsets = Offsets::default();
        self.timers = Timers::default();
        out
    }

    /// Handles a request.
    pub fn handle(&mut self, request: Request, now: Now) -> Output {
        let mut out = Output::default();
        if let Some(body) = self.refusal(&request) {
            out.reply(request.token, body);
        } else {
            self.dispatch(request, now, &mut out);
        }
        self.with_deadline(out)
    }

    /// Ends the sessions and the phases of rebalances whose time has come.
    pub fn tick(&mut self, now: Now) -> Output {
        self.tick_until(now.monotonic_ms, now)
    }

    /// Ends the sessions and the phases of rebalances whose time had come at `due_ms`, ms on the monotonic clock. Use a time
    /// before `now` if requests that were sent after it are not handled yet: one of them may keep a session.
    pub fn tick_until(&mut self, due_ms: u64, now: Now) -> Output {
        let mut out = Output::default();
        // A deadline that is set meanwhile is due in the next tick, also if its time is now. So a tick always ends.
        let set_before = self.timers.next_number();
        while let Some((timer, deadline)) = self.timers.take_due(due_ms, set_before) {
            let (Timer::Session { group, .. } | Timer::Join { group } | Timer::Sync { group }) = &timer;
            let Some(mut turn) = self.turn(group, now, &mut out) else { continue };
            match (&timer, deadline) {
                (Timer::Session { member, .. }, _) => turn.end_session(member),
                (_, Deadline::InitialJoin { delay_ms, remaining_ms }) => {
                    turn.end_initial_join(delay_ms, remaining_ms);
                }
                (_, Deadline::Sync { generation }) => turn.end_sync(generation),
                (_, Deadline::Join | Deadline::Session) => {
                    turn.complete_join();
                }
            }
        }
        self.with_deadline(out)
    }

    /// Returns the time of the next [`tick`](Self::tick), ms on the monotonic clock.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.timers.earliest_ms()
    }

    fn with_deadline(&self, out: Output) -> Output {
        Output { next_deadline_ms: self.timers.earliest_ms(), ..out }
    }

    /// Returns the reply to a request that is refused without a look at its group.
    fn refusal(&self, request: &Request) -> Option<ReplyBody> {
        let error = match self.phase {
            Phase::Loading => match request.body {
                // Kafka's answer: an error would make the member join again.
                RequestBody::Heartbeat(_) => return Some(ReplyBody::Heartbeat(Ok(()))),
                _ => Err(GroupError::CoordinatorLoadInProgress),
            },
            Phase::Unloaded => Err(GroupError::NotCoordinator),
            Phase::Serving => limits::check(request, &self.config),
        };
        error.err().map(|error| ReplyBody::refusal(&request.body, error))
    }

    fn dispatch(&mut self, request: Request, now: Now, out: &mut Output) {
        let Request { token, client, api_version, body } = request;
        let reply = match body {
            RequestBody::Join(request) => {
                let request = first_of_each_name(request);
                return self.join(Joining { token, client, api_version, request }, now, out);
            }
            RequestBody::Sync(request) => match self.turn(&request.group.clone(), now, out) {
                Some(mut turn) => return turn.sync(token, request),
                None => ReplyBody::Sync(Err(GroupError::UnknownMemberId)),
            },
            RequestBody::Heartbeat(request) => match self.turn(&request.group, now, out) {
                Some(mut turn) => ReplyBody::Heartbeat(turn.heartbeat(&request)),
                None => ReplyBody::Heartbeat(Err(GroupError::UnknownMemberId)),
            },
            RequestBody::Leave(request) => match self.turn(&request.group, now, out) {
                Some(mut turn) => return turn.leave(token, &request.members),
                None => heartbeat::left_no_group(&request.members),
            },
            RequestBody::OffsetCommit(request) => {
                return self.commit(token, api_version, &request, (now, out));
            }
            RequestBody::OffsetFetch(request) => ReplyBody::OffsetFetch(Ok(self.fetch(&request))),
            RequestBody::OffsetDelete(request) => return self.delete_offsets(token, &request, out),
            RequestBody::DeleteGroups(request) => return self.delete_groups(token, &request.groups, out),
            RequestBody::DescribeGroups(request) => {
                ReplyBody::DescribeGroups(self.describe(&request.groups, api_version))
            }
            RequestBody::ListGroups(request) => ReplyBody::ListGroups(Ok(self.list(&request))),
        };
        out.reply(token, reply);
    }

    /// Returns the turn of a group, if it exists.
    fn turn<'a>(&'a mut self, id: &'a str, now: Now, out: &'a mut Output) -> Option<Turn<'a>> {
        let group = self.groups.get_mut(id)?;
        let (timers, appends, config) = (&mut self.timers, &mut self.appends, &self.config);
        Some(Turn { id, group, timers, appends, config, now, out })
    }

    /// Holds the reply until `records` are in the log. Without records it leaves at once.
    fn reply_after(&mut self, records: Vec<super::records::GroupRecord>, reply: Reply, out: &mut Output) {
        if records.is_empty() {
            out.replies.push(reply);
        } else {
            let id = self.appends.begin(records, appends::Then::Reply, Vec::new(), out);
            self.appends.hold(id, reply, out);
        }
    }
}
