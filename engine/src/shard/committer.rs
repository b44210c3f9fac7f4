//! The committer: the only code that decides how a shard's frozen bytes reach the disk, and how many writes are in
//! flight.
//!
//! Some terms. *Frozen* bytes are appended bytes that no append changes any more. *RWF_DSYNC* is the flag that makes one
//! write of Linux durable by itself. A *flush domain* is a device: one flush covers the files on it. A *slot* is the index
//! of a partition in the shard.
//!
//! A synced write of at most 64 KiB that lies within extents that were written before is made durable in one of two ways.
//! Either it carries its own RWF_DSYNC, or it is a plain write in a group: the group has writes of one or more partitions,
//! and one flush covers them all. A device flush costs about as much for many writes as for one, so groups are better
//! where many writes wait. All other jobs run alone.
//!
//! A group's writes begin as soon as they arrive, also while the flush of the previous group is in flight. That flush is
//! the time in which the next group collects writes, so no timer holds writes back. A flush begins when all writes of the
//! oldest group have completed. It also covers the next groups of the same domain whose writes have all completed.
//!
//! ```text
//! time  ─────────────────────────────────────►
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

/// Maximum number of writes and syncs of a shard in flight, without those that share a flush. Further partitions wait in
/// a queue.
/// Appends that reach them meanwhile form larger writes.
const IN_FLIGHT_MAX: usize = 64;

/// Maximum number of jobs that one partition starts before the next partition may start some.
const JOBS_AT_ONCE: usize = 8;

/// Maximum number of writes in groups whose flush has not begun, and of writes that are not assigned yet. At this number
/// no further job starts.
const SHARED_MAX: usize = 256;

/// Flushes are shared if at least this many partitions have a synced write that is not assigned yet or is in flight. With
/// 4 KiB on each of 64 partitions, all writes took 2.6 to 2.8 ms with a flush for each, and 0.7 ms with one for all. With
/// one or two partitions, separate flushes are faster, because each overlaps with the write of the other.
const SHARED_FROM: usize = 3;

/// Largest write that may share a flush, bytes. A larger write takes longer to transfer than to flush. In a group it would
/// delay the others, and a shared flush would save little.
const SHARED_BYTES_MAX: usize = 64 << 10;

/// The slot of a partition, and how its job ended.
type Done = (usize, JobDone);

/// The flush in flight for one flush domain.
struct Flushing {
    domain: u64,
    flush: LocalBoxFuture<'static, (Vec<Done>, Result<(), DiskError>)>,
}

/// Writes that one flush will cover, at most one for each partition.
struct Group<F: DiskFile> {
    domain: u64,
    /// Number of failed syncs of the device when the group's first write began. If it is higher after the flush, the writes may
    /// be lost.
    failed_syncs: u64,
    /// The error of an earlier flush of this domain that failed while this group existed. The device may have lost some of the
    /// group's writes, so all of them end with this error.
    flush_error: Option<DiskError>,
    /// Partitions of all writes of the group.
    slots: Vec<usize>,
    /// Writes that have not completed.
    writes: FuturesUnordered<LocalBoxFuture<'static, (usize, Unflushed<F>)>>,
    /// Writes that have completed and need the flush.
    written: Vec<(usize, Unflushed<F>)>,
}

/// The writes, syncs and flushes of one shard.
pub struct Committer<F: DiskFile> {
    commit: Commit,
    jobs: FuturesUnordered<LocalBoxFuture<'static, (Done, CouldShare)>>,
    /// Synced writes that may share a flush, with the slots of their partitions. The next [`Committer::submit`] decides
    /// whether they do, and starts them.
    undecided: Vec<(usize, Job<F>)>,
    /// The groups whose flush has not begun, oldest first. A new write joins the last group of its domain,
    /// or begins another one ([`Committer::join`]).
    groups: VecDeque<Group<F>>,
    /// The flush in flight. It covers groups that are older than all in `groups`.
    flush: Option<Flushing>,
    /// Number of writes in `groups` plus those that `flush` covers.
    shared_writes: usize,
    /// Slots of the synced writes in flight that have a flush of their own, although they could have shared one.
    unshared_slots: Vec<usize>,
    done: VecDeque<Done>,
    /// Slots that wait until more jobs may start, first come first served.
    queue: SlotList,
    /// Whether some started jobs or writes of groups have not been polled yet. Their operations are submitted when they are
    /// polled for the first time.
    has_new: bool,
    stats: WriteStats,
}

