//! The examination of a log's files, and the judgement whether the log is whole. Changes nothing.

use super::super::Log;
use super::super::checkpoint::{self, Checkpoint, Stored};
use super::super::rules::{self, Damage, Examined, Losses, Verdict};
use super::super::state::{Damaged, Sealed, SealedBy};
use super::Origin;
use crate::clock::Clock;
use crate::config::BATCH_BYTES_MAX;
use crate::disk::{DirEntry, Disk, OpenMode};
use crate::error::{Corruption, CorruptionKind, DamageError, DiskError};
use crate::segment::{self, Indexes, ScanEnd, SearchRequest};
use crate::types::IoMode;
use std::collections::VecDeque;

/// The result of judging a log.
pub(super) enum Judged {
    /// The log is whole: a crash can have left it so. It can be put in order.
    Whole(RecoveryPlan),
    /// Something is missing or wrong, and no crash can have caused it.
    Damaged(ReadablePart),
}

/// The changes with which an open puts a log in order.
pub(super) struct RecoveryPlan {
    /// Every name in the log's directory.
    pub(super) names: Vec<DirEntry>,
    /// The checkpoint that the log begins with.
    pub(super) checkpoint: Checkpoint,
    /// Base offsets of segments below the log's start. Their deletion was interrupted.
    pub(super) retired: Vec<i64>,
    /// Segments that the checkpoint vouches for: the base offset, and the offset after the last record.
    pub(super) trusted: Vec<(i64, i64)>,
    /// Segments above the recovery offset that the log keeps, in order.
    pub(super) kept: Vec<UnsealedSegment>,
    /// Base offsets of the segments behind the log's end.
    pub(super) behind: Vec<i64>,
    /// The offset of the next record.
    pub(super) next_offset: i64,
    /// Whether a slot of the checkpoint's file is damaged.
    pub(super) has_faulty_checkpoint: bool,
    /// Number of syncs that had failed on the device before the log was read. If another one fails, the bytes that were
    /// read may be lost.
    pub(super) failed_syncs: u64,
}

impl RecoveryPlan {
    /// Whether the log is as a close leaves it: all segments are sealed, and the checkpoint on disk says so.
    pub(super) fn is_in_order(&self) -> bool {
        self.retired.is_empty()
            && self.kept.is_empty()
            && self.behind.is_empty()
            && !self.has_faulty_checkpoint
    }
}

/// An unsealed segment that was read.
pub(super) struct UnsealedSegment {
    pub(super) examined: Examined,
    pub(super) file_bytes: u64,
    pub(super) indexes: Indexes,
    /// Leader epoch of the last batch.
    pub(super) epoch: i32,
}

/// The part of a damaged log that can be read.
pub(super) struct ReadablePart {
    pub(super) log_start_offset: i64,
    pub(super) sealed: VecDeque<Sealed>,
    pub(super) damage: Damaged,
}

impl ReadablePart {
    /// The part of a log with a file that cannot be read or changed: nothing.
    pub(super) fn nothing(error: DiskError) -> Self {
        let damage = Damaged { from: 0, cause: DamageError::Unreadable(error) };
        Self { log_start_offset: 0, sealed: VecDeque::new(), damage }
    }
}

/// The segments below the recovery offset.
struct Trusted {
    retired: Vec<i64>,
    trusted: Vec<(i64, i64)>,
    damage: Option<Damage>,
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// Reads the segments that the checkpoint does not vouch for, and judges them. The log's `origin` says what is
    /// known about it.
    ///
    /// # Errors
    /// The disk has no descriptors or no memory to read with. A file that cannot be read is damage.
    pub(super) async fn judge(&mut self, origin: Origin) -> Result<Judged, DiskError> {
        let judged = match self.context.disk.sync_failures(&self.dir) {
            Ok(failures) => {
                self.failures = failures;
                self.judged(origin).await
            }
            Err(error) => Err(error),
        };
        match judged {
            Err(error) if error.is_of_this_file() => Ok(Judged::Damaged(self.readable_below(error).await)),
            judged => judged,
        }
    }

