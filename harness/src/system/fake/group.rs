//! Consumer groups of the fake system: a coordinator in memory whose groups rebalance in one step, and their members. The faults of
//! [`GroupFaults`] break its rules on purpose.

use super::{FakeSystem, State, read};
use crate::system::{FetchSink, MemberEvent, MemberSpec, Membership, SystemMember};
use crate::time::clock::Clock as _;
use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Faults of the fake's groups and members.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GroupFaults {
    /// A member commits the end of the log before a partition goes, whether it has read so far or not.
    pub(crate) skips_on_revoke: bool,
    /// Each member gets partition 0 from this generation on.
    pub(crate) shares_from: Option<i32>,
    /// Commits are answered, and forgotten.
    pub(crate) forgets_commits: bool,
    /// No rebalance ever ends.
    pub(crate) never_settles: bool,
    /// Commits fail.
    pub(crate) refuses_commits: bool,
}

/// A group.
#[derive(Debug, Default)]
pub(super) struct FakeGroup {
    generation: i32,
    /// The generation that each member has joined, by its id.
    members: BTreeMap<u64, i32>,
    committed: BTreeMap<u32, u64>,
}

/// A member of a group.
#[derive(Debug)]
pub(super) struct FakeMember {
    system: FakeSystem,
    spec: MemberSpec,
    /// Id in the group; `None` before the first poll.
    id: Option<u64>,
    is_out: bool,
    /// The generation that was joined, and the one whose assignment the member has.
    joined: i32,
    assigned: i32,
    /// Partitions with their positions.
    owned: BTreeMap<u32, u64>,
    /// The partition that is asked first.
    first: u32,
    next_commit_ns: u64,
    events: VecDeque<MemberEvent>,
}

impl FakeMember {
    pub(super) fn new(system: FakeSystem, spec: &MemberSpec) -> Self {
        Self {
            system,
            spec: spec.clone(),
            id: None,
            is_out: false,
            joined: 0,
            assigned: 0,
            owned: BTreeMap::new(),
            first: 0,
            next_commit_ns: 0,
            events: VecDeque::new(),
        }
    }

    /// Commits the positions of all partitions. `is_last` says that the partitions are about to go.
    fn commit_now(&mut self, is_last: bool) {
        let now_ns = self.system.clock.now_ns();
        let mut state = self.system.state();
        let faults = state.behaviour.group;
        let mut positions = self.owned.clone();
        if is_last && faults.skips_on_revoke {
            for (partition, position) in &mut positions {
                *position = state.visible_end(&self.spec.topic, *partition, now_ns);
            }
        }
        let event = if faults.refuses_commits {
            MemberEvent::CommitFailed
        } else {
            if !faults.forgets_commits {
                state.groups.entry(self.spec.group.clone()).or_default().committed.extend(positions);
            }
            MemberEvent::Committed { took: Duration::from_micros(10) }
        };
        drop(state);
        self.events.push_back(event);
    }

    /// Takes part in the rebalance under way. Returns whether the member has its assignment.
    fn follow(&mut self) -> bool {
        let system = self.system.clone();
        let mut state = system.state();
        let faults = state.behaviour.group;
        let id = *self.id.get_or_insert_with(|| {
            state.members_made += 1;
            state.members_made
        });
        let group = state.groups.entry(self.spec.group.clone()).or_default();
        if !group.members.contains_key(&id) {
            group.generation += 1;
        }
        let generation = group.generation;
        if self.joined != generation && self.owned.is_empty() {
            group.members.insert(id, generation);
            self.joined = generation;
            state.wake_waiting();
        } else if self.joined != generation {
            let gone = self.owned.keys().copied().collect();
            drop(state);
            self.events.push_back(MemberEvent::Revoked(gone));
            if self.spec.auto_commit.is_some() {
                self.commit_now(true);
            }
            self.assigned = 0;
            return false;
        }
        let group = &state.groups[&self.spec.group];
        let are_all_joined = group.members.values().all(|joined| *joined == generation);
        if self.assigned != generation && are_all_joined && !faults.never_settles {
            self.assigned = generation;
            let place = group.members.keys().position(|member| *member == id).unwrap();
            let is_shared = faults.shares_from.is_some_and(|from| generation >= from);
            let mut added = Vec::new();
            for partition in 0..state.partitions_of(&self.spec.topic) {
                let is_own = partition as usize % group.members.len() == place;
                if is_own || (partition == 0 && is_shared) {
                    let committed = group.committed.get(&partition).copied();
                    self.owned.insert(partition, committed.unwrap_or(0));
                    added.push((partition, committed));
                }
            }
            self.events.push_back(MemberEvent::Assigned(added));
        }
        self.assigned == generation
    }