/// Whether a job that runs alone could have shared a flush with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CouldShare {
    No,
    Yes,
}

impl<F: DiskFile> Committer<F> {
    /// Makes a committer with nothing in flight.
    pub fn new(commit: Commit) -> Self {
        Self {
            commit,
            jobs: FuturesUnordered::new(),
            undecided: Vec::new(),
            groups: VecDeque::new(),
            flush: None,
            shared_writes: 0,
            unshared_slots: Vec::new(),
            done: VecDeque::new(),
            queue: SlotList::default(),
            has_new: false,
            stats: WriteStats::default(),
        }
    }

    /// Whether another job may start.
    pub fn has_room(&self) -> bool {
        let grouped: usize = self.groups.iter().map(|group| group.slots.len()).sum();
        self.jobs.len() < IN_FLIGHT_MAX && self.undecided.len() + grouped < SHARED_MAX
    }

    /// Returns the counters of all writes since the start.
    pub const fn stats(&self) -> &WriteStats {
        &self.stats
    }

    /// Adds `time`, which has passed since the last call, to the statistics of busy time and queue depth.
    pub fn account_for(&mut self, time: Duration) {
        self.stats.account_for(ns_of(time), self.jobs.len() + self.shared_writes);
    }

    /// Whether there is no started job, and no finished one that [`Committer::poll_done`] has not returned. Queued partitions
    /// do not count.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.undecided.is_empty() && self.shared_writes == 0 && self.done.is_empty()
    }

    /// Starts up to `JOBS_AT_ONCE` jobs of the partition in `slot`, as long as there is room. Returns whether the partition
    /// may have more.
    ///
    /// If partitions already wait to start jobs, this one waits behind them, and [`Committer::start_queued`] starts its jobs.
    /// So a partition that always has a write ready cannot take all the room.
    pub fn start_some(&mut self, slot: usize, mut next_job: impl FnMut() -> Option<Job<F>>) -> bool {
        for _ in 0..JOBS_AT_ONCE {
            if !self.queue.is_empty() || !self.has_room() {
                self.queue.push_back(slot);
                return false;
            }
            let Some(job) = next_job() else { return false };
            self.accept(slot, job);
        }
        true
    }

    /// Starts jobs of the queued partitions, one for each partition in turn, as long as there is room.
    pub fn start_queued(&mut self, mut next_job: impl FnMut(usize) -> Option<Job<F>>) {
        while self.has_room()
            && let Some(slot) = self.queue.pop_front()
        {
            if let Some(job) = next_job(slot) {
                self.accept(slot, job);
                self.queue.push_back(slot);
            }
        }
    }

    /// Accepts a job of the partition in `slot`. A write that may share a flush is kept until [`Committer::submit`] decides; any
    /// other job is started. Nothing reaches the kernel before `submit`.
    pub fn accept(&mut self, slot: usize, job: Job<F>) {
        let may_share = self.commit != Commit::Each
            && job.write_bytes() <= SHARED_BYTES_MAX
            && job.flush_domain().is_some();
        if may_share {
            self.undecided.push((slot, job));
        } else {
            self.start_alone(slot, job, CouldShare::No);
        }
    }

    fn start_alone(&mut self, slot: usize, job: Job<F>, could_share: CouldShare) {
        self.count(&job, job.is_sync());
        if could_share == CouldShare::Yes {
            self.unshared_slots.push(slot);
        }
        self.has_new = true;
        self.jobs.push(Box::pin(async move { ((slot, job.run().await), could_share) }));
    }

    fn count(&mut self, job: &Job<F>, is_sync: bool) {
        self.stats.started(job.write_bytes(), is_sync);
        self.stats.overwrites += u64::from(job.is_overwriting());
    }

    /// Decides how the undecided writes are flushed, and submits all operations that were not submitted yet. The owner
    /// calls this when every partition has handed over its jobs.
    pub fn submit(&mut self, context: &mut Context<'_>) {
        self.decide();
        if std::mem::take(&mut self.has_new) {
            self.advance(context);
        }
    }

    fn decide(&mut self) {
        let undecided = std::mem::take(&mut self.undecided);
        if undecided.is_empty() {
            return;
        }
        let is_shared =
            self.commit == Commit::Shared || !self.groups.is_empty() || self.is_crowded(&undecided);
        for (slot, job) in undecided {
            if is_shared {
                self.join(slot, job);
            } else {
                self.start_alone(slot, job, CouldShare::Yes);
            }
        }
    }

    /// Whether enough partitions for a shared flush have a synced write that is undecided or in flight.
    fn is_crowded(&self, undecided: &[(usize, Job<F>)]) -> bool {
        let mut slots = Vec::with_capacity(SHARED_FROM);
        for slot in self.unshared_slots.iter().copied().chain(undecided.iter().map(|(slot, _)| *slot)) {
            if !slots.contains(&slot) {
                slots.push(slot);
            }
            if slots.len() == SHARED_FROM {
                return true;
            }
        }
        false
    }

    /// Adds a write to its domain's last group, or to a new one, and starts it.
    ///
    /// A write may join while the group's flush cannot begin anyway, because an earlier group or a flush comes first. If
    /// nothing comes first, the group takes no more writes after its first one has completed, because a later write would
    /// delay that one. A group never takes two writes of one partition, and none after a failed flush of its domain.
    fn join(&mut self, slot: usize, job: Job<F>) {
        let Some(domain) = job.flush_domain() else {
            unreachable!("every undecided write has a flush domain")
        };
        self.count(&job, false);
        self.stats.shared += 1;
        self.shared_writes += 1;
        self.has_new = true;
        let is_flushing = self.flush.is_some();
        let last = self.groups.iter().rposition(|group| group.domain == domain);
        let open = last.filter(|at| {
            let group = &self.groups[*at];
            let is_open = *at > 0 || is_flushing || group.written.is_empty();
            is_open && group.flush_error.is_none() && !group.slots.contains(&slot)
        });
        let at = open.unwrap_or_else(|| {
            let (slots, writes, written) = (Vec::new(), FuturesUnordered::new(), Vec::new());
            let failed_syncs = job.failed_syncs();
            self.groups.push_back(Group { domain, failed_syncs, flush_error: None, slots, writes, written });
            self.groups.len() - 1
        });
        let group = &mut self.groups[at];
        group.slots.push(slot);
        group.writes.push(async move { (slot, job.write_unflushed().await) }.boxed_local());
    }

    /// Begins the next flush, if none is in flight and all writes of the oldest group have completed. The flush also
    /// covers the groups after it, as long as they have the same domain and all their writes have completed. Writes of
    /// a group with a flush error end here, with that error.
    fn next_flush(&mut self) -> Option<Flushing> {
        let mut covered = Vec::new();
        let mut flushed_domain = None;
        let mut failed_syncs = u64::MAX;
        while let Some(group) = self.groups.front()
            && group.writes.is_empty()
            && flushed_domain.is_none_or(|domain| domain == group.domain)
        {
            let Some(group) = self.groups.pop_front() else { break };
            if let Some(error) = group.flush_error {
                self.shared_writes -= group.written.len();
                self.done.extend(group.written.into_iter().map(|(slot, write)| (slot, write.lost(&error))));
            } else {
                flushed_domain = Some(group.domain);
                failed_syncs = failed_syncs.min(group.failed_syncs);
                covered.extend(group.written);
            }
        }
        let domain = flushed_domain?;
        self.stats.syncs += 1;
        self.stats.shared_flushes += 1;
        Some(Flushing { domain, flush: flush(covered, failed_syncs).boxed_local() })
    }

    /// Returns the next job that has ended, with its slot.
    pub fn poll_done(&mut self, context: &mut Context<'_>) -> Option<(usize, JobDone)> {
        if self.done.is_empty() {
            self.advance(context);
        }
        self.done.pop_front()
    }

    /// Polls everything in flight, begins the next flushes, and moves what has ended to `done`.
    fn advance(&mut self, context: &mut Context<'_>) {
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
                // Other groups of this domain may have had completed writes in the device's cache. The failed flush may have
                // lost these, and a later flush would not report it. So all these groups fail.
                let same_domain = self.groups.iter_mut().filter(|group| group.domain == domain);
                same_domain.for_each(|group| group.flush_error = Some(error.clone()));
            }
            self.shared_writes -= done.len();
            self.done.extend(done);
        }
        while let Poll::Ready(Some((done, could_share))) = self.jobs.poll_next_unpin(context) {
            if could_share == CouldShare::Yes
                && let Some(at) = self.unshared_slots.iter().position(|slot| *slot == done.0)
            {
                self.unshared_slots.swap_remove(at);
            }
            self.done.push_back(done);
        }
    }
}
