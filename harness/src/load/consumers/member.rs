//! One member of a consumer group: it reads the partitions that its group assigns to it, commits what it has read, and leaves and
//! joins if the workload says so. Records are checked and timed as those of a consumer of fixed partitions.

use super::{Check, Fetch, TURN_BYTES_MAX};
use crate::load::shared::Shared;
use crate::load::turn::ThreadTurn;
use crate::measure::group::{Group, Standing};
use crate::measure::group_partition::{MemberOf, Span};
use crate::num;
use crate::system::{FetchSink, FetchedInfo, InRecord, MemberEvent, Membership, SystemMember};
use crate::time::timeline::Timeline;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Most events that are handled in a row before the trial.
const JOIN_EVENTS_MAX: usize = 1000;

/// Settings of a member.
pub(crate) struct MemberPlan {
    /// The group.
    pub group: Arc<Group>,
    /// Number of the member within its group.
    pub number: u32,
    /// The settings that records are checked against.
    pub(crate) check: Check,
    /// Whether everything that was read is committed before partitions go.
    pub commits: bool,
    /// Time between two commits that the member waits for; `None` if it makes none.
    pub sync_every: Option<Duration>,
    /// Time between two changes of the group; `None` if all members stay.
    pub churn_every: Option<Duration>,
}

/// A member of a group, before and while a load thread drives it.
pub struct Member {
    client: Box<dyn SystemMember + Send>,
    plan: MemberPlan,
    presence: Presence,
    standing: Standing,
    /// The partitions that the member owns.
    owned: Vec<u32>,
    /// Times that the member has left and joined.
    changes: u64,
    /// Whether records were read since the last commit began.
    has_uncommitted: bool,
    /// Whether a commit that the member waits for is not answered.
    is_committing: bool,
    next_commit_ns: u64,
}

/// Whether a member is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    In,
    Leaving,
    Out,
}

impl Member {
    pub(crate) fn new(plan: MemberPlan, client: Box<dyn SystemMember + Send>) -> Self {
        Self {
            client,
            plan,
            presence: Presence::In,
            standing: Standing::Out,
            owned: Vec::new(),
            changes: 0,
            has_uncommitted: false,
            is_committing: false,
            next_commit_ns: 0,
        }
    }

