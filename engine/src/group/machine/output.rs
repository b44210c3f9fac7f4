//! The effects of an input: replies, records to append, and the next deadline.

use crate::group::records::EncodedRecord;
use crate::group::reply::{Reply, ReplyBody};
use crate::group::request::Token;

/// Identifies records that are being appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendId(pub u64);

/// Records to append to the partition of `__consumer_offsets`, as one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Identifies the batch for [`Groups::appended`](super::Groups::appended).
    pub id: AppendId,
    /// The records, in order.
    pub records: Vec<EncodedRecord>,
    /// Requests whose replies wait for the batch.
    pub waiting: Vec<Token>,
}

/// The effects of an input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Replies that can leave now.
    pub replies: Vec<Reply>,
    /// Batches to append, in this order. Nothing of them has been applied.
    pub appends: Vec<Append>,
    /// Time of the next [`Groups::tick`](super::Groups::tick), ms on the monotonic clock; `None` if no deadline is set.
    pub next_deadline_ms: Option<u64>,
}

impl Output {
    /// Adds a reply that can leave now.
    pub(super) fn reply(&mut self, token: Token, body: ReplyBody) {
        self.replies.push(Reply { token, body });
    }
}
