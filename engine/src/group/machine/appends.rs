//! The batches that are being appended, and the work that continues when one is in the log.

use super::output::{Append, AppendId, Output};
use crate::group::records::{GroupRecord, OffsetKey};
use crate::group::reply::Reply;
use crate::group::request::{Client, JoinGroup, Token};
use std::collections::{BTreeMap, BTreeSet};

/// A JoinGroup that is being handled.
#[derive(Debug, Clone)]
pub(super) struct Joining {
    pub token: Token,
    pub client: Client,
    pub api_version: i16,
    pub request: JoinGroup,
}

/// A static member that rejoins a stable group under a new id.
#[derive(Debug, Clone)]
pub(super) struct StaticRejoin {
    pub joining: Joining,
    pub new_id: String,
    /// Generation that the rejoin does not change.
    pub generation: i32,
    /// Joins of other static members that wait for this one.
    pub behind: Vec<Joining>,
}

/// The work that continues when a batch is in the log, or has failed.
#[derive(Debug, Clone)]
pub(super) enum Then {
    /// Only the replies are left.
    Reply,
    /// The group exists, so that the join can be handled.
    Join(Joining),
    /// The static member has its new id.
    StaticRejoin(Box<StaticRejoin>),
    /// The generation has its assignment.
    Assigned { group: String, generation: i32 },
}

/// A batch that is being appended.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub records: Vec<GroupRecord>,
    pub then: Then,
    /// Replies that leave when the batch is in the log.
    pub replies: Vec<Reply>,
}

/// The batches that are being appended.
#[derive(Debug, Clone, Default)]
pub(super) struct Appends {
    last_id: u64,
    pending: BTreeMap<AppendId, Pending>,
}

impl Appends {
    /// Begins to append `records`. `waiting` are requests that `then` answers.
    pub(super) fn begin(
        &mut self,
        records: Vec<GroupRecord>,
        then: Then,
        waiting: Vec<Token>,
        out: &mut Output,
    ) -> AppendId {
        self.last_id += 1;
        let id = AppendId(self.last_id);
        let encoded = records.iter().map(GroupRecord::encode).collect();
        out.appends.push(Append { id, records: encoded, waiting });
        self.pending.insert(id, Pending { records, then, replies: Vec::new() });
        id
    }

    /// Holds `reply` until the batch is in the log.
    pub(super) fn hold(&mut self, id: AppendId, reply: Reply, out: &mut Output) {
        if let Some(append) = out.appends.iter_mut().find(|append| append.id == id) {
            append.waiting.push(reply.token);
        }
        let pending = self.pending.get_mut(&id).expect("the batch was begun in this turn");
        pending.replies.push(reply);
    }

    /// Takes a batch that is in the log or has failed; `None` if there is no such batch.
    pub(super) fn take(&mut self, id: AppendId) -> Option<Pending> {
        self.pending.remove(&id)
    }

    /// Whether a batch is being appended.
    pub(super) fn is_open(&self, id: AppendId) -> bool {
        self.pending.contains_key(&id)
    }

    /// Takes all batches.
    pub(super) fn take_all(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.pending).into_values().collect()
    }

    /// Returns the rejoin of a static member of the group that is being appended.
    pub(super) fn static_rejoin(&mut self, group: &str) -> Option<&mut StaticRejoin> {
        self.pending.values_mut().find_map(|pending| match &mut pending.then {
            Then::StaticRejoin(rejoin) if rejoin.joining.request.group == group => Some(&mut **rejoin),
            _ => None,
        })
    }

    /// Whether a record of the group, and not of its offsets, is being appended.
    pub(super) fn has_group(&self, id: &str) -> bool {
        let mut records = self.pending.values().flat_map(|pending| &pending.records);
        records.any(|record| matches!(record, GroupRecord::Group { group, value: Some(_) } if group == id))
    }

    /// Returns all offsets that are being committed, by group.
    pub(super) fn offsets(&self) -> BTreeMap<String, BTreeSet<OffsetKey>> {
        let mut found: BTreeMap<String, BTreeSet<OffsetKey>> = BTreeMap::new();
        for record in self.pending.values().flat_map(|pending| &pending.records) {
            if let GroupRecord::Offset { key, value: Some(_) } = record {
                found.entry(key.group.clone()).or_default().insert(key.clone());
            }
        }
        found
    }

    /// Returns the offsets of the group that are being committed.
    pub(super) fn offsets_of(&self, group: &str) -> BTreeSet<OffsetKey> {
        let records = self.pending.values().flat_map(|pending| &pending.records);
        let keys = records.filter_map(|record| match record {
            GroupRecord::Offset { key, value: Some(_) } if key.group == group => Some(key.clone()),
            _ => None,
        });
        keys.collect()
    }
}
