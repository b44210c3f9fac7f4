//! The state of a log: its segments (sealed, closing, active), its records in memory, its writes in flight, and the
//! acks that it owes. No I/O.

use super::checkpoint::Checkpoint;
use super::files::{IndexSource, LogFiles, OpenFile};
use super::job::{Extents, Job, JobKind};
use super::progress::{FlightSync, Progress};
use super::read_cache::ReadCache;
use super::spare_file::Spare;
use super::tail::{PlannedWrite, Tail, TailFlush};
use super::work::Full;
use crate::buffer::BLOCK_BYTES;
use crate::disk::{DiskFile, WriteData, WriteSync};
use crate::error::{AppendError, DamageError, DiskError};
use crate::events::{EventKind, LogEvent, Newest};
use crate::index::INDEX_FIELD_MAX;
use crate::num::align_up;
use crate::record::BatchHeader;
use crate::segment::Indexes;
use crate::types::Durability;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

/// Damage that an open has found in a log.
#[derive(Debug, Clone)]
pub struct Damaged {
    /// The first offset that cannot be read.
    pub from: i64,
    /// The kind of the damage.
    pub cause: DamageError,
}

/// Number of events that a log keeps at most until somebody takes them.
pub(super) const EVENTS_MAX: usize = 4096;

/// A segment that takes no more batches. The cache of open files may hold its file and its index.
pub(super) struct Sealed {
    pub(super) base_offset: i64,
    pub(super) next_offset: i64,
    pub(super) size_bytes: Option<u64>,
    /// The source to load its offset index from. It becomes the batches once the index file has proved to be damaged.
    pub(super) index_source: IndexSource,
    pub(super) largest_timestamp: LargestTimestamp,
    /// Time that counts for the segment's age if no record has a timestamp, ms since the epoch. It is the time of the
    /// last append, or of the open.
    pub(super) changed_ms: i64,
    /// Leader epoch of all its batches; `None` until it is read for the first time.
    pub(super) epoch: Option<i32>,
    /// Time from which on a search by time has found no record here, ms since the epoch; `i64::MAX` before the first
    /// search.
    pub(super) nothing_from_ms: i64,
    pub(super) sealed_by: SealedBy,
    pub(super) readers: Readers,
}

/// The part of the engine that has trimmed a segment to its last batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SealedBy {
    /// A log, when the segment was full. Also for segments that the checkpoint vouches for.
    Log,
    /// Recovery, at this open. It may have cut off bytes.
    Recovery,
}

/// Counts the readers of a segment's file. Each reader holds a clone. It takes the clone together with the segment,
/// never later.
#[derive(Debug, Clone, Default)]
pub(super) struct Readers(Rc<()>);

impl Readers {
    /// Whether only the segment itself holds it, so that nobody reads.
    pub(super) fn are_none(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    /// Whether both belong to one segment.
    pub(super) fn are_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// The largest timestamp of a segment, and its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LargestTimestamp {
    /// Not read yet.
    Unknown,
    /// Read from the index file, ms since the epoch. The file has no checksum, so it is no reason to delete.
    Indexed(i64),
    /// Read from the batches, ms since the epoch. `None` if no record has a timestamp.
    Known(Option<i64>),
}

/// The segment that takes batches.
pub(super) struct Active<F> {
    pub(super) base_offset: i64,
    /// The file, held while writes or syncs are planned for it. At other times the cache of open files holds it, or it
    /// is closed.
    pub(super) file: Option<OpenFile<F>>,
    /// Stream position of the segment's first byte.
    pub(super) stream_base: u64,
    /// The topic's `segment_bytes` when the segment began. A change applies to the next segment.
    pub(super) segment_bytes: u64,
    /// The topic's `index_interval_bytes`, from the same time.
    pub(super) index_interval_bytes: u32,
    pub(super) indexes: Indexes,
    /// Whether the directory was synced after the file got its name.
    pub(super) is_named: Rc<Cell<bool>>,
    /// Time of the first append; `None` before it.
    pub(super) first_append: Cell<Option<Instant>>,
    /// Time of the last append; `None` before the first.
    pub(super) last_append: Cell<Option<Instant>>,
    /// File position below which the file's extents were durably written before it became this segment. A write below
    /// it overwrites, and changes no metadata. See also [`State::overwritable_to`].
    pub(super) written_to: u64,
    pub(super) readers: Readers,
}

/// A full segment that is not sealed yet.
pub(super) struct Closing<F> {
    pub(super) active: Active<F>,
    pub(super) next_offset: i64,
    pub(super) size_bytes: u64,
}

impl<F> Closing<F> {
    /// Stream position after the last batch.
    pub(super) const fn end(&self) -> u64 {
        self.active.stream_base + self.size_bytes
    }
}

/// The state of a log; see the module.
pub(super) struct State<F, A> {
    pub(super) tail: Tail,
    pub(super) progress: Progress<A>,
    /// The log's files that are open.
    pub(super) files: LogFiles<F>,
    pub(super) sealed: VecDeque<Sealed>,
    pub(super) closing: VecDeque<Closing<F>>,
    pub(super) active: Option<Active<F>>,
    /// Set if a file was made ahead of the next roll. Number of syncs that had failed on the device before it was made.
    pub(super) prepared: Option<u64>,
    /// The file made ahead of the next roll, where segments are recycled.
    pub(super) spare: Spare,
    /// Whether appends wait for the next segment.
    pub(super) roll_wanted: bool,
    pub(super) read_cache: ReadCache,
    /// Acks that the owner has to take, with the offset or the error of each.
    pub(super) acks: VecDeque<(A, Result<i64, AppendError>)>,
    /// The error that has latched the log.
    pub(super) failed: Option<DiskError>,
    /// Set if the open has found the log damaged. Then nothing is appended, and no file changes.
    pub(super) damaged: Option<Damaged>,
    /// Set while the disk is full.
    pub(super) full: Option<Full<A>>,
    pub(super) events: Newest<LogEvent>,
    pub(super) checkpoint: Checkpoint,
    /// Base offset of the segment of the last planned write. A write to a later segment waits until nothing is in
    /// flight.
    pub(super) writing_segment: i64,
    /// The high watermark before the topic asked for more durability. Records below it stay visible, unless a full disk
    /// cuts them off.
    pub(super) visible_floor: i64,
}

impl<F: DiskFile, A> State<F, A> {
    /// Records an event.
    pub(super) fn note(&mut self, at: Instant, kind: EventKind) {
        self.events.push(LogEvent { at, kind });
    }

