//! A reader of a load thread: a consumer of fixed partitions, or a member of a group.

use super::member::Member;
use super::{Consumer, ConsumerOutcome};
use crate::load::shared::Shared;
use crate::load::turn::ThreadTurn;
use crate::time::timeline::Timeline;
use std::task::Waker;

/// A reader that a load thread drives.
pub(crate) enum Reader {
    /// A consumer of fixed partitions.
    Fixed(Consumer),
    /// A member of a group.
    Member(Box<Member>),
}

impl Reader {
    /// Returns whether the reader has not reached the end of its backlog yet. Only consumers of fixed partitions have one.
    pub(crate) fn is_behind(&self) -> bool {
        match self {
            Self::Fixed(consumer) => consumer.is_behind(),
            Self::Member(_) => false,
        }
    }

    /// Checks whether the reader has reached the end of its backlog, as the last of all readers.
    pub(crate) fn check_caught_up(&mut self, shared: &Shared) -> bool {
        match self {
            Self::Fixed(consumer) => consumer.check_caught_up(shared),
            Self::Member(_) => false,
        }
    }

    /// Reads what has arrived, up to a limit. Returns whether there may be more.
    pub(crate) fn poll(&mut self, turn: &mut ThreadTurn<'_>, waker: &Waker) -> anyhow::Result<bool> {
        match self {
            Self::Fixed(consumer) => consumer.poll(turn, waker),
            Self::Member(member) => member.poll(turn, waker),
        }
    }

    /// The time at which the reader has something to do even if it was not woken, ns; `u64::MAX` if there is none.
    pub(crate) fn due_ns(&self, timeline: &Timeline) -> u64 {
        match self {
            Self::Fixed(_) => u64::MAX,
            Self::Member(member) => member.due_ns(timeline),
        }
    }

    /// Checks whether every record that will ever be acked was read: by the consumer, or by the member's group.
    pub(crate) fn check_done(&mut self, shared: &Shared) -> bool {
        match self {
            Self::Fixed(consumer) => {
                consumer.check_done(shared);
                consumer.is_done()
            }
            Self::Member(member) => member.is_done(shared),
        }
    }

    /// Returns the result. What a member has read is in its group.
    pub(crate) fn finish(self) -> ConsumerOutcome {
        match self {
            Self::Fixed(consumer) => consumer.finish(),
            Self::Member(_) => ConsumerOutcome::default(),
        }
    }
}
