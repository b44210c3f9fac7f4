//! The lines that the verb prints, as text in kafka-dump-log's form and as JSON.

use super::internal::Decoded;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// A line of the output.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    /// The file that is shown.
    File {
        /// Path of the file.
        path: &'a Path,
        /// The offset in its name; `None` if it has none.
        #[serde(skip_serializing_if = "Option::is_none")]
        base_offset: Option<i64>,
        /// Size of the file, bytes.
        size: u64,
    },
    /// A batch of a segment.
    Batch(BatchLine),
    /// A record of the batch before.
    Record(RecordLine),
    /// An entry of an index.
    Entry(EntryLine),
    /// A state of the file that is no damage.
    Note {
        /// Byte of the file.
        position: u64,
        /// The state, in words.
        message: String,
    },
    /// Damage.
    Finding {
        /// Byte of the file.
        position: u64,
        /// The fault, in words.
        message: String,
    },
}

/// The header of a batch. Fields of Kafka's that may be missing are `None`.
#[derive(Debug, Serialize)]
pub(super) struct BatchLine {
    pub(super) base_offset: i64,
    pub(super) last_offset: i64,
    pub(super) count: u32,
    pub(super) base_sequence: i32,
    pub(super) last_sequence: i32,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) partition_leader_epoch: i32,
    pub(super) is_transactional: bool,
    pub(super) is_control: bool,
    pub(super) delete_horizon_ms: Option<i64>,
    pub(super) position: u64,
    pub(super) timestamp_type: TimestampName,
    pub(super) max_timestamp_ms: i64,
    pub(super) size: usize,
    pub(super) magic: u8,
    pub(super) compresscodec: String,
    pub(super) crc: u32,
    pub(super) is_valid: bool,
}

/// A record.
#[derive(Debug, Serialize)]
pub(super) struct RecordLine {
    pub(super) offset: i64,
    pub(super) timestamp_type: TimestampName,
    pub(super) timestamp_ms: i64,
    /// Size of the key, bytes; -1 for none.
    pub(super) key_size: i64,
    /// Size of the value, bytes; -1 for none.
    pub(super) value_size: i64,
    pub(super) sequence: i32,
    /// Keys of the headers, escaped.
    pub(super) header_keys: Vec<String>,
    /// The key, escaped.
    pub(super) key: Option<String>,
    /// The value, escaped.
    pub(super) payload: Option<String>,
    /// The decoded record, if its topic is an internal one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decoded: Option<Decoded>,
}

/// An entry of an index.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum EntryLine {
    /// An entry of an offset index.
    Offset {
        /// Last offset of the batch.
        offset: i64,
        /// Byte of the segment at which the batch begins.
        position: u32,
    },
    /// An entry of a time index.
    Time {
        /// The largest timestamp up to the batch, ms since the Unix epoch.
        timestamp_ms: i64,
        /// Last offset of the batch.
        offset: i64,
    },
}

/// Kafka's name of a timestamp's source.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TimestampName {
    /// The producer.
    CreateTime,
    /// The log.
    LogAppendTime,
}

impl TimestampName {
    const fn text(self) -> &'static str {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }
}

impl Line<'_> {
    /// Returns the line as text. A file takes two lines if its name has an offset.
    pub(super) fn text(&self) -> String {
        match self {
            Self::File { path, base_offset, .. } => {
                let begins =
                    base_offset.map_or_else(String::new, |base| format!("\nLog starting offset: {base}"));
                format!("Dumping {}{begins}", path.display())
            }
            Self::Batch(batch) => batch.text(),
            Self::Record(record) => record.text(),
            Self::Entry(EntryLine::Offset { offset, position }) => {
                format!("offset: {offset} position: {position}")
            }
            Self::Entry(EntryLine::Time { timestamp_ms, offset }) => {
                format!("timestamp: {timestamp_ms} offset: {offset}")
            }
            Self::Note { position, message } => format!("note at byte {position}: {message}"),
            Self::Finding { position, message } => format!("finding at byte {position}: {message}"),
        }
    }
}

impl BatchLine {
    fn text(&self) -> String {
        let horizon = self.delete_horizon_ms;
        let horizon =
            horizon.map_or_else(|| "OptionalLong.empty".to_owned(), |ms| format!("OptionalLong[{ms}]"));
        format!(
            "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {} \
             partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {horizon} position: {} {}: {} \
             size: {} magic: {} compresscodec: {} crc: {} isvalid: {}",
            self.base_offset,
            self.last_offset,
            self.count,
            self.base_sequence,
            self.last_sequence,
            self.producer_id,
            self.producer_epoch,
            self.partition_leader_epoch,
            self.is_transactional,
            self.is_control,
            self.position,
            self.timestamp_type.text(),
            self.max_timestamp_ms,
            self.size,
            self.magic,
            self.compresscodec,
            self.crc,
            self.is_valid,
        )
    }
}

impl RecordLine {
    fn text(&self) -> String {
        let mut text = format!(
            "| offset: {} {}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [{}]",
            self.offset,
            self.timestamp_type.text(),
            self.timestamp_ms,
            self.key_size,
            self.value_size,
            self.sequence,
            self.header_keys.join(","),
        );
        // Writing to a String cannot fail.
        if let Some(key) = &self.key {
            let _ = write!(text, " key: {key}");
        }
        if let Some(payload) = &self.payload {
            let _ = write!(text, " payload: {payload}");
        }
        if let Some(decoded) = &self.decoded {
            let _ = write!(text, " decoded: {}", decoded.text());
        }
        text
    }
}
