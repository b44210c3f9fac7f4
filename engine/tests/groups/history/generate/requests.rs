//! The clients of a history without its coordinator: they send requests to any coordinator, and hear its replies.

use super::super::Op;
use super::super::client::{Consumer, Phase};
use super::Generator;
use rand::RngExt as _;
use vnotch_engine::group::{GroupError, Heartbeat, Reply, ReplyBody, Request, RequestBody};

impl Generator {
    /// Returns the next request of some client, if one sends something now.
    pub(crate) fn next_request(&mut self) -> Option<Request> {
        let op = match self.random.random_range(0..100) {
            0..15 => self.administration(),
            15..25 => self.oddity(),
            _ => self.ordinary(),
        };
        if let Op::Request { request, .. } = op { Some(*request) } else { None }
    }

    /// Takes note of the reply to a request.
    pub(crate) fn hear_reply(&mut self, request: &RequestBody, reply: &Reply) {
        for consumer in &mut self.consumers {
            consumer.hear(reply.token, &reply.body);
        }
        if let (RequestBody::Heartbeat(heartbeat), ReplyBody::Heartbeat(Err(error))) = (request, &reply.body)
        {
            self.fail_heartbeat(heartbeat, *error);
        }
    }

    /// The coordinator has gone without an answer to the requests that wait. The clients keep what they know.
    pub(crate) fn lose_coordinator(&mut self) {
        let waits =
            |consumer: &&mut Consumer| matches!(consumer.phase, Phase::Joining(_) | Phase::Syncing(_));
        for consumer in self.consumers.iter_mut().filter(waits) {
            consumer.fail(GroupError::NotCoordinator);
        }
    }

    /// All clients begin anew, as after a power loss of their machine.
    pub(crate) fn begin_anew(&mut self) {
        for consumer in &mut self.consumers {
            consumer.fail(GroupError::UnknownMemberId);
        }
    }

    /// A member whose heartbeat fails joins again.
    pub(super) fn fail_heartbeat(&mut self, heartbeat: &Heartbeat, error: GroupError) {
        let sender = self.consumers.iter_mut().find(|consumer| {
            consumer.group == heartbeat.group
                && consumer.member_id == heartbeat.member_id
                && consumer.phase == Phase::Member
        });
        if let Some(sender) = sender {
            sender.fail(error);
        }
    }
}
