//! Retention: deletes whole sealed segments, the oldest first, by size or by age, or because a caller has deleted their
//! records ([`Log::delete_records`]). It is off the ack path.
//!
//! The log's start is raised durably before the first file is removed. So if a deletion is interrupted, the next open
//! finishes it, and it never looks like a gap. Readers keep their data: a slice owns its memory, and an open file keeps
//! its bytes.
//!
//! If the size or age of a segment cannot be read, retention is tried again later. Only a failed change latches the
//! log.

use crate::clock::Clock;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::DiskError;
use crate::events::EventKind;
use crate::index::TimeIndex;
use crate::log::files::{FileName, OpenFile};
use crate::log::spare_file::SpareNumber;
use crate::log::state::{LargestTimestamp, State};
use crate::log::work::Work;
use crate::log::{Log, checkpoint};
use crate::segment;
use futures_util::future::join_all;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Number of segments that are deleted at the same time, at most.
const DELETED_AT_ONCE: usize = 16;

/// Longest time between two checks of the records' age. It is limited because somebody may set the wall clock.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(60);

/// Time until the next check if a segment is too old and cannot be closed now, or if a file could not be read. In the
/// second case it doubles with each failure, up to [`LOOK_EVERY_MAX`].
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The step at which retention has failed.
enum RetainError {
    /// Retention could not read a segment or its index. Nothing has changed.
    Look(DiskError),
    /// Retention could not write the checkpoint, remove or rename a file, or sync the directory.
    Change(DiskError),
}

impl<D: Disk, C: Clock, A> Log<D, C, A> {
    /// The time at which the owner has to call [`Log::look_at_age`]. `None` if no record can expire by age, or
    /// retention is running.
    pub const fn look_due(&self) -> Option<Instant> {
        self.look_at.get()
    }

    /// Checks whether the oldest segment has outlived `retention_ms`, if the time for that has come. If so, it asks for
    /// the deletion of a sealed segment ([`Wants::retain`](crate::log::Wants::retain)). An active segment is closed first,
    /// because there may be no further append that closes it. Reads nothing from the disk.
    pub fn look_at_age(&self) {
        let now = self.context.clock.now();
        if self.look_at.get().is_none_or(|at| at > now) {
            return;
        }
        self.look_at.set(None);
        let mut state = self.state.borrow_mut();
        let is_due = self.oldest_expires_ms(&state).is_some_and(|ms| ms <= self.context.clock.wall_ms());
        if !is_due {
            self.plan_look(&state);
        } else if !state.sealed.is_empty() {
            self.retention_due.set(true);
        } else if state.failed.is_none() && state.damaged.is_none() && state.full.is_none() {
            // The seal of this segment then asks for its deletion.
            state.close_active();
        } else {
            self.look_at.set(Some(now + LOOK_AGAIN_AFTER));
        }
    }

    /// Plans the first check of the age of an active segment, at its first append. Before that append no check is
    /// planned.
    pub(in crate::log) fn look_after_append(&self, now: Instant) {
        if let Some(retention_ms) = self.config().retention_ms
            && self.look_at.get().is_none()
        {
            self.look_at.set(Some(now + Duration::from_millis(retention_ms).min(LOOK_EVERY_MAX)));
        }
    }

    /// Plans the next check for the time at which the oldest segment expires.
    fn plan_look(&self, state: &State<D::File, A>) {
        let clock = &self.context.clock;
        let planned = self.oldest_expires_ms(state).map(|expires_ms| {
            let wait_ms = expires_ms.saturating_sub(clock.wall_ms()).try_into().unwrap_or(0);
            clock.now() + Duration::from_millis(wait_ms).min(LOOK_EVERY_MAX)
        });
        self.look_at.set(planned);
    }

