//! The stored state as records, whole or in parts.

use crate::group::machine::Groups;
use crate::group::records::{EncodedRecord, GroupRecord, GroupValue, OffsetKey};
use std::ops::Bound;

/// Bytes that a record takes in a batch beside its key and value, about.
const RECORD_BYTES: usize = 16;

/// A place in the stored state, from which a snapshot goes on. The groups come first, by id, and then the offsets, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SnapshotPlace {
    /// The beginning.
    #[default]
    Start,
    /// Behind the group of this id.
    Group(String),
    /// Behind the offset of this key.
    Offset(OffsetKey),
}

impl Groups {
    /// Returns the whole stored state as records. A coordinator that loads them stores the same. Batches that are still being appended
    /// are left out.
    pub fn snapshot(&self) -> impl Iterator<Item = EncodedRecord> {
        self.stored_behind(&SnapshotPlace::Start).map(|record| record.encode())
    }

    /// Returns the records of the stored state behind a place: at least one if there is any, and then up to about `bytes_max`
    /// bytes. Also returns the place behind them, if records follow. The parts give the whole state if it does not change
    /// between them.
    pub fn snapshot_part(
        &self,
        from: &SnapshotPlace,
        bytes_max: usize,
    ) -> (Vec<EncodedRecord>, Option<SnapshotPlace>) {
        let (mut records, mut bytes, mut last) = (Vec::new(), 0, None);
        for record in self.stored_behind(from) {
            if bytes >= bytes_max
                && let Some(last) = last
            {
                return (records, Some(place_behind(last)));
            }
            let encoded = record.encode();
            bytes += encoded.key.len() + encoded.value.as_ref().map_or(0, Vec::len) + RECORD_BYTES;
            records.push(encoded);
            last = Some(record);
        }
        (records, None)
    }

    fn stored_behind<'a>(&'a self, place: &'a SnapshotPlace) -> impl Iterator<Item = GroupRecord> + 'a {
        let simple = GroupValue::without_members(None);
        let (last_group, last_offset) = match place {
            SnapshotPlace::Start => (Some(Bound::Unbounded), None),
            SnapshotPlace::Group(id) => (Some(Bound::Excluded(id.as_str())), None),
            SnapshotPlace::Offset(key) => (None, Some(key)),
        };
        let groups = last_group.map(|last| self.groups.range::<str, _>((last, Bound::Unbounded)));
        let groups = groups.into_iter().flatten().filter_map(move |(id, group)| {
            // A group that only holds offsets comes into being with its first offset.
            let value =
                group.durable.clone().filter(|value| *value != simple || self.offsets.group(id).is_none())?;
            Some(GroupRecord::Group { group: id.clone(), value: Some(value) })
        });
        let offset =
            |(key, value): (OffsetKey, &_)| GroupRecord::Offset { key, value: Some(Clone::clone(value)) };
        groups.chain(self.offsets.behind(last_offset).map(offset))
    }
}

fn place_behind(record: GroupRecord) -> SnapshotPlace {
    match record {
        GroupRecord::Group { group, .. } => SnapshotPlace::Group(group),
        GroupRecord::Offset { key, .. } => SnapshotPlace::Offset(key),
    }
}
