//! A member of a consumer group of the embedded engine. Commits that are waited for, and leaving, are futures that own the client
//! while they run, so that no load thread waits.

use super::{fetch_config, show};
use crate::system::{FetchSink, MemberEvent, MemberSpec, Membership, SystemMember};
use crate::workload;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::task::{Context, Poll};
use std::time::Instant;
use vnotch_engine::client::{
    AutoOffsetReset, GroupClients, GroupConsumer, GroupConsumerConfig, GroupEvent, GroupsError, Subscribe,
};
use vnotch_engine::group::Assignor;
use vnotch_engine::types::TopicPartition;

/// A member of a consumer group.
pub(super) struct EngineMember {
    clients: GroupClients,
    spec: MemberSpec,
    state: State,
    membership: Membership,
}

/// The owner of the client.
enum State {
    /// The member polls it.
    Polled(Box<GroupConsumer>),
    /// A commit uses it.
    Committing(BoxFuture<'static, (Box<GroupConsumer>, MemberEvent)>),
    /// The member is leaving. The commit before that is answered first.
    Leaving(BoxFuture<'static, (Option<MemberEvent>, anyhow::Result<()>)>),
    /// The event of the commit was returned, and the member has left.
    HasLeft(anyhow::Result<()>),
    /// The member is not in the group.
    Out,
}

impl EngineMember {
    pub(super) fn new(clients: GroupClients, spec: &MemberSpec) -> anyhow::Result<Self> {
        let state = State::Polled(consumer(&clients, spec)?);
        Ok(Self { clients, spec: spec.clone(), state, membership: Membership::NONE })
    }

    fn note(&mut self) {
        self.membership = match &self.state {
            State::Polled(consumer) => Membership {
                generation: consumer.member().map(|(_, generation)| generation),
                is_rebalancing: consumer.is_rebalancing(),
            },
            State::Committing(_) => return,
            State::Leaving(_) | State::HasLeft(_) | State::Out => Membership::NONE,
        };
    }

    fn advance(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn FetchSink,
    ) -> Poll<anyhow::Result<MemberEvent>> {
        loop {
            match &mut self.state {
                State::Polled(consumer) => {
                    let Poll::Ready(event) = consumer.poll(context)? else { return Poll::Pending };
                    return Poll::Ready(event_of(consumer, event, sink));
                }
                State::Committing(commit) => {
                    let Poll::Ready((consumer, event)) = commit.poll_unpin(context) else {
                        return Poll::Pending;
                    };
                    self.state = State::Polled(consumer);
                    return Poll::Ready(Ok(event));
                }
                State::Leaving(leaving) => {
                    let Poll::Ready((committed, left)) = leaving.poll_unpin(context) else {
                        return Poll::Pending;
                    };
                    self.state = State::HasLeft(left);
                    if let Some(event) = committed {
                        return Poll::Ready(Ok(event));
                    }
                }
                State::HasLeft(_) => {
                    let State::HasLeft(left) = std::mem::replace(&mut self.state, State::Out) else {
                        continue;
                    };
                    return Poll::Ready(left.map(|()| MemberEvent::Left));
                }
                State::Out => return Poll::Pending,
            }
        }
    }
}

impl SystemMember for EngineMember {
    fn poll_event(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn FetchSink,
    ) -> Poll<anyhow::Result<MemberEvent>> {
        let outcome = self.advance(context, sink);
        self.note();
        outcome
    }

    fn membership(&self) -> Membership {
        self.membership
    }

    fn commit(&mut self) {
        match std::mem::replace(&mut self.state, State::Out) {
            State::Polled(mut consumer) if consumer.member().is_some() => {
                let commit = async move {
                    let event = commit(&mut consumer).await;
                    (consumer, event)
                };
                self.state = State::Committing(commit.boxed());
            }
            other => self.state = other,
        }
    }

    fn leave(&mut self, commits: bool) {
        let client = match std::mem::replace(&mut self.state, State::Out) {
            State::Polled(consumer) => futures_util::future::ready((consumer, None)).boxed(),
            // The commit under way is answered first.
            State::Committing(commit) => commit.map(|(consumer, event)| (consumer, Some(event))).boxed(),
            other => {
                self.state = other;
                return;
            }
        };
        let leaving = async move {
            let (mut consumer, mut committed) = client.await;
            if commits && committed.is_none() && consumer.member().is_some() {
                committed = Some(commit(&mut consumer).await);
            }
            (committed, consumer.leave().await.map_err(anyhow::Error::from))
        };
        self.state = State::Leaving(leaving.boxed());
        self.note();
    }

    fn join(&mut self) -> anyhow::Result<()> {
        self.state = State::Polled(consumer(&self.clients, &self.spec)?);
        self.membership = Membership::NONE;
        Ok(())
    }
}

/// Commits all positions, and waits for the answer.
async fn commit(consumer: &mut GroupConsumer) -> MemberEvent {
    let begun = Instant::now();
    match consumer.commit().await {
        Ok(()) => MemberEvent::Committed { took: begun.elapsed() },
        Err(_) => MemberEvent::CommitFailed,
    }
}

fn consumer(clients: &GroupClients, spec: &MemberSpec) -> Result<Box<GroupConsumer>, anyhow::Error> {
    let config = GroupConsumerConfig {
        assignors: vec![assignor_of(spec.assignor)],
        heartbeat_interval: spec.heartbeat_interval,
        auto_commit: spec.auto_commit,
        reports_commits: true,
        auto_offset_reset: AutoOffsetReset::Earliest,
        fetch: fetch_config(spec.fetch_bytes_max)?,
        ..GroupConsumerConfig::new(spec.group.clone())
    };
    Ok(Box::new(clients.consumer(config, Subscribe::topics([spec.topic.clone()]))?))
}

const fn assignor_of(assignor: workload::Assignor) -> Assignor {
    match assignor {
        workload::Assignor::Range => Assignor::Range,
        workload::Assignor::RoundRobin => Assignor::RoundRobin,
        workload::Assignor::CooperativeSticky => Assignor::CooperativeSticky,
    }
}

fn event_of(
    consumer: &GroupConsumer,
    event: GroupEvent,
    sink: &mut dyn FetchSink,
) -> anyhow::Result<MemberEvent> {
    let numbers = |names: Vec<TopicPartition>| names.iter().map(|name| name.partition).collect();
    Ok(match event {
        GroupEvent::Records(records) => {
            show(crate::num::index(records.partition.partition), &records.fetched, sink)?;
            MemberEvent::Records
        }
        GroupEvent::Assigned(names) => {
            let start = |name: &TopicPartition| Some(consumer.position(name)?.offset.unsigned_abs());
            MemberEvent::Assigned(names.iter().map(|name| (name.partition, start(name))).collect())
        }
        GroupEvent::Revoked(names) => MemberEvent::Revoked(numbers(names)),
        GroupEvent::Lost(names) => MemberEvent::Lost(numbers(names)),
        GroupEvent::Reset { partition, from, to } => {
            let (from, to) = (from.unsigned_abs(), to.unsigned_abs());
            MemberEvent::Deleted { partition: partition.partition, from, to }
        }
        GroupEvent::CommitFailed(GroupsError::Closed) => return Err(GroupsError::Closed.into()),
        GroupEvent::CommitFailed(_) => MemberEvent::CommitFailed,
        GroupEvent::Committed { took, .. } => MemberEvent::Committed { took },
    })
}
