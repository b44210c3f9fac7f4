//! A sync of some other file fails and drops what the device has in its cache. A log's own sync after that succeeds with
//! nothing, so the log must not rely on it.

use crate::committer::{Fleet, settings as fleet_settings};
use crate::faults::Misbehaviour;
use crate::model::batch;
use crate::restart::INJECTED;
use crate::rig::{Fate, Restart, Rig, Settings};
use crate::{KINDS, restart::Trust};
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use vnotch_engine::disk::sim::{Effect, Fault, SimDisk};
use vnotch_engine::disk::{Disk as _, DiskFile as _, OpenMode, replace_file};
use vnotch_engine::error::DiskOp;
use vnotch_engine::types::{Commit, Durability, IoMode};

const SEGMENT: u64 = 1 << 20;

/// The fault of a sync that drops what the device has in its cache, of all files.
const DROPS_CACHE: Fault =
    Fault { op: DiskOp::Sync, operations_before: 0, effect: Effect::FailsAndDropsDevice(INJECTED) };

/// Fails the sync of a file that is none of a log's. A sync of a log that is under way may meet the fault instead.
fn fail_sync_of_another(disk: &SimDisk) {
    disk.inject(DROPS_CACHE);
    let open = disk.open(Path::new("/another"), OpenMode::Replace, IoMode::Buffered);
    let another = disk.run_until(open).unwrap();
    let _ = disk.run_until(another.sync());
}

impl Rig {
    fn lose_cache(&mut self) {
        self.misbehave(&Misbehaviour::Fault(DROPS_CACHE));
        fail_sync_of_another(&self.disk);
    }
}

#[test]
fn a_synced_ack_does_not_rely_on_a_sync_that_came_after_one_that_dropped_its_records() {
    for seed in 0..20 {
        let mut rig = Rig::new(Settings::default(), seed);
        rig.append(batch(1, 3, 5_000), None);
        rig.settle();
        rig.lose_cache();
        rig.append(batch(2, 3, 5_000), Some(Durability::Synced));
        rig.settle();
        let has_latched = rig.log.failed().is_some();
        rig.restart(&Restart::simple(Fate::PowerLoss, seed));
        assert!(has_latched);
    }
}

#[test]
fn a_log_whose_records_may_have_been_dropped_is_not_closed_as_if_they_were_durable() {
    for seed in 0..20 {
        let mut rig = Rig::new(Settings::default(), seed);
        rig.append(batch(1, 3, 5_000), None);
        rig.settle();
        rig.lose_cache();
        rig.close();
        rig.restart(&Restart::simple(Fate::PowerLoss, seed));
    }
}

#[test]
fn a_segment_whose_records_may_have_been_dropped_is_not_sealed() {
    for seed in 0..20 {
        let mut rig = Rig::new(Settings::default(), seed);
        for number in 0..3 {
            rig.append(batch(number, 3, 300_000), None);
        }
        rig.settle();
        rig.lose_cache();
        rig.append(batch(3, 3, 300_000), None);
        rig.settle();
        assert!(rig.log.failed().is_some());
        rig.restart(&Restart::simple(Fate::PowerLoss, seed));
    }
}

#[test]
fn a_log_whose_records_are_durable_goes_on_after_a_failed_sync_of_another_file() {
    for durability in [Durability::Written, Durability::Synced] {
        let mut rig = Rig::new(Settings { durability, ..Settings::default() }, 1);
        rig.append(batch(1, 3, 5_000), Some(Durability::Synced));
        rig.settle();
        rig.lose_cache();
        rig.append(batch(2, 3, 5_000), Some(Durability::Synced));
        rig.settle();
        assert!(rig.log.failed().is_none(), "nothing of it was in the device's cache");
        rig.restart(&Restart::simple(Fate::PowerLoss, 1));
        assert_eq!(rig.log.log_end_offset(), 6);
    }
}

/// Batches of all levels, and a failed sync of another file after so many steps of the disk.
fn loses_nothing_synced(settings: Settings, fails_at: usize) {
    let mut rig = Rig::new(settings, fails_at as u64);
    let mut steps = 0;
    for number in 0..10_usize {
        let level = [None, Some(Durability::Synced), None, None][number % 4];
        rig.append(batch(number as u64, 3, 250_000), level);
        for _ in 0..8 {
            if steps == fails_at {
                rig.lose_cache();
            }
            rig.steps(1);
            steps += 1;
        }
    }
    rig.close();
    rig.restart(&Restart::simple(Fate::PowerLoss, fails_at as u64));
    assert!(rig.trust == Trust::Whole);
}

#[test]
fn nothing_synced_is_lost_wherever_a_sync_of_another_file_fails() {
    let levels = [Durability::Written, Durability::Synced];
    let kinds = levels.into_iter().flat_map(|durability| {
        KINDS.into_iter().flat_map(move |preallocate| {
            [IoMode::Direct, IoMode::Buffered].map(|io| (durability, preallocate, io))
        })
    });
    for (durability, preallocate, io) in kinds {
        for fails_at in 0..80 {
            let retention_bytes = Some(2 * SEGMENT);
            let settings = Settings { durability, preallocate, io, retention_bytes, ..Settings::default() };
            loses_nothing_synced(settings, fails_at);
        }
    }
}

#[test]
fn nothing_synced_of_many_logs_is_lost_wherever_a_sync_of_another_file_fails() {
    for commit in [Commit::Auto, Commit::Shared, Commit::Each] {
        for fails_at in 0..90 {
            let mut fleet = Fleet::new(fleet_settings(), 3, commit);
            let mut steps = 0;
            for number in 0..21 {
                let bytes = if number < 12 { 300_000 } else { 4_000 };
                fleet.offer(number % 3, batch(number as u64, 3, bytes));
                for _ in 0..5 {
                    if steps == fails_at {
                        fail_sync_of_another(&fleet.disk);
                    }
                    fleet.step();
                    steps += 1;
                }
            }
            while fleet.step() {}
            fleet.reopened(fleet.disk.crash(fails_at as u64));
        }
    }
}

/// Replaces a file while a sync of another one fails after so many steps. Returns whether that has succeeded, and what the file
/// holds after a power loss.
fn replaced(fails_at: usize, seed: u64) -> (bool, Vec<u8>) {
    let (disk, path) = (SimDisk::new(seed), Path::new("/file"));
    disk.run_until(replace_file(&disk, path, b"old".to_vec())).unwrap();
    let outcome = {
        let mut replacing = pin!(replace_file(&disk, path, b"new".to_vec()));
        let context = &mut Context::from_waker(Waker::noop());
        for _ in 0..fails_at {
            if replacing.as_mut().poll(context).is_pending() {
                disk.step();
            } else {
                return (true, b"new".to_vec());
            }
        }
        fail_sync_of_another(&disk);
        match replacing.as_mut().poll(context) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => disk.run_until(replacing),
        }
    };
    let after = disk.crash(seed);
    (outcome.is_ok(), after.run_until(after.read_file(path)).unwrap())
}

#[test]
fn a_file_that_is_replaced_is_the_new_one_for_good_or_whoever_replaces_it_hears_of_it() {
    let mut failed = 0;
    for fails_at in 1..10 {
        for seed in 0..20 {
            let (is_replaced, held) = replaced(fails_at, seed);
            assert!(held == b"new" || (held == b"old" && !is_replaced), "{fails_at} {held:?}");
            failed += usize::from(!is_replaced);
        }
    }
    assert!(failed > 40, "{failed} have failed");
}
