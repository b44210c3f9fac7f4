//! What a log knows: its segments by their stage of life, what is in memory and in flight, and what it owes. No I/O.

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
    /// What is wrong.
    pub cause: DamageError,
}

/// Most events that a log keeps until somebody takes them.
pub(super) const EVENTS_MAX: usize = 4096;

/// A segment that takes no more batches. Its file and its index are in the cache of open files, or nowhere in memory.
pub(super) struct Sealed {
    pub(super) base_offset: i64,
    pub(super) next_offset: i64,
    pub(super) size_bytes: Option<u64>,
    /// Where its index is to be loaded from: the batches, once its file has proved to be damaged.
    pub(super) index_source: IndexSource,
    pub(super) largest_timestamp: LargestTimestamp,
    /// The time that counts for its age if no record has a timestamp, ms since the epoch: that of its last append, or of
    /// the open.
    pub(super) changed_ms: i64,
    /// Leader epoch of all its batches; `None` until somebody has read one.
    pub(super) epoch: Option<i32>,
    /// A search by time has found no record of this time or later here, ms since the epoch; `i64::MAX` before the first.
    pub(super) nothing_from_ms: i64,
    pub(super) sealed_by: SealedBy,
    pub(super) readers: Readers,
}

/// Who has trimmed a segment to its last batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SealedBy {
    /// A log, when it was full; or a checkpoint vouches for it.
    Log,
    /// Recovery, at this open: it may have cut something off.
    Recovery,
}

/// Counts who may read a segment's file: whoever holds a clone. Taken together with the segment, never later.
#[derive(Debug, Clone, Default)]
pub(super) struct Readers(Rc<()>);

impl Readers {
    /// Whether nobody but the segment itself holds it.
    pub(super) fn are_none(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    /// Whether both are of one segment.
    pub(super) fn are_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// What is known of the largest timestamp of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LargestTimestamp {
    /// Nothing yet.
    Unknown,
    /// From its index file, ms since the epoch. The file has no checksum: nothing is deleted because of it.
    Indexed(i64),
    /// Read from the batches, ms since the epoch; `None` if no record has one.
    Known(Option<i64>),
}

/// The segment that takes batches.
pub(super) struct Active<F> {
    pub(super) base_offset: i64,
    /// Held while writes or syncs of it are planned; else the cache of open files has it, or has closed it.
    pub(super) file: Option<OpenFile<F>>,
    /// Stream position of its first byte.
    pub(super) stream_base: u64,
    /// The topic's when the segment began; a change counts from the next one.
    pub(super) segment_bytes: u64,
    /// Likewise.
    pub(super) index_interval_bytes: u32,
    pub(super) indexes: Indexes,
    /// Whether the directory has been synced since the file got its name.
    pub(super) is_named: Rc<Cell<bool>>,
    /// When it took its first batch.
    pub(super) first_append: Cell<Option<Instant>>,
    /// When it took its last batch.
    pub(super) last_append: Cell<Option<Instant>>,
    /// Up to here the file's extents were written, durably, before it became this segment: writes overwrite, and change no
    /// metadata.
    pub(super) written_to: u64,
    pub(super) readers: Readers,
}

/// A full segment on its way to being sealed.
pub(super) struct Closing<F> {
    pub(super) active: Active<F>,
    pub(super) next_offset: i64,
    pub(super) size_bytes: u64,
}

impl<F> Closing<F> {
    /// Stream position after its last batch.
    pub(super) const fn end(&self) -> u64 {
        self.active.stream_base + self.size_bytes
    }
}

pub(super) struct State<F, A> {
    pub(super) tail: Tail,
    pub(super) progress: Progress<A>,
    /// The log's files that are open.
    pub(super) files: LogFiles<F>,
    pub(super) sealed: VecDeque<Sealed>,
    pub(super) closing: VecDeque<Closing<F>>,
    pub(super) active: Option<Active<F>>,
    /// Set if a file was made ahead of the roll that will need it: syncs that had failed on the device before.
    pub(super) prepared: Option<u64>,
    /// The same, where segments are recycled.
    pub(super) spare: Spare,
    pub(super) roll_wanted: bool,
    pub(super) read_cache: ReadCache,
    pub(super) acks: VecDeque<(A, Result<i64, AppendError>)>,
    pub(super) failed: Option<DiskError>,
    /// Set where the open has found the log damaged: nothing is appended, and no file changes.
    pub(super) damaged: Option<Damaged>,
    /// Set while the disk is full.
    pub(super) full: Option<Full<A>>,
    pub(super) events: Newest<LogEvent>,
    pub(super) checkpoint: Checkpoint,
    /// Segment of the last planned write; a later one waits until nothing is in flight.
    pub(super) writing_segment: i64,
    /// What consumers saw before the topic asked for more durability.
    pub(super) visible_floor: i64,
}

impl<F: DiskFile, A> State<F, A> {
    /// Puts down what happened.
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

    /// Whether the active segment cannot take the batch: by size, or because its index could not name it.
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
        let active = self.active.as_mut().expect("append made sure of an active segment");
        active.indexes.observe(&stamped, position, active.index_interval_bytes);
    }

    /// Ends the active segment; what is left of it may be written at once.
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

    /// The next write of at most `bytes_max`, if one may go now. By now `failed_syncs` syncs have failed on the device.
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
        // Recovery relies on it: bytes in a segment mean that the one before it is complete.
        if in_flight > 0 && self.tail.next_write_segment() > self.writing_segment {
            return None;
        }
        let planned = self.tail.next_write(bytes_max, flush)?;
        self.writing_segment = planned.segment;
        let owner = self.owner_of(planned.segment);
        let file = owner.file.clone().expect("the segment of the next write holds its file");
        let (stream_base, is_named) = (owner.stream_base, owner.is_named.get());
        let written_to = owner.written_to;
        let end = stream_base + planned.content_end;
        let (sync, flight) = match level {
            // A durable write in a file whose name may be lost is not durable: a sync of both follows it instead.
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
        let is_written = position + bytes.len() as u64 <= written_to;
        let extents = if is_written { Extents::AlreadyWritten } else { Extents::New };
        let data = WriteData::Slice(bytes);
        Some(Job { id, failed_syncs, kind: JobKind::Write { file, data, position, sync, extents } })
    }

    fn owner_of(&self, segment: i64) -> &Active<F> {
        self.unsealed(segment).expect("a segment stays until its writes are complete")
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

    /// Whether batches are in memory alone, or on their way to the disk.
    pub(super) fn has_unwritten(&self) -> bool {
        self.progress.written_offset() != self.tail.next_offset()
    }

    /// Ends the active segment if its index entries are further apart than `interval_bytes`: larger batches may follow, and
    /// what lies between two entries has to fit a chunk.
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

    /// All that was appended so far is to be synced, also if nobody waits for it.
    pub(super) fn want_synced(&mut self) {
        let active = self.active.as_ref();
        let end = active.map_or(0, |active| active.stream_base + self.tail.segment_bytes());
        self.progress.want_synced(end);
    }

    /// Bytes of batches in the active segment; 0 while there is none.
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

    /// A closing segment, name and all, is known to be durable.
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