    pub(super) fn visible(&self, level: Durability) -> i64 {
        let reached = match level {
            Durability::Appended => self.tail.next_offset(),
            Durability::Written => self.progress.written_offset(),
            Durability::Synced => self.progress.synced_offset(),
        };
        reached.max(self.visible_floor)
    }

    /// Whether the active segment cannot take the batch: it would be too large, or its index could not hold the batch's
    /// offset.
    pub(super) fn is_full_for(&self, batch_bytes: usize, header: &BatchHeader) -> bool {
        let Some(active) = &self.active else { return false };
        let size = self.tail.segment_bytes();
        let last = self.tail.next_offset() + header.last_offset() - header.base_offset;
        size > 0
            && (size + batch_bytes as u64 > active.segment_bytes
                || last - active.base_offset > i64::from(INDEX_FIELD_MAX))
    }

    pub(super) fn index(&mut self, header: &BatchHeader, base_offset: i64, position: u64) {
        let stamped = BatchHeader { base_offset, ..*header };
        let position = u32::try_from(position).expect("a segment is at most 1 GiB");
        let active = self.active.as_mut().expect("append has checked that there is an active segment");
        active.indexes.observe(&stamped, position, active.index_interval_bytes);
    }

    /// Ends the active segment. The rest of its bytes may be written at once.
    pub(super) fn close_active(&mut self) {
        if let Some(active) = self.active.take() {
            let size_bytes = self.tail.segment_bytes();
            self.tail.close_segment();
            self.closing.push_back(Closing { active, next_offset: self.tail.next_offset(), size_bytes });
        }
    }

    /// Stream position at which the next segment begins.
    pub(super) fn next_stream_base(&self) -> u64 {
        let end = self.closing.back().map(|closing| closing.active.stream_base + closing.size_bytes);
        align_up(end.unwrap_or_else(|| self.progress.written_to()), BLOCK_BYTES as u64)
    }

