//! The checkpoint of a partition: the offset below which an open reads no segment. This file has its bytes, and reads
//! and writes its small file.
//!
//! ```text
//! two slots of 4 KiB, written in turn; the valid one with the higher sequence counts
//!  0  magic "vncp" | 4 version u32 | 8 sequence u64 | 16 recovery_offset i64 | 24 log_start_offset i64
//! 32  in_flight_bytes_max u64 | 40 boot_id u64 | 48 epoch i32 | 52 crc32c of bytes 0..52   (big endian)
//! ```

use crate::disk::{Disk, DiskFile, OpenMode, WriteData, WriteSync};
use crate::error::DiskError;
use crate::types::IoMode;
use std::path::{Path, PathBuf};

pub(crate) const SLOT_BYTES: u64 = 4096;
const SLOTS_BYTES: u64 = 2 * SLOT_BYTES;
const MAGIC: [u8; 4] = *b"vncp";
const VERSION: u32 = 1;
const ENCODED_BYTES: usize = 56;

/// Largest sequence that an open accepts. No log writes as many checkpoints. From here on, the sequence can rise with
/// each checkpoint and never overflows.
pub(crate) const SEQUENCE_MAX: u64 = u64::MAX / 2;

/// The contents of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Number of the checkpoint, one higher at each write.
    pub(crate) sequence: u64,
    /// Every segment that begins below this offset is sealed: trimmed, synced and indexed.
    pub(crate) recovery_offset: i64,
    /// The first offset that the log holds. It may lie inside of a segment, and beyond the recovery offset.
    pub(crate) log_start_offset: i64,
    /// Bytes behind a gap that can have been written when the process died.
    pub(crate) in_flight_bytes_max: u64,
    /// Identifies the boot of the machine in which the checkpoint was written. After another boot, the contents of the
    /// page cache and of the device's cache are lost.
    pub(crate) boot_id: u64,
    /// Epoch of the open that wrote the checkpoint. No batch below the recovery offset has a higher epoch, and no batch
    /// behind it a lower one.
    pub(crate) epoch: i32,
}

