//! Tickets: the numbers by which a handle recognizes the answers to its requests.

use crate::num::usize_of;

/// The number of a request. It holds an index, which finds what the request is for, and a count, which distinguishes
/// requests with the same index.
///
/// Tickets of one handle are ordered by their counts, until the count starts again from 0 after 2³² requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// The ticket of request number `count`. `index` is below 2³².
    pub(crate) const fn new(count: u32, index: usize) -> Self {
        Self((count as u64) << 32 | index as u64)
    }

    /// Returns the index that the ticket was made with.
    pub(crate) const fn index(self) -> usize {
        usize_of(self.0 & u32::MAX as u64)
    }
}
