//! Recovery points: the offsets up to which each partition was written and synced a moment ago. If a record below its
//! partition's point is missing, that is damage, and not the end of the log.
//!
//! ```text
//! recovery-<shard>.a, recovery-<shard>.b    written alternately while records are appended; a torn file does not count
//!  0  magic "vnrp" | 4 version u32 | 8 sequence u64 | 16 boot_id u64 | 24 incarnation i32 | 28 count u32
//! 32  crc32c of bytes 0..32 and of all entries u32
//! 36  entries: topic id u64 | partition u32 | written offset i64 | synced offset i64      (28 bytes each, big endian)
//! ```
//!
//! No operation waits until recovery points are written. If one is lost, fewer records are known to have been there.

use crate::num::u32_of;
use std::collections::BTreeMap;

const MAGIC: [u8; 4] = *b"vnrp";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 36;
const CRC_AT: usize = 32;
const ENTRY_BYTES: usize = 28;

/// The recovery point of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    /// The topic's id in the catalog.
    pub(crate) topic_id: u64,
    /// Number of the partition.
    pub(crate) partition: u32,
    /// Every record below this offset had been written.
    pub(crate) written_offset: i64,
    /// Every record below this offset was durable.
    pub(crate) synced_offset: i64,
}

/// The contents of one file: the points of a shard's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Points {
    /// Number of the write, raised by one at each write.
    pub(crate) sequence: u64,
    /// The boot of the machine in which the points were written.
    pub(crate) boot_id: u64,
    /// The incarnation of the data directory in which the points were written.
    pub(crate) incarnation: i32,
    /// The points of the partitions that have records outside of sealed segments.
    pub(crate) points: Vec<Point>,
}