    fn fetch(&mut self, sink: &mut dyn FetchSink) -> bool {
        let partitions: Vec<u32> = self.owned.keys().copied().collect();
        let later = partitions.iter().filter(|partition| **partition >= self.first);
        let earlier = partitions.iter().filter(|partition| **partition < self.first);
        for partition in later.chain(earlier) {
            let position = self.owned[partition];
            let log = (self.spec.topic.clone(), *partition);
            if let Some(end) = read(&self.system, &log, position, (*partition as usize, sink), &mut None) {
                self.owned.insert(*partition, end);
                self.first = partition + 1;
                return true;
            }
        }
        false
    }

    /// Keeps the waker until records, a commit or a rebalance are due.
    fn wait(&self, waker: &Waker) {
        let now_ns = self.system.clock.now_ns();
        let mut state = self.system.state();
        let owned = self.owned.keys();
        let next_ns =
            owned.filter_map(|partition| state.next_visible_ns(&self.spec.topic, *partition, now_ns));
        let commit_ns = self.spec.auto_commit.map(|_| self.next_commit_ns).filter(|at_ns| *at_ns > now_ns);
        if let Some(next_ns) = next_ns.chain(commit_ns).min() {
            state.timers.push((next_ns, waker.clone()));
        }
        state.waiting.push(waker.clone());
    }
}

impl SystemMember for FakeMember {
    fn poll_event(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn FetchSink,
    ) -> Poll<anyhow::Result<MemberEvent>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            if self.is_out {
                return Poll::Pending;
            }
            if self.assigned == 0 {
                // What was revoked is gone once the caller has seen it.
                self.owned.clear();
            }
            let is_assigned = self.follow();
            if !self.events.is_empty() {
                continue;
            }
            let now_ns = self.system.clock.now_ns();
            if let Some(every) = self.spec.auto_commit
                && is_assigned
                && self.next_commit_ns <= now_ns
            {
                self.next_commit_ns = now_ns + crate::num::ns_of(every);
                self.commit_now(false);
                continue;
            }
            if is_assigned && self.fetch(sink) {
                return Poll::Ready(Ok(MemberEvent::Records));
            }
            self.wait(context.waker());
            return Poll::Pending;
        }
    }

    fn membership(&self) -> Membership {
        let generation = self.system.state().groups.get(&self.spec.group).map_or(0, |group| group.generation);
        Membership {
            generation: (self.joined > 0 && !self.is_out).then_some(self.joined),
            is_rebalancing: self.assigned == 0 || self.assigned != generation,
        }
    }

    fn commit(&mut self) {
        self.commit_now(self.assigned == 0);
    }

    fn leave(&mut self, commits: bool) {
        if commits {
            self.commit_now(true);
        }
        let mut state = self.system.state();
        if let Some((id, group)) = self.id.zip(state.groups.get_mut(&self.spec.group)) {
            group.members.remove(&id);
            group.generation += 1;
        }
        state.wake_waiting();
        drop(state);
        self.owned.clear();
        self.is_out = true;
        self.events.push_back(MemberEvent::Left);
    }

    fn join(&mut self) -> anyhow::Result<()> {
        *self = Self::new(self.system.clone(), &self.spec);
        Ok(())
    }
}

impl State {
    fn partitions_of(&self, topic: &str) -> u32 {
        let of_topic = self.logs.keys().filter(|(name, _)| name == topic);
        of_topic.map(|(_, partition)| partition + 1).max().unwrap_or(0)
    }

    fn wake_waiting(&mut self) {
        std::mem::take(&mut self.waiting).into_iter().for_each(Waker::wake);
    }
}
