//! Opening partitions. Each shard gets one list, and all shards work at the same time.

use super::Engine;
use crate::catalog::{Catalog, DamageRecord, DamageRecords, Topic, partition_dir};
use crate::client::OpenTopic;
use crate::clock::boot_id;
use crate::error::{DamageError, OpenError};
use crate::log::{Epochs, Origin};
use crate::num::u32_of;
use crate::shard::{PartitionOpened, PartitionToOpen, Shard};
use crate::types::TopicPartition;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// A partition that was found damaged when the engine was opened.
#[derive(Debug, Clone)]
pub struct DamagedPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset that cannot be fetched.
    pub from_offset: i64,
    /// The fault that was found.
    pub cause: DamageError,
}

/// Partitions of a topic that have to be opened.
pub(super) struct TopicToOpen {
    pub(super) name: String,
    pub(super) topic: Topic,
    /// Numbers of the partitions.
    pub(super) numbers: Range<u32>,
}

impl TopicToOpen {
    /// Returns all partitions of a topic.
    pub(super) const fn whole(name: String, topic: Topic) -> Self {
        let numbers = 0..topic.partitions;
        Self { name, topic, numbers }
    }
}

/// The partitions of a topic that were opened.
#[derive(Default)]
pub(super) struct OpenedTopic {
    /// Shard and slot of each of these partitions, by number.
    pub(super) places: Vec<(usize, usize)>,
    /// The partitions that are damaged.
    pub(super) damaged: Vec<DamagedPartition>,
}

impl Engine {
    /// Opens the catalog and all partitions of all topics.
    pub(super) fn open_topics(&mut self) -> Result<(), OpenError> {
        let (data_dir, shards) = (self.config.data_dir.clone(), self.config.shards);
        let summary = self.shards[0].call(move |shard| async move {
            let catalog = Catalog::open(&shard.context.disk, &data_dir, shards).await?;
            let (id, epoch) = (catalog.meta().id.clone(), catalog.epoch());
            let (points, recorded) = (catalog.recovery_points().clone(), catalog.damage_records().clone());
            let summary = (id, epoch, catalog.topics().clone(), points, recorded);
            shard.own_catalog(catalog).await;
            Ok::<_, OpenError>(summary)
        });
        let (id, epoch, topics, points, recorded) = summary.unwrap_or_else(|| Err(does_not_answer(0)))?;
        (self.id, self.epoch) = (id, epoch);
        let topics: Vec<TopicToOpen> =
            topics.into_iter().map(|(name, topic)| TopicToOpen::whole(name, topic)).collect();
        let boot_id = boot_id();
        let durable_to = |topic_id, partition| {
            let recorded = recorded.get(topic_id, partition).map_or(i64::MIN, DamageRecord::durable_to);
            points.durable_to(topic_id, partition, boot_id).max(recorded)
        };
        let opened = self.open_partitions(&topics, |topic, partition| Origin::Existing {
            durable_to: durable_to(topic.id, partition),
            was_damaged: recorded.get(topic.id, partition).is_some(),
        })?;
        let mut damaged = DamageRecords::default();
        for (TopicToOpen { topic, .. }, opened) in topics.iter().zip(&opened) {
            for DamagedPartition { partition, from_offset, cause } in &opened.damaged {
                let known = durable_to(topic.id, partition.partition);
                let name = (topic.id, partition);
                damaged.add(DamageRecord::new(&self.config.data_dir, name, *from_offset, cause, known));
            }
        }
        self.record_damage(damaged)?;
        for (TopicToOpen { name, topic, .. }, opened) in topics.into_iter().zip(opened) {
            self.damaged.extend(opened.damaged);
            let open = open_topic(topic, opened.places);
            self.topics.write().insert(name, open);
        }
        for (number, shard) in self.shards.iter().enumerate() {
            let data_dir = self.config.data_dir.clone();
            let begun = shard.call(move |shard| async move { shard.keep_points(data_dir, epoch) });
            begun.ok_or_else(|| does_not_answer(number))?;
        }
        self.resume_groups()
    }

    /// Records durably which partitions are damaged. This comes before anything is served: new recovery points may
    /// replace those that show the damage.
    fn record_damage(&self, damaged: DamageRecords) -> Result<(), OpenError> {
        let recorded = self.shards[0].call(move |shard| async move {
            shard.with_catalog(async |disk, catalog| catalog.record_damage(disk, damaged).await).await
        });
        recorded.flatten().ok_or_else(|| does_not_answer(0))?.map_err(OpenError::from)
    }

