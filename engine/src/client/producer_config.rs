//! The settings of a producer: how it forms batches, and how it chooses partitions.

use crate::config::BATCH_BYTES_MAX;
use crate::types::Durability;
use std::time::Duration;

/// The settings of a producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerConfig {
    /// Encoded bytes at which a batch closes. A larger record gets a batch of its own. At most [`BATCH_BYTES_MAX`].
    pub batch_size: usize,
    /// Number of records at which a batch closes.
    pub batch_records_max: u32,
    /// How long an open batch waits for more records. With zero it waits until the next poll, with `None` until it is
    /// full or flushed. A batch does not wait if open batches use the bytes that [`Producer::try_send`] needs for a
    /// record.
    ///
    /// [`Producer::try_send`]: super::Producer::try_send
    pub linger: Option<Duration>,
    /// Most encoded bytes that are taken and not acked. A record that would exceed it is refused with
    /// [`TrySendError::Full`].
    ///
    /// [`TrySendError::Full`]: super::TrySendError::Full
    pub in_flight_bytes_max: usize,
    /// Chooses the partition of a record for which none is named.
    pub partitioner: Partitioner,
    /// The durability of a batch when it is acked; `None` for the topic's.
    pub durability: Option<Durability>,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            batch_size: 64 << 10,
            batch_records_max: u32::MAX,
            linger: Some(Duration::ZERO),
            in_flight_bytes_max: 32 << 20,
            partitioner: Partitioner::KeyHash,
            durability: None,
        }
    }
}

impl ProducerConfig {
    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn validate(&self) -> Result<(), String> {
        if self.batch_size > BATCH_BYTES_MAX {
            return Err(format!(
                "batch_size {} must be at most {BATCH_BYTES_MAX}: no topic takes a larger batch",
                self.batch_size
            ));
        }
        Ok(())
    }
}

/// The rule that chooses a record's partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitioner {
    /// Kafka's rule: murmur2 of the key. Records without a key as with [`Partitioner::Sticky`].
    KeyHash,
    /// The next partition for each record.
    RoundRobin,
    /// One partition until its batch closes, then the next.
    Sticky,
}
