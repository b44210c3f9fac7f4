//! The handles of a colocated task: producers and consumers of its own shard, and sleeps.

use super::port::Local;
use super::{Consumer, ConsumerConfig, LocalDirectory, OpenTopic, Producer, ProducerConfig, Topics};
use crate::clock::after;
use crate::error::LocalError;
use crate::num::{u32_of, usize_of};
use crate::shard::{LocalQueues, OFFSETS_TOPIC, Sleep, next_turn};
use crate::types::{ConsumerPosition, TopicPartition};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A [`Producer`] of one shard's partitions, on that shard's thread. Not Send.
pub type LocalProducer = Producer<Local>;

/// A [`Consumer`] of one shard's partitions, on that shard's thread. Not Send.
pub type LocalConsumer = Consumer<Local>;

/// The shard on which a colocated task runs ([`Engine::run_on`](crate::engine::Engine::run_on)). Not Send. Clones stand
/// for the same shard.
///
/// Its handles bypass the mailbox: requests and replies are exchanged within the same turn of the shard. All else is as
/// with remote handles: the same bound on waiting bytes, the same order of acks, the same errors. A task shares the
/// shard's memory and its thread. Memory that the task never returns, and time for which it does not yield, are missing
/// to the whole shard.
#[derive(Debug, Clone)]
pub struct LocalShard {
    directory: LocalDirectory,
}

impl LocalShard {
    pub(crate) const fn new(queues: Rc<LocalQueues>, topics: Arc<Topics>) -> Self {
        Self { directory: LocalDirectory { topics, queues } }
    }

    /// Returns the shard's number.
    pub fn shard(&self) -> u32 {
        self.directory.queues.mailbox.shard
    }

    /// Returns the numbers of the partitions of a topic that this shard owns.
    ///
    /// # Errors
    /// [`LocalError::Unknown`].
    pub fn partitions(&self, topic: &str) -> Result<Vec<u32>, LocalError> {
        let places = self.topic(topic)?.places;
        Ok((0..)
            .zip(places)
            .filter(|(_, (shard, _))| self.is_own(*shard))
            .map(|(number, _)| number)
            .collect())
    }

    /// Makes a producer of the partitions of a topic that this shard owns. Its partitioner chooses only among them,
    /// except for keys: a key hashes over all partitions of the topic, and a record whose key belongs to another shard
    /// is refused.
    ///
    /// # Errors
    /// [`LocalError`]; `NotOwner` if this shard owns none of the partitions.
    pub fn producer(&self, topic: &str, config: ProducerConfig) -> Result<LocalProducer, LocalError> {
        config.validate().map_err(LocalError::Config)?;
        if topic == OFFSETS_TOPIC {
            return Err(LocalError::Internal(topic.to_owned()));
        }
        let places = self.topic(topic)?.places;
        if let Some((shard, _)) = places.first()
            && !places.iter().any(|(shard, _)| self.is_own(*shard))
        {
            return Err(LocalError::NotOwner { partition: topic_partition(topic, 0), shard: u32_of(*shard) });
        }
        let producer = Producer::new(config, topic, self.directory.clone());
        producer.ok_or_else(|| LocalError::Unknown(topic.to_owned()))
    }

    /// Makes a consumer of a list of (topic, partition, first offset). This shard has to own all of them. Instead of an
    /// offset there may be a saved [`ConsumerPosition`], as with [`Engine::consumer`](crate::engine::Engine::consumer).
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn consumer<'a, P: Into<ConsumerPosition>>(
        &self,
        assignment: impl IntoIterator<Item = (&'a str, u32, P)>,
        config: ConsumerConfig,
    ) -> Result<LocalConsumer, LocalError> {
        let assigned = assignment.into_iter().map(|(topic, partition, position)| {
            let place = self.topic(topic)?.places.get(usize_of(u64::from(partition))).copied();
            let name = topic_partition(topic, partition);
            let place = place.ok_or_else(|| LocalError::Unknown(name.to_string()))?;
            match self.directory.route(place) {
                Some(route) => Ok((name, route, position.into())),
                None => Err(LocalError::NotOwner { partition: name, shard: u32_of(place.0) }),
            }
        });
        Ok(Consumer::new(config, assigned.collect::<Result<Vec<_>, LocalError>>()?))
    }

    /// Returns a future that resolves after `duration`, when the shard's current turn has ended.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(after(Instant::now(), duration))
    }

    /// Returns a future that resolves at `until`, or at once if that has passed.
    pub fn sleep_until(&self, until: Instant) -> Sleep {
        self.directory.queues.sleep_until(until)
    }

    /// Returns a future that lets the shard do its own work, and resolves in the shard's next turn.
    pub fn yield_now(&self) -> impl Future<Output = ()> + use<> {
        next_turn()
    }

    fn topic(&self, name: &str) -> Result<OpenTopic, LocalError> {
        self.directory.topics.get(name).ok_or_else(|| LocalError::Unknown(name.to_owned()))
    }

    fn is_own(&self, shard: usize) -> bool {
        u32_of(shard) == self.shard()
    }
}

fn topic_partition(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}
