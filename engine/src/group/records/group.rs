//! The value of a group: one generation, with the assignment of each member.
//!
//! ```text
//! string  protocol type         "" if the group never had members
//! int32   generation
//! string  protocol              nullable
//! string  leader                nullable
//! int64   state since           from version 2; ms since the Unix epoch, −1 if unknown
//! array   members
//!   string  member id
//!   string  group instance id   from version 3; nullable
//!   string  client id
//!   string  client host
//!   int32   rebalance timeout   from version 1; ms, −1: the session timeout
//!   int32   session timeout     ms
//!   bytes   subscription        the member's metadata for the group's protocol
//!   bytes   assignment
//! ```

use super::fault::RecordFault;
use super::fields::{Reader, put_bytes, put_count, put_nullable_string, put_string};
use bytes::Bytes;

/// Rebalance timeout of a member whose session timeout counts instead: in records of version 0, which have no rebalance timeout.
pub(crate) const USES_SESSION_TIMEOUT: i32 = -1;

/// Version that is written.
const VERSION: i16 = 3;
/// First version in the flexible form.
const FLEXIBLE_FROM: i16 = 4;
/// Least bytes of a member in the oldest form: three strings, one number, two byte fields.
const MEMBER_BYTES_MIN: usize = 3 * 2 + 4 + 2 * 4;
/// Least bytes of a member in the flexible form.
const FLEXIBLE_MEMBER_BYTES_MIN: usize = 4 + 2 * 4 + 2 + 1;

/// One generation of a group, as its record holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupValue {
    /// Type of the protocols, `consumer` for consumers; empty if the group never had members.
    pub protocol_type: String,
    /// Number of the generation.
    pub generation: i32,
    /// Name of the protocol that the members agreed on.
    pub protocol: Option<String>,
    /// Member id of the leader.
    pub leader: Option<String>,
    /// Time since which the group is in its state, ms since the Unix epoch; `None` if unknown.
    pub since_ms: Option<i64>,
    /// The members with their assignments.
    pub members: Vec<MemberValue>,
}

/// A member of a group, as the group's record holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberValue {
    /// Id of the member.
    pub id: String,
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
    /// The client's name for itself.
    pub client_id: String,
    /// Address of the client.
    pub client_host: String,
    /// Time that a rebalance waits for this member, ms; −1 if the session timeout counts instead.
    pub rebalance_timeout_ms: i32,
    /// Time without a heartbeat after which the member is removed, ms.
    pub session_timeout_ms: i32,
    /// The member's metadata for the group's protocol.
    pub subscription: Bytes,
    /// The member's assignment.
    pub assignment: Bytes,
}

impl GroupValue {
    /// Returns the value of a group that has no members and never had any.
    pub const fn without_members(since_ms: Option<i64>) -> Self {
        Self {
            protocol_type: String::new(),
            generation: 0,
            protocol: None,
            leader: None,
            since_ms,
            members: Vec::new(),
        }
    }

    /// Encodes the value.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut buffer = Vec::new();
        buffer.extend(VERSION.to_be_bytes());
        put_string(&mut buffer, &self.protocol_type);
        buffer.extend(self.generation.to_be_bytes());
        put_nullable_string(&mut buffer, self.protocol.as_deref());
        put_nullable_string(&mut buffer, self.leader.as_deref());
        buffer.extend(self.since_ms.unwrap_or(-1).to_be_bytes());
        put_count(&mut buffer, self.members.len());
        for member in &self.members {
            put_string(&mut buffer, &member.id);
            put_nullable_string(&mut buffer, member.instance_id.as_deref());
            put_string(&mut buffer, &member.client_id);
            put_string(&mut buffer, &member.client_host);
            buffer.extend(member.rebalance_timeout_ms.to_be_bytes());
            buffer.extend(member.session_timeout_ms.to_be_bytes());
            put_bytes(&mut buffer, &member.subscription);
            put_bytes(&mut buffer, &member.assignment);
        }
        buffer
    }

    /// Decodes the value.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordFault> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16()?;
        if !(0..=FLEXIBLE_FROM).contains(&version) {
            return Err(RecordFault::UnknownVersion { part: "group", version });
        }
        let is_flexible = version >= FLEXIBLE_FROM;
        if is_flexible {
            reader = reader.flexible();
        }
        let protocol_type = reader.string()?;
        let generation = reader.i32()?;
        let protocol = reader.nullable_string()?;
        let leader = reader.nullable_string()?;
        let since_ms = if version >= 2 { reader.i64()? } else { -1 };
        let count = reader.count(if is_flexible { FLEXIBLE_MEMBER_BYTES_MIN } else { MEMBER_BYTES_MIN })?;
        let members =
            (0..count).map(|_| MemberValue::take(&mut reader, version)).collect::<Result<_, _>>()?;
        reader.tagged_fields()?;
        reader.end()?;
        let since_ms = Some(since_ms).filter(|ms| *ms != -1);
        Ok(Self { protocol_type, generation, protocol, leader, since_ms, members })
    }
}

impl MemberValue {
    fn take(reader: &mut Reader<'_>, version: i16) -> Result<Self, RecordFault> {
        let id = reader.string()?;
        let instance_id = if version >= 3 { reader.nullable_string()? } else { None };
        let client_id = reader.string()?;
        let client_host = reader.string()?;
        let rebalance_timeout_ms = if version >= 1 { reader.i32()? } else { USES_SESSION_TIMEOUT };
        let session_timeout_ms = reader.i32()?;
        let subscription = reader.bytes()?;
        let assignment = reader.bytes()?;
        reader.tagged_fields()?;
        Ok(Self {
            id,
            instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms,
            session_timeout_ms,
            subscription,
            assignment,
        })
    }
}
