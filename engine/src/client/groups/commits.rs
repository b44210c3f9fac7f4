//! Commits of a consumer in a group: those that the caller waits for, automatic ones, and their answers.

use super::consumer::{GroupConsumer, GroupEvent, Phase, SentCommit};
use super::error::GroupsError;
use super::link::{LOAD_MAX, RETRY_AFTER, error_of};
use super::offsets::{self, Commit, CommitKind, Committer};
use super::partitions::Partitions;
use crate::clock::after;
use crate::group::{GroupError, ReplyBody};
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
        self.commit_all(Partitions::positions).await
    }

    /// Commits what `positions` returns, and waits for the reply.
    pub(super) async fn commit_all(
        &mut self,
        positions: fn(&Partitions) -> Vec<Commit>,
    ) -> Result<(), GroupsError> {
        loop {
            self.check_member()?;
            let mut commits = positions(&self.owned);
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
        self.owned.commit_sent(ticket, kind, &commits);
        let generation = self.generation;
        self.commits.insert(ticket, SentCommit { kind, commits, generation, sent_at: Instant::now() });
        ticket
    }

    /// Commits what the caller is done with, if commits are automatic and the interval has passed. During a rebalance the commit
    /// has the old generation. The coordinator takes it until the new one begins.
    pub(super) fn commit_if_due(&mut self, now: Instant) {
        let Some(every) = self.config.auto_commit.filter(|_| self.generation >= 0) else { return };
        if self.next_commit.is_none_or(|at| at <= now) {
            self.next_commit = Some(after(now, every));
            // One at a time: a slow log would get the same positions again and again.
            let is_waiting = self.commits.values().any(|sent| sent.kind == CommitKind::Automatic);
            let mut done = if is_waiting { Vec::new() } else { self.owned.done() };
            self.retain_existing(&mut done);
            if !done.is_empty() {
                self.send_commit(CommitKind::Automatic, done);
            }
        }
        if let Some(at) = self.next_commit {
            self.arm(at, now);
        }
    }

    pub(super) fn commit_answered(
        &mut self,
        ticket: Ticket,
        sent: SentCommit,
        outcome: Result<ReplyBody, GroupsError>,
    ) {
        let outcome = outcome.and_then(|reply| error_of(&reply).map_or(Ok(()), |error| Err(error.into())));
        if outcome.is_ok() {
            self.owned.committed(ticket, &sent.commits);
        }
        let is_of_old_generation = self.generation >= 0 && self.generation != sent.generation;
        let refused = match &outcome {
            // The next generation began before the commit arrived. The member is in it.
            Err(GroupsError::Refused(GroupError::UnknownMemberId | GroupError::IllegalGeneration))
                if is_of_old_generation =>
            {
                Some(GroupError::RebalanceInProgress)
            }
            Err(GroupsError::Refused(error)) => Some(*error),
            _ => None,
        };
        // A topic was deleted while the request was on its way. The rest is committed before the partitions go.
        if sent.kind == CommitKind::BeforeRelease
            && refused == Some(GroupError::UnknownTopicOrPartition)
            && self.phase == Phase::Releasing(ticket)
        {
            return self.begin_release();
        }
        self.report_commit(ticket, sent, outcome, refused);
        match refused {
            Some(
                error @ (GroupError::UnknownMemberId
                | GroupError::IllegalGeneration
                | GroupError::FencedInstanceId),
            ) if self.generation >= 0 => self.lose(error),
            Some(GroupError::RebalanceInProgress) if !is_of_old_generation => self.begin_rebalance(),
            _ => {}
        }
        if self.phase == Phase::Releasing(ticket) {
            self.release();
        }
    }

    /// Passes the outcome of a commit to the caller that waits for it, or makes an event of it. `refused` is the error that the
    /// member reacts to.
    fn report_commit(
        &mut self,
        ticket: Ticket,
        sent: SentCommit,
        outcome: Result<(), GroupsError>,
        refused: Option<GroupError>,
    ) {
        let SentCommit { kind, commits, sent_at, .. } = sent;
        match (kind, outcome) {
            (CommitKind::Awaited, outcome) => self.awaited = Some((ticket, outcome)),
            // The next commit has the rest.
            (CommitKind::Automatic, Err(_)) if refused == Some(DELETED) => {}
            // The next generation has other partitions, and commits its own positions.
            (_, Err(_)) if refused == Some(GroupError::RebalanceInProgress) => {}
            (_, Err(error)) => self.events.push_back(Ok(GroupEvent::CommitFailed(error))),
            (_, Ok(())) if self.config.reports_commits => {
                let took = sent_at.elapsed();
                self.events.push_back(Ok(GroupEvent::Committed { commits, took }));
            }
            (_, Ok(())) => {}
        }
    }
}
