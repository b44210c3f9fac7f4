//! The coordinators of a shard. A group belongs to one partition of `__consumer_offsets`, and to the shard that owns that
//! partition.
//!
//! All rules of groups are in `group/`, and `coordinator/` drives them over the partition's log. This code makes a shard the
//! owner of coordinators: it passes requests, acks and times to them, and carries out their appends. A shard without groups has
//! no coordinator, and spends nothing on them.

mod due;
mod owner;

use super::Shard;
use super::clients::group_messages::GroupCall;
use super::timers::TimerKind;
use crate::config::GroupsConfig;
pub(crate) use crate::coordinator::LivingTopic;
use crate::coordinator::{Coordinator, Owner as _};
use crate::group::{GroupError, Request};
use crate::types::TopicPartition;
use due::DueTicks;
use owner::ShardOwner;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The coordinators of a shard.
#[derive(Default)]
pub(super) struct Coordinators {
    /// The coordinators by the slot of their partition.
    by_slot: RefCell<BTreeMap<usize, Rc<ShardCoordinator>>>,
    due_ticks: DueTicks,
}

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
            self.coordinators.by_slot.borrow_mut().insert(slot, Rc::clone(&coordinator));
            self.spawn(Box::pin(owner::take_acks(Rc::clone(&coordinator))));
            coordinator.owner().spawn(Box::pin(Rc::clone(&coordinator).load()));
        }
    }

    fn coordinator(&self, slot: usize) -> Option<Rc<ShardCoordinator>> {
        self.coordinators.by_slot.borrow().get(&slot).cloned()
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
        let coordinators: Vec<_> = self.coordinators.by_slot.borrow().values().cloned().collect();
        let works = coordinators.into_iter().map(|coordinator| coordinator.forget_topic(topic.clone()));
        futures_util::future::join_all(works).await.into_iter().all(|is_done| is_done)
    }

    /// Counts a call that was taken out of the mailbox. Ticks wait for the calls before them.
    pub(super) fn note_call_taken(&self) {
        self.coordinators.due_ticks.call_taken();
    }

    /// Notes that the sessions, rebalances and offsets of a coordinator may end at `now`. They end once the calls that are
    /// in the mailbox are handled: one of them may be the heartbeat that a session needs. Called at the partition's timer.
    pub(super) fn note_due_tick(&self, slot: usize, now: Instant) {
        self.coordinators.due_ticks.add(slot, now, self.mailbox.waiting_calls());
    }

    /// Ends the sessions, rebalances and offsets whose time has come, if all calls before that time are handled. Returns
    /// whether there was a tick.
    pub(super) fn run_due_ticks(&self) -> bool {
        let mut has_run = false;
        while let Some((slot, at)) = self.coordinators.due_ticks.pop() {
            has_run = true;
            if let Some(coordinator) = self.coordinator(slot) {
                coordinator.tick_due_at(at);
            }
        }
        has_run
    }

    /// Waits until the compactions that are under way have ended. Otherwise an engine that is closed soon after each open would
    /// never get rid of its old segments.
    pub(super) async fn end_compactions(&self) {
        let coordinators: Vec<_> =
            self.coordinators.by_slot.borrow().iter().map(|(slot, it)| (*slot, Rc::clone(it))).collect();
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
        let Some(coordinator) = self.coordinators.by_slot.borrow_mut().remove(&slot) else { return };
        // The log's last acks first: what is stored is answered so.
        owner::pass_acks(&coordinator);
        coordinator.end();
        coordinator.owner().end();
    }

    /// Drops all coordinators. Nothing is answered: the shard has ended.
    pub(super) fn drop_coordinators(&self) {
        self.coordinators.by_slot.borrow_mut().clear();
    }

    /// Sets the time of the next tick. An earlier one stays, and sets the next when it comes.
    fn set_group_timer(&self, slot: usize, at: Instant) {
        if let Some(partition) = self.partition(slot) {
            self.timers.set(slot, &partition.timers, TimerKind::Groups, at);
        }
    }
}
