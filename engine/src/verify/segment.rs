//! Reads one segment batch by batch. A sealed segment has to be whole. In an unsealed one, the end of its valid batches
//! is found.

use super::indexes::IndexCheck;
use super::report::{DefectKind, Findings};
use super::window::{ValidBatch, Window};
use crate::error::DiskError;
use crate::record::{self, BatchError, BatchHeader};
use std::path::Path;

/// Smallest leader epoch: the first open of a directory raises it from 0 to 1.
const EPOCH_MIN: i32 = 1;

/// A value that is expected because of earlier ones, and an alternative if an earlier one was wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<T> {
    pub(super) value: T,
    alternative: Option<T>,
}

impl<T: Copy + PartialEq> Expected<T> {
    pub(super) const fn new(value: T) -> Self {
        Self { value, alternative: None }
    }

    /// Whether `found` is the expected value or its alternative. If so, it becomes the only expected value.
    pub(super) fn accepts(&mut self, found: T) -> bool {
        let is_expected = found == self.value || self.alternative == Some(found);
        if is_expected {
            *self = Self::new(found);
        }
        is_expected
    }
}

/// The state of reading one segment file: the inputs, the position and the results.
pub(super) struct SegmentWalk<'a, 'f> {
    pub(super) path: &'a Path,
    pub(super) window: Window,
    pub(super) position: u64,
    /// Offset of the next batch.
    pub(super) next: Expected<i64>,
    /// Leader epoch of the segment, once a batch has shown it. All batches have the same one, as a segment is written
    /// during one open of the directory.
    epoch: Option<Expected<i32>>,
    /// Bounds of the segment's leader epoch: the epoch of the segment before, and that of the directory.
    epochs: (i32, i32),
    pub(super) batches: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Whether the offset after the segment's last record is known. It is not if damage reaches to the end of the file.
    pub(super) is_end_known: bool,
    /// Byte and offset of the first record of a sealed segment that cannot be read.
    pub(super) damage: Option<(u64, i64)>,
    /// Byte and offset at which a scan of a sealed segment stops.
    pub(super) scan_stop: Option<(u64, i64)>,
    /// Smallest leader epoch that a scan of a sealed segment accepts next.
    pub(super) scan_epoch: i32,
    /// Largest leader epoch of a batch.
    pub(super) epoch_found: i32,
    /// The epoch of the batch at which an unsealed segment ends, if the catalog knows none that large.
    pub(super) epoch_ahead: Option<i32>,
    pub(super) findings: &'a mut Findings<'f>,
}

impl<'a, 'f> SegmentWalk<'a, 'f> {
    pub(super) fn begin(
        path: &'a Path,
        base_offset: i64,
        epochs: (i32, i32),
        findings: &'a mut Findings<'f>,
    ) -> Result<Self, DiskError> {
        Ok(Self {
            path,
            window: Window::open(path)?,
            position: 0,
            next: Expected::new(base_offset),
            epoch: None,
            epochs,
            batches: 0,
            records: 0,
            bytes: 0,
            is_end_known: true,
            damage: None,
            scan_stop: None,
            scan_epoch: i32::MIN,
            epoch_found: i32::MIN,
            epoch_ahead: None,
            findings,
        })
    }

    /// Returns the smallest leader epoch that the next segment may have.
    pub(super) fn epoch(&self) -> i32 {
        self.epoch.map_or(self.epochs.0, |epoch| epoch.value)
    }

    /// Reads a sealed segment to its end, past all damage.
    pub(super) fn walk_sealed(&mut self, indexes: &mut IndexCheck) -> Result<(), DiskError> {
        while let Some(batch) = self.window.batch(self.position)? {
            let at = self.position;
            match batch {
                Ok(found) => self.accept_sealed(&found, indexes),
                Err(error) => {
                    self.skip_damage(&error)?;
                    indexes.skip_damaged(at, self.position, self.findings);
                }
            }
            self.findings.advance(self.position - at);
        }
        Ok(())
    }

    fn accept_sealed(&mut self, found: &ValidBatch, indexes: &mut IndexCheck) {
        let (header, at) = (found.header, self.position);
        if self.next.accepts(header.base_offset) {
            indexes.check_batch(&header, at, self.findings);
            self.next.value = header.next_offset();
        } else {
            let expected = self.next.value;
            self.set_damage(at, expected);
            let message = format!(
                "the batch begins at offset {}, the one before it ends at {expected}: its offset is damaged, or \
                 batches are missing",
                header.base_offset
            );
            self.findings.defect(DefectKind::OffsetGap, self.path, at, message);
            indexes.skip_damaged(at, at + header.total_bytes() as u64, self.findings);
            let count = i64::from(header.last_offset_delta) + 1;
            let value = expected.saturating_add(count);
            self.next = Expected { value, alternative: Some(header.next_offset()) };
        }
        self.check_scan_epoch(&header);
        self.check_epoch(header.partition_leader_epoch);
        self.count(found);
    }

    const fn set_damage(&mut self, position: u64, offset: i64) {
        if self.damage.is_none() {
            self.damage = Some((position, offset));
        }
        if self.scan_stop.is_none() {
            self.scan_stop = Some((position, offset));
        }
    }

