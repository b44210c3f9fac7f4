//! The data directory's record of partitions that an open has found damaged.

use super::partition::Walked;
use super::report::{DefectKind, Findings, NoteKind};
use super::{PartitionEntry, describe, read};
use crate::catalog::{DAMAGED_FILE, DamageRecord, DamageRecords};
use crate::error::DiskError;
use std::path::Path;

/// The record of damage.
#[derive(Debug)]
pub(crate) enum Recorded {
    /// The partitions that were found damaged.
    Known(DamageRecords),
    /// The record cannot be read: any partition may have been found damaged.
    Unreadable {
        /// The fault of the file.
        reason: String,
    },
}

impl Recorded {
    /// Reads the record. If it cannot be read, reports a defect.
    pub(super) fn of(data_dir: &Path, findings: &mut Findings<'_>) -> Result<Self, DiskError> {
        let path = data_dir.join(DAMAGED_FILE);
        let Some(bytes) = read(&path)? else { return Ok(Self::Known(DamageRecords::default())) };
        match DamageRecords::decode(&path, &bytes) {
            Ok(records) => Ok(Self::Known(records)),
            Err(error) => {
                let reason = describe(error);
                let message = format!(
                    "{reason}: which partitions an open has found damaged is not known, and the directory cannot be \
                     opened; `vnotch repair` reads all partitions and moves the file away"
                );
                findings.defect(DefectKind::DamageRecords, &path, 0, message);
                Ok(Self::Unreadable { reason })
            }
        }
    }

    /// Whether a partition has to be judged as one that was found damaged.
    pub(super) fn was_damaged(&self, place: &PartitionEntry<'_>) -> bool {
        matches!(self, Self::Unreadable { .. }) || self.get(place).is_some()
    }

    /// Returns the offset below which every record of the partition had been durable; `i64::MIN` if nothing is known.
    pub(super) fn durable_to(&self, place: &PartitionEntry<'_>) -> i64 {
        self.get(place).map_or(i64::MIN, DamageRecord::durable_to)
    }

    fn get(&self, place: &PartitionEntry<'_>) -> Option<&DamageRecord> {
        let Self::Known(records) = self else { return None };
        match place.stored {
            Some(stored) => records.get(stored.id, place.partition),
            None => records.get_by_name(place.topic, place.partition),
        }
    }

    /// Notes a partition that was found damaged and is whole now.
    pub(super) fn note_whole(
        &self,
        data_dir: &Path,
        place: &PartitionEntry<'_>,
        walked: &Walked,
        findings: &mut Findings<'_>,
    ) {
        let Some(record) = self.get(place).filter(|_| walked.report.damage.is_none()) else { return };
        let message = format!(
            "{}-{} was damaged from offset {} on ({} at byte {}: {}), and is whole now; the next open forgets the damage",
            record.topic, record.partition, record.from_offset, record.file, record.position, record.cause
        );
        findings.note(NoteKind::Leftover, &data_dir.join(DAMAGED_FILE), 0, message);
    }
}