    /// The part of a log that can be read although `error` keeps it from being judged or put in order: the sealed segments. Without a
    /// checkpoint it is not known which these are.
    pub(super) async fn readable_below(&self, error: DiskError) -> ReadablePart {
        let disk = &self.context.disk;
        let Ok(names) = disk.list(&self.dir).await else { return ReadablePart::nothing(error) };
        let stored = checkpoint::read(disk, &self.dir).await.ok().filter(|stored| !stored.has_faults);
        let newest = stored.and_then(|stored| stored.newest);
        let Some(checkpoint) = newest.filter(|newest| newest.sequence <= checkpoint::SEQUENCE_MAX) else {
            return ReadablePart::nothing(error);
        };
        let bases: Vec<i64> = names.iter().filter_map(|entry| segment::base_offset_of(&entry.name)).collect();
        sealed_part(&checkpoint, &bases, DamageError::Unreadable(error))
    }

    async fn judged(&self, origin: Origin) -> Result<Judged, DiskError> {
        let failed_syncs = self.failures.count();
        let names = self.context.disk.list(&self.dir).await?;
        let bases: Vec<i64> = names.iter().filter_map(|entry| segment::base_offset_of(&entry.name)).collect();
        let stored = checkpoint::read(&self.context.disk, &self.dir).await?;
        if stored.newest.is_some_and(|newest| newest.sequence > checkpoint::SEQUENCE_MAX) {
            return Ok(Judged::Damaged(self.no_checkpoint_of_ours()));
        }
        if let Some(newest) = stored.newest.filter(|newest| newest.epoch >= self.epoch) {
            return Ok(Judged::Damaged(self.of_older_catalog(&newest, &bases)));
        }
        let checkpoint = self.begin_with(&stored, bases.first().copied());
        let below = trust(&bases, &checkpoint);
        let damage = match below.damage {
            Some(damage) => Some(damage),
            None => self.unproven_end(&below.trusted, &names).await?,
        };
        if let Some(damage) = damage {
            return Ok(Judged::Damaged(self.served(&checkpoint, &below.trusted, &[], damage)));
        }
        // The log's start may lie in an unsealed segment, or behind one.
        let start = checkpoint.recovery_offset;
        let mut read = Vec::new();
        let mut epoch = checkpoint.epoch;
        for base_offset in bases.iter().copied().filter(|base| *base >= checkpoint.recovery_offset) {
            let segment = self.read_unsealed(base_offset, epoch, &names).await?;
            epoch = segment.epoch;
            read.push(segment);
        }
        let newest = stored.newest.as_ref();
        let (durable_to, was_damaged) = match origin {
            Origin::Created => (i64::MIN, false),
            Origin::Existing { durable_to, was_damaged } => (durable_to, was_damaged),
        };
        let losses = if was_damaged {
            Losses::of_damaged(newest)
        } else {
            let (durability, boot_id) = (self.config().durability, self.context.limits.boot_id);
            Losses::of(newest, Some(durability), self.synced_after, boot_id)
        };
        let examined: Vec<Examined> = read.iter().map(|read| read.examined.clone()).collect();
        let required = rules::required_end(losses, checkpoint.log_start_offset, durable_to);
        let verdict = rules::judge(start, &examined, losses, required);
        let kept = match self.resolve(verdict, &read).await? {
            Ok(kept) => kept,
            Err(damage) => {
                return Ok(Judged::Damaged(self.served(&checkpoint, &below.trusted, &read, damage)));
            }
        };
        let end = examined[..kept].last().map_or(start, |last| last.next_offset);
        // A crash may have taken records that were deleted before. Then no record of these segments is left, and the log
        // continues at its start.
        let kept = if end < checkpoint.log_start_offset { 0 } else { kept };
        let next_offset = end.max(checkpoint.log_start_offset);
        let behind = examined[kept..].iter().map(|segment| segment.base_offset).collect();
        read.truncate(kept);
        let Trusted { retired, trusted, .. } = below;
        Ok(Judged::Whole(RecoveryPlan {
            names,
            checkpoint,
            retired,
            trusted,
            kept: read,
            behind,
            next_offset,
            has_faulty_checkpoint: stored.has_faults,
            failed_syncs,
        }))
    }

