//! OffsetCommit.

use super::Groups;
use super::limits::is_metadata_too_large;
use super::output::Output;
use super::turn::Turn;
use crate::group::error::GroupError;
use crate::group::records::{CommittedOffset, GroupRecord, OffsetKey};
use crate::group::reply::{PartitionOutcomes, Reply, ReplyBody};
use crate::group::request::{Now, OffsetCommit, RequestBody, Token};
use crate::group::state::{Group, GroupState};

/// First version of OffsetCommit that is answered with `GROUP_ID_NOT_FOUND`.
const GROUP_ID_NOT_FOUND_FROM: i16 = 9;

impl Groups {
    /// Handles an OffsetCommit. The offsets are stored when their records are in the log.
    pub(super) fn commit(
        &mut self,
        token: Token,
        api_version: i16,
        request: &OffsetCommit,
        (now, out): (Now, &mut Output),
    ) {
        let is_full = self.groups.len() >= self.config.groups_max;
        let checked = match self.turn(&request.group, now, out) {
            Some(mut turn) => turn.check_commit(request),
            None if request.generation >= 0 && api_version >= GROUP_ID_NOT_FOUND_FROM => {
                Err(GroupError::GroupIdNotFound)
            }
            None if request.generation >= 0 => Err(GroupError::IllegalGeneration),
            None if is_full => Err(GroupError::PolicyViolation),
            // The consumer assigns partitions to itself, and uses the group for its offsets alone.
            None => Ok(()),
        };
        if let Err(error) = checked {
            out.reply(token, ReplyBody::refusal(&RequestBody::OffsetCommit(request.clone()), error));
            return;
        }
        let mut records = Vec::new();
        let mut outcomes = PartitionOutcomes::new();
        for (topic, partitions) in &request.topics {
            let mut of_topic = Vec::with_capacity(partitions.len());
            for commit in partitions {
                if is_metadata_too_large(commit.metadata.as_deref(), &self.config) {
                    of_topic.push((commit.partition, Err(GroupError::OffsetMetadataTooLarge)));
                    continue;
                }
                of_topic.push((commit.partition, Ok(())));
                let value = CommittedOffset {
                    offset: commit.offset,
                    leader_epoch: commit.leader_epoch,
                    metadata: commit.metadata.clone().unwrap_or_default(),
                    committed_ms: now.unix_ms,
                    expires_ms: request.retention_ms.map(|ms| now.unix_ms.saturating_add(ms)),
                };
                let (group, topic) = (request.group.clone(), topic.clone());
                let key = OffsetKey { group, topic, partition: commit.partition };
                records.push(GroupRecord::Offset { key, value: Some(value) });
            }
            outcomes.push((topic.clone(), of_topic));
        }
        if records.is_empty() && !self.groups.contains_key(&request.group) {
            // The group exists from now on, as in Kafka, but is not stored.
            let group = Group { durable: None, ..Group::simple() };
            self.groups.insert(request.group.clone(), group);
        }
        self.reply_after(records, Reply { token, body: ReplyBody::OffsetCommit(outcomes) }, out);
    }
}

impl Turn<'_> {
    /// Checks whether the sender may commit. A commit keeps the member's session.
    fn check_commit(&mut self, request: &OffsetCommit) -> Result<(), GroupError> {
        let is_empty = self.group.is(GroupState::Empty);
        if request.generation < 0 && is_empty {
            return Ok(());
        }
        if request.generation < 0 && request.member_id.is_empty() && request.instance_id.is_none() {
            return Err(GroupError::UnknownMemberId);
        }
        let instance_id = request.instance_id.as_deref();
        self.group.check_generation(&request.member_id, instance_id, request.generation)?;
        match self.group.state {
            GroupState::CompletingRebalance => return Err(GroupError::RebalanceInProgress),
            GroupState::Stable | GroupState::PreparingRebalance => self.extend_session(&request.member_id),
            GroupState::Empty | GroupState::Dead => {}
        }
        Ok(())
    }
}
