//! How a producer batches, and how it chooses partitions.

use crate::config::BATCH_BYTES_MAX;
use crate::types::Durability;
use std::time::Duration;

/// How a producer batches and how much it may have unacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerConfig {
    /// Encoded bytes after which a batch closes; a record larger than that gets a batch of its own. At most
    /// [`BATCH_BYTES_MAX`].
    pub batch_size: usize,
    /// Records after which a batch closes.
    pub batch_records_max: u32,
    /// How long an open batch waits for more records; zero: until the next poll; `None`: until it is full or flushed. It
    /// does not wait when open batches are what keeps [`Producer::try_send`] from taking a record.
    ///
    /// [`Producer::try_send`]: super::Producer::try_send
    pub linger: Option<Duration>,
    /// Encoded bytes accepted and not acked beyond which [`TrySendError::Full`] is the answer.
    ///
    /// [`TrySendError::Full`]: super::TrySendError::Full
    pub in_flight_bytes_max: usize,
    /// Chooses the partition of a record that names none.
    pub partitioner: Partitioner,
    /// The durability that an ack of this producer means; the topic's level if `None`.
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
    /// Refuses what cannot work.
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

/// Chooses partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitioner {
    /// Kafka's: murmur2 of the key; records without one as [`Partitioner::Sticky`].
    KeyHash,
    /// One after the other, record by record.
    RoundRobin,
    /// One until its batch closes, then the next.
    Sticky,
}
