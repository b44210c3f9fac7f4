//! A sync of another file fails and drops everything in the device's cache. A log's own sync after that succeeds without
//! writing anything, so the log must not rely on it.

use crate::committer::{Fleet, settings as fleet_settings};
use crate::faults::Misbehaviour;
use crate::model::{Model, batch};
use crate::restart::INJECTED;
use crate::rig::{Fate, Restart, Rig, Settings, context, open};
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use vnotch_engine::disk::sim::{Effect, Fault, SimDisk};
use vnotch_engine::disk::{Disk as _, DiskFile as _, OpenMode, replace_file};
use vnotch_engine::error::DiskOp;
use vnotch_engine::log::Epochs;
use vnotch_engine::types::{Commit, Durability, IoMode, Preallocate};

const SEGMENT: u64 = 1 << 20;

/// A sync fails and drops what the device has in its cache, of all files.
const DROPS_CACHE: Fault =
    Fault { op: DiskOp::Sync, operations_before: 0, effect: Effect::FailsAndDropsDevice(INJECTED) };

/// Makes the sync of a file fail that belongs to no log. If a sync of a log is in flight, that one may fail instead.
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
        rig.run_to_idle();
        rig.lose_cache();
        rig.append(batch(2, 3, 5_000), Some(Durability::Synced));
        rig.run_to_idle();
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
        rig.run_to_idle();
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
        rig.run_to_idle();
        rig.lose_cache();
        rig.append(batch(3, 3, 300_000), None);
        rig.run_to_idle();
        assert!(rig.log.failed().is_some());
        rig.restart(&Restart::simple(Fate::PowerLoss, seed));
    }
}

#[test]
fn a_log_whose_records_are_durable_goes_on_after_a_failed_sync_of_another_file() {
    for durability in [Durability::Written, Durability::Synced] {
        let mut rig = Rig::new(Settings { durability, ..Settings::default() }, 1);
        rig.append(batch(1, 3, 5_000), Some(Durability::Synced));
        rig.run_to_idle();
        rig.lose_cache();
        rig.append(batch(2, 3, 5_000), Some(Durability::Synced));
        rig.run_to_idle();
        assert!(rig.log.failed().is_none(), "nothing of it was in the device's cache");
        rig.restart(&Restart::simple(Fate::PowerLoss, 1));
        assert_eq!(rig.log.log_end_offset(), 6);
    }
}

/// Appends batches of all levels, and makes a sync of another file fail after `fails_at` steps of the disk. Checks that nothing
/// synced is lost.
fn loses_nothing_synced(settings: Settings, fails_at: usize) {
    let mut rig = Rig::new(settings, fails_at as u64);
    let mut steps = 0;
    for number in 0..18_usize {
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
    let after = rig.restarted(&Restart::simple(Fate::PowerLoss, fails_at as u64));
    after.read_from(after.log.log_start_offset());
}

#[test]
fn nothing_synced_is_lost_wherever_a_sync_of_another_file_fails() {
    let levels = [Durability::Written, Durability::Synced];
    let kinds = levels.into_iter().flat_map(|durability| {
        [Preallocate::Fallocate, Preallocate::Recycle].into_iter().flat_map(move |preallocate| {
            [IoMode::Direct, IoMode::Buffered].map(|io| (durability, preallocate, io))
        })
    });
    for (durability, preallocate, io) in kinds {
        for fails_at in 0..144 {
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

/// Runs `future`. If it has not ended after `steps` steps of the disk, makes a sync of another file fail then.
fn with_failure_after<T>(disk: &SimDisk, steps: usize, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let context = &mut Context::from_waker(Waker::noop());
    for _ in 0..steps {
        match future.as_mut().poll(context) {
            Poll::Ready(output) => return output,
            Poll::Pending => assert!(disk.step(), "the future waits for nothing"),
        }
    }
    fail_sync_of_another(disk);
    disk.run_until(future)
}

/// Replaces a file while a sync of another one fails after `fails_at` steps. Returns whether the replacement has succeeded, and
/// the file's content after a power loss.
fn replaced(fails_at: usize, seed: u64) -> (bool, Vec<u8>) {
    let (disk, path) = (SimDisk::new(seed), Path::new("/file"));
    disk.run_until(replace_file(&disk, path, b"old".to_vec())).unwrap();
    let outcome = with_failure_after(&disk, fails_at, replace_file(&disk, path, b"new".to_vec()));
    let after = disk.crash(seed);
    (outcome.is_ok(), after.run_until(after.read_file(path)).unwrap())
}

#[test]
fn a_file_that_is_replaced_has_the_new_content_durably_or_the_caller_gets_an_error() {
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

/// Opens a log with records that were never synced, while a sync of another file fails after `fails_at` steps. Returns whether
/// the log opens. Checks that its records are durable then.
fn recovers(fails_at: usize, io: IoMode) -> bool {
    let seed = fails_at as u64;
    let mut rig = Rig::new(Settings { io, ..Settings::default() }, seed);
    (0..3).for_each(|number| rig.append(batch(number, 3, 100_000), None));
    rig.run_to_idle();
    let disk = rig.disk.kill(seed);
    let opening = open(
        context(&rig.settings, &disk, &rig.clock, rig.boot_id),
        &rig.settings,
        Epochs { current: rig.epoch + 1, synced_after: 0 },
    );
    let Ok(log) = with_failure_after(&disk, fails_at, opening) else { return false };
    rig.model.reopened(log.log_end_offset(), Durability::Synced);
    let after = disk.crash(seed);
    after.evict();
    let epochs = (rig.epoch + 2, 0, rig.boot_id + 1);
    let after = Rig::with(rig.settings.clone(), after, rig.model.clone(), epochs).unwrap();
    assert_eq!(after.log.log_end_offset(), log.log_end_offset());
    after.read_from(0);
    true
}

#[test]
fn what_an_open_has_accepted_is_durable_wherever_a_sync_of_another_file_fails() {
    for io in [IoMode::Direct, IoMode::Buffered] {
        let opened = (0..60).filter(|fails_at| recovers(*fails_at, io)).count();
        assert!((10..55).contains(&opened), "{opened} of 60 have opened");
    }
}

#[test]
fn a_spare_whose_zeros_may_have_been_dropped_is_not_overwritten_as_if_they_were_durable() {
    for seed in 0..40 {
        let models = vec![Model::default(); 3];
        let mut fleet = Fleet::with(fleet_settings(), SimDisk::new(seed), models, (1, Commit::Shared));
        fleet.round(10 * seed);
        // The records become durable soon. The zeros of the spares are still being written then.
        while fleet.logs.iter().any(|log| log.high_watermark() < log.log_end_offset()) {
            assert!(fleet.step());
        }
        for _ in 0..seed % 8 {
            fleet.step();
        }
        fail_sync_of_another(&fleet.disk);
        fleet.run_to_idle();
        for number in 0..4 {
            (0..3).for_each(|log| fleet.append(log, batch(number, 3, 300_000)));
            fleet.run_to_idle();
        }
        fleet.round(10 * seed + 5);
        fleet.run_to_idle();
        assert!(fleet.logs.iter().all(|log| log.failed().is_none()), "nothing of the logs was dropped");
        fleet.reopened(fleet.disk.crash(seed));
    }
}
