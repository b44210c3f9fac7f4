//! Load on the shards' own threads: which producer and consumer is at home where, and how their clients get there.
//!
//! Number `n` of a topic's producers, or of a group's consumers, is at home on the shard that holds the topic's partition
//! `n`, and keeps to the partitions there; further producers begin again at partition 0.

use super::load_thread::{LoadOutcome, LoadPlan, LoadThread, Start};
use crate::num;
use crate::system;
use crate::system::{Joined, LocalSystem, System};
use crate::time::clock::TrialClock;
use crossbeam::channel::{Receiver, bounded};
use futures_util::FutureExt as _;
use std::rc::Rc;

/// Where the partitions of a topic are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Homes {
    /// The shard of each partition; all on one where nobody needs to be anywhere.
    shards: Vec<u32>,
}

impl Homes {
    /// By partition.
    pub fn new(shards: Vec<u32>) -> Self {
        Self { shards }
    }

    /// The shard of producer or consumer `number`.
    pub fn shard_of(&self, number: u32) -> u32 {
        self.shards[num::index(number) % self.shards.len()]
    }

    /// The partitions of a shard.
    pub fn partitions_of(&self, shard: u32) -> Vec<u32> {
        (0..).zip(&self.shards).filter(|(_, at)| **at == shard).map(|(partition, _)| partition).collect()
    }

    /// What consumer `number` of `members` reads: a shard's partitions are dealt out in turn among its members.
    pub fn assigned(&self, number: u32, members: u32) -> Vec<u32> {
        let shard = self.shard_of(number);
        let peers: Vec<u32> = (0..members).filter(|peer| self.shard_of(*peer) == shard).collect();
        let own = self.partitions_of(shard);
        let turn = |index: usize| peers[index % peers.len()];
        (0..).zip(own).filter(|(index, _)| turn(*index) == number).map(|(_, partition)| partition).collect()
    }
}

/// A shard's load at work.
pub(crate) struct ShardLoad {
    outcome: Receiver<LoadOutcome>,
    joined: Joined,
}

impl ShardLoad {
    /// Has `shard` run the plan.
    pub(crate) fn begin(
        target: &dyn System,
        shard: u32,
        plan: LoadPlan,
        start: Start<TrialClock>,
    ) -> anyhow::Result<Self> {
        let (report, outcome) = bounded(1);
        let work = move |local: Rc<dyn LocalSystem>| {
            async move {
                let shared = std::sync::Arc::clone(&plan.shared);
                let ran = match LoadThread::colocated(plan, start, &*local) {
                    Ok((thread, sleeper)) => thread.run_colocated(&*local, &sleeper).await,
                    Err(error) => {
                        shared.give_up();
                        LoadOutcome::failed(error)
                    }
                };
                // Whoever waits for it may be gone, as the trial is.
                let _ = report.send(ran);
            }
            .boxed_local()
        };
        let joined = system::inside(target)?.colocate(shard, Box::new(work))?;
        Ok(Self { outcome, joined })
    }

    /// What came of it. A task that ended otherwise is an error of the trial.
    pub(crate) fn end(self) -> LoadOutcome {
        let joined = (self.joined)();
        match (self.outcome.try_recv(), joined) {
            (Ok(outcome), _) => outcome,
            (Err(_), Err(error)) => LoadOutcome::failed(error),
            (Err(_), Ok(())) => LoadOutcome::failed(anyhow::anyhow!("the shard's load ended without a word")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_at_home_with_a_partition_and_every_partition_is_read_once() {
        for (partitions, shards, first) in [(1, 1, 0), (1, 2, 1), (3, 2, 1), (4, 2, 0), (7, 3, 2), (2, 4, 3)]
        {
            let homes = Homes::new((0..partitions).map(|partition| (first + partition) % shards).collect());
            for members in shards.min(partitions)..=partitions {
                let mut read = Vec::new();
                for number in 0..members {
                    let own = homes.assigned(number, members);
                    assert!(!own.is_empty(), "{homes:?}, {number} of {members}");
                    assert!(
                        own.iter()
                            .all(|partition| homes.partitions_of(homes.shard_of(number)).contains(partition))
                    );
                    read.extend(own);
                }
                read.sort_unstable();
                assert_eq!(read, (0..partitions).collect::<Vec<_>>(), "{homes:?} among {members}");
            }
        }
        let homes = Homes::new(vec![1, 0, 1]);
        assert_eq!((homes.shard_of(4), homes.partitions_of(1)), (0, vec![0, 2]));
    }
}
