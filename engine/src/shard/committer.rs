//! The committer: the only place that decides how a shard's frozen bytes reach the disk, and how many writes are under
//! way at once.
//!
//! A synced write that overwrites goes one of two ways: with its own RWF_DSYNC, or plainly, in a group with those of other
//! partitions and one flush that covers them all. A device flush costs about as much for many as for one, so the second is
//! better where many wait. A group's writes begin as they come, also while the flush of the group before is under way; its own
//! flush begins when all of them have completed. So no timer is needed:
//!
//! ```text
//! group 1   [w][w][w ]
//!              [w][w] [flush     ]
//! group 2                [w][w][w][flush     ]
//! ```

use super::slots::SlotList;
use super::stats::WriteStats;
use crate::disk::DiskFile;
use crate::error::DiskError;
use crate::log::{Job, JobDone, Unflushed, flush};
use crate::num::ns_of;
use crate::types::Commit;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

/// Most writes and syncs of a shard in flight, those of a shared flush apart; partitions beyond it wait in a queue, and what is
/// appended to them meanwhile forms larger writes.
const IN_FLIGHT_MAX: usize = 64;

/// Most jobs one partition starts before the next has its turn.
const JOBS_AT_ONCE: usize = 8;

/// Most writes that wait for shared flushes to begin.
const SHARED_MAX: usize = 256;

/// Partitions with a synced write waiting, or in flight with its own flush, from which on flushes are shared. Measured with
/// 4 KiB on each of 64: 2.6 to 2.8 ms with a flush each, 0.7 ms with one; of few, a flush each overlaps with the others'
/// writes.
const SHARED_FROM: usize = 3;

/// A write larger than this takes the device longer than its flush, and goes with its own.
const SHARED_BYTES_MAX: usize = 64 << 10;

type Done = (usize, JobDone);

/// The flush of a domain.
struct Flushing {
    domain: u64,
    flush: LocalBoxFuture<'static, (Vec<Done>, Result<(), DiskError>)>,
}

/// Writes that one flush is to cover, at most one of each partition.
struct Group<F: DiskFile> {
    domain: u64,
    /// Syncs that had failed on the device when the first of them began.
    failed_syncs: u64,
    /// A flush failed after some of them had begun: none can be made to last.
    lost: Option<DiskError>,
    slots: Vec<usize>,
    /// Under way.
    writes: FuturesUnordered<LocalBoxFuture<'static, (usize, Unflushed<F>)>>,
    written: Vec<(usize, Unflushed<F>)>,
}

/// See the module.
pub struct Committer<F: DiskFile> {
    commit: Commit,
    jobs: FuturesUnordered<LocalBoxFuture<'static, (Done, Flush)>>,
    /// Synced writes that may share a flush and came in this turn, with their partitions' slots.
    waiting: Vec<(usize, Job<F>)>,
    /// Oldest first; the last of a domain takes what comes.
    groups: VecDeque<Group<F>>,
    /// The flush of the groups before those.
    flush: Option<Flushing>,
    /// Writes of the groups, and of the flush.
    shared_writes: usize,
    /// Slots of the synced writes in flight that could have shared a flush.
    each: Vec<usize>,
    done: VecDeque<Done>,
    /// Slots that wait for room, first come first served.
    queue: SlotList,
    /// Whether some that are under way were never polled: an operation begins when it is.
    has_new: bool,
    stats: WriteStats,
}

/// Whether a job in flight could have shared a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    Own,
    Shareable,
}

impl<F: DiskFile> Committer<F> {
    /// With nothing in flight.
    pub fn new(commit: Commit) -> Self {
        Self {
            commit,
            jobs: FuturesUnordered::new(),
            waiting: Vec::new(),
            groups: VecDeque::new(),
            flush: None,
            shared_writes: 0,
            each: Vec::new(),
            done: VecDeque::new(),
            queue: SlotList::default(),
            has_new: false,
            stats: WriteStats::default(),
        }
    }

    /// Whether another job may start.
    pub fn has_room(&self) -> bool {
        let grouped: usize = self.groups.iter().map(|group| group.slots.len()).sum();
        self.jobs.len() < IN_FLIGHT_MAX && self.waiting.len() + grouped < SHARED_MAX
    }

    /// What was written so far.
    pub const fn stats(&self) -> &WriteStats {
        &self.stats
    }

    /// Counts the time since the last call towards the depth of what is in flight.
    pub fn passed(&mut self, time: Duration) {
        self.stats.passed(ns_of(time), self.jobs.len() + self.shared_writes);
    }

