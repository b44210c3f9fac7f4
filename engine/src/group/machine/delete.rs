//! OffsetDelete, DeleteGroups, and the expiry of offsets and groups.

use super::Groups;
use super::appends::Then;
use super::output::{AppendId, Output};
use crate::group::error::GroupError;
use crate::group::records::{CommittedOffset, GroupRecord, OffsetKey};
use crate::group::reply::{PartitionOutcomes, Reply, ReplyBody};
use crate::group::request::{Now, OffsetDelete, Token};
use crate::group::state::{Group, GroupState};
use std::collections::BTreeSet;

/// Bytes of the records of one batch that removes offsets or groups, before the last one. The largest record has less than 64 KiB,
/// and the log takes larger batches than both together.
const REMOVAL_BYTES: usize = 64 << 10;

/// Bytes of the record that removes an offset or a group, without the names in it; at most so many.
const KEY_REST_BYTES: usize = 32;

/// Returns the size of a record that removes something, bytes; at most so many.
const fn removal_bytes(record: &GroupRecord) -> usize {
    KEY_REST_BYTES
        + match record {
            GroupRecord::Offset { key, .. } => key.group.len() + key.topic.len(),
            GroupRecord::Group { group, .. } => group.len(),
        }
}

/// Returns the record that removes an offset.
const fn tombstone(key: OffsetKey) -> GroupRecord {
    GroupRecord::Offset { key, value: None }
}

impl Groups {
    /// Removes offsets that have expired, and empty groups that have no offsets left. Call it now and then: Kafka does every ten
    /// minutes. A group with many offsets needs several batches. Nothing expires before all records are loaded: a later one may say
    /// that an offset is fresh.
    pub fn expire(&mut self, now: Now) -> Output {
        let mut out = Output::default();
        if !self.is_serving() {
            return self.with_deadline(out);
        }
        let ids: Vec<String> = self.groups.keys().cloned().collect();
        let mut in_flight = self.appends.offsets();
        for id in ids {
            let records = self.expired(&id, &in_flight.remove(&id).unwrap_or_default(), now);
            self.begin_removal(records, &mut out);
        }
        self.with_deadline(out)
    }

    /// Returns the records that remove what has expired of a group. Offsets that are being committed are fresh.
    fn expired(&self, id: &str, in_flight: &BTreeSet<OffsetKey>, now: Now) -> Vec<GroupRecord> {
        let Some(group) = self.groups.get(id) else { return Vec::new() };
        let mut records = Vec::new();
        let mut keeps_offsets = !in_flight.is_empty();
        for (key, offset) in self.offsets.of_group(id) {
            let expires = !group.is_subscribed_to(&key.topic)
                && !in_flight.contains(&key)
                && group.expires(offset, now.unix_ms, self.config.offsets_retention_ms);
            if expires {
                records.push(tombstone(key));
            } else {
                keeps_offsets = true;
            }
        }
        if !keeps_offsets && group.is(GroupState::Empty) {
            records.push(GroupRecord::Group { group: id.to_owned(), value: None });
        }
        records
    }

    /// Removes the offsets of a topic that was deleted, of all groups, as Kafka does. Otherwise a group would resume in a new
    /// topic of that name behind records that it has not read.
    pub fn forget_topic(&mut self, topic: &str) -> Output {
        self.forget_topics(|name| name == topic)
    }

    /// Removes the offsets of all topics that `is_gone` names, as [`forget_topic`](Self::forget_topic) does. A group with many
    /// offsets needs several batches.
    pub fn forget_topics(&mut self, is_gone: impl Fn(&str) -> bool) -> Output {
        let mut out = Output::default();
        if !self.is_serving() {
            return self.with_deadline(out);
        }
        let mut in_flight = self.appends.offsets();
        // A group exists only once its first commit is in the log.
        let ids: BTreeSet<String> = self.groups.keys().chain(in_flight.keys()).cloned().collect();
        for id in ids {
            let mut keys = in_flight.remove(&id).unwrap_or_default();
            keys.retain(|key| is_gone(&key.topic));
            let stored = self.offsets.group(&id).into_iter().flatten();
            for (topic, partitions) in stored.filter(|(topic, _)| is_gone(topic)) {
                let key = |partition: &i32| OffsetKey {
                    group: id.clone(),
                    topic: topic.clone(),
                    partition: *partition,
                };
                keys.extend(partitions.keys().map(key));
            }
            self.begin_removal(keys.into_iter().map(tombstone), &mut out);
        }
        self.with_deadline(out)
    }

