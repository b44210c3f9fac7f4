//! Small synced appends write the last block of a file again and again. From the second time on they overwrite it, so they can
//! share a flush, also in files that were neither recycled nor filled before.

use crate::committer::{Fleet, settings};
use crate::model::batch;
use crate::rig::Settings;
use vnotch_engine::types::{Commit, IoMode, Preallocate};

const LOGS: usize = 16;

/// Batches that wait in each log during a round. All batches of a test fit into one block of 4 KiB.
const BATCHES: usize = 4;

/// Appends to each log, all at once, and returns the number of writes and of flushes until all appends are acked.
fn round(fleet: &mut Fleet, seed: u64) -> (u64, u64) {
    let before = fleet.stats();
    for log in 0..fleet.logs.len() {
        for number in 0..BATCHES {
            fleet.append(log, batch(seed + number as u64, 1, 100));
        }
    }
    fleet.run_to_idle();
    let after = fleet.stats();
    (after.count - before.count, after.syncs - before.syncs)
}

fn fleet(preallocate: Preallocate, io: IoMode, commit: Commit) -> Fleet {
    Fleet::new(Settings { preallocate, io, ..settings() }, LOGS, commit)
}

#[test]
fn the_first_write_of_a_block_has_its_own_sync_and_later_ones_share_a_flush() {
    for preallocate in [Preallocate::None, Preallocate::Fallocate] {
        let mut fleet = fleet(preallocate, IoMode::Direct, Commit::Auto);
        let logs = LOGS as u64;
        assert_eq!(round(&mut fleet, 0).1, logs, "{preallocate:?}");
        assert_eq!(round(&mut fleet, 10), (logs, 1), "{preallocate:?}: 64 appends, one flush");
        assert_eq!(round(&mut fleet, 20), (logs, 1), "{preallocate:?}");
        fleet.check_all();
    }
}

#[test]
fn a_write_that_begins_in_a_written_block_and_ends_in_a_new_one_has_its_own_sync() {
    let mut fleet = fleet(Preallocate::None, IoMode::Direct, Commit::Shared);
    round(&mut fleet, 0);
    assert_eq!(round(&mut fleet, 10).1, 1);
    let before = fleet.stats().syncs;
    fleet.round(20);
    fleet.run_to_idle();
    assert_eq!(fleet.stats().syncs - before, LOGS as u64);
}

#[test]
fn writes_through_the_page_cache_share_no_flush() {
    let mut fleet = fleet(Preallocate::None, IoMode::Buffered, Commit::Shared);
    round(&mut fleet, 0);
    assert_eq!(round(&mut fleet, 10).1, LOGS as u64);
}

/// Rounds of small batches fill several blocks, so writes with their own sync and writes that share a flush are mixed.
#[test]
fn a_power_loss_at_every_step_loses_nothing_acked() {
    for preallocate in [Preallocate::None, Preallocate::Fallocate] {
        let settings = Settings { preallocate, ..settings() };
        let mut fleet = Fleet::new(settings, 4, Commit::Auto);
        let mut seed = 0;
        for number in 0..24_u64 {
            for log in 0..fleet.logs.len() {
                fleet.append(log, batch(100 * number + log as u64, 2, 400 + 50 * log));
            }
            while fleet.step() {
                seed += 1;
                fleet.check_after_power_loss(seed);
            }
        }
        let stats = fleet.stats();
        assert!(stats.shared > 0 && stats.shared < stats.count, "{preallocate:?}: {stats:?}");
    }
}
