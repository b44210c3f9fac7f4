//! Members of consumer groups: what a load thread asks of one, and what it gets to hear.

use super::FetchSink;
use crate::workload::Assignor;
use std::task::{Context, Poll};
use std::time::Duration;

/// Settings of a member of a consumer group. The group reads all partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSpec {
    /// Id of the group.
    pub group: String,
    /// The topic that the group reads.
    pub topic: String,
    /// How the leader of the group divides the partitions.
    pub assignor: Assignor,
    /// Time between two heartbeats.
    pub heartbeat_interval: Duration,
    /// Time between two commits that the client makes by itself; `None` if it makes none.
    pub auto_commit: Option<Duration>,
    /// Largest number of bytes that one fetch returns.
    pub fetch_bytes_max: u64,
}

/// A member of a consumer group. Where its group has no committed offset, it reads from the log's start, or from the end that an
/// existing topic had when the trial began.
pub trait SystemMember {
    /// Returns the next event. Records are passed to `sink`, as a consumer does; there [`FetchedInfo::assignment`] is the number of
    /// the partition. If there is no event, keeps the waker and returns `Pending`. The member joins at the first call, or
    /// has begun to join before.
    ///
    /// [`FetchedInfo::assignment`]: super::FetchedInfo::assignment
    ///
    /// # Errors
    /// The system failed.
    fn poll_event(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn FetchSink,
    ) -> Poll<anyhow::Result<MemberEvent>>;

    /// The state of the membership after the last poll.
    fn membership(&self) -> Membership;

    /// Begins a commit of all positions. No records come until its event, [`MemberEvent::Committed`] or
    /// [`MemberEvent::CommitFailed`]. Nothing happens if the member is not in a generation.
    fn commit(&mut self);

    /// Begins to leave the group. If `commits` is true, all positions are committed before. [`MemberEvent::Left`] says that it is
    /// done.
    fn leave(&mut self, commits: bool);

    /// Joins the group again, as a new member, with the next poll. Only after [`MemberEvent::Left`].
    ///
    /// # Errors
    /// The client cannot be made.
    fn join(&mut self) -> anyhow::Result<()>;
}

/// An event of a member.
#[derive(Debug)]
pub enum MemberEvent {
    /// Records of one partition were passed to the sink.
    Records,
    /// A rebalance is over, and these partitions were added: number, and the offset of the first record that may be read, if it
    /// is known.
    Assigned(Vec<(u32, Option<u64>)>),
    /// These partitions are about to go, and are no longer read. A commit that begins before the next poll can still cover them.
    Revoked(Vec<u32>),
    /// These partitions are gone: the group has removed the member, which joins again.
    Lost(Vec<u32>),
    /// Retention has deleted the offsets from `from` to `to` before they were read.
    Deleted {
        /// Number of the partition.
        partition: u32,
        /// The offset that was to be read.
        from: u64,
        /// The offset that is read instead.
        to: u64,
    },
    /// A commit has succeeded.
    Committed {
        /// Time from sending it until its answer.
        took: Duration,
    },
    /// A commit has failed.
    CommitFailed,
    /// The member has left the group.
    Left,
}

/// The state of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The generation; `None` if the member is in none.
    pub generation: Option<i32>,
    /// Whether the member has no assignment of the current generation yet.
    pub is_rebalancing: bool,
}

impl Membership {
    /// The state before the first join.
    pub const NONE: Self = Self { generation: None, is_rebalancing: true };
}
