//! The removal of offsets that nobody asked for: those that have expired, and those of topics that were deleted.
//!
//! Both look at all offsets. They do so in parts, so that the owner can handle requests between two parts.

use super::tombstone;
use crate::group::machine::Groups;
use crate::group::machine::output::Output;
use crate::group::records::{CommittedOffset, GroupRecord, OffsetKey};
use crate::group::request::Now;
use crate::group::state::{Group, GroupState, topics_behind};
use std::collections::BTreeSet;
use std::ops::Bound;

/// A place in the offsets of all groups, from which a removal continues. Groups come by id, their offsets by topic and partition.
/// The default is the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffsetsPlace {
    /// The group to continue with. If it is gone, the next one.
    group: String,
    /// Topic and partition of the last offset of this group that was looked at; `None` before its first.
    last: Option<(String, i32)>,
}

/// The records of one part of a removal.
struct Part {
    records: Vec<GroupRecord>,
    /// Number of groups and offsets that were looked at.
    looked_at: usize,
    looks_max: usize,
}

impl Part {
    const fn new(looks_max: usize) -> Self {
        Self { records: Vec::new(), looked_at: 0, looks_max }
    }

    /// Calls `look` with each offset of the group behind `last`. Returns the place behind the last offset if the group alone has
    /// more than one part may hold. A group with fewer offsets is never divided.
    fn look_at<'a>(
        &mut self,
        offsets: impl Iterator<Item = (&'a String, i32, &'a CommittedOffset)>,
        mut look: impl FnMut(&mut Vec<GroupRecord>, &'a String, i32, &'a CommittedOffset),
    ) -> Option<(String, i32)> {
        let (mut offsets, mut count) = (offsets.peekable(), 0);
        self.looked_at += 1;
        while let Some((topic, partition, offset)) = offsets.next() {
            look(&mut self.records, topic, partition, offset);
            (self.looked_at, count) = (self.looked_at + 1, count + 1);
            if count >= self.looks_max && offsets.peek().is_some() {
                return Some((topic.clone(), partition));
            }
        }
        None
    }

    const fn is_full(&self) -> bool {
        self.looked_at >= self.looks_max
    }
}

impl Groups {
    /// Removes offsets that have expired, and empty groups that have no offsets left, all at once. Groups with many offsets need
    /// several batches. Nothing expires before all records are loaded: a later one may say that an offset is fresh.
    pub fn expire(&mut self, now: Now) -> Output {
        self.expire_part(now, &OffsetsPlace::default(), usize::MAX).0
    }

    /// Does a part of what [`expire`](Self::expire) does, from a place on. It looks at about `looks_max` groups and offsets, and at
    /// most at twice as many. Also returns the place of the next part; `None` after the last. A group that one part does not hold is
    /// removed by a later expiry.
    pub fn expire_part(
        &mut self,
        now: Now,
        from: &OffsetsPlace,
        looks_max: usize,
    ) -> (Output, Option<OffsetsPlace>) {
        if !self.is_serving() {
            return (self.with_deadline(Output::default()), None);
        }
        let mut part = Part::new(looks_max);
        let next = self.collect_expired(now, from, &mut part);
        self.finish_part(part, next)
    }

    /// Adds the records that remove what has expired to `part`. Offsets that are being committed are fresh.
    fn collect_expired(&self, now: Now, from: &OffsetsPlace, part: &mut Part) -> Option<OffsetsPlace> {
        let in_flight = self.appends.offsets();
        let bounds = (Bound::Included(from.group.as_str()), Bound::Unbounded);
        for (id, group) in self.groups.range::<str, _>(bounds) {
            if part.is_full() {
                return Some(OffsetsPlace { group: id.clone(), last: None });
            }
            let last = from.last_of(id);
            let in_flight = in_flight.get(id);
            let mut keeps_offsets = last.is_some() || in_flight.is_some();
            let topics = self.offsets.group(id).into_iter();
            let offsets = topics.flat_map(|topics| topics_behind(topics, last));
            let cut = part.look_at(offsets, |records, topic, partition, offset| {
                let expires = !group.is_subscribed_to(topic)
                    && group.expires(offset, now.unix_ms, self.config.offsets_retention_ms);
                let key = || OffsetKey { group: id.clone(), topic: topic.clone(), partition };
                match expires.then(key).filter(|key| in_flight.is_none_or(|keys| !keys.contains(key))) {
                    Some(key) => records.push(tombstone(key)),
                    None => keeps_offsets = true,
                }
            });
            if let Some(last) = cut {
                return Some(OffsetsPlace { group: id.clone(), last: Some(last) });
            }
            if !keeps_offsets && group.is(GroupState::Empty) {
                part.records.push(GroupRecord::Group { group: id.clone(), value: None });
            }
        }
        None
    }

