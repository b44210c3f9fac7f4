//! What the groups of every system do: members share partitions, hand them over with what they have committed, and begin again
//! where their group has committed.

use super::{PARTITIONS, PATIENCE, Seen, Unpark, acks, producer, send};
use crate::system::{MemberEvent, MemberSpec, Membership, System, SystemMember};
use crate::workload::Assignor;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const TOPIC: &str = "grouped";

/// A member with what it was told.
struct Told {
    member: Box<dyn SystemMember + Send>,
    /// Whether the member commits before partitions go, as a load does that waits for its commits.
    commits_when_revoked: bool,
    owned: BTreeSet<u32>,
    seen: Seen,
    /// Commits that have succeeded, and those that have failed.
    committed: u32,
    failed: u32,
    has_left: bool,
}

impl Told {
    fn new(system: &dyn System, group: &str, assignor: Assignor, auto_commit: Option<Duration>) -> Self {
        let spec = MemberSpec {
            group: format!("vnotch-{TOPIC}-{group}-group"),
            topic: TOPIC.to_owned(),
            assignor,
            heartbeat_interval: Duration::from_millis(100),
            auto_commit,
            fetch_bytes_max: 1 << 20,
        };
        Self {
            member: system.member(&spec).unwrap(),
            commits_when_revoked: auto_commit.is_none(),
            owned: BTreeSet::new(),
            seen: Seen::default(),
            committed: 0,
            failed: 0,
            has_left: false,
        }
    }

    /// Handles the events that have come. Returns whether there were any.
    fn advance(&mut self, context: &mut Context<'_>) -> bool {
        let mut had_some = false;
        while let Poll::Ready(event) = self.member.poll_event(context, &mut self.seen) {
            had_some = true;
            match event.unwrap() {
                MemberEvent::Records => {}
                MemberEvent::Assigned(added) => {
                    for (partition, _) in added {
                        assert!(self.owned.insert(partition), "partition {partition} was assigned twice");
                    }
                }
                MemberEvent::Revoked(gone) => {
                    assert!(
                        gone.iter().all(|partition| self.owned.remove(partition)),
                        "{gone:?} is no one's"
                    );
                    if self.commits_when_revoked && self.member.membership().generation.is_some() {
                        self.member.commit();
                    }
                }
                MemberEvent::Committed { .. } => self.committed += 1,
                MemberEvent::CommitFailed => self.failed += 1,
                MemberEvent::Left => self.has_left = true,
                other @ (MemberEvent::Lost(_) | MemberEvent::Deleted { .. }) => panic!("{other:?}"),
            }
        }
        had_some
    }

    fn leave(&mut self, commits: bool) {
        self.owned.clear();
        self.member.leave(commits);
        assert_eq!(self.member.membership(), Membership::NONE);
    }

    fn join(&mut self) {
        assert!(self.has_left);
        self.has_left = false;
        self.member.join().unwrap();
    }

    /// The records that were read since the last call: partition, offset, number.
    fn take(&mut self) -> Vec<(u32, u64, u32)> {
        std::mem::take(&mut self.seen.records)
    }

    fn is_stable(&self) -> bool {
        let Membership { generation, is_rebalancing } = self.member.membership();
        generation.is_some() && !is_rebalancing
    }
}

