//! Opening a log: what the checkpoint vouches for is taken as it is, the rest is read batch by batch up to the first
//! gap. What lies beyond is cut off, unless it shows that the gap is damage and not a torn end.

use super::progress::Progress;
use super::roll::segment_files_removed;
use super::space::Postponed;
use super::spare::{Spare, SpareWork};
use super::state::{Readers, SealedBy};
use super::tail::Tail;
use super::{IndexSource, LargestTimestamp, Log, LogContext, ReadCache, Sealed, State, checkpoint};
use crate::clock::Clock;
use crate::config::{BATCH_BYTES_MAX, TopicConfig};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{Corruption, CorruptionKind, OpenError};
use crate::events::EventKind;
use crate::segment::{self, ScanEnd, ScanRequest, Scanned};
use crate::types::Durability;
use checkpoint::Checkpoint;
use futures_util::lock::Mutex;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Index entries that a scan makes are no further apart: the batches may be larger than the topic takes now, and what
/// lies between two entries has to fit a chunk.
const SCAN_INTERVAL_BYTES_MAX: u32 = 4096;

/// Incarnations of the data directory that a log is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// The new one, above that of any batch on disk.
    pub current: i32,
    /// The last one in which batches may have been appended before the topic became a synced one; 0 for none.
    pub synced_after: i32,
}

/// What opening has found so far.
struct Found<F> {
    sealed: VecDeque<Sealed<F>>,
    next_offset: i64,
    epoch: i32,
    spare: Spare<F>,
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// Opens the log in `dir`, which is made if need be. Everything it accepted is sealed and durable when this returns.
    ///
    /// # Errors
    /// The disk failed, or the log is damaged: nothing was thrown away then.
    pub async fn open(
        context: LogContext<D, C>,
        dir: PathBuf,
        config: TopicConfig,
        epochs: Epochs,
    ) -> Result<Rc<Self>, OpenError> {
        context.disk.create_dir(&dir).await?;
        if let Some(parent) = dir.parent() {
            context.disk.sync_dir(parent).await?;
        }
        let vouched = checkpoint::read(&context.disk, &dir).await?;
        let mut log = Self {
            state: RefCell::new(State {
                tail: Tail::new(0),
                progress: Progress::new(0),
                sealed: VecDeque::new(),
                closing: VecDeque::new(),
                active: None,
                prepared: None,
                spare: Spare::None,
                roll_wanted: false,
                read_cache: ReadCache::default(),
                acks: VecDeque::new(),
                failed: None,
                full: None,
                events: Vec::new(),
                checkpoint: vouched.unwrap_or(Checkpoint {
                    sequence: 0,
                    recovery_offset: 0,
                    log_start_offset: 0,
                    in_flight_bytes_max: context.limits.in_flight_bytes_max(),
                    epoch: i32::MIN,
                    boot_id: context.limits.boot_id,
                }),
                writing_segment: 0,
                visible_floor: 0,
            }),
            context,
            dir,
            config: RefCell::new(Rc::new(config)),
            epoch: epochs.current,
            synced_after: epochs.synced_after,
            rolling: Cell::new(false),
            is_preparing: Cell::new(false),
            sealing: Cell::new(false),
            retaining: Cell::new(false),
            cutting: Cell::new(false),
            postponed: Postponed::default(),
            retention_due: Cell::new(false),
            retention_at: Cell::new(u64::MAX),
            leaving_bytes: Cell::new(0),
            spare_work: SpareWork::default(),
            checkpointing: Mutex::new(()),
        };
        let found = log.recover().await?;
        let state = log.state.get_mut();
        state.tail = Tail::new(found.next_offset);
        state.progress = Progress::new(found.next_offset);
        state.sealed = found.sealed;
        state.spare = found.spare;
        state.note(log.context.clock.now(), EventKind::Recovery);
        // Also when nothing was scanned: it records how much this incarnation may have in flight.
        let recovery_offset = found.next_offset;
        log.write_checkpoint(|checkpoint| checkpoint.recovery_offset = recovery_offset).await?;
        log.weigh();
        log.look_at_retention();
        Ok(Rc::new(log))
    }

