//! The checkpoint file of a partition whose segments are valid.
//!
//! Input: one byte (bit 0: leave the checksums alone; bit 1: the second slot comes first), then the first 56 bytes of
//! one slot, then the bytes of the other slot.

use super::fixture::{self, Checkpoint};
use super::offset_index::SEGMENTS;
use super::{repair, simulated};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::segment::log_path;
use vnotch_engine::types::Durability;

const SLOT_BYTES: usize = 56;

/// Opens a log with this checkpoint, reads it, and opens it again.
///
/// # Panics
/// The log opens and does not hold the records that it reports, or it opens differently the second time.
pub fn check(input: &[u8]) {
    let Some((flags, slots)) = input.split_first() else { return };
    let (one, other) = slots.split_at(slots.len().min(SLOT_BYTES));
    let mut file = fixture::checkpoint_file(if flags & 2 == 0 { [one, other] } else { [other, one] });
    if flags & 1 == 0 {
        repair::checkpoint(&mut file);
    }
    let dir = simulated::dir();
    let [first, second] = &*SEGMENTS;
    let files = [
        (log_path(&dir, 0), &*first.log),
        (log_path(&dir, second.base_offset), &second.log),
        (dir.join("checkpoint"), &file),
    ];
    let disk = simulated::disk_with(&dir, files);
    let config = TopicConfig { durability: Durability::Synced, ..TopicConfig::default() };
    let Ok(log) = simulated::open(&disk, config.clone(), simulated::EPOCH) else { return };
    let ends = (log.log_start_offset(), log.log_end_offset());
    let read = simulated::read_all(&disk, &log);
    if let Ok(read) = &read {
        simulated::assert_sound(read);
    }
    drop(log);
    let again = simulated::open(&disk, config, simulated::EPOCH + 1)
        .unwrap_or_else(|error| panic!("what one open has accepted another refuses: {error}"));
    assert_eq!((again.log_start_offset(), again.log_end_offset()), ends, "the log stays as it was");
    assert_eq!(simulated::read_all(&disk, &again).ok(), read.ok(), "the batches stay as they were");
}

/// Returns checkpoints of an open log, of a closed one, and of one whose first segment was deleted, and an empty input.
pub fn seeds() -> Vec<Vec<u8>> {
    let [first, second] = &*SEGMENTS;
    let open = Checkpoint {
        sequence: 2,
        recovery_offset: first.next_offset,
        log_start_offset: 0,
        in_flight_bytes: 1 << 20,
        boot_id: simulated::BOOT_ID,
        epoch: 3,
    };
    let closed = Checkpoint { sequence: 3, recovery_offset: second.next_offset, ..open };
    let retained = Checkpoint { sequence: 4, log_start_offset: first.next_offset, ..closed };
    let with = |flags: u8, one: &Checkpoint, other: &[u8]| [&[flags], &*one.slot(), other].concat();
    vec![with(0, &open, &[]), with(0, &open, &closed.slot()), with(2, &closed, &retained.slot()), vec![1]]
}
