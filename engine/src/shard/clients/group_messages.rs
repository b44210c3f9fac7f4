//! The messages between the clients of groups and their coordinators.

use super::callers::wake_caller;
use crate::coordinator::OffsetsDamage;
use crate::group::{Client, GroupError, ReplyBody, RequestBody};
use crate::shard::Ticket;
use crossbeam::queue::SegQueue;
use futures_util::task::AtomicWaker;
use std::sync::{Arc, Weak};

/// A request to the coordinator of a group.
#[derive(Debug)]
pub(crate) struct GroupCall {
    /// The shard's slot for the partition of `__consumer_offsets`.
    pub(crate) slot: usize,
    /// The sender.
    pub(crate) client: Client,
    /// Version of the request. Some rules depend on it.
    pub(crate) api_version: i16,
    /// The request itself.
    pub(crate) body: RequestBody,
    pub(crate) reply: GroupReply,
}

/// The way back to the sender of a request.
#[derive(Debug)]
pub(crate) struct GroupReply {
    /// The client's inbox; empty once the client is dropped.
    pub(crate) inbox: Weak<GroupInbox>,
    /// The client's number for the request.
    pub(crate) ticket: Ticket,
}

/// A request's reply, or the damage that keeps its coordinator from serving.
pub(crate) type GroupAnswer = Result<ReplyBody, OffsetsDamage>;

/// The queue in which a client's replies arrive.
#[derive(Debug, Default)]
pub(crate) struct GroupInbox {
    pub(crate) replies: SegQueue<(Ticket, GroupAnswer)>,
    pub(crate) waker: Arc<AtomicWaker>,
}

impl GroupReply {
    /// Sends the answer to the client, if the client still exists.
    pub(crate) fn send(self, answer: GroupAnswer) {
        if let Some(inbox) = self.inbox.upgrade() {
            inbox.replies.push((self.ticket, answer));
            wake_caller(&inbox.waker);
        }
    }
}

impl GroupCall {
    /// Answers the request with nothing but `error`.
    pub(crate) fn refuse(self, error: GroupError) {
        let body = ReplyBody::refusal(&self.body, error);
        self.reply.send(Ok(body));
    }
}