    /// Opens the partitions of `topics`. If one cannot be opened, none of them stays open.
    pub(super) fn open_partitions(
        &self,
        topics: &[TopicToOpen],
        origin: impl Fn(&Topic, u32) -> Origin,
    ) -> Result<Vec<OpenedTopic>, OpenError> {
        let lists = self.partitions_to_open(topics, origin);
        let begun = lists.into_iter().zip(&self.shards).map(|(list, shard)| {
            let open = move |shard: Rc<Shard>| async move { shard.open_partitions(list).await };
            shard.begin_undoable(open, Shard::end_opened)
        });
        let answers: Vec<_> = begun.collect();
        let mut outcome = Ok(());
        let mut opened = Vec::new();
        // Each answer is waited for, also after an error. So no shard still opens partitions when the others close
        // theirs.
        for (number, answer) in answers.into_iter().enumerate() {
            let partitions = answer.and_then(|answer| answer.wait_or_withdraw().ok());
            opened.push(match partitions.unwrap_or_else(|| Err(does_not_answer(number))) {
                Ok(partitions) => partitions,
                Err(error) => {
                    outcome = outcome.and(Err(error));
                    Vec::new()
                }
            });
        }
        match outcome {
            Ok(()) => Ok(self.by_topic(topics, opened)),
            Err(error) => {
                // At the open of an engine there are many topics, and then the engine ends.
                let name = topics.first().map_or("", |topic| &topic.name);
                for (shard, partitions) in opened.into_iter().enumerate() {
                    let places = partitions.into_iter().map(|partition| (shard, partition.slot));
                    let _ = self.drop_partitions(name, places.collect());
                }
                Err(error)
            }
        }
    }

    /// Returns the partitions of `topics`, a list for each shard.
    fn partitions_to_open(
        &self,
        topics: &[TopicToOpen],
        origin: impl Fn(&Topic, u32) -> Origin,
    ) -> Vec<Vec<PartitionToOpen>> {
        let mut lists: Vec<Vec<PartitionToOpen>> = self.shards.iter().map(|_| Vec::new()).collect();
        for TopicToOpen { name, topic, numbers } in topics {
            let topic_name: Arc<str> = name.as_str().into();
            let epochs = Epochs { current: self.epoch, synced_after: topic.synced_after };
            for partition in numbers.clone() {
                lists[self.shard_of(name, partition)].push(PartitionToOpen {
                    dir: partition_dir(&self.config.data_dir, name, partition),
                    name: TopicPartition { topic: Arc::clone(&topic_name), partition },
                    config: topic.config.clone(),
                    epochs,
                    origin: origin(topic, partition),
                    topic_id: topic.id,
                });
            }
        }
        lists
    }

    /// Sorts the opened partitions by topic. Each shard returns them in the order of its list.
    fn by_topic(&self, topics: &[TopicToOpen], opened: Vec<Vec<PartitionOpened>>) -> Vec<OpenedTopic> {
        let mut opened: Vec<_> = opened.into_iter().map(Vec::into_iter).collect();
        let sorted = topics.iter().map(|TopicToOpen { name, numbers, .. }| {
            let mut sorted = OpenedTopic::default();
            for partition in numbers.clone() {
                let shard = self.shard_of(name, partition);
                let opened = opened[shard].next().expect("a shard opens all of its list, or none");
                sorted.places.push((shard, opened.slot));
                sorted.damaged.extend(opened.damage.map(|damage| {
                    let partition = TopicPartition { topic: name.as_str().into(), partition };
                    let (from_offset, cause) = (damage.from, damage.cause);
                    tracing::error!("partition {partition} is damaged from offset {from_offset} on: {cause}");
                    DamagedPartition { partition, from_offset, cause }
                }));
            }
            sorted
        });
        sorted.collect()
    }
}

/// Returns an open topic whose partitions are at these places: shard and slot by number.
pub(super) fn open_topic(topic: Topic, places: Vec<(usize, usize)>) -> OpenTopic {
    OpenTopic { id: topic.id, created_in: topic.created_in, config: topic.config, places }
}

pub(super) fn does_not_answer(shard: usize) -> OpenError {
    OpenError::Executor { shard: u32_of(shard), reason: "it does not answer".into() }
}