    async fn recover(&self) -> Result<Found<D::File>, OpenError> {
        let vouched = self.state.borrow().checkpoint;
        let names = self.context.disk.list(&self.dir).await?;
        if names.iter().any(|entry| entry.name == segment::PREPARING) {
            self.context.disk.remove_file(&self.dir.join(segment::PREPARING)).await?;
        }
        let bases: Vec<i64> = names.iter().filter_map(|entry| segment::base_offset_of(&entry.name)).collect();
        let bases = self.without_retired(&bases, &vouched).await?;
        let mut found = Found {
            sealed: VecDeque::new(),
            next_offset: vouched.log_start_offset,
            epoch: vouched.epoch,
            spare: self.adopt_spare(&names).await?,
        };
        self.trust(&bases, &vouched, &mut found)?;
        let unsealed: Vec<i64> =
            bases.iter().copied().filter(|base| *base >= vouched.recovery_offset).collect();
        for (index, base_offset) in unsealed.iter().copied().enumerate() {
            if base_offset != found.next_offset {
                self.discard(&unsealed[index..], &vouched, &found).await?;
                break;
            }
            self.recover_segment(base_offset, &vouched, &mut found).await?;
        }
        self.context.disk.sync_dir(&self.dir).await?;
        Ok(found)
    }

    /// Finishes a deletion that was cut short: what lies below the log's start goes.
    async fn without_retired(&self, bases: &[i64], vouched: &Checkpoint) -> Result<Vec<i64>, OpenError> {
        let ends = bases.iter().skip(1).copied().chain([vouched.recovery_offset]);
        let mut kept = Vec::new();
        for (base_offset, end) in bases.iter().copied().zip(ends) {
            if base_offset < vouched.recovery_offset && end <= vouched.log_start_offset {
                // A power loss that took the checkpoint and left the deletion would look like damage.
                checkpoint::sync(&self.context.disk, &self.dir).await?;
                segment_files_removed(&self.context.disk, &self.dir, base_offset).await?;
            } else {
                kept.push(base_offset);
            }
        }
        Ok(kept)
    }

    /// Takes the segments below the recovery offset as they are; each ends where the next begins.
    fn trust(
        &self,
        bases: &[i64],
        vouched: &Checkpoint,
        found: &mut Found<D::File>,
    ) -> Result<(), OpenError> {
        let trusted = bases.iter().copied().filter(|base| *base < vouched.recovery_offset);
        let trusted: Vec<i64> = trusted.collect();
        if let Some(first) = trusted.first().copied()
            && first > vouched.log_start_offset
        {
            let kind = CorruptionKind::SegmentGap { expected: vouched.log_start_offset, found: first };
            return Err(self.corrupt_at(first, 0, kind));
        }
        if trusted.is_empty() && vouched.recovery_offset > vouched.log_start_offset {
            let kind = CorruptionKind::Metadata(format!(
                "the segments of offsets {}..{} are missing",
                vouched.log_start_offset, vouched.recovery_offset
            ));
            return Err(self.corrupt_at(vouched.log_start_offset, 0, kind));
        }
        for (index, base_offset) in trusted.iter().copied().enumerate() {
            let next_offset = trusted.get(index + 1).copied().unwrap_or(vouched.recovery_offset);
            found.sealed.push_back(Sealed::closed(base_offset, next_offset, SealedBy::Log));
        }
        found.next_offset = vouched.recovery_offset.max(found.next_offset);
        Ok(())
    }

    async fn recover_segment(
        &self,
        base_offset: i64,
        vouched: &Checkpoint,
        found: &mut Found<D::File>,
    ) -> Result<(), OpenError> {
        let disk = &self.context.disk;
        let path = segment::log_path(&self.dir, base_offset);
        let file = disk.open(&path, OpenMode::ReadWrite, self.context.limits.io).await?;
        let request = self.scan_request(base_offset, found.epoch);
        let mut scanned = segment::scan(&file, &self.context.arena, &request).await?;
        if scanned.end != ScanEnd::Whole && self.is_strict(vouched) {
            self.refuse_damage(&path, &file, vouched, &scanned).await?;
        }
        if scanned.valid_bytes < scanned.file_bytes {
            file.truncate(scanned.valid_bytes).await?;
        }
        file.sync().await?;
        found.next_offset = scanned.next_offset;
        found.epoch = scanned.epoch;
        if scanned.valid_bytes == 0 {
            segment_files_removed(disk, &self.dir, base_offset).await?;
        } else {
            segment::write_indexes(disk, &self.dir, base_offset, &mut scanned.indexes).await?;
            found.sealed.push_back(Sealed::closed(base_offset, scanned.next_offset, SealedBy::Recovery));
        }
        Ok(())
    }

