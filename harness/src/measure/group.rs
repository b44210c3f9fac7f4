//! One consumer group during a trial: what its members do, what they read, and what they commit. The load threads of its members
//! share it.

use super::group_partition::{GroupPartition, MemberOf, Span};
use super::ledger::{ConsumedPartition, SequenceTrack};
use super::sampled::Sampled;
use crate::num;
use crate::result::Event;
use crate::result::latency::new_histogram;
use crate::time::timeline::Timeline;
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most commits of a group that are kept as events.
const COMMITS_MAX: usize = 10_000;

/// The identity and the size of a group.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// Id of the group.
    pub id: String,
    /// Number of the topic that the group reads.
    pub topic: u32,
    /// Number of the group within its topic.
    pub number: u32,
    /// Number of members when all are in the group.
    pub members: u32,
    /// Number of partitions of the topic.
    pub partitions: u32,
    /// Number of producers of the topic.
    pub producers: u32,
    /// Whether retention may delete records before they are read.
    pub may_be_deleted: bool,
}

/// The state of a member within its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not in the group.
    Out,
    /// The member has noticed a rebalance, and has no assignment of the new generation yet.
    Rebalancing,
    /// The member has its assignment of this generation.
    Stable(i32),
}

/// A rebalance that led to a stable generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebalance {
    /// From the time at which the first member noticed it until the last one had its assignment.
    pub span: Span,
    /// The generation that became stable.
    pub generation: i32,
}

/// A group that the load threads of its members share. No lock is held while a system is waited for.
#[derive(Debug)]
pub struct Group {
    spec: GroupSpec,
    board: Mutex<Board>,
    partitions: Vec<Mutex<GroupPartition>>,
    /// The position of the group in each partition, for threads that must not wait.
    positions: Vec<AtomicU64>,
}

#[derive(Debug)]
struct Board {
    /// The state of each member, by number.
    standings: Vec<Standing>,
    /// The time at which a member noticed the rebalance under way, ns.
    rebalancing_since_ns: Option<u64>,
    rebalances: Vec<Rebalance>,
    /// Times that commits of the window took, ns.
    commit_ns: Histogram<u64>,
    /// Commits of the window that failed.
    commits_failed: u64,
    commits: Sampled<Span>,
}

/// The record of a group after a trial.
#[derive(Debug, Clone)]
pub struct GroupRecord {
    /// Id of the group.
    pub id: String,
    /// Number of members when all are in the group.
    pub members: u32,
    /// The rebalances of the trial.
    pub rebalances: Vec<Rebalance>,
    /// Times that commits of the window took, ns.
    pub commit_ns: Histogram<u64>,
    /// Commits of the window that failed.
    pub commits_failed: u64,
    /// Commits of the trial that succeeded; of many, an even share.
    pub commits: Vec<Span>,
    /// Times in which a partition had no owner, with the partition's number.
    pub stops: Vec<(u32, Span)>,
    /// The longest of these times within the window, ns.
    pub stop_max_ns: u64,
    /// Records that were acked and that the group had not read when the drain ended.
    pub lag_end: u64,
}

impl Group {
    /// Makes a group without members in it.
    pub fn new(spec: GroupSpec) -> Self {
        let partition = |partition| {
            let tracks = (0..spec.producers).map(|_| SequenceTrack::default()).collect();
            let (topic, group) = (spec.topic, spec.number);
            let seen = ConsumedPartition { topic, group, partition, tracks, ..Default::default() };
            Mutex::new(GroupPartition::new(seen, spec.may_be_deleted))
        };
        Self {
            partitions: (0..spec.partitions).map(partition).collect(),
            positions: (0..spec.partitions).map(|_| AtomicU64::new(0)).collect(),
            board: Mutex::new(Board {
                standings: vec![Standing::Out; num::index(spec.members)],
                rebalancing_since_ns: None,
                rebalances: Vec::new(),
                commit_ns: new_histogram(),
                commits_failed: 0,
                commits: Sampled::new(COMMITS_MAX),
            }),
            spec,
        }
    }

