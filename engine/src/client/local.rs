//! What a colocated task holds of its shard: handles without a hop, and its time.

use super::port::Local;
use super::{Consumer, ConsumerConfig, OpenTopic, Place, Producer, ProducerConfig, Route, Topics};
use crate::clock::after;
use crate::error::LocalError;
use crate::num::{u32_of, usize_of};
use crate::shard::{LocalLanes, Sleep, next_turn};
use crate::types::{ConsumerPosition, TopicPartition};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A [`Producer`] of one shard's partitions, on that shard's thread. Not Send.
pub type LocalProducer = Producer<Local>;

/// A [`Consumer`] of one shard's partitions, on that shard's thread. Not Send.
pub type LocalConsumer = Consumer<Local>;

/// The shard a colocated task runs on ([`Engine::run_on`](crate::engine::Engine::run_on)). Not Send; clones are the same.
///
/// What its handles take and give goes no way at all: the shard finds it in the same turn. Everything else is as with
/// remote handles: the same bound on what may wait, the same order of acks, the same errors. Memory that a task never
/// gives back, and time that it never yields, are the whole shard's.
#[derive(Debug, Clone)]
pub struct LocalShard {
    lanes: Rc<LocalLanes>,
    topics: Arc<Topics>,
}

impl LocalShard {
    pub(crate) const fn new(lanes: Rc<LocalLanes>, topics: Arc<Topics>) -> Self {
        Self { lanes, topics }
    }

    /// Its number.
    pub fn shard(&self) -> u32 {
        self.lanes.mailbox.shard
    }

    /// The partitions of a topic that live here.
    ///
    /// # Errors
    /// [`LocalError::Unknown`].
    pub fn partitions(&self, topic: &str) -> Result<Vec<u32>, LocalError> {
        let places = self.topic(topic)?.places;
        Ok((0..)
            .zip(places)
            .filter(|(_, (shard, _))| self.is_here(*shard))
            .map(|(number, _)| number)
            .collect())
    }

    /// A producer of those partitions of a topic that live here. Its partitioner keeps to them, but for keys: those
    /// hash over all partitions, as everywhere, and a record whose key belongs elsewhere is refused.
    ///
    /// # Errors
    /// [`LocalError`]; `NotOwner` if none of them lives here.
    pub fn producer(&self, topic: &str, config: ProducerConfig) -> Result<LocalProducer, LocalError> {
        config.validate().map_err(LocalError::Config)?;
        let places = self.topic(topic)?.places;
        if let Some((shard, _)) = places.first()
            && !places.iter().any(|(shard, _)| self.is_here(*shard))
        {
            return Err(LocalError::NotOwner { partition: named(topic, 0), shard: u32_of(*shard) });
        }
        let place = |(shard, slot)| match self.route(shard, slot) {
            Some(route) => Place::Here(route),
            None => Place::Elsewhere(u32_of(shard)),
        };
        Ok(Producer::new(config, places.into_iter().map(place).collect()))
    }

    /// A consumer of (topic, partition, first offset) each, all of which live here. Instead of an offset there may be a saved
    /// [`ConsumerPosition`], as with [`Engine::consumer`](crate::engine::Engine::consumer).
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
            let name = named(topic, partition);
            let (shard, slot) = place.ok_or_else(|| LocalError::Unknown(name.to_string()))?;
            match self.route(shard, slot) {
                Some(route) => Ok((name, route, position.into())),
                None => Err(LocalError::NotOwner { partition: name, shard: u32_of(shard) }),
            }
        });
        Ok(Consumer::new(config, assigned.collect::<Result<Vec<_>, LocalError>>()?))
    }

    /// Comes back after `duration`, and the shard's turn under way.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(after(Instant::now(), duration))
    }

    /// Comes back at `until`, or at once if that has passed.
    pub fn sleep_until(&self, until: Instant) -> Sleep {
        self.lanes.sleep_until(until)
    }

    /// Lets the shard have its turn, and comes back after it.
    pub fn yield_now(&self) -> impl Future<Output = ()> + use<> {
        next_turn()
    }

    fn topic(&self, name: &str) -> Result<OpenTopic, LocalError> {
        self.topics.get(name).ok_or_else(|| LocalError::Unknown(name.to_owned()))
    }

    fn is_here(&self, shard: usize) -> bool {
        u32_of(shard) == self.shard()
    }

    fn route(&self, shard: usize, slot: usize) -> Option<Route<Local>> {
        self.is_here(shard).then(|| Route { port: Local { lanes: Rc::clone(&self.lanes) }, slot })
    }
}

fn named(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}