impl Checkpoint {
    /// The bytes of the checkpoint in a slot.
    pub(crate) fn encode(&self) -> [u8; ENCODED_BYTES] {
        let mut bytes = [0; ENCODED_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&VERSION.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.recovery_offset.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.log_start_offset.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.in_flight_bytes_max.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.boot_id.to_be_bytes());
        bytes[48..52].copy_from_slice(&self.epoch.to_be_bytes());
        let crc = crc_fast::crc32_iscsi(&bytes[..52]);
        bytes[52..56].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// The checkpoint in a slot. `None` if the slot holds none.
    pub(super) fn decode(slot: &[u8]) -> Option<Self> {
        let bytes: &[u8; ENCODED_BYTES] = slot.first_chunk()?;
        let field4 = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let field8 = |at: usize| {
            let [a, b, c, d] = field4(at);
            let [e, f, g, h] = field4(at + 4);
            [a, b, c, d, e, f, g, h]
        };
        let crc = u32::from_be_bytes(field4(52));
        let known = bytes[0..4] == MAGIC && u32::from_be_bytes(field4(4)) == VERSION;
        (known && crc == crc_fast::crc32_iscsi(&bytes[..52])).then(|| Self {
            sequence: u64::from_be_bytes(field8(8)),
            recovery_offset: i64::from_be_bytes(field8(16)),
            log_start_offset: i64::from_be_bytes(field8(24)),
            in_flight_bytes_max: u64::from_be_bytes(field8(32)),
            boot_id: u64::from_be_bytes(field8(40)),
            epoch: i32::from_be_bytes(field4(48)),
        })
    }

    /// Lets the log begin at `first`, its first segment, or later. A newer checkpoint may be lost, and retention may have
    /// deleted segments after this one was written.
    pub(crate) fn begin_at_least(&mut self, first: i64) {
        self.log_start_offset = self.log_start_offset.max(first);
        self.recovery_offset = self.recovery_offset.max(first);
    }

    /// The newest valid checkpoint in the bytes of a checkpoint file.
    pub(crate) fn newest(file: &[u8]) -> Option<Self> {
        let slots = file.chunks(crate::num::usize_of(SLOT_BYTES));
        slots.filter_map(Self::decode).max_by_key(|checkpoint| checkpoint.sequence)
    }
}

/// A slot whose bytes were not written by a log.
pub(crate) struct SlotFault {
    /// Byte of the file at which the slot begins.
    pub(crate) position: u64,
    /// The kind of the fault.
    pub(crate) fault: &'static str,
}

/// Returns the slots of a checkpoint file that were written and hold no checkpoint of their own. A checkpoint lies in
/// one sector, so that no crash leaves half of one.
pub(crate) fn faults(file: &[u8]) -> Vec<SlotFault> {
    let slots = file.chunks(crate::num::usize_of(SLOT_BYTES)).zip(0u64..);
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let faults = slots.filter(|(slot, _)| !is_zero(slot)).filter_map(|(slot, number)| {
        let fault = match Checkpoint::decode(slot) {
            _ if number > 1 => "the file is longer than its two slots",
            None => "the slot holds no valid checkpoint",
            Some(checkpoint) if checkpoint.sequence % 2 != number => {
                "the checkpoint belongs to the other slot"
            }
            Some(_) if !is_zero(&slot[ENCODED_BYTES..]) => "bytes after the checkpoint are not zero",
            Some(_) => return None,
        };
        Some(SlotFault { position: number * SLOT_BYTES, fault })
    });
    faults.collect()
}

/// Path of a partition's checkpoint.
pub(crate) fn checkpoint_path(dir: &Path) -> PathBuf {
    dir.join("checkpoint")
}

/// The contents of a checkpoint file.
pub(super) struct Stored {
    /// The newest valid checkpoint. `None` if there is none, and all segments have to be scanned.
    pub(super) newest: Option<Checkpoint>,
    /// Whether a slot is damaged, so that a newer checkpoint may be lost.
    pub(super) has_faults: bool,
}

/// Reads a partition's checkpoint file. A missing file counts as an empty one.
pub(super) async fn read<D: Disk>(disk: &D, dir: &Path) -> Result<Stored, DiskError> {
    let bytes = match disk.read_file(&checkpoint_path(dir)).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(Stored { newest: Checkpoint::newest(&bytes), has_faults: !faults(&bytes).is_empty() })
}

/// Makes the bytes durable that [`read`] has read. A process that was killed may have left them only in the page cache.
pub(super) async fn sync<D: Disk>(disk: &D, dir: &Path) -> Result<(), DiskError> {
    disk.open(&checkpoint_path(dir), OpenMode::ReadWrite, IoMode::Buffered).await?.sync().await
}

/// Writes `checkpoint` durably into the slot that its sequence selects. The other slot does not change.
pub(super) async fn write<D: Disk>(disk: &D, dir: &Path, checkpoint: &Checkpoint) -> Result<(), DiskError> {
    let path = checkpoint_path(dir);
    let file = match disk.open(&path, OpenMode::ReadWrite, IoMode::Buffered).await {
        Ok(file) => file,
        Err(error) if error.is_not_found() => disk.open(&path, OpenMode::CreateNew, IoMode::Buffered).await?,
        Err(error) => return Err(error),
    };
    let size = file.size().await?;
    if size < SLOTS_BYTES {
        // The file is new, or an earlier attempt has ended before its name was durable.
        disk.sync_dir(dir).await?;
        // The file gets the size of both slots at once. So retention can record what it deletes even if the disk is
        // full.
        let rest = vec![0; crate::num::usize_of(SLOTS_BYTES - size)];
        file.write(WriteData::Heap(rest.into()), size, WriteSync::None).await?;
    }
    let position = (checkpoint.sequence % 2) * SLOT_BYTES;
    file.write(WriteData::Heap(checkpoint.encode().to_vec().into()), position, WriteSync::None).await?;
    file.sync().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A decoded checkpoint is the one that was encoded, and every single flipped bit is noticed.
        #[test]
        fn round_trip_and_bit_flips(sequence: u64, recovery_offset: i64, epoch: i32, bit in 0usize..ENCODED_BYTES * 8) {
            let checkpoint = Checkpoint {
                sequence, recovery_offset, log_start_offset: 7, in_flight_bytes_max: 1 << 21, boot_id: 3, epoch,
            };
            let mut bytes = checkpoint.encode();
            prop_assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Checkpoint::decode(&bytes), None);
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_other() {
        let old = Checkpoint {
            sequence: 2,
            recovery_offset: 10,
            log_start_offset: 0,
            in_flight_bytes_max: 0,
            boot_id: 3,
            epoch: 1,
        };
        let mut file = vec![0; 8192];
        file[..ENCODED_BYTES].copy_from_slice(&old.encode());
        file[4096..4096 + 20].copy_from_slice(&Checkpoint { sequence: 3, ..old }.encode()[..20]);
        assert_eq!(Checkpoint::newest(&file), Some(old));
    }
}
