//! The records of `__consumer_offsets`: Kafka's bytes of keys and values. Pure, no I/O.
//!
//! ```text
//! key    int16 version   0, 1: an offset   group, topic (string), partition (int32)
//!                        2:    a group     group (string)
//! value  int16 version   see `group.rs` and `offset.rs`; no value (a tombstone) removes the offset or the group
//! ```
//!
//! A string is an int16 length and UTF-8 bytes, an array an int32 count and its elements. From value version 4 on, lengths
//! and counts are unsigned varints plus 1, and each structure ends with tagged fields. Such values are read, and never written.

mod fault;
mod fields;
mod group;
mod offset;

pub use fault::RecordFault;
pub(crate) use fields::{Reader, put_bytes, put_count, put_nullable_string, put_string};
pub(crate) use group::USES_SESSION_TIMEOUT;
pub use group::{GroupValue, MemberValue};
pub use offset::{CommittedOffset, OffsetKey};

/// Name of the internal topic that holds the records of all groups.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Version of the key of an offset that is written.
const OFFSET_KEY_VERSION: i16 = 1;
/// Version of the key of a group.
const GROUP_KEY_VERSION: i16 = 2;

/// A change of the state of one partition of `__consumer_offsets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupRecord {
    /// An offset was committed, or removed.
    Offset {
        /// The offset's group and partition.
        key: OffsetKey,
        /// The committed offset; `None` removes it.
        value: Option<CommittedOffset>,
    },
    /// A group was created, or has a new generation; or it was removed.
    Group {
        /// Id of the group.
        group: String,
        /// The group; `None` removes it.
        value: Option<GroupValue>,
    },
}

/// A record of `__consumer_offsets`, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRecord {
    /// Bytes of the key.
    pub key: Vec<u8>,
    /// Bytes of the value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
}

impl GroupRecord {
    /// Returns the id of the group that the record belongs to.
    pub fn group(&self) -> &str {
        match self {
            Self::Offset { key, .. } => &key.group,
            Self::Group { group, .. } => group,
        }
    }

    /// Encodes the record.
    ///
    /// # Panics
    /// If a string is longer than 32,767 bytes. Requests with such strings are refused before they make records.
    pub fn encode(&self) -> EncodedRecord {
        let mut key = Vec::new();
        let value = match self {
            Self::Offset { key: offset, value } => {
                key.extend(OFFSET_KEY_VERSION.to_be_bytes());
                offset.put(&mut key);
                value.as_ref().map(CommittedOffset::encode)
            }
            Self::Group { group, value } => {
                key.extend(GROUP_KEY_VERSION.to_be_bytes());
                put_string(&mut key, group);
                value.as_ref().map(GroupValue::encode)
            }
        };
        EncodedRecord { key, value }
    }

    /// Decodes a record. Returns `None` for kinds that this engine does not use: other versions of the key belong to Kafka's
    /// newer group protocols.
    ///
    /// # Errors
    /// [`RecordFault`] if the bytes are cut short, have impossible lengths or counts, or are of a version that is unknown.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, RecordFault> {
        let mut reader = Reader::new(key);
        let record = match reader.i16()? {
            0 | OFFSET_KEY_VERSION => {
                let key = OffsetKey::take(&mut reader)?;
                Self::Offset { key, value: value.map(CommittedOffset::decode).transpose()? }
            }
            GROUP_KEY_VERSION => {
                let group = reader.string()?;
                Self::Group { group, value: value.map(GroupValue::decode).transpose()? }
            }
            version if version > GROUP_KEY_VERSION => return Ok(None),
            version => return Err(RecordFault::UnknownVersion { part: "key", version }),
        };
        reader.end()?;
        Ok(Some(record))
    }
}
