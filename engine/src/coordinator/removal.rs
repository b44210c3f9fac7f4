//! The removal of offsets that have expired, and of those of deleted topics. Both look at all offsets, in parts: one part a
//! turn of the owner, so that many offsets do not keep others waiting.

use super::{Coordinator, Owner};
use crate::group::{Groups, OffsetsPlace, Output};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Groups and offsets that are looked at in one turn. A turn may look at up to twice as many, because it does not divide a group
/// that has fewer.
const LOOKS_A_TURN: usize = 2_000;

impl<O: Owner> Coordinator<O> {
    /// Begins to remove what has expired, unless an earlier expiry is still under way.
    pub(super) fn begin_expiry(self: &Rc<Self>) {
        if self.is_expiring.replace(true) {
            return;
        }
        let coordinator = Rc::clone(self);
        self.owner.spawn(Box::pin(async move {
            let part = |groups: &mut Groups, from: &OffsetsPlace| {
                groups.expire_part(coordinator.now(), from, LOOKS_A_TURN)
            };
            coordinator.remove_in_parts(part).await;
            coordinator.is_expiring.set(false);
        }));
    }

    /// Removes the committed offsets of a topic that was deleted, and waits until that is durable or has failed. Stored groups
    /// that are still being read are read first. Returns whether none is left.
    pub async fn forget_topic(self: Rc<Self>, topic: String) -> bool {
        while !self.groups.borrow().is_serving() {
            let is_closed = self.owner.is_closing() || self.owner.log().is_none();
            if is_closed || self.damage.borrow().is_some() {
                // Nobody is served the offsets.
                return true;
            }
            self.owner.next_turn().await;
        }
        let part = |groups: &mut Groups, from: &OffsetsPlace| {
            groups.forget_part(from, LOOKS_A_TURN, |name, _| name == topic)
        };
        self.remove_in_parts(part).await;
        !self.groups.borrow().has_offsets_of(&topic)
    }

    /// Removes the committed offsets of topics that do not exist. A crash after the deletion of a topic can leave them. Call it
    /// in the turn in which the groups begin to be served. If a topic of that name is created meanwhile, its own offsets stay.
    pub(super) async fn forget_deleted_topics(&self) {
        let served_ms = self.now().unix_ms;
        let is_missing = |name: &str| self.owner.topic(name).is_none();
        let gone: BTreeSet<String> = {
            let groups = self.groups.borrow();
            groups.topics_with_offsets().filter(|name| is_missing(name)).map(str::to_owned).collect()
        };
        if gone.is_empty() {
            return;
        }
        let is_gone = |name: &str, committed_ms: Option<i64>| {
            let is_older = committed_ms.is_some_and(|ms| ms < served_ms);
            gone.contains(name) && (is_older || is_missing(name))
        };
        self.remove_in_parts(|groups, from| groups.forget_part(from, LOOKS_A_TURN, is_gone)).await;
    }

    /// Removes offsets part by part, from the beginning on. Before the next part begins, the records of the last one are in the
    /// log or have failed. It stops if the partition closes meanwhile.
    async fn remove_in_parts(
        &self,
        mut part: impl FnMut(&mut Groups, &OffsetsPlace) -> (Output, Option<OffsetsPlace>),
    ) {
        let mut place = Some(OffsetsPlace::default());
        while let Some(from) = place {
            let (output, next) = part(&mut self.groups.borrow_mut(), &from);
            let begun: Vec<_> = output.appends.iter().map(|append| append.id).collect();
            self.carry_out(output);
            let mut must_wait = next.is_some();
            while must_wait || begun.iter().any(|id| self.groups.borrow().is_appending(*id)) {
                self.owner.next_turn().await;
                if self.owner.is_closing() || self.owner.log().is_none() {
                    return;
                }
                must_wait = false;
            }
            place = next;
        }
    }
}