    /// The group of the member.
    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.plan.group
    }

    /// Handles events of the time before the trial, in which the load produces nothing.
    ///
    /// # Errors
    /// The system failed.
    pub(crate) fn advance_join(
        &mut self,
        context: &mut Context<'_>,
        timeline: &Timeline,
    ) -> anyhow::Result<()> {
        // Others may write without an end, and the caller looks at the time.
        for _ in 0..JOIN_EVENTS_MAX {
            let group = Arc::clone(&self.plan.group);
            let mut early = EarlyRecords { group: &group, is: self.is(), partition: 0, records: 0 };
            let polled = self.client.poll_event(context, &mut early);
            let may_be_of_others = self.plan.check.salt.is_some();
            anyhow::ensure!(
                early.records == 0 || may_be_of_others,
                "a member has read records before any was produced"
            );
            let Poll::Ready(event) = polled else { break };
            self.handle(event?, 0, timeline);
            self.note_standing(0);
        }
        self.note_standing(0);
        Ok(())
    }

    /// Notes that all members have joined, and that the trial begins.
    pub(crate) fn begin(&self) {
        self.plan.group.begin();
        if self.plan.check.salt.is_some() {
            self.plan.group.begin_here();
        }
    }

    /// Handles the events that have arrived, and reads up to [`TURN_BYTES_MAX`]. Returns whether there may be more.
    ///
    /// # Errors
    /// The system failed.
    pub(crate) fn poll(&mut self, turn: &mut ThreadTurn<'_>, waker: &Waker) -> anyhow::Result<bool> {
        let mut context = Context::from_waker(waker);
        let mut read_bytes = 0;
        self.do_what_is_due(turn)?;
        while read_bytes < TURN_BYTES_MAX {
            let is = self.is();
            let mut fetch = Fetch::of_group(&self.plan.check, (&*self.plan.group, is), turn);
            let polled = self.client.poll_event(&mut context, &mut fetch);
            read_bytes += fetch.finish();
            let Poll::Ready(event) = polled else {
                let now_ns = turn.now();
                self.note_standing(now_ns);
                return Ok(false);
            };
            match event? {
                // The membership may have changed too, but it is looked at after the last fetch of this turn.
                MemberEvent::Records => self.has_uncommitted = true,
                event => {
                    let now_ns = turn.now();
                    self.handle(event, now_ns, turn.timeline);
                    self.note_standing(now_ns);
                }
            }
        }
        let now_ns = turn.now();
        self.note_standing(now_ns);
        Ok(true)
    }

    /// This member in its generation.
    fn is(&self) -> MemberOf {
        let generation = self.client.membership().generation.unwrap_or(-1);
        MemberOf { member: self.plan.number, generation }
    }

    fn handle(&mut self, event: MemberEvent, now_ns: u64, timeline: &Timeline) {
        let group = Arc::clone(&self.plan.group);
        match event {
            MemberEvent::Records => self.has_uncommitted = true,
            MemberEvent::Assigned(added) => {
                let is = self.is();
                // Partitions that the member has kept are now owned in the new generation.
                self.owned.iter().for_each(|kept| group.acquire(is, (*kept, None), now_ns, timeline));
                added.iter().for_each(|partition| group.acquire(is, *partition, now_ns, timeline));
                self.owned.extend(added.iter().map(|(partition, _)| *partition));
            }
            MemberEvent::Revoked(gone) => {
                self.release(&gone, now_ns);
                if self.plan.sync_every.is_some() {
                    self.commit(now_ns);
                }
            }
            MemberEvent::Lost(gone) => self.release(&gone, now_ns),
            MemberEvent::Deleted { partition, from, to } => {
                group.partition(num::index(partition)).note_deleted(from, to);
            }
            MemberEvent::Committed { took } => {
                self.is_committing = false;
                group.committed(
                    Span { start_ns: now_ns.saturating_sub(num::ns_of(took)), end_ns: now_ns },
                    timeline,
                );
            }
            MemberEvent::CommitFailed => {
                self.is_committing = false;
                group.commit_failed(now_ns, timeline);
            }
            MemberEvent::Left => self.presence = Presence::Out,
        }
    }

    fn release(&mut self, gone: &[u32], now_ns: u64) {
        gone.iter().for_each(|partition| self.plan.group.release(self.plan.number, *partition, now_ns));
        self.owned.retain(|partition| !gone.contains(partition));
    }

    /// Begins a commit that the member waits for, if there is something to commit.
    fn commit(&mut self, now_ns: u64) {
        let Some(every) = self.plan.sync_every else { return };
        let is_member = self.client.membership().generation.is_some();
        if self.has_uncommitted && !self.is_committing && is_member {
            self.client.commit();
            (self.has_uncommitted, self.is_committing) = (false, true);
            self.next_commit_ns = now_ns.saturating_add(num::ns_of(every));
        }
    }

    fn note_standing(&mut self, now_ns: u64) {
        let Membership { generation, is_rebalancing } = self.client.membership();
        let standing = match (self.presence, generation) {
            (Presence::In, Some(generation)) if !is_rebalancing => Standing::Stable(generation),
            (Presence::In, _) => Standing::Rebalancing,
            (Presence::Leaving | Presence::Out, _) => Standing::Out,
        };
        if standing != self.standing {
            self.standing = standing;
            self.plan.group.note(self.plan.number, standing, now_ns);
        }
    }

    /// The time at which the member has something to do, even without an event, ns; `u64::MAX` if there is none.
    pub(crate) fn due_ns(&self, timeline: &Timeline) -> u64 {
        self.commit_due_ns().min(self.change_due_ns(timeline))
    }

    fn commit_due_ns(&self) -> u64 {
        let is_due = self.plan.sync_every.is_some()
            && self.has_uncommitted
            && !self.is_committing
            && matches!(self.standing, Standing::Stable(_));
        if is_due { self.next_commit_ns } else { u64::MAX }
    }

    /// The time at which the member leaves or joins. Change number `k` of a group comes `k` times `churn_every` after the window has
    /// opened: member 0 leaves, joins again, member 1 leaves, and so on, and then member 0 again.
    fn change_due_ns(&self, timeline: &Timeline) -> u64 {
        let Some(every) = self.plan.churn_every.filter(|_| self.presence != Presence::Leaving) else {
            return u64::MAX;
        };
        let (round, is_join) = (self.changes / 2, self.changes % 2);
        let members = u64::from(self.plan.group.spec().members);
        let number = 2 * (round * members + u64::from(self.plan.number)) + is_join + 1;
        let due_ns = timeline.window_start_ns().saturating_add(number.saturating_mul(num::ns_of(every)));
        if due_ns < timeline.window_end_ns() { due_ns } else { u64::MAX }
    }

    fn do_what_is_due(&mut self, turn: &mut ThreadTurn<'_>) -> anyhow::Result<()> {
        let now_ns = turn.now();
        if self.change_due_ns(turn.timeline) <= now_ns {
            self.changes += 1;
            if self.presence == Presence::In {
                let owned = std::mem::take(&mut self.owned);
                self.release(&owned, now_ns);
                self.client.leave(self.plan.commits);
                self.presence = Presence::Leaving;
            } else {
                self.client.join()?;
                self.presence = Presence::In;
                (self.has_uncommitted, self.is_committing) = (false, false);
            }
            self.note_standing(now_ns);
        }
        if self.commit_due_ns() <= now_ns {
            self.commit(now_ns);
        }
        Ok(())
    }

    /// Returns whether the group has read every record that will ever be acked.
    pub(crate) fn is_done(&self, shared: &Shared) -> bool {
        shared.all_produced() && shared.lag_of(&self.plan.group) == 0
    }
}

/// A sink for the time before the trial, in which only others write records.
struct EarlyRecords<'a> {
    group: &'a Group,
    is: MemberOf,
    /// The partition of the fetch.
    partition: usize,
    records: u64,
}

impl FetchSink for EarlyRecords<'_> {
    fn begin(&mut self, info: &FetchedInfo) {
        self.partition = info.assignment;
    }

    fn record(&mut self, record: &InRecord<'_>) {
        self.records += 1;
        let mut partition = self.group.partition(self.partition);
        let owner = partition.owner(self.is);
        partition.pass(owner, record.offset);
        self.group.read_to(self.partition, partition.position());
    }
}
