//! A disk becomes full. Refused records never come back, nothing acked is lost, and appends resume by themselves.

use crate::model::batch;
use crate::restart::INJECTED;
use crate::rig::{Fate, Restart, Rig, Settings, dir};
use std::time::Duration;
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::{Effect, Fault};
use vnotch_engine::error::DiskOp;
use vnotch_engine::segment;
use vnotch_engine::types::{Durability, IoMode, Preallocate};

const SEGMENT: u64 = 1 << 20;

fn every_kind() -> impl Iterator<Item = Settings> {
    let levels = [Durability::Appended, Durability::Written, Durability::Synced];
    let kinds = levels.into_iter().flat_map(|durability| {
        [Preallocate::None, Preallocate::Fallocate].map(|preallocate| (durability, preallocate))
    });
    kinds.map(|(durability, preallocate)| Settings { durability, preallocate, ..Settings::default() })
}

/// Returns the settings of [`every_kind`], and settings that use freed segments again.
fn every_kind_that_retains() -> impl Iterator<Item = Settings> {
    let recycling = [Preallocate::Auto, Preallocate::Recycle].into_iter().flat_map(|preallocate| {
        [Durability::Appended, Durability::Written, Durability::Synced].map(|durability| Settings {
            durability,
            preallocate,
            ..Settings::default()
        })
    });
    every_kind().chain(recycling)
}

/// Appends batches of every level, beyond the end of the first segment if there are many.
fn fill(rig: &mut Rig, seed: u64, batches: u64) {
    for number in 0..batches {
        let level = [None, Some(Durability::Written), Some(Durability::Synced)][number as usize % 3];
        rig.append(batch(seed + number, 5, 150_000), level);
        rig.steps(3);
    }
}

/// Lets the log try a roll again that found no space earlier. Now appends wait for it.
fn try_again(rig: &mut Rig) {
    rig.run_to_idle();
    rig.advance(Duration::from_millis(150));
    rig.run_to_idle();
}

/// Makes room, and checks that appends resume and that all records can be read.
fn check_resumes(rig: &mut Rig) {
    rig.make_room();
    assert!(rig.log.failed().is_none(), "{:?}", rig.log.failed());
    let (end, refusals) = (rig.log.log_end_offset(), rig.refusals);
    for number in 0..9 {
        rig.append(batch(1_000 + number, 2, 200_000), None);
    }
    rig.run_to_idle();
    assert_eq!((rig.log.high_watermark(), rig.refusals), (end + 18, refusals));
    assert!(rig.log.no_space().is_none());
    rig.read_from(rig.log.log_start_offset());
}

#[test]
fn appends_are_refused_from_any_operation_on_that_finds_no_space_and_resume() {
    for settings in every_kind() {
        let mut refusals = 0;
        for operations_before in 0..60 {
            let mut rig = Rig::new(settings.clone(), operations_before);
            fill(&mut rig, 0, 4);
            rig.disk.fill_up(operations_before);
            fill(&mut rig, 100, 14);
            rig.run_to_idle();
            rig.read_from(0);
            refusals += rig.refusals;
            check_resumes(&mut rig);
            rig.close();
            rig.restart(&Restart::simple(Fate::PowerLoss, operations_before));
            rig.read_from(0);
        }
        assert!(refusals > 100, "{refusals} with {settings:?}");
    }
}

#[test]
fn an_end_at_every_step_of_it_brings_back_nothing_that_was_refused() {
    for settings in every_kind() {
        for operations_before in [2, 5, 9] {
            let mut rig = Rig::new(settings.clone(), operations_before);
            fill(&mut rig, 0, 4);
            rig.disk.fill_up(operations_before);
            for number in 0..9 {
                let level = [Some(Durability::Written), None, Some(Durability::Synced)][number as usize % 3];
                rig.append(batch(100 + number, 5, 150_000), level);
            }
            let mut seed = 0;
            for _ in 0..400 {
                for fate in [Fate::Kill, Fate::PowerLoss] {
                    seed += 1;
                    rig.restarted(&Restart::simple(fate, seed)).read_from(0);
                }
                if rig.disk.outstanding() == 0 {
                    // Space comes back while the log is being cut.
                    rig.disk.make_room();
                    rig.advance(Duration::from_millis(101));
                }
                rig.steps(1);
            }
            rig.run_to_idle();
            assert!(rig.refusals > 0);
            check_resumes(&mut rig);
        }
    }
}

