//! The way of a client to a group's coordinator: requests out, replies in. Never waits.

use super::error::GroupsError;
use crate::client::port::{Reach as _, Remote, RemoteDirectory, Route, Unreachable};
use crate::clock::after;
use crate::group::{Client, GroupError, ReplyBody, RequestBody};
use crate::shard::{
    GroupAnswer, GroupCall, GroupInbox, GroupReply, OFFSETS_TOPIC, Refusal, Ticket, partition_of_group,
};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Version of all requests: those of Kafka's newest clients.
const API_VERSION: i16 = 9;

/// Index of the tickets of requests. The heartbeats of a member have another.
const REQUEST: usize = 0;
/// Index of the tickets of heartbeats. Their count is the generation.
pub(super) const HEARTBEAT: usize = 1;

/// Time after which a member sends a request again that could not be served (Kafka's `retry.backoff.ms`).
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Longest time that a call waits for a coordinator that still reads its groups.
pub(super) const LOAD_MAX: Duration = Duration::from_secs(30);

/// Time between two tries of such a call.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// The way to the coordinator of one partition of `__consumer_offsets`.
#[derive(Debug, Clone)]
pub(super) struct Coordinator {
    route: Route<Remote>,
    client: Client,
}

/// A client's requests to one coordinator.
#[derive(Debug)]
pub(super) struct Link {
    coordinator: Coordinator,
    inbox: Arc<GroupInbox>,
    sent: u32,
    /// Requests that found no room in the mailbox.
    unsent: VecDeque<Box<GroupCall>>,
    /// Requests that are not answered.
    open: BTreeSet<Ticket>,
}

impl Coordinator {
    /// Finds the coordinator of a group; `None` if groups are not open.
    pub(super) fn of_group(directory: &RemoteDirectory, group: &str, client: Client) -> Option<Self> {
        let count = u32::try_from(directory.topics.get(OFFSETS_TOPIC)?.places.len()).ok()?;
        Self::of_partition(directory, partition_of_group(group, count), client)
    }

    /// Finds the coordinator of a partition of `__consumer_offsets`.
    pub(super) fn of_partition(directory: &RemoteDirectory, partition: u32, client: Client) -> Option<Self> {
        let topic = directory.topics.get(OFFSETS_TOPIC)?;
        let place = *topic.places.get(partition as usize)?;
        Some(Self { route: directory.route(place), client })
    }

    /// Returns the message for a request.
    fn call(&self, body: RequestBody, inbox: &Arc<GroupInbox>, ticket: Ticket) -> Box<GroupCall> {
        Box::new(GroupCall {
            slot: self.route.slot,
            client: self.client.clone(),
            api_version: API_VERSION,
            body,
            reply: GroupReply { inbox: Arc::downgrade(inbox), ticket },
        })
    }

    /// Sends a message. Returns it if the mailbox has no room.
    fn send(&self, call: Box<GroupCall>, inbox: &GroupInbox) -> Result<(), Refusal<Box<GroupCall>>> {
        self.route.port.try_group(call, &inbox.waker)
    }

    /// Sends a request whose ticket has another index than [`REQUEST`]. Returns `false` if it was not sent.
    pub(super) fn send_aside(&self, body: RequestBody, inbox: &Arc<GroupInbox>, ticket: Ticket) -> bool {
        let call = self.call(body, inbox, ticket);
        self.send(call, inbox).is_ok()
    }

    fn error(&self, unreachable: Unreachable) -> GroupsError {
        match unreachable {
            Unreachable::Stuck => GroupsError::ShardStuck { shard: self.route.port.shard() },
            Unreachable::Closed => GroupsError::Closed,
        }
    }
}

impl Link {
    pub(super) fn new(coordinator: Coordinator) -> Self {
        let inbox = Arc::new(GroupInbox::default());
        coordinator.route.port.register(&inbox.waker);
        Self { coordinator, inbox, sent: 0, unsent: VecDeque::new(), open: BTreeSet::new() }
    }

    pub(super) const fn inbox(&self) -> &Arc<GroupInbox> {
        &self.inbox
    }

    pub(super) const fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Has the client woken at `due`.
    pub(super) fn wake_at(&self, due: Instant) {
        self.coordinator.route.port.wake_at(due, &self.inbox.waker);
    }

    /// Sends a request. Its reply comes through [`Link::next`].
    pub(super) fn send(&mut self, body: RequestBody) -> Ticket {
        let ticket = Ticket::new(self.sent, REQUEST);
        self.sent = self.sent.wrapping_add(1);
        self.open.insert(ticket);
        self.unsent.push_back(self.coordinator.call(body, &self.inbox, ticket));
        self.flush();
        ticket
    }

