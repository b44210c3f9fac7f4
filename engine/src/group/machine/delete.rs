//! OffsetDelete and DeleteGroups.

mod expire;

pub use expire::OffsetsPlace;

use super::Groups;
use super::appends::Then;
use super::output::{AppendId, Output};
use crate::group::error::GroupError;
use crate::group::records::{GroupRecord, OffsetKey};
use crate::group::reply::{PartitionOutcomes, Reply, ReplyBody};
use crate::group::request::{OffsetDelete, Token};
use crate::group::state::GroupState;

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
pub(super) const fn tombstone(key: OffsetKey) -> GroupRecord {
    GroupRecord::Offset { key, value: None }
}

impl Groups {
    /// Begins to append records that remove something, in batches that the log takes. Returns the last batch; `None` without records.
    pub(super) fn begin_removal(
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