    /// Removes the offsets of a topic that was deleted, of all groups, as Kafka does. Otherwise a group would resume in a new
    /// topic of that name behind records that it has not read. Groups with many offsets need several batches.
    pub fn forget_topic(&mut self, topic: &str) -> Output {
        self.forget_part(&OffsetsPlace::default(), usize::MAX, |name, _| name == topic).0
    }

    /// Removes offsets of deleted topics, a part at a time, as [`expire_part`](Self::expire_part) does. `is_gone` gets the name of a
    /// topic and the time of the commit, ms since the Unix epoch; `None` for a commit that is not in the log yet. Such commits are
    /// removed with the first part.
    pub fn forget_part(
        &mut self,
        from: &OffsetsPlace,
        looks_max: usize,
        is_gone: impl Fn(&str, Option<i64>) -> bool,
    ) -> (Output, Option<OffsetsPlace>) {
        if !self.is_serving() {
            return (self.with_deadline(Output::default()), None);
        }
        let mut part = Part::new(looks_max);
        let mut in_flight = BTreeSet::new();
        if *from == OffsetsPlace::default() {
            let keys = self.appends.offsets().into_values().flatten();
            in_flight.extend(keys.filter(|key| is_gone(&key.topic, None)));
        }
        let next = self.collect_forgotten(from, &mut part, |key, committed_ms| {
            is_gone(&key.topic, Some(committed_ms)) && !in_flight.contains(key)
        });
        part.records.extend(in_flight.into_iter().map(tombstone));
        self.finish_part(part, next)
    }

    /// Adds the records that remove the stored offsets that `is_gone` names to `part`.
    fn collect_forgotten(
        &self,
        from: &OffsetsPlace,
        part: &mut Part,
        is_gone: impl Fn(&OffsetKey, i64) -> bool,
    ) -> Option<OffsetsPlace> {
        for (id, topics) in self.offsets.groups_from(&from.group) {
            if part.is_full() {
                return Some(OffsetsPlace { group: id.clone(), last: None });
            }
            let offsets = topics_behind(topics, from.last_of(id));
            let cut = part.look_at(offsets, |records, topic, partition, offset| {
                let key = OffsetKey { group: id.clone(), topic: topic.clone(), partition };
                if is_gone(&key, offset.committed_ms) {
                    records.push(tombstone(key));
                }
            });
            if let Some(last) = cut {
                return Some(OffsetsPlace { group: id.clone(), last: Some(last) });
            }
        }
        None
    }

    /// Begins to append the records of a part.
    fn finish_part(&mut self, part: Part, next: Option<OffsetsPlace>) -> (Output, Option<OffsetsPlace>) {
        let mut out = Output::default();
        self.begin_removal(part.records, &mut out);
        (self.with_deadline(out), next)
    }

    /// Whether a group has a committed offset of the topic.
    pub fn has_offsets_of(&self, topic: &str) -> bool {
        self.offsets.has_topic(topic)
    }

    /// Returns the topics of which a group has a committed offset, by name.
    pub fn topics_with_offsets(&self) -> impl Iterator<Item = &str> {
        self.offsets.topics().map(String::as_str)
    }
}

impl OffsetsPlace {
    /// Returns topic and partition of the last offset of the group that was looked at.
    fn last_of(&self, group: &str) -> Option<(&str, i32)> {
        let last = self.last.as_ref().filter(|_| self.group == group);
        last.map(|(topic, partition)| (topic.as_str(), *partition))
    }
}

impl Group {
    /// Says whether an offset of a topic that is not subscribed to has expired. The retention of an offset counts from its commit. In
    /// a group that had members and is empty now, it counts from the time when the last one left.
    fn expires(&self, offset: &CommittedOffset, unix_ms: i64, retention_ms: i64) -> bool {
        let is_of_members = self.protocol_type.is_some();
        let from_ms = match self.state {
            _ if !is_of_members => offset.committed_ms,
            GroupState::Empty => self.since_ms.unwrap_or(offset.committed_ms),
            GroupState::Stable if self.is_of_consumers() && self.subscribed.is_some() => offset.committed_ms,
            _ => return false,
        };
        offset
            .expires_ms
            .map_or_else(|| unix_ms.saturating_sub(from_ms) >= retention_ms, |at_ms| unix_ms >= at_ms)
    }
}
