//! The holes of a log: places where its records cannot be read. They are collected while its segments are read in
//! order.

use super::report::DamagedFrom;

/// The holes of one log.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    /// The first place at which records cannot be read.
    pub(crate) first: Option<DamagedFrom>,
    /// The place at which a repair has to cut the log. A scan accepts all bytes of the segment up to it.
    pub(crate) cut: Option<DamagedFrom>,
    /// The first offset with which the log can begin, if its first segments are missing or cannot be read.
    pub(crate) raised_start: Option<i64>,
    /// Base offsets of first segments of which no batch can be kept.
    pub(crate) lost: Vec<i64>,
    /// The last segment that was read.
    last: Option<Segment>,
}

/// A sealed segment that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) base_offset: i64,
    /// Size of its file, bytes.
    pub(super) end: u64,
    /// Offset after its last batch.
    pub(super) next_offset: i64,
    /// Byte and offset of the first record that cannot be read.
    pub(super) damage: Option<(u64, i64)>,
    /// Byte and offset at which a scan of the segment stops: at the damage, or before it.
    pub(super) scan_stop: Option<(u64, i64)>,
}

impl Holes {
    /// Adds a sealed segment. `is_trusted` says that an open does not scan it.
    pub(super) fn add(&mut self, segment: Segment, is_trusted: bool) {
        let unreadable = if is_trusted { segment.damage } else { segment.scan_stop };
        // A segment of 0 bytes is damaged: none is sealed before it holds a record.
        let damage = unreadable.or_else(|| (segment.end == 0).then_some((0, segment.base_offset)));
        let is_first = self.last.is_none() && self.cut.is_none();
        let Some(damage) = damage else {
            self.last = Some(segment);
            return;
        };
        let at = |(position, offset)| DamagedFrom { segment: segment.base_offset, position, offset };
        self.first.get_or_insert(at(damage));
        let stop = segment.scan_stop.unwrap_or(damage);
        if is_first && stop.0 == 0 {
            self.lost.push(segment.base_offset);
        } else {
            self.cut.get_or_insert(at(stop));
            self.last = Some(segment);
        }
    }

    /// Whether no segment that was added has a batch that can be kept.
    pub(super) const fn is_empty_below(&self) -> bool {
        self.last.is_none() && self.cut.is_none()
    }

    /// Adds a hole: the last segment should end at offset `from`, and the next one begins at `to`.
    pub(super) fn add_hole(&mut self, from: i64, to: i64) {
        match self.last {
            None => self.raise_start(from, to),
            Some(Segment { base_offset: segment, end, next_offset, scan_stop, .. }) => {
                self.first.get_or_insert(DamagedFrom { segment, position: end, offset: next_offset });
                let (position, offset) = scan_stop.unwrap_or((end, next_offset));
                self.cut.get_or_insert(DamagedFrom { segment, position, offset });
            }
        }
    }

    /// Adds a hole at the beginning of the log.
    pub(super) fn raise_start(&mut self, from: i64, to: i64) {
        if self.cut.is_none() {
            self.first.get_or_insert(DamagedFrom { segment: from, position: 0, offset: from });
            self.raised_start = Some(to);
        }
    }

    /// Adds a fault for which an open refuses the partition, even if its segments are whole. Nothing from offset `from`
    /// on can be read.
    pub(super) fn refuse(&mut self, from: i64) {
        self.first.get_or_insert(DamagedFrom { segment: from, position: 0, offset: from });
    }

    /// Adds damage in the unsealed segments. A scan has found it, so the log is cut there.
    pub(super) fn cut_at(&mut self, damage: DamagedFrom) {
        self.first.get_or_insert(damage);
        self.cut.get_or_insert(damage);
    }

    /// Ends the collection. If no later segment can be kept, the log is cut before its unreadable first segments.
    pub(super) fn finish(&mut self) {
        if let Some(segment) = self.lost.first().copied()
            && self.raised_start.is_none()
        {
            self.cut.get_or_insert(DamagedFrom { segment, position: 0, offset: segment });
        }
    }
}