    /// Returns the damage of a log whose checkpoint says that its last segment is sealed, although the segment has no indexes and ends
    /// elsewhere. The checkpoint may be another log's.
    async fn unproven_end(
        &self,
        trusted: &[(i64, i64)],
        names: &[DirEntry],
    ) -> Result<Option<Damage>, DiskError> {
        let Some((base_offset, end)) = trusted.last().copied() else { return Ok(None) };
        if segment::has_indexes(base_offset, names.iter().map(|entry| entry.name.as_str())) {
            return Ok(None);
        }
        let Examined { next_offset, valid_bytes, .. } =
            self.read_unsealed(base_offset, i32::MIN, names).await?.examined;
        let kind = CorruptionKind::EndsEarly { expected: next_offset, found: end };
        let damage = Damage { segment: base_offset, position: valid_bytes, offset: next_offset, kind };
        Ok((next_offset != end).then_some(damage))
    }

    /// The part of a log whose checkpoint has a sequence that no log can have written: nothing.
    fn no_checkpoint_of_ours(&self) -> ReadablePart {
        let kind = CorruptionKind::Metadata("the sequence number is larger than a log writes".into());
        let path = checkpoint::checkpoint_path(&self.dir);
        let cause = DamageError::Corrupt(Corruption { path, position: 0, kind });
        ReadablePart { log_start_offset: 0, sealed: VecDeque::new(), damage: Damaged { from: 0, cause } }
    }

    /// The part of a log whose checkpoint is newer than the catalog: the sealed segments. Which batches behind them are the log's own
    /// cannot be told without the last epoch.
    fn of_older_catalog(&self, checkpoint: &Checkpoint, bases: &[i64]) -> ReadablePart {
        let kind =
            CorruptionKind::EpochAhead { found: checkpoint.epoch, newest: self.epoch.saturating_sub(1) };
        let path = checkpoint::checkpoint_path(&self.dir);
        sealed_part(checkpoint, bases, DamageError::Corrupt(Corruption { path, position: 0, kind }))
    }

    /// The checkpoint that the log begins with. If there is no valid one, or the newest one may be lost, the log begins
    /// with its first segment.
    fn begin_with(&self, stored: &Stored, first: Option<i64>) -> Checkpoint {
        let unknown = self.state.borrow().checkpoint;
        let mut checkpoint = stored.newest.unwrap_or(Checkpoint {
            log_start_offset: first.unwrap_or(0),
            recovery_offset: first.unwrap_or(0),
            ..unknown
        });
        if stored.has_faults {
            checkpoint.begin_at_least(first.unwrap_or(0));
        }
        checkpoint
    }

    /// Reads an unsealed segment up to the first byte that is no batch of this log.
    async fn read_unsealed(
        &self,
        base_offset: i64,
        epoch_min: i32,
        names: &[DirEntry],
    ) -> Result<UnsealedSegment, DiskError> {
        let file = self.open_to_judge(base_offset).await?;
        let mut request = self.scan_request(base_offset, epoch_min);
        // No batch has the epoch of this open yet.
        request.epoch_max = self.epoch.saturating_sub(1);
        let scanned = segment::scan(&file, &self.context.arena, &request).await?;
        let examined = Examined {
            base_offset,
            next_offset: scanned.next_offset,
            valid_bytes: scanned.valid_bytes,
            end: scanned.end,
            was_sealed: segment::has_indexes(base_offset, names.iter().map(|entry| entry.name.as_str())),
        };
        let (file_bytes, indexes, epoch) = (scanned.file_bytes, scanned.indexes, scanned.epoch);
        Ok(UnsealedSegment { examined, file_bytes, indexes, epoch })
    }

    /// Opens a segment's file with direct I/O if the file system can. After a failed sync, the page cache may hold
    /// bytes that the device does not.
    async fn open_to_judge(&self, base_offset: i64) -> Result<D::File, DiskError> {
        let path = segment::log_path(&self.dir, base_offset);
        let disk = &self.context.disk;
        match disk.open(&path, OpenMode::Read, IoMode::Direct).await {
            Err(error) if error.source.kind() == std::io::ErrorKind::InvalidInput => {
                disk.open(&path, OpenMode::Read, IoMode::Buffered).await
            }
            opened => opened,
        }
    }

