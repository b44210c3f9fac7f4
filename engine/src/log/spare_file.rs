//! The file that waits to become the next segment, where segments are recycled: its stage, and the part that is filled.
//! Data alone: `spare.rs` does the work.

/// If no more bytes than this are left to fill, they are filled at once. That holds for the file of a full segment:
/// less than a batch is left. A longer rest is filled at twice the pace of appends, so that a log without appends costs
/// the disk nothing.
const FILL_AT_ONCE_BYTES: u64 = 2 << 20;

/// The number of a spare, counted from the open of the log.
pub(super) type SpareNumber = u64;

/// The stage of the file that the next segment will use. The cache of open files may hold the file itself.
pub(super) enum Spare {
    /// No spare exists.
    None,
    /// The file does not have its first name, [`segment::FILLING`](crate::segment::FILLING), yet.
    Preparing(SpareNumber),
    /// The file is being filled, under the name [`segment::FILLING`](crate::segment::FILLING).
    Filling(SpareFile),
    /// The file is written to its end and synced, under the name [`segment::SPARE`](crate::segment::SPARE).
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

/// A file that waits to become a segment.
#[derive(Clone, Copy)]
pub(super) struct SpareFile {
    pub(super) number: SpareNumber,
    /// Size of the file once it is filled.
    pub(super) size_bytes: u64,
    /// File position below which the extents are written: with zeros, or when the file was an earlier segment.
    pub(super) written_to: u64,
    /// File position below which the extents are durably written.
    pub(super) synced_to: u64,
    /// Number of syncs that had failed on the device before the file was made, or was taken from retention.
    pub(super) failed_syncs: u64,
}

impl SpareFile {
    /// Whether the next part should be filled now. `appended_bytes` is the size of the active segment.
    pub(super) const fn is_due(&self, appended_bytes: u64) -> bool {
        self.size_bytes - self.written_to <= FILL_AT_ONCE_BYTES || self.written_to < 2 * appended_bytes
    }
}