    /// The identity and the size of the group.
    pub const fn spec(&self) -> &GroupSpec {
        &self.spec
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of a partition. Another member waits for it only during a fetch of this partition.
    pub fn partition(&self, partition: usize) -> MutexGuard<'_, GroupPartition> {
        self.partitions[partition].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a member owns a partition. `start` is the offset of the first record that it may read, if it is known.
    pub fn acquire(
        &self,
        is: MemberOf,
        (partition, start): (u32, Option<u64>),
        now_ns: u64,
        timeline: &Timeline,
    ) {
        let mut state = self.partition(num::index(partition));
        state.acquire(is, start, now_ns, timeline);
        self.read_to(num::index(partition), state.position());
    }

    /// Notes that a member no longer owns a partition.
    pub fn release(&self, member: u32, partition: u32, now_ns: u64) {
        self.partition(num::index(partition)).release(member, now_ns);
    }

    /// Notes the position of the group in a partition.
    pub fn read_to(&self, partition: usize, position: u64) {
        self.positions[partition].fetch_max(position, Ordering::Release);
    }

    /// The position of the group in each partition: the offset after the last record that a member has read.
    pub fn positions(&self) -> impl Iterator<Item = u64> {
        self.positions.iter().map(|position| position.load(Ordering::Acquire))
    }

    /// Notes the state of a member, and with it the begin and the end of rebalances.
    pub fn note(&self, member: u32, standing: Standing, now_ns: u64) {
        let mut board = self.board();
        board.standings[num::index(member)] = standing;
        if standing == Standing::Rebalancing {
            board.rebalancing_since_ns.get_or_insert(now_ns);
        } else if let Some(generation) = board.stable_generation()
            && let Some(start_ns) = board.rebalancing_since_ns.take()
        {
            board.rebalances.push(Rebalance { span: Span { start_ns, end_ns: now_ns }, generation });
        }
    }

    /// Notes that a commit has succeeded.
    pub fn committed(&self, span: Span, timeline: &Timeline) {
        let mut board = self.board();
        board.commits.extend([span]);
        if timeline.in_window(span.end_ns) {
            board.commit_ns.saturating_record(span.end_ns - span.start_ns);
        }
    }

    /// Notes that a commit has failed.
    pub fn commit_failed(&self, now_ns: u64, timeline: &Timeline) {
        self.board().commits_failed += u64::from(timeline.in_window(now_ns));
    }

    /// Whether all members have their assignments of one generation, and every partition has one owner.
    pub fn is_settled(&self) -> bool {
        let board = self.board();
        let is_stable = |standing: &Standing| matches!(standing, Standing::Stable(_));
        board.standings.iter().all(is_stable)
            && board.stable_generation().is_some()
            && (0..self.partitions.len()).all(|partition| self.partition(partition).has_one_owner())
    }

    /// Number of partitions that have one owner.
    pub fn owned(&self) -> usize {
        (0..self.partitions.len()).filter(|partition| self.partition(*partition).has_one_owner()).count()
    }

    /// Forgets what happened until now: the members have joined, and the trial begins.
    pub fn begin(&self) {
        let mut board = self.board();
        (board.rebalancing_since_ns, board.commits_failed) = (None, 0);
        board.rebalances.clear();
        board.commits = Sampled::new(COMMITS_MAX);
        (0..self.partitions.len()).for_each(|partition| self.partition(partition).forget_stops());
    }

    /// Notes that the records of the trial begin where the group has begun, in a topic with records of others.
    pub fn begin_here(&self) {
        (0..self.partitions.len()).for_each(|partition| self.partition(partition).forget_jumps());
    }

    /// Ends the record of the group at `ended_ns`. `ends` are the offsets after the last acked record of each partition.
    pub fn finish(
        &self,
        ended_ns: u64,
        ends: impl Iterator<Item = u64>,
        timeline: &Timeline,
    ) -> (GroupRecord, Vec<ConsumedPartition>) {
        let lag_end = self.lag(ends);
        let (mut stop_max_ns, mut stops, mut consumed) = (0, Vec::new(), Vec::new());
        for (number, partition) in (0..).zip(0..self.partitions.len()) {
            let record = self.partition(partition).finish(ended_ns, timeline);
            stop_max_ns = record.stop_max_ns.max(stop_max_ns);
            stops.extend(record.stops.into_iter().map(|span| (number, span)));
            consumed.push(record.seen);
        }
        let mut board = self.board();
        let commits = std::mem::replace(&mut board.commits, Sampled::new(COMMITS_MAX));
        let record = GroupRecord {
            id: self.spec.id.clone(),
            members: self.spec.members,
            rebalances: std::mem::take(&mut board.rebalances),
            commit_ns: board.commit_ns.clone(),
            commits_failed: board.commits_failed,
            commits: commits.into_kept(),
            stops,
            stop_max_ns,
            lag_end,
        };
        (record, consumed)
    }

    /// The number of records that are acked and that the group has not read. `ends` are the offsets after the last acked record of
    /// each partition.
    pub fn lag(&self, ends: impl Iterator<Item = u64>) -> u64 {
        ends.zip(self.positions()).map(|(end, position)| end.saturating_sub(position)).sum()
    }
}

impl Board {
    /// The generation in which all members are that are in the group; `None` if they are in several, or rebalance, or if none is
    /// there.
    fn stable_generation(&self) -> Option<i32> {
        let mut inside = self.standings.iter().filter(|standing| **standing != Standing::Out);
        let Some(Standing::Stable(generation)) = inside.next() else { return None };
        inside.all(|standing| *standing == Standing::Stable(*generation)).then_some(*generation)
    }
}

impl GroupRecord {
    /// The rebalances that became stable in the window.
    pub fn rebalances_in_window<'a>(&'a self, timeline: &'a Timeline) -> impl Iterator<Item = &'a Rebalance> {
        self.rebalances.iter().filter(|rebalance| timeline.in_window(rebalance.span.end_ns))
    }

