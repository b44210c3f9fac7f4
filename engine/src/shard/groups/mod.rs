//! The coordinators of a shard. A group belongs to one partition of `__consumer_offsets`, and to the shard that owns that
//! partition.
//!
//! All rules of groups are in `group/`, and `coordinator/` drives them over the partition's log. This code makes a shard the
//! owner of coordinators: it passes requests, acks and times to them, and carries out their appends. A shard without groups has
//! no coordinator, and spends nothing on them.

mod owner;

use super::Shard;
use super::clients::group_messages::GroupCall;
use super::timers::TimerKind;
use crate::config::GroupsConfig;
pub(crate) use crate::coordinator::LivingTopic;
use crate::coordinator::{Coordinator, Owner as _};
use crate::group::{GroupError, Request};
use crate::types::TopicPartition;
use owner::ShardOwner;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// The coordinators of a shard, by the slot of their partition.
#[derive(Default)]
pub(super) struct Coordinators(RefCell<BTreeMap<usize, Rc<ShardCoordinator>>>);

/// Looks up the topic that has a name now. It waits for nothing.
pub(crate) type LivingTopics = Arc<dyn Fn(&str) -> Option<LivingTopic> + Send + Sync>;

type ShardCoordinator = Coordinator<ShardOwner>;

/// A partition of `__consumer_offsets` whose groups a shard is to serve.
pub(crate) struct CoordinatorToStart {
    pub(crate) slot: usize,
    pub(crate) name: TopicPartition,
}

impl Shard {
    /// Begins to serve the groups of partitions of `__consumer_offsets`. Their records are read in the background. Until
    /// then requests are answered with `COORDINATOR_LOAD_IN_PROGRESS`. A partition whose groups are served already is left
    /// alone, so that the call can be repeated.
    pub(crate) fn start_coordinators(
        self: &Rc<Self>,
        starts: Vec<CoordinatorToStart>,
        partitions: u32,
        config: &GroupsConfig,
        topics: &LivingTopics,
    ) {
        for CoordinatorToStart { slot, name } in starts {
            if self.open_at(slot).is_none() || self.coordinator(slot).is_some() {
                continue;
            }
            let owner = ShardOwner::new(Rc::clone(self), slot, Arc::clone(topics));
            let coordinator = Coordinator::new(owner, name, partitions, config);
            self.coordinators.0.borrow_mut().insert(slot, Rc::clone(&coordinator));
            self.spawn(Box::pin(owner::take_acks(Rc::clone(&coordinator))));
            coordinator.owner().spawn(Box::pin(Rc::clone(&coordinator).load()));
        }
    }

    fn coordinator(&self, slot: usize) -> Option<Rc<ShardCoordinator>> {
        self.coordinators.0.borrow().get(&slot).cloned()
    }

    /// Handles a request to a coordinator.
    pub(super) fn group_call(&self, call: GroupCall) {
        let coordinator =
            self.coordinator(call.slot).filter(|coordinator| coordinator.coordinates(&call.body));
        let Some(coordinator) = coordinator else {
            call.refuse(GroupError::NotCoordinator);
            return;
        };
        if let Some(damage) = coordinator.damage() {
            call.reply.send(Err(damage));
            return;
        }
        let GroupCall { client, api_version, body, reply, .. } = call;
        let token = coordinator.owner().add_caller(reply);
        coordinator.handle(Request { token, client, api_version, body });
    }

    /// Removes the committed offsets of a topic that was deleted, and waits until that is durable or has failed. Returns whether
    /// none is left.
    pub(crate) async fn forget_topic(&self, topic: String) -> bool {
        let coordinators: Vec<_> = self.coordinators.0.borrow().values().cloned().collect();
        let works = coordinators.into_iter().map(|coordinator| coordinator.forget_topic(topic.clone()));
        futures_util::future::join_all(works).await.into_iter().all(|is_done| is_done)
    }

    /// Ends the sessions, rebalances and offsets whose time has come. Called at the partition's timer.
    pub(super) fn tick_groups(&self, slot: usize) {
        if let Some(coordinator) = self.coordinator(slot) {
            coordinator.tick();
        }
    }

    /// Waits until the compactions that are under way have ended. Otherwise an engine that is closed soon after each open would
    /// never get rid of its old segments.
    pub(super) async fn end_compactions(&self) {
        let coordinators: Vec<_> =
            self.coordinators.0.borrow().iter().map(|(slot, it)| (*slot, Rc::clone(it))).collect();
        for (slot, coordinator) in coordinators {
            while coordinator.is_compacting() && coordinator.owner().may_write() {
                self.list(slot);
                super::next_turn().await;
                if self.is_out_of_memory(slot) {
                    break;
                }
            }
        }
    }

    /// Ends the coordinator of a partition that has closed. Requests that still wait are answered with `NOT_COORDINATOR`.
    pub(super) fn end_coordinator(&self, slot: usize) {
        let Some(coordinator) = self.coordinators.0.borrow_mut().remove(&slot) else { return };
        // The log's last acks first: what is stored is answered so.
        owner::pass_acks(&coordinator);
        coordinator.end();
        coordinator.owner().end();
    }

    /// Drops all coordinators. Nothing is answered: the shard has ended.
    pub(super) fn drop_coordinators(&self) {
        self.coordinators.0.borrow_mut().clear();
    }

    /// Sets the time of the next tick. An earlier one stays, and sets the next when it comes.
    fn set_group_timer(&self, slot: usize, at: std::time::Instant) {
        if let Some(partition) = self.partition(slot) {
            self.timers.set(slot, &partition.timers, TimerKind::Groups, at);
        }
    }
}