    /// Sends what found no room before.
    pub(super) fn flush(&mut self) {
        while let Some(call) = self.unsent.pop_front() {
            match self.coordinator.send(call, &self.inbox) {
                Ok(()) => {}
                // A shard that is unreachable is noticed by `next`.
                Err(Refusal::Full(call) | Refusal::Stuck(call) | Refusal::Closed(call)) => {
                    self.unsent.push_front(call);
                    return;
                }
            }
        }
    }

    /// Returns the next reply. Requests to a shard that sends no replies fail.
    pub(super) fn next(&mut self) -> Option<(Ticket, Result<ReplyBody, GroupsError>)> {
        if let Some((ticket, answer)) = self.inbox.replies.pop() {
            self.open.remove(&ticket);
            return Some((ticket, into_result(answer)));
        }
        let unreachable = self.coordinator.route.port.unreachable()?;
        let ticket = self.open.pop_first()?;
        self.unsent.clear();
        Some((ticket, Err(self.coordinator.error(unreachable))))
    }

    /// Whether [`Link::next`] has an outcome already.
    pub(super) fn has_next(&self) -> bool {
        !self.inbox.replies.is_empty()
            || !self.open.is_empty() && self.coordinator.route.port.unreachable().is_some()
    }

    /// Sends a request and waits for its reply. Replies to other requests are dropped.
    pub(super) async fn call(&mut self, body: RequestBody) -> Result<ReplyBody, GroupsError> {
        let ticket = self.send(body);
        std::future::poll_fn(|context| self.poll_reply(ticket, context)).await
    }

    /// Waits at most for `longest` for the reply to a request that was sent. Returns `None` if it has not come. Replies to other
    /// requests are dropped.
    pub(super) async fn reply(
        &mut self,
        ticket: Ticket,
        longest: Duration,
    ) -> Option<Result<ReplyBody, GroupsError>> {
        let until = after(Instant::now(), longest);
        self.wake_at(until);
        std::future::poll_fn(|context| match self.poll_reply(ticket, context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if Instant::now() >= until => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    fn poll_reply(&mut self, ticket: Ticket, context: &Context<'_>) -> Poll<Result<ReplyBody, GroupsError>> {
        self.inbox.waker.register(context.waker());
        self.flush();
        while let Some((answered, outcome)) = self.next() {
            if answered == ticket {
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    }
}

/// Sends a request and waits for the reply. A coordinator that still reads its groups is asked again.
pub(super) fn call_loaded(coordinator: Coordinator, request: &RequestBody) -> Result<ReplyBody, GroupsError> {
    let mut link = Link::new(coordinator);
    let begun = Instant::now();
    loop {
        let reply = pollster::block_on(link.call(request.clone()))?;
        let is_loading = error_of(&reply) == Some(GroupError::CoordinatorLoadInProgress);
        if !is_loading || begun.elapsed() > LOAD_MAX {
            return Ok(reply);
        }
        std::thread::sleep(AGAIN_AFTER);
    }
}

fn into_result(answer: GroupAnswer) -> Result<ReplyBody, GroupsError> {
    Ok(answer?)
}

/// Returns the error that a reply says of the whole request, or of the first of its parts.
pub(super) fn error_of(reply: &ReplyBody) -> Option<GroupError> {
    match reply {
        ReplyBody::Join(reply) => reply.outcome.as_ref().err().copied(),
        ReplyBody::Sync(outcome) => outcome.as_ref().err().copied(),
        ReplyBody::Heartbeat(outcome) => outcome.err(),
        ReplyBody::Leave(Ok(members)) => members.iter().find_map(|member| member.outcome.err()),
        ReplyBody::Leave(Err(error))
        | ReplyBody::OffsetFetch(Err(error))
        | ReplyBody::OffsetDelete(Err(error)) => Some(*error),
        ReplyBody::OffsetCommit(topics) | ReplyBody::OffsetDelete(Ok(topics)) => {
            topics.iter().flat_map(|(_, partitions)| partitions).find_map(|(_, outcome)| outcome.err())
        }
        ReplyBody::OffsetFetch(Ok(_)) => None,
        ReplyBody::DeleteGroups(groups) => groups.iter().find_map(|(_, outcome)| outcome.err()),
        ReplyBody::DescribeGroups(groups) => groups.iter().find_map(|group| group.error),
        ReplyBody::ListGroups(outcome) => outcome.as_ref().err().copied(),
    }
}
