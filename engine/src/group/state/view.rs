//! A group as it looks from outside, for tests and for operators.

use super::{Group, GroupState, Member};
use bytes::Bytes;
use std::collections::BTreeSet;

/// A group as it looks from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// State of the group.
    pub state: GroupState,
    /// Number of the generation.
    pub generation: i32,
    /// Member id of the leader.
    pub leader: Option<String>,
    /// Type of the protocols.
    pub protocol_type: Option<String>,
    /// Protocol of the generation.
    pub protocol: Option<String>,
    /// The members, by id.
    pub members: Vec<MemberView>,
    /// Ids that were handed out with `MEMBER_ID_REQUIRED`, and have not joined yet.
    pub pending: BTreeSet<String>,
    /// Members that have not sent a SyncGroup in this generation.
    pub pending_sync: BTreeSet<String>,
    /// Topics that the members subscribe to, if their metadata tells.
    pub subscribed: Option<BTreeSet<String>>,
}

/// A member as it looks from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Id of the member.
    pub id: String,
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
    /// The member's assignment.
    pub assignment: Bytes,
    /// A JoinGroup of the member is parked.
    pub awaits_join: bool,
    /// A SyncGroup of the member is parked.
    pub awaits_sync: bool,
}

impl Group {
    /// Returns the group as it looks from outside.
    pub(crate) fn view(&self) -> GroupView {
        let member = |member: &Member| MemberView {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            assignment: member.assignment.clone(),
            awaits_join: member.join.is_some(),
            awaits_sync: member.sync.is_some(),
        };
        GroupView {
            state: self.state,
            generation: self.generation,
            leader: self.leader.clone(),
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            members: self.members.iter().map(member).collect(),
            pending: self.pending.clone(),
            pending_sync: self.pending_sync.clone(),
            subscribed: self.subscribed.clone(),
        }
    }
}
