//! The choice of the partition of each record. It is made here and not by the system's client, because each record
//! carries its number within its partition, and so that every system gets the same load.

use crate::num;
use crate::workload::KeyDistribution;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::Arc;
use vnotch_engine::record::murmur2;

/// Number of different keys, as in OpenMessaging Benchmark.
const KEYS: u32 = 10_000;

/// The keys of a run and the partition of each.
#[derive(Debug)]
pub struct Keys {
    /// Each key and its partition.
    placed: Vec<(u32, u32)>,
    /// Sums of the chances of the keys up to this one. Empty if all keys have the same chance.
    cumulative: Vec<f64>,
}

impl Keys {
    /// Makes the keys whose partitions are in `own`. Keys are spread over `partitions` as Kafka's default partitioner
    /// spreads them. The chances of two keys have the same ratio as among all keys.
    ///
    /// # Errors
    /// None of the keys belongs to a partition in `own`.
    pub fn new(distribution: KeyDistribution, partitions: u32, own: &[u32]) -> anyhow::Result<Self> {
        let place = |key| (key, (murmur2(&key_bytes(key)).cast_unsigned() & 0x7FFF_FFFF) % partitions);
        let placed: Vec<(u32, u32)> =
            (0..KEYS).map(place).filter(|(_, partition)| own.contains(partition)).collect();
        anyhow::ensure!(!placed.is_empty(), "none of the {KEYS} keys belongs to one of partitions {own:?}");
        let cumulative = match distribution {
            KeyDistribution::Zipf(exponent) => {
                let mut sum = 0.0;
                let chances = placed.iter().map(|(key, _)| f64::from(key + 1).powf(-exponent));
                chances
                    .map(|chance| {
                        sum += chance;
                        sum
                    })
                    .collect()
            }
            KeyDistribution::None | KeyDistribution::RoundRobin | KeyDistribution::Uniform => Vec::new(),
        };
        Ok(Self { placed, cumulative })
    }

    /// Draws a key at random. Returns it with its partition.
    fn draw(&self, rng: &mut SmallRng) -> (u32, u32) {
        let last = self.placed.len() - 1;
        let Some(total) = self.cumulative.last() else { return self.placed[rng.random_range(0..=last)] };
        let point = rng.random::<f64>() * total;
        self.placed[self.cumulative.partition_point(|sum| *sum <= point).min(last)]
    }
}

fn key_bytes(key: u32) -> [u8; 8] {
    u64::from(key).to_be_bytes()
}

/// A producer's choice of partitions.
#[derive(Debug)]
pub struct Partitioner {
    /// The partitions to choose from.
    own: Vec<u32>,
    /// Index into `own` of the current partition.
    next: usize,
    choice: Choice,
}

#[derive(Debug)]
enum Choice {
    /// Stay on a partition until the batch is closed.
    Sticky,
    /// Use the partitions in turn, one record each.
    RoundRobin,
    /// Draw a key for each record. `drawn` is the key of the next record and its partition, once it is drawn.
    Keyed { keys: Arc<Keys>, rng: SmallRng, drawn: Option<(u32, u32)> },
}

/// The partition of a record, and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The partition.
    pub partition: u32,
    /// The bytes of the key, if records have keys.
    pub key: Option<[u8; 8]>,
}