#[test]
fn a_disk_that_is_too_small_takes_what_fits_and_the_rest_after_somebody_made_room() {
    for settings in every_kind() {
        for io in [IoMode::Direct, IoMode::Buffered] {
            let mut rig = Rig::new(Settings { io, ..settings.clone() }, 3);
            rig.disk.limit(5 * SEGMENT);
            fill(&mut rig, 0, 60);
            try_again(&mut rig);
            let end = rig.log.log_end_offset();
            assert!(end >= 50 && rig.refusals > 0, "{end} records, {} refused", rig.refusals);
            // Waiting alone changes nothing.
            for number in 0..20 {
                rig.advance(Duration::from_millis(150));
                rig.append(batch(number, 5, 150_000), None);
                rig.run_to_idle();
            }
            rig.read_from(0);
            check_resumes(&mut rig);
            rig.restart(&Restart::simple(Fate::Kill, 3));
        }
    }
}

#[test]
fn what_retention_deletes_is_room_for_appends_at_once() {
    for settings in every_kind_that_retains() {
        // The model's records have the timestamp 1 s, at which the clock also begins.
        let mut rig = Rig::new(Settings { retention_ms: Some(3_600_000), ..settings.clone() }, 4);
        rig.disk.limit(5 * SEGMENT);
        fill(&mut rig, 0, 50);
        try_again(&mut rig);
        rig.advance(Duration::from_secs(70));
        rig.append(batch(50, 5, 150_000), Some(Durability::Written));
        rig.run_to_idle();
        let refusals = rig.refusals;
        rig.append(batch(51, 5, 150_000), Some(Durability::Written));
        rig.run_to_idle();
        assert!(rig.log.no_space().is_some() && rig.refusals > refusals, "the disk is still full");
        assert_eq!(rig.log.log_start_offset(), 0);
        rig.alter(Settings { retention_ms: Some(60_000), ..settings }, true);
        rig.run_to_idle();
        assert!(rig.log.log_start_offset() > 0);
        assert!(rig.log.no_space().is_none(), "no time has passed, and yet there is room");
        rig.append(batch(52, 5, 150_000), Some(Durability::Written));
        rig.run_to_idle();
        assert_eq!(rig.log.high_watermark(), rig.model.next_offset());
        rig.read_from(rig.log.log_start_offset());
        assert!(rig.disk.used_bytes() <= 5 * SEGMENT);
        check_resumes(&mut rig);
    }
}

#[test]
fn a_log_can_be_closed_on_a_full_disk_and_opened_again_when_there_is_room() {
    for settings in every_kind() {
        for operations_before in 0..12 {
            let mut rig = Rig::new(settings.clone(), 5);
            fill(&mut rig, 0, 4);
            rig.disk.fill_up(operations_before);
            fill(&mut rig, 100, 6);
            rig.close();
            rig.restart(&Restart::simple(Fate::PowerLoss, operations_before));
            check_resumes(&mut rig);
        }
    }
}

#[test]
fn a_failed_sync_is_no_matter_of_space() {
    let mut rig = Rig::new(Settings::default(), 6);
    rig.append(batch(0, 1, 50_000), None);
    rig.run_to_idle();
    rig.disk.fail_sync(std::io::ErrorKind::StorageFull);
    rig.append(batch(1, 1, 50_000), Some(Durability::Synced));
    rig.run_to_idle();
    rig.make_room();
    assert!(rig.log.failed().is_some() && rig.log.no_space().is_none());
}