    /// Begins to append records that remove something, in batches that the log takes. Returns the last batch; `None` without records.
    fn begin_removal(
        &mut self,
        records: impl IntoIterator<Item = GroupRecord>,
        out: &mut Output,
    ) -> Option<AppendId> {
        let (mut batch, mut bytes, mut last) = (Vec::new(), 0, None);
        for record in records {
            if bytes >= REMOVAL_BYTES {
                self.appends.begin(std::mem::take(&mut batch), Then::Reply, Vec::new(), out);
                bytes = 0;
            }
            bytes += removal_bytes(&record);
            batch.push(record);
        }
        if !batch.is_empty() {
            last = Some(self.appends.begin(batch, Then::Reply, Vec::new(), out));
        }
        last
    }

    /// Whether a group has a committed offset of the topic.
    pub fn has_offsets_of(&self, topic: &str) -> bool {
        self.offsets.has_topic(topic)
    }

    /// Handles an OffsetDelete.
    pub(super) fn delete_offsets(&mut self, token: Token, request: &OffsetDelete, out: &mut Output) {
        let group = match self.groups.get(&request.group) {
            None => Err(GroupError::GroupIdNotFound),
            Some(group) if !group.is(GroupState::Empty) && !group.is_of_consumers() => {
                Err(GroupError::NonEmptyGroup)
            }
            Some(group) => Ok(group),
        };
        let group = match group {
            Ok(group) => group,
            Err(error) => return out.reply(token, ReplyBody::OffsetDelete(Err(error))),
        };
        let in_flight = self.appends.offsets_of(&request.group);
        let mut records = Vec::new();
        let mut outcomes = PartitionOutcomes::new();
        for (topic, partitions) in &request.topics {
            let is_subscribed = group.is_subscribed_to(topic);
            let outcome = if is_subscribed { Err(GroupError::GroupSubscribedToTopic) } else { Ok(()) };
            outcomes.push((topic.clone(), partitions.iter().map(|number| (*number, outcome)).collect()));
            if is_subscribed {
                continue;
            }
            for partition in partitions {
                let (group, topic) = (request.group.clone(), topic.clone());
                let key = OffsetKey { group, topic, partition: *partition };
                let is_stored = self.offsets.get(&key.group, &key.topic, key.partition).is_some();
                if is_stored || in_flight.contains(&key) {
                    records.push(tombstone(key));
                }
            }
        }
        self.reply_after(records, Reply { token, body: ReplyBody::OffsetDelete(Ok(outcomes)) }, out);
    }

    /// Handles a DeleteGroups: groups without members go, with their offsets.
    pub(super) fn delete_groups(&mut self, token: Token, groups: &[String], out: &mut Output) {
        let mut records = Vec::new();
        let mut outcomes = Vec::with_capacity(groups.len());
        for id in groups {
            let outcome = match self.groups.get(id) {
                None => Err(GroupError::GroupIdNotFound),
                Some(group) if !group.is(GroupState::Empty) => Err(GroupError::NonEmptyGroup),
                Some(_) => Ok(()),
            };
            outcomes.push((id.clone(), outcome));
            if outcome.is_ok() {
                let mut keys = self.appends.offsets_of(id);
                keys.extend(self.offsets.of_group(id).into_iter().map(|(key, _)| key));
                records.extend(keys.into_iter().map(tombstone));
                records.push(GroupRecord::Group { group: id.clone(), value: None });
            }
        }
        // Batches reach the log in their order, so the last one says that all are there. Of a group whose own removal is there, offsets
        // that an earlier batch did not remove go with it.
        let reply = Reply { token, body: ReplyBody::DeleteGroups(outcomes) };
        match self.begin_removal(records, out) {
            Some(last) => self.appends.hold(last, reply, out),
            None => out.replies.push(reply),
        }
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
