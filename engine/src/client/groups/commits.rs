//! Commits of a consumer in a group that the caller waits for, and the requests of all its commits.

use super::consumer::{CommitKind, GroupConsumer, Phase, SentCommit};
use super::error::GroupsError;
use super::link::{LOAD_MAX, RETRY_AFTER};
use super::offsets::{self, Commit, Committer};
use crate::clock::after;
use crate::group::GroupError;
use crate::shard::Ticket;
use std::task::Poll;
use std::time::{Duration, Instant};

/// The outcome of a commit for a topic that was deleted while the request was on its way.
const DELETED: GroupError = GroupError::UnknownTopicOrPartition;

impl GroupConsumer {
    /// Commits the positions of all partitions, and waits for the reply. The records that the last poll has returned count
    /// as read. Partitions whose topic was deleted are left out.
    ///
    /// # Errors
    /// [`GroupsError`]. Nothing is committed then, except after `ShardStuck`, which leaves that open.
    /// [`GroupsError::NotMember`] before the consumer has joined, and after its group has removed it.
    pub async fn commit(&mut self) -> Result<(), GroupsError> {
        loop {
            self.check_member()?;
            let mut commits = self.owned.positions();
            self.retain_existing(&mut commits);
            match self.commit_loaded(&commits).await {
                // What was deleted is left out now.
                Err(GroupsError::Refused(DELETED)) => {}
                outcome => return outcome,
            }
        }
    }

    /// Commits given positions, and waits for the reply. They may be of any partition that exists, and beyond a log's end.
    ///
    /// # Errors
    /// As [`GroupConsumer::commit`]; [`GroupsError::UnknownPartition`] if a topic or partition does not exist, or if the
    /// consumer reads a topic that was deleted, and another one has its name. If the metadata of some is too long, the
    /// others are committed.
    pub async fn commit_offsets(&mut self, commits: Vec<Commit>) -> Result<(), GroupsError> {
        self.check_member()?;
        offsets::check_partitions(&self.directory, &commits)?;
        match self.commit_loaded(&commits).await {
            Err(GroupsError::Refused(DELETED)) => Err(self.unknown_of(commits)),
            outcome => outcome,
        }
    }

    /// Returns the error for commits that were refused because a topic is gone.
    fn unknown_of(&self, commits: Vec<Commit>) -> GroupsError {
        let is_gone = |commit: &Commit| !self.is_current(&commit.partition);
        let index = commits.iter().position(is_gone).unwrap_or(0);
        match commits.into_iter().nth(index) {
            Some(commit) => GroupsError::UnknownPartition { partition: commit.partition },
            None => DELETED.into(),
        }
    }

    /// Commits, and tries again while the coordinator still reads its groups.
    async fn commit_loaded(&mut self, commits: &[Commit]) -> Result<(), GroupsError> {
        if commits.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        loop {
            let outcome = self.send_and_wait(commits.to_vec()).await;
            let is_loading = outcome.as_ref().is_err_and(GroupsError::is_loading);
            if !is_loading || begun.elapsed() > LOAD_MAX {
                return outcome;
            }
            self.pause_requests(RETRY_AFTER).await;
            self.check_member()?;
        }
    }

    /// Refuses a commit of a consumer that is in no generation. The coordinator would take it for one of a consumer without a
    /// group, if the group is empty.
    fn check_member(&self) -> Result<(), GroupsError> {
        if self.phase == Phase::Closed {
            Err(GroupsError::Closed)
        } else if self.generation < 0 {
            Err(GroupsError::NotMember)
        } else {
            Ok(())
        }
    }

    /// Handles replies for a while, and sends nothing new.
    async fn pause_requests(&mut self, pause: Duration) {
        let until = after(Instant::now(), pause);
        self.link.wake_at(until);
        std::future::poll_fn(|context| {
            self.link.inbox().waker.register(context.waker());
            self.take_replies();
            if Instant::now() >= until { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    async fn send_and_wait(&mut self, commits: Vec<Commit>) -> Result<(), GroupsError> {
        let ticket = self.send_commit(CommitKind::Awaited, commits);
        std::future::poll_fn(|context| {
            self.link.inbox().waker.register(context.waker());
            self.link.flush();
            self.take_replies();
            match self.awaited.take() {
                Some((answered, outcome)) if answered == ticket => Poll::Ready(outcome),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Commits as [`GroupConsumer::commit`], for a plain thread.
    ///
    /// # Errors
    /// As [`GroupConsumer::commit`].
    pub fn wait_commit(&mut self) -> Result<(), GroupsError> {
        pollster::block_on(self.commit())
    }

    /// Commits as [`GroupConsumer::commit_offsets`], for a plain thread.
    ///
    /// # Errors
    /// As [`GroupConsumer::commit_offsets`].
    pub fn wait_commit_offsets(&mut self, commits: Vec<Commit>) -> Result<(), GroupsError> {
        pollster::block_on(self.commit_offsets(commits))
    }

    pub(super) fn send_commit(&mut self, kind: CommitKind, commits: Vec<Commit>) -> Ticket {
        let committer = Committer {
            group: self.config.group_id.clone(),
            generation: self.generation,
            member_id: self.member_id.clone(),
            instance_id: self.config.group_instance_id.clone(),
        };
        // The topics that were read: others of these names may have taken their places.
        let id_of = |topic: &str| self.owned.topic_id(topic).or_else(|| self.directory.topics.id(topic));
        let request = committer.request(&commits, id_of);
        let ticket = self.link.send(request);
        self.commits.insert(ticket, SentCommit { kind, commits, sent_at: Instant::now() });
        ticket
    }
}
