//! A cache of extents of segment files: those that were read last, or are being read.

use crate::buffer::Slice;
use crate::error::DiskError;
use futures_util::future::{FutureExt as _, LocalBoxFuture, Shared};
use std::collections::VecDeque;

/// A read of a file. It returns fewer bytes if the file is shorter.
pub(super) type Read = LocalBoxFuture<'static, Result<Slice, DiskError>>;

/// A read that is under way or done.
pub(super) type ReadFuture = Shared<Read>;

/// An extent of a segment's file, with its read.
pub(super) struct Extent {
    /// Base offset of the segment.
    pub(super) segment: i64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) read: ReadFuture,
}

/// The cached extents; the oldest read comes first.
#[derive(Default)]
pub(super) struct ReadCache {
    extents: VecDeque<Extent>,
    /// The end of the last fetch from disk. A fetch that begins there is sequential.
    pub(super) last_end: Option<End>,
}

/// The position in the log at which a fetch has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) segment: i64,
    pub(super) position: u64,
    /// The offset that comes next, possibly in another segment.
    pub(super) next_offset: i64,
}

impl Extent {
    /// Whether the read has failed. The next reader then reads again, because the disk may work again.
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

    /// Whether a fetch at `offset` is sequential, so that reading ahead is useful. It is, if it continues at the end of
    /// the last fetch, or if it is the first one. The offset lies at or after `position` of a segment.
    pub(super) fn is_sequential(&self, segment: i64, position: u64, offset: i64) -> bool {
        self.last_end.is_none_or(|end| {
            end.next_offset == offset || (end.segment == segment && end.position >= position)
        })
    }

    /// The start, the end and the read of the extent that holds the batch at `start`.
    pub(super) fn find(&self, segment: i64, start: u64) -> Option<(u64, u64, ReadFuture)> {
        let mut extents = self.extents.iter();
        let extent = extents.find(|extent| extent.holds(segment, start) && !extent.has_failed())?;
        Some((extent.start, extent.end, extent.read.clone()))
    }

    /// Polls the reads of a segment that nobody may wait for. Those that are done release the segment's file.
    pub(super) fn poll_reads(&self, segment: i64) {
        for extent in self.extents.iter().filter(|extent| extent.segment == segment) {
            let _ = extent.read.clone().now_or_never();
        }
    }

    /// Adds an extent. Drops failed ones, and the oldest until at most `extents_max` are left.
    pub(super) fn insert(&mut self, extent: Extent, extents_max: usize) {
        self.extents.retain(|extent| !extent.has_failed());
        while self.extents.len() >= extents_max {
            self.extents.pop_front();
        }
        self.extents.push_back(extent);
    }
}
