//! A member of a consumer group. Each time that it joins it is a new client, and so a new member to the group.

use super::ending::Endings;
use super::session::{Commits, Session};
use crate::system::{FetchSink, MemberEvent, Membership, SystemMember};
use rdkafka::ClientConfig;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The settings of a member.
#[derive(Debug, Clone)]
pub(in crate::system::kafka) struct MemberPlan {
    /// The configuration of its clients.
    pub(in crate::system::kafka) config: ClientConfig,
    /// The topic's name in the cluster.
    pub(in crate::system::kafka) topic: String,
    /// The offset of the first record of each partition that may be read; empty for a topic that the run makes.
    pub(in crate::system::kafka) first_offsets: Arc<[u64]>,
    /// Whether the client commits by itself.
    pub(in crate::system::kafka) commits_by_itself: bool,
    /// Largest number of bytes that one fetch passes on.
    pub(in crate::system::kafka) fetch_bytes_max: u64,
}

/// A member of a consumer group.
pub(in crate::system::kafka) struct KafkaMember {
    plan: MemberPlan,
    endings: Endings,
    /// The membership; `None` after the member has left.
    session: Option<Session>,
}

impl KafkaMember {
    /// Makes a member, which begins to join. Its clients end among `endings`.
    ///
    /// # Errors
    /// The client cannot be made.
    pub(in crate::system::kafka) fn new(plan: MemberPlan, endings: Endings) -> anyhow::Result<Self> {
        let mut member = Self { plan, endings, session: None };
        member.join()?;
        Ok(member)
    }

    fn end(&mut self) {
        if let Some(session) = self.session.take() {
            self.endings.end(session.into_client());
        }
    }
}

impl SystemMember for KafkaMember {
    fn poll_event(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn FetchSink,
    ) -> Poll<anyhow::Result<MemberEvent>> {
        let Some(session) = &mut self.session else { return Poll::Pending };
        let polled = session.poll(context, sink);
        if matches!(polled, Poll::Ready(Ok(MemberEvent::Left))) {
            self.end();
        }
        polled
    }

    fn membership(&self) -> Membership {
        self.session.as_ref().map_or(Membership::NONE, Session::membership)
    }

    fn commit(&mut self) {
        self.session.iter_mut().for_each(Session::commit);
    }

    fn leave(&mut self, commits: bool) {
        self.session.iter_mut().for_each(|session| session.leave(commits));
    }

    fn join(&mut self) -> anyhow::Result<()> {
        let MemberPlan { config, topic, first_offsets, commits_by_itself, fetch_bytes_max } = &self.plan;
        let commits = if *commits_by_itself { Commits::ByItself } else { Commits::WhenAsked };
        self.session = Some(Session::begin(config, (topic, first_offsets), commits, *fetch_bytes_max)?);
        Ok(())
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.end();
    }
}
