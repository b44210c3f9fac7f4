//! Consumer groups: the internal topic that holds their records, and the handles of callers.

use super::Engine;
use super::open::does_not_answer;
use crate::client::{
    GroupAdmin, GroupClients, GroupConsumer, GroupConsumerConfig, GroupsError, Heartbeats, OpenTopic,
    Subscribe,
};
use crate::error::{OpenError, TopicError};
use crate::num::u32_of;
use crate::shard::{CoordinatorToStart, LivingTopic, LivingTopics, OFFSETS_TOPIC};
use crate::types::TopicPartition;
use std::sync::{Arc, MutexGuard, PoisonError};

/// State of an engine that serves groups.
pub(super) struct OpenGroups {
    heartbeats: Heartbeats,
}

/// Refuses a change of an internal topic.
pub(super) fn refuse_internal(topic: &str) -> Result<(), TopicError> {
    if topic == OFFSETS_TOPIC { Err(TopicError::Internal(topic.to_owned())) } else { Ok(()) }
}

impl Engine {
    /// Makes a consumer that is a member of a group. It joins at its first poll.
    ///
    /// The first use of a group creates the internal topic `__consumer_offsets`, and blocks until that is done. An engine
    /// without groups has no such topic, and pays nothing for groups.
    ///
    /// # Errors
    /// [`GroupsError`]: the configuration cannot work, the group id is empty, or the internal topic cannot be created.
    pub fn group_consumer(
        &self,
        config: GroupConsumerConfig,
        subscribe: Subscribe,
    ) -> Result<GroupConsumer, GroupsError> {
        self.group_clients()?.consumer(config, subscribe)
    }

    /// Returns a handle that makes consumers in groups, also on other threads. As [`Engine::group_consumer`], it creates the
    /// internal topic if there is none.
    ///
    /// # Errors
    /// [`GroupsError`]: the internal topic cannot be created.
    pub fn group_clients(&self) -> Result<GroupClients, GroupsError> {
        let heartbeats = self.open_groups()?;
        Ok(GroupClients::new(self.directory.clone(), heartbeats))
    }

    /// Returns access to all groups: to list, describe and delete them, and to their offsets. As
    /// [`Engine::group_consumer`], it creates the internal topic if there is none.
    ///
    /// # Errors
    /// [`GroupsError`]: the internal topic cannot be created.
    pub fn group_admin(&self) -> Result<GroupAdmin, GroupsError> {
        self.open_groups()?;
        Ok(GroupAdmin::new(self.directory.clone()))
    }

    fn groups(&self) -> MutexGuard<'_, Option<OpenGroups>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the internal topic, and begins to serve groups, unless that is done.
    fn open_groups(&self) -> Result<Heartbeats, GroupsError> {
        let mut groups = self.groups();
        if let Some(open) = &*groups {
            return Ok(open.heartbeats.clone());
        }
        // An earlier call may have created the topic, and then had no answer from a shard.
        if self.topics.get(OFFSETS_TOPIC).is_none() {
            let config = &self.config.groups;
            self.create_any_topic(OFFSETS_TOPIC, config.offsets_topic_partitions, config.topic())?;
        }
        let open = self.start_coordinators()?;
        Ok(groups.insert(open).heartbeats.clone())
    }

    /// Serves the groups of an earlier open, if there were any. Their records are read in the background.
    pub(super) fn resume_groups(&self) -> Result<(), OpenError> {
        if self.topics.get(OFFSETS_TOPIC).is_some() {
            *self.groups() = Some(self.start_coordinators()?);
        }
        Ok(())
    }

    /// Removes the committed offsets of a topic that was deleted, durably.
    ///
    /// # Errors
    /// [`TopicError::OffsetsLeft`]: an offset cannot be removed, because the log of its group takes no records.
    /// [`TopicError::ShardStuck`].
    pub(super) fn forget_offsets(&self, topic: &str) -> Result<(), TopicError> {
        if self.topics.get(OFFSETS_TOPIC).is_none() {
            return Ok(());
        }
        let begun: Vec<_> = (self.shards.iter())
            .map(|shard| {
                let topic = topic.to_owned();
                shard.begin(move |shard| async move { shard.forget_topic(topic).await })
            })
            .collect();
        // The shards work at the same time.
        let mut outcome = Ok(());
        for (number, call) in begun.into_iter().enumerate() {
            match call.and_then(|call| call.wait()) {
                Some(true) => {}
                Some(false) => {
                    outcome = outcome.and_then(|()| Err(TopicError::OffsetsLeft(topic.to_owned())))
                }
                None => outcome = Err(TopicError::ShardStuck { shard: u32_of(number) }),
            }
        }
        outcome
    }

    /// Has each shard serve the groups of its partitions of the internal topic.
    fn start_coordinators(&self) -> Result<OpenGroups, OpenError> {
        let places = self.topics.get(OFFSETS_TOPIC).map(|topic| topic.places).unwrap_or_default();
        let name: Arc<str> = OFFSETS_TOPIC.into();
        for (number, shard) in self.shards.iter().enumerate() {
            let of_shard = (0..).zip(&places).filter(|(_, (owner, _))| *owner == number);
            let start = |(partition, (_, slot)): (u32, &(usize, usize))| CoordinatorToStart {
                slot: *slot,
                name: TopicPartition { topic: Arc::clone(&name), partition },
            };
            let (starts, count) = (of_shard.map(start).collect(), u32_of(places.len()));
            let config = self.config.groups.clone();
            let topics = Arc::clone(&self.topics);
            let living = |topic: &OpenTopic| LivingTopic { id: topic.id, created_in: topic.created_in };
            let living_topics: LivingTopics = Arc::new(move |name| topics.read().get(name).map(living));
            let started = shard.call(move |shard| async move {
                shard.start_coordinators(starts, count, &config, &living_topics);
            });
            started.ok_or_else(|| does_not_answer(number))?;
        }
        let heartbeats = Heartbeats::start().map_err(|error| OpenError::Config(error.to_string()))?;
        Ok(OpenGroups { heartbeats })
    }
}
