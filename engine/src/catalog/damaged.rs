//! The record of the partitions that an open has found damaged: the file `damaged.json` of the data directory.
//!
//! An open writes the file before the engine serves requests. Later opens, `verify` and a repair judge a partition in
//! the file as strictly as the open that found the damage. Without the file, the missing records could pass for an
//! unsynced end of the log after a reboot of the machine, or with newer recovery points. A partition stays in the file
//! until an open finds its log whole again, or a repair has cut the log. If no partition is damaged, there is no file.

use super::checked::{decode, encode};
use crate::disk::{Disk, replace_file};
use crate::error::{Corruption, CorruptionKind, DamageError, DiskError, OpenError};
use crate::types::TopicPartition;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the file.
pub(crate) const DAMAGED_FILE: &str = "damaged.json";

/// One partition that is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageRecord {
    /// Name of the topic.
    pub(crate) topic: String,
    /// The topic's id in the catalog.
    pub(crate) topic_id: u64,
    /// Number of the partition.
    pub(crate) partition: u32,
    /// The first offset that cannot be read.
    pub(crate) from_offset: i64,
    /// An offset that the log had at least reached before it was damaged; `None` if nothing is known.
    pub(crate) reached_offset: Option<i64>,
    /// The damaged or missing file, relative to the data directory.
    pub(crate) file: String,
    /// Position of the damage in the file, bytes.
    pub(crate) position: u64,
    /// The fault, in words.
    pub(crate) cause: String,
}

/// Every partition that is damaged. The key is the topic's id and the partition's number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Contents", into = "Contents")]
pub struct DamageRecords(BTreeMap<(u64, u32), DamageRecord>);

/// The contents of the file.
#[derive(Serialize, Deserialize)]
struct Contents {
    partitions: Vec<DamageRecord>,
}

impl From<Contents> for DamageRecords {
    fn from(contents: Contents) -> Self {
        let partitions = contents.partitions.into_iter();
        Self(partitions.map(|record| ((record.topic_id, record.partition), record)).collect())
    }
}

impl From<DamageRecords> for Contents {
    fn from(records: DamageRecords) -> Self {
        Self { partitions: records.0.into_values().collect() }
    }
}

impl DamageRecord {
    /// Returns the record of a partition that an open has found damaged from offset `from_offset` on. Every record
    /// below `durable_to` had been durable; `i64::MIN` if nothing is known.
    pub fn new(
        data_dir: &Path,
        (topic_id, partition): (u64, &TopicPartition),
        from_offset: i64,
        cause: &DamageError,
        durable_to: i64,
    ) -> Self {
        let (path, position, seen_to, text) = match cause {
            DamageError::Corrupt(Corruption { path, position, kind }) => {
                (path, *position, seen_to(kind), kind.to_string())
            }
            DamageError::Unreadable(error) => (&error.path, error.position, None, error.source.to_string()),
        };
        let durable_to = (durable_to > i64::MIN).then_some(durable_to);
        Self {
            topic: partition.topic.to_string(),
            topic_id,
            partition: partition.partition,
            from_offset,
            reached_offset: durable_to.max(seen_to),
            file: path.strip_prefix(data_dir).unwrap_or(path).to_string_lossy().into_owned(),
            position,
            cause: text,
        }
    }

    /// Returns the offset below which every record has to be there if the log is whole; `i64::MIN` if nothing is known.
    pub(crate) fn durable_to(&self) -> i64 {
        self.reached_offset.unwrap_or(i64::MIN)
    }
}

/// Returns the offset up to which the log had reached, as records or segments behind the damage show; `None` if there
/// are none.
const fn seen_to(kind: &CorruptionKind) -> Option<i64> {
    match kind {
        CorruptionKind::DamagedBeforeValid { found, .. } | CorruptionKind::EndsEarly { found, .. } => {
            Some(*found)
        }
        CorruptionKind::SegmentMissing { to, .. } => Some(*to),
        _ => None,
    }
}

