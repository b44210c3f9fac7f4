//! Looking up offsets of partitions, and deleting records below an offset.

use super::Engine;
use crate::error::{DeleteRecordsError, FetchError};
use crate::num::u32_of;
use crate::shard::OFFSETS_TOPIC;
use crate::types::{EpochEnd, ListedOffset, OffsetSpec};

impl Engine {
    /// Looks up offsets in a list of (topic, partition, offset to look up). An answer is `None` if no record has a
    /// timestamp as late as the requested one.
    ///
    /// # Errors
    /// A partition is unknown, its shard does not answer, or reading failed.
    pub fn list_offsets<'a>(
        &self,
        asked: impl IntoIterator<Item = (&'a str, u32, OffsetSpec)>,
    ) -> Result<Vec<Option<ListedOffset>>, FetchError> {
        let listed = asked.into_iter().map(|(name, partition, spec)| {
            let (shard, slot) = self.place(name, partition)?;
            let listed =
                self.shards[shard].call(move |shard| async move { shard.list_offset(slot, spec).await });
            listed.unwrap_or_else(|| Err(FetchError::ShardStuck { shard: u32_of(shard) }))
        });
        listed.collect()
    }

    /// Looks up ends of leader epochs in a list of (topic, partition, epoch), as Kafka's OffsetForLeaderEpoch. An
    /// answer holds the largest epoch in the log that is not above the requested one, and the offset at which it ends.
    /// It is `None` if the requested epoch is negative or above the current one.
    ///
    /// A consumer that was at a larger offset than that, in the requested epoch, has read records that the log has lost
    /// since. [`Engine::consumer`] does this check for a saved [`ConsumerPosition`](crate::types::ConsumerPosition).
    ///
    /// # Errors
    /// A partition is unknown, its shard does not answer, reading failed, or the log is damaged where the epoch ends.
    pub fn offsets_for_epochs<'a>(
        &self,
        asked: impl IntoIterator<Item = (&'a str, u32, i32)>,
    ) -> Result<Vec<Option<EpochEnd>>, FetchError> {
        let ends = asked.into_iter().map(|(name, partition, epoch)| {
            let (shard, slot) = self.place(name, partition)?;
            let end = self.shards[shard]
                .call(move |shard| async move { shard.offset_for_epoch(slot, epoch).await });
            end.unwrap_or_else(|| Err(FetchError::ShardStuck { shard: u32_of(shard) }))
        });
        ends.collect()
    }

    /// Deletes records in a list of (topic, partition, offset), as Kafka's DeleteRecords: all that lie below the offset,
    /// or below the high watermark if the offset is -1. Each answer is the offset at which that log begins now. A log
    /// that begins there or later already does not change.
    ///
    /// A deletion is durable once it is answered. Fetches below the new start fail with
    /// [`FetchError::OffsetOutOfRange`], as after retention. Whole segments below it are removed or recycled in the
    /// background. The active segment stays until it is full.
    ///
    /// # Errors
    /// [`DeleteRecordsError`], for each partition on its own.
    pub fn delete_records<'a>(
        &self,
        asked: impl IntoIterator<Item = (&'a str, u32, i64)>,
    ) -> Vec<Result<i64, DeleteRecordsError>> {
        let begun = asked.into_iter().map(|(name, partition, offset)| {
            if name == OFFSETS_TOPIC {
                return Err(DeleteRecordsError::Internal);
            }
            let place = self.place(name, partition).map_err(|_| DeleteRecordsError::UnknownPartition);
            place.map(|(shard, slot)| {
                let call = self.shards[shard]
                    .begin(move |shard| async move { shard.delete_records(slot, offset).await });
                (shard, call)
            })
        });
        // The shards work at the same time.
        let begun: Vec<_> = begun.collect();
        let answered = begun.into_iter().map(|begun| {
            let (shard, call) = begun?;
            let stuck = DeleteRecordsError::ShardStuck { shard: u32_of(shard) };
            call.and_then(|call| call.wait()).unwrap_or(Err(stuck))
        });
        answered.collect()
    }

    /// Returns the shard and the slot of a partition.
    fn place(&self, name: &str, partition: u32) -> Result<(usize, usize), FetchError> {
        let topic = self.topic(name).map_err(|_| FetchError::UnknownPartition)?;
        topic.places.get(partition as usize).copied().ok_or(FetchError::UnknownPartition)
    }
}