/// Lets members go on until `is_so`, parked in between: only a wake lets the thread look again.
fn until(members: &mut [Told], what: &str, is_so: impl Fn(&[Told]) -> bool) {
    let (waker, begun) = (Waker::from(Arc::new(Unpark(std::thread::current()))), Instant::now());
    let mut context = Context::from_waker(&waker);
    loop {
        let mut had_some = false;
        members.iter_mut().for_each(|told| had_some |= told.advance(&mut context));
        if is_so(members) {
            return;
        }
        if !had_some {
            std::thread::park_timeout(PATIENCE);
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: it did not happen, or nobody was woken");
    }
}

/// Whether members are stable in one generation, and own each partition once.
fn share(members: &[Told]) -> bool {
    let generations: BTreeSet<_> = members.iter().map(|told| told.member.membership().generation).collect();
    let owned: Vec<u32> = members.iter().flat_map(|told| told.owned.iter().copied()).collect();
    let all: BTreeSet<u32> = owned.iter().copied().collect();
    members.iter().all(Told::is_stable)
        && generations.len() == 1
        && owned.len() == all.len()
        && all.len() == PARTITIONS as usize
}

fn count(members: &[Told]) -> usize {
    members.iter().map(|told| told.seen.records.len()).sum()
}

/// Sends the records with these numbers, to all partitions in turn.
fn fill(system: &dyn System, numbers: std::ops::Range<u32>) {
    let mut producer = producer(system, TOPIC, 1 << 20);
    let records = numbers.end - numbers.start;
    numbers.for_each(|number| send(&mut *producer, number % PARTITIONS, number).unwrap());
    producer.flush();
    acks(&mut *producer, records).into_iter().for_each(|ack| ack.result.unwrap());
}

/// Checks that members have read the records with these numbers, each once, and each partition in order.
fn assert_read(members: &mut [Told], numbers: std::ops::Range<u32>, what: &str) {
    let mut all = Vec::new();
    for told in members {
        let read = told.take();
        for partition in 0..PARTITIONS {
            let of =
                read.iter().filter(|(of, ..)| *of == partition).map(|(_, offset, number)| (*offset, *number));
            let of: Vec<_> = of.collect();
            assert!(of.is_sorted(), "{what}: partition {partition}: {of:?}");
            let places = of.iter().all(|(offset, number)| {
                offset * u64::from(PARTITIONS) + u64::from(partition) == u64::from(*number)
            });
            assert!(places, "{what}: partition {partition}: {of:?}");
        }
        all.extend(read.iter().map(|(.., number)| *number));
    }
    all.sort_unstable();
    assert_eq!(all, numbers.collect::<Vec<_>>(), "{what}");
}

/// Runs the suite of groups.
pub(super) fn conform(system: &mut dyn System) {
    system.create_topic(TOPIC, PARTITIONS).unwrap();
    let member = |group, assignor, auto| Told::new(&*system, group, assignor, auto);
    let mut pair = vec![
        member("pair", Assignor::CooperativeSticky, None),
        member("pair", Assignor::CooperativeSticky, None),
    ];
    let mut alone = vec![
        member("auto", Assignor::Range, Some(Duration::from_millis(50))),
        member("none", Assignor::RoundRobin, None),
    ];
    let mut everyone: Vec<Told> = pair.drain(..).chain(alone.drain(..)).collect();
    until(&mut everyone, "three groups settle", |all| {
        share(&all[..2]) && share(&all[2..3]) && share(&all[3..])
    });
    fill(system, 0..40);
    until(&mut everyone, "three groups read", |all| {
        [0..2, 2..3, 3..4].into_iter().all(|of| count(&all[of]) >= 40)
    });
    for (of, what) in [(0..2, "a pair"), (2..3, "a member alone"), (3..4, "another one")] {
        assert_read(&mut everyone[of], 0..40, what);
    }
    let mut alone = everyone.split_off(2);
    hands_over(system, &mut everyone);
    begins_again(system, &mut alone);
}

/// A member that leaves hands its partitions over, and one that joins gets some, without a record that is lost or read again.
fn hands_over(system: &dyn System, pair: &mut [Told]) {
    let before = pair[0].committed;
    pair[0].member.commit();
    until(pair, "a commit is answered", |pair| pair[0].committed > before);
    pair[1].leave(true);
    until(pair, "a member leaves", |pair| pair[1].has_left && share(&pair[..1]));
    fill(system, 40..80);
    until(pair, "the other one reads on", |pair| count(pair) >= 40);
    assert_read(pair, 40..80, "after a member has left");
    pair[1].join();
    until(pair, "a member joins", share);
    assert!(pair.iter().all(|told| !told.owned.is_empty()), "both have a partition");
    fill(system, 80..120);
    until(pair, "both read on", |pair| count(pair) >= 40);
    assert_read(pair, 80..120, "after a member has joined");
    assert_eq!(pair.iter().map(|told| told.failed).sum::<u32>(), 0);
}

/// A member begins where its group has committed, and at the log's start if it never has.
fn begins_again(system: &dyn System, alone: &mut [Told]) {
    until(alone, "the others are read too", |alone| alone.iter().all(|told| told.seen.records.len() >= 80));
    assert_read(&mut alone[..1], 40..120, "with commits");
    assert_read(&mut alone[1..], 40..120, "without commits");
    until(alone, "a client commits by itself", |alone| alone[0].committed > 0);
    alone[0].leave(true);
    alone[1].leave(false);
    until(alone, "both leave", |alone| alone.iter().all(|told| told.has_left));
    fill(system, 120..160);
    alone.iter_mut().for_each(Told::join);
    until(alone, "both begin again", |alone| count(&alone[..1]) >= 40 && count(&alone[1..]) >= 160);
    assert_read(&mut alone[..1], 120..160, "with commits, again");
    assert_read(&mut alone[1..], 0..160, "without commits, again");
}
