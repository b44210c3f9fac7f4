//! A member of a group.

use crate::group::records::{MemberValue, USES_SESSION_TIMEOUT};
use crate::group::request::{Client, JoinGroup, Protocol, Token};
use bytes::Bytes;

/// A member of a group.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Id of the member.
    pub id: String,
    /// Group instance id of a static member.
    pub instance_id: Option<String>,
    /// The client that joined.
    pub client: Client,
    /// Time that a rebalance waits for this member, ms.
    pub rebalance_timeout_ms: i32,
    /// Time without a heartbeat after which the member is removed, ms.
    pub session_timeout_ms: i32,
    /// Protocols that the member supports, the preferred one first, each name once. A member from a record has the group's
    /// protocol alone.
    pub protocols: Vec<Protocol>,
    /// The member's assignment in the current generation; empty before the leader has made one.
    pub assignment: Bytes,
    /// The parked JoinGroup.
    pub join: Option<Token>,
    /// The parked SyncGroup.
    pub sync: Option<Token>,
    /// The member has joined, but was in no generation yet. Such a member expires even while its join is parked.
    pub is_new: bool,
}

impl Member {
    /// Returns the member that `request` asks for.
    pub(crate) fn joining(id: &str, client: &Client, request: &JoinGroup) -> Self {
        Self {
            id: id.to_owned(),
            instance_id: request.instance_id.clone(),
            client: client.clone(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            join: None,
            sync: None,
            is_new: true,
        }
    }

    /// Returns the member of a record. `protocol` is the group's.
    pub(crate) fn recorded(value: &MemberValue, protocol: Option<&str>) -> Self {
        let rebalance_timeout_ms = match value.rebalance_timeout_ms {
            USES_SESSION_TIMEOUT => value.session_timeout_ms,
            timeout_ms => timeout_ms,
        };
        let protocol =
            Protocol { name: protocol.unwrap_or_default().to_owned(), metadata: value.subscription.clone() };
        Self {
            id: value.id.clone(),
            instance_id: value.instance_id.clone(),
            client: Client { id: value.client_id.clone(), host: value.client_host.clone() },
            rebalance_timeout_ms,
            session_timeout_ms: value.session_timeout_ms,
            protocols: vec![protocol],
            assignment: value.assignment.clone(),
            join: None,
            sync: None,
            is_new: false,
        }
    }

    /// Returns the member as a record holds it, with `assignment`.
    pub(crate) fn to_value(&self, protocol: &str, assignment: Bytes) -> MemberValue {
        MemberValue {
            id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client.id.clone(),
            client_host: self.client.host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// Returns the metadata for `protocol`, empty if the member does not support it.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|supported| supported.name == protocol);
        found.map(|protocol| protocol.metadata.clone()).unwrap_or_default()
    }

    /// Says whether a missing heartbeat does not count, because the client waits for a parked reply.
    pub(crate) const fn is_excused(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }
}
