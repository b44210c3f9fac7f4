//! The file that waits to become the next segment, where segments are recycled: its stage, and how much of it is filled.
//! Data alone: `spare.rs` does the work.

/// What may be left to fill at once. More than the end of a full segment, which is less than a batch; what is beyond is
/// filled at twice the pace of appends, so that a log nobody appends to costs the disk nothing.
const FILL_AT_ONCE_BYTES: u64 = 2 << 20;

/// Which spare of a log, counted from its open.
pub(super) type SpareNumber = u64;

/// The stage of the next segment's file. The file itself is in the cache of open files, or closed.
pub(super) enum Spare {
    /// There is none.
    None,
    /// On its way to its first name, [`segment::FILLING`].
    Preparing(SpareNumber),
    /// Being filled, as [`segment::FILLING`].
    Filling(SpareFile),
    /// Written to its end and synced, as [`segment::SPARE`].
    Ready(SpareFile),
}

impl Spare {
    pub(super) fn number(&self) -> Option<SpareNumber> {
        match self {
            Self::None => None,
            Self::Preparing(number) => Some(*number),
            Self::Filling(spare) | Self::Ready(spare) => Some(spare.number),
        }
    }
}

/// A file that waits to be a segment.
#[derive(Clone, Copy)]
pub(super) struct SpareFile {
    pub(super) number: SpareNumber,
    /// What its size will be.
    pub(super) size_bytes: u64,
    /// Its extents are written up to here, with zeros or in an earlier life.
    pub(super) written_to: u64,
    /// The same, durably.
    pub(super) synced_to: u64,
    /// Syncs that had failed on the device before the file was made, or taken to be filled.
    pub(super) failed_syncs: u64,
}

impl SpareFile {
    /// Whether some of it should be filled now that `appended_bytes` are in the active segment.
    pub(super) const fn is_due(&self, appended_bytes: u64) -> bool {
        self.size_bytes - self.written_to <= FILL_AT_ONCE_BYTES || self.written_to < 2 * appended_bytes
    }
}