impl Partitioner {
    /// Makes a choice among the partitions in `own`. Each producer begins at a partition of its own, so that producers
    /// do not use the same partition at the same time.
    pub fn new(
        distribution: KeyDistribution,
        keys: &Arc<Keys>,
        own: Vec<u32>,
        producer: u32,
        seed: u64,
    ) -> Self {
        let choice = match distribution {
            KeyDistribution::None => Choice::Sticky,
            KeyDistribution::RoundRobin => Choice::RoundRobin,
            KeyDistribution::Uniform | KeyDistribution::Zipf(_) => Choice::Keyed {
                keys: Arc::clone(keys),
                rng: SmallRng::seed_from_u64(
                    seed ^ (u64::from(producer) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
                ),
                drawn: None,
            },
        };
        Self { next: num::index(producer) % own.len(), own, choice }
    }

    /// Returns the partition and key of the next record. They stay the same until [`Self::sent`], so that a refused
    /// record is offered again unchanged.
    pub fn destination(&mut self) -> Destination {
        match &mut self.choice {
            Choice::Sticky | Choice::RoundRobin => Destination { partition: self.own[self.next], key: None },
            Choice::Keyed { keys, rng, drawn } => {
                let (key, partition) = *drawn.get_or_insert_with(|| keys.draw(rng));
                Destination { partition, key: Some(key_bytes(key)) }
            }
        }
    }

    /// Notes that the system has accepted the record for [`Self::destination`].
    pub fn sent(&mut self) {
        match &mut self.choice {
            Choice::Sticky => {}
            Choice::RoundRobin => self.use_next_partition(),
            Choice::Keyed { drawn, .. } => *drawn = None,
        }
    }

    /// Returns whether records go to one partition until the batch is closed.
    pub fn is_sticky(&self) -> bool {
        matches!(self.choice, Choice::Sticky)
    }

    /// Returns the size of each record's key in bytes; 0 if records have no keys.
    pub fn key_bytes(&self) -> u64 {
        if matches!(self.choice, Choice::Keyed { .. }) { 8 } else { 0 }
    }

    /// Notes that the open batch is closed. Without keys, the next batch goes to another partition.
    pub fn batch_closed(&mut self) {
        if self.is_sticky() {
            self.use_next_partition();
        }
    }

    /// Returns the largest number of batches that are open at once.
    pub fn open_batches_max(&self) -> u32 {
        if self.is_sticky() { 1 } else { num::low_u32(num::count(self.own.len())) }
    }

    fn use_next_partition(&mut self) {
        self.next = if self.next + 1 == self.own.len() { 0 } else { self.next + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [u32; 4] = [0, 1, 2, 3];

    fn partitions_of(distribution: KeyDistribution, count: usize) -> Vec<u32> {
        let keys = Arc::new(Keys::new(distribution, 4, &ALL).unwrap());
        let mut partitioner = Partitioner::new(distribution, &keys, ALL.into(), 1, 42);
        let send = |_| {
            let partition = partitioner.destination().partition;
            assert_eq!(partitioner.destination().partition, partition, "a refused record stays where it was");
            partitioner.sent();
            partition
        };
        (0..count).map(send).collect()
    }

    #[test]
    fn sticky_stays_until_the_batch_is_closed() {
        let keys = Arc::new(Keys::new(KeyDistribution::None, 4, &ALL).unwrap());
        let mut partitioner = Partitioner::new(KeyDistribution::None, &keys, ALL.into(), 3, 42);
        assert_eq!([partitioner.destination().partition, partitioner.destination().partition], [3, 3]);
        partitioner.batch_closed();
        assert_eq!(partitioner.destination().partition, 0);
    }

    #[test]
    fn round_robin_takes_every_partition_in_turn() {
        assert_eq!(partitions_of(KeyDistribution::RoundRobin, 5), [1, 2, 3, 0, 1]);
    }

    #[test]
    fn a_producer_that_keeps_to_some_partitions_sends_only_their_keys() {
        let all = Keys::new(KeyDistribution::Uniform, 4, &ALL).unwrap();
        for distribution in
            [KeyDistribution::Uniform, KeyDistribution::Zipf(1.1), KeyDistribution::RoundRobin]
        {
            let keys = Arc::new(Keys::new(distribution, 4, &[1, 3]).unwrap());
            let mut partitioner = Partitioner::new(distribution, &keys, vec![1, 3], 0, 42);
            for _ in 0..1000 {
                let Destination { partition, key } = partitioner.destination();
                partitioner.sent();
                let same = |(number, at): &(u32, u32)| key == Some(key_bytes(*number)) && *at == partition;
                assert!([1, 3].contains(&partition) && (key.is_none() || all.placed.iter().any(same)));
            }
        }
        assert!(Keys::new(KeyDistribution::Uniform, 100_000_000, &[7]).is_err());
    }

    #[test]
    fn uniform_keys_reach_every_partition_about_equally() {
        let seen = partitions_of(KeyDistribution::Uniform, 4000);
        for partition in 0..4 {
            let share = seen.iter().filter(|p| **p == partition).count();
            assert!((850..1150).contains(&share), "{share}");
        }
    }

    #[test]
    fn the_first_zipf_key_is_the_most_frequent() {
        let keys = Keys::new(KeyDistribution::Zipf(1.1), 4, &ALL).unwrap();
        let mut rng = SmallRng::seed_from_u64(1);
        let drawn: Vec<u32> = (0..10_000).map(|_| keys.draw(&mut rng).0).collect();
        let count_of = |key| drawn.iter().filter(|k| **k == key).count();
        assert!(count_of(0) > count_of(1) && count_of(1) > count_of(10));
    }
}