    /// Returns the next write of at most `bytes_max`, if one may begin now. `failed_syncs` is the number of syncs that
    /// have failed on the device until now.
    pub(super) fn next_write(
        &mut self,
        bytes_max: usize,
        level: Durability,
        failed_syncs: u64,
    ) -> Option<Job<F>> {
        if !self.has_unwritten() || !self.hold_file(self.tail.next_write_segment()) {
            return None;
        }
        let in_flight = self.progress.in_flight();
        let flush = if in_flight == 0 { TailFlush::Allowed } else { TailFlush::Held };
        // Recovery relies on this order: bytes in a segment prove that the segment before it is complete.
        if in_flight > 0 && self.tail.next_write_segment() > self.writing_segment {
            return None;
        }
        let planned = self.tail.next_write(bytes_max, flush)?;
        self.writing_segment = planned.segment;
        let owner = self.owner_of(planned.segment);
        let file = owner.file.clone().expect("the segment of the next write holds its file");
        let (stream_base, is_named) = (owner.stream_base, owner.is_named.get());
        let overwritable_to = self.overwritable_to(owner);
        let end = stream_base + planned.content_end;
        let (sync, flight) = match level {
            // A write with its own sync does not last if the file's name may be lost. So a separate sync of the file
            // and its name follows the write.
            Durability::Synced if !is_named => {
                self.progress.want_synced(end);
                (WriteSync::None, FlightSync::Plain)
            }
            Durability::Synced => (WriteSync::Dsync, FlightSync::Dsync),
            _ => (WriteSync::None, FlightSync::Plain),
        };
        let id = self.progress.submitted(end, flight, planned.is_padded, failed_syncs);
        let failed_syncs = self.progress.failed_syncs_before().unwrap_or(failed_syncs);
        let PlannedWrite { bytes, position, .. } = planned;
        let is_written = position + bytes.len() as u64 <= overwritable_to;
        let extents = if is_written { Extents::AlreadyWritten } else { Extents::New };
        let data = WriteData::Slice(bytes);
        Some(Job { id, failed_syncs, kind: JobKind::Write { file, data, position, sync, extents } })
    }

    fn owner_of(&self, segment: i64) -> &Active<F> {
        self.unsealed(segment).expect("a segment stays until its writes are complete")
    }

    /// File position below which the segment's extents are durably written. The segment's own synced writes move it: each of
    /// them writes whole blocks. So small synced appends, which write the last block again and again, overwrite it.
    fn overwritable_to(&self, segment: &Active<F>) -> u64 {
        let synced_bytes = self.progress.synced_to().saturating_sub(segment.stream_base);
        segment.written_to.max(align_up(synced_bytes, BLOCK_BYTES as u64))
    }

    /// The closing or active segment at `base_offset`.
    pub(super) fn unsealed(&self, base_offset: i64) -> Option<&Active<F>> {
        let closing = self.closing.iter().map(|closing| &closing.active);
        closing.chain(&self.active).find(|segment| segment.base_offset == base_offset)
    }

    /// The sealed segment at `base_offset`.
    pub(super) fn sealed_at(&mut self, base_offset: i64) -> Option<&mut Sealed> {
        let at = self.sealed.binary_search_by_key(&base_offset, |sealed| sealed.base_offset).ok()?;
        self.sealed.get_mut(at)
    }

    /// Whether some batches are not written yet. They may be in flight.
    pub(super) fn has_unwritten(&self) -> bool {
        self.progress.written_offset() != self.tail.next_offset()
    }

    /// Ends the active segment if its index entries are further apart than `interval_bytes`. Larger batches may follow,
    /// and the bytes between two entries have to fit into a chunk.
    pub(super) fn index_within(&mut self, interval_bytes: u32) {
        let is_empty = self.tail.segment_bytes() == 0;
        match &mut self.active {
            Some(active) if active.index_interval_bytes > interval_bytes && is_empty => {
                active.index_interval_bytes = interval_bytes;
            }
            Some(active) if active.index_interval_bytes > interval_bytes => self.close_active(),
            _ => {}
        }
    }

    /// Asks for a sync of all records that are appended now, even if no ack waits for it.
    pub(super) fn want_synced(&mut self) {
        let active = self.active.as_ref();
        let end = active.map_or(0, |active| active.stream_base + self.tail.segment_bytes());
        self.progress.want_synced(end);
    }

    /// Bytes of batches in the active segment; 0 if there is no active segment.
    pub(super) fn active_bytes(&self) -> u64 {
        self.active.as_ref().map_or(0, |_| self.tail.segment_bytes())
    }

    pub(super) fn latch(&mut self, error: DiskError) {
        let reason = AppendError::StorageFailed(error.clone());
        self.failed.get_or_insert(error);
        let segments = self.closing.iter_mut().map(|closing| &mut closing.active).chain(&mut self.active);
        segments.for_each(|segment| segment.file = None);
        let refused = self.take_refused();
        let abandoned = self.progress.abandon().chain(refused);
        self.acks.extend(abandoned.map(|ack| (ack, Err(reason.clone()))));
    }

    /// Notes that a closing segment is durable, with its name, and collects the acks that waited for it.
    pub(super) fn synced_to_end_of(&mut self, base_offset: i64) {
        if let Some(closing) = self.closing.iter().find(|closing| closing.active.base_offset == base_offset) {
            self.progress.sealed(closing.active.stream_base + closing.size_bytes);
            self.collect_acks();
        }
    }

    pub(super) fn collect_acks(&mut self) {
        while let Some((base_offset, ack)) = self.progress.pop_reached() {
            self.acks.push_back((ack, Ok(base_offset)));
        }
    }
}
