//! Load on the shards' own threads: the shard of each producer and consumer, and how their clients are made there.
//!
//! Producer number `n` of a topic runs on the shard that holds the topic's partition `n`, and sends only to partitions
//! of that shard. Further producers begin again at partition 0. The same holds for the consumers of a group.

use super::load_thread::{LoadOutcome, LoadPlan, LoadThread, Start};
use crate::num;
use crate::system::{Joined, LocalSystem, System};
use crate::time::clock::TrialClock;
use crossbeam::channel::{Receiver, bounded};
use futures_util::FutureExt as _;
use std::rc::Rc;

/// The shard of each partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionShards {
    /// The shard of each partition. All are 0 if load need not run on a shard.
    shards: Vec<u32>,
}

impl PartitionShards {
    /// Makes the map from the shard of each partition.
    pub fn new(shards: Vec<u32>) -> Self {
        Self { shards }
    }

    /// Returns the shard that producer or consumer `number` runs on.
    pub fn shard_of(&self, number: u32) -> u32 {
        self.shards[num::index(number) % self.shards.len()]
    }

    /// Returns the partitions of a shard.
    pub fn partitions_of(&self, shard: u32) -> Vec<u32> {
        (0..).zip(&self.shards).filter(|(_, at)| **at == shard).map(|(partition, _)| partition).collect()
    }

    /// Returns the partitions that consumer `number` of `members` reads. A shard's partitions are assigned in turn to
    /// the consumers on that shard.
    pub fn assigned(&self, number: u32, members: u32) -> Vec<u32> {
        let shard = self.shard_of(number);
        let peers: Vec<u32> = (0..members).filter(|peer| self.shard_of(*peer) == shard).collect();
        let own = self.partitions_of(shard);
        let reader = |index: usize| peers[index % peers.len()];
        (0..).zip(own).filter(|(index, _)| reader(*index) == number).map(|(_, partition)| partition).collect()
    }
}

/// The running load of one shard.
pub(crate) struct ShardLoad {
    outcome: Receiver<LoadOutcome>,
    joined: Joined,
}

impl ShardLoad {
    /// Starts the load of `plan` on the thread of `shard`.
    pub(crate) fn begin(
        system: &dyn System,
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
                // The send fails if the receiver was dropped, because the trial has ended.
                let _ = report.send(ran);
            }
            .boxed_local()
        };
        let joined = system.colocate(shard, Box::new(work))?;
        Ok(Self { outcome, joined })
    }

    /// Waits for the end of the load and returns its outcome. A task that ended without an outcome is an error of the
    /// trial.
    pub(crate) fn end(self) -> LoadOutcome {
        let joined = (self.joined)();
        match (self.outcome.try_recv(), joined) {
            (Ok(outcome), _) => outcome,
            (Err(_), Err(error)) => LoadOutcome::failed(error),
            (Err(_), Ok(())) => {
                LoadOutcome::failed(anyhow::anyhow!("the load on a shard ended without a result"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_consumer_has_a_partition_and_every_partition_is_read_once() {
        for (partitions, shards, first) in [(1, 1, 0), (1, 2, 1), (3, 2, 1), (4, 2, 0), (7, 3, 2), (2, 4, 3)]
        {
            let map =
                PartitionShards::new((0..partitions).map(|partition| (first + partition) % shards).collect());
            for members in shards.min(partitions)..=partitions {
                let mut read = Vec::new();
                for number in 0..members {
                    let own = map.assigned(number, members);
                    assert!(!own.is_empty(), "{map:?}, {number} of {members}");
                    assert!(
                        own.iter()
                            .all(|partition| map.partitions_of(map.shard_of(number)).contains(partition))
                    );
                    read.extend(own);
                }
                read.sort_unstable();
                assert_eq!(read, (0..partitions).collect::<Vec<_>>(), "{map:?} among {members}");
            }
        }
        let map = PartitionShards::new(vec![1, 0, 1]);
        assert_eq!((map.shard_of(4), map.partitions_of(1)), (0, vec![0, 2]));
    }
}