    /// Number of segments to keep, or the damage. If the verdict depends on it, searches for a batch far behind the
    /// gap.
    async fn resolve(
        &self,
        verdict: Verdict,
        read: &[UnsealedSegment],
    ) -> Result<Result<usize, Damage>, DiskError> {
        let (kept, from) = match verdict {
            Verdict::End { kept } => return Ok(Ok(kept)),
            Verdict::Damage(damage) => return Ok(Err(damage)),
            Verdict::EndUnlessFound { kept, from } => (kept, from),
        };
        let last = &read[kept - 1];
        if from >= last.file_bytes {
            return Ok(Ok(kept));
        }
        let request = SearchRequest {
            from,
            offset_min: last.examined.next_offset.saturating_add(1),
            epoch_min: last.epoch,
            epoch_max: self.epoch.saturating_sub(1),
            batch_bytes_max: BATCH_BYTES_MAX,
        };
        let file = self.open_to_judge(last.examined.base_offset).await?;
        let arena = &self.context.arena;
        let found = segment::search(&file, arena, last.examined.valid_bytes, &request).await?;
        Ok(found.map_or(Ok(kept), |(_, offset)| Err(rules::damage_before(&last.examined, offset))))
    }

    fn served(
        &self,
        checkpoint: &Checkpoint,
        trusted: &[(i64, i64)],
        read: &[UnsealedSegment],
        damage: Damage,
    ) -> ReadablePart {
        let whole = read.iter().map(|read| &read.examined);
        let whole =
            whole.take_while(|segment| segment.base_offset <= damage.segment && segment.valid_bytes > 0);
        let whole = whole.map(|segment| (segment.base_offset, segment.next_offset, SealedBy::Recovery));
        let below = trusted.iter().map(|(base, next)| (*base, *next, SealedBy::Log));
        let sealed = below.chain(whole).filter(|(base, ..)| *base < damage.offset);
        let sealed = sealed.map(|(base, next, by)| Sealed::closed(base, next.min(damage.offset), by));
        let corruption = Corruption {
            path: segment::log_path(&self.dir, damage.segment),
            position: damage.position,
            kind: damage.kind,
        };
        ReadablePart {
            log_start_offset: checkpoint.log_start_offset.min(damage.offset),
            sealed: sealed.collect(),
            damage: Damaged { from: damage.offset, cause: DamageError::Corrupt(corruption) },
        }
    }
}

/// The segments that a checkpoint vouches for, up to the first one that is missing. The log cannot be read behind them, because of
/// `cause`.
fn sealed_part(checkpoint: &Checkpoint, bases: &[i64], cause: DamageError) -> ReadablePart {
    let Trusted { trusted, damage, .. } = trust(bases, checkpoint);
    let from = damage.map_or(checkpoint.recovery_offset, |damage| damage.offset);
    let sealed = trusted.into_iter().filter(|(base_offset, _)| *base_offset < from);
    ReadablePart {
        log_start_offset: checkpoint.log_start_offset.min(from),
        sealed: sealed.map(|(base, next)| Sealed::closed(base, next.min(from), SealedBy::Log)).collect(),
        damage: Damaged { from, cause },
    }
}

/// Splits the segments that a checkpoint vouches for. Each ends where the next one begins.
fn trust(bases: &[i64], checkpoint: &Checkpoint) -> Trusted {
    let (start, end) = (checkpoint.log_start_offset, checkpoint.recovery_offset);
    let below: Vec<i64> = bases.iter().copied().filter(|base| *base < end).collect();
    let ends = below.iter().skip(1).copied().chain([end]);
    let (mut retired, mut trusted) = (Vec::new(), Vec::new());
    for (base_offset, next_offset) in below.iter().copied().zip(ends) {
        if next_offset <= start {
            retired.push(base_offset);
        } else {
            trusted.push((base_offset, next_offset));
        }
    }
    let first = trusted.first().map_or(end, |(base_offset, _)| *base_offset);
    let kind = CorruptionKind::SegmentMissing { from: start, to: first };
    let damage = (first > start).then_some(Damage { segment: start, position: 0, offset: start, kind });
    Trusted { retired, trusted, damage }
}

impl UnsealedSegment {
    /// Whether the segment was sealed, and is still as it was then.
    pub(super) fn is_sealed(&self) -> bool {
        self.examined.was_sealed && self.examined.end == ScanEnd::Whole
    }
}