    /// Notes where the scan of an open would refuse a batch for its epoch. The batch's records can be read
    /// nevertheless.
    fn check_scan_epoch(&mut self, header: &BatchHeader) {
        let epoch = header.partition_leader_epoch;
        if (self.scan_epoch..=self.epochs.1).contains(&epoch) {
            self.scan_epoch = epoch;
        } else {
            self.scan_stop.get_or_insert((self.position, header.base_offset));
        }
    }

    /// Reads valid batches up to the first invalid one. Returns the reason why that one is invalid; `None` if the whole
    /// file is valid.
    pub(super) fn walk_unsealed(&mut self) -> Result<Option<String>, DiskError> {
        while let Some(batch) = self.window.batch(self.position)? {
            let header = match &batch {
                Ok(found) => found.header,
                Err(error) => return Ok(Some(error.to_string())),
            };
            let epoch = header.partition_leader_epoch;
            if header.base_offset != self.next.value {
                let expected = self.next.value;
                return Ok(Some(format!(
                    "batch begins at offset {}, expected {expected}",
                    header.base_offset
                )));
            }
            let epoch_min = self.epoch();
            if epoch < epoch_min || epoch > self.epochs.1 {
                self.epoch_ahead = Some(epoch).filter(|epoch| *epoch > self.epochs.1);
                return Ok(Some(format!("leader epoch {epoch} is outside {epoch_min}..={}", self.epochs.1)));
            }
            self.epoch = Some(Expected::new(epoch));
            self.next = Expected::new(header.next_offset());
            if let Ok(found) = batch {
                self.count(&found);
            }
            self.findings.advance(header.total_bytes() as u64);
        }
        Ok(None)
    }

    fn count(&mut self, found: &ValidBatch) {
        if let Err(error) = found.records {
            let message = format!(
                "{error}; the checksum holds, so the batch is as its producer made it, and consumers cannot read all of it"
            );
            self.findings.defect(DefectKind::Batch, self.path, self.position, message);
        }
        self.batches += 1;
        let epoch = found.header.partition_leader_epoch;
        if epoch <= self.epochs.1 {
            self.epoch_found = self.epoch_found.max(epoch);
        }
        self.records += u64::from(found.header.record_count);
        self.bytes += found.header.total_bytes() as u64;
        self.position += found.header.total_bytes() as u64;
    }

    fn check_epoch(&mut self, found: i32) {
        let (epoch_min, epoch_max) = (self.epochs.0.max(EPOCH_MIN), self.epochs.1);
        let is_possible = (epoch_min..=epoch_max).contains(&found);
        if self.epoch.as_mut().is_some_and(|epoch| epoch.accepts(found)) {
            return;
        }
        let message = match &mut self.epoch {
            none @ None if is_possible => {
                *none = Some(Expected::new(found));
                return;
            }
            None => format!(
                "the batch has the leader epoch {found}, which is outside {epoch_min}..={epoch_max}: it is damaged, or \
                 the batch is left over from another life of this file"
            ),
            Some(epoch) => {
                epoch.alternative = is_possible.then_some(found);
                let before = epoch.value;
                format!(
                    "the batch has the leader epoch {found}, the one before it {before}: all of a segment have the same, \
                     so one of the two is damaged, or left over from another life of this file"
                )
            }
        };
        self.findings.defect(DefectKind::Epoch, self.path, self.position, message);
    }

    /// Reports the damage at this position. Continues at the next whole batch, or at the end of the file if there is
    /// none.
    fn skip_damage(&mut self, error: &BatchError) -> Result<(), DiskError> {
        let (at, expected) = (self.position, self.next.value);
        self.set_damage(at, expected);
        let (to, found) = match self.next_whole(at, expected)? {
            Some((to, header)) => (to, Some(header)),
            None => (self.window.file_bytes, None),
        };
        self.position = to;
        let is_cut = matches!(error, BatchError::TooShort { .. }) && found.is_none();
        let kind = if is_cut { DefectKind::Truncated } else { DefectKind::Batch };
        let what =
            if is_cut { "the file ends in the middle of a batch".to_owned() } else { error.to_string() };
        let message = match found {
            Some(header) => format!(
                "{what}; offsets {expected}..{}, in bytes {at}..{to}, cannot be read",
                header.base_offset
            ),
            None => format!("{what}; offset {expected} and what follows it in this segment cannot be read"),
        };
        self.findings.defect(kind, self.path, at, message);
        self.is_end_known = found.is_some();
        if let Some(header) = found {
            self.next = Expected::new(header.base_offset);
        }
        Ok(())
    }

    /// Returns the next whole batch behind the damage at `at`: at the position that the damaged batch's length names,
    /// or at any later one.
    fn next_whole(&mut self, at: u64, expected: i64) -> Result<Option<(u64, BatchHeader)>, DiskError> {
        if let Ok(length) = record::peek_total_bytes(self.window.at(at, 12)?) {
            let next = at + length as u64;
            if next == self.window.file_bytes {
                return Ok(None);
            }
            if next < self.window.file_bytes
                && let Some(Ok(found)) = self.window.batch(next)?
                && found.header.base_offset >= expected
            {
                return Ok(Some((next, found.header)));
            }
        }
        self.window.find_batch(at + 1, expected, i32::MIN)
    }
}