    /// The time from which the oldest segment is too old, by the wall clock, in ms since the epoch. It reads nothing,
    /// so the batches may give another time. `None` if no such time is known; a closing segment is checked when it is
    /// sealed.
    fn oldest_expires_ms(&self, state: &State<D::File, A>) -> Option<i64> {
        let retention_ms = self.config().retention_ms?;
        let largest_ms = match state.sealed.front() {
            Some(sealed) => match sealed.largest_timestamp {
                LargestTimestamp::Unknown => return Some(i64::MIN),
                LargestTimestamp::Indexed(largest_ms) => largest_ms,
                LargestTimestamp::Known(largest_ms) => largest_ms.unwrap_or(sealed.changed_ms),
            },
            None if !state.closing.is_empty() || state.active_bytes() == 0 => return None,
            None => {
                let active = state.active.as_ref()?;
                let largest_ms = active.indexes.times.max_timestamp_ms();
                largest_ms.unwrap_or_else(|| self.wall_ms_at(active.last_append.get()))
            }
        };
        Some(largest_ms.saturating_add_unsigned(retention_ms).saturating_add(1))
    }

    /// The time that the wall clock showed at the instant `at`, ms since the epoch. If `at` is `None`, the present
    /// time.
    pub(in crate::log) fn wall_ms_at(&self, at: Option<Instant>) -> i64 {
        let clock = &self.context.clock;
        let passed = at.map_or(Duration::ZERO, |at| clock.now().saturating_duration_since(at));
        clock.wall_ms().saturating_sub(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX))
    }

    /// Asks for a check by retention, because there are new segments, other limits, or another start of the log.
    pub fn look_at_retention(&self) {
        let config = self.config();
        let has_limit = config.retention_bytes.is_some() || config.retention_ms.is_some();
        let state = self.state.borrow();
        let start = state.checkpoint.log_start_offset;
        let has_deleted = state.sealed.front().is_some_and(|oldest| oldest.next_offset <= start);
        if has_deleted || (has_limit && !state.sealed.is_empty()) {
            self.retention_due.set(true);
        } else {
            self.plan_look(&state);
        }
        self.retention_at.set(u64::MAX);
    }

    /// Works out the size of the active segment at which the oldest segment can be deleted. Called after segments were
    /// added or removed.
    pub(in crate::log) fn weigh(&self) {
        let state = self.state.borrow();
        let newer = state.sealed.iter().skip(1).map(|sealed| sealed.size_bytes.unwrap_or(0));
        let closing = state.closing.iter().map(|closing| closing.size_bytes);
        let held_bytes: u64 = newer.chain(closing).sum();
        let limit = self.config().retention_bytes.filter(|_| !state.sealed.is_empty());
        self.retention_at.set(limit.map_or(u64::MAX, |limit| limit.saturating_sub(held_bytes)));
        self.update_new_file_allowed(&state);
    }
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// Deletes the segments that have outlived their retention. A lack of space or of descriptors is tried again later,
    /// and so is a read that fails. A change that fails for another reason latches the log.
    pub async fn retain(self: Rc<Self>) {
        if self.retaining.replace(true) {
            return;
        }
        self.retention_due.set(false);
        match self.delete_expired().await {
            Ok(()) => {
                self.failed_looks.set(0);
                self.plan_look(&self.state.borrow());
            }
            Err(error) => {
                self.retention_due.set(true);
                match error {
                    RetainError::Look(error) if !error.is_too_many_open() => self.look_failed(&error),
                    RetainError::Look(error) | RetainError::Change(error) => {
                        self.work_failed(Work::Retain, error);
                    }
                }
            }
        }
        self.retaining.set(false);
    }

    /// Postpones retention, because a file could not be read. Appends and fetches continue.
    fn look_failed(&self, error: &DiskError) {
        let failed_before = self.failed_looks.get();
        self.failed_looks.set(failed_before.saturating_add(1));
        if failed_before == 0 {
            tracing::warn!(
                %error,
                "retention cannot read a file, so it deletes nothing of this partition; it tries again until it can"
            );
        }
        let wait = LOOK_AGAIN_AFTER.saturating_mul(2_u32.saturating_pow(failed_before)).min(LOOK_EVERY_MAX);
        self.postponed.postpone_to(Work::Retain, self.context.clock.now() + wait);
    }

    /// Deletes several segments at the same time, with one checkpoint and one sync of the directory for all. One by
    /// one, on a busy disk, deletion would be slower than appends that fill small segments.
    async fn delete_expired(&self) -> Result<(), RetainError> {
        self.measure_sealed().await.map_err(RetainError::Look)?;
        loop {
            let count = self.expired().await.map_err(RetainError::Look)?;
            let next_offset = {
                let state = self.state.borrow();
                count.checked_sub(1).and_then(|last| state.sealed.get(last)).map(|sealed| sealed.next_offset)
            };
            let Some(next_offset) = next_offset else { break };
            self.record_deletion(next_offset).await.map_err(RetainError::Change)?;
            self.delete_oldest(count).await.map_err(RetainError::Change)?;
            self.postponed.end_all();
        }
        self.weigh();
        Ok(())
    }

    /// Records durably that the sealed segments below `next_offset` are deleted. Nothing is written if that is recorded.
    async fn record_deletion(&self, next_offset: i64) -> Result<(), DiskError> {
        let is_recorded = {
            let checkpoint = &self.state.borrow().checkpoint;
            self.is_open_recorded.get()
                && checkpoint.log_start_offset.min(checkpoint.recovery_offset) >= next_offset
        };
        if is_recorded {
            return Ok(());
        }
        let record = |checkpoint: &mut checkpoint::Checkpoint| {
            checkpoint.log_start_offset = checkpoint.log_start_offset.max(next_offset);
            // The checkpoint of such a segment's own seal may not be written yet.
            checkpoint.recovery_offset = checkpoint.recovery_offset.max(next_offset);
        };
        self.write_checkpoint(record).await
    }

    /// Takes the `count` oldest segments out of the log and removes their files. A file that can be recycled becomes
    /// the spare.
    async fn delete_oldest(&self, count: usize) -> Result<(), DiskError> {
        let freed = self.take_oldest(count);
        let (disk, dir) = (&self.context.disk, &self.dir);
        let gone = freed.iter().filter(|(_, claimed)| claimed.is_none());
        let gone =
            join_all(gone.map(|(base_offset, _)| segment::remove_files(disk, dir, *base_offset))).await;
        let recycled = freed.iter().find_map(|(base_offset, claimed)| Some((*base_offset, (*claimed)?)));
        let ended = match recycled {
            // This call syncs the directory too.
            Some((base_offset, number)) => self.recycle(base_offset, number).await,
            None => disk.sync_dir(dir).await,
        };
        self.leaving_bytes.set(0);
        ended?;
        freed.iter().for_each(|_| self.note(EventKind::Retention));
        gone.into_iter().collect()
    }

    /// Takes the `count` oldest segments out of the log. Returns their base offsets, with a number for each that
    /// becomes the spare.
    fn take_oldest(&self, count: usize) -> Vec<(i64, Option<SpareNumber>)> {
        let mut state = self.state.borrow_mut();
        let mut freed = Vec::with_capacity(count);
        while freed.len() < count
            && let Some(oldest) = state.sealed.pop_front()
        {
            state.files.remove(FileName::Segment(oldest.base_offset));
            let claimed = self.claim_freed(&mut state, &oldest);
            if claimed.is_none() {
                let bytes = oldest.size_bytes.unwrap_or(self.config().segment_bytes);
                self.leaving_bytes.set(self.leaving_bytes.get() + bytes);
            }
            freed.push((oldest.base_offset, claimed));
        }
        freed
    }

    /// Number of the oldest segments that can be deleted now, at most [`DELETED_AT_ONCE`].
    async fn expired(&self) -> Result<usize, DiskError> {
        let mut count = 0;
        while count < DELETED_AT_ONCE
            && (self.is_below_start(count) || self.is_too_much(count) || self.is_too_old(count).await?)
        {
            count += 1;
        }
        Ok(count)
    }

    /// Reads the sizes of segments that were sealed before the log was opened.
    async fn measure_sealed(&self) -> Result<(), DiskError> {
        if self.config().retention_bytes.is_none() {
            return Ok(());
        }
        let unmeasured: Vec<i64> = {
            let state = self.state.borrow();
            let unmeasured = state.sealed.iter().filter(|sealed| sealed.size_bytes.is_none());
            unmeasured.map(|sealed| sealed.base_offset).collect()
        };
        for base_offset in unmeasured {
            let size_bytes = match self.opened(base_offset).await {
                Ok(file) => file.size().await?,
                // Readers get the error that the segment is missing. Retention counts it as empty.
                Err(error) if error.is_not_found() => 0,
                Err(error) => return Err(error),
            };
            let mut state = self.state.borrow_mut();
            if let Some(sealed) = state.sealed_at(base_offset) {
                sealed.size_bytes = Some(size_bytes);
            }
        }
        Ok(())
    }

    /// Whether the sealed segment at `index` holds only records that a caller has deleted.
    fn is_below_start(&self, index: usize) -> bool {
        let state = self.state.borrow();
        state.sealed.get(index).is_some_and(|sealed| sealed.next_offset <= state.checkpoint.log_start_offset)
    }

    /// Whether the log would still hold `retention_bytes` without the sealed segment at `index` and those before it.
    fn is_too_much(&self, index: usize) -> bool {
        let Some(retention_bytes) = self.config().retention_bytes else { return false };
        let state = self.state.borrow();
        let newer = state.sealed.iter().skip(index + 1).map(|sealed| sealed.size_bytes.unwrap_or(0));
        let closing = state.closing.iter().map(|closing| closing.size_bytes);
        let active = state.active.as_ref().map_or(0, |_| state.tail.segment_bytes());
        index < state.sealed.len() && newer.chain(closing).sum::<u64>() + active >= retention_bytes
    }

    /// Whether the largest timestamp of the sealed segment at `index` is older than `retention_ms`.
    async fn is_too_old(&self, index: usize) -> Result<bool, DiskError> {
        let sealed = {
            let state = self.state.borrow();
            let sealed = state.sealed.get(index);
            sealed.map(|sealed| (sealed.base_offset, sealed.largest_timestamp, sealed.changed_ms))
        };
        let (Some(retention_ms), Some((base_offset, known, changed_ms))) =
            (self.config().retention_ms, sealed)
        else {
            return Ok(false);
        };
        let oldest_ms = self.context.clock.wall_ms().saturating_sub_unsigned(retention_ms);
        let is_old = |largest_ms: Option<i64>| largest_ms.unwrap_or(changed_ms) < oldest_ms;
        // The index file has no checksum. It can show that a segment is young enough, but only the batches can show
        // that it is too old.
        let indexed_ms = match known {
            LargestTimestamp::Known(largest_ms) => return Ok(is_old(largest_ms)),
            LargestTimestamp::Indexed(largest_ms) => Some(largest_ms),
            LargestTimestamp::Unknown => self.indexed_timestamp(base_offset).await?,
        };
        if let Some(largest_ms) = indexed_ms.filter(|largest_ms| *largest_ms >= oldest_ms) {
            self.learn_timestamp(base_offset, LargestTimestamp::Indexed(largest_ms));
            return Ok(false);
        }
        let file = match self.opened(base_offset).await {
            Err(error) if error.is_not_found() => return Ok(true),
            opened => opened?,
        };
        let request = self.scan_request(base_offset, i32::MIN);
        let scanned = segment::scan(&*file, &self.context.arena, &request).await?;
        let largest_ms = scanned.indexes.times.max_timestamp_ms();
        self.learn_timestamp(base_offset, LargestTimestamp::Known(largest_ms));
        Ok(is_old(largest_ms))
    }

    /// Keeps the largest timestamp of a sealed segment in memory, so that it is not read again.
    fn learn_timestamp(&self, base_offset: i64, largest: LargestTimestamp) {
        if let Some(sealed) = self.state.borrow_mut().sealed_at(base_offset) {
            sealed.largest_timestamp = largest;
        }
    }

    /// Reads the largest timestamp from the index file, ms since the epoch.
    async fn indexed_timestamp(&self, base_offset: i64) -> Result<Option<i64>, DiskError> {
        match self.context.disk.read_file(&segment::time_index_path(&self.dir, base_offset)).await {
            Ok(bytes) => {
                let times = TimeIndex::decode(base_offset, &bytes).ok();
                Ok(times.and_then(|times| times.max_timestamp_ms()))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the file of a sealed segment for one check.
    pub(in crate::log) async fn opened(&self, base_offset: i64) -> Result<OpenFile<D::File>, DiskError> {
        self.open_file(&segment::log_path(&self.dir, base_offset), OpenMode::Read).await
    }
}