    /// Whether nothing is under way or waits to be.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.waiting.is_empty() && self.shared_writes == 0 && self.done.is_empty()
    }

    /// Starts jobs of the partition in `slot`, a few at most, while there is room; whether there may be more of them.
    ///
    /// Where partitions wait for room, this one waits behind them: [`Committer::start_waiting`] starts its jobs. So a
    /// partition that always has a write ready does not take the room of each that completes.
    pub fn start_some(&mut self, slot: usize, mut next_job: impl FnMut() -> Option<Job<F>>) -> bool {
        for _ in 0..JOBS_AT_ONCE {
            if !self.queue.is_empty() || !self.has_room() {
                self.queue.push_back(slot);
                return false;
            }
            let Some(job) = next_job() else { return false };
            self.start(slot, job);
        }
        true
    }

    /// Starts jobs of the partitions that wait for room, one of each in turn, while there is some.
    pub fn start_waiting(&mut self, mut next_job: impl FnMut(usize) -> Option<Job<F>>) {
        while self.has_room()
            && let Some(slot) = self.queue.pop_front()
        {
            if let Some(job) = next_job(slot) {
                self.start(slot, job);
                self.queue.push_back(slot);
            }
        }
    }

    /// Takes a job of the partition in `slot`; it is under way after the next [`Committer::submit`].
    pub fn start(&mut self, slot: usize, job: Job<F>) {
        let may_share = self.commit != Commit::Each
            && job.write_bytes() <= SHARED_BYTES_MAX
            && job.flush_domain().is_some();
        if may_share {
            self.waiting.push((slot, job));
        } else {
            self.start_alone(slot, job, Flush::Own);
        }
    }

    fn start_alone(&mut self, slot: usize, job: Job<F>, flush: Flush) {
        self.count(&job, job.is_sync());
        if flush == Flush::Shareable {
            self.each.push(slot);
        }
        self.has_new = true;
        self.jobs.push(Box::pin(async move { ((slot, job.run().await), flush) }));
    }

    fn count(&mut self, job: &Job<F>, is_sync: bool) {
        self.stats.started(job.write_bytes(), is_sync);
        self.stats.overwrites += u64::from(job.is_overwriting());
    }

    /// Decides about what waits, and begins what was not begun; for the owner, when every partition has handed over what it
    /// has.
    pub fn submit(&mut self, context: &mut Context<'_>) {
        self.decide();
        if std::mem::take(&mut self.has_new) {
            self.collect(context);
        }
    }

    fn decide(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return;
        }
        let is_shared = self.commit == Commit::Shared || !self.groups.is_empty() || self.is_crowded(&waiting);
        for (slot, job) in waiting {
            if is_shared {
                self.join(slot, job);
            } else {
                self.start_alone(slot, job, Flush::Shareable);
            }
        }
    }

    /// Whether enough partitions have a synced write waiting or in flight.
    fn is_crowded(&self, waiting: &[(usize, Job<F>)]) -> bool {
        let mut met = Vec::with_capacity(SHARED_FROM);
        for slot in self.each.iter().copied().chain(waiting.iter().map(|(slot, _)| *slot)) {
            if !met.contains(&slot) {
                met.push(slot);
            }
            if met.len() == SHARED_FROM {
                return true;
            }
        }
        false
    }

    /// Starts a write of its domain's last group, or of a new one. A group that nothing but its own writes keeps from its flush
    /// takes no more once one of them has completed: that one would wait for whoever comes.
    fn join(&mut self, slot: usize, job: Job<F>) {
        let Some(domain) = job.flush_domain() else {
            unreachable!("only what may share a flush waits for one")
        };
        self.count(&job, false);
        self.shared_writes += 1;
        self.has_new = true;
        let waits_for_others = self.flush.is_some();
        let last = self.groups.iter().rposition(|group| group.domain == domain);
        let at = last.filter(|at| {
            let group = &self.groups[*at];
            let is_open = *at > 0 || waits_for_others || group.written.is_empty();
            is_open && group.lost.is_none() && !group.slots.contains(&slot)
        });
        let at = at.unwrap_or_else(|| {
            let (slots, writes, written) = (Vec::new(), FuturesUnordered::new(), Vec::new());
            let failed_syncs = job.failed_syncs();
            self.groups.push_back(Group { domain, failed_syncs, lost: None, slots, writes, written });
            self.groups.len() - 1
        });
        let group = &mut self.groups[at];
        group.slots.push(slot);
        group.writes.push(async move { (slot, job.write_unflushed().await) }.boxed_local());
    }

    /// Begins the next flush, if none is under way and there is a group whose writes have all completed: with those after it
    /// that have too. What is lost has ended then.
    fn next_flush(&mut self) -> Option<Flushing> {
        let mut covered = Vec::new();
        let mut domain = None;
        let mut failed_syncs = u64::MAX;
        while let Some(group) = self.groups.front()
            && group.writes.is_empty()
            && domain.is_none_or(|domain| domain == group.domain)
        {
            let Some(group) = self.groups.pop_front() else { break };
            if let Some(error) = group.lost {
                self.shared_writes -= group.written.len();
                self.done.extend(group.written.into_iter().map(|(slot, write)| (slot, write.lost(&error))));
            } else {
                domain = Some(group.domain);
                failed_syncs = failed_syncs.min(group.failed_syncs);
                covered.extend(group.written);
            }
        }
        let domain = domain?;
        self.stats.syncs += 1;
        Some(Flushing { domain, flush: flush(covered, failed_syncs).boxed_local() })
    }

    /// The next job that has ended.
    pub fn poll_done(&mut self, context: &mut Context<'_>) -> Option<(usize, JobDone)> {
        if self.done.is_empty() {
            self.collect(context);
        }
        self.done.pop_front()
    }

    /// Polls what is under way.
    fn collect(&mut self, context: &mut Context<'_>) {
        for group in &mut self.groups {
            while let Poll::Ready(Some(write)) = group.writes.poll_next_unpin(context) {
                group.written.push(write);
            }
        }
        loop {
            if self.flush.is_none() {
                self.flush = self.next_flush();
            }
            let Some(flushing) = &mut self.flush else { break };
            let Poll::Ready((done, flushed)) = flushing.flush.poll_unpin(context) else { break };
            let domain = flushing.domain;
            self.flush = None;
            if let Err(error) = flushed {
                // What completed meanwhile was in the same cache, and the next flush would say nothing of it.
                let beside = self.groups.iter_mut().filter(|group| group.domain == domain);
                beside.for_each(|group| group.lost = Some(error.clone()));
            }
            self.shared_writes -= done.len();
            self.done.extend(done);
        }
        while let Poll::Ready(Some((done, flush))) = self.jobs.poll_next_unpin(context) {
            if flush == Flush::Shareable
                && let Some(at) = self.each.iter().position(|slot| *slot == done.0)
            {
                self.each.swap_remove(at);
            }
            self.done.push_back(done);
        }
    }
}