    /// Returns rebalances, commits and times without an owner as events of the trial.
    pub fn events(&self, timeline: &Timeline) -> Vec<Event> {
        let event = |kind: &str, span: Span| Event {
            t_s: timeline.seconds_of(span.start_ns),
            length_s: Some(num::f64_of(span.end_ns.saturating_sub(span.start_ns)) * 1e-9),
            kind: kind.to_owned(),
            group: Some(self.id.clone()),
            ..Event::default()
        };
        let rebalances = self.rebalances.iter().map(|rebalance| Event {
            generation: Some(rebalance.generation),
            ..event("rebalance", rebalance.span)
        });
        let stops = self.stops.iter().map(|(partition, span)| Event {
            partition: Some(*partition),
            detail: Some("no member owned the partition".to_owned()),
            ..event("revocation", *span)
        });
        rebalances.chain(stops).chain(self.commits.iter().map(|span| event("commit", *span))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn timeline() -> Timeline {
        let ns = Duration::from_nanos;
        Timeline::new(ns(100), ns(1000), ns(100), ns(10))
    }

    fn group() -> Group {
        let id = "vnotch-t-bench1-group".to_owned();
        let (topic, number, members, partitions, producers) = (0, 0, 2, 2, 1);
        Group::new(GroupSpec { id, topic, number, members, partitions, producers, may_be_deleted: false })
    }

    #[test]
    fn a_rebalance_lasts_from_the_first_member_that_notices_to_the_last_that_is_assigned() {
        let group = group();
        let stable = |member, generation, at_ns| group.note(member, Standing::Stable(generation), at_ns);
        stable(0, 1, 0);
        stable(1, 1, 0);
        group.note(1, Standing::Rebalancing, 200);
        stable(1, 2, 220);
        group.note(0, Standing::Rebalancing, 210);
        stable(0, 2, 250);
        group.note(0, Standing::Out, 300);
        group.note(1, Standing::Rebalancing, 320);
        stable(1, 3, 330);
        let (record, _) = group.finish(1200, [0, 0].into_iter(), &timeline());
        let found: Vec<_> =
            record.rebalances.iter().map(|it| (it.generation, it.span.start_ns, it.span.end_ns)).collect();
        assert_eq!(found, [(2, 200, 250), (3, 320, 330)]);
        assert_eq!(record.rebalances_in_window(&timeline()).count(), 2);
        let events = record.events(&timeline());
        assert_eq!((events[0].kind.as_str(), events[0].generation), ("rebalance", Some(2)));
        assert!((events[0].t_s - 100e-9).abs() < 1e-12 && events[0].length_s == Some(50.0 * 1e-9));
    }

    #[test]
    fn a_group_is_settled_once_each_partition_has_one_owner_of_one_generation() {
        let (group, timeline) = (group(), timeline());
        let is = |member, generation| MemberOf { member, generation };
        group.acquire(is(0, 1), (0, None), 0, &timeline);
        group.acquire(is(0, 1), (1, None), 0, &timeline);
        group.note(0, Standing::Stable(1), 0);
        assert!(!group.is_settled(), "the other member is missing");
        group.note(1, Standing::Stable(2), 0);
        assert!(!group.is_settled(), "in another generation");
        group.note(0, Standing::Stable(2), 0);
        assert!(group.is_settled());
        group.acquire(is(1, 2), (1, None), 0, &timeline);
        assert!(!group.is_settled(), "two owners");
        group.release(0, 1, 0);
        assert!(group.is_settled());
        group.release(1, 1, 0);
        assert_eq!((group.is_settled(), group.owned()), (false, 1));
    }

    #[test]
    fn commits_count_in_the_window_and_are_events_always() {
        let (group, timeline) = (group(), timeline());
        let span = |start_ns, end_ns| Span { start_ns, end_ns };
        group.committed(span(10, 20), &timeline);
        group.committed(span(190, 200), &timeline);
        group.commit_failed(50, &timeline);
        group.commit_failed(300, &timeline);
        group.read_to(0, 7);
        let (record, consumed) = group.finish(1200, [9, 4].into_iter(), &timeline);
        assert_eq!((record.commit_ns.len(), record.commits_failed, record.commits.len()), (1, 1, 2));
        assert_eq!((record.lag_end, consumed.len()), (6, 2));
    }
}
