//! Replay: the records of a partition of `__consumer_offsets` are read from the log's start and applied, before its groups
//! are served.

use super::damage::{OffsetsDamage, OffsetsFault};
use super::{Coordinator, Owner};
use crate::buffer::SharedBytes;
use crate::error::FetchError;
use crate::group::Groups;
use crate::log::Fetched;
use crate::record::batches;
use std::rc::Rc;

/// Bytes that are read and applied in one turn. To apply them takes about 1 ms.
const BYTES_A_TURN: usize = 256 << 10;

impl<O: Owner> Coordinator<O> {
    /// Reads the stored groups, then serves them. Damaged records keep this partition's groups from being served, and nothing
    /// else.
    pub async fn load(self: Rc<Self>) {
        let Some(log_start_offset) = self.owner.log().map(|log| log.log_start_offset()) else { return };
        let mut next_offset = log_start_offset;
        match self.replay(&mut next_offset).await {
            Ok(true) => {
                self.compaction.borrow_mut().replayed_from(log_start_offset);
                let now = self.now();
                let output = self.groups.borrow_mut().serve(now);
                self.carry_out(output);
                self.forget_deleted_topics().await;
            }
            // The partition is closing.
            Ok(false) => {}
            Err(cause) => {
                let damage = OffsetsDamage { partition: self.name.clone(), offset: next_offset, cause };
                tracing::error!("{damage}; the groups of this partition are not served");
                *self.damage.borrow_mut() = Some(damage);
                self.groups.replace(Groups::new(self.config.clone()));
            }
        }
    }

    /// Applies the records from `next_offset` to the end of the log. Returns `false` if the partition closes meanwhile. After an
    /// error `next_offset` is the offset that could not be read.
    async fn replay(&self, next_offset: &mut i64) -> Result<bool, OffsetsFault> {
        let Some(log) = self.owner.log() else { return Ok(false) };
        let log_end_offset = log.log_end_offset();
        while *next_offset < log_end_offset {
            if self.owner.is_closing() || self.owner.log().is_none() {
                return Ok(false);
            }
            let pieces = match log.fetch(*next_offset, BYTES_A_TURN)? {
                Fetched::Batches(pieces) => pieces,
                Fetched::OnDisk => {
                    self.owner.will_read();
                    let pieces = Rc::clone(&log).fetch_from_disk(*next_offset, BYTES_A_TURN).await;
                    self.owner.has_read();
                    pieces?
                }
                Fetched::Nothing => Vec::new(),
            };
            self.apply(&pieces, next_offset)?;
            drop(pieces);
            self.owner.next_turn().await;
        }
        match log.damage() {
            Some(damage) => Err(FetchError::from(damage.cause).into()),
            None => Ok(true),
        }
    }

    /// Applies the records of whole batches from `next_offset` on. Offsets of an earlier topic of the same name are passed over.
    fn apply(&self, pieces: &[SharedBytes], next_offset: &mut i64) -> Result<(), OffsetsFault> {
        for batch in pieces.iter().flat_map(|piece| batches(piece)) {
            let batch = batch?;
            batch.verify_crc()?;
            let epoch = batch.header().partition_leader_epoch;
            for record in batch.records() {
                let record = record?;
                if record.offset < *next_offset {
                    continue;
                }
                let key = record.key.ok_or(OffsetsFault::NoKey)?;
                let created_in = |topic: &str| self.owner.topic(topic).map(|topic| topic.created_in);
                self.groups.borrow_mut().load_of_epoch(key, record.value, epoch, created_in)?;
                *next_offset = record.offset + 1;
            }
            let header = batch.header();
            *next_offset = header.next_offset().max(*next_offset);
            let bytes = &self.appends.bytes;
            bytes.set(bytes.get() + header.total_bytes() as u64);
        }
        Ok(())
    }
}
