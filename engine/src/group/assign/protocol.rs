//! The bytes that consumers and their leader exchange: `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`.
//!
//! ```text
//! subscription   int16 version   topics (array of string)   user data (nullable bytes)
//!                from version 1: owned partitions (array of topic and array of int32)
//!                from version 2: generation (int32, −1: none)   from version 3: rack (nullable string)
//! assignment     int16 version   partitions (array of topic and array of int32)   user data (nullable bytes)
//! ```
//!
//! A newer version is read as version 3, because newer versions only add fields at the end. An assignment without partitions is
//! written as such, not as zero bytes: some clients join for ever if they get zero bytes.

use crate::group::records::{Reader, RecordFault, put_bytes, put_count, put_nullable_string, put_string};
use crate::types::TopicPartition;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Newest version of subscriptions and assignments, which is the one to write.
pub const PROTOCOL_VERSION: i16 = 3;

/// Metadata of a consumer: what it subscribes to, and what it owns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription {
    /// Names of the topics.
    pub topics: Vec<String>,
    /// Bytes of the assignor.
    pub user_data: Option<Bytes>,
    /// Partitions that the member owns from an earlier generation.
    pub owned: Vec<TopicPartition>,
    /// The generation in which it got them, if it is known.
    pub generation: Option<i32>,
    /// Rack of the consumer.
    pub rack: Option<String>,
}

/// Partitions of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// The partitions, ordered by topic and number.
    pub partitions: Vec<TopicPartition>,
    /// Bytes of the assignor.
    pub user_data: Option<Bytes>,
}

impl Subscription {
    /// Encodes the subscription in `version`, 0 to 3. Fields that the version lacks are left out.
    pub fn encode(&self, version: i16) -> Vec<u8> {
        let mut buffer = Vec::new();
        buffer.extend(version.to_be_bytes());
        put_count(&mut buffer, self.topics.len());
        for topic in &self.topics {
            put_string(&mut buffer, topic);
        }
        put_nullable_bytes(&mut buffer, self.user_data.as_deref());
        if version >= 1 {
            put_partitions(&mut buffer, &self.owned);
        }
        if version >= 2 {
            buffer.extend(self.generation.unwrap_or(-1).to_be_bytes());
        }
        if version >= 3 {
            put_nullable_string(&mut buffer, self.rack.as_deref());
        }
        buffer
    }

    /// Decodes a subscription of any version.
    ///
    /// # Errors
    /// [`RecordFault`] if the bytes are cut short or have impossible lengths, counts or numbers.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordFault> {
        let mut reader = Reader::new(bytes);
        let version = take_version(&mut reader)?;
        let (topics, user_data) = take_base(&mut reader)?;
        let mut subscription = Self { topics, user_data, ..Self::default() };
        if version >= 1 {
            subscription.owned = take_partitions(&mut reader)?;
        }
        if version >= 2 {
            subscription.generation = Some(reader.i32()?).filter(|generation| *generation != -1);
        }
        if version >= 3 {
            subscription.rack = reader.nullable_string()?;
        }
        Ok(subscription)
    }
}

impl Assignment {
    /// Encodes the assignment in `version`, 0 to 3.
    pub fn encode(&self, version: i16) -> Vec<u8> {
        let mut buffer = Vec::new();
        buffer.extend(version.to_be_bytes());
        put_partitions(&mut buffer, &self.partitions);
        put_nullable_bytes(&mut buffer, self.user_data.as_deref());
        buffer
    }

    /// Decodes an assignment of any version. Zero bytes are an assignment without partitions: a coordinator sends them to a member
    /// that its leader has forgotten.
    ///
    /// # Errors
    /// [`RecordFault`] if the bytes are cut short or have impossible lengths, counts or numbers.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordFault> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes);
        take_version(&mut reader)?;
        Ok(Self { partitions: take_partitions(&mut reader)?, user_data: reader.nullable_bytes()? })
    }
}

/// Returns the topics of a subscription of any version; `None` if it cannot be read.
pub(crate) fn subscribed_topics(metadata: &[u8]) -> Option<BTreeSet<String>> {
    let mut reader = Reader::new(metadata);
    reader.i16().ok()?;
    let (topics, _) = take_base(&mut reader).ok()?;
    Some(topics.into_iter().collect())
}

fn take_version(reader: &mut Reader<'_>) -> Result<i16, RecordFault> {
    let version = reader.i16()?;
    if version < 0 {
        return Err(RecordFault::UnknownVersion { part: "consumer protocol", version });
    }
    Ok(version)
}

/// Takes the fields of version 0 of a subscription, which begin each version.
fn take_base(reader: &mut Reader<'_>) -> Result<(Vec<String>, Option<Bytes>), RecordFault> {
    let count = reader.count(2)?;
    let topics = (0..count).map(|_| reader.string()).collect::<Result<_, _>>()?;
    Ok((topics, reader.nullable_bytes()?))
}

fn take_partitions(reader: &mut Reader<'_>) -> Result<Vec<TopicPartition>, RecordFault> {
    let mut partitions = Vec::new();
    for _ in 0..reader.count(6)? {
        let topic: Arc<str> = Arc::from(reader.string()?);
        for _ in 0..reader.count(4)? {
            let number = reader.i32()?;
            let partition =
                u32::try_from(number).map_err(|_| RecordFault::BadLength { value: i64::from(number) })?;
            partitions.push(TopicPartition { topic: Arc::clone(&topic), partition });
        }
    }
    Ok(partitions)
}

fn put_partitions(buffer: &mut Vec<u8>, partitions: &[TopicPartition]) {
    let mut by_topic: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for TopicPartition { topic, partition } in partitions {
        by_topic.entry(topic).or_default().insert(*partition);
    }
    put_count(buffer, by_topic.len());
    for (topic, partitions) in by_topic {
        put_string(buffer, topic);
        put_count(buffer, partitions.len());
        for partition in partitions {
            buffer.extend(partition.to_be_bytes());
        }
    }
}

fn put_nullable_bytes(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => put_bytes(buffer, bytes),
        None => buffer.extend((-1_i32).to_be_bytes()),
    }
}