    /// A valid batch further beyond the gap than anything in flight can have reached means that the gap is damage.
    async fn refuse_damage(
        &self,
        path: &Path,
        file: &D::File,
        vouched: &Checkpoint,
        scanned: &Scanned,
    ) -> Result<(), OpenError> {
        let from = scanned.valid_bytes + vouched.in_flight_bytes_max;
        // What lies there from an earlier life of the file has lower offsets, or a lower epoch.
        let request = self.scan_request(scanned.indexes.offsets.base_offset(), scanned.epoch);
        let arena = &self.context.arena;
        let beyond = segment::find_batch_beyond(file, arena, from, scanned.next_offset + 1, &request).await?;
        let Some((_, found)) = beyond else { return Ok(()) };
        let kind = CorruptionKind::DamagedBeforeValid { expected: scanned.next_offset, found };
        Err(OpenError::Corrupt(Corruption { path: path.to_path_buf(), position: scanned.valid_bytes, kind }))
    }

    /// Whether bytes beyond a gap show damage. A process that is killed leaves nothing behind a gap but what was in
    /// flight; a machine that loses power may lose any write that was not synced, so only a synced log still has to be
    /// without gaps then.
    fn is_strict(&self, vouched: &Checkpoint) -> bool {
        // What was appended before the topic was a synced one is not all durable before it is sealed, at the next open.
        let is_synced = self.config().durability == Durability::Synced && vouched.epoch > self.synced_after;
        is_synced || vouched.boot_id == self.context.limits.boot_id
    }

    /// Removes the segments behind a gap at `expected`. Nothing is written to a segment before every write to the one
    /// before it is complete, so in a strict log they are empty.
    async fn discard(
        &self,
        bases: &[i64],
        vouched: &Checkpoint,
        found: &Found<D::File>,
    ) -> Result<(), OpenError> {
        for base_offset in bases.iter().copied() {
            let path = segment::log_path(&self.dir, base_offset);
            if self.is_strict(vouched) {
                let file = self.context.disk.open(&path, OpenMode::Read, self.context.limits.io).await?;
                let request = self.scan_request(base_offset, found.epoch);
                if segment::scan(&file, &self.context.arena, &request).await?.valid_bytes > 0 {
                    let kind = CorruptionKind::SegmentGap { expected: found.next_offset, found: base_offset };
                    return Err(self.corrupt_at(base_offset, 0, kind));
                }
            }
        }
        // From the last to the first, so that a crash in between leaves no gap that was not there before.
        for base_offset in bases.iter().rev().copied() {
            segment_files_removed(&self.context.disk, &self.dir, base_offset).await?;
        }
        Ok(())
    }

    fn corrupt_at(&self, base_offset: i64, position: u64, kind: CorruptionKind) -> OpenError {
        OpenError::Corrupt(Corruption { path: segment::log_path(&self.dir, base_offset), position, kind })
    }
}

impl<D: Disk, C: Clock, A> Log<D, C, A> {
    /// What a scan of this log's segment at `base_offset` expects.
    pub(super) fn scan_request(&self, base_offset: i64, epoch_min: i32) -> ScanRequest {
        ScanRequest {
            base_offset,
            epoch_min,
            epoch_max: self.epoch,
            batch_bytes_max: BATCH_BYTES_MAX,
            index_interval_bytes: self.config().index_interval_bytes.min(SCAN_INTERVAL_BYTES_MAX),
        }
    }
}

impl<F> Sealed<F> {
    /// One that nobody has read yet.
    fn closed(base_offset: i64, next_offset: i64, sealed_by: SealedBy) -> Self {
        let index_source = IndexSource::File;
        let largest_timestamp = LargestTimestamp::Unknown;
        let (file, offsets, size_bytes) = (None, None, None);
        let readers = Readers::default();
        Self {
            base_offset,
            next_offset,
            file,
            offsets,
            size_bytes,
            index_source,
            largest_timestamp,
            sealed_by,
            readers,
        }
    }
}
