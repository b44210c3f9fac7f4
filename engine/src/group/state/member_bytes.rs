//! The bytes that members take: in the group's record, and in memory.

use super::member::Member;
use crate::group::request::{Client, JoinGroup, Protocol};
use std::ops::{AddAssign, SubAssign};

/// Bytes of a member in the group's record, without its strings, its metadata and its assignment: four lengths of strings, two
/// timeouts and two lengths of byte fields (`records/group.rs`).
const MEMBER_REST_BYTES: usize = 4 * 2 + 2 * 4 + 2 * 4;

/// Bytes of a protocol beside its name and metadata: their lengths, as in a request.
const PROTOCOL_REST_BYTES: usize = 2 + 4;

/// The bytes of one member, or of all members of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MemberBytes {
    /// Bytes in the group's record without the assignments. The largest metadata of a member counts: the group may choose any of
    /// its protocols.
    pub in_record: usize,
    /// Bytes of all protocols, with their names and metadata.
    pub of_protocols: usize,
}

impl MemberBytes {
    /// Returns the bytes of a member.
    pub(crate) fn of(member: &Member) -> Self {
        Self::counted(&member.id, member.instance_id.as_deref(), &member.client, &member.protocols)
    }

    /// Returns the bytes that a new member `id` has after its JoinGroup.
    pub(crate) fn of_new(id: &str, client: &Client, request: &JoinGroup) -> Self {
        Self::counted(id, request.instance_id.as_deref(), client, &request.protocols)
    }

    /// Returns the bytes that a member has after a JoinGroup under `id`. It keeps its instance id and its client.
    pub(crate) fn after_join(member: &Member, id: &str, request: &JoinGroup) -> Self {
        Self::counted(id, member.instance_id.as_deref(), &member.client, &request.protocols)
    }

    fn counted(id: &str, instance_id: Option<&str>, client: &Client, protocols: &[Protocol]) -> Self {
        let names = id.len() + instance_id.map_or(0, str::len) + client.id.len() + client.host.len();
        let metadata = protocols.iter().map(|protocol| protocol.metadata.len()).max().unwrap_or(0);
        Self { in_record: MEMBER_REST_BYTES + names + metadata, of_protocols: protocols_bytes(protocols) }
    }
}

/// Returns the bytes of protocols with their names and metadata.
pub(crate) fn protocols_bytes(protocols: &[Protocol]) -> usize {
    let bytes = |protocol: &Protocol| PROTOCOL_REST_BYTES + protocol.name.len() + protocol.metadata.len();
    protocols.iter().map(bytes).sum()
}

impl AddAssign for MemberBytes {
    fn add_assign(&mut self, other: Self) {
        self.in_record += other.in_record;
        self.of_protocols += other.of_protocols;
    }
}

impl SubAssign for MemberBytes {
    fn sub_assign(&mut self, other: Self) {
        self.in_record -= other.in_record;
        self.of_protocols -= other.of_protocols;
    }
}
