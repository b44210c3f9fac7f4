//! The extents of segment files that were read last, or are being read.

use crate::buffer::Slice;
use crate::error::DiskError;
use futures_util::future::{FutureExt as _, LocalBoxFuture, Shared};
use std::collections::VecDeque;

/// A read of a file; short where the file is.
pub(super) type Read = LocalBoxFuture<'static, Result<Slice, DiskError>>;

/// A read under way or done.
pub(super) type ReadFuture = Shared<Read>;

/// Batches of a segment file, in memory or on their way.
pub(super) struct Extent {
    /// Base offset of the segment.
    pub(super) segment: i64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) read: ReadFuture,
}

/// See the module; oldest first.
#[derive(Default)]
pub(super) struct ReadCache {
    extents: VecDeque<Extent>,
    /// Where the last fetch from disk ended; the next one that begins there is sequential.
    pub(super) last_end: Option<End>,
}

/// Where a fetch ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) segment: i64,
    pub(super) position: u64,
    /// The offset that comes next, be it in another segment.
    pub(super) next_offset: i64,
}

impl Extent {
    /// Whether its read has failed: the next reader reads again, as the disk may be well by then.
    fn has_failed(&self) -> bool {
        matches!(self.read.peek(), Some(Err(_)))
    }

    fn holds(&self, segment: i64, position: u64) -> bool {
        self.segment == segment && self.start <= position && position < self.end
    }
}

impl ReadCache {
    pub(super) fn clear(&mut self) {
        self.extents.clear();
    }

    /// Whether a fetch at `offset`, which is at or after `position` of a segment, goes on where the last one ended, or
    /// begins: what is worth reading ahead for.
    pub(super) fn is_sequential(&self, segment: i64, position: u64, offset: i64) -> bool {
        self.last_end.is_none_or(|end| {
            end.next_offset == offset || (end.segment == segment && end.position >= position)
        })
    }

    /// The extent that holds the batch at `start`: where it begins and ends, and its read.
    pub(super) fn find(&self, segment: i64, start: u64) -> Option<(u64, u64, ReadFuture)> {
        let mut extents = self.extents.iter();
        let extent = extents.find(|extent| extent.holds(segment, start) && !extent.has_failed())?;
        Some((extent.start, extent.end, extent.read.clone()))
    }

    /// Looks after reads of a segment that nobody has waited for: those that are done let go of its file.
    pub(super) fn poll_reads(&self, segment: i64) {
        for extent in self.extents.iter().filter(|extent| extent.segment == segment) {
            let _ = extent.read.clone().now_or_never();
        }
    }

    /// Keeps `extents_max` of them.
    pub(super) fn insert(&mut self, extent: Extent, extents_max: usize) {
        self.extents.retain(|extent| !extent.has_failed());
        while self.extents.len() >= extents_max {
            self.extents.pop_front();
        }
        self.extents.push_back(extent);
    }
}
