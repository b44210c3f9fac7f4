//! Tests of what a power loss leaves of a file whose direct writes were followed by a sync of another file.

use super::history::{Content, FileChange, History};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

const BLOCK_BYTES: usize = 4096;

fn write(position: u64, byte: u8) -> FileChange {
    FileChange::Write(position, vec![byte; BLOCK_BYTES].into())
}

/// Returns the first byte of block 0 after each of 64 power losses.
fn first_bytes(file: &History<Content>) -> Vec<u8> {
    let after = |seed| file.after_power_loss(&mut SmallRng::seed_from_u64(seed)).live().read(0, 1);
    (0..64).map(|seed| after(seed).first().copied().unwrap_or_default()).collect()
}

#[test]
fn a_write_over_a_synced_block_is_durable_with_any_flush_although_the_reservation_is_not() {
    let mut file = History::<Content>::default();
    file.change(FileChange::Extend(1 << 20), 1);
    file.change_durably(write(0, 1), 2);
    file.change_on_device(write(0, 2), 3);
    file.flush_to(3);
    assert!(first_bytes(&file).iter().all(|byte| *byte == 2));
}

#[test]
fn a_write_into_a_new_block_needs_a_sync_of_its_own_file() {
    let mut file = History::<Content>::default();
    file.change(FileChange::Extend(1 << 20), 1);
    file.change_on_device(write(0, 2), 2);
    file.flush_to(2);
    assert!(first_bytes(&file).contains(&0));
    file.sync_to(2);
    assert!(first_bytes(&file).iter().all(|byte| *byte == 2));
}

#[test]
fn a_write_over_a_block_whose_first_write_may_be_lost_needs_a_sync_of_its_own_file() {
    let mut file = History::<Content>::default();
    file.change(FileChange::Extend(1 << 20), 1);
    file.change_on_device(write(0, 1), 2);
    file.change_on_device(write(0, 2), 3);
    file.flush_to(3);
    assert!(first_bytes(&file).contains(&0));
}
