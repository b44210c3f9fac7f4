//! The value of a committed offset.
//!
//! ```text
//! int64  offset
//! int32  leader epoch       from version 3; −1 if the client sent none
//! string metadata
//! int64  commit timestamp   ms since the Unix epoch
//! int64  expire timestamp   version 1 only; written if the commit brought a retention of its own
//! ```

use super::fault::RecordFault;
use super::fields::{Reader, put_string};

/// Version that is written for commits without a retention of their own.
const VERSION: i16 = 3;
/// Version that holds the time at which the offset expires.
const VERSION_WITH_EXPIRY: i16 = 1;
/// First version in the flexible form.
const FLEXIBLE_FROM: i16 = 4;

/// The key of a committed offset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetKey {
    /// Id of the group.
    pub group: String,
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: i32,
}

impl OffsetKey {
    /// Takes the fields after the version.
    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self, RecordFault> {
        Ok(Self { group: reader.string()?, topic: reader.string()?, partition: reader.i32()? })
    }

    /// Appends the fields after the version.
    pub(super) fn put(&self, buffer: &mut Vec<u8>) {
        put_string(buffer, &self.group);
        put_string(buffer, &self.topic);
        buffer.extend(self.partition.to_be_bytes());
    }
}

/// A committed offset of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Offset of the next record that the group reads.
    pub offset: i64,
    /// Leader epoch of the last record that was read; −1 if the client sent none.
    pub leader_epoch: i32,
    /// Text that the client stores with the offset.
    pub metadata: String,
    /// Time of the commit, ms since the Unix epoch.
    pub committed_ms: i64,
    /// Time at which the offset expires, ms since the Unix epoch, if the commit brought a retention of its own.
    pub expires_ms: Option<i64>,
}

impl CommittedOffset {
    /// Encodes the value. The leader epoch is lost if the offset has an expiry of its own, as in Kafka.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(32 + self.metadata.len());
        let version = if self.expires_ms.is_some() { VERSION_WITH_EXPIRY } else { VERSION };
        buffer.extend(version.to_be_bytes());
        buffer.extend(self.offset.to_be_bytes());
        if version >= VERSION {
            buffer.extend(self.leader_epoch.to_be_bytes());
        }
        put_string(&mut buffer, &self.metadata);
        buffer.extend(self.committed_ms.to_be_bytes());
        if let Some(expires_ms) = self.expires_ms {
            buffer.extend(expires_ms.to_be_bytes());
        }
        buffer
    }

    /// Decodes the value.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordFault> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16()?;
        if !(0..=FLEXIBLE_FROM).contains(&version) {
            return Err(RecordFault::UnknownVersion { part: "offset", version });
        }
        if version >= FLEXIBLE_FROM {
            reader = reader.flexible();
        }
        let offset = reader.i64()?;
        let leader_epoch = if version >= VERSION { reader.i32()? } else { -1 };
        let metadata = reader.string()?;
        let committed_ms = reader.i64()?;
        let expires_ms = if version == VERSION_WITH_EXPIRY { Some(reader.i64()?) } else { None };
        reader.tagged_fields()?;
        reader.end()?;
        let expires_ms = expires_ms.filter(|ms| *ms != -1);
        Ok(Self { offset, leader_epoch, metadata, committed_ms, expires_ms })
    }
}
