//! The committer: the only place that decides how a shard's frozen bytes reach the disk, and how many writes are under
//! way at once.
//!
//! A synced write that overwrites goes one of two ways: with its own RWF_DSYNC, or plainly, together with those of other
//! partitions and one sync that covers them all. A device flush costs about as much for many as for one, so the second is
//! better where many wait: while one is under way, what arrives forms the next, without a timer.

use super::stats::WriteStats;
use crate::disk::DiskFile;
use crate::log::{Job, JobDone, run_together};
use crate::num::ns_of;
use crate::types::Commit;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

/// Most writes and syncs of a shard in flight, those of a shared flush apart; partitions beyond it wait their turn and go on
/// coalescing.
const IN_FLIGHT_MAX: usize = 64;

/// Most writes that one shared flush covers.
const SHARED_MAX: usize = 256;

/// Partitions with a synced write waiting or in flight from which on flushes are shared. Measured with 4 KiB on each of 64:
/// 2.6 to 2.8 ms with a flush each, 0.7 ms with one; of few, a flush each overlaps with the others' writes.
const SHARED_FROM: usize = 3;

/// A write larger than this takes the device longer than its flush, and goes with its own.
const SHARED_BYTES_MAX: usize = 64 << 10;

type Done = (usize, JobDone);

/// See the module.
pub struct Committer<F: DiskFile> {
    commit: Commit,
    jobs: FuturesUnordered<LocalBoxFuture<'static, (Done, Flush)>>,
    /// Synced writes that may share a flush and have not been submitted, with their partitions' slots.
    waiting: Vec<(usize, Job<F>)>,
    shared: Option<LocalBoxFuture<'static, Vec<Done>>>,
    /// Writes of the shared flush under way.
    shared_writes: usize,
    /// Slots of the synced writes in flight that could have shared a flush.
    each: Vec<usize>,
    done: VecDeque<Done>,
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
            shared: None,
            shared_writes: 0,
            each: Vec::new(),
            done: VecDeque::new(),
            has_new: false,
            stats: WriteStats::default(),
        }
    }

    /// Whether another job may start.
    pub fn has_room(&self) -> bool {
        self.jobs.len() < IN_FLIGHT_MAX && self.waiting.len() < SHARED_MAX
    }

    /// What was written so far.
    pub const fn stats(&self) -> &WriteStats {
        &self.stats
    }

    /// Counts the time since the last call towards the depth of what is in flight.
    pub fn passed(&mut self, time: Duration) {
        self.stats.passed(ns_of(time), self.jobs.len() + self.shared_writes);
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
        if self.waiting.is_empty() || self.shared.is_some() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        if self.commit == Commit::Shared || self.is_crowded(&waiting) {
            self.share(waiting);
        } else {
            for (slot, job) in waiting {
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

    /// One flush for all of a domain; where there is a second one, the next flush is its.
    fn share(&mut self, waiting: Vec<(usize, Job<F>)>) {
        let domain = waiting.first().and_then(|(_, job)| job.flush_domain());
        let (together, others): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(_, job)| job.flush_domain() == domain);
        self.waiting = others;
        for (_, job) in &together {
            self.count(job, false);
            self.shared_writes += 1;
        }
        self.stats.syncs += 1;
        self.has_new = true;
        self.shared = Some(run_together(together).boxed_local());
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
        if let Some(shared) = &mut self.shared
            && let Poll::Ready(done) = shared.poll_unpin(context)
        {
            self.shared = None;
            self.shared_writes = 0;
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
