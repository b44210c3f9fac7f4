//! The committer: the only place that decides how a shard's frozen bytes reach the disk, and how many writes are under
//! way at once.

use super::stats::WriteStats;
use crate::disk::uring::UringFile;
use crate::log::{Job, JobDone};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::task::{Context, Poll};

/// Most writes and syncs of a shard in flight; partitions beyond it wait their turn and go on coalescing.
const IN_FLIGHT_MAX: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Committer {
    jobs: FuturesUnordered<LocalBoxFuture<'static, (usize, JobDone)>>,
    pub(super) stats: WriteStats,
}

impl Committer {
    /// Whether another job may start.
    pub(super) fn has_room(&self) -> bool {
        self.jobs.len() < IN_FLIGHT_MAX
    }

    /// Starts a job of the partition in `slot`; it is submitted with the ring's next turn.
    pub(super) fn start(&mut self, slot: usize, job: Job<UringFile>) {
        self.stats.started(job.write_bytes(), job.is_sync(), self.jobs.len() + 1);
        self.stats.overwrites += u64::from(job.is_overwriting());
        self.jobs.push(Box::pin(async move { (slot, job.run().await) }));
    }

    /// The next job that has ended.
    pub(super) fn poll_done(&mut self, context: &mut Context<'_>) -> Option<(usize, JobDone)> {
        match self.jobs.poll_next_unpin(context) {
            Poll::Ready(done) => done,
            Poll::Pending => None,
        }
    }
}