/// If the sync of a directory fails because of a quota, names may be lost. So nothing is tried again.
#[test]
fn a_directory_sync_that_finds_no_space_latches_the_log() {
    for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded] {
        let mut rig = Rig::new(Settings { durability: Durability::Synced, ..Settings::default() }, 7);
        rig.append(batch(0, 1, 50_000), None);
        rig.run_to_idle();
        rig.disk.inject(Fault { op: DiskOp::SyncDir, operations_before: 0, effect: Effect::Fails(kind) });
        for number in 1..12 {
            rig.append(batch(number, 1, 150_000), None);
        }
        while rig.disk.outstanding() > 0 {
            rig.steps(1);
        }
        assert!(rig.log.failed().is_some() && rig.log.no_space().is_none());
    }
}

/// The answers to refused appends wait until the files are cut to the log's end. If the cut fails, the answers are given too.
#[test]
fn a_log_that_fails_while_it_is_cut_off_answers_every_append() {
    let mut failed = 0;
    for op in [DiskOp::Truncate, DiskOp::Sync, DiskOp::Read, DiskOp::Remove, DiskOp::SyncDir] {
        for writes_before in 1..8 {
            let mut rig = Rig::new(Settings { write_depth: 2, ..Settings::default() }, writes_before);
            rig.append(batch(0, 5, 150_000), None);
            rig.run_to_idle();
            rig.disk.fail_write(writes_before, std::io::ErrorKind::StorageFull);
            for number in 1..7 {
                rig.append(batch(number, 5, 60_000), Some(Durability::Written));
            }
            rig.disk.inject(Fault { op, operations_before: 0, effect: Effect::Fails(INJECTED) });
            rig.run_to_idle();
            failed += u32::from(rig.log.failed().is_some());
        }
    }
    assert!(failed > 10, "{failed} logs failed");
}

/// Returns the base offset of a segment whose file has its name while the log has no active segment: the roll has still to
/// sync the directory.
fn named_and_not_begun(rig: &Rig) -> Option<i64> {
    let end = rig.log.log_end_offset();
    // Read from a copy, so that the disk's own operations keep their order.
    let disk = rig.disk.kill(0);
    let names = disk.run_until(disk.list(&dir())).unwrap();
    let is_there = names.iter().any(|entry| segment::base_offset_of(&entry.name) == Some(end));
    (end > 0 && is_there && rig.log.wants_roll()).then_some(end)
}

/// A roll cannot sync the name of its segment because there is no descriptor. At the same time a write finds the disk full. The
/// log is then cut to an offset below the segment's base offset.
#[test]
fn a_segment_whose_name_could_not_be_synced_is_not_in_the_way_of_a_log_that_was_cut_off() {
    let mut met = 0;
    for seed in 0..300 {
        let preallocate = [Preallocate::None, Preallocate::Fallocate][seed as usize % 2];
        let mut rig =
            Rig::new(Settings { durability: Durability::Synced, preallocate, ..Settings::default() }, seed);
        for number in 0..6 {
            rig.append(batch(number, 7, 240_000), None);
        }
        let mut named = None;
        while named.is_none() && rig.disk.outstanding() > 0 {
            rig.steps(1);
            named = named_and_not_begun(&rig);
        }
        let Some(named) = named else { continue };
        rig.disk.fill_up(0);
        rig.disk.limit_descriptors(0);
        rig.run_to_idle();
        rig.disk.limit_descriptors(usize::MAX);
        rig.make_room();
        if rig.log.failed().is_some() || rig.log.log_end_offset() >= named {
            continue;
        }
        met += 1;
        // These batches have another size, so that none begins at the segment's base offset.
        for number in 0..30 {
            rig.append(batch(number, 4, 90_000), None);
        }
        rig.run_to_idle();
        let end = rig.log.high_watermark();
        assert!(end > named);
        for fate in [Fate::Kill, Fate::PowerLoss] {
            let again = rig.restarted(&Restart::simple(fate, seed));
            assert_eq!(again.log.high_watermark(), end, "seed {seed}");
            again.read_from(0);
        }
    }
    assert!(met > 0, "a log was cut off below a name that was there");
}