impl Points {
    /// Returns the bytes of the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.points.len() * ENTRY_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.boot_id.to_be_bytes());
        bytes.extend_from_slice(&self.incarnation.to_be_bytes());
        bytes.extend_from_slice(&u32_of(self.points.len()).to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for point in &self.points {
            bytes.extend_from_slice(&point.topic_id.to_be_bytes());
            bytes.extend_from_slice(&point.partition.to_be_bytes());
            bytes.extend_from_slice(&point.written_offset.to_be_bytes());
            bytes.extend_from_slice(&point.synced_offset.to_be_bytes());
        }
        let crc = crc_of(&bytes);
        bytes[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads the points from the bytes of a file. Returns `None` if the bytes are not valid. Bytes behind the points do
    /// not matter.
    pub(crate) fn decode(file: &[u8]) -> Option<Self> {
        let header = file.first_chunk::<HEADER_BYTES>()?;
        let count = usize::try_from(u32_at(header, 28)?).ok()?;
        let bytes = file.get(..HEADER_BYTES.checked_add(count.checked_mul(ENTRY_BYTES)?)?)?;
        let is_ours = header[..4] == MAGIC && u32_at(header, 4)? == VERSION;
        if !is_ours || u32_at(header, CRC_AT)? != crc_of(bytes) {
            return None;
        }
        let entries = bytes[HEADER_BYTES..].chunks_exact(ENTRY_BYTES);
        let points = entries.map(|entry| {
            Some(Point {
                topic_id: u64_at(entry, 0)?,
                partition: u32_at(entry, 8)?,
                written_offset: u64_at(entry, 12)?.cast_signed(),
                synced_offset: u64_at(entry, 20)?.cast_signed(),
            })
        });
        Some(Self {
            sequence: u64_at(header, 8)?,
            boot_id: u64_at(header, 16)?,
            incarnation: u32_at(header, 24)?.cast_signed(),
            points: points.collect::<Option<Vec<_>>>()?,
        })
    }
}

/// Returns the checksum of all bytes except the checksum's own.
fn crc_of(bytes: &[u8]) -> u32 {
    let (header, entries) = bytes.split_at(HEADER_BYTES);
    crc_fast::crc32_iscsi(&[&header[..CRC_AT], entries].concat())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The newest point of every partition, from all files. The key is the topic's id and the partition's number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RecoveryPoints(BTreeMap<(u64, u32), Newest>);

/// The newest point of a partition, and the boot of the machine in which it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Newest {
    /// Incarnation and sequence of the point's file: a larger pair is newer.
    order: (i32, u64),
    boot_id: u64,
    point: Point,
}

impl RecoveryPoints {
    /// Adds the points of another file.
    pub(crate) fn add(&mut self, points: &Points) {
        let (order, boot_id) = ((points.incarnation, points.sequence), points.boot_id);
        for point in points.points.iter().copied() {
            let newest = Newest { order, boot_id, point };
            let known = self.0.entry((point.topic_id, point.partition)).or_insert(newest);
            if known.order < order {
                *known = newest;
            }
        }
    }

    /// Returns the newest incarnation in which points were written; `None` without points.
    pub(crate) fn newest_incarnation(&self) -> Option<i32> {
        self.0.values().map(|newest| newest.order.0).max()
    }

    /// Whether the points of a file are needed no more: of each partition that `is_known`, another file has a newer point.
    pub(crate) fn supersede(&self, file: &Points, is_known: impl Fn(u64) -> bool) -> bool {
        let order = (file.incarnation, file.sequence);
        let is_newest = |point: &Point| {
            self.0.get(&(point.topic_id, point.partition)).is_some_and(|newest| newest.order == order)
        };
        !file.points.iter().any(|point| is_known(point.topic_id) && is_newest(point))
    }

    /// Returns the offset below which every record of a partition has to be there. It is the written offset if the
    /// machine still runs in the boot of the point, and otherwise the synced offset. `i64::MIN` if nothing is known.
    pub(crate) fn durable_to(&self, topic_id: u64, partition: u32, boot_id: u64) -> i64 {
        let newest = self.0.get(&(topic_id, partition));
        newest.map_or(i64::MIN, |newest| {
            let is_same_boot = newest.boot_id == boot_id;
            if is_same_boot { newest.point.written_offset } else { newest.point.synced_offset }
        })
    }
}

/// Returns the names of the two files of a shard.
pub(crate) fn points_files(shard: u32) -> [String; 2] {
    ["a", "b"].map(|suffix| format!("recovery-{shard}.{suffix}"))
}

/// Returns the number of the shard that wrote a file of recovery points; `None` for any other name.
pub(crate) fn shard_of_points_file(name: &str) -> Option<u32> {
    let text = name
        .strip_prefix("recovery-")
        .and_then(|rest| rest.strip_suffix(".a").or_else(|| rest.strip_suffix(".b")))?;
    let shard: u32 = text.parse().ok()?;
    (shard.to_string() == text).then_some(shard)
}

/// Whether a file of the data directory holds recovery points.
pub(crate) fn is_points_file(name: &str) -> bool {
    shard_of_points_file(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points() -> impl Strategy<Value = Points> {
        let point = (any::<u64>(), any::<u32>(), any::<i64>(), any::<i64>()).prop_map(
            |(topic_id, partition, written_offset, synced_offset)| Point {
                topic_id,
                partition,
                written_offset,
                synced_offset,
            },
        );
        (any::<u64>(), any::<u64>(), any::<i32>(), prop::collection::vec(point, 0..20)).prop_map(
            |(sequence, boot_id, incarnation, points)| Points { sequence, boot_id, incarnation, points },
        )
    }

    proptest! {
        #[test]
        fn points_are_read_as_they_were_written_and_no_flipped_bit_goes_unnoticed(points in points(), bit: prop::sample::Index) {
            let mut bytes = points.encode();
            bytes.extend_from_slice(&[7; 50]);
            prop_assert_eq!(Points::decode(&bytes), Some(points.clone()));
            let bit = bit.index((bytes.len() - 50) * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Points::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_points_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Points::decode(&bytes), None);
        }
    }

    #[test]
    fn the_newest_point_counts_and_after_another_boot_only_what_was_synced() {
        let at = |sequence, written_offset, synced_offset| Points {
            sequence,
            boot_id: 7,
            incarnation: 3,
            points: vec![Point { topic_id: 1, partition: 2, written_offset, synced_offset }],
        };
        let mut all = RecoveryPoints::default();
        for points in [at(5, 50, 20), at(6, 60, 30), at(4, 40, 10)] {
            all.add(&points);
        }
        assert_eq!((all.durable_to(1, 2, 7), all.durable_to(1, 2, 8)), (60, 30));
        assert_eq!(all.durable_to(1, 3, 7), i64::MIN);
    }

    #[test]
    fn a_file_is_superseded_if_others_have_newer_points_of_all_its_partitions() {
        let file = |incarnation, sequence, partitions: &[u32]| {
            let point = |partition: &u32| Point {
                topic_id: 1,
                partition: *partition,
                written_offset: 9,
                synced_offset: 9,
            };
            Points { sequence, boot_id: 7, incarnation, points: partitions.iter().map(point).collect() }
        };
        let (old, newer, newest) = (file(3, 90, &[0, 1, 2]), file(4, 1, &[0]), file(4, 1, &[1]));
        let mut all = RecoveryPoints::default();
        [&old, &newer, &newest].into_iter().for_each(|points| all.add(points));
        assert!(!all.supersede(&old, |_| true), "nothing else knows partition 2");
        assert!(all.supersede(&old, |_| false), "the topic is gone");
        assert!(!all.supersede(&newer, |_| true) && !all.supersede(&newest, |_| true));
        all.add(&file(4, 2, &[2]));
        assert!(all.supersede(&old, |_| true));
    }

    #[test]
    fn names_of_the_files_are_recognised() {
        assert_eq!(points_files(12), ["recovery-12.a", "recovery-12.b"]);
        assert_eq!(shard_of_points_file("recovery-12.b"), Some(12));
        assert!(is_points_file("recovery-12.a") && is_points_file("recovery-0.b"));
        for foreign in ["recovery-012.a", "recovery-.a", "recovery-1.c", "recovery-1", "t-0"] {
            assert!(!is_points_file(foreign), "{foreign}");
        }
    }
}
