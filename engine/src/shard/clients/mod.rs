//! The side of a shard that its clients reach: the mailbox of remote clients, the lanes of local ones, waiting fetches, tickets and wakers.

pub(super) mod callers;
pub(super) mod group_messages;
pub(super) mod local;
pub(super) mod mailbox;
pub(super) mod request;
pub(super) mod ticket;
pub(super) mod waiting;
pub(super) mod wake;