impl DamageRecords {
    /// Reads the file `path` from its bytes.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`]: the file's content is not the one that was written.
    pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        decode(path, bytes)
    }

    /// Whether no partition is damaged.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a record; one of the same partition is replaced.
    pub fn add(&mut self, record: DamageRecord) {
        self.0.insert((record.topic_id, record.partition), record);
    }

    /// Returns the record of a partition.
    pub(crate) fn get(&self, topic_id: u64, partition: u32) -> Option<&DamageRecord> {
        self.0.get(&(topic_id, partition))
    }

    /// Returns the record of a partition, found by the name of its topic. This is for use without a catalog, which
    /// alone tells topics of one name apart.
    pub(crate) fn get_by_name(&self, topic: &str, partition: u32) -> Option<&DamageRecord> {
        self.0.values().find(|record| (&*record.topic, record.partition) == (topic, partition))
    }

    /// Returns the records without those of a topic.
    pub(super) fn without(&self, topic: &str) -> Self {
        let others = self.0.iter().filter(|(_, record)| record.topic != topic);
        Self(others.map(|(key, record)| (*key, record.clone())).collect())
    }

    /// Reads the file in `data_dir`. Returns no records if there is no file.
    ///
    /// # Errors
    /// The disk failed, or the file's content is not the one that was written.
    pub(super) async fn read<D: Disk>(disk: &D, data_dir: &Path) -> Result<Self, OpenError> {
        let path = data_dir.join(DAMAGED_FILE);
        match disk.read_file(&path).await {
            Ok(bytes) => Self::decode(&path, &bytes),
            Err(error) if error.is_not_found() => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the file in `data_dir`, all or nothing. The change is durable when this returns. If no partition is
    /// damaged, the file is removed.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) async fn write<D: Disk>(&self, disk: &D, data_dir: &Path) -> Result<(), DiskError> {
        let path = data_dir.join(DAMAGED_FILE);
        if !self.is_empty() {
            return replace_file(disk, &path, encode(self).into_bytes()).await;
        }
        match disk.remove_file(&path).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => disk.sync_dir(data_dir).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topic: &str, topic_id: u64, cause: &DamageError, durable_to: i64) -> DamageRecord {
        let partition = TopicPartition { topic: topic.into(), partition: 3 };
        DamageRecord::new(Path::new("/data"), (topic_id, &partition), 10, cause, durable_to)
    }

    fn corrupt(kind: CorruptionKind) -> DamageError {
        DamageError::Corrupt(Corruption { path: "/data/t-3/0.log".into(), position: 77, kind })
    }

    #[test]
    fn a_record_holds_the_furthest_offset_that_is_known_to_have_been_there() {
        let early = corrupt(CorruptionKind::EndsEarly { expected: 10, found: 30 });
        let missing = corrupt(CorruptionKind::SegmentMissing { from: 10, to: 40 });
        let other = corrupt(CorruptionKind::Metadata("noise".into()));
        let source = std::io::ErrorKind::PermissionDenied.into();
        let failed = DiskError::new(crate::error::DiskOp::Open, Path::new("/data/t-3"), 0, source);
        for (cause, durable_to, reached) in [
            (&early, i64::MIN, Some(30)),
            (&early, 35, Some(35)),
            (&missing, 35, Some(40)),
            (&other, i64::MIN, None),
            (&DamageError::Unreadable(failed), 35, Some(35)),
        ] {
            assert_eq!(record("t", 1, cause, durable_to).reached_offset, reached, "{cause}");
        }
        let record = record("t", 1, &early, i64::MIN);
        assert_eq!((&*record.file, record.position), ("t-3/0.log", 77));
    }

    #[test]
    fn records_are_read_as_they_were_written_and_no_flipped_bit_passes() {
        let cause = corrupt(CorruptionKind::EndsEarly { expected: 10, found: 30 });
        let mut records = DamageRecords::default();
        for (topic, id) in [("t", 7), ("u", 2), ("v", 5)] {
            records.add(record(topic, id, &cause, i64::MIN));
        }
        let path = Path::new("/data/damaged.json");
        let bytes = encode(&records).into_bytes();
        assert_eq!(DamageRecords::decode(path, &bytes).unwrap(), records);
        assert_eq!(records.get(2, 3).map(|record| &*record.topic), Some("u"));
        assert_eq!(records.get_by_name("t", 3).map(|record| record.topic_id), Some(7));
        assert!(records.get(2, 4).is_none() && records.without("u").get(2, 3).is_none());
        // The last byte is the end of a line, which does not matter.
        for bit in 0..(bytes.len() - 1) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A hexadecimal digit of the checksum may be of either case.
            let is_case = bit / 8 < 8 && flipped[bit / 8].eq_ignore_ascii_case(&bytes[bit / 8]);
            assert!(is_case || DamageRecords::decode(path, &flipped).is_err(), "bit {bit}");
        }
    }
}
